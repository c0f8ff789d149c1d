from __future__ import annotations

import pytest

from knobctl.strategist.files import playbooks
from knobctl.strategist.knob_table import SHORTLIST, areas, explain, in_area, shortlist, table
from tests.strategist.machine import Machine, machine_of

BY_NAME = {playbook.name: playbook for playbook in playbooks()}


def names(knobs: object) -> list[str]:
    return [knob.name for knob in knobs]  # type: ignore[attr-defined]


def test_areas_count_what_can_be_tuned(machine: Machine) -> None:
    found = areas(machine.catalogue, machine.states)
    assert {"vm", "block", "net.core", "net.ipv4", "kernel"} <= set(found)
    assert areas(machine.catalogue, machine.without("vm.swappiness").states)["vm"] == found["vm"] - 1
    assert sum(areas(machine.catalogue, None).values()) == sum(knob.risk == "safe" for knob in machine.catalogue)


@pytest.mark.parametrize("text", ["vm", "VM", "vm.", "vm.*"])
def test_an_area_by_its_name(machine: Machine, text: str) -> None:
    assert "vm.dirty_ratio" in names(in_area(text, machine.catalogue, machine.states))


def test_an_area_by_the_beginning_of_its_knobs(machine: Machine) -> None:
    found = names(in_area("net.ipv4.tcp_w", machine.catalogue, machine.states))
    assert found
    assert all(name.startswith("net.ipv4.tcp_w") for name in found)
    assert len(in_area("net", machine.catalogue, machine.states)) == 40
    assert in_area("", machine.catalogue, machine.states) == ()
    assert in_area("../etc", machine.catalogue, machine.states) == ()


@pytest.mark.parametrize("playbook", playbooks(), ids=lambda playbook: playbook.name)
def test_a_shortlist_begins_with_the_playbooks_own(playbook: object, machine: Machine) -> None:
    chosen = names(shortlist(playbook, machine.facts, machine.states, machine.catalogue))  # type: ignore[arg-type]
    own = [entry.name for entry in playbook.knobs if machine.catalogue[entry.name].risk == "safe"]  # type: ignore[attr-defined]
    assert chosen[: len(own)] == own
    assert len(chosen) == len(set(chosen)) <= SHORTLIST


def test_a_shortlist_holds_what_was_looked_at_and_is_never_longer_for_it(machine: Machine) -> None:
    playbook = BY_NAME["cpu"]
    also = ("net.core.busy_poll", "vm.overcommit_memory", "no.such")
    chosen = shortlist(playbook, machine.facts, machine.states, machine.catalogue, also)
    assert "net.core.busy_poll" in names(chosen)
    assert "vm.overcommit_memory" not in names(chosen)
    assert len(chosen) <= SHORTLIST


def test_no_neighbour_is_useless_here(machine: Machine) -> None:
    without_swap = names(shortlist(BY_NAME["memory"], machine.facts, machine.states, machine.catalogue, limit=100))
    assert "vm.page-cluster" not in without_swap
    assert "vm.dirty_bytes" not in without_swap
    assert "vm.dirty_ratio" in without_swap
    swapping = machine_of(swap_gib=4)
    assert "vm.page-cluster" in names(
        shortlist(BY_NAME["memory"], swapping.facts, swapping.states, swapping.catalogue, limit=100)
    )
    own = {entry.name for entry in BY_NAME["memory"].knobs}
    for name in without_swap:
        assert name in own or machine.catalogue[name].effect != "cold"


def test_a_row_says_why_it_matters_for_the_workload(machine: Machine) -> None:
    ratio = machine.catalogue["vm.dirty_ratio"]
    (row,) = table([ratio], machine.facts, machine.states, BY_NAME["postgresql-write"])
    assert row.startswith(f"vm.dirty_ratio | 2 to 80 percent | {ratio.default} | {ratio.summary}")
    assert "Matters here: Where writers are made to wait for the disk" in row
    assert list(table([ratio], None, None)) == [f"vm.dirty_ratio | 2 to 80 percent | unknown | {ratio.summary}"]


@pytest.mark.parametrize(
    ("name", "says", "offered"),
    [
        ("vm/swappiness", "vm.swappiness: ", "vm.swappiness"),
        ("vm.swapiness", "There is no kernel knob 'vm.swapiness' that knobctl knows. Close: vm.swappiness", None),
        ("vm.panic_on_oom", "Never tuned: ", None),
        ("vm.min_free_kbytes", "Tuned only when the user names it: ", None),
    ],
)
def test_a_knob_explained(machine: Machine, name: str, says: str, offered: str | None) -> None:
    text, knob = explain(name, machine.facts, machine.states, machine.catalogue)
    assert says in text
    assert knob == offered


def test_a_knob_that_this_kernel_does_not_have(machine: Machine) -> None:
    smaller = machine.without("vm.swappiness")
    text, knob = explain("vm.swappiness", smaller.facts, smaller.states, smaller.catalogue)
    assert "This kernel does not have it." in text
    assert knob is None
