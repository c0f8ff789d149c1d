"""Scores of a smaller change and of the whole one in, whether the smaller one loses something that matters out.

Wald's sequential probability ratio test (Wald, "Sequential Tests of Statistical Hypotheses", 1945) between "it loses
nothing" and "it loses what matters": most comparisons are settled by a few runs of each.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

SURE = math.log(20.0)
"""Log of the odds at which a run-off is over, either way."""

ACCIDENT = 3.0
"""A run counts as no farther from the median of its kind than this many standard deviations."""

LARGE_LOSS = 0.5
"""Part of what the whole change is expected to gain that matters in any case."""


def loss_that_matters(provable_percent: float, expected: float, noise_sd: float) -> float:
    """As log-ratio: what a verification could prove, or :data:`LARGE_LOSS` of what is expected where that is less.

    No less than the noise between two runs, though: of smaller losses a few runs say nothing.

    Args:
        provable_percent: The smallest effect that the verification can prove.
        expected: What the whole change is expected to gain, as log-ratio.
        noise_sd: Upper bound of the standard deviation of the ln score between runs.
    """
    return min(math.log1p(provable_percent / 100.0), max(LARGE_LOSS * expected, noise_sd))


def loses(
    small: Sequence[float], whole: Sequence[float], direction: str, noise_sd: float, margin: float, *, decide: bool
) -> bool | None:
    """Whether the smaller change is worse than the whole one by something that matters.

    Args:
        small: Scores of the smaller change; failed runs are left out.
        whole: Scores of the whole change.
        direction: ``maximize`` or ``minimize``.
        noise_sd: Upper bound of the standard deviation of the ln score between runs, as the preflight knows it; what
            these runs themselves show counts when it is more.
        margin: The loss that matters, of the ln score.
        decide: There will be no more runs: say what is likelier.

    Returns:
        None while more runs are needed. True when no run of the smaller change gave a score, and False when none of
        the whole one did.
    """
    smaller, larger = ([math.log(score) for score in scores if score > 0.0] for scores in (small, whole))
    if not smaller or not larger:
        return not smaller
    smaller, larger = (_without_accidents(logs, noise_sd) for logs in (smaller, larger))
    lost = (statistics.fmean(larger) - statistics.fmean(smaller)) * (1.0 if direction == "maximize" else -1.0)
    noise = max(noise_sd, _spread(smaller, larger))
    variance = noise**2 * (1.0 / len(smaller) + 1.0 / len(larger))
    odds = margin * (lost - margin / 2.0) / max(variance, 1e-12)
    if decide or abs(odds) >= SURE:
        return odds > 0.0
    return None


def _without_accidents(logs: Sequence[float], noise_sd: float) -> list[float]:
    middle = statistics.median(logs)
    return [min(max(value, middle - ACCIDENT * noise_sd), middle + ACCIDENT * noise_sd) for value in logs]


def _spread(*groups: Sequence[float]) -> float:
    """Pooled standard deviation within the groups; 0 while there are too few values for one."""
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in groups if len(group) > 1)
    freedom = sum(len(group) - 1 for group in groups)
    return math.sqrt(squares / freedom) if freedom >= 4 else 0.0
