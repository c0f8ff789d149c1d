"""When a run is ended early: bad beyond doubt, never on a whim, and never without whole runs to compare with."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from knobctl.env.cutting import LEAST_REFERENCES, Cutter
from knobctl.events import Trial


def whole(number: int, score: float, samples: list[float]) -> Trial:
    return Trial(number, "baseline", {}, score, {}, {}, seconds(samples), 30.0, None, "", 31.0 * number)


def seconds(values: list[float]) -> tuple[tuple[float, float], ...]:
    return tuple((float(second), value) for second, value in enumerate(values, 1))


def steady(level: float, seed: int, count: int = 30, noise: float = 0.03) -> list[float]:
    luck = random.Random(seed)
    return [level * math.exp(luck.gauss(0.0, noise)) for _ in range(count)]


def defaults(level: float = 1000.0, count: int = 4) -> list[Trial]:
    found = []
    for number in range(count):
        values = steady(level, number)
        found.append(whole(number, sum(values) / len(values), values))
    return found


def first_cut(cutter: Cutter, values: list[float], best: float | None = None, **given: Any) -> tuple[int, float] | None:
    """Second and estimate of the first look that ends the run."""
    for second in range(1, len(values) + 1):
        cut = cutter.judge(seconds(values[:second]), second / len(values), given.get("runs", defaults()), best)
        if cut is not None:
            return second, cut.score
    return None


@pytest.fixture
def cutter() -> Cutter:
    return Cutter("maximize", 0.02, 30.0)


def test_a_run_at_half_the_speed_is_ended_as_soon_as_may_be(cutter: Cutter) -> None:
    cut = first_cut(cutter, steady(500.0, 99))
    assert cut is not None
    second, estimate = cut
    assert second == 3, "a tenth of thirty seconds, and three of them"
    assert estimate == pytest.approx(500.0, rel=0.03)


def test_a_run_like_the_default_goes_on_to_its_end(cutter: Cutter) -> None:
    assert [first_cut(cutter, steady(1000.0, seed)) for seed in range(50, 90)] == [None] * 40


def test_a_run_a_little_worse_goes_on_and_one_worse_than_the_best_by_far_does_not(cutter: Cutter) -> None:
    assert first_cut(cutter, steady(960.0, 7)) is None
    assert first_cut(cutter, steady(960.0, 7), best=1500.0) is not None


def test_the_best_so_far_counts_less_than_it_seems(cutter: Cutter) -> None:
    """Two standard deviations of it may be luck: nothing is ended for being that much below it."""
    assert first_cut(cutter, steady(1010.0, 3), best=1050.0) is None


def test_less_is_better_where_it_is() -> None:
    cutter = Cutter("minimize", 0.02, 30.0)
    assert first_cut(cutter, steady(2000.0, 5)) is not None
    assert first_cut(cutter, steady(500.0, 5)) is None


def test_no_run_is_ended_before_its_time(cutter: Cutter) -> None:
    slow = seconds(steady(300.0, 1))
    assert cutter.judge(slow[:5], 5 / 60, defaults(), None) is None, "less than a tenth of it"
    assert cutter.judge(slow[:2], 0.9, defaults(), None) is None, "two seconds"
    assert cutter.judge(slow, 1.0, defaults(), None) is None, "it is over"
    assert cutter.judge((), 0.5, defaults(), None) is None


def test_nothing_is_ended_without_whole_runs_to_compare_with(cutter: Cutter) -> None:
    slow = steady(300.0, 1)
    assert first_cut(cutter, slow, runs=defaults(count=LEAST_REFERENCES - 1)) is None
    silent = [whole(number, 1000.0, []) for number in range(5)]
    assert first_cut(Cutter("maximize", 0.02, 30.0), slow, runs=silent) is None


def test_a_ramp_that_every_run_has_tells_nothing_about_the_configuration(cutter: Cutter) -> None:
    def ramp(level: float, seed: int) -> list[float]:
        return [value * min(1.0, 0.3 + 0.05 * second) for second, value in enumerate(steady(level, seed))]

    runs = []
    for number in range(4):
        values = ramp(1000.0, number)
        runs.append(whole(number, sum(values) / len(values), values))
    assert first_cut(cutter, ramp(1000.0, 42), runs=runs) is None
    cut = first_cut(Cutter("maximize", 0.02, 30.0), ramp(500.0, 42), runs=runs)
    assert cut is not None
    assert cut[1] == pytest.approx(0.5 * sum(trial.score or 0.0 for trial in runs) / 4, rel=0.06)


def test_a_tool_whose_progress_counts_something_else_is_calibrated(cutter: Cutter) -> None:
    """Progress lines of a thousand, and a summary of five hundred, as with and without the time to connect."""
    runs = [whole(number, 500.0, steady(1000.0, number)) for number in range(4)]
    assert first_cut(cutter, steady(1000.0, 9), runs=runs) is None
    cut = first_cut(cutter, steady(600.0, 9), runs=runs)
    assert cut is not None
    assert cut[1] == pytest.approx(300.0, rel=0.05)


def test_the_estimate_knows_how_uncertain_it_is(cutter: Cutter) -> None:
    quiet = cutter.judge(seconds(steady(300.0, 1, noise=0.01)[:8]), 8 / 30, defaults(), None)
    wild = cutter.judge(seconds(steady(300.0, 1, noise=0.15)[:8]), 8 / 30, defaults(), None)
    assert quiet is not None
    assert wild is not None
    assert 0.0 < quiet.uncertainty < 0.04 < wild.uncertainty


def test_hardly_any_fair_run_is_ended() -> None:
    """Twenty runs as good as the default in each, with noise between runs too: about one in a hundred may be."""
    ended = 0
    for session in range(30):
        luck = random.Random(session)
        levels = [1000.0 * math.exp(luck.gauss(0.0, 0.03)) for _ in range(25)]
        runs = []
        for number, level in enumerate(levels[:5]):
            values = steady(level, 1000 * session + number)
            runs.append(whole(number, sum(values) / 30, values))
        cutter = Cutter("maximize", 0.03, 30.0)
        for number, level in enumerate(levels[5:]):
            ended += first_cut(cutter, steady(level, 1000 * session + 500 + number), runs=runs) is not None
    assert ended <= 6
