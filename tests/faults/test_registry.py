"""Which faults can happen together, and that a campaign plays all of them."""

from __future__ import annotations

import pytest

from tests.faults import campaign, registry
from tests.faults.registry import SINGLE, joined, named, obstacle_to_pair


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("kill-agent", "kill-agent-watcher", "the second one finds its process dead"),
        ("kill-watcher", "refuse-EIO", "the second one needs a run that goes on"),
        ("kill-agent", "kill-main-agent", "both kill the same process"),
        ("flip-journal", "kill-all", "of the three copies (journal, agent, watcher) none is left whole"),
        ("full-disk", "read-only-disk", "each needs a disk of its own for the journal"),
        ("refuse-EIO", "refuse-EPERM", "a process has one tracer"),
        ("refuse-EIO", "stop-kill-agent", "a tracer and a stop of the same process are in each other's way"),
        ("stop-agent-kill-main", "kill-watcher", "the agent stands still, and the watcher that would notice is dead"),
        ("term-main", "truncate-journal-kill-main", ""),
        ("kill-agent", "kill-watcher", ""),
    ],
)
def test_pairs_that_make_no_sense_are_left_out(first: str, second: str, reason: str) -> None:
    assert obstacle_to_pair(SINGLE[first], SINGLE[second]) == reason
    assert ((first, second) in registry.pairs()) == (not reason)
    if reason:
        with pytest.raises(ValueError, match="cannot be made"):
            named(f"{first}+{second}")


def test_after_a_signal_only_the_real_main_program_can_be_struck_again() -> None:
    assert joined(named("term-main+int-main")).doors == ("command",)
    assert joined(named("truncate-journal+int-main")).doors == ("program", "command")


def test_a_pair_needs_what_either_of_the_two_needs() -> None:
    both = joined(named("full-disk+stop-agent-kill-main"))
    assert (both.disk, both.doors, both.patience) == ("tmpfs", ("program",), 3.0)


def test_a_campaign_plays_every_fault_and_only_sensible_pairs() -> None:
    items = campaign.planned(500, 7)
    names = [item.fault for item in items]
    possible = [fault.name for fault in SINGLE.values() if not fault.obstacle and fault.name not in registry.PENDING]
    assert len(items) == len({item.seed for item in items}) == 500
    assert {name for name in names if "+" not in name} == set(possible)
    assert {tuple(name.split("+")) for name in names if "+" in name} <= set(registry.pairs())
    assert items == campaign.planned(500, 7)
    assert items != campaign.planned(500, 8)


def test_a_campaign_that_would_leave_faults_out_is_refused() -> None:
    with pytest.raises(ValueError, match="10 runs are too few"):
        campaign.planned(10, 1)


def test_the_first_of_several_runs_has_exactly_the_seed() -> None:
    assert [item.seed for item in campaign.only(["kill-main"], 2, 40)] == [40, 41]


@pytest.mark.parametrize("name", ["kill-nobody", "kill-main+kill-main", "kill-main+kill-agent+kill-watcher"])
def test_what_is_no_fault_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"no fault is called|a pair is two different faults"):
        named(name)
