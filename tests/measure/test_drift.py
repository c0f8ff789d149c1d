"""Whether the unchanged machine stayed what it was through a session."""

from __future__ import annotations

import math
import random

from knobctl.events import Trial
from knobctl.measure.drift import describe_drift


def runs(scores: list[float | None]) -> list[Trial]:
    return [
        Trial(number, "control", {}, score, {}, {}, (), 30.0, None, "" if score else "crashed", 60.0 * number)
        for number, score in enumerate(scores)
    ]


def declining(loss: float, noise: float, seed: int = 0) -> list[float | None]:
    luck = random.Random(seed)
    return [1000.0 * math.exp(-loss * number / 11 + luck.gauss(0.0, noise)) for number in range(12)]


def test_a_workload_that_wears_out_is_told_with_what_would_help() -> None:
    text = describe_drift(runs(declining(0.3, 0.02)), resets=False)
    assert text.startswith("the score of the unchanged machine moved by -2")
    assert "comparison stays fair" in text
    assert text.endswith("give the workload a reset_command that brings its data back.")


def test_a_reset_that_does_not_hold_it_is_told_as_such() -> None:
    text = describe_drift(runs(declining(0.3, 0.02)), resets=True)
    assert "although its data were brought back before each run" in text
    assert text.endswith("make the data anew now and then, or run it on a machine that was left alone for a while.")


def test_getting_faster_is_drift_too() -> None:
    assert "moved by +2" in describe_drift(runs(declining(-0.25, 0.01)), resets=True)


def test_noise_is_no_drift() -> None:
    told = [describe_drift(runs(declining(0.0, 0.05, seed)), resets=True) for seed in range(200)]
    assert sum(bool(text) for text in told) <= 6, "one in a hundred, by chance"


def test_a_small_change_and_too_few_runs_are_not_worth_a_sentence() -> None:
    assert describe_drift(runs(declining(0.03, 0.001)), resets=True) == ""
    assert describe_drift(runs([1000.0, 800.0, 640.0]), resets=True) == ""
    assert describe_drift([], resets=True) == ""


def test_failed_runs_are_left_out() -> None:
    scores = declining(0.3, 0.02)
    scores[3] = scores[7] = None
    assert describe_drift(runs(scores), resets=True)
