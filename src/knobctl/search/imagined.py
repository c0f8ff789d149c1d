"""A surrogate in, the tuning problem as many imagined environments out, in which a step costs no benchmark run.

The spaces are those of the real environment (:class:`~knobctl.env.OSTuningEnv`, its actions rescaled to [-1, 1] as
PPO likes them), so a policy that learned here plays there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvObs, VecEnvStepReturn

from knobctl.search.process import Array
from knobctl.search.surrogate import Predicted

HORIZON = 3
"""Steps of an imagined episode: predictions that build upon predictions are not to be trusted for long."""

LARGEST_REWARD = 5.0
"""Rewards are in units of noise, and no larger than this."""

BAD_SHARE = 0.2
"""A configuration may be bad with this probability before it costs anything."""

BAD_PRICE = 2.0
"""What certainty of a bad trial costs, in units of noise, for each unit of probability beyond that."""


@dataclass(frozen=True)
class Dream:
    """What the imagined environments show.

    Attributes:
        predict: What the surrogate says about points of the unit cube.
        metrics: The observed machine metrics in what is said, as shares of their ceilings, one column for each.
        shares: How much each belief of the surrogate counts.
        starts: Points where episodes may begin: what was really measured.
        unit: The log-ratio that counts 1.
        worst: A log-ratio below this is bad.
        curiosity: Reward of not knowing: so many standard deviations are added to what is expected.
    """

    predict: Callable[[Array], Predicted]
    metrics: Callable[[Predicted], Array]
    shares: Array
    starts: Array
    unit: float
    worst: float
    curiosity: float


class ImaginedEnvs(VecEnv):
    """Many short episodes side by side, each in a world of its own.

    A world is one belief of the surrogate and how far off its mean the truth is there, the same for the whole episode
    (trajectory sampling: Chua et al., "Deep Reinforcement Learning in a Handful of Trials", 2018). Episodes begin at
    what was really measured (Janner et al., "When to Trust Your Model", 2019).

    Args:
        observation_space: Of the real environment.
        knobs: Length of an action.
        count: Environments side by side.
        random: What is drawn is drawn from it.
    """

    render_mode: str | None = None

    def __init__(
        self, observation_space: gymnasium.spaces.Box, knobs: int, count: int, random: np.random.Generator
    ) -> None:
        super().__init__(count, observation_space, gymnasium.spaces.Box(-1.0, 1.0, (knobs,), np.float32))
        self._random = random
        self._knobs = knobs
        self._dream: Dream | None = None
        self._starts: NDArray[np.float32] = np.zeros((0, *(observation_space.shape or ())), np.float32)
        self._steps = np.zeros(count, dtype=int)
        self._belief = np.zeros(count, dtype=int)
        self._off = np.zeros(count)
        self._actions = np.zeros((count, knobs))

    def show(self, dream: Dream) -> None:
        """From the next reset on, this is what the environments are like."""
        self._dream = dream
        self._starts = self._seen(dream.starts, dream.predict(dream.starts))

    def reset(self) -> VecEnvObs:
        """Begins all episodes."""
        # Not all in step: an update then sees every part of an episode.
        self._steps = self._random.integers(HORIZON, size=self.num_envs)
        return self._begin(np.arange(self.num_envs))

    def step_async(self, actions: NDArray[Any]) -> None:
        """Takes the actions."""
        self._actions = np.asarray(actions, dtype=float)

    def step_wait(self) -> VecEnvStepReturn:
        """What comes of them."""
        dream = self._shown()
        points = np.clip((self._actions + 1.0) / 2.0, 0.0, 1.0)
        predicted = dream.predict(points)
        rows = np.arange(self.num_envs)
        gains = predicted.means[self._belief, rows] + self._off * predicted.sds[self._belief, rows]
        worth = (gains + dream.curiosity * predicted.sd) / dream.unit
        risk = np.maximum(predicted.below(dream.worst) - BAD_SHARE, 0.0)
        rewards = np.clip(worth - BAD_PRICE * risk, -LARGEST_REWARD, LARGEST_REWARD).astype(np.float32)
        observations = self._seen(points, predicted)
        self._steps += 1
        done = self._steps >= HORIZON
        infos: list[dict[str, Any]] = [{} for _ in rows]
        if done.any():
            for row in np.flatnonzero(done):
                infos[row] = {"terminal_observation": observations[row].copy(), "TimeLimit.truncated": False}
            self._steps[done] = 0
            observations[done] = self._begin(np.flatnonzero(done))
        return observations.copy(), rewards, done, infos

    def close(self) -> None:
        """Holds nothing."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same for every environment."""
        return [getattr(self, attr_name)] * len(self._rows(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not offered.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("imagined environments have no attributes of their own")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Not offered.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("imagined environments have no methods of their own")

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        """None is."""
        return [False] * len(self._rows(indices))

    def _rows(self, indices: int | Sequence[int] | None) -> list[int]:
        return list(self._get_indices(indices))

    def _begin(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        dream = self._shown()
        self._belief[rows] = self._random.choice(len(dream.shares), size=len(rows), p=dream.shares)
        self._off[rows] = self._random.standard_normal(len(rows))
        return self._starts[self._random.integers(len(self._starts), size=len(rows))]

    def _seen(self, points: Array, predicted: Predicted) -> NDArray[np.float32]:
        both = np.concatenate([self._shown().metrics(predicted), points], axis=1)
        return np.asarray(np.clip(both, 0.0, 1.0), dtype=np.float32)

    def _shown(self) -> Dream:
        assert self._dream is not None, "show() comes first"
        return self._dream
