"""A model of the score in, several beliefs about it out: what is known, and what could be true as well.

:class:`~knobctl.search.model.Model` settles on the knobs that explain the trials best, which is right for claims and
wrong for a search: what it leaves out would never be looked at again. A :class:`Surrogate` holds several answers to
"which knobs matter, and how quickly does their effect change", drawn by Metropolis and Hastings' algorithm from what
the trials leave open. The noise, the drift and the accidents are those of the model.

Earlier sessions come in as prior means: each belief either starts from nothing or from what one earlier session knew,
and the trials themselves decide between these, so a misleading memory loses its weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr  # type: ignore[import-untyped]

from knobctl.search.model import Configuration, Effect, Model, probability_above_zero
from knobctl.search.process import (
    LENGTHS,
    SIGNALS,
    Array,
    Comparison,
    Lengths,
    White,
    evidence_without_effect,
    evidences,
    whiten,
)

BELIEFS = 8
"""Answers that are held at a time."""

STEPS = 160
"""Steps of the Markov chain for one trial; the chain goes on where it stood after the trial before."""

PRICE = 1.0
"""What one more knob that matters costs, in log probability; at the first trials it says how many are thought of."""

NO_MEMORY = 0.3
"""Probability, before any trial, that no earlier session says anything about this one."""

TRUST = (0.5, 1.0)
"""How much of an earlier session's effects is taken over."""

_MOVE_MEMORY = 0.3
_NO_SD = 1e-6


@dataclass(frozen=True)
class Memory:
    """What one earlier session knew.

    Attributes:
        model: Of its trials, in the present space.
        weight: Its probability against the others, before any trial.
    """

    model: Model
    weight: float


@dataclass(frozen=True)
class State:
    """Where the chain stands: length scales of the knobs that matter, and which prior mean (0 is none)."""

    lengths: Lengths
    prior: int = 0


@dataclass(frozen=True)
class _Belief:
    """One answer; ``share`` of the states that were drawn say so. The first column of the weights is the gain's."""

    state: State
    share: float
    signal: float
    weights: Array
    inverse: Array

    def posterior(self, comparison: Comparison) -> tuple[Array, Array]:
        """Means and variances of what is compared."""
        return comparison.posterior(self.state.lengths, self.signal, self.weights, self.inverse)


@dataclass(frozen=True)
class Predicted:
    """What the beliefs say, one row for each belief and one column for each configuration.

    Attributes:
        shares: How much each belief counts; they add up to 1.
        means: Log-ratio to the default, positive is better.
        sds: Standard deviations of it: neither noise nor drift is in them.
        others: Means of other quantities, one row for each configuration.
    """

    shares: Array
    means: Array
    sds: Array
    others: Array

    @property
    def mean(self) -> Array:
        """Over all beliefs."""
        return np.asarray(self.shares @ self.means)

    @property
    def sd(self) -> Array:
        """Of the mixture of all beliefs."""
        return np.asarray(np.sqrt(self.shares @ (self.sds**2 + (self.means - self.mean) ** 2)))

    def below(self, gain: float) -> Array:
        """Probability that the gain is less than this."""
        return np.asarray(self.shares @ ndtr((gain - self.means) / np.maximum(self.sds, _NO_SD)))

    def log_improvement(self, best: Array, noise_sd: float) -> Array:
        """Log of the expected improvement over the best of each belief, averaged over the beliefs.

        Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions", 1998, equation 15,
        averaged as by Snoek, Larochelle and Adams, "Practical Bayesian Optimization", 2012. What one noisy run more
        would hardly teach counts less, as by Huang, Allen, Notz and Zeng, "Global Optimization of Stochastic Black-Box
        Systems via Sequential Kriging Meta-Models", 2006, equation 13.
        """
        sds = np.maximum(self.sds, _NO_SD)
        z = (self.means - best[:, None]) / sds
        density = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
        improvement = sds * (z * ndtr(z) + density) * (1.0 - noise_sd / np.hypot(sds, noise_sd))
        return np.asarray(np.log(np.maximum(self.shares @ improvement, 1e-300)))


