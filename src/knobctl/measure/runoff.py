"""Scores of a smaller change and of the whole one in, whether the smaller one loses something that matters out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from knobctl.stats import geometric_mean, log_ratio

SMALLEST_LOSS = 0.02
"""A smaller change may always lose this much of the log score: it is easier to understand, and to trust."""


def loses(small: Sequence[float], whole: Sequence[float], direction: str, noise_sd: float) -> bool:
    """Whether the smaller change is worse than the whole one by more than a standard error of the difference.

    Args:
        small: Scores of the smaller change; failed runs are left out.
        whole: Scores of the whole change.
        direction: ``maximize`` or ``minimize``.
        noise_sd: Upper bound of the standard deviation of the ln score between runs.

    Returns:
        True also when no run of the smaller change gave a score, and False when none of the whole one did.
    """
    smaller, larger = geometric_mean(small), geometric_mean(whole)
    if smaller is None or larger is None:
        return smaller is None
    lost = log_ratio(smaller, larger, direction)
    error = noise_sd * math.sqrt(1.0 / len(small) + 1.0 / len(whole))
    return lost is not None and lost > max(error, SMALLEST_LOSS)
