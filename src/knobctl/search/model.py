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

from knobctl.env.bench import DEFAULT_KINDS, SEARCH_KINDS
from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.knobs.space import Space
from knobctl.search.encoding import Encoding
from knobctl.search.process import (
    LENGTHS,
    Array,
    Comparison,
    Correlations,
    Lengths,
    White,
    best_fit,
    whiten,
)
from knobctl.stats import geometric_mean, log_ratio

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

_NOISES = (0.4, 0.65, 1.0, 1.5, 2.2)
_NOISE_SPREAD = 0.5  # Standard deviation of the prior of ln(noise / measured noise).
_DRIFTS = tuple(itertools.product((1.0, 2.5), (0.1, 0.5)))  # In noise sd; time constant as part of the session.
_DRIFT_PRICE = 1.5  # In log likelihood, as the next.
_KNOB_PRICE = 2.0
_CONSTANT = 4.0
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
    """A difference between two configurations, as log-ratio: what a model believes, without noise and drift.

    Attributes:
        mean: What is expected.
        sd: Standard deviation of it.
        sure: Probability that it is above 0.
    """

    mean: float
    sd: float
    sure: float


def probability_above_zero(mean: float, sd: float) -> float:
    """Of a normal variable; a constant is above 0 or not."""
    return 0.5 * math.erfc(-mean / (sd * math.sqrt(2.0))) if sd > 0.0 else float(mean > 0.0)


def scored(trials: Iterable[Trial], kinds: Sequence[str]) -> list[tuple[Trial, float]]:
    """The trials of these kinds that did not fail, with their scores (finite and above 0)."""
    return [
        (trial, trial.score)
        for trial in trials
        if trial.kind in kinds and trial.score is not None and math.isfinite(trial.score) and trial.score > 0
    ]


def instructive(trials: Sequence[Trial]) -> tuple[list[tuple[Trial, float]], list[tuple[Trial, float]]]:
    """The trials behind :func:`observe` with their scores, in its order: those of others, and those of the default."""
    return scored(trials, OTHER_KINDS)[-MOST_TRIALS:], scored(trials, DEFAULT_KINDS)[-MOST_DEFAULTS:]


