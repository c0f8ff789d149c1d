"""The four verdicts at their borders."""

from __future__ import annotations

import math

import pytest

from knobctl.measure.verdict import GuardrailJudgement, Verdict, decide, finite_percent
from knobctl.stats import Interval

DIFFERENCES = [0.01] * 6


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.5, Verdict.IMPROVED),
        (0.0, 0.005, Verdict.NO_CHANGE),
        (-0.3, 0.0, Verdict.NO_CHANGE),
        (-0.3, math.log1p(0.01), Verdict.NO_CHANGE),
        (-0.001, 0.011, Verdict.INCONCLUSIVE),
        (-0.5, -0.001, Verdict.WORSE),
        (-math.inf, math.inf, Verdict.INCONCLUSIVE),
    ],
)
def test_the_interval_decides(low: float, high: float, verdict: Verdict) -> None:
    assert decide(Interval(0.0, low, high), DIFFERENCES, 1.0)[0] is verdict


def test_what_cannot_be_computed_is_inconclusive() -> None:
    assert decide(None, DIFFERENCES, 1.0) == (
        Verdict.INCONCLUSIVE,
        "a score is not a positive number, so there is no ratio to compare",
    )


def test_a_violated_guardrail_outweighs_a_gain() -> None:
    bad = GuardrailJudgement("latency_p99", 5.0, "violated", -20.0, "latency_p99 is 20.0 % worse (tolerated: 5 %)")
    verdict, reason = decide(Interval(0.2, 0.1, 0.3), DIFFERENCES, 1.0, [bad])
    assert (verdict, reason) == (Verdict.WORSE, bad.reason)


def test_as_many_failures_at_the_default_are_not_held_against_the_candidate() -> None:
    interval = Interval(0.2, 0.1, 0.3)
    assert decide(interval, DIFFERENCES, 1.0, (), 1, 1)[0] is Verdict.IMPROVED
    assert decide(interval, DIFFERENCES, 1.0, (), 2, 1)[0] is Verdict.INCONCLUSIVE


def test_unbounded_percentages_are_none() -> None:
    assert finite_percent(-math.inf) is None
    assert finite_percent(math.inf) is None
    assert finite_percent(1e5) is None
    assert finite_percent(math.log(2)) == pytest.approx(100.0)
