"""The repeats of a recorded sweep in, the noise of its machine out, as a :class:`~knobctl.target.noise.NoiseModel`.

Runs of configurations that were measured more than once count, the default above all: what differs between them is
noise whatever the knobs do. Only the drift needs a fitted surface: it is what neighbouring residuals have in common.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

from knobctl.knobs import Value
from knobctl.lab.fitting import MAD, OUTLIER, Array
from knobctl.lab.sweep import Run, Sweep
from knobctl.target.noise import NoiseModel

FEWEST_SAMPLES = 8
"""Runs with fewer samples cannot tell how neighbouring ones correlate."""

CERTAINTY = 3.0
"""Drift is believed when neighbours share more than so many standard errors."""

_ROUNDS = 5
_LONGEST_DRIFT, _SHORTEST_DRIFT = 7200.0, 60.0


def noise_of(sweep: Sweep, residuals: Array) -> NoiseModel:
    """The noise of a sweep's machine; nothing where nothing was repeated.

    The variance between runs of the same configuration is split: what the seconds of a run scatter by (``within``),
    what runs close in time share and distant ones do not (``drift``), what is far out on the bad side (``outliers``),
    and the rest (``between``).

    Args:
        sweep: What was measured.
        residuals: What no knob explains of each counted run with a score, as log score (positive is better). Only
            the drift is read from them.
    """
    scored = [run for run in sweep.counted if run.score is not None]
    within, correlation, share = _within(scored)
    usual, far, variance = _told_apart(sweep, scored)
    if not usual:
        return NoiseModel(within=within, correlation=correlation)
    drift, drift_seconds = _drift([sweep.began(run) for run in scored], residuals)
    return NoiseModel(
        between=math.sqrt(max(0.0, variance - drift**2 - share)),
        within=within,
        correlation=correlation,
        drift=drift,
        drift_seconds=drift_seconds,
        outliers=len(far) / (len(usual) + len(far)),
        outlier_spread=math.sqrt(statistics.fmean(value**2 for value in far)) if far else 0.0,
    )


def _told_apart(sweep: Sweep, scored: Sequence[Run]) -> tuple[list[float], list[float], float]:
    """(deviations from equals, those of outliers, variance without the outliers).

    An outlier shifts the mean of its equals, so it is left out and the rest is looked at again.
    """
    sign = 1.0 if sweep.header.direction == "maximize" else -1.0
    groups: dict[tuple[tuple[str, Value], ...], list[float]] = defaultdict(list)
    for run in scored:
        groups[tuple(sorted(run.configuration.items()))].append(sign * math.log(run.score or 1.0))
    kept = [group for group in groups.values() if len(group) > 1]
    far: list[float] = []
    usual = _deviations(kept)
    for _ in range(_ROUNDS):
        spread = MAD * statistics.median(abs(value) for value in usual) if usual else 0.0
        found = [value for value in usual if abs(value) > OUTLIER * spread > 0.0]
        if not found:
            break
        remaining = []
        for group in kept:
            inside = [own for own, value in zip(group, _deviations([group]), strict=True) if value not in found]
            mean = statistics.fmean(inside) if inside else statistics.fmean(group)
            far += [own - mean for own, value in zip(group, _deviations([group]), strict=True) if value in found]
            remaining.append(inside)
        kept = [group for group in remaining if len(group) > 1]
        usual = _deviations(kept)
    variance = statistics.fmean(value**2 for value in usual) if usual else 0.0
    return usual, [value for value in far if value < 0.0], variance


def _deviations(groups: Sequence[Sequence[float]]) -> list[float]:
    """Log scores against the mean of their equals, scaled so that few equals count as many."""
    return [
        math.sqrt(len(group) / (len(group) - 1)) * (value - statistics.fmean(group))
        for group in groups
        for value in group
    ]


def _within(runs: Sequence[Run]) -> tuple[float, float, float]:
    """(sd of a sample around its run, correlation of neighbours, variance that this leaves in a run's mean)."""
    squares = products = 0.0
    freedom = pairs = 0
    counts = []
    for run in runs:
        logs = [math.log(value) for _, value in run.samples if value > 0]
        if len(logs) < 2:
            continue
        mean = statistics.fmean(logs)
        squares += sum((value - mean) ** 2 for value in logs)
        freedom += len(logs) - 1
        counts.append(len(logs))
        if len(logs) >= FEWEST_SAMPLES:
            products += sum((a - mean) * (b - mean) for a, b in itertools.pairwise(logs))
            pairs += len(logs) - 1
    if not freedom:
        return 0.0, 0.0, 0.0
    variance = squares / freedom
    correlation = min(max(products / pairs / variance, 0.0), 0.95) if pairs and variance > 0.0 else 0.0
    tau = (1.0 + correlation) / (1.0 - correlation)
    return math.sqrt(variance), correlation, variance * min(1.0, tau / statistics.fmean(counts))


def _drift(moments: Sequence[float], residuals: Array) -> tuple[float, float]:
    """(sd of what runs close in time share, the time after which they share it no longer)."""
    spread = OUTLIER * MAD * statistics.median(abs(float(value)) for value in residuals)
    values = [min(max(float(value), -spread), spread) for value in residuals]
    shared = statistics.fmean(a * b for a, b in itertools.pairwise(values))
    variance = statistics.fmean(value**2 for value in values)
    if shared <= CERTAINTY * variance / math.sqrt(len(values)):  # what independent numbers show by accident
        return 0.0, NoiseModel().drift_seconds
    distance = 2
    while distance < len(values) // 2:
        products = [a * b for a, b in zip(values, values[distance:], strict=False)]
        if statistics.fmean(products) < shared / math.e:
            break
        distance += 1
    seconds = distance * (moments[-1] - moments[0]) / len(moments)
    return math.sqrt(min(shared, variance)), min(max(seconds, _SHORTEST_DRIFT), _LONGEST_DRIFT)
