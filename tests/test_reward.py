from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from knobctl.plan import RewardSpec
from knobctl.reward import (
    LARGEST_RATIO,
    failed_reward,
    failed_score,
    guardrail_excess,
    learning_signal,
    log_gain,
    penalty,
    performance,
    reward,
)
from knobctl.workload.base import Direction

POSITIVE = st.floats(1e-3, 1e6)
RATIOS = st.floats(0.01, 100)
PERCENT = st.floats(0, 100)
DIRECTIONS = st.sampled_from(["maximize", "minimize"])
OPPOSITE: dict[str, Direction] = {"maximize": "minimize", "minimize": "maximize"}


@given(POSITIVE, DIRECTIONS)
def test_quiet_machine_at_the_default_scores_100(score: float, direction: Direction) -> None:
    assert reward(score, score, direction, penalty({"iowait": 0.0, "memory_pressure": 0.0})) == pytest.approx(100)


@given(POSITIVE, RATIOS, RATIOS, PERCENT, DIRECTIONS)
def test_unit_of_the_metric_does_not_matter(
    baseline: float, ratio: float, unit: float, penalised: float, direction: Direction
) -> None:
    here = reward(baseline * ratio, baseline, direction, penalised)
    there = reward(baseline * ratio * unit, baseline * unit, direction, penalised)
    assert here == pytest.approx(there)


@given(POSITIVE, RATIOS, PERCENT, DIRECTIONS)
def test_mirrored_metric_gives_the_same_reward_and_signal(
    baseline: float, ratio: float, penalised: float, direction: Direction
) -> None:
    other = OPPOSITE[direction]
    assert reward(baseline * ratio, baseline, direction, penalised) == pytest.approx(
        reward(1 / (baseline * ratio), 1 / baseline, other, penalised)
    )
    assert learning_signal(baseline * ratio, baseline, direction, 0.05) == pytest.approx(
        learning_signal(baseline / ratio, baseline, other, 0.05)
    )
    assert guardrail_excess(baseline * ratio, baseline, direction, 5) == pytest.approx(
        guardrail_excess(baseline / ratio, baseline, other, 5), abs=1e-6
    )


def test_formula_of_the_design() -> None:
    assert performance(14_000, 10_000, "maximize") == pytest.approx(140)
    assert performance(8, 10, "minimize") == pytest.approx(125)
    assert penalty({"iowait": 12.0, "memory_pressure": 3.0, "cpu_utilization": 99.0}, 5.0) == 20.0
    assert reward(14_000, 10_000, "maximize", 20.0) == pytest.approx(0.5 * 140 + 0.5 * 80)


def test_weights_of_the_plan() -> None:
    spec = RewardSpec(performance_weight=0.8, penalty_weight=0.1)
    assert reward(110, 100, "maximize", 50.0, spec) == pytest.approx(0.8 * 110 + 0.1 * 50)


def test_without_normalisation_the_raw_metric_stands_in_place_of_p() -> None:
    spec = RewardSpec(normalize="none")
    assert reward(14_000, 10_000, "maximize", 20.0, spec) == 0.5 * 14_000 + 0.5 * 80
    assert reward(3.2, 4.0, "minimize", 0.0, spec) == 0.5 * -3.2 + 0.5 * 100
    assert reward(-5.0, 0.0, "maximize", 0.0, spec) == 47.5


def test_penalty_is_at_most_100_and_what_is_not_measured_is_0() -> None:
    assert penalty({"iowait": 80.0, "memory_pressure": 30.0}) == 100.0
    assert penalty({}, 250.0) == 100.0
    assert penalty({}) == 0.0
    assert penalty({"iowait": -3.0, "memory_pressure": 2.0}) == 2.0


@given(POSITIVE, st.floats(0.5, 50), st.floats(1, 2), PERCENT, DIRECTIONS)
def test_worse_guardrail_never_raises_the_reward(
    baseline: float, worse: float, further: float, tolerance: float, direction: Direction
) -> None:
    near, far = (_after_breach(baseline, times, direction, tolerance) for times in (worse, worse * further))
    assert far <= near <= 100


