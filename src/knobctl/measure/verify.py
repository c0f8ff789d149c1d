"""Fresh scores of default and candidate in, pair by pair; when to stop and what they prove out.

Baseline and candidate alternate in ABBA blocks whose order is drawn from the seed, so that drift hits both alike. The
unit of evidence is the pair: the log-ratio of two runs next to each other. The interval stays valid when it is looked
at after each pair, which is what makes stopping early honest.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Literal

from knobctl import stats
from knobctl.errors import UsageError
from knobctl.events import PairMeasured
from knobctl.measure.verdict import GuardrailJudgement, Judgement, decide, finite_percent
from knobctl.safety.safe_plan import Guardrail
from knobctl.stats import Interval
from knobctl.workload.base import MetricSpec

Arm = Literal["default", "candidate"]

LEAST_PAIRS = 4
"""No early stop before this many pairs."""

MARGIN_PERCENT = 1.0
"""The smallest gain that counts when the preflight does not say otherwise."""

MOST_FAILURES = 2
"""So many failed runs of one arm end the verification."""

_OPTIMISM = 2.0
"""Standard errors that the mean is allowed to move in our favour before a goal counts as out of reach."""


def order(pairs: int, seed: int) -> list[tuple[Arm, Arm]]:
    """Which arm runs first in each pair.

    Two pairs make a block, ABBA or BAAB by the toss of a coin, so within a block both arms have the same mean time.

    Args:
        pairs: How many pairs; an odd number ends in half a block.
        seed: Same seed, same order.
    """
    coin = random.Random(seed)  # noqa: S311 - reproducible, not secret
    first: list[tuple[Arm, Arm]] = []
    for _ in range(0, pairs, 2):
        block: list[tuple[Arm, Arm]] = [("default", "candidate"), ("candidate", "default")]
        first += block if coin.random() < 0.5 else block[::-1]
    return first[:pairs]


class Verification:
    """The sequential test of one candidate. Feed it with :meth:`add` until :attr:`stop` says why to end."""

    def __init__(
        self,
        objective: MetricSpec,
        guardrails: Sequence[Guardrail] = (),
        *,
        pairs: int = 8,
        margin_percent: float = MARGIN_PERCENT,
        pair_seconds: float = 0.0,
    ) -> None:
        """Starts without a pair.

        Args:
            objective: What the scores are, with its direction.
            guardrails: Metrics that must not get worse.
            pairs: Most pairs that are measured, failed ones included.
            margin_percent: The smallest gain that counts; the preflight's ``smallest_percent`` is a good one.
            pair_seconds: What one pair takes, for saying how long a proof would take; 0 when unknown.

        Raises:
            UsageError: Fewer than one pair, or a negative margin.
        """
        if pairs < 1:
            raise UsageError(f"a verification of {pairs} pairs is none", "Ask for 5 pairs or more.")
        if not margin_percent >= 0:
            raise UsageError(f"a margin of {margin_percent} % is not possible", "Give 0 or more.")
        self.objective = objective
        self.guardrails = tuple(guardrails)
        self.pairs = pairs
        self.margin_percent = margin_percent
        self._pair_seconds = pair_seconds
        self._scores: list[tuple[float, float]] = []
        self._metrics: list[tuple[Mapping[str, float], Mapping[str, float]]] = []
        self._failures: dict[Arm, int] = {"default": 0, "candidate": 0}
        self._attempts = 0
        self._unit = 1.0

    def add(
        self,
        default_score: float | None,
        candidate_score: float | None,
        *,
        default_metrics: Mapping[str, float] | None = None,
        candidate_metrics: Mapping[str, float] | None = None,
    ) -> PairMeasured | None:
        """Takes one pair and looks at the interval.

        Args:
            default_score: The default's run; None when it failed.
            candidate_score: The candidate's run; None when it failed.
            default_metrics: Everything that the default's run printed, for the guardrails.
            candidate_metrics: Everything that the candidate's run printed, for the guardrails.

        Returns:
            The event to emit, or None when a run failed or the pair has no ratio.
        """
        self._attempts += 1
        self._failures["default"] += default_score is None
        self._failures["candidate"] += candidate_score is None
        if default_score is None or candidate_score is None:
            return None
        self._scores.append((default_score, candidate_score))
        self._unit = min(self._unit, stats.last_digit(default_score), stats.last_digit(candidate_score))
        self._metrics.append((default_metrics or {}, candidate_metrics or {}))
        ratio = self.differences[-1]
        if math.isnan(ratio):
            return None
        interval = self.interval
        return PairMeasured(
            pair=self._attempts,
            of=self.pairs,
            default_score=default_score,
            candidate_score=candidate_score,
            percent=stats.percent(ratio),
            low_percent=finite_percent(interval.low) if interval else None,
            high_percent=finite_percent(interval.high) if interval else None,
        )

    @property
    def differences(self) -> list[float]:
        """The log-ratio of each pair, positive is better; not a number where a score is not positive."""
        direction = self.objective.direction
        ratios = [stats.log_ratio(default, candidate, direction) for default, candidate in self._scores]
        return [math.nan if ratio is None else ratio for ratio in ratios]

    @property
    def interval(self) -> Interval | None:
        """The anytime-valid interval of the mean log-ratio, or None when it cannot be computed.

        It is never narrower than what the digits leave open with which the scores were printed.
        """
        differences = self.differences
        if any(math.isnan(ratio) for ratio in differences):
            return None
        return stats.confidence_sequence(differences, rounded=self._rounding)

    @property
    def _rounding(self) -> float:
        """How far rounding may have moved the mean log-ratio; all scores are positive."""
        return stats.mean([stats.rounding(*scores, self._unit) for scores in self._scores]) or 0.0

    @property
    def stop(self) -> str:
        """Why no further pair is needed, for people; empty while the next pair should be measured."""
        if self._attempts >= self.pairs:
            return "all pairs are measured"
        for arm, failures in self._failures.items():
            if failures >= MOST_FAILURES:
                return f"{failures} runs of the {arm} failed"
        differences = self.differences
        if any(math.isnan(ratio) for ratio in differences):
            return "a score is not a positive number"
        interval = self.interval
        if len(differences) < LEAST_PAIRS or interval is None:
            return ""
        judged = [self._judge(guardrail) for guardrail in self.guardrails]
        if any(guardrail.outcome == "violated" for guardrail in judged):
            return "a guardrail is violated"
        if interval.excludes_zero:
            open_question = any(_seems_violated(one) for one in judged)
            return "" if interval.low > 0 and open_question else "proven"
        if interval.high <= stats.log_effect(self.margin_percent):
            return f"a gain above {self.margin_percent:.1f} % is ruled out"
        return self._futile(differences, interval)

    def _futile(self, differences: Sequence[float], interval: Interval) -> str:
        """Neither a proof nor "no change" is in reach of the pairs that are left, even when they are kind."""
        spread = stats.sd(differences)
        if spread is None:
            return ""
        half = spread / math.sqrt(self.pairs) * stats.critical_t(self.pairs)
        slack = _OPTIMISM * spread / math.sqrt(len(differences))
        if abs(interval.estimate) + slack > half:
            return ""
        if interval.estimate - slack + half <= stats.log_effect(self.margin_percent):
            return ""
        return f"{self.pairs} pairs cannot prove an effect of this size at this noise"

    def judgement(self) -> Judgement:
        """What the pairs so far prove."""
        differences, interval = self.differences, self.interval
        judged = tuple(self._judge(guardrail) for guardrail in self.guardrails)
        verdict, reason = decide(
            interval,
            differences,
            self.margin_percent,
            judged,
            candidate_failures=self._failures["candidate"],
            default_failures=self._failures["default"],
            pair_seconds=self._pair_seconds,
            rounded=self._rounding if interval else 0.0,
        )
        return Judgement(
            verdict=verdict,
            percent=finite_percent(interval.estimate) if interval else None,
            low_percent=finite_percent(interval.low) if interval else None,
            high_percent=finite_percent(interval.high) if interval else None,
            pairs=len(differences),
            default_score=stats.geometric_mean([default for default, _ in self._scores]),
            candidate_score=stats.geometric_mean([candidate for _, candidate in self._scores]),
            guardrails=judged,
            reason=reason,
        )

    def _judge(self, guardrail: Guardrail) -> GuardrailJudgement:
        name, tolerance = guardrail.metric.name, guardrail.tolerance_percent
        change, interval, ratios = self._change(guardrail.metric)
        if change is None or interval is None:
            reason = f"{name} was not printed in at least two pairs, so the guardrail could not be judged"
            return GuardrailJudgement(name, tolerance, "unclear", None, reason)
        sign = 1.0 if guardrail.metric.direction == "maximize" else -1.0
        low, high = (_change_percent(end, sign) if ratios else None for end in (interval.low, interval.high))
        between = "" if low is None or high is None else f", interval {low:+.1f} to {high:+.1f} %"
        worse = f"{name} is {-change:.1f} % worse (tolerated: {tolerance:g} %{between})"
        outcome, reason = "unclear", f"{worse}, but that is not proven"
        if -change > tolerance and interval.high < 0:
            outcome, reason = "violated", worse
        elif -change <= tolerance:
            reason = f"{name} is {abs(change):.1f} % {'better' if change >= 0 else 'worse'}{between}"
            outcome = "held"
            if ratios and (low is None or -low > tolerance):
                outcome = "unclear"
                reason += f": that it is not more than {tolerance:g} % worse is likely, and not proven"
        return GuardrailJudgement(name, tolerance, outcome, change, reason, low, high)

    def _change(self, metric: MetricSpec) -> tuple[float | None, Interval | None, bool]:
        """Change of a metric in percent of the default, positive is better, and the interval that proves its sign.

        Of log-ratios where all values are positive, which the last item says; of plain differences otherwise, because
        a count of errors may be 0.
        """
        sign = 1.0 if metric.direction == "maximize" else -1.0
        values = [
            (default[metric.name], candidate[metric.name])
            for default, candidate in self._metrics
            if metric.name in default and metric.name in candidate
        ]
        ratios = [stats.log_ratio(default, candidate, metric.direction) for default, candidate in values]
        known = [ratio for ratio in ratios if ratio is not None]
        if len(known) == len(values):
            interval = stats.confidence_sequence(known)
            return (_change_percent(interval.estimate, sign) if interval else None), interval, True
        interval = stats.confidence_sequence([sign * (candidate - default) for default, candidate in values])
        usual = stats.mean([abs(default) for default, _ in values])
        if interval is None or usual is None:
            return None, None, False
        if interval.estimate == 0.0:
            return 0.0, interval, False
        # From nothing to something has no percentage; one hundred is beyond every tolerance but the widest.
        relative = interval.estimate / usual if usual > 0 else math.copysign(1.0, interval.estimate)
        return 100.0 * relative, interval, False


def _change_percent(log_ratio: float, sign: float) -> float | None:
    """Change of the metric itself in percent of the default, positive is better: a latency that doubles is -100."""
    change = finite_percent(sign * log_ratio)
    return None if change is None else sign * change


def _seems_violated(guardrail: GuardrailJudgement) -> bool:
    """Its estimate is beyond the tolerance, and more pairs may prove or refute that."""
    beyond = guardrail.percent is not None and -guardrail.percent > guardrail.tolerance_percent
    return beyond and guardrail.outcome == "unclear"
