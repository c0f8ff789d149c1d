"""The name of a searcher in, the searcher out. Knows the names without importing torch or Optuna."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knobctl.errors import UsageError
from knobctl.plan import TrainingConfig

if TYPE_CHECKING:
    from knobctl.search.base import Searcher
    from knobctl.search.remembered import Remembered

SEARCHERS = ("sappo", "ppo", "tpe", "gp", "cmaes", "random", "one-at-a-time")
"""For ``--searcher``."""

OPTIONAL = ("smac",)
"""Those that need an extra of the same name: peers for the lab."""

DEFAULT = "sappo"

_OF_PPO_ALONE = (
    "policy", "learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range",
    "clip_range_vf", "normalize_advantage", "ent_coef", "vf_coef", "max_grad_norm", "target_kl",
)  # fmt: skip
"""Settings of a plan that ``sappo`` has no use for: its rollouts are imagined ones."""


@dataclass(frozen=True)
class Options:
    """What a searcher may be told besides its name; each one ignores what it has no use for.

    Attributes:
        remembered: Earlier sessions of a similar kind.
        actor: Whether PPO takes part in ``sappo``.
        policy_path: Where PPO's policy is saved, for ``PPO.load``; not saved when None.
        log: A folder for TensorBoard; None for no log.
    """

    remembered: tuple[Remembered, ...] = ()
    actor: bool = True
    policy_path: Path | None = None
    log: Path | None = None


def make_searcher(name: str, training: TrainingConfig, seed: int = 0, options: Options | None = None) -> Searcher:
    """The searcher of this name.

    Args:
        name: One of :data:`SEARCHERS` or :data:`OPTIONAL`, or ``module:object`` for one of your own.
        training: The plan's PPO settings; a seed among them wins over ``seed`` for PPO.
        seed: The same seed plays the same search.
        options: What else it may be told.

    Raises:
        UsageError: There is no such searcher, or what it needs is not installed.
    """
    if ":" in name:
        from knobctl.search.own import own_searcher

        return own_searcher(name, seed)
    if name in OPTIONAL:
        from knobctl.search.smac import SMACSearcher

        return SMACSearcher(seed)
    if name not in SEARCHERS:
        raise UsageError(f"unknown searcher {name!r}", f"Known: {', '.join(SEARCHERS)}.")
    if name == "one-at-a-time":
        from knobctl.search.one_at_a_time import OneAtATimeSearcher

        return OneAtATimeSearcher(seed)
    options = options or Options()
    if name == "sappo":
        from knobctl.search.sappo import SAPPOSearcher

        own = seed if training.seed is None else training.seed
        return SAPPOSearcher(
            own,
            options.policy_path,
            remembered=options.remembered,
            actor=options.actor,
            log=options.log,
            ignored=_chosen(training),
        )
    if name == "ppo":
        from knobctl.search.ppo import PPOSearcher

        return PPOSearcher(training, seed, options.policy_path, options.log)
    from knobctl.search.optuna_search import OptunaSearcher

    return OptunaSearcher(name, seed)


def _chosen(training: TrainingConfig) -> list[str]:
    """The settings for PPO alone that somebody chose. Playbooks only shorten rollouts, to fit the budget."""
    usual = TrainingConfig()
    chosen = [name for name in _OF_PPO_ALONE if getattr(training, name) != getattr(usual, name)]
    return [name for name in chosen if name != "n_steps" or training.n_steps > usual.n_steps]
