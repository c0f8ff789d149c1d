"""Sweeps of invented machines, recorded in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from knobctl.events import Event
from knobctl.knobs import Value
from knobctl.lab.record import Recorded, record
from knobctl.lab.sweep import Sweep, read_sweep
from knobctl.plan import plan_from
from knobctl.safety import Consent, SafePlan, SafetyValidator
from knobctl.target.noise import NoiseModel
from knobctl.target.simulated import SimulatedTarget
from knobctl.target.surfaces import Surface

COMMAND = "sysbench fileio --file-total-size=1G --file-num=16 --file-test-mode=seqwr --time=4 run"
RUN_SECONDS = 3.0


class Machine:
    """Two knobs that matter, one that does not, a word that does; its best point is known."""

    metric = "written_mib_per_second"
    direction = "maximize"
    action_space: tuple[dict[str, Any], ...] = (
        {"param": "vm.dirty_ratio", "min": 2, "max": 80, "scale": "log"},
        {"param": "vm.dirty_background_ratio", "min": 1, "max": 60},
        {"param": "vm.swappiness", "min": 0, "max": 100},
        {"param": "block.scheduler", "values": ["mq-deadline", "none", "kyber"]},
    )

    def default(self) -> dict[str, Value]:
        """As found."""
        return {
            "vm.dirty_ratio": 20, "vm.dirty_background_ratio": 10, "vm.swappiness": 60,
            "block.scheduler": "mq-deadline",
        }  # fmt: skip

    def gain(self, configuration: Mapping[str, Value]) -> float:
        """0 at the default, 0.3 at its best: dirty_ratio 80, scheduler none."""
        values = {**self.default(), **configuration}
        ratio = values["vm.dirty_ratio"]
        assert isinstance(ratio, int)
        return 0.2 * math.log(ratio / 20) / math.log(4) + (0.1 if values["block.scheduler"] == "none" else 0.0)

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        """The score without noise."""
        return 3000.0 * math.exp(self.gain(configuration))


class Slow(Machine):
    """The same, and less is better."""

    metric = "latency_average_ms"
    direction = "minimize"

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        """The score without noise."""
        return 3.0 * math.exp(-self.gain(configuration))


class Indifferent(Machine):
    """No knob does anything."""

    def gain(self, configuration: Mapping[str, Value]) -> float:
        """Always 0."""
        return 0.0


def machine(
    surface: Surface | None = None, noise: NoiseModel | float = 0.02, seed: int = 0, **options: Any
) -> SimulatedTarget:
    """A simulated machine that is not open."""
    return SimulatedTarget(surface or Machine(), noise, seed, RUN_SECONDS, **options)


def safe_plan(target: SimulatedTarget) -> SafePlan:
    """A plan over all knobs of its surface."""
    document = {
        "workload_name": "sequential writes", "reward_metric": target.surface.metric, "benchmark_command": COMMAND,
        "action_space": list(target.surface.action_space), "state_space": [], "training_config": {},
    }  # fmt: skip
    consent = Consent(command=COMMAND)
    return SafetyValidator(target.catalogue, target.facts(), target.probe(), consent).validate(plan_from(document))


def recording(
    path: Path,
    target: SimulatedTarget,
    runs: int = 60,
    seed: int = 1,
    emit: Callable[[Event], None] = lambda event: None,
    seconds: float | None = None,
    calm_percent: float | None = None,
    force: bool = False,
) -> Recorded:
    """Records a sweep, or what is missing of it."""
    return record(
        safe_plan(target), target, path, emit, runs=runs, seed=seed, command="knobctl lab record plan.json",
        seconds=seconds, calm_percent=calm_percent, force=force,
    )  # fmt: skip


def recorded(
    path: Path, surface: Surface | None = None, noise: NoiseModel | float = 0.02, runs: int = 60, seed: int = 1
) -> Sweep:
    """A whole sweep."""
    recording(path, machine(surface, noise), runs, seed)
    return read_sweep(path)
