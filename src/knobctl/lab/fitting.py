"""The runs of a sweep in, the pieces of a fit out: its points, a spline through them, and what it gets wrong elsewhere.

A point is one configuration with the mean of its runs. Configurations are left out whole, with all their runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator  # type: ignore[import-untyped]

from knobctl.errors import UsageError
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension
from knobctl.lab.sweep import Header, Sweep

Array = NDArray[np.float64]
Configuration = Mapping[str, Value]

FEWEST_POINTS = 20
"""Fewer different configurations say nothing about a surface."""

SMOOTHINGS = (1e-3, 1e-2, 0.1, 1.0, 10.0)
"""Smoothing of the spline, tried one after the other; a point that was measured n times has an n-th of it."""

OUTLIER = 4.0
"""A run is an outlier when it is away from what it should be by more than so many standard deviations."""

MAD = 1.4826
"""Standard deviation of normal numbers in units of the median of their distances from the middle."""


@dataclass(frozen=True)
class Fit:
    """How well a surface explains what was measured.

    Attributes:
        points: Different configurations with a score.
        repeated: Those that were measured more than once.
        r_squared: Share of the variance between the repeated configurations' mean log scores that the surface predicts
            when it has not seen them; at or below 0 for a surface that knows nothing. None with fewer than 3.
        ceiling: What the best possible surface would reach there: the noise that is left in the means bounds it.
        smoothing: Of the spline.
    """

    points: int
    repeated: int
    r_squared: float | None
    ceiling: float | None
    smoothing: float


@dataclass(frozen=True)
class Points:
    """The different configurations of a sweep with their mean log scores (positive is better).

    Attributes:
        header: Of the sweep.
        configurations: Each one once.
        counts: How often it was measured.
        means: Mean log score, without what whole parts of the sweep have in common.
        variance: Of the log score between runs of the same configuration; None when none was repeated.
        default_score: Geometric mean of the default configuration.
    """

    header: Header
    configurations: tuple[dict[str, Value], ...]
    counts: Array
    means: Array
    variance: float | None
    default_score: float

    @classmethod
    def of(cls, sweep: Sweep, expected: Array | None = None) -> Points:
        """What a fit needs of a sweep.

        Args:
            sweep: What was measured.
            expected: The log score of each counted run with a score by an earlier fit. Runs further away from it than
                :data:`OUTLIER` standard deviations are moved to that distance. None to take all as they are.

        Raises:
            UsageError: It is too small.
        """
        runs = [run for run in sweep.counted if run.score is not None]
        sign = sign_of(sweep.header.direction)
        y = np.array([sign * math.log(run.score) for run in runs if run.score is not None])
        places: dict[tuple[tuple[str, Value], ...], int] = {}
        groups = np.array([places.setdefault(tuple(sorted(run.configuration.items())), len(places)) for run in runs])
        default = places.get((), -1)
        if len(places) < FEWEST_POINTS or default < 0:
            raise UsageError(
                f"the sweep {sweep.name} has {len(places)} configurations with a score, and a surface needs "
                f"{FEWEST_POINTS} and the default",
                "Record more of it: `knobctl lab record` goes on where it stopped.",
            )
        configurations = tuple({**sweep.header.default, **dict(changed)} for changed in places)
        y = y - _offsets(y, [run.part for run in runs], [configurations[group] for group in groups], sweep.header)
        if expected is not None:
            limit = OUTLIER * MAD * float(np.median(np.abs(y - expected)))
            y = expected + np.clip(y - expected, -limit, limit)
        counts = np.bincount(groups).astype(float)
        means = np.bincount(groups, y) / counts
        freedom = len(y) - len(counts)
        variance = float(np.sum((y - means[groups]) ** 2)) / freedom if freedom else None
        return cls(sweep.header, configurations, counts, means, variance, math.exp(sign * float(means[default])))

    def features(self, active: Sequence[str]) -> Array:
        """Coordinates of every configuration."""
        return features_of(self.configurations, self.header.dimensions, active)

    def errors_without_knobs(self) -> Array:
        """Errors of predicting each configuration by the mean of all others."""
        return np.asarray((self.means - self.means.mean()) * len(self.means) / (len(self.means) - 1))

    def errors(self, active: Sequence[str]) -> tuple[Array, float]:
        """Errors of predicting each configuration by a spline through all others, with the best smoothing, and that.

        Leaving one out takes no fit of its own: with ``c = B y`` the weights of the spline, the error is ``c / B_ii``
        (S. Rippa, "An algorithm for selecting a good value for the parameter c in radial basis function
        interpolation", 1999, theorem 3.1, here with a smoothing on the diagonal).
        """
        x = self.features(active)
        count, columns = x.shape
        if np.ptp(x, axis=0).min() <= 0.0:  # a value that no run had: nothing can be said about it
            return np.full(count, math.inf), SMOOTHINGS[0]
        distances = np.sqrt(np.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=2))
        system = np.zeros((count + columns + 1, count + columns + 1))
        system[:count, :count] = distances**2 * np.log(np.where(distances > 0.0, distances, 1.0))
        system[:count, count:] = np.column_stack([np.ones(count), x])
        system[count:, :count] = system[:count, count:].T
        best = (np.full(count, math.inf), SMOOTHINGS[0])
        for smoothing in SMOOTHINGS:
            diagonal = np.diag(np.concatenate([smoothing / self.counts, np.zeros(columns + 1)]))
            inverse = np.linalg.inv(system + diagonal)[:count, :count]
            errors = inverse @ self.means / np.diag(inverse)
            if np.mean(errors**2) < np.mean(best[0] ** 2):
                best = (errors, smoothing)
        return best

    def spline(self, active: Sequence[str], smoothing: float) -> RBFInterpolator:
        """The spline through all configurations."""
        x = self.features(active)
        return RBFInterpolator(x, self.means, smoothing=smoothing / self.counts, kernel="thin_plate_spline")

    def fit(self, errors: Array, smoothing: float) -> Fit:
        """How well a surface with these errors explains what was measured."""
        repeated = self.counts > 1
        number = int(repeated.sum())
        r_squared = ceiling = None
        if number >= 3 and self.variance is not None:
            total = float(np.sum((self.means[repeated] - self.means[repeated].mean()) ** 2))
            if total > 0.0:
                r_squared = 1.0 - float(np.sum(errors[repeated] ** 2)) / total
                ceiling = max(0.0, 1.0 - self.variance * float(np.sum(1.0 / self.counts[repeated])) / total)
        return Fit(len(self.counts), number, r_squared, ceiling, smoothing)


def _offsets(y: Array, parts: Sequence[int], configurations: Sequence[Configuration], header: Header) -> Array:
    """What each run's part adds to the log score (its server, its files, its time of day), beside a rough model."""
    numbers = np.unique(parts)
    x = features_of(configurations, header.dimensions, header.space.names)
    membership = np.array([[float(part == number) for number in numbers[1:]] for part in parts]).reshape(len(y), -1)
    rough = np.column_stack([np.ones(len(y)), x, x**2, membership])
    solution = np.linalg.lstsq(rough, y, rcond=None)[0]
    offsets = membership @ solution[rough.shape[1] - membership.shape[1] :]
    return np.asarray(offsets - offsets.mean())


def features_of(
    configurations: Sequence[Configuration], dimensions: Sequence[Dimension], active: Sequence[str]
) -> Array:
    """Coordinates: a number's place in its range, and 1 where it is special; one column per word but the first.

    Raises:
        ValueError: A word that was never recorded.
    """
    columns = []
    for dimension in dimensions:
        if dimension.name not in active:
            continue
        values = [configuration[dimension.name] for configuration in configurations]
        if any(isinstance(value, str) for value in dimension.values):
            places = [dimension.encode(value) for value in values]
            words = [dimension.encode(word) for word in dimension.values[1:]]
            columns += [[float(place == word) for place in places] for word in words]
        else:
            columns.append([dimension.encode(value) for value in values])
            columns += [[float(value in dimension.special) for value in values]] * bool(dimension.special)
    return np.array(columns, dtype=float).T.reshape(len(configurations), -1)


def sign_of(direction: str) -> float:
    """1 when more is better, -1 when less is."""
    return 1.0 if direction == "maximize" else -1.0
