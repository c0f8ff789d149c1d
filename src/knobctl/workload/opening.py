"""From an adapter and a target to a workload that is ready to be checked, prepared and run."""

from __future__ import annotations

from collections.abc import Sequence

from knobctl.errors import TargetError
from knobctl.target import Target
from knobctl.workload.base import Adapter, Workload
from knobctl.workload.simulated import SurfaceTarget, SurfaceWorkload
from knobctl.workload.tool import ToolWorkload


def open_workload(
    adapter: Adapter,
    argv: Sequence[str],
    target: Target,
    objective: str,
    reset_argv: Sequence[str] = (),
    timeout: float | None = None,
) -> Workload:
    """The workload of an approved command.

    Args:
        adapter: Knows the command.
        argv: Program and arguments.
        target: Where it runs; a simulated target plays the benchmark itself.
        objective: Canonical name of the metric to follow.
        reset_argv: Runs before each trial.
        timeout: Seconds after which one run is killed; chosen from the arguments when left out.

    Raises:
        TargetError: The target is simulated and has no surface.
    """
    if target.simulated:
        if not isinstance(target, SurfaceTarget):
            raise TargetError(f"the simulated target {target.name} has no benchmark", "Use --target local.")
        return SurfaceWorkload(target, objective, argv)
    workload = adapter.bind(argv, target, objective, reset_argv)
    if timeout is not None and isinstance(workload, ToolWorkload):
        workload.timeout = timeout
    return workload
