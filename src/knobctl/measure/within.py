"""The progress lines of runs in, what happens inside a run out: its own noise, and how long it takes to settle."""

from __future__ import annotations

import math
from collections.abc import Sequence

from knobctl import stats
from knobctl.events import Trial

LEAST_SAMPLES = 8
"""Fewer progress lines say nothing about how a run settles."""

SETTLED_SD = 2.0
SETTLED_PERCENT = 2.0
"""A second counts as settled when it is this close to the later half of the run: in standard deviations of that half,
or in percent, whichever is more."""


def within_sd(trials: Sequence[Trial]) -> float | None:
    """The part of a run's noise that its own seconds explain: the relative standard error of a run's mean.

    Neighbouring seconds resemble each other, which :func:`knobctl.stats.standard_error` takes into account. A run that
    is twice as long has about 0.7 times this noise; the noise between runs that it cannot explain stays.

    Returns:
        The root mean square over the runs, or None when they print too little progress.
    """
    relative = []
    for trial in trials:
        values = [value for _, value in trial.samples]
        error, centre = stats.standard_error(values), stats.mean(values)
        if error is not None and centre is not None and centre > 0:
            relative.append(error / centre)
    squares = stats.mean([value * value for value in relative])
    return None if squares is None else math.sqrt(squares)


def settling_seconds(trials: Sequence[Trial]) -> float | None:
    """Seconds after which a run looks like its own later half, on average over the runs.

    Returns:
        0 when runs are settled from their first progress line; None when they print too few of them.
    """
    courses = [_course(trial) for trial in trials if len(trial.samples) >= LEAST_SAMPLES]
    whole = [course for course in courses if course]
    if not whole or len(whole) < len(trials):
        return None
    length = min(len(course) for course in whole)
    middle = [stats.mean([course[index] for course in whole]) or 0.0 for index in range(length)]
    spread = stats.sd(middle[length // 2 :]) or 0.0
    near = max(SETTLED_SD * spread, stats.log_effect(SETTLED_PERCENT))
    unsettled = 0
    while unsettled < length // 2 and abs(middle[unsettled]) > near:
        unsettled += 1
    return trials[0].samples[unsettled - 1][0] if unsettled else 0.0


def _course(trial: Trial) -> list[float]:
    """Log of each progress line against the mean of the run's later half; empty when one is not positive."""
    values = [value for _, value in trial.samples]
    late = stats.geometric_mean(values[len(values) // 2 :])
    if late is None or not all(math.isfinite(value) and value > 0 for value in values):
        return []
    return [math.log(value / late) for value in values]