@given(POSITIVE, st.floats(1.2, 1.5), st.floats(1.01, 1.2), st.floats(0, 10), DIRECTIONS)
def test_breach_lowers_the_reward_with_every_further_step(
    baseline: float, worse: float, further: float, tolerance: float, direction: Direction
) -> None:
    near, far = (_after_breach(baseline, times, direction, tolerance) for times in (worse, worse * further))
    assert far < near < 100


def _after_breach(baseline: float, times_worse: float, direction: Direction, tolerance: float) -> float:
    value = baseline / times_worse if direction == "maximize" else baseline * times_worse
    return reward(1, 1, "maximize", penalty({}, guardrail_excess(value, baseline, direction, tolerance)))


def test_guardrail_within_its_tolerance_costs_nothing() -> None:
    assert guardrail_excess(105, 100, "minimize", 5.1) == 0.0
    assert guardrail_excess(50, 100, "minimize", 0) == 0.0
    assert guardrail_excess(120, 100, "minimize", 5) == pytest.approx(15)
    assert guardrail_excess(100 / 1.2, 100, "maximize", 5) == pytest.approx(15)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("score", [0.0, -5.0])
def test_score_of_zero_is_the_worst_in_both_directions(score: float, direction: Direction) -> None:
    assert performance(score, 10, direction) == pytest.approx(100 / LARGEST_RATIO)
    assert learning_signal(score, 10, direction, 0.05) == -5


@pytest.mark.parametrize(("score", "direction"), [(1e300, "maximize"), (1e-300, "minimize")])
def test_absurd_score_stays_finite(score: float, direction: Direction) -> None:
    assert performance(score, 10, direction) == pytest.approx(100 * LARGEST_RATIO)
    assert performance(score, 10, OPPOSITE[direction]) == pytest.approx(100 / LARGEST_RATIO)


@pytest.mark.parametrize("baseline", [0.0, -1.0, math.nan, math.inf])
def test_baseline_that_nothing_can_be_compared_with(baseline: float) -> None:
    with pytest.raises(ValueError, match="cannot be compared with"):
        log_gain(1.0, baseline, "maximize")


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_score_that_is_no_measurement(score: float) -> None:
    with pytest.raises(ValueError, match="is no measurement"):
        reward(score, 1.0, "maximize", 0.0)


def test_signal_is_the_gain_in_units_of_noise() -> None:
    assert learning_signal(math.exp(0.1), 1.0, "maximize", 0.05) == pytest.approx(2)
    assert learning_signal(math.exp(0.1), 1.0, "minimize", 0.05) == pytest.approx(-2)
    assert learning_signal(math.exp(0.04), 1.0, "maximize", 0.0) == pytest.approx(2), "noise below 2 % is not believed"
    assert learning_signal(9.0, 1.0, "maximize", 0.05) == 5
    assert learning_signal(1.0, 9.0, "maximize", 0.05) == -5


def test_signal_counts_a_breach_twice() -> None:
    breach = 100 * math.expm1(0.05)
    assert learning_signal(math.exp(0.1), 1.0, "maximize", 0.05, breach) == pytest.approx(0, abs=1e-9)


@given(
    st.lists(POSITIVE, max_size=6), POSITIVE, DIRECTIONS, st.sampled_from([RewardSpec(), RewardSpec(normalize="none")])
)
def test_failed_trial_is_worse_than_every_measured_one_and_finite(
    scores: list[float], baseline: float, direction: Direction, spec: RewardSpec
) -> None:
    assume(all(baseline / 1e5 < score < baseline * 1e5 for score in scores))
    failed = failed_reward(scores, baseline, direction, spec)
    assert math.isfinite(failed)
    assert all(failed < reward(score, baseline, direction, 100.0, spec) for score in (*scores, baseline))


def test_failed_score_is_twice_as_bad_as_the_worst() -> None:
    assert failed_score([80, 120], 100, "maximize") == 40
    assert failed_score([80, 120], 100, "minimize") == 240
    assert failed_score([], 100, "maximize") == 50
    assert failed_score([-4, 2], 1, "maximize") == -6
    assert failed_score([0.0], 1, "maximize") == -1
    assert failed_score([], 0.0, "minimize") == 1
