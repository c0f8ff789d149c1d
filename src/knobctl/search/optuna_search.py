"""Optuna's samplers on the same environment: ask for a point of the unit cube, play it, tell the reward."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler

from knobctl.search.base import BudgetedEnv, SearchSummary

STARTUP_SHARE = 3
"""One in so many trials is random before a model is asked, ten at most."""


def _startup(budget: int) -> int:
    return max(2, min(10, budget // STARTUP_SHARE))


_SAMPLERS: Mapping[str, Callable[[int, int], BaseSampler]] = {
    "tpe": lambda seed, budget: TPESampler(seed=seed, multivariate=True, n_startup_trials=_startup(budget)),
    "random": lambda seed, budget: RandomSampler(seed=seed),
    "cmaes": lambda seed, budget: CmaEsSampler(seed=seed, n_startup_trials=1),
    "gp": lambda seed, budget: GPSampler(seed=seed, n_startup_trials=_startup(budget), deterministic_objective=False),
}


class OptunaSearcher:
    """Plays what a sampler asks for.

    Failed trials are told with the environment's reward, which is finite and below that of every trial that worked:
    a sampler that never hears of failures tries them again.

    Args:
        name: ``tpe``, ``gp``, ``cmaes`` or ``random``.
        seed: The same seed plays the same search.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name = name
        self._seed = seed

    def play(self, env: BudgetedEnv) -> SearchSummary:
        """Plays until the environment ends the search."""
        if self.name == "gp":
            import torch  # which Optuna's GPSampler fits its model with

            torch.set_num_threads(1)
        space = env.action_space
        names = [f"x{index}" for index in range(space.shape[0] if space.shape else 0)]
        cube = {name: FloatDistribution(0.0, 1.0) for name in names}
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                sampler = _SAMPLERS[self.name](self._seed, env.remaining)
                study = optuna.create_study(direction="maximize", sampler=sampler)
                for played in env.played:
                    params = dict(zip(names, played.action, strict=True))
                    study.add_trial(
                        optuna.trial.create_trial(params=params, distributions=dict(cube), value=played.reward)
                    )
                while True:
                    trial = study.ask(dict(cube))
                    action = np.array([trial.params[name] for name in names], dtype=np.float32)
                    _, reward, terminated, truncated, _ = env.step(action)
                    study.tell(trial, float(reward))
                    if terminated or truncated:
                        env.reset()
        finally:
            optuna.logging.set_verbosity(verbosity)
