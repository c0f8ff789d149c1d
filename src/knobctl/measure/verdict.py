"""Intervals of fresh pairs in, one of four verdicts with its reason in words out.

Only what the verification measured can become a verdict: nothing here ever sees a score of the search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from knobctl import stats
from knobctl.stats import Interval

MOST_PAIRS = 200
"""More pairs than this are not worth suggesting."""

_ALL = 1.0 + 1e-9
"""All of a width, but for the last bits of a float."""


class Verdict(StrEnum):
    """What the fresh pairs prove about the candidate."""

    IMPROVED = "IMPROVED"
    NO_CHANGE = "NO_CHANGE"
    WORSE = "WORSE"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class GuardrailJudgement:
    """What the pairs say about a metric that must not get worse.

    Attributes:
        metric: Its canonical name.
        tolerance_percent: How much worse it may be.
        outcome: ``held`` (its whole interval is inside the tolerance), ``violated`` (its estimate is beyond it, and the
            interval excludes "no change") or ``unclear`` (neither is proven, or it cannot be computed).
        percent: Estimated change, positive is better; None when it cannot be computed.
        reason: The same in words.
        low_percent: Lower end of its own interval; None while that is unbounded, or for counts that may be 0.
        high_percent: Upper end.
    """

    metric: str
    tolerance_percent: float
    outcome: str
    percent: float | None
    reason: str
    low_percent: float | None = None
    high_percent: float | None = None


@dataclass(frozen=True)
class Judgement:
    """The result of a verification.

    Attributes:
        verdict: One of four.
        percent: Estimated effect of the candidate, positive is better: ``100 * (exp(mean log-ratio) - 1)``, so a
            latency that is halved reads +100. None when it cannot be computed.
        low_percent: Lower end of the interval; None while it is unbounded.
        high_percent: Upper end of the interval; None while it is unbounded.
        pairs: Pairs in which both runs gave a score.
        default_score: Geometric mean of the default's runs; None when it cannot be computed.
        candidate_score: Geometric mean of the candidate's runs; None when it cannot be computed.
        guardrails: One entry per guardrail.
        reason: Why it is this verdict, for people.
    """

    verdict: Verdict
    percent: float | None
    low_percent: float | None
    high_percent: float | None
    pairs: int
    default_score: float | None
    candidate_score: float | None
    guardrails: tuple[GuardrailJudgement, ...]
    reason: str


def finite_percent(log_ratio: float) -> float | None:
    """A log-ratio in percent, or None when it is unbounded."""
    value = stats.percent(log_ratio) if math.isfinite(log_ratio) else math.inf
    return value if math.isfinite(value) else None


def decide(
    interval: Interval | None,
    differences: Sequence[float],
    margin_percent: float,
    guardrails: Sequence[GuardrailJudgement] = (),
    candidate_failures: int = 0,
    default_failures: int = 0,
    pair_seconds: float = 0.0,
    rounded: float = 0.0,
) -> tuple[Verdict, str]:
    """The verdict and its reason.

    Args:
        interval: Of the mean log-ratio (positive is better), or None when it cannot be computed.
        differences: The log-ratios themselves.
        margin_percent: The smallest gain that counts. When the interval rules a larger one out, the verdict is
            ``NO_CHANGE``.
        guardrails: What was found about the other metrics. A violated one makes the candidate ``WORSE``.
        candidate_failures: Runs of the candidate without a score.
        default_failures: Runs of the default without a score.
        pair_seconds: What one more pair would take; 0 when unknown.
        rounded: How far rounding may have moved the mean log-ratio.
    """
    pairs = len(differences)
    if candidate_failures > default_failures:
        return Verdict.INCONCLUSIVE, (
            f"{_runs(candidate_failures)} of the candidate failed in the verification, "
            f"{_runs(default_failures)} of the default"
        )
    if pairs < 2:
        return Verdict.INCONCLUSIVE, f"{_pairs(pairs)} cannot prove anything"
    if interval is None:
        return Verdict.INCONCLUSIVE, "a score is not a positive number, so there is no ratio to compare"
    violated = [guardrail.reason for guardrail in guardrails if guardrail.outcome == "violated"]
    if violated:
        return Verdict.WORSE, "; ".join(violated)
    after = f"after {_pairs(pairs)}"
    if not interval.bounded:
        return Verdict.INCONCLUSIVE, f"{after} the interval has no bounds yet, so nothing is proven"
    between = f"between {_signed(stats.percent(interval.low))} and {_signed(stats.percent(interval.high))}"
    if interval.high < 0:
        return Verdict.WORSE, f"{after} the effect of the candidate is {between}"
    if interval.low > 0:
        unclear = [guardrail.reason for guardrail in guardrails if guardrail.outcome == "unclear"]
        return Verdict.IMPROVED, "; ".join([f"{after} the effect is {between}", *unclear])
    if interval.high <= stats.log_effect(margin_percent):
        return Verdict.NO_CHANGE, f"{after} the effect is {between}: a gain above {margin_percent:.1f} % is ruled out"
    what_helps = _more(interval, differences, pair_seconds)
    if interval.high - interval.estimate <= rounded * _ALL:
        what_helps = ", which is what the printed digits leave open: let the benchmark print more of them"
    return Verdict.INCONCLUSIVE, f"could not tell: {after} the effect is {between}{what_helps}"


def _more(interval: Interval, differences: Sequence[float], pair_seconds: float) -> str:
    spread = stats.sd(differences)
    if spread is None or interval.estimate <= 0:
        return ""
    needed = stats.pairs_needed(interval.estimate, spread / math.sqrt(2.0), MOST_PAIRS)
    if needed is None or needed <= len(differences):
        return ""
    minutes = (needed - len(differences)) * pair_seconds / 60.0
    would = f", which is {minutes:.0f} more minutes" if minutes >= 1.0 else ""
    right = f"if the estimate of {_signed(stats.percent(interval.estimate))} is right"
    return f"; {right}, about {needed} pairs prove it{would}"


def _signed(percent: float) -> str:
    return f"{percent:+.1f} %"


def _pairs(count: int) -> str:
    return f"{count} pair" if count == 1 else f"{count} pairs"


def _runs(count: int) -> str:
    return {0: "no run", 1: "1 run"}.get(count, f"{count} runs")
