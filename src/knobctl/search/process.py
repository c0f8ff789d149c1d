"""The Gaussian process that all models of the score share: kernel and marginal likelihood.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006: Matérn-5/2 (equation 4.17), log marginal
likelihood (equation 2.30). The effect of a configuration is partly the sum of the separate effects of the knobs that
matter, partly their interplay; a knob that is not named has no effect at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knobctl.search.encoding import Encoding

Array = NDArray[np.float64]

Lengths = Mapping[int, float]
"""Length scale of each knob that matters, by its position in the space."""

LENGTHS = (0.15, 0.4, 1.0, 2.5)
"""Length scales that are tried; the range of a knob is 1."""

SIGNALS = (0.01, 0.05, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Variances of the effect that are tried, as multiples of the mean square of the gains."""

_INTERPLAY = 0.3  # Part of the signal that is interplay: 0 would be a sum of curves, 1 knows no separate effects.


def matern(squares: Array, length: float) -> Array:
    """Correlation of the Matérn-5/2 kernel at squared distances."""
    scaled = np.sqrt(5.0 * squares) / length
    return np.asarray((1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled))


class Correlations:
    """Correlations of effects between two sets of configurations, each part computed once.

    Args:
        squares: Squared distances, one matrix for each knob.
    """

    def __init__(self, squares: Array) -> None:
        self._squares = squares
        self._parts: dict[tuple[int, float], Array] = {}

    @property
    def varied(self) -> list[int]:
        """The knobs in which any two of the configurations differ."""
        return [index for index, square in enumerate(self._squares) if square.any()]

    def of(self, lengths: Lengths) -> Array:
        """The correlation matrix under these length scales."""
        if not lengths:
            return np.ones_like(self._squares[0])
        parts = [self._part(item) for item in lengths.items()]
        return np.asarray((1.0 - _INTERPLAY) * (sum(parts) / len(parts)) + _INTERPLAY * np.prod(parts, axis=0))

    def _part(self, item: tuple[int, float]) -> Array:
        known = self._parts.get(item)
        if known is None:
            known = self._parts[item] = matern(self._squares[item[0]], item[1])
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
    """Log marginal likelihood, up to a constant, under each signal variance: one eigendecomposition serves them all."""
    values, vectors = np.linalg.eigh(white.whitener @ correlation @ white.whitener.T)
    variances = signals[:, None] * np.maximum(values, 0.0)[None, :] + 1.0
    rotated = (vectors.T @ white.gains) ** 2
    return np.asarray(-0.5 * np.sum(rotated / variances + np.log(variances), axis=1) - white.log_scale)


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


def posterior(
    points: Array,
    coordinates: Array,
    reference: Array,
    lengths: Lengths,
    signal: float,
    weights: Array,
    inverse: Array,
) -> tuple[Array, Array]:
    """Means and variances of effects minus the effect of a reference (Rasmussen and Williams 2006, algorithm 2.1).

    Args:
        points: Coordinates of what was measured.
        coordinates: Where to predict, one row each.
        reference: Coordinates of the reference, one row.
        lengths: Length scales of the knobs that matter.
        signal: Signal variance.
        weights: ``inverse @ gains``; a column for each of several quantities.
        inverse: Inverse of the covariance of the gains.
    """
    if not lengths:
        return np.zeros((len(coordinates), *weights.shape[1:])), np.zeros(len(coordinates))
    active, scales = list(lengths), dict(enumerate(lengths.values()))

    def alike(rows: Array, columns: Array) -> Array:
        return Correlations(Encoding.squares(rows[:, active], columns[:, active])).of(scales)

    change = signal * (alike(points, coordinates) - alike(points, reference))
    known = np.einsum("ij,ij->j", change, inverse @ change)
    return change.T @ weights, np.maximum(2.0 * signal * (1.0 - alike(coordinates, reference)[:, 0]) - known, 0.0)
