"""The workload of a simulated target: the target's own surface is the benchmark, and time is virtual."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from knobctl.workload.base import Measurement, ProgressCallback


class SurfaceRun(Protocol):
    """What one evaluation of a surface yields."""

    @property
    def score(self) -> float | None:
        """The objective; None when the run failed or was stopped."""

    @property
    def seconds(self) -> float:
        """Virtual seconds that it took."""

    @property
    def samples(self) -> tuple[tuple[float, float], ...]:
        """The objective over virtual time."""

    @property
    def machine(self) -> Mapping[str, float]:
        """Machine metrics over the run."""

    @property
    def failure(self) -> str:
        """Why there is no score; empty when it was stopped."""


@runtime_checkable
class SurfaceTarget(Protocol):
    """A target that is its own benchmark."""

    run_seconds: float

    def evaluate(self, on_progress: ProgressCallback | None = None) -> SurfaceRun:
        """Runs the simulated benchmark once with the knobs as they are; virtual time passes."""
        ...


class SurfaceWorkload:
    """One run is one evaluation of the target's surface.

    Args:
        target: The simulated target.
        objective: Canonical name of the metric that the surface's score stands for.
        argv: The command that the score stands for; it is never run.
    """

    def __init__(self, target: SurfaceTarget, objective: str, argv: Sequence[str] = ()) -> None:
        self._target = target
        self._objective = objective
        self.command = shlex.join(argv)
        self.run_seconds = target.run_seconds

    def check(self) -> None:
        """Nothing has to be installed."""

    def prepare(self) -> None:
        """Nothing to prepare."""

    def reset(self) -> None:
        """A surface has no memory."""

    def restart(self) -> None:
        """No service to restart."""

    def cleanup(self) -> None:
        """Nothing to remove."""

    def run(self, on_progress: ProgressCallback | None = None) -> Measurement:
        """Asks the surface for its score."""
        result = self._target.evaluate(on_progress)
        if result.score is not None:
            metrics = {self._objective: result.score}
            return Measurement(metrics, result.machine, result.samples, result.seconds)
        cut_short = not result.failure
        failure = result.failure or f"cut short after {result.seconds:.1f} s"
        return Measurement({}, result.machine, result.samples, result.seconds, failure, cut_short)
