"""Another machine: what differs is said, and what is missing is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from knobctl.errors import UsageError
from knobctl.evidence import Bundle, differing_facts, differing_values, require_suitable
from knobctl.target.simulated import FACTS, SimulatedTarget, simulated_target
from tests.env.invented import Hill


def test_differences_of_machines_are_listed() -> None:
    assert differing_facts(FACTS, FACTS) == ()
    here = replace(FACTS, kernel="7.0", cores=99, disk_kind="", boot_id="another", disk="sdz")
    assert differing_facts(FACTS, here) == (
        f"kernel: {FACTS.kernel} there, 7.0 here",
        f"cores: {FACTS.cores} there, 99 here",
        f"kind of disk: {FACTS.disk_kind} there, unknown here",
    )


def test_other_values_that_are_found_are_listed(improved: Bundle) -> None:
    target = simulated_target("file-write", seed=1)
    assert differing_values(improved, target) == ()
    first, *others = improved.result.knobs
    moved = replace(improved, result=replace(improved.result, knobs=(replace(first, found=77), *others)))
    assert differing_values(moved, target) == (f"{first.name}: 77 there, {first.found} here",)


def test_the_machine_of_the_session_is_suitable(improved: Bundle) -> None:
    require_suitable(improved, simulated_target("file-write", seed=9))


def test_another_kind_of_target_is_refused(improved: Bundle) -> None:
    with pytest.raises(UsageError) as caught:
        require_suitable(improved, simulated_target("web"))
    assert caught.value.message == (
        f"session {improved.session.id} was measured on simulated:file-write, not on simulated:web"
    )
    assert caught.value.hint == "Add --target simulated:file-write."


def test_without_a_candidate_there_is_nothing_to_measure(bundles: dict[str, Bundle]) -> None:
    bundle = bundles["no candidate"]
    with pytest.raises(UsageError, match=f"session {bundle.session.id} has no candidate to measure again"):
        require_suitable(bundle, SimulatedTarget(Hill(1, lambda configuration: 1.0)))


def test_a_knob_that_nobody_knows_is_refused(bundles: dict[str, Bundle]) -> None:
    bundle = replace(
        bundles["worse"], session=replace(bundles["worse"].session, target="simulated:file-write")
    )  # the knobs of a hill, on a machine that has none of them
    with pytest.raises(UsageError, match=r"^demo\.k0 is no knob that this knobctl knows$"):
        require_suitable(bundle, simulated_target("file-write"))
