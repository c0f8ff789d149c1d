from __future__ import annotations

import pytest

from knobctl.errors import TargetError
from knobctl.target.simulated import SimulatedTarget, simulated_target
from knobctl.workload.opening import open_workload
from knobctl.workload.registry import adapter_for
from knobctl.workload.simulated import SurfaceWorkload
from knobctl.workload.tool import ToolWorkload
from tests.workload.folder_target import ScriptedTarget

ARGV = ("pgbench", "-c", "50", "-T", "30", "testdb")
TPS = "transactions_per_second"


class CrashingSurface:
    """Fails with every configuration."""

    metric, direction = TPS, "maximize"
    action_space = ({"param": "vm.dirty_ratio", "min": 5, "max": 80},)

    def default(self) -> dict[str, int]:
        return {"vm.dirty_ratio": 20}

    def score(self, configuration: dict[str, int]) -> None:
        return None


def opened(target: SimulatedTarget) -> SurfaceWorkload:
    target.open("session")
    workload = open_workload(adapter_for(ARGV), ARGV, target, TPS)
    assert isinstance(workload, SurfaceWorkload)
    return workload


def test_a_simulated_target_is_its_own_benchmark_in_virtual_time() -> None:
    target = simulated_target(run_seconds=30.0)
    workload = opened(target)
    for step in (workload.check, workload.prepare, workload.reset, workload.restart):
        step()

    measurement = workload.run()

    assert workload.command == "pgbench -c 50 -T 30 testdb"
    assert workload.run_seconds == measurement.seconds == 30.0
    assert target.clock.monotonic() == 31.0, "a reset takes a second"
    assert list(measurement.metrics) == [TPS]
    assert len(measurement.samples) == 30
    assert measurement.machine
    assert measurement.failure == ""


def test_runs_can_be_made_longer() -> None:
    workload = opened(simulated_target(run_seconds=5.0))
    workload.run_seconds = 12.0
    assert workload.run().seconds == workload.run_seconds == 12.0


def test_a_simulated_run_can_be_cut_short() -> None:
    target = simulated_target(run_seconds=30.0)

    measurement = opened(target).run(lambda fraction, score: fraction >= 0.5)

    assert measurement.cut_short
    assert measurement.metrics == {}
    assert measurement.seconds == target.clock.monotonic() == 15.0
    assert measurement.failure == "cut short after 15.0 s"


def test_a_surface_that_fails_is_a_failed_trial() -> None:
    measurement = opened(SimulatedTarget(CrashingSurface())).run()  # type: ignore[arg-type]

    assert measurement.metrics == {}
    assert not measurement.cut_short
    assert measurement.failure


def test_a_simulated_target_without_a_surface_is_refused() -> None:
    target = ScriptedTarget({})
    target.simulated = True

    with pytest.raises(TargetError, match="the simulated target scripted has no benchmark"):
        open_workload(adapter_for(ARGV), ARGV, target, TPS)


def test_a_real_target_gets_the_tools_workload_with_the_timeout_that_was_approved() -> None:
    workload = open_workload(adapter_for(ARGV), ARGV, ScriptedTarget({}), TPS, timeout=123.0)

    assert isinstance(workload, ToolWorkload)
    assert workload.timeout == 123.0
    assert workload.command == "pgbench -P 1 -c 50 -T 30 testdb"
