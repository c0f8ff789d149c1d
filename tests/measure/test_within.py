"""What progress lines tell about a run: its own noise, and how long it takes to settle."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from knobctl.events import Trial
from knobctl.measure.within import settling_seconds, within_sd


def trial(values: list[float]) -> Trial:
    samples = tuple((float(second), value) for second, value in enumerate(values, 1))
    return Trial(0, "baseline", {}, 100.0, {}, {}, samples, float(len(values)), None, "", 0.0)


def made(shape: Callable[[int], float], count: int = 20, runs: int = 4, noise: float = 0.01) -> list[Trial]:
    luck = random.Random(1)
    return [trial([shape(second) * math.exp(luck.gauss(0.0, noise)) for second in range(count)]) for _ in range(runs)]


def test_independent_seconds_average_out() -> None:
    found = within_sd(made(lambda second: 100.0, noise=0.1, runs=40))
    assert found == pytest.approx(0.1 / math.sqrt(20), rel=0.25)


def test_seconds_that_resemble_their_neighbours_average_out_more_slowly() -> None:
    luck = random.Random(2)
    runs = []
    for _ in range(40):
        level, values = 0.0, []
        for _ in range(40):
            level = 0.8 * level + 0.6 * luck.gauss(0.0, 0.1)
            values.append(100.0 * math.exp(level))
        runs.append(trial(values))
    means = [math.log(sum(value for _, value in run.samples) / 40) for run in runs]
    centre = sum(means) / len(means)
    true = math.sqrt(sum((mean - centre) ** 2 for mean in means) / (len(means) - 1))
    found = within_sd(runs)
    assert found == pytest.approx(true, rel=0.35)
    assert found is not None
    assert found > 1.8 * 0.1 / math.sqrt(40), "as if the seconds were independent"


def test_runs_without_progress_say_nothing() -> None:
    assert within_sd([trial([])]) is None
    assert within_sd([trial([1.0, 2.0, 3.0])]) is None
    assert within_sd([]) is None
    assert settling_seconds([]) is None
    assert settling_seconds(made(lambda second: 100.0, count=7)) is None


def test_a_steady_run_is_settled_from_the_start() -> None:
    assert settling_seconds(made(lambda second: 100.0)) == 0.0


def test_a_cold_start_is_seen() -> None:
    found = settling_seconds(made(lambda second: 40.0 if second < 5 else 100.0))
    assert found == 5.0


def test_one_run_without_progress_among_others_leaves_it_open() -> None:
    assert settling_seconds([*made(lambda second: 100.0), trial([])]) is None


def test_values_that_are_no_rates_leave_it_open() -> None:
    assert settling_seconds([trial([0.0] * 20)]) is None
