"""Plans, surfaces and environments for tests: everything comes in through the front door."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from knobctl.env import OSTuningEnv, make_env
from knobctl.knobs import Value
from knobctl.plan import TuningPlan, plan_from
from knobctl.target.simulated import SimulatedTarget

Score = Callable[[Mapping[str, Value]], float | None]


class Hill:
    """A surface of knobs ``demo.k0`` ... found at 0 of 0..1000, whose score a test chooses."""

    metric = "transactions_per_second"
    direction = "maximize"

    def __init__(self, knobs: int, score: Score) -> None:
        self.names = tuple(f"demo.k{index}" for index in range(knobs))
        self.action_space = [{"param": name, "min": 0, "max": 1000} for name in self.names]
        self._score = score

    def default(self) -> dict[str, Value]:
        return dict.fromkeys(self.names, 0)

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        return self._score(configuration)


def number(configuration: Mapping[str, Value], name: str = "demo.k0") -> int:
    value = configuration[name]
    assert isinstance(value, int)
    return value


def bell(configuration: Mapping[str, Value]) -> float:
    """Twice as good at 700 for every knob as far away from it."""
    distances = [(number(configuration, name) - 700) / 250 for name in configuration]
    return 1000.0 * math.exp(math.log(2) * sum(math.exp(-0.5 * d * d) for d in distances) / len(distances))


def plan_for(surface: Hill, **training: Any) -> TuningPlan:
    return plan_from(
        {
            "workload_name": "invented",
            "reward_metric": "transactions_per_second",
            "benchmark_command": "pgbench -c 8 -j 2 -T 5 testdb",
            "action_space": surface.action_space,
            "state_space": [{"metric": "cpu_usage"}, {"metric": "iowait"}],
            "training_config": {"total_timesteps": 20, "max_steps_per_episode": 6, **training},
        }
    )


def target_for(surface: Hill, noise: float = 0.0, seed: int = 0) -> SimulatedTarget:
    return SimulatedTarget(surface, noise=noise, seed=seed)


def env_for(
    score: Score = bell, knobs: int = 1, *, noise: float = 0.0, seed: int = 0, options: Mapping[str, Any] | None = None,
    **training: Any,
) -> OSTuningEnv:  # fmt: skip
    """An environment on a hill; ``options`` go to ``make_env``, the rest into the plan's ``training_config``."""
    surface = Hill(knobs, score)
    return make_env(plan_for(surface, **training), target_for(surface, noise, seed), **(options or {}))
