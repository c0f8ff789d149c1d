"""A score and the machine's metrics in, a reward out. Pure functions; every number is in percent of the baseline.

    P       = 100 * exp(s * ln(score / baseline))     s = +1 when higher is better, -1 when lower is
    penalty = iowait + memory pressure + guardrail excess, each in percent, together at most 100
    reward  = 0.5 * P + 0.5 * (100 - penalty)

A quiet machine at the default configuration scores 100. The machine's half is taken as it stands, not as a difference
to the baseline: a workload that waits for its disk scores below 100 at the default too, and a configuration that makes
it wait less is rewarded for it. Nothing here is a headline: gains that people see come from verification alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from knobctl.events import Trial
from knobctl.plan import RewardSpec
from knobctl.workload.base import Direction

LARGEST_RATIO = 1e6
"""Scores further from the baseline than this factor count as this far."""
SMALLEST_NOISE = 0.02
"""Noise below 2 % is not believed: one lucky preflight must not blow up the learner's signal."""
LARGEST_SIGNAL = 5.0
"""The learner's signal is clipped to plus and minus this many units of noise."""
_VIOLATION_WEIGHT = 2.0
_MOST_PENALTY = 100.0


def log_gain(score: float, baseline: float, direction: Direction) -> float:
    """Natural logarithm of how many times better than the baseline a score is; 0 at the baseline.

    Symmetric: halving a latency and doubling a throughput both give ``ln 2``. A score that is zero or negative has no
    ratio to anything; it counts as the worst there is, in both directions, because a benchmark that printed 0 did not
    do its work.

    Raises:
        ValueError: The baseline is not a positive finite number, or the score is not finite.
    """
    if not (math.isfinite(baseline) and baseline > 0):
        raise ValueError(f"a baseline of {baseline} cannot be compared with")
    if not math.isfinite(score):
        raise ValueError(f"a score of {score} is no measurement")
    limit = math.log(LARGEST_RATIO)
    if score <= 0:
        return -limit
    gain = math.log(score) - math.log(baseline)
    return min(max(gain if direction == "maximize" else -gain, -limit), limit)


def performance(score: float, baseline: float, direction: Direction) -> float:
    """P: the score in percent of the baseline, higher always better.

    Raises:
        ValueError: As :func:`log_gain`.
    """
    return 100.0 * math.exp(log_gain(score, baseline, direction))


def guardrail_excess(value: float, baseline: float, direction: Direction, tolerance_percent: float) -> float:
    """Percent by which a guardrail metric is worse than its tolerance allows; 0 while it is kept.

    Worse is meant as a ratio: a latency of 1.2 times the baseline and a throughput of 1/1.2 are both 20 percent worse.

    Raises:
        ValueError: As :func:`log_gain`.
    """
    worse_percent = 100.0 * math.expm1(-log_gain(value, baseline, direction))
    return max(0.0, worse_percent - tolerance_percent)


def penalty(machine: Mapping[str, float], guardrail_excess_percent: float = 0.0) -> float:
    """What speaks against a configuration, in percent, at most 100.

    Args:
        machine: Machine metrics over the run (``target.metrics``); one that the machine does not have counts as 0.
        guardrail_excess_percent: Sum of :func:`guardrail_excess` over the guardrails.
    """
    parts = (machine.get("iowait", 0.0), machine.get("memory_pressure", 0.0), guardrail_excess_percent)
    return min(_MOST_PENALTY, sum(max(0.0, part) for part in parts))


def reward(
    score: float, baseline: float, direction: Direction, penalty_percent: float, spec: RewardSpec | None = None
) -> float:
    """The reward of one trial.

    Args:
        score: The objective.
        baseline: The objective at the default configuration.
        direction: Of the objective.
        penalty_percent: From :func:`penalty`.
        spec: Weights; with ``normalize="none"`` the raw metric stands in place of P, negative when lower is better,
            so that more reward is better in any case.

    Raises:
        ValueError: As :func:`log_gain`; without normalisation the baseline does not matter.
    """
    spec = spec or RewardSpec()
    if spec.normalize == "none":
        gained = score if direction == "maximize" else -score
    else:
        gained = performance(score, baseline, direction)
    return spec.performance_weight * gained + spec.penalty_weight * (100.0 - penalty_percent)


def reward_of_runs(
    runs: Sequence[Trial],
    score: float | None,
    baseline: float | None,
    direction: Direction,
    spec: RewardSpec | None = None,
) -> float | None:
    """The reward of one configuration after all its runs, with the mean penalty of those that did not fail.

    Args:
        runs: Its runs.
        score: What they came to; None when that cannot be computed.
        baseline: The objective at the default configuration, likewise.
        direction: Of the objective.
        spec: As in :func:`reward`.

    Returns:
        The reward, or None without both scores.
    """
    if score is None or baseline is None:
        return None
    penalties = [penalty(run.machine) for run in runs if run.score is not None]
    return reward(score, baseline, direction, sum(penalties) / len(penalties) if penalties else 0.0, spec)


def failed_score(scores: Sequence[float], baseline: float, direction: Direction) -> float:
    """The score that a failed trial is given: finite, and twice as bad as the worst one measured.

    Args:
        scores: Scores of the trials so far that did not fail.
        baseline: The objective at the default configuration, which counts as measured.
        direction: Of the objective.
    """
    measured = (*scores, baseline)
    if direction == "maximize":
        worst = min(measured)
        return worst - (abs(worst) / 2 or 1.0)
    worst = max(measured)
    return worst + (abs(worst) or 1.0)


def failed_reward(
    scores: Sequence[float], baseline: float, direction: Direction, spec: RewardSpec | None = None
) -> float:
    """The reward of a failed trial: that of :func:`failed_score` with the full penalty, so worse than any measured.

    Raises:
        ValueError: As :func:`log_gain`.
    """
    return reward(failed_score(scores, baseline, direction), baseline, direction, _MOST_PENALTY, spec)


def learning_signal(
    score: float, baseline: float, direction: Direction, noise: float, guardrail_excess_percent: float = 0.0
) -> float:
    """What the learner is given: the gain in units of noise, from -5 to 5, the same scale for every workload.

    Args:
        score: The objective.
        baseline: The objective at the default configuration.
        direction: Of the objective.
        noise: Standard deviation of the score between runs, as a share of it (0.05 for 5 %).
        guardrail_excess_percent: Sum of :func:`guardrail_excess`; counts twice as much as a gain.

    Raises:
        ValueError: As :func:`log_gain`.
    """
    violation = math.log1p(max(0.0, guardrail_excess_percent) / 100.0)
    gain = log_gain(score, baseline, direction) - _VIOLATION_WEIGHT * violation
    signal = gain / max(noise, SMALLEST_NOISE)
    return min(max(signal, -LARGEST_SIGNAL), LARGEST_SIGNAL)
