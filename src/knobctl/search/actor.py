"""PPO of stable-baselines3 that learns in imagination: a dream in, configurations that its policy would try out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO

from knobctl.search.imagined import Dream, ImaginedEnvs
from knobctl.search.ppo import silent
from knobctl.search.process import Array

ENVIRONMENTS = 64
ROLLOUT = 6
UPDATES = 4
"""Updates of the policy between two real trials, each from ``ROLLOUT`` steps of ``ENVIRONMENTS`` imagined ones."""

LOG_STD = -0.5
"""The spread of actions begins anew here before every real trial: PPO gives up exploring too early (Hämäläinen et
al., "PPO-CMA", 2018)."""

LEAST_LOG_STD = -2.0


class Actor:
    """A policy, kept through the whole search.

    Args:
        observation_space: Of the real environment.
        knobs: Length of an action.
        seed: The same seed and dreams train the same policy.
        log: A folder for TensorBoard; None for no log.
    """

    def __init__(self, observation_space: gymnasium.spaces.Box, knobs: int, seed: int, log: Path | None = None) -> None:
        torch.set_num_threads(1)
        self._random = np.random.default_rng((seed, 1))
        self._envs = ImaginedEnvs(observation_space, knobs, ENVIRONMENTS, self._random)
        self.updates = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self._ppo = PPO(
                "MlpPolicy",
                self._envs,
                learning_rate=3e-3,
                n_steps=ROLLOUT,
                batch_size=ENVIRONMENTS * ROLLOUT // 2,
                n_epochs=4,
                gamma=0.5,
                gae_lambda=0.9,
                clip_range=0.2,
                target_kl=0.05,
                policy_kwargs={"log_std_init": LOG_STD, "net_arch": [64, 64]},
                tensorboard_log=None if log is None else str(log),
                seed=seed,
                device="cpu",
                verbose=0,
            )
        if log is None:
            self._ppo.set_logger(silent())

    def learn(self, dream: Dream, updates: int = UPDATES) -> None:
        """Trains in a dream."""
        self._envs.show(dream)
        self._spread(lambda _: LOG_STD)
        self._ppo._last_obs = None  # The episodes of the last dream are over.
        self._ppo.learn(updates * ROLLOUT * ENVIRONMENTS, reset_num_timesteps=self.updates == 0, tb_log_name="sappo")
        self._spread(lambda value: max(value, LEAST_LOG_STD))
        self.updates += updates

    def propose(self, observations: Array, count: int) -> Array:
        """What the policy would try after these observations: ``count`` points of the unit cube."""
        rows = observations[self._random.integers(len(observations), size=count)].astype(np.float32)
        actions, _ = self._ppo.predict(rows, deterministic=False)
        return np.clip((np.asarray(actions, dtype=float) + 1.0) / 2.0, 0.0, 1.0)

    def save(self, path: Path) -> None:
        """Saves the policy, for ``PPO.load``."""
        self._ppo.save(path)

    def _spread(self, change: Callable[[float], float]) -> None:
        spread = self._ppo.policy.log_std
        with torch.no_grad():
            spread.copy_(torch.tensor([change(float(value)) for value in spread]))
