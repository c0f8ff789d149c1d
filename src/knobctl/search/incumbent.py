"""The trials of a search in, the configuration worth proving out: the best by a model's mean, never the luckiest run.

The model is a Gaussian process on the unit cube (Rasmussen and Williams, "Gaussian Processes for Machine Learning",
2006, algorithm 2.1 and equation 4.17): log-ratios to the default configuration, Matérn-5/2 covariance, the noise of
the preflight. Length scale and signal are those with the largest marginal likelihood on a grid. A knob without which
the trials are explained at least as well is left out of the distance, so it cannot be credited with anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knobctl.env.bench import DEFAULT_KINDS, SEARCH_KINDS
from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.stats import geometric_mean, log_ratio, percent

Array = NDArray[np.float64]
Configuration = Mapping[str, Value]

MEASURABLE = 0.25
"""Effects below this many standard deviations of the noise count as nothing.

A difference of 0.25 sd needs about 2 * (2.8 / 0.25)^2 = 250 pairs to be proven with the usual power of 80 %, far more
than any session has.
"""

SMALLEST_NOISE = 0.005
"""Noise below half a percent is not believed: the covariance would be singular and every accident a signal."""

MOST_TRIALS = 200
"""The latest ones count when there are more: the cost grows with the third power."""

_LENGTHS = (0.15, 0.25, 0.4, 0.65, 1.0, 1.6, 2.5, 4.0)
_SIGNALS = (0.01, 0.05, 0.25, 0.5, 1.0, 2.0, 4.0)
_OTHER_WORD = 0.5


@dataclass(frozen=True)
class Incumbent:
    """The configuration to verify.

    Attributes:
        configuration: Value of every knob that differs from the default, as it was measured.
        minimal: The part of it that matters, by the model: the rest is back at its default.
        predicted_log_gain: The model's mean at ``minimal`` against the default, as log-ratio (positive is better).
        claimed_percent: What the search alone would claim: its best raw score against the mean of the default runs.
    """

    configuration: dict[str, Value]
    minimal: dict[str, Value]
    predicted_log_gain: float
    claimed_percent: float


def _anything(configuration: Configuration) -> bool:
    return True


def choose(
    trials: Sequence[Trial],
    space: Space,
    default: Configuration,
    direction: str,
    noise_sd: float,
    allowed: Callable[[Configuration], bool] = _anything,
) -> Incumbent | None:
    """The measured configuration with the best mean of the model.

    Args:
        trials: Of the session; those of the search and those of the default configuration are used.
        space: The search space.
        default: The default configuration.
        direction: ``maximize`` or ``minimize``.
        noise_sd: Standard deviation of the log score between runs, from the preflight.
        allowed: Whether a configuration may be set: :attr:`Incumbent.minimal` is one for which this holds.

    Returns:
        The incumbent, or None when no configuration looks measurably better than the default.
    """
    model = Model.fit(trials, space, default, direction, noise_sd)
    claimed = claimed_percent(trials, direction)
    if model is None or claimed is None:
        return None
    best = max(model.measured, key=model.predict)
    if model.predict(best) < MEASURABLE * model.noise_sd:
        return None
    smaller = model.minimal(best, allowed)
    return Incumbent(
        configuration={name: value for name, value in best.items() if value != default[name]},
        minimal=smaller,
        predicted_log_gain=model.predict({**default, **smaller}),
        claimed_percent=claimed,
    )


def claimed_percent(trials: Sequence[Trial], direction: str) -> float | None:
    """The best raw score of the search against the mean of the default runs, in percent: luck included.

    None without a default run or without a trial of the search that did not fail.
    """
    baseline = geometric_mean([score for _, score in _scores(trials, DEFAULT_KINDS)])
    if baseline is None:
        return None
    gains = [log_ratio(baseline, score, direction) for _, score in _scores(trials, SEARCH_KINDS)]
    return max((percent(gain) for gain in gains if gain is not None), default=None)


class Model:
    """A Gaussian process over the configurations of one session.

    Args:
        space: The search space.
        default: The default configuration.
        configurations: Complete configurations of the search, as measured.
        gains: Their log-ratios to the default, positive is better.
        default_gains: Log-ratios of the default's own runs; their mean is 0.
        noise_sd: Standard deviation of a log-ratio between runs.

    Attributes:
        measured: The configurations of the search.
        noise_sd: The noise that it assumes.
        active: Whether each knob, in the space's order, has an effect by this model.
    """

    def __init__(
        self,
        space: Space,
        default: Configuration,
        configurations: Sequence[Configuration],
        gains: Sequence[float],
        default_gains: Sequence[float],
        noise_sd: float,
    ) -> None:
        self.measured = tuple(configurations)
        self.noise_sd = noise_sd
        self._default = default
        self._space = space
        self._points = [*configurations, *([default] * len(default_gains))]
        y = np.array([*gains, *default_gains])
        # Ten times slower teaches no more about the good region than twice slower does, and would bend the model.
        self._y = np.maximum(y, -2.0 * max(float(y.max()), 5.0 * noise_sd))
        self._mean = float(self._y.mean())
        self._squares = [self._distances(dimension, self._points) for dimension in space.dimensions]
        self.active = self._relevant([bool(square.any()) for square in self._squares])
        _, self._length, signal = self._best_fit(self.active)
        covariance = signal * _matern(self._together(self._squares), self._length)
        self._signal = signal
        self._weights = np.linalg.solve(covariance + noise_sd**2 * np.eye(len(y)), self._y - self._mean)
        self._at_default = self._posterior(default)

    @classmethod
    def fit(
        cls, trials: Sequence[Trial], space: Space, default: Configuration, direction: str, noise_sd: float
    ) -> Model | None:
        """The model of these trials; None without a default run or without a trial of the search that did not fail."""
        default_scores = [score for _, score in _scores(trials, DEFAULT_KINDS)][-MOST_TRIALS:]
        searched = _scores(trials, SEARCH_KINDS)[-MOST_TRIALS:]
        baseline = geometric_mean(default_scores)
        if baseline is None or not searched:
            return None

        def gains(scores: Iterable[float]) -> list[float]:
            return [log_ratio(baseline, score, direction) or 0.0 for score in scores]

        configurations = [
            {name: trial.configuration.get(name, default[name]) for name in space.names} for trial, _ in searched
        ]
        sd = max(noise_sd, SMALLEST_NOISE) if math.isfinite(noise_sd) else SMALLEST_NOISE
        searched_gains = gains(score for _, score in searched)
        return cls(space, default, configurations, searched_gains, gains(default_scores), sd)

    def predict(self, configuration: Configuration) -> float:
        """The mean log-ratio of a configuration to the default; knobs that it leaves out are at their default."""
        return self._posterior({**self._default, **configuration}) - self._at_default

    def minimal(
        self, configuration: Configuration, allowed: Callable[[Configuration], bool] = _anything
    ) -> dict[str, Value]:
        """The part of a configuration that matters.

        Knobs go back to their default one at a time, the one that costs least first, while the model's mean loses less
        than :data:`MEASURABLE` times the noise in all.

        Args:
            configuration: Values of knobs.
            allowed: Whether a complete configuration may be set; others are passed over.
        """
        kept = {name: value for name, value in configuration.items() if value != self._default[name]}
        floor = self.predict(kept) - MEASURABLE * self.noise_sd
        while kept:
            smaller = [{name: value for name, value in kept.items() if name != dropped} for dropped in kept]
            smaller = [candidate for candidate in smaller if allowed({**self._default, **candidate})]
            best = max(smaller, key=self.predict, default=None)
            if best is None or self.predict(best) < floor:
                break
            kept = best
        return kept

    def _relevant(self, active: list[bool]) -> list[bool]:
        """The knobs without which the trials are explained less well, the least important one looked at first."""

        def without(index: int) -> list[bool]:
            return [flag and position != index for position, flag in enumerate(active)]

        candidates = [index for index, flag in enumerate(active) if flag]
        order = sorted(candidates, key=lambda index: -self._best_fit(without(index))[0])
        evidence = self._best_fit(active)[0]
        for index in order:
            reduced = self._best_fit(without(index))[0]
            if reduced >= evidence:
                active, evidence = without(index), reduced
        return active

    def _best_fit(self, active: Sequence[bool]) -> tuple[float, float, float]:
        """(log marginal likelihood, length scale, signal variance) of the best fit with these knobs."""
        y = self._y - self._mean
        spread = max(float(y @ y) / len(y), self.noise_sd**2)
        squares = self._together(self._squares, active)
        best = (-math.inf, _LENGTHS[0], 0.0)
        for length in _LENGTHS:
            values, vectors = np.linalg.eigh(_matern(squares, length))
            rotated = (vectors.T @ y) ** 2
            for share in _SIGNALS:
                signal = share * spread
                variances = signal * np.maximum(values, 0.0) + self.noise_sd**2
                likelihood = -0.5 * float(np.sum(rotated / variances) + np.sum(np.log(variances)))
                best = max(best, (likelihood, length, signal))
        return best

    def _together(self, squares: Sequence[Array], active: Sequence[bool] | None = None) -> Array:
        chosen = [square for square, flag in zip(squares, active or self.active, strict=True) if flag]
        return np.sum(chosen, axis=0) if chosen else np.zeros_like(squares[0])

    def _posterior(self, configuration: Configuration) -> float:
        squares = [self._distances(dimension, self._points, [configuration]) for dimension in self._space.dimensions]
        covariance = self._signal * _matern(self._together(squares), self._length)
        return self._mean + float((covariance.T @ self._weights)[0])

    @staticmethod
    def _distances(
        dimension: Dimension, rows: Sequence[Configuration], columns: Sequence[Configuration] | None = None
    ) -> Array:
        """Squared distances of one knob: along its range, or between words that are the same or not."""
        left = [row[dimension.name] for row in rows]
        right = left if columns is None else [column[dimension.name] for column in columns]
        if all(isinstance(value, int) for value in (*left, *right, *dimension.values)):
            places = [np.array([dimension.encode(value) for value in side]) for side in (left, right)]
            return np.asarray((places[0][:, None] - places[1][None, :]) ** 2)
        return np.array([[0.0 if one == other else _OTHER_WORD for other in right] for one in left])


def _matern(squares: Array, length: float) -> Array:
    """Correlation of the Matérn-5/2 kernel (Rasmussen and Williams 2006, equation 4.17) at squared distances."""
    scaled = np.sqrt(5.0 * squares) / length
    return np.asarray((1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled))


def _scores(trials: Sequence[Trial], kinds: Sequence[str]) -> list[tuple[Trial, float]]:
    return [
        (trial, trial.score)
        for trial in trials
        if trial.kind in kinds and trial.score is not None and math.isfinite(trial.score) and trial.score > 0
    ]
