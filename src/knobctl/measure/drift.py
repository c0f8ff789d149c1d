"""The default configuration through a whole session in, whether it stayed what it was out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from knobctl import stats
from knobctl.events import Trial

WORN_PERCENT = 5.0
"""A smaller change over a session is not worth a sentence."""

LEAST_RUNS = 6

_CERTAIN = 0.995


def describe_drift(trials: Sequence[Trial], resets: bool) -> str:
    """A sentence when the default configuration's score moved beyond doubt while nothing was changed; else empty.

    Beyond doubt is a slope of the ln score over time whose 99 % interval excludes 0.

    Args:
        trials: Runs of the default configuration, spread over the session, in order.
        resets: The workload brings its data back before each run.
    """
    known = [(trial.started, math.log(trial.score)) for trial in trials if trial.score is not None and trial.score > 0]
    times, logs = [time for time, _ in known], [value for _, value in known]
    slope = stats.slope(times, logs)
    if slope is None or len(known) < LEAST_RUNS:
        return ""
    middle, centre = sum(times) / len(times), sum(logs) / len(logs)
    rest = math.fsum((value - centre - slope * (time - middle)) ** 2 for time, value in known)
    error = math.sqrt(rest / (len(known) - 2) / math.fsum((time - middle) ** 2 for time in times))
    moved = slope * (times[-1] - times[0])
    if abs(slope) <= stats.student_t(_CERTAIN, len(known) - 2) * error or abs(stats.percent(moved)) < WORN_PERCENT:
        return ""
    although = " although its data were brought back before each run" if resets else ""
    advice = (
        "make the data anew now and then, or run it on a machine that was left alone for a while."
        if resets
        else "give the workload a reset_command that brings its data back."
    )
    return (
        f"the score of the unchanged machine moved by {stats.percent(moved):+.0f} % over the session{although}. The "
        f"comparison stays fair, because both sides alternate; the absolute figures do not: {advice}"
    )
