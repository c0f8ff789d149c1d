"""The trials so far in, what a search can know before the next one out: gains, risks, failures, guardrails, metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtri  # type: ignore[import-untyped]
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from knobctl.env import OSTuningEnv
from knobctl.env.bench import DEFAULT_KINDS
from knobctl.events import Trial
from knobctl.reward import log_gain
from knobctl.safety import Guardrail, SafePlan
from knobctl.search.encoding import Encoding
from knobctl.search.model import MOST_TRIALS, OTHER_KINDS, Model, Observation, instructive
from knobctl.search.process import LENGTHS, Array, Correlations, Lengths, evidences, whiten
from knobctl.search.surrogate import Memory, Predicted, State, Surrogate

BAD = math.log(0.9)
"""A configuration that loses more than a tenth is bad."""

GATE_TRIALS = 8
GATE_RANKS = 0.3
GATE_COVERAGE = (0.65, 0.95)
GATE_SIGNAL = 1.5
"""A surrogate predicts well when it has learned from so many trials, its leave-one-out predictions rank them so well
(Spearman), its 80 % intervals hold such a part of them, and the effects that it sees vary so many times as much as the
noise."""

GATE_TRUST = 0.5
"""It is dreamt in as well while so large a part of the beliefs starts from earlier sessions."""

DOUBT = 0.15
"""Share of the belief that every knob may matter: what the others leave out is looked at again now and then."""

_80_PERCENT = float(ndtri(0.9))
_FAILURE_NOISE, _FAILURE_DOUBT, _FAILURE_LENGTH = 0.1, 0.25, 0.4
_UNLIKELY = 0.01
_RAIL_NOISE = 0.02


@dataclass(frozen=True)
class Worth:
    """What some points are worth.

    Attributes:
        log_improvement: Log of the expected improvement that is allowed: no failure, no guardrail broken.
        risk: Probability of being bad.
        sd: Standard deviation of what is believed about the gain.
    """

    log_improvement: Array
    risk: Array
    sd: Array


class Knowledge:
    """What is known before a trial.

    Args:
        env: The environment that the trials were played in.
        observations: What can be learned from them.
        noise_sd: Standard deviation of the log score between runs.
        random: What is drawn is drawn from it.
        start: Where the surrogate's chain stood before the last trial; None at first.
        memories: What earlier sessions knew.
        warnings: Where their runs failed (gain -1) and where not (0).

    Attributes:
        surrogate: Of the score, the observed machine metrics and the guardrails.
        anchors: Points of the unit cube that were measured, the best by the mean of the beliefs first.
    """

    def __init__(
        self,
        env: OSTuningEnv,
        observations: Sequence[Observation],
        noise_sd: float,
        random: np.random.Generator,
        start: State | None = None,
        memories: Sequence[Memory] = (),
        warnings: Sequence[Observation] = (),
    ) -> None:
        plan, trials = env.plan, env.bench.trials
        model = Model(plan.space, plan.default, observations, noise_sd)
        both = [trial for part in instructive(trials) for trial, _ in part]
        self._usual = np.array(env.shares(env.baseline.machine if env.baseline else {}))
        shares = np.array([env.shares(trial.machine) for trial in both]).reshape(len(both), -1) - self._usual
        self._rails = _rails(plan, both, env.baseline.metrics if env.baseline else {})
        origin = model.encoding.coordinates([plan.default])
        self.surrogate = Surrogate(
            model,
            origin,
            random,
            start,
            memories,
            np.concatenate([shares, self._rails.worse], axis=1),
            doubt=DOUBT,
        )
        eligible = [index for index, seen in enumerate(observations) if seen.eligible and not model.outliers[index]]
        known = self.surrogate.predict(np.concatenate([origin, model.points[eligible]]))
        self._best = known.means.max(axis=1)
        configurations = [plan.default, *(observations[index].configuration for index in eligible)]
        order = np.argsort(-known.mean, kind="stable")
        self.anchors = np.array([env.places(configurations[index]) for index in order])
        self._failing = _failing(model.encoding, plan, trials, warnings)

    @property
    def gate(self) -> bool:
        """Whether the surrogate predicts well enough to be dreamt in, by its trials or by those of earlier sessions."""
        model = self.surrogate.model
        count = len(model.gains)
        if self.surrogate.trusted > GATE_TRUST:
            return True
        if count < GATE_TRIALS or not model.lengths or not np.ptp(model.left_out) > 0.0:
            return False
        ranks = float(spearmanr(model.gains, model.left_out).statistic)
        held = float(np.mean(np.abs(model.residuals) < _80_PERCENT))
        return (
            ranks >= GATE_RANKS
            and GATE_COVERAGE[0] <= held <= GATE_COVERAGE[1] + 1.0 / count
            and model.signal > GATE_SIGNAL * model.noise_sd**2
        )

    def at(self, points: Array) -> Array:
        """Coordinates of points of the unit cube, one row each."""
        return self.surrogate.model.encoding.at(points)

    def worth(self, points: Array) -> Worth:
        """What points of the unit cube are worth, one row each."""
        coordinates = self.at(points)
        predicted = self.surrogate.predict(coordinates)
        value = predicted.log_improvement(self._best, self.surrogate.noise_sd)
        return Worth(value + self._log_allowed(coordinates, predicted), predicted.below(BAD), predicted.sd)

    def metrics(self, predicted: Predicted) -> Array:
        """The observed machine metrics that are expected, as shares of their ceilings, one column each."""
        return np.asarray(self._usual + predicted.others[:, : len(self._usual)])

    def _log_allowed(self, coordinates: Array, predicted: Predicted) -> Array:
        """Log probability that a run works, and keeps the guardrails."""
        worse = predicted.others[:, len(self._usual) :]
        found = log_ndtr((self._rails.tolerances - worse) / self._rails.noises).sum(axis=1)
        if self._failing is not None:
            found = found + log_ndtr((self._failing.means(coordinates) + 0.5) / _FAILURE_DOUBT)
        return np.asarray(found)


@dataclass(frozen=True)
class _Rails:
    """The guardrails, one column for each: how much worse (log-ratio), what is tolerated, and how noisy it is."""

    worse: Array
    tolerances: Array
    noises: Array


class _Failing:
    """Where runs fail (-1) and where not (0): by one knob alone, or by all of them, averaged over these answers.

    A Gaussian process for each (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, section 6.5:
    least-squares classification), whose shares are their marginal likelihoods. Unlike a score, a single failure teaches
    something, and is never an accident: beside it, the next one is likely.
    """

    def __init__(self, encoding: Encoding, labels: Sequence[Observation]) -> None:
        self._points = encoding.coordinates([label.configuration for label in labels])
        correlations = Correlations(self._points, self._points)
        varied = correlations.varied
        answers: list[Lengths] = [dict.fromkeys(varied, _FAILURE_LENGTH)]
        answers += [{index: length} for index in varied for length in LENGTHS]
        gains = np.array([label.gain for label in labels])
        rest = np.diag([_FAILURE_NOISE**2 + label.uncertainty**2 for label in labels])
        white = whiten(rest, gains)
        found = np.zeros(len(answers))
        if varied:
            found = np.array([evidences(correlations.of(each), white, np.ones(1))[0] for each in answers])
            found[1:] -= math.log(len(answers) - 1)
        shares = np.exp(found - np.logaddexp.reduce(found))
        likely = [index for index in range(len(answers)) if shares[index] > _UNLIKELY * shares.max()]
        whole = float(shares[likely].sum())
        self._answers = [
            (
                answers[index],
                float(shares[index]) / whole,
                np.linalg.solve(correlations.of(answers[index]) + rest, gains),
            )
            for index in likely
        ]

    def means(self, coordinates: Array) -> Array:
        """What is expected at each row of coordinates; 0 far from everything."""
        alike = Correlations(coordinates, self._points)
        return np.asarray(sum(share * (alike.of(lengths) @ weights) for lengths, share, weights in self._answers))


def _failing(
    encoding: Encoding, plan: SafePlan, trials: Sequence[Trial], warnings: Sequence[Observation]
) -> _Failing | None:
    """None when nothing has failed, here or in earlier sessions."""
    if not warnings and all(trial.score is not None for trial in trials if trial.kind in OTHER_KINDS):
        return None
    labels = [Observation({**plan.default, **trial.configuration}, -float(trial.score is None)) for trial in trials]
    failed = [label for label in labels if label.gain][-MOST_TRIALS:]
    worked = [label for label in labels if not label.gain][-MOST_TRIALS:]
    return _Failing(encoding, [*warnings, *failed, *worked])


def _rails(plan: SafePlan, trials: Sequence[Trial], baseline: Mapping[str, float]) -> _Rails:
    """What the trials say about the guardrails whose metric the baseline has."""
    usable = [rail for rail in plan.guardrails if baseline.get(rail.metric.name, 0.0) > 0.0]

    def worse(trial: Trial, rail: Guardrail) -> float:
        value = trial.metrics.get(rail.metric.name, 0.0)
        return -log_gain(value, baseline[rail.metric.name], rail.metric.direction) if value > 0.0 else 0.0

    rows = np.array([[worse(trial, rail) for rail in usable] for trial in trials]).reshape(len(trials), len(usable))
    usual = rows[[trial.kind in DEFAULT_KINDS for trial in trials]]
    noises = usual.std(axis=0) if len(usual) else np.zeros(len(usable))
    tolerances = np.log1p(np.array([rail.tolerance_percent / 100.0 for rail in usable]))
    return _Rails(rows, tolerances, np.maximum(noises, _RAIL_NOISE))