def observe(trials: Sequence[Trial], space: Space, default: Configuration, direction: str) -> list[Observation]:
    """The trials that can be learned from; empty without a run of the default or of anything else that has a score."""
    others, defaults = instructive(trials)
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
        encoding: The coordinates in which it measures distances.
        points: Coordinates of the observations, one row each.
        gains: Log-ratios that it learned from: very bad ones are taken for less bad than they are.
        spread: Mean square of the gains.
        lengths: Length scale of each active knob, by its position in the space.
        correlations: Of the effects, between the observations.
        covariance: Of all that is not the effect of the configuration, between the observations.
        signal: Variance of the effect.
        residuals: What the others do not predict of each observation, in standard deviations (leave-one-out).
        left_out: What the others predict for each observation.
    """

    def __init__(
        self, space: Space, default: Configuration, observations: Sequence[Observation], noise_sd: float
    ) -> None:
        self._default = default
        configurations = [observation.configuration for observation in observations]
        self.encoding = Encoding(space, default)
        self.points = self.encoding.coordinates(configurations)
        self.correlations = Correlations(self.points, self.points)
        self._varied = self.correlations.varied
        gains = np.array([observation.gain for observation in observations])
        self._all_gains = np.clip(gains, -_LARGEST_GAIN, _LARGEST_GAIN)
        times = np.nan_to_num(np.array([observation.time for observation in observations]), posinf=0.0, neginf=0.0)
        self._apart = np.abs(times[:, None] - times[None, :]) / max(float(np.ptp(times)), 1e-9)
        self._uncertainty = np.array([observation.uncertainty for observation in observations])
        self._measured_noise = max(noise_sd, SMALLEST_NOISE) if math.isfinite(noise_sd) else SMALLEST_NOISE
        self.outliers = np.zeros(len(observations), dtype=bool)
        self.lengths: Lengths = {}
        self._learn()
        self.active = tuple(name for index, name in enumerate(space.names) if index in self.lengths)

    def effect(self, configuration: Configuration, reference: Configuration | None = None) -> Effect:
        """What a configuration gives against another one (the default); knobs left out are at their default."""
        return self.effects(configuration, [reference or {}])[0]

    def effects(self, configuration: Configuration, references: Sequence[Configuration]) -> list[Effect]:
        """The same against each of several."""
        means, variances = self._posterior(self.at(*references), self.at(configuration))
        return [
            Effect(mean, sd, probability_above_zero(mean, sd))
            for mean, sd in zip((0.0 - means).tolist(), np.sqrt(variances).tolist(), strict=True)
        ]

    def at(self, *configurations: Configuration) -> Array:
        """Coordinates of configurations, one row each; knobs left out are at their default."""
        return self.encoding.coordinates([{**self._default, **configuration} for configuration in configurations])

    def means(self, coordinates: Array) -> Array:
        """The mean log-ratio to the default at each row of coordinates."""
        return self._posterior(coordinates, self.encoding.coordinates([self._default]))[0]

    def _posterior(self, coordinates: Array, reference: Array) -> tuple[Array, Array]:
        """Means and variances of the effects at these coordinates minus that at the reference (one row)."""
        comparison = Comparison(self.points, coordinates, reference)
        return comparison.posterior(self.lengths, self.signal, self._weights, self._inverse)

    def predict(self, configuration: Configuration) -> float:
        """The mean log-ratio of a configuration to the default; knobs that it leaves out are at their default."""
        return self.effect(configuration).mean

    def _learn(self) -> None:
        # Without the allowance, drift and accidents would be taken for effects of knobs in the first round.
        rest = _Rest(1.5 * self._measured_noise)
        for _ in range(_ROUNDS):
            before = (self.lengths, rest)
            self._clip()
            self._choose_knobs(self._whiten(rest))
            rest = self._best_rest()
            self._solve(rest)
            outliers = np.abs(self.residuals) > OUTLIER
            if before == (self.lengths, rest) and bool((outliers == self.outliers).all()):
                return
            self.outliers = outliers
        self._clip()
        self._solve(rest)

    def _clip(self) -> None:
        """How bad the bad ones are teaches nothing about the good region, and would bend the model."""
        usual = self._all_gains[~self.outliers]
        self.gains = np.maximum(self._all_gains, -max(float(usual.max(initial=0.0)), 5.0 * self._measured_noise))
        spread = float(np.mean(self.gains[~self.outliers] ** 2)) if usual.size else 0.0
        self.spread = max(spread, self._measured_noise**2)

    def _choose_knobs(self, white: White) -> None:
        """Takes knobs in while that explains the trials clearly better, then out while it does not harm."""
        evidence = self._fit(self.lengths, white)[0]
        while True:
            more = [
                {**self.lengths, index: length}
                for index in self._varied
                for length in LENGTHS
                if index not in self.lengths
            ]  # fmt: skip
            best = self._best(more, white)
            if best is None or best[0] < evidence + _KNOB_PRICE:
                break
            evidence, self.lengths = self._tuned(best[1], white)
        while True:
            fewer = [
                {index: length for index, length in self.lengths.items() if index != dropped}
                for dropped in self.lengths
            ]
            best = self._best(fewer, white)
            if best is None or best[0] < evidence - _KNOB_PRICE:
                break
            evidence, self.lengths = self._tuned(best[1], white)

    def _tuned(self, lengths: Lengths, white: White) -> tuple[float, Lengths]:
        evidence = self._fit(lengths, white)[0]
        for index in lengths:
            evidence, lengths = self._best([{**lengths, index: length} for length in LENGTHS], white) or (
                evidence,
                lengths,
            )
        return evidence, lengths

    def _best(self, options: Sequence[Lengths], white: White) -> tuple[float, Lengths] | None:
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
            evidence = self._fit(self.lengths, self._whiten(rest))[0] - price
            if evidence > best:
                best, chosen = evidence, rest
        return chosen

    def _solve(self, rest: _Rest) -> None:
        """Sets what predictions are made with, and the leave-one-out residuals.

        They are those of equation 5.12 (Rasmussen and Williams 2006), each with the ordinary noise, so that an
        accident can be taken back.
        """
        _, self.signal = self._fit(self.lengths, self._whiten(rest))
        self.noise_sd, self.drift_sd = rest.noise, rest.drift
        self.covariance = self._covariance(rest)
        covariance = self.covariance + self.signal * self.correlations.of(self.lengths)
        self._inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
        self._weights = self._inverse @ self.gains
        variances = 1.0 / np.diag(self._inverse)
        self.left_out = np.asarray(self.gains - self._weights * variances)
        ordinary = variances - np.where(self.outliers, OUTLIER_NOISE**2 - 1.0, 0.0) * rest.noise**2
        self.residuals = np.asarray(self._weights * variances / np.sqrt(np.maximum(ordinary, rest.noise**2)))

    def _covariance(self, rest: _Rest) -> Array:
        noise = np.where(self.outliers, OUTLIER_NOISE, 1.0) * rest.noise
        drift = rest.drift**2 * np.exp(-self._apart / rest.time)
        return np.asarray(np.diag(noise**2 + self._uncertainty**2) + drift + _CONSTANT * self.spread)

    def _whiten(self, rest: _Rest) -> White:
        return whiten(self._covariance(rest), self.gains)

    def _fit(self, lengths: Lengths, white: White) -> tuple[float, float]:
        return best_fit(lengths, self.correlations, white, self.spread)
