"""The same is quite alike, what differs is said, and what is another thing altogether is not similar at all."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobctl.memory import Fingerprint, compare
from knobctl.memory import likeness as weights
from tests.memory.sessions import FACTS, LOAD, here


def distance(there: Fingerprint, now: Fingerprint | None = None) -> float:
    found = compare(there, now or here())
    assert found is not None
    return found.distance


def test_the_same_session_again_is_as_much_alike_as_can_be() -> None:
    found = compare(here(), here())
    assert found is not None
    assert (found.value, found.differences, found.why) == (1.0, (), "pgbench, same machine")
    imported = compare(here(), here(), same_record=False)
    assert imported is not None
    assert imported.why == "pgbench, a machine like it"


@pytest.mark.parametrize(
    "other",
    [
        here(command="fio --rw=write"),
        here(metric="latency_average_ms"),
        here(direction="minimize"),
        here(target="simulated:web", simulated=True),
    ],
)
def test_another_program_objective_direction_or_kind_of_machine_is_not_similar_at_all(other: Fingerprint) -> None:
    assert compare(other, here()) is None
    assert compare(here(), other) is None


def test_each_sysbench_test_is_a_program_of_its_own() -> None:
    assert compare(here(command="sysbench cpu run"), here(command="sysbench memory run")) is None


def test_one_simulated_machine_does_not_remember_another() -> None:
    first, second = (here(target=f"simulated:family:few:{seed}", simulated=True) for seed in (1, 2))
    assert compare(first, second) is None
    assert compare(first, first) is not None


@pytest.mark.parametrize(
    ("there", "part", "expected", "text"),
    [
        (here(facts=replace(FACTS, cores=8)), "cores", weights.CORES / 6, "cores 8 there, 4 here"),
        (
            here(facts=replace(FACTS, memory_bytes=64 * 16 * 2**30)),
            "memory",
            weights.MEMORY,
            "memory 1024.0 GiB there, 16.0 GiB here",
        ),
        (here(facts=replace(FACTS, kernel="6.1.0")), "kernel", weights.KERNEL / 2, "kernel 6.1 there, 6.18 here"),
        (here(facts=replace(FACTS, kernel="5.10.0")), "kernel", weights.KERNEL, "kernel 5.10 there, 6.18 here"),
        (
            here(facts=replace(FACTS, disk_kind="rotational")),
            "disk",
            weights.DISK,
            "disk rotational there, solid-state here",
        ),
        (here(facts=replace(FACTS, disk_kind="")), "", 0.0, ""),
        (
            here(command="pgbench -c 50 -j 4 -T 30 -S testdb"),
            "command",
            weights.OPTIONS / 4,
            "-S only there",
        ),
        (
            here(command="pgbench -c 9 -j 4 -T 30 testdb"),
            "numbers",
            weights.NUMBERS / 3 * math.log(51 / 10) / math.log(100),
            "-c 9 there, 50 here",
        ),
        (
            here(baseline=[{**LOAD, "iowait": 100.0}]),
            "load",
            weights.LOAD / math.sqrt(3) * math.log(101 / 4) / math.log(101),
            "iowait 100 there, 3 here",
        ),
        (here(baseline=[]), "", 0.0, ""),
    ],
)
def test_each_part_adds_its_own_distance_and_says_so(there: Fingerprint, part: str, expected: float, text: str) -> None:
    found = compare(there, here())
    assert found is not None
    assert [each.part for each in found.differences] == ([part] if part else [])
    assert found.distance == pytest.approx(expected)
    assert found.value == pytest.approx(math.exp(-expected))
    assert [each.text for each in found.differences] == ([text] if text else [])


def test_the_reason_names_the_largest_differences_first() -> None:
    there = here(
        command="pgbench -c 8 -j 4 -T 30 testdb", facts=replace(FACTS, cores=64, kernel="5.4", disk_kind="rotational")
    )
    found = compare(there, here())
    assert found is not None
    assert found.why == (
        "pgbench, another machine; disk rotational there, solid-state here; cores 64 there, 4 here; "
        "kernel 5.4 there, 6.18 here"
    )
    assert [each.distance for each in found.differences] == sorted(
        (each.distance for each in found.differences), reverse=True
    )


facts = st.builds(
    lambda cores, memory, kernel, disk: replace(
        FACTS, cores=cores, memory_bytes=memory, kernel=kernel, disk_kind=disk
    ),
    st.integers(0, 4096), st.integers(0, 2**50), st.sampled_from(["6.18.1", "6.1", "5.10", "odd"]),
    st.sampled_from(["", "rotational", "solid-state"]),
)  # fmt: skip
loads = st.dictionaries(st.sampled_from(["iowait", "disk_write", "cpu_user"]), st.floats(0, 1e12), max_size=3)
commands = st.lists(st.sampled_from(["-S", "-c 1", "-c 999", "-M prepared", "-T 30"]), max_size=4).map(
    lambda words: " ".join(("pgbench", *words))
)
fingerprints = st.builds(
    lambda *given: here(facts=given[0], baseline=[given[1]], command=given[2]), facts, loads, commands
)


@settings(max_examples=40)
@given(fingerprints, fingerprints)
def test_it_does_not_matter_which_of_the_two_was_first(one: Fingerprint, other: Fingerprint) -> None:
    found = compare(one, other)
    assert found is not None
    assert 0.0 < found.value <= 1.0
    assert distance(other, one) == pytest.approx(found.distance)
    assert distance(one, one) == 0.0
