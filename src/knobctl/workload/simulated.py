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

    def reset_benchmark(self) -> None:
        """Brings the benchmark's data back; virtual time passes."""
        ...

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

    @property
    def run_seconds(self) -> float:
        """Virtual seconds of one run; setting it makes runs longer or shorter."""
        return self._target.run_seconds

    @run_seconds.setter
    def run_seconds(self, seconds: float) -> None:
        self._target.run_seconds = seconds

    def check(self) -> None:
        """Nothing has to be installed."""

    def prepare(self) -> None:
        """Nothing to prepare."""

    def reset(self) -> None:
        """Brings back what the runs before have worn down, where the surface wears."""
        self._target.reset_benchmark()

    def lengthen(self, seconds: float) -> bool:
        """Makes every run from now on take this many virtual seconds."""
        self._target.run_seconds = self.run_seconds = seconds
        return True

    @property
    def resets(self) -> bool:
        """A surface's data are as new before each run, as far as it has any."""
        return True

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
