"""Trials in, what each configuration is worth out: a model of the score that knows about drift and accidents.

A Gaussian process (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 2.1 and equation
4.17). A trial's log-ratio to the default is the sum of four parts:

* the effect of the configuration, over the knobs that matter, each with a length scale of its own: partly the sum of
  their separate effects, partly their interplay. A knob comes in only when the trials are explained clearly better
  with it, so the others cannot be credited with anything;
* slow drift, the same for every configuration: an Ornstein-Uhlenbeck process in time. No prediction includes it;
* the noise of the preflight, or a multiple of it where the trials say so, and more for a run that was cut short;
* accidents: a trial too far from what all others predict for it stays in the record and loses nearly all weight.

What is not known is chosen by the marginal likelihood on a grid, with a mild preference for few knobs, no drift and the
noise that was measured.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knobctl.env.bench import DEFAULT_KINDS, SEARCH_KINDS
from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.stats import geometric_mean, log_ratio

Array = NDArray[np.float64]
Configuration = Mapping[str, Value]

SMALLEST_NOISE = 0.005
"""Noise below half a percent is not believed: the covariance would be singular and every accident a signal."""

OUTLIER = 3.5
"""A trial more standard deviations than this from what the others predict for it is an accident."""

OUTLIER_NOISE = 10.0
"""The noise of an accident is taken so many times as large."""

MOST_TRIALS = 120
"""The latest ones count when there are more: the cost grows with the third power."""

MOST_DEFAULTS = 40
"""The same for runs of the default."""

OTHER_KINDS = (*SEARCH_KINDS, "probe", "run-off")
"""Kinds of trials that measure something other than the default and can be learned from."""

_LENGTHS = (0.15, 0.4, 1.0, 2.5)
_SIGNALS = (0.01, 0.05, 0.25, 0.5, 1.0, 2.0, 4.0)
_NOISES = (0.4, 0.65, 1.0, 1.5, 2.2)
_NOISE_SPREAD = 0.5  # Standard deviation of the prior of ln(noise / measured noise).
_DRIFTS = tuple(itertools.product((1.0, 2.5), (0.1, 0.5)))  # In noise sd; time constant as part of the session.
_DRIFT_PRICE = 1.5  # In log likelihood, as the next.
_KNOB_PRICE = 2.0
_INTERPLAY = 0.3  # Part of the signal that is interplay: 0 would be a sum of curves, 1 knows no separate effects.
_CONSTANT = 4.0
_OTHER_WORD = 0.5
_LARGEST_GAIN = 10.0
_ROUNDS = 3


@dataclass(frozen=True)
class Observation:
    """One trial as the model sees it.

    Attributes:
        configuration: Complete.
        gain: Log-ratio to the mean of the default's runs, positive is better.
        time: Seconds since the session began.
        uncertainty: Standard deviation of the gain on top of the noise between runs.
        eligible: A whole run of something other than the default.
    """

    configuration: Configuration
    gain: float
    time: float = 0.0
    uncertainty: float = 0.0
    eligible: bool = True


@dataclass(frozen=True)
class Effect:
    """A difference between two configurations, as log-ratio: what the model believes, without noise and drift."""

    mean: float
    sd: float

    @property
    def sure(self) -> float:
        """Probability that it is above 0."""
        if self.sd <= 0.0:
            return float(self.mean > 0.0)
        return 0.5 * math.erfc(-self.mean / (self.sd * math.sqrt(2.0)))


def scored(trials: Iterable[Trial], kinds: Sequence[str]) -> list[tuple[Trial, float]]:
    """The trials of these kinds that did not fail, with their scores (finite and above 0)."""
    return [
        (trial, trial.score)
        for trial in trials
        if trial.kind in kinds and trial.score is not None and math.isfinite(trial.score) and trial.score > 0
    ]


def observe(trials: Sequence[Trial], space: Space, default: Configuration, direction: str) -> list[Observation]:
    """The trials that can be learned from; empty without a run of the default or of anything else that has a score."""
    defaults = scored(trials, DEFAULT_KINDS)[-MOST_DEFAULTS:]
    others = scored(trials, OTHER_KINDS)[-MOST_TRIALS:]
    baseline = geometric_mean([score for _, score in defaults])
    if baseline is None or not others:
        return []
    return [
        Observation(
            {name: trial.configuration.get(name, default[name]) for name in space.names},
            log_ratio(baseline, score, direction) or 0.0,
            trial.started,
            trial.uncertainty,
            trial.kind in OTHER_KINDS and not trial.cut_short,
        )
        for trial, score in (*others, *defaults)
    ]


@dataclass(frozen=True)
class _Rest:
    """All that is not the effect of the configuration: noise and drift (standard deviations, time constant)."""

    noise: float
    drift: float = 0.0
    time: float = 1.0


@dataclass(frozen=True)
class _White:
    """The gains in coordinates in which the rest is independent and of variance 1."""

    whitener: Array
    gains: Array
    log_scale: float


_Lengths = Mapping[int, float]
"""Length scale of each knob that matters, by its position in the space."""


class Model:
    """The model of one session.

    Args:
        space: The search space.
        default: The default configuration.
        observations: Of the default and of other configurations; at least one.
        noise_sd: Standard deviation of a log-ratio between runs, from the preflight.

    Attributes:
        active: Names of the knobs that have an effect by this model.
        noise_sd: The noise between runs that it assumes, after looking at the trials.
        drift_sd: Standard deviation of the drift; 0 when there is none to be seen.
        outliers: Whether each observation is an accident.
    """

    def __init__(
        self, space: Space, default: Configuration, observations: Sequence[Observation], noise_sd: float
    ) -> None:
        self._default = default
        configurations = [observation.configuration for observation in observations]
        self._axes = [_Axis(dimension, [*configurations, default]) for dimension in space.dimensions]
        self._points = self._place(configurations)
        squares = self._squares(self._points, self._points)
        self._varied = [index for index, square in enumerate(squares) if square.any()]
        self._correlations = {
            (index, length): _matern(squares[index], length) for index in self._varied for length in _LENGTHS
        }
        gains = np.array([observation.gain for observation in observations])
        self._all_gains = np.clip(gains, -_LARGEST_GAIN, _LARGEST_GAIN)
        times = np.nan_to_num(np.array([observation.time for observation in observations]), posinf=0.0, neginf=0.0)
        self._apart = np.abs(times[:, None] - times[None, :]) / max(float(np.ptp(times)), 1e-9)
        self._uncertainty = np.array([observation.uncertainty for observation in observations])
        self._measured_noise = max(noise_sd, SMALLEST_NOISE) if math.isfinite(noise_sd) else SMALLEST_NOISE
        self.outliers = np.zeros(len(observations), dtype=bool)
        self._lengths: _Lengths = {}
        self._learn()
        self.active = tuple(name for index, name in enumerate(space.names) if index in self._lengths)

    def effect(self, configuration: Configuration, reference: Configuration | None = None) -> Effect:
        """What a configuration gives against another one (the default); knobs left out are at their default."""
        pair = self._place([{**self._default, **configuration}, {**self._default, **(reference or {})}])
        across = self._kernel(self._lengths, self._squares(self._points, pair))
        change = self._signal * (across[:, 0] - across[:, 1])
        alike = float(self._kernel(self._lengths, self._squares(pair, pair))[0, 1])
        variance = 2.0 * self._signal * (1.0 - alike) - float(change @ self._inverse @ change)
        return Effect(float(change @ self._weights), math.sqrt(max(variance, 0.0)))

    def predict(self, configuration: Configuration) -> float:
        """The mean log-ratio of a configuration to the default; knobs that it leaves out are at their default."""
        return self.effect(configuration).mean

    def _learn(self) -> None:
        # Without the allowance, drift and accidents would be taken for effects of knobs in the first round.
        rest = _Rest(1.5 * self._measured_noise)
        for _ in range(_ROUNDS):
            before = (self._lengths, rest)
            self._clip()
            self._choose_knobs(self._whiten(rest))
            rest = self._best_rest()
            outliers = np.abs(self._solve(rest)) > OUTLIER
            if before == (self._lengths, rest) and bool((outliers == self.outliers).all()):
                return
            self.outliers = outliers
        self._clip()
        self._solve(rest)

    def _clip(self) -> None:
        """How bad the bad ones are teaches nothing about the good region, and would bend the model."""
        usual = self._all_gains[~self.outliers]
        self._gains = np.maximum(self._all_gains, -max(float(usual.max(initial=0.0)), 5.0 * self._measured_noise))
        spread = float(np.mean(self._gains[~self.outliers] ** 2)) if usual.size else 0.0
        self._spread = max(spread, self._measured_noise**2)

    def _choose_knobs(self, white: _White) -> None:
        """Takes knobs in while that explains the trials clearly better, then out while it does not harm."""
        evidence = self._fit(self._lengths, white)[0]
        while True:
            more = [
                {**self._lengths, index: length}
                for index, length in self._correlations
                if index not in self._lengths
            ]  # fmt: skip
            best = self._best(more, white)
            if best is None or best[0] < evidence + _KNOB_PRICE:
                break
            evidence, self._lengths = self._tuned(best[1], white)
        while True:
            fewer = [
                {index: length for index, length in self._lengths.items() if index != dropped}
                for dropped in self._lengths
            ]
            best = self._best(fewer, white)
            if best is None or best[0] < evidence - _KNOB_PRICE:
                break
            evidence, self._lengths = self._tuned(best[1], white)

    def _tuned(self, lengths: _Lengths, white: _White) -> tuple[float, _Lengths]:
        evidence = self._fit(lengths, white)[0]
        for index in lengths:
            evidence, lengths = self._best([{**lengths, index: length} for length in _LENGTHS], white) or (
                evidence,
                lengths,
            )
        return evidence, lengths

    def _best(self, options: Sequence[_Lengths], white: _White) -> tuple[float, _Lengths] | None:
        fits = [(self._fit(lengths, white)[0], lengths) for lengths in options]
        return max(fits, key=lambda fit: fit[0], default=None)

    def _best_rest(self) -> _Rest:
        """Noise and drift with which the chosen knobs explain the trials best."""
        best, chosen = -math.inf, _Rest(self._measured_noise)
        drifts = [(0.0, 1.0), *_DRIFTS] if self._apart.any() else [(0.0, 1.0)]
        for factor, (drift, time) in itertools.product(_NOISES, drifts):
            noise = factor * self._measured_noise
            rest = _Rest(noise, drift * noise, time)
            price = 0.5 * (math.log(factor) / _NOISE_SPREAD) ** 2 + (_DRIFT_PRICE if drift else 0.0)
            evidence = self._fit(self._lengths, self._whiten(rest))[0] - price
            if evidence > best:
                best, chosen = evidence, rest
        return chosen

    def _solve(self, rest: _Rest) -> Array:
        """Sets what predictions are made with; returns the standardised leave-one-out residuals.

        They are those of equation 5.12 (Rasmussen and Williams 2006), each with the ordinary noise, so that an
        accident can be taken back.
        """
        _, self._signal = self._fit(self._lengths, self._whiten(rest))
        self.noise_sd, self.drift_sd = rest.noise, rest.drift
        covariance = self._covariance(rest)
        covariance += self._signal * self._kernel(self._lengths)
        self._inverse = np.linalg.inv(covariance)
        self._weights = self._inverse @ self._gains
        variances = 1.0 / np.diag(self._inverse)
        ordinary = variances - np.where(self.outliers, OUTLIER_NOISE**2 - 1.0, 0.0) * rest.noise**2
        return np.asarray(self._weights * variances / np.sqrt(np.maximum(ordinary, rest.noise**2)))

    def _covariance(self, rest: _Rest) -> Array:
        noise = np.where(self.outliers, OUTLIER_NOISE, 1.0) * rest.noise
        drift = rest.drift**2 * np.exp(-self._apart / rest.time)
        return np.asarray(np.diag(noise**2 + self._uncertainty**2) + drift + _CONSTANT * self._spread)

    def _whiten(self, rest: _Rest) -> _White:
        root = np.linalg.cholesky(self._covariance(rest))
        whitener = np.linalg.inv(root)
        return _White(whitener, whitener @ self._gains, float(np.sum(np.log(np.diag(root)))))

    def _fit(self, lengths: _Lengths, white: _White) -> tuple[float, float]:
        """(log marginal likelihood, signal variance) of the best fit: one eigendecomposition serves every signal."""
        if not lengths:
            return -0.5 * float(white.gains @ white.gains) - white.log_scale, 0.0
        values, vectors = np.linalg.eigh(white.whitener @ self._kernel(lengths) @ white.whitener.T)
        signals = self._spread * np.array(_SIGNALS)
        variances = signals[:, None] * np.maximum(values, 0.0)[None, :] + 1.0
        rotated = (vectors.T @ white.gains) ** 2
        evidences = -0.5 * np.sum(rotated / variances + np.log(variances), axis=1) - white.log_scale
        best = int(np.argmax(evidences))
        return float(evidences[best]), float(signals[best])

    def _kernel(self, lengths: _Lengths, squares: Sequence[Array] | None = None) -> Array:
        """Correlation of the effects between the trials, or at given squared distances."""
        if squares is None:
            parts = [self._correlations[item] for item in lengths.items()]
        else:
            parts = [_matern(squares[index], length) for index, length in lengths.items()]
        if not parts:
            return np.ones_like(self._apart if squares is None else squares[0])
        return np.asarray((1.0 - _INTERPLAY) * np.mean(parts, axis=0) + _INTERPLAY * np.prod(parts, axis=0))

    def _place(self, configurations: Sequence[Configuration]) -> list[Array]:
        return [axis.place(configurations) for axis in self._axes]

    def _squares(self, rows: Sequence[Array], columns: Sequence[Array]) -> list[Array]:
        """Squared distances, one matrix per knob."""
        return [axis.squares(row, column) for axis, row, column in zip(self._axes, rows, columns, strict=True)]


class _Axis:
    """One knob: numbers along its range, or words that are the same or not."""

    def __init__(self, dimension: Dimension, configurations: Sequence[Configuration]) -> None:
        self._dimension = dimension
        seen = [configuration[dimension.name] for configuration in configurations]
        self._words = not all(isinstance(value, int) for value in (*seen, *dimension.values))
        self._numbers: dict[Value, float] = {}

    def place(self, configurations: Sequence[Configuration]) -> Array:
        values = [configuration[self._dimension.name] for configuration in configurations]
        if self._words:
            return np.array([self._numbers.setdefault(value, float(len(self._numbers))) for value in values])
        return np.array([self._dimension.encode(value) for value in values])

    def squares(self, rows: Array, columns: Array) -> Array:
        apart = rows[:, None] - columns[None, :]
        return np.where(apart == 0.0, 0.0, _OTHER_WORD) if self._words else np.asarray(apart**2)


def _matern(squares: Array, length: float) -> Array:
    """Correlation of the Matérn-5/2 kernel (Rasmussen and Williams 2006, equation 4.17) at squared distances."""
    scaled = np.sqrt(5.0 * squares) / length
    return np.asarray((1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled))
