"""The tuning problem as a Gymnasium environment: an action in [0, 1] in, knobs set, a benchmark run, a reward out.

The environment measures through a :class:`~knobctl.env.bench.Bench`, so every trial is recorded whoever plays it, and
it keeps the budget, so nobody can play more trials than were granted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from numpy.typing import NDArray

from knobctl.env.bench import SEARCH_KINDS, Bench
from knobctl.errors import BenchmarkBroken, KnobChangedByOther, SafetyStop
from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.reward import (
    LARGEST_SIGNAL,
    SMALLEST_NOISE,
    failed_reward,
    guardrail_excess,
    learning_signal,
    log_gain,
    penalty,
    reward,
)
from knobctl.target.metrics import find_machine_metric

Observation = NDArray[np.float32]
Action = NDArray[np.float32]

CONTROL_EVERY = 8
"""Search trials between two measurements of the default configuration, by which drift is seen."""

MOST_FAILURES_IN_A_ROW = 3
"""One more ends the episode."""


@dataclass(frozen=True)
class Baseline:
    """The default configuration as measured before the search.

    Attributes:
        score: The objective, a positive number (the geometric mean of several runs, where there are several).
        machine: Machine metrics over a run.
        metrics: Everything that the benchmark printed, for guardrails.
        noise: Standard deviation of the score between runs, as a share of it.
    """

    score: float
    machine: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.05


def _nothing() -> None:
    """Needs no preparation."""


class OSTuningEnv(gymnasium.Env[Observation, Action]):
    """One trial per step.

    * ``action_space``: ``Box(0, 1)``, one number per knob in the plan's order.
    * ``observation_space``: ``Box(0, 1)``: the plan's machine metrics over the last run as shares of their ceilings
      (0 when the machine does not have one), then the place of every knob's current value in its range.
    * Reward: :func:`knobctl.reward.reward`; 100 for a quiet machine at its default configuration. A failed trial has a
      finite reward below that of the worst one measured.
    * ``terminated``: the target's health guard tripped too often (``info["safety_stop"]`` is the error, which every
      further step or reset raises), or more than three trials in a row failed. ``truncated``: the episode's step limit
      or the budget is reached. A step beyond the budget measures nothing: it repeats the last observation and reward,
      and ``info["budget_spent"]`` is set.
    * ``info["trial"]`` is the :class:`~knobctl.events.Trial`, ``info["learning_reward"]`` the gain in units of noise,
      from -5 to 5. Neither is there when the session ended while the default was measured again before the trial.

    ``reset`` goes back to the default configuration and runs no benchmark, except once when no baseline is known.

    Args:
        bench: Measures on an open target, or on one that ``prepare`` opens.
        baseline: The default configuration as measured before; measured once when None.
        budget: Trials of the search; the plan's ``total_timesteps`` when None.
        control_every: The default is measured again after so many trials of the search.
        prepare: Called once, before the first reset.
        cleanup: Called by ``close`` when ``prepare`` was.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        bench: Bench,
        *,
        baseline: Baseline | None = None,
        budget: int | None = None,
        control_every: int = CONTROL_EVERY,
        prepare: Callable[[], None] = _nothing,
        cleanup: Callable[[], None] = _nothing,
    ) -> None:
        self.bench = bench
        self.plan = bench.plan
        self.baseline = baseline
        training = self.plan.plan.training_config
        self.budget = training.total_timesteps if budget is None else budget
        self._steps_per_episode = training.max_steps_per_episode
        self._control_every = control_every
        self._prepare, self._cleanup = prepare, cleanup
        self._prepared = False
        self._metrics = [metric for name in self.plan.state if (metric := find_machine_metric(name)) is not None]
        self.action_space = gymnasium.spaces.Box(0.0, 1.0, (len(self.plan.knobs),), np.float32)
        self.observation_space = gymnasium.spaces.Box(
            0.0, 1.0, (len(self._metrics) + len(self.plan.knobs),), np.float32
        )
        self._machine: Mapping[str, float] = {}
        self._played = 0
        self._episodes = 0
        self._steps = 0
        self._failures = 0
        self._since_control = 0
        self._best_gain = 0.0
        self._last_reward = 100.0
        self._stop: SafetyStop | None = None

    @property
    def played(self) -> int:
        """Trials of the search so far; never more than the budget."""
        return self._played

    @property
    def episodes(self) -> int:
        """Episodes in which at least one trial was played."""
        return self._episodes

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begins an episode at the default configuration.

        Raises:
            BenchmarkBroken: The baseline had to be measured, and that failed twice.
            SafetyStop: A guard of the target ended this session earlier, or ends it now.
        """
        super().reset(seed=seed)
        self._refuse_after_stop()
        if not self._prepared:
            self._prepared = True
            self._prepare()
        self.bench.apply(None)
        if self.baseline is None:
            trial = self._measure_default("baseline")
            self.baseline = Baseline(_score(trial), trial.machine, trial.metrics)
        self._steps = self._failures = 0
        self._machine = self.baseline.machine
        return self._observe(), {}

    def step(self, action: Action) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Tries the configuration of this action. See :meth:`try_configuration`."""
        return self.try_configuration(self.plan.decode([float(number) for number in action]))

    def try_configuration(
        self, configuration: Mapping[str, Value], kind: str = "search"
    ) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Plays a step with a configuration in place of an action (couplings repaired).

        Raises:
            BenchmarkBroken: The trial failed, and so does the default configuration.
            KnobChangedByOther: Somebody else changed a knob.
            SafetyStop: A guard of the target ended this session in an earlier step.
        """
        self._refuse_after_stop()
        if self.baseline is None:
            raise gymnasium.error.ResetNeeded("Call reset() before the first step.")
        if self._played >= self.budget:
            return self._observe(), self._last_reward, False, True, {"budget_spent": True}
        if self._since_control >= self._control_every and self._guarded(lambda: self._measure_default("control")):
            return self._observe(), self._last_reward, True, False, {"safety_stop": self._stop}
        self._played += 1
        self._episodes += self._steps == 0
        self._steps += 1
        self._since_control += 1
        position, complete = self._played, self.plan.repair(configuration)
        stop = self._guarded(lambda: self.bench.measure(complete, kind, position, self.budget, self._reward_of))
        trial = self.bench.trials[-1]
        self._failures = self._failures + 1 if trial.score is None else 0
        self._machine = trial.machine or self._machine
        observation = self._observe()
        if trial.score is None and stop is None:
            stop = self._guarded(lambda: self._measure_default("canary"))
        self._last_reward = trial.reward if trial.reward is not None else self._last_reward
        info: dict[str, Any] = {"trial": trial, "learning_reward": self._learning_reward(trial)}
        if stop is not None:
            info["safety_stop"] = stop
        terminated = stop is not None or self._failures > MOST_FAILURES_IN_A_ROW
        truncated = self._steps >= self._steps_per_episode or self._played >= self.budget
        return observation, self._last_reward, terminated, truncated, info

    def _guarded(self, measure: Callable[[], Trial]) -> SafetyStop | None:
        """Measures. Returns the stop when a guard of the target ends the session with this trial, which is recorded."""
        try:
            measure()
        except KnobChangedByOther:
            raise
        except SafetyStop as stop:
            self._stop = stop
        return self._stop

    def _refuse_after_stop(self) -> None:
        if self._stop is not None:
            raise self._stop

    def places(self, configuration: Mapping[str, Value]) -> tuple[float, ...]:
        """Where every knob's value is in its range, in [0, 1]: the action that decodes to this configuration."""
        return tuple(_place(tuned.dimension.encode, configuration[tuned.knob.name]) for tuned in self.plan.knobs)

    def close(self) -> None:
        """Ends what the environment itself began. Closing twice is allowed."""
        if self._prepared:
            self._prepared = False
            self._cleanup()

    def _measure_default(self, kind: str) -> Trial:
        """The default configuration, tried once more when it fails.

        Raises:
            BenchmarkBroken: It failed twice; or, for a canary, which is a second look already, once.
        """
        self._since_control = 0
        trial = self.bench.measure(None, kind)
        if trial.score is None and kind != "canary":
            trial = self.bench.measure(None, "canary")
        if trial.score is None:
            raise BenchmarkBroken(
                f"the benchmark fails at the default configuration too: {trial.failure}",
                f"Run it by hand and see what it says: {self.plan.command.text}",
            )
        return trial

    def _excess(self, trial: Trial) -> float:
        assert self.baseline is not None, "only called in a step"
        return sum(
            guardrail_excess(
                trial.metrics[rail.metric.name],
                self.baseline.metrics[rail.metric.name],
                rail.metric.direction,
                rail.tolerance_percent,
            )
            for rail in self.plan.guardrails
            if _usable(trial.metrics.get(rail.metric.name)) and _usable(self.baseline.metrics.get(rail.metric.name))
        )

    def _reward_of(self, trial: Trial) -> float:
        assert self.baseline is not None, "only called in a step"
        direction, spec = self.plan.objective.direction, self.plan.plan.reward
        if trial.score is not None:
            penalty_percent = penalty(trial.machine, self._excess(trial))
            return reward(trial.score, self.baseline.score, direction, penalty_percent, spec)
        measured = [t.score for t in self.bench.trials if t.kind in SEARCH_KINDS and t.score is not None]
        return failed_reward(measured, self.baseline.score, direction, spec)

    def _learning_reward(self, trial: Trial) -> float:
        """The gain in units of noise. The unit grows with the best gain, so that a better one is always more."""
        assert self.baseline is not None, "only called in a step"
        if trial.score is None:
            return -LARGEST_SIGNAL
        direction = self.plan.objective.direction
        self._best_gain = max(self._best_gain, log_gain(trial.score, self.baseline.score, direction))
        unit = max(self.baseline.noise, SMALLEST_NOISE, self._best_gain / LARGEST_SIGNAL)
        return learning_signal(trial.score, self.baseline.score, direction, unit, self._excess(trial))

    def shares(self, machine: Mapping[str, float]) -> tuple[float, ...]:
        """The observed machine metrics as shares of their ceilings, 0 for one that is not there."""
        return tuple(machine.get(metric.name, 0.0) / metric.ceiling for metric in self._metrics)

    def _observe(self) -> Observation:
        both = (*self.shares(self._machine), *self.places(self.bench.current))
        return np.clip(np.array(both, dtype=np.float32), 0.0, 1.0)


def _place(encode: Callable[[Value], float], value: Value) -> float:
    try:
        return encode(value)
    except ValueError:
        return 0.0  # the machine was found with a choice that the plan does not explore


def _usable(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _score(trial: Trial) -> float:
    assert trial.score is not None, "a failed default is an error"
    return trial.score