class Surrogate:
    """The beliefs of one moment.

    Args:
        model: Of the trials so far.
        default: Coordinates of the default configuration, one row.
        random: What is drawn is drawn from it.
        start: Where the chain of the trial before stood; None at the first one.
        memories: What earlier sessions knew.
        others: Other quantities that were measured, as differences to their values at the default: one row for each
            observation of the model, one column for each quantity. They are predicted under the same beliefs: with the
            kernel of the score and its ratio of signal to noise, as multi-output processes with one kernel do.
        steps: Steps of the chain.
        doubt: Share of one belief more, by which every knob may matter.

    Attributes:
        state: Where the chain stands now.
        model: As given.
        shares: How much each belief counts; they add up to 1.
        trusted: The part of the beliefs that starts from an earlier session.
    """

    def __init__(
        self,
        model: Model,
        default: Array,
        random: np.random.Generator,
        start: State | None = None,
        memories: Sequence[Memory] = (),
        others: Array | None = None,
        steps: int = STEPS,
        doubt: float = 0.0,
    ) -> None:
        self.model = model
        self._others = np.zeros((len(model.gains), 0)) if others is None else others
        self._default = default
        self._memories = tuple(memories)
        self._signals = model.spread * np.array(SIGNALS)
        self._priors = [np.zeros(len(model.gains))]
        self._log_weights = [0.0 if not memories else math.log(NO_MEMORY)]
        whole = sum(memory.weight for memory in memories)
        for memory in memories:
            means = memory.model.means(model.points)
            for trust in TRUST:
                self._priors.append(trust * means)
                self._log_weights.append(math.log((1.0 - NO_MEMORY) * memory.weight / whole / len(TRUST)))
        base = whiten(model.covariance, model.gains)
        self._whites = [base.shifted(model.gains - prior) for prior in self._priors]
        varied = set(model.correlations.varied)
        self._knobs = sorted(varied)
        state = State(model.lengths) if start is None else start
        self.state = State(
            {index: length for index, length in state.lengths.items() if index in varied},
            state.prior if state.prior < len(self._priors) else 0,
        )
        self._beliefs = self._settled(self._chain(random, steps), doubt if self._knobs else 0.0)
        self.shares = np.array([belief.share for belief in self._beliefs])
        self.trusted = sum(belief.share for belief in self._beliefs if belief.state.prior > 0)

    @property
    def noise_sd(self) -> float:
        """Standard deviation of the log score between runs, as the model has it."""
        return self.model.noise_sd

    def predict(self, coordinates: Array) -> Predicted:
        """What the beliefs say about configurations, one row of coordinates each."""
        remembered = self._remembered(coordinates)
        means, sds = [], []
        others = np.zeros((len(coordinates), self._others.shape[1]))
        comparison = Comparison(self.model.points, coordinates, self._default)
        for belief in self._beliefs:
            change, variance = belief.posterior(comparison)
            means.append(change[:, 0] + remembered[belief.state.prior])
            sds.append(np.sqrt(variance))
            others += belief.share * change[:, 1:]
        return Predicted(self.shares, np.array(means), np.array(sds), others)

    def effect(self, configuration: Configuration, reference: Configuration | None = None) -> Effect:
        """What a configuration gives against another one (the default); knobs left out are at their default."""
        return self.effects(configuration, [reference or {}])[0]

    def effects(self, configuration: Configuration, references: Sequence[Configuration]) -> list[Effect]:
        """The same against each of several."""
        here, there = self.model.at(configuration), self.model.at(*references)
        remembered = self._remembered(np.concatenate([here, there]))
        comparison = Comparison(self.model.points, there, here)
        means, sds = [], []
        for belief in self._beliefs:
            change, variance = belief.posterior(comparison)
            expected = remembered[belief.state.prior]
            means.append(expected[0] - expected[1:] - change[:, 0])
            sds.append(np.sqrt(variance))
        found = Predicted(self.shares, np.array(means), np.array(sds), np.zeros((len(references), 0)))
        sure = [
            sum(share * probability_above_zero(mean, sd) for share, mean, sd in zip(self.shares, *column, strict=True))
            for column in zip(found.means.T.tolist(), found.sds.T.tolist(), strict=True)
        ]
        return [Effect(*each) for each in zip(found.mean.tolist(), found.sd.tolist(), sure, strict=True)]

    def _remembered(self, coordinates: Array) -> list[Array]:
        used = {belief.state.prior for belief in self._beliefs}
        found = [np.zeros(len(coordinates))] * len(self._priors)
        for number, memory in enumerate(self._memories):
            places = [1 + number * len(TRUST) + index for index in range(len(TRUST))]
            if used.intersection(places):
                means = memory.model.means(coordinates)
                for place, trust in zip(places, TRUST, strict=True):
                    found[place] = trust * means
        return found

    def _chain(self, random: np.random.Generator, steps: int) -> list[State]:
        """Walks, and gives states from the second half of the way."""
        known: dict[tuple[int, tuple[tuple[int, float], ...]], float] = {}  # Half of the ways lead where it has been.

        def density_of(state: State) -> float:
            key = (state.prior, tuple(sorted(state.lengths.items())))
            if key not in known:
                known[key] = self._density(state)
            return known[key]

        density = density_of(self.state)
        kept: list[State] = []
        every = max(1, steps // (2 * BELIEFS))
        for step in range(1, steps + 1):
            proposed, odds = self._propose(random)
            new = density_of(proposed)
            if math.log(max(random.random(), 1e-300)) < new - density + odds:
                self.state, density = proposed, new
            if step > steps - BELIEFS * every and (steps - step) % every == 0:
                kept.append(self.state)
        return kept

    def _propose(self, random: np.random.Generator) -> tuple[State, float]:
        """Another state, and the log odds of going there against coming back."""
        lengths = dict(self.state.lengths)
        if (len(self._priors) > 1 and random.random() < _MOVE_MEMORY) or not self._knobs:
            return State(lengths, int(random.integers(len(self._priors)))), 0.0
        index = self._knobs[random.integers(len(self._knobs))]
        if index in lengths and random.random() < 0.5:
            del lengths[index]
            return State(lengths, self.state.prior), math.log(1.0 / len(LENGTHS)) - math.log(0.5)
        new = float(LENGTHS[random.integers(len(LENGTHS))])
        odds = 0.0 if index in lengths else math.log(0.5) - math.log(1.0 / len(LENGTHS))
        lengths[index] = new
        return State(lengths, self.state.prior), odds

    def _density(self, state: State) -> float:
        white = self._whites[state.prior]
        prior = (
            self._log_weights[state.prior] - PRICE * len(state.lengths) - math.log(len(LENGTHS)) * len(state.lengths)
        )
        if not state.lengths:
            return evidence_without_effect(white) + prior
        return float(np.logaddexp.reduce(self._evidences(state, white))) - math.log(len(SIGNALS)) + prior

    def _evidences(self, state: State, white: White) -> Array:
        return evidences(self.model.correlations.of(state.lengths), white, self._signals)

    def _settled(self, states: Sequence[State], doubt: float) -> list[_Belief]:
        """The beliefs behind the states that were drawn, each once with its share, and the one that doubts them all."""
        different: list[State] = []
        for state in states:
            if state not in different:
                different.append(state)
        beliefs = [self._belief(state, (1.0 - doubt) * states.count(state) / len(states)) for state in different]
        if doubt:
            every = [State(dict.fromkeys(self._knobs, length), self.state.prior) for length in LENGTHS]
            beliefs.append(self._belief(max(every, key=self._density), doubt))
        return beliefs

    def _belief(self, state: State, share: float) -> _Belief:
        gains = self.model.gains - self._priors[state.prior]
        signal = 0.0
        if state.lengths:
            found = self._evidences(state, self._whites[state.prior])
            signal = float(np.exp(found - np.logaddexp.reduce(found)) @ self._signals)
        covariance = self.model.covariance + signal * self.model.correlations.of(state.lengths)
        inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
        return _Belief(state, share, signal, inverse @ np.column_stack([gains, self._others]), inverse)
