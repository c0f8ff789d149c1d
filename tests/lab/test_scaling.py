"""What one more trial costs: what is measured, and how it is shown."""

from __future__ import annotations

import pytest

from knobctl.errors import UsageError
from knobctl.lab.scaling import KNOBS, PLAYED, REMEMBERED, TRIALS, Cost, Load, findings, loads, measure, page


def test_only_searchers_with_a_memory_are_measured_with_one() -> None:
    found = loads(["sappo", "tpe"])
    assert len(found) == 3 * len(KNOBS) * len(TRIALS)
    assert {(load.searcher, load.way) for load in found} == {
        ("sappo", PLAYED), ("sappo", REMEMBERED), ("tpe", PLAYED),
    }  # fmt: skip


def test_a_trial_costs_something() -> None:
    cost = measure(Load("random", 6, 20))
    assert 0.0 < cost.cpu < 1.0
    assert 0.0 <= cost.memory_mib < 1000.0


def test_there_has_to_be_such_a_machine() -> None:
    with pytest.raises(UsageError, match="3 active of 2 knobs"):
        measure(Load("random", 2, 20))


def test_growth_is_the_power_between_the_first_and_the_last_column() -> None:
    measured = {
        Load("gp", 6, 10): Cost(0.01, 1.0),
        Load("gp", 6, 100): Cost(1.0, 30.4),
        Load("tpe", 6, 10): Cost(0.02, 2.0),
    }
    assert findings(measured).checks == ()
    times, memory = findings(measured).tables
    assert times.rows == (
        ("gp", PLAYED, "6", "10 ms", "1000 ms", "trials^2.0"),
        ("tpe", PLAYED, "6", "20 ms", "-", "-"),
    )
    assert memory.rows[0] == ("gp", PLAYED, "6", "1 MiB", "30 MiB")


@pytest.mark.parametrize(("cpu", "memory", "words"), [(0.5, 90.0, ["met", "met"]), (1.5, 2000.0, ["NOT MET"] * 2)])
def test_the_default_searcher_has_a_promise_to_keep(cpu: float, memory: float, words: list[str]) -> None:
    found = findings({Load("sappo", 6, 10): Cost(cpu, memory), Load("tpe", 6, 10): Cost(9.0, 9000.0)})
    assert [check.word for check in found.checks] == words
    text = page(found, "knobctl lab scaling --knobs 6")
    assert "`knobctl lab scaling --knobs 6`: 20" in text
    assert f"{1000 * cpu:.0f} ms at most | {words[0]} |" in text
    assert "| sappo | played | 6 |" in text
