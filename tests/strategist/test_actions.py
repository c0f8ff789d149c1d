from __future__ import annotations

import pytest

from knobctl.errors import UsageError
from tests.strategist.machine import Machine, machine_of


def params(machine: Machine, text: str = "PostgreSQL", **options: object) -> list[str]:
    return [spec.param for spec in machine.propose(text, **options).plan.action_space]


class TestPlaybookKnobs:
    """The knobs of a playbook, fitted to the machine."""

    def test_an_absent_knob_is_left_out_with_a_reason(self, machine: Machine) -> None:
        proposal = machine.without("block.scheduler").propose("PostgreSQL")
        assert ("block.scheduler", "this kernel does not have it") in proposal.dropped
        assert "block.scheduler" not in [spec.param for spec in proposal.plan.action_space]
        assert all("block.scheduler" not in each.configuration for each in proposal.plan.suggestions)

    def test_the_reason_of_the_machine_is_passed_on(self, machine: Machine) -> None:
        without_disk = machine.with_state("block.scheduler", present=False, reason="there is no disk")
        assert ("block.scheduler", "there is no disk") in without_disk.propose("PostgreSQL").dropped
        read_only = machine.with_state("vm.dirty_ratio", writable=False, reason="read-only file system")
        assert ("vm.dirty_ratio", "read-only file system") in read_only.propose("PostgreSQL").dropped
        silent = machine.with_state("vm.dirty_ratio", writable=False)
        assert ("vm.dirty_ratio", "it cannot be written here") in silent.propose("PostgreSQL").dropped

    def test_swap_knobs_need_swap(self) -> None:
        reason = ("vm.swappiness", "this machine has no swap, so it changes nothing")
        assert reason in machine_of(swap_gib=0).propose("PostgreSQL").dropped
        assert "vm.swappiness" in params(machine_of(swap_gib=2))

    def test_only_choices_that_the_kernel_offers_are_tried(self, machine: Machine) -> None:
        some = machine.with_state("block.scheduler", choices=("none", "mq-deadline"), value="mq-deadline")
        specs = {spec.param: spec for spec in some.propose("PostgreSQL").plan.action_space}
        assert specs["block.scheduler"].values == ("none", "mq-deadline")
        one = machine.with_state("block.scheduler", choices=("none",), value="none")
        assert ("block.scheduler", "the kernel offers nothing but none") in one.propose("PostgreSQL").dropped

    def test_the_playbook_narrows_the_range(self, machine: Machine) -> None:
        """The catalogue alone would begin at 2."""
        specs = {spec.param: spec for spec in machine.propose("PostgreSQL").plan.action_space}
        assert (specs["vm.dirty_ratio"].min, specs["vm.dirty_ratio"].max) == (5, 80)
        assert specs["vm.dirty_ratio"].description

    def test_values_with_a_meaning_of_their_own_are_tried_too(self, machine: Machine) -> None:
        specs = {spec.param: spec for spec in machine.propose("PostgreSQL").plan.action_space}
        assert specs["block.wbt_lat_usec"].special == (0,)

    def test_a_machine_without_any_of_them_is_told_so(self, machine: Machine) -> None:
        bare = machine.without(*machine.states)
        with pytest.raises(
            UsageError, match="none of the 6 knobs of playbook cpu can be tuned on this machine: kernel"
        ):
            bare.propose("cpu")

    def test_a_suggestion_that_changes_nothing_is_not_made(self, machine: Machine) -> None:
        tuned = machine.with_state("vm.dirty_background_ratio", value=1)
        first = machine.propose("PostgreSQL").plan.suggestions[0]
        assert dict(first.configuration) == {"vm.dirty_background_ratio": 1, "vm.dirty_ratio": 20}
        assert first.reason.count("Source:") == 1
        again = tuned.propose("PostgreSQL").plan.suggestions[0]
        assert dict(again.configuration) != dict(first.configuration)


