"""Pairs in, the end of the verification and its judgement out."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl import stats
from knobctl.errors import UsageError
from knobctl.events import PairMeasured
from knobctl.measure import Verdict, Verification, order
from knobctl.safety.safe_plan import Guardrail
from knobctl.workload.base import MetricSpec

TPS = MetricSpec("transactions_per_second", "1/s", "maximize")
LATENCY = MetricSpec("latency_average", "ms", "minimize")
ERRORS = MetricSpec("failed_transactions", "", "minimize")


def play(verification: Verification, effect: float, noise: float, seed: int) -> Verification:
    generator = random.Random(seed)
    while not verification.stop:
        verification.add(
            1000.0 * math.exp(generator.gauss(0, noise)), 1000.0 * math.exp(effect + generator.gauss(0, noise))
        )
    return verification


@given(st.integers(min_value=0, max_value=41), st.integers())
def test_the_order_is_balanced_and_repeatable(pairs: int, seed: int) -> None:
    drawn = order(pairs, seed)
    assert drawn == order(pairs, seed)
    assert len(drawn) == pairs
    assert all(set(pair) == {"default", "candidate"} for pair in drawn)
    for number in range(0, pairs - 1, 2):
        assert drawn[number] == drawn[number + 1][::-1], "a block is ABBA or BAAB"


def test_both_kinds_of_blocks_are_drawn() -> None:
    assert {order(2, seed)[0][0] for seed in range(20)} == {"default", "candidate"}


def test_a_large_effect_is_proven_early() -> None:
    verification = play(Verification(TPS, pairs=12), math.log(1.5), 0.01, seed=1)
    assert verification.stop == "proven"
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.IMPROVED
    assert judgement.pairs == 5
    assert judgement.percent == pytest.approx(50, abs=3)
    assert judgement.low_percent is not None and judgement.high_percent is not None
    assert 0 < judgement.low_percent < 50 < judgement.high_percent
    assert judgement.default_score == pytest.approx(1000, rel=0.02)
    assert judgement.candidate_score == pytest.approx(1500, rel=0.02)
    assert judgement.reason.startswith("after 5 pairs the effect is between +")


def test_less_is_better_for_a_latency() -> None:
    verification = Verification(LATENCY, pairs=5)
    for factor in (1.0, 1.01, 0.99, 1.0, 1.02):
        verification.add(10.0, 5.0 * factor)
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.IMPROVED
    assert judgement.percent == pytest.approx(100, abs=2)


def test_a_harmful_candidate_is_worse() -> None:
    judgement = play(Verification(TPS, pairs=12), math.log(0.7), 0.01, seed=1).judgement()
    assert judgement.verdict is Verdict.WORSE
    assert judgement.percent == pytest.approx(-30, abs=2)


def test_nothing_to_find_ends_as_no_change_when_the_margin_is_what_the_pairs_can_prove() -> None:
    noise = 0.01
    margin = stats.percent(stats.smallest_effect(8, noise))
    verdicts = Counter(
        play(Verification(TPS, pairs=8, margin_percent=margin), 0.0, noise, seed).judgement().verdict
        for seed in range(400)
    )
    assert verdicts[Verdict.IMPROVED] + verdicts[Verdict.WORSE] <= 0.05 * 400
    assert verdicts[Verdict.NO_CHANGE] > 0.6 * 400


def test_an_effect_of_the_promised_size_is_found_with_early_stopping_too() -> None:
    effect = stats.smallest_effect(8, 0.02)
    found = sum(
        play(Verification(TPS, pairs=8), effect, 0.02, seed).judgement().verdict is Verdict.IMPROVED
        for seed in range(400)
    )
    assert found > 0.75 * 400


def test_hopeless_noise_stops_early_and_says_what_it_would_take() -> None:
    verification = Verification(TPS, pairs=8)
    for score in (1100.0, 900.0, 1150.0, 980.0):
        assert verification.stop == ""
        verification.add(1000.0, score)
    assert verification.stop == "8 pairs cannot prove an effect of this size at this noise"
    verification.add(1000.0, 1020.0)
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "the effect is between -" in judgement.reason


def test_inconclusive_names_the_pairs_that_would_prove_the_estimate() -> None:
    verification = Verification(TPS, pairs=6)
    for score in (1100.0, 1010.0, 1080.0, 1030.0, 1060.0, 1000.0):
        verification.add(1000.0, score)
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "if the estimate of +4.6 % is right, about " in judgement.reason
    assert judgement.reason.endswith(" pairs prove it")


def test_a_gain_that_does_not_matter_is_ruled_out() -> None:
    verification = Verification(TPS, pairs=20)
    for score in (1000.1, 999.9, 1000.2, 999.8):
        verification.add(1000.0, score)
    assert verification.stop == "", "four pairs have no bounds"
    verification.add(1000.0, 1000.0)
    assert verification.stop == "a gain above 1.0 % is ruled out"
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.NO_CHANGE
    assert judgement.reason.endswith("a gain above 1.0 % is ruled out")


def test_identical_scores_are_no_change() -> None:
    verification = play(Verification(TPS, pairs=20), 0.0, 0.0, seed=0)
    assert verification.judgement().verdict is Verdict.NO_CHANGE
    assert verification.judgement().pairs == 5


@pytest.mark.parametrize(
    "candidate", [[11.0], [11.0] * 7 + [12.0], [11.0, 11.0, 12.0]], ids=["always", "but for one", "two in three"]
)
def test_whole_seconds_prove_no_effect_below_a_second(candidate: list[float]) -> None:
    """The truth is 11.53 against 11.47 seconds: half a percent, and printed as 12 and 11."""
    test = Verification(MetricSpec("elapsed", "s", "minimize"), pairs=8)
    for number in range(8):
        assert test.stop in ("", "8 pairs cannot prove an effect of this size at this noise")
        test.add(12.0, candidate[number % len(candidate)])
    judgement = test.judgement()
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.low_percent is not None and judgement.low_percent < 0.52
    assert judgement.high_percent is not None and judgement.high_percent > 0.52


def test_what_the_digits_leave_open_is_said_with_what_helps() -> None:
    test = Verification(MetricSpec("elapsed", "s", "minimize"), pairs=8)
    for _ in range(8):
        assert test.stop == ""
        test.add(12.0, 11.0)
    assert test.stop == "all pairs are measured"
    assert test.judgement().reason == (
        "could not tell: after 8 pairs the effect is between -0.2 % and +19.3 %, which is what the printed digits "
        "leave open: let the benchmark print more of them"
    )


@pytest.mark.parametrize(
    ("default", "candidate"), [(12.0, 6.0), (1234.5678, 1200.1234), (1000.0, 990.0), (math.pi, math.pi / 1.02)]
)
def test_scores_that_repeat_exactly_prove_what_is_more_than_a_digit(default: float, candidate: float) -> None:
    test = Verification(MetricSpec("elapsed", "s", "minimize"), pairs=8)
    while not test.stop:
        test.add(default, candidate)
    judgement = test.judgement()
    assert (judgement.verdict, judgement.pairs) == (Verdict.IMPROVED, 5)


@pytest.mark.parametrize("pairs", [0, 1])
def test_one_pair_proves_nothing(pairs: int) -> None:
    verification = Verification(TPS)
    for _ in range(pairs):
        verification.add(100.0, 900.0)
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reason == f"{pairs} pair{'' if pairs == 1 else 's'} cannot prove anything"


def test_two_pairs_have_no_bounds() -> None:
    verification = Verification(TPS)
    verification.add(100.0, 900.0)
    verification.add(100.0, 901.0)
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reason == "after 2 pairs the interval has no bounds yet, so nothing is proven"
    assert (judgement.low_percent, judgement.high_percent) == (None, None)


@pytest.mark.parametrize("score", [0.0, -5.0, math.nan, math.inf])
def test_a_score_without_a_ratio_is_inconclusive(score: float) -> None:
    verification = Verification(TPS)
    for _ in range(6):
        assert verification.add(100.0, 150.0) is not None
    assert verification.add(100.0, score) is None
    assert verification.stop == "a score is not a positive number"
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.percent is None
    assert judgement.reason == "a score is not a positive number, so there is no ratio to compare"


def test_a_candidate_that_fails_is_never_an_improvement() -> None:
    verification = Verification(TPS, pairs=12)
    for score in (150.0, 151.0, 149.0, 150.5, 150.0, 150.2):
        verification.add(100.0, score)
    assert verification.judgement().verdict is Verdict.IMPROVED
    assert verification.add(100.0, None) is None
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reason == "1 run of the candidate failed in the verification, no run of the default"
    verification.add(100.0, None)
    assert verification.stop == "2 runs of the candidate failed"


def test_failed_pairs_use_up_the_pairs() -> None:
    verification = Verification(TPS, pairs=3)
    verification.add(100.0, 150.0)
    verification.add(None, 150.0)
    assert verification.stop == ""
    event = verification.add(100.0, 150.0)
    assert event is not None and event.pair == 3
    assert verification.stop == "all pairs are measured"


def test_events_carry_the_interval() -> None:
    verification = Verification(TPS, pairs=6)
    first = verification.add(100.0, 120.0)
    assert first == PairMeasured(1, 6, 100.0, 120.0, pytest.approx(20.0), None, None)
    for score in (121.0, 119.0, 120.0):
        verification.add(100.0, score)
    fifth = verification.add(100.0, 122.0)
    assert fifth is not None and fifth.low_percent is not None and fifth.high_percent is not None
    assert 0 < fifth.low_percent < 20.4 < fifth.high_percent


def guarded(metric: MetricSpec, default: float, candidates: list[float], tolerance: float = 5.0) -> Verification:
    verification = Verification(TPS, [Guardrail(metric, tolerance)], pairs=len(candidates))
    for number, value in enumerate(candidates):
        verification.add(
            100.0,
            150.0 + number % 2,
            default_metrics={metric.name: default},
            candidate_metrics={metric.name: value},
        )
    return verification


def test_a_guardrail_inside_its_tolerance_is_held() -> None:
    judgement = guarded(LATENCY, 10.0, [10.3, 10.2, 10.4, 10.3, 10.3, 10.2]).judgement()
    assert judgement.verdict is Verdict.IMPROVED
    assert judgement.guardrails[0].outcome == "held"
    assert judgement.guardrails[0].percent == pytest.approx(-2.8, abs=0.1)


def test_a_guardrail_that_is_proven_worse_beyond_its_tolerance_makes_the_candidate_worse() -> None:
    judgement = guarded(LATENCY, 10.0, [12.5, 12.4, 12.6, 12.5, 12.5, 12.5]).judgement()
    assert judgement.verdict is Verdict.WORSE
    assert judgement.guardrails[0].outcome == "violated"
    assert judgement.reason == "latency_average is 25.0 % worse (tolerated: 5 %, interval -26.4 to -23.6 %)"
    assert judgement.percent == pytest.approx(50.5, abs=0.5), "the objective itself got better"


def test_a_guardrail_that_cannot_be_told_is_noted() -> None:
    judgement = guarded(LATENCY, 10.0, [15.0, 9.0, 14.0, 8.0, 13.0, 9.5]).judgement()
    assert judgement.verdict is Verdict.IMPROVED
    assert judgement.guardrails[0].outcome == "unclear"
    assert judgement.reason.endswith(" %), but that is not proven")
    assert "% worse (tolerated: 5 %, interval -" in judgement.reason


def test_a_guardrail_that_seems_held_but_may_not_be_is_noted_with_its_interval() -> None:
    judgement = guarded(LATENCY, 10.0, [11.0, 9.5, 10.8, 9.4, 10.9, 9.6]).judgement()
    assert judgement.verdict is Verdict.IMPROVED
    (guardrail,) = judgement.guardrails
    assert guardrail.outcome == "unclear"
    assert guardrail.low_percent is not None and guardrail.high_percent is not None
    assert guardrail.low_percent < -5.0 < (guardrail.percent or 0.0) < guardrail.high_percent
    assert "that it is not more than 5 % worse is likely, and not proven" in judgement.reason


def test_an_open_guardrail_keeps_the_verification_going() -> None:
    verification = Verification(TPS, [Guardrail(LATENCY, 5.0)], pairs=12)
    for latency in (15.0, 9.0, 14.0, 8.0, 13.0, 9.5):
        verification.add(100.0, 150.0, default_metrics={LATENCY.name: 10.0}, candidate_metrics={LATENCY.name: latency})
    assert verification.stop == ""


def test_a_guardrail_that_is_never_printed_is_noted_and_does_not_keep_the_verification_going() -> None:
    verification = Verification(TPS, [Guardrail(LATENCY, 5.0)], pairs=12)
    for _ in range(5):
        verification.add(100.0, 150.0)
    assert verification.stop == "proven"
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.IMPROVED
    assert "latency_average was not printed in at least two pairs" in judgement.reason


def test_errors_that_appear_from_nothing_violate_a_guardrail() -> None:
    judgement = guarded(ERRORS, 0.0, [30.0, 28.0, 31.0, 33.0, 29.0, 30.0]).judgement()
    assert judgement.guardrails[0].outcome == "violated"
    assert judgement.verdict is Verdict.WORSE


def test_no_errors_on_either_side_hold_a_guardrail() -> None:
    judgement = guarded(ERRORS, 0.0, [0.0] * 6).judgement()
    assert judgement.guardrails[0].outcome == "held"
    assert judgement.verdict is Verdict.IMPROVED


def test_errors_that_vanish_hold_a_guardrail() -> None:
    judgement = guarded(ERRORS, 20.0, [0.0, 1.0, 0.0, 0.0, 2.0, 0.0]).judgement()
    assert judgement.guardrails[0].outcome == "held"
    assert judgement.guardrails[0].percent == pytest.approx(97.5)


def test_not_knowing_is_told_apart_from_no_effect_with_the_minutes_that_would_settle_it() -> None:
    verification = Verification(TPS, pairs=6, margin_percent=1.0, pair_seconds=62.0)
    for score in (104.0, 101.0, 106.0, 102.0, 107.0, 103.0):
        verification.add(100.0, score)
    judgement = verification.judgement()
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reason.startswith("could not tell: after 6 pairs the effect is between -")
    assert judgement.reason.endswith("about 9 pairs prove it, which is 3 more minutes")


def test_impossible_settings_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="a verification of 0 pairs is none"):
        Verification(TPS, pairs=0)
    with pytest.raises(UsageError, match=r"a margin of -1\.0 % is not possible"):
        Verification(TPS, margin_percent=-1.0)
