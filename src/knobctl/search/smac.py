"""SMAC3 on the same environment: a random forest over all trials, and the best ones measured again before it believes
them (M. Lindauer et al., "SMAC3: a versatile Bayesian optimization package for hyperparameter optimization", 2022).

An optional extra: ``pip install 'knobctl[smac]'``.
"""

from __future__ import annotations

import importlib
import tempfile
from typing import Any

import numpy as np

from knobctl.errors import UsageError
from knobctl.knobs.space import Dimension
from knobctl.search.base import BudgetedEnv, Played, SearchSummary


class SMACSearcher:
    """Plays what SMAC3's facade for hyperparameters asks for, with its own settings for noisy scores.

    Knobs with several values are categories, all others their place in their range.

    Args:
        seed: The same seed plays the same search.

    Raises:
        UsageError: SMAC3 is not installed.
    """

    name = "smac"

    def __init__(self, seed: int = 0) -> None:
        self._smac, self._space, self._history = (
            _installed(module) for module in ("smac", "ConfigSpace", "smac.runhistory.dataclasses")
        )
        self._seed = seed

    def play(self, env: BudgetedEnv) -> SearchSummary:
        """Plays until the environment ends the search."""
        dimensions = [tuned.dimension for tuned in env.tuning.plan.knobs]
        space = self._space.ConfigurationSpace(seed=self._seed)
        space.add([self._parameter(index, dimension) for index, dimension in enumerate(dimensions)])
        with tempfile.TemporaryDirectory(prefix="knobctl-smac-") as folder:
            scenario = self._smac.Scenario(
                space, output_directory=folder, deterministic=False, n_trials=env.remaining + len(env.played),
                seed=self._seed,
            )  # fmt: skip
            facade = self._smac.HyperparameterOptimizationFacade(
                scenario, lambda configuration, seed=0: 0.0, overwrite=True, logging_level=False
            )
            for played in env.played:
                values = self._values(played, dimensions)
                known = self._space.Configuration(space, values=values)
                facade.tell(self._history.TrialInfo(known, seed=0), self._history.TrialValue(cost=-played.reward))
            while True:
                info = facade.ask()
                places = [_place(info.config[_name(index)], each) for index, each in enumerate(dimensions)]
                _, reward, terminated, truncated, _ = env.step(np.array(places, dtype=np.float32))
                facade.tell(info, self._history.TrialValue(cost=-float(reward)))
                if terminated or truncated:
                    env.reset()

    def _parameter(self, index: int, dimension: Dimension) -> Any:
        if dimension.values:
            return self._space.Categorical(_name(index), list(range(len(dimension.values))))
        return self._space.Float(_name(index), (0.0, 1.0))

    def _values(self, played: Played, dimensions: list[Dimension]) -> dict[str, Any]:
        return {
            _name(index): min(int(place * len(each.values)), len(each.values) - 1) if each.values else place
            for index, (place, each) in enumerate(zip(played.action, dimensions, strict=True))
        }


def _name(index: int) -> str:
    return f"x{index:03}"


def _place(value: Any, dimension: Dimension) -> float:
    """The point of the unit interval: the centre of a category's part of it."""
    return (int(value) + 0.5) / len(dimension.values) if dimension.values else float(value)


def _installed(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"SMAC3 cannot be used: {error}", "pip install 'knobctl[smac]'") from None
