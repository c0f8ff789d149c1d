"""Surrogate-accelerated PPO: few real trials, each chosen after thousands of imagined ones.

Between two trials a surrogate of the score learns from all trials so far (:mod:`knobctl.search.surrogate`); PPO trains
in the imagined environments that it makes (:mod:`knobctl.search.actor`), while the surrogate predicts well enough; its
policy, small changes of the best configurations and points from all over are proposed; and the one with the largest
expected improvement is measured, among those that are probably not bad. Nothing of this runs beside a benchmark.

Training a policy in a surrogate that has to pass a test first is the idea of Angermueller et al., "Model-based
reinforcement learning for biological sequence design", 2020 (DyNA-PPO).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium
import numpy as np
from scipy.stats import qmc  # type: ignore[import-untyped]

from knobctl.search.base import BudgetedEnv, SearchOver, SearchSummary
from knobctl.search.knowledge import BAD, Knowledge
from knobctl.search.model import Model, observe
from knobctl.search.one_at_a_time import OneAtATimeSearcher
from knobctl.search.pool import FROM_ACTOR, PROPOSERS, make_pool, refined
from knobctl.search.process import Array
from knobctl.search.remembered import Remembered, first_guesses, misled, warnings_of
from knobctl.search.surrogate import Memory, State

if TYPE_CHECKING:
    from knobctl.search.actor import Actor

FEWEST_TRIALS = 12
"""A smaller budget teaches no model anything."""

RISK = (0.25, 0.10)
"""A candidate may be bad with this probability, at the first trial and at the last."""

ANCHORS = 4
"""So many of the best measured configurations are starting points of new ones."""

CURIOSITY = (0.3, 1.0, 1.5)
"""How curious the actor is, in turn from trial to trial."""

CAUTIOUS, LATE = -0.5, 0.8
"""It is cautious instead from this part of the budget on."""

PRETRAINING = 24
"""Updates of the policy before the first trial, in what earlier sessions knew."""

SMALLEST_UNIT = 0.02
"""The actor's rewards are in units of noise, but of at least this log-ratio."""

_ROUNDS, _REFINED, _BEST = 2, 200, 8
_NOTHING_KNOWN = 1e-5


class SAPPOSearcher:
    """Chooses each trial by a surrogate, with PPO as one of its proposers.

    Args:
        seed: The same seed and trials play the same search.
        policy_path: Where the trained policy is saved, for ``PPO.load``; not saved when None.
        remembered: Earlier sessions of a similar kind.
        actor: Whether PPO takes part.
        log: A folder for TensorBoard; None for no log.
        ignored: Settings of the plan that it has no use for, to be named.
    """

    name = "sappo"

    def __init__(
        self,
        seed: int = 0,
        policy_path: Path | None = None,
        *,
        remembered: Sequence[Remembered] = (),
        actor: bool = True,
        log: Path | None = None,
        ignored: Sequence[str] = (),
    ) -> None:
        self._ignored = tuple(ignored)
        self._seed = seed
        self._policy_path = policy_path
        self._remembered = tuple(remembered)
        self._with_actor = actor
        self._log = log

    def play(self, env: BudgetedEnv) -> SearchSummary:
        """Plays until the environment ends the search."""
        summary = self._play(env)
        if not self._ignored:
            return summary
        note = f"sappo has settings of its own: {', '.join(self._ignored)} of the plan are for --searcher ppo"
        return replace(summary, notes=(*summary.notes, note))

    def _play(self, env: BudgetedEnv) -> SearchSummary:
        if env.tuning.budget < FEWEST_TRIALS:
            return self._one_at_a_time(env)
        search = _Search(env, self._seed, self._remembered, self._with_actor, self._log)
        try:
            while True:
                action = search.next().astype(np.float32)
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
        except SearchOver:
            return search.summary(self._policy_path)

    def _one_at_a_time(self, env: BudgetedEnv) -> SearchSummary:
        note = (
            f"{env.tuning.budget} trials are too few to learn from (fewer than {FEWEST_TRIALS}): "
            "first guesses, then one knob at a time"
        )
        with contextlib.suppress(SearchOver):
            OneAtATimeSearcher(self._seed, in_order=True).play(env)
        return SearchSummary(policy_updates=0 if self._with_actor else None, notes=(note,))