class TestNamedKnobs:
    """The knobs that the user named."""

    def test_exactly_these_in_their_order(self, machine: Machine) -> None:
        named = ("vm.vfs_cache_pressure", "vm/dirty_ratio", "/proc/sys/vm/dirty_background_ratio")
        assert params(machine, knobs=named) == ["vm.vfs_cache_pressure", "vm.dirty_ratio", "vm.dirty_background_ratio"]

    def test_an_alias_and_a_list_in_one_word(self, machine: Machine) -> None:
        assert params(machine, knobs=("elevator,read_ahead_kb",)) == ["block.scheduler", "block.read_ahead_kb"]

    def test_the_full_safe_range_is_offered(self, machine: Machine) -> None:
        (spec,) = machine.propose("PostgreSQL", knobs=("vm.dirty_background_ratio",)).plan.action_space
        low, high = machine.catalogue["vm.dirty_background_ratio"].range_on(machine.facts.quantities)
        assert (spec.min, spec.max) == (low, high)

    def test_a_pattern_stands_for_safe_knobs_that_can_be_tuned_here(self, machine: Machine) -> None:
        proposal = machine.without("vm.stat_interval").propose("PostgreSQL", knobs=("VM.*",))
        names = [spec.param for spec in proposal.plan.action_space]
        assert "vm.dirty_ratio" in names
        assert all(machine.catalogue[name].risk == "safe" for name in names)
        dropped = dict(proposal.dropped)
        assert dropped["vm.stat_interval"] == "this kernel does not have it"
        assert dropped["vm.min_free_kbytes"].startswith("tuned only when it is named exactly: Too low")
        assert dropped["vm.dirty_bytes"] == "the other face of a setting that is tuned already"
        assert "vm.drop_caches" not in dropped

    def test_of_two_faces_the_one_in_force_stays(self, machine: Machine) -> None:
        by_bytes = machine.with_state("vm.dirty_ratio", value=0).with_state("vm.dirty_bytes", value=2**28)
        assert params(by_bytes, knobs=("vm.dirty_*",))[:1] == ["vm.dirty_background_ratio"]
        assert "vm.dirty_bytes" in params(by_bytes, knobs=("vm.dirty_*",))
        assert "vm.dirty_ratio" not in params(by_bytes, knobs=("vm.dirty_*",))

    def test_of_two_faces_the_named_one_stays(self, machine: Machine) -> None:
        names = params(machine, knobs=("vm.dirty_bytes", "vm.dirty_*"))
        assert "vm.dirty_bytes" in names
        assert "vm.dirty_ratio" not in names

    def test_two_faces_cannot_both_be_named(self, machine: Machine) -> None:
        with pytest.raises(UsageError, match=r"vm\.dirty_ratio and vm\.dirty_bytes are two faces of one setting"):
            machine.propose("PostgreSQL", knobs=("vm.dirty_ratio", "vm.dirty_bytes"))

    def test_a_cautious_knob_is_tuned_when_it_is_named(self, machine: Machine) -> None:
        proposal = machine.propose("PostgreSQL", knobs=("vm.min_free_kbytes",))
        assert proposal.plan.action_space[0].param == "vm.min_free_kbytes"
        assert any(
            note.startswith("vm.min_free_kbytes is tuned because you named it: Too low") for note in proposal.notes
        )

    def test_a_named_knob_without_effect_is_tuned_and_reported(self, machine: Machine) -> None:
        proposal = machine.propose("PostgreSQL", knobs=("vm.swappiness",))
        assert proposal.plan.action_space[0].param == "vm.swappiness"
        assert "vm.swappiness: this machine has no swap, so it changes nothing." in proposal.notes

    def test_suggestions_keep_to_the_named_knobs(self, machine: Machine) -> None:
        suggestions = machine.propose("PostgreSQL", knobs=("vm.dirty_background_ratio",)).plan.suggestions
        assert [dict(each.configuration) for each in suggestions] == [
            {"vm.dirty_background_ratio": 1},
            {"vm.dirty_background_ratio": 5},
        ]

    @pytest.mark.parametrize(
        ("knobs", "message", "hint"),
        [
            (("vm.dirty_ration",), "unknown knob 'vm.dirty_ration'", "Did you mean vm.dirty_ratio"),
            (("xyzzy",), "unknown knob 'xyzzy'", "`knobctl knobs` lists the knobs."),
            (("kernel.panic",), "kernel.panic is never tuned: ", "Leave it out"),
            (("vm.drop_caches",), "vm.drop_caches is never tuned: It discards", "Leave it out"),
            (("nothing.*",), "no knob that can be tuned freely here matches 'nothing.*'", "`knobctl knobs`"),
            ((" , ",), "no knob that can be tuned freely here matches", "`knobctl knobs`"),
        ],
    )
    def test_a_name_that_cannot_be_used_is_refused(
        self, knobs: tuple[str, ...], message: str, hint: str, machine: Machine
    ) -> None:
        with pytest.raises(UsageError) as caught:
            machine.propose("PostgreSQL", knobs=knobs)
        assert message in caught.value.message
        assert hint in caught.value.hint
        assert caught.value.exit_code == 2

    def test_a_named_knob_that_is_absent_is_refused(self, machine: Machine) -> None:
        with pytest.raises(
            UsageError, match=r"vm\.stat_interval cannot be tuned on this machine: this kernel does not"
        ):
            machine.without("vm.stat_interval").propose("PostgreSQL", knobs=("vm.stat_interval",))
