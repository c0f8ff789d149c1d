"""PPO of stable-baselines3 on the real environment, as in textbooks: each step is one run of the benchmark."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
import torch
from gymnasium.wrappers import RescaleAction
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from knobctl.env.environment import Action, Observation
from knobctl.plan import TrainingConfig
from knobctl.search.base import BudgetedEnv, SearchOver, SearchSummary

LOG_STD_INIT = -0.5
"""First actions spread by 0.6 around the middle of each range, whose half is 1: wide, but not mostly at the ends."""


class LearningReward(gymnasium.Wrapper[Observation, Action, Observation, Action]):
    """Gives the learner ``info["learning_reward"]``: the gain in units of noise, the same scale for every workload."""

    def step(self, action: Action) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """As the environment's, with the learner's reward."""
        observation, _, terminated, truncated, info = self.env.step(action)
        return observation, float(info["learning_reward"]), terminated, truncated, info


def silent() -> Logger:
    """A logger that writes nothing; SB3's own leaves an empty folder behind at each call of ``learn``."""
    return Logger(None, [])


class _CountUpdates(BaseCallback):
    """Counts complete rollouts: SB3 trains right after each, and never on a part of one."""

    def __init__(self) -> None:
        super().__init__()
        self.updates = 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.updates += 1


class PPOSearcher:
    """Plays with a policy that PPO trains while it plays.

    The plan's ``n_steps`` is kept as it is: a budget smaller than one rollout means that the policy never learns, and
    the summary says so.

    Args:
        training: SB3's arguments, by their own names.
        seed: Of the policy and its actions; the same seed plays the same search.
        policy_path: Where the trained policy is saved, for ``PPO.load``; not saved when None.
        log: A folder for TensorBoard; None for no log.
    """

    name = "ppo"

    def __init__(
        self, training: TrainingConfig, seed: int = 0, policy_path: Path | None = None, log: Path | None = None
    ) -> None:
        self._training = training
        self._log = log
        self._seed = seed
        self._policy_path = policy_path

    def play(self, env: BudgetedEnv) -> SearchSummary:
        """Plays until the budget is used up."""
        torch.set_num_threads(1)
        trials = env.remaining
        model, count = self._model(env), _CountUpdates()
        if self._log is None:
            model.set_logger(silent())
        with contextlib.suppress(SearchOver):
            # One rollout more than the budget holds: the environment ends the search, not SB3's own arithmetic.
            model.learn(total_timesteps=trials + self._training.n_steps, callback=count, tb_log_name="ppo")
        if self._policy_path is not None:
            model.save(self._policy_path)
        return SearchSummary(policy_updates=count.updates, notes=self._notes(trials, count.updates))

    def _model(self, env: BudgetedEnv) -> PPO:
        training = self._training
        batch_size = min(training.batch_size or training.n_steps, training.n_steps)
        with warnings.catch_warnings():
            # A batch_size that does not divide n_steps is the plan's choice; SB3 copes with a smaller last batch.
            warnings.filterwarnings("ignore", message="You have specified a mini-batch size", category=UserWarning)
            return PPO(
                training.policy,
                LearningReward(RescaleAction(env, np.float32(-1.0), np.float32(1.0))),
                learning_rate=training.learning_rate,
                n_steps=training.n_steps,
                batch_size=batch_size,
                n_epochs=training.n_epochs,
                gamma=training.gamma,
                gae_lambda=training.gae_lambda,
                clip_range=training.clip_range,
                clip_range_vf=training.clip_range_vf,
                normalize_advantage=training.normalize_advantage,
                ent_coef=training.ent_coef,
                vf_coef=training.vf_coef,
                max_grad_norm=training.max_grad_norm,
                target_kl=training.target_kl,
                policy_kwargs={"log_std_init": LOG_STD_INIT},
                tensorboard_log=None if self._log is None else str(self._log),
                seed=self._seed if training.seed is None else training.seed,
                device="cpu",
                verbose=0,
            )

    def _notes(self, trials: int, updates: int) -> tuple[str, ...]:
        if updates > 0:
            return ()
        return (
            f"PPO could not make a single update in {trials} trials: one update needs n_steps = "
            f"{self._training.n_steps}. Every configuration was drawn from the untrained policy.",
        )