class _Search:
    """One search."""

    def __init__(
        self, env: BudgetedEnv, seed: int, remembered: Sequence[Remembered], with_actor: bool, log: Path | None
    ) -> None:
        self._env = env.tuning
        self._plan = env.tuning.plan
        self._seed, self._log = seed, log
        self._random = np.random.default_rng((seed, 0))
        self._origin = np.array(env.tuning.places(self._plan.default))
        self._noise = env.tuning.baseline.noise if env.tuning.baseline is not None else SMALLEST_UNIT
        self._remembered = remembered
        self._memories = self._recalled(remembered)
        self._warnings = warnings_of(remembered)
        self._first = None if self._memories else self._first_points()
        self._state: State | None = None
        self._with_actor = with_actor
        self._actor: Actor | None = None
        self._chosen: list[int] = []

    def next(self) -> Array:
        """The action of the next trial."""
        observations = observe(
            self._env.bench.trials, self._plan.space, self._plan.default, self._plan.objective.direction
        )
        if self._first:
            return self._first.pop()
        if self._first is None and misled(first_guesses(self._remembered, self._plan), self._env):
            self._memories, self._warnings, self._first = [], [], self._first_points()
            if self._first:
                return self._first.pop()
        if not observations:
            return np.asarray(self._random.random(len(self._origin)))
        knowledge = Knowledge(
            self._env, observations, self._noise, self._random, self._state, self._memories, self._warnings
        )
        self._state = knowledge.surrogate.state
        if self._first is None:
            self._first = [] if knowledge.gate else self._first_points()
            if self._first:
                return self._first.pop()
        return self._best_of(knowledge)

    def summary(self, policy_path: Path | None) -> SearchSummary:
        """What there is to say afterwards."""
        if not self._with_actor:
            return SearchSummary()
        if self._actor is None:
            note = "PPO had no part in it: the model of the score never predicted well enough to learn from"
            return SearchSummary(policy_updates=0, notes=(note,))
        if policy_path is not None:
            self._actor.save(policy_path)
        own = sum(proposer == PROPOSERS.index("actor") for proposer in self._chosen)
        note = f"PPO proposed what led to {own} of the {len(self._chosen)} trials that were chosen by the model"
        return SearchSummary(policy_updates=self._actor.updates, notes=(note,))

    def _recalled(self, remembered: Sequence[Remembered]) -> list[Memory]:
        return [
            Memory(Model(self._plan.space, self._plan.default, past.observations, self._noise), past.likeness)
            for past in remembered
            if past.observations
        ]

    def _first_points(self) -> list[Array]:
        """A few points from all over, before there is anything to learn from."""
        knobs = len(self._origin)
        count = min(max(4, knobs // 2 + 1), max(1, self._env.budget // 4)) - self._env.played
        if count <= 0:
            return []
        return list(qmc.Sobol(knobs, rng=self._random).random_base2(max(3, (count - 1).bit_length()))[:count])

    def _best_of(self, knowledge: Knowledge) -> Array:
        """The most promising candidate that is probably not bad, among many."""
        anchors = knowledge.anchors[:ANCHORS]
        pool = make_pool(self._random, anchors, self._origin, self._dreamt(knowledge))
        points, proposers = pool.points, pool.proposers
        worth = knowledge.worth(points)
        if float(worth.sd.max()) < _NOTHING_KNOWN:
            return self._farthest(knowledge.anchors, points[proposers == PROPOSERS.index("everywhere")])
        limit = RISK[0] + (RISK[1] - RISK[0]) * self._progress
        order = _ranked(worth.log_improvement, worth.risk, limit)
        self._chosen.append(int(proposers[order[0]]))
        for _ in range(_ROUNDS):
            more = refined(self._random, points[order[:_BEST]], _REFINED)
            points = np.concatenate([points[order[:_BEST]], more])
            worth = knowledge.worth(points)
            order = _ranked(worth.log_improvement, worth.risk, limit)
        measured = [{**self._plan.default, **trial.configuration} for trial in self._env.bench.trials]
        for index in order:
            if self._plan.decode([float(number) for number in points[index]]) not in measured:
                return np.asarray(points[index])
        return np.asarray(points[order[0]])

    @property
    def _progress(self) -> float:
        return self._env.played / max(self._env.budget, 1)

    def _dreamt(self, knowledge: Knowledge) -> Array:
        """What the policy proposes, after another lesson; nothing while the surrogate does not predict well."""
        nothing = np.zeros((0, len(self._origin)))
        if not self._with_actor or not knowledge.gate:
            return nothing
        from knobctl.search.actor import UPDATES, Actor
        from knobctl.search.imagined import Dream

        if self._actor is None:
            space = self._env.observation_space
            assert isinstance(space, gymnasium.spaces.Box)
            self._actor = Actor(space, len(self._origin), self._seed, self._log)
        updates = PRETRAINING if self._memories and not self._actor.updates else UPDATES
        curiosity = CAUTIOUS if self._progress >= LATE else CURIOSITY[self._env.played % len(CURIOSITY)]
        self._actor.learn(
            Dream(
                predict=lambda points: knowledge.surrogate.predict(knowledge.at(points)),
                metrics=knowledge.metrics,
                shares=knowledge.surrogate.shares,
                starts=knowledge.anchors,
                unit=max(self._noise, SMALLEST_UNIT),
                worst=BAD,
                curiosity=curiosity,
            ),
            updates,
        )
        starts = knowledge.anchors[:ANCHORS]
        predicted = knowledge.surrogate.predict(knowledge.at(starts))
        observations = np.concatenate([knowledge.metrics(predicted), starts], axis=1)
        return self._actor.propose(observations, FROM_ACTOR)

    def _farthest(self, measured: Array, points: Array) -> Array:
        """Where nothing is known at all, the point that is farthest from everything measured."""
        apart = ((points[:, None, :] - measured[None, :, :]) ** 2).sum(axis=2).min(axis=1)
        return np.asarray(points[int(np.argmax(apart))])


def _ranked(value: Array, risk: Array, limit: float) -> list[int]:
    """Positions, the best first: those within the risk by their value, then the others by their risk."""
    within = risk <= limit
    keys = np.where(within, -value, risk)
    return [int(index) for index in np.lexsort((keys, ~within))]
