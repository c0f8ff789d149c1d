"""What every target does, whatever is behind it. A target's test class inherits from :class:`TargetContract`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knobctl.errors import Busy, KnobChangedByOther, TargetError, WriteFailed
from knobctl.knobs import Value
from knobctl.target import Command, Target


class TargetContract:
    """Inherit, name the class ``Test...``, and provide the three methods below.

    The machine has ``vm.swappiness`` and ``vm.dirty_ratio`` with its twin ``vm.dirty_bytes``; ``vm.dirty_ratio`` is the
    face in use.
    """

    def make_target(self) -> Target:
        """A target that is not open."""
        raise NotImplementedError

    def same_machine(self, target: Target) -> Target:
        """Another target of the machine that this one has open."""
        raise NotImplementedError

    def change_from_outside(self, target: Target, name: str, value: Value) -> None:
        """Writes a knob the way an administrator would, past the target."""
        raise NotImplementedError

    @pytest.fixture
    def target(self) -> Iterator[Target]:
        target = self.make_target()
        target.open("contract")
        yield target
        target.close()

    def values(self, target: Target) -> dict[str, Value | None]:
        names = ["vm.swappiness", "vm.dirty_ratio", "vm.dirty_bytes"]
        return {name: state.value for name, state in target.probe(names).items()}

    def another(self, target: Target, name: str) -> int:
        """An allowed value that the knob does not have."""
        value = target.probe([name])[name].value
        assert isinstance(value, int)
        return value + 1 if value < 60 else value - 1

    def test_facts_say_what_the_machine_is(self) -> None:
        target = self.make_target()
        facts = target.facts()
        assert facts.simulated == target.simulated
        assert facts.cores >= 1
        assert facts.memory_bytes > 2**20
        assert set(facts.quantities) == {"memory_bytes", "memory_kib", "memory_pages", "cores"}

    def test_probe_needs_no_open_target_and_knows_every_knob(self) -> None:
        target = self.make_target()
        states = target.probe()
        assert list(states) == [knob.name for knob in target.catalogue]
        assert states["vm.swappiness"].present
        assert isinstance(states["vm.swappiness"].value, int)
        assert states["vm.swappiness"].raw == str(states["vm.swappiness"].value)
        assert all(state.value is not None for state in states.values() if state.present)

    def test_probe_uses_canonical_names(self) -> None:
        assert list(self.make_target().probe(["/proc/sys/vm/swappiness"])) == ["vm.swappiness"]

    def test_writes_read_back_and_restore(self, target: Target) -> None:
        before = self.values(target)
        wanted = self.another(target, "vm.swappiness")
        assert target.write({"vm.swappiness": wanted}) == {"vm.swappiness": wanted}
        assert self.values(target)["vm.swappiness"] == wanted
        report = target.restore()
        assert report.complete
        assert [knob.outcome for knob in report.knobs] == ["held"]
        assert report.knobs[0].path.endswith("vm/swappiness")
        assert report.knobs[0].found == report.knobs[0].now == str(before["vm.swappiness"])
        assert self.values(target) == before

    def test_restore_is_idempotent_and_a_run_goes_on_after_it(self, target: Target) -> None:
        before = self.values(target)
        wanted = self.another(target, "vm.swappiness")
        target.write({"vm.swappiness": wanted})
        target.restore()
        assert target.restore().complete
        target.write({"vm.swappiness": wanted})
        assert self.values(target)["vm.swappiness"] == wanted
        assert target.restore().complete
        assert self.values(target) == before

    def test_close_restores_and_may_be_repeated(self) -> None:
        target = self.make_target()
        before = self.values(target)
        target.open("contract")
        target.write({"vm.swappiness": self.another(target, "vm.swappiness")})
        assert target.close().complete
        assert self.values(target) == before
        assert target.close().complete

    def test_twins_zero_each_other_and_are_restored_exactly(self, target: Target) -> None:
        before = self.values(target)
        assert before["vm.dirty_ratio"] != 0
        assert before["vm.dirty_bytes"] == 0
        wanted = 256 * 2**20
        target.write({"vm.dirty_bytes": wanted})
        assert self.values(target) == {**before, "vm.dirty_bytes": wanted, "vm.dirty_ratio": 0}
        target.write({"vm.dirty_ratio": 30})
        assert self.values(target) == {**before, "vm.dirty_bytes": 0, "vm.dirty_ratio": 30}
        target.write({"vm.dirty_bytes": wanted})
        assert target.restore().complete
        assert self.values(target) == before

    def test_a_value_outside_the_catalogue_is_refused(self, target: Target) -> None:
        before = self.values(target)
        with pytest.raises(WriteFailed, match=r"vm\.swappiness"):
            target.write({"vm.swappiness": 10_000})
        assert self.values(target) == before

    def test_an_unknown_knob_is_refused(self, target: Target) -> None:
        with pytest.raises(WriteFailed, match=r"vm\.no_such_knob"):
            target.write({"vm.no_such_knob": 1})

    def test_somebody_else_is_not_overwritten(self, target: Target) -> None:
        before = self.values(target)["vm.swappiness"]
        assert isinstance(before, int)
        ours = self.another(target, "vm.swappiness")
        theirs = next(value for value in (11, 12, 13) if value not in (before, ours))
        target.write({"vm.swappiness": ours})
        self.change_from_outside(target, "vm.swappiness", theirs)
        try:
            with pytest.raises(KnobChangedByOther, match=f"swappiness.*{theirs}"):
                target.write({"vm.swappiness": ours})
            report = target.restore()
            assert [knob.outcome for knob in report.knobs] == ["drifted"]
            assert self.values(target)["vm.swappiness"] == theirs
        finally:
            self.change_from_outside(target, "vm.swappiness", before)

    def test_two_runs_at_once_are_refused(self, target: Target) -> None:
        with pytest.raises(Busy):
            self.same_machine(target).open("second")

    def test_writing_needs_an_open_target(self) -> None:
        with pytest.raises(TargetError):
            self.make_target().write({"vm.swappiness": 10})

    def test_files_are_put_below_the_work_folder(self, target: Target) -> None:
        assert target.put("script.sql", "SELECT 1;\n") == f"{target.folder}/script.sql"

    def test_a_command_ends_and_a_service_that_does_not_run_can_be_stopped(self, target: Target) -> None:
        outcome = target.run(Command(("true",), timeout=10.0))
        assert outcome.ok
        assert outcome.output == ""
        assert target.stop("nobody") == ""

    def test_time_passes_as_asked(self, target: Target) -> None:
        before = target.clock.monotonic()
        target.clock.sleep(0.02)
        assert target.clock.monotonic() - before >= 0.02
