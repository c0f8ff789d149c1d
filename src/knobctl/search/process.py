"""The Gaussian process that all models of the score share: kernel and marginal likelihood.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006: Matérn-5/2 (equation 4.17), log marginal
likelihood (equation 2.30), predictions (algorithm 2.1). The effect of a configuration is partly the sum of the separate
effects of the knobs that matter, partly their interplay; a knob that is not named has no effect at all.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack  # type: ignore[import-untyped]

from knobctl.search.encoding import Encoding

Array = NDArray[np.float64]

Lengths = Mapping[int, float]
"""Length scale of each knob that matters, by its position in the space."""

LENGTHS = (0.15, 0.4, 1.0, 2.5)
"""Length scales that are tried; the range of a knob is 1."""

SIGNALS = (0.01, 0.05, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Variances of the effect that are tried, as multiples of the mean square of the gains."""

ATOM_APART, ATOM_LENGTH = 0.8, 1.0
"""An atom correlates with any other value as two values that are so far apart, under a length scale of this at most.

With more than 1 / (1' K^-1 1), where K holds the correlations within the range, this would be no covariance as soon as
a knob has many atoms: that is 0.65 at a length scale of 1 and 0.78 at 2.5, and this is 0.64 at both."""

_BLOCK = 32  # Columns that LAPACK may take at a time.
_INTERPLAY = 0.3  # Part of the signal that is interplay: 0 would be a sum of curves, 1 knows no separate effects.


def matern(distances: Array, length: float) -> Array:
    """Correlation of the Matérn-5/2 kernel at these distances; NaN is the distance of an atom."""
    atoms = np.isnan(distances)
    if atoms.any():
        distances = np.where(atoms, ATOM_APART * max(1.0, length / ATOM_LENGTH), distances)
    scaled = distances * (math.sqrt(5.0) / length)
    return np.asarray((1.0 + scaled * (1.0 + scaled / 3.0)) * np.exp(-scaled))


class Correlations:
    """Correlations of effects between two sets of configurations, each part computed once, when it is needed.

    Args:
        rows: Coordinates of the configurations of one set, one row each.
        columns: Of the other one.
    """

    def __init__(self, rows: Array, columns: Array) -> None:
        self._rows, self._columns = rows, columns
        self._distances: dict[int, Array] = {}
        self._parts: dict[tuple[int, float], Array] = {}

    @property
    def varied(self) -> list[int]:
        """The knobs in which any two of the configurations differ."""
        return [index for index in range(self._rows.shape[1]) if self._distance(index).any()]

    def of(self, lengths: Lengths) -> Array:
        """The correlation matrix under these length scales."""
        if not lengths:
            return np.ones((len(self._rows), len(self._columns)))
        parts = [self._part(item) for item in lengths.items()]
        apart, together = functools.reduce(np.add, parts), functools.reduce(np.multiply, parts)
        return np.asarray((1.0 - _INTERPLAY) / len(parts) * apart + _INTERPLAY * together)

    def _part(self, item: tuple[int, float]) -> Array:
        known = self._parts.get(item)
        if known is None:
            known = self._parts[item] = matern(self._distance(item[0]), item[1])
        return known

    def _distance(self, index: int) -> Array:
        known = self._distances.get(index)
        if known is None:
            known = self._distances[index] = Encoding.distances(self._rows[:, index], self._columns[:, index])
        return known


@dataclass(frozen=True)
class White:
    """Gains in coordinates in which everything but the effect is independent and of variance 1.

    Attributes:
        whitener: Inverse of the Cholesky root of the covariance of the rest.
        gains: In these coordinates.
        log_scale: Half the log determinant of the covariance.
    """

    whitener: Array
    gains: Array
    log_scale: float

    def shifted(self, gains: Array) -> White:
        """The same with other gains."""
        return White(self.whitener, self.whitener @ gains, self.log_scale)


def whiten(covariance: Array, gains: Array) -> White:
    """Gains in white coordinates, given the covariance of all that is not the effect."""
    root = np.linalg.cholesky(covariance)
    whitener = np.linalg.inv(root)
    return White(whitener, whitener @ gains, float(np.sum(np.log(np.diag(root)))))


def evidences(correlation: Array, white: White, signals: Array) -> Array:
    """Log marginal likelihood of two gains or more, up to a constant, under each signal variance.

    One reduction to tridiagonal form (Golub and Van Loan, "Matrix Computations", 2013, section 8.3.1) serves them all;
    under each of them it takes time that grows with the number of gains.
    """
    count = len(white.gains)
    form, diagonal, beside, reflectors, _ = lapack.dsytrd(
        white.whitener @ correlation @ white.whitener.T, lower=1, lwork=_BLOCK * count
    )
    gains = white.gains[:, None].copy()
    gains[1:] = lapack.dormqr("L", "T", form[1:, :-1], reflectors, gains[1:], lwork=_BLOCK)[0]
    solved = [lapack.dptsv(signal * diagonal + 1.0, signal * beside, gains) for signal in signals]
    pivots, weights = np.array([each[0] for each in solved]), np.array([each[2][:, 0] for each in solved])
    return np.asarray(-0.5 * (weights @ gains[:, 0] + np.log(pivots).sum(axis=1)) - white.log_scale)


def evidence_without_effect(white: White) -> float:
    """The same when no knob matters."""
    return -0.5 * float(white.gains @ white.gains) - white.log_scale


def best_fit(lengths: Lengths, correlations: Correlations, white: White, spread: float) -> tuple[float, float]:
    """(log marginal likelihood, signal variance) of the signal that fits best; the variance is 0 without a knob."""
    if not lengths:
        return evidence_without_effect(white), 0.0
    signals = spread * np.array(SIGNALS)
    found = evidences(correlations.of(lengths), white, signals)
    best = int(np.argmax(found))
    return float(found[best]), float(signals[best])


class Comparison:
    """Effects of some configurations minus the effect of a reference, by any number of beliefs about them.

    Args:
        points: Coordinates of what was measured, one row each.
        coordinates: Of the configurations.
        reference: Of the reference, one row.
    """

    def __init__(self, points: Array, coordinates: Array, reference: Array) -> None:
        self._measured, self._compared = len(points), len(coordinates)
        self._correlations = Correlations(np.concatenate([points, reference]), np.concatenate([coordinates, reference]))

    def posterior(self, lengths: Lengths, signal: float, weights: Array, inverse: Array) -> tuple[Array, Array]:
        """Means and variances (Rasmussen and Williams 2006, algorithm 2.1).

        Args:
            lengths: Length scales of the knobs that matter.
            signal: Signal variance.
            weights: ``inverse @ gains``; a column for each of several quantities.
            inverse: Inverse of the covariance of the gains.
        """
        if not lengths:
            return np.zeros((self._compared, *weights.shape[1:])), np.zeros(self._compared)
        alike = self._correlations.of(lengths)
        change = signal * (alike[: self._measured, : self._compared] - alike[: self._measured, self._compared :])
        known = np.einsum("ij,ij->j", change, inverse @ change)
        unknown = 2.0 * signal * (1.0 - alike[self._measured, : self._compared])
        return change.T @ weights, np.maximum(unknown - known, 0.0)
