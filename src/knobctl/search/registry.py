"""The name of a searcher in, the searcher out. Knows the names without importing torch or Optuna."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from knobctl.errors import UsageError
from knobctl.plan import TrainingConfig

if TYPE_CHECKING:
    from knobctl.search.base import Searcher

SEARCHERS = ("ppo", "tpe", "gp", "cmaes", "random")
"""For ``--searcher``."""

DEFAULT = "ppo"


def make_searcher(name: str, training: TrainingConfig, seed: int = 0, policy_path: Path | None = None) -> Searcher:
    """The searcher of this name.

    Args:
        name: One of :data:`SEARCHERS`.
        training: The plan's PPO settings; a seed among them wins over ``seed`` for PPO.
        seed: The same seed plays the same search.
        policy_path: Where PPO saves its policy; ignored by the others.

    Raises:
        UsageError: There is no such searcher.
    """
    if name not in SEARCHERS:
        raise UsageError(f"unknown searcher {name!r}", f"Known: {', '.join(SEARCHERS)}.")
    if name == "ppo":
        from knobctl.search.ppo import PPOSearcher

        return PPOSearcher(training, seed, policy_path)
    from knobctl.search.optuna_search import OptunaSearcher

    return OptunaSearcher(name, seed)
