"""Noise in, how to spend the time on it out: how long a run should be, and how many pairs the verification needs.

Where a run's own seconds are what makes it noisy, longer runs help; where the noise lies between runs, only more of
them do.
"""

from __future__ import annotations

from knobctl import stats

WORTHWHILE_PERCENT = 3.0
"""Effects from here on should be provable, when the noise lets them: kernel knobs often gain 3 to 10 percent."""

FEWEST_PAIRS, MOST_PAIRS = 8, 20
"""Fewer pairs have wide intervals even on a quiet machine; more take longer than most people wait."""

WITHIN_PERCENT = 2.5
"""A run whose own seconds leave its mean less certain than this is too short."""

SETTLING_SHARE = 0.25
"""No more of a run than this should pass before it has settled."""

LONGER_TIMES = 4.0
LONGEST_SECONDS = 120.0
"""Runs are made at most so many times longer, and never longer than this."""

_WORTH_CHANGING = 1.25


def pairs_for(noise_sd: float, most: int = MOST_PAIRS) -> int:
    """Pairs that prove :data:`WORTHWHILE_PERCENT`, between :data:`FEWEST_PAIRS` and ``most``.

    Args:
        noise_sd: Standard deviation of the ln score between runs; an upper bound for it is the better choice.
        most: More are not affordable.
    """
    needed = stats.pairs_needed(stats.log_effect(WORTHWHILE_PERCENT), noise_sd, most)
    return min(max(needed or most, FEWEST_PAIRS), most)


def better_length(run_seconds: float, within_sd: float | None, settling_seconds: float | None) -> float:
    """Whole seconds that a run should take: its present length unless a longer one is clearly better.

    Args:
        run_seconds: Present length.
        within_sd: Relative standard error of a run's mean, from its progress lines; None when unknown.
        settling_seconds: Until a run has settled; None when unknown.
    """
    times = 1.0
    if within_sd is not None:
        times = max(times, (within_sd / stats.log_effect(WITHIN_PERCENT)) ** 2)
    if settling_seconds is not None:
        times = max(times, settling_seconds / (SETTLING_SHARE * run_seconds))
    if times < _WORTH_CHANGING:
        return run_seconds
    longest = max(LONGEST_SECONDS, run_seconds)
    return float(round(min(run_seconds * min(times, LONGER_TIMES), longest)))
