"""The lifecycle that every workload has, and what one run of it yields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from knobctl.target import Target

Direction = Literal["maximize", "minimize"]
Samples = Sequence[tuple[float, float]]
"""The objective over time: (seconds since the start, value in the interval that ends there)."""
ProgressCallback = Callable[[float, Samples], bool]
"""Called with (fraction done in [0, 1], the samples so far); returning True cuts the run short."""


@dataclass(frozen=True)
class MetricSpec:
    """One number that a benchmark prints.

    Attributes:
        name: Canonical name, snake case, with the unit's idea in it (``transactions_per_second``).
        unit: Unit as printed (``1/s``, ``ms``, ``MiB/s``).
        direction: Whether more or less of it is better.
        summary: What it is, one line.
        synonyms: Other names that people and models use (``tps``).
    """

    name: str
    unit: str
    direction: Direction
    summary: str = ""
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """One run of a workload.

    Attributes:
        metrics: Every metric that the tool printed, by canonical name. Empty when the run failed.
        machine: Machine metrics over the run.
        samples: The objective over time, from progress lines: (seconds since the start, value).
        seconds: Wall time of the benchmark alone (virtual on a simulated target).
        failure: Why there is no usable number, in one line with the tool's last words; empty when there is one.
        cut_short: The progress callback ended it early.
        tripped: Why the target's health guard ended it, in words; empty when it did not. The knobs are at what was
            found then.
    """

    metrics: Mapping[str, float]
    machine: Mapping[str, float] = field(default_factory=dict)
    samples: tuple[tuple[float, float], ...] = ()
    seconds: float = 0.0
    failure: str = ""
    cut_short: bool = False
    tripped: str = ""


class Workload(Protocol):
    """One benchmark, bound to a target and ready to be run again and again.

    Order of calls: ``check``, ``prepare``, then per trial ``reset`` and ``run``, and ``cleanup`` once at the end
    whatever happened. Only ``prepare`` and later need an open target.
    """

    command: str
    """The benchmark command as a person would type it (with the arguments that the adapter fixed)."""
    run_seconds: float
    """Expected seconds of one run, for progress and budgets."""

    def check(self) -> None:
        """Makes sure that everything it needs is installed.

        Raises:
            ToolMissing: With the name of the package to install.
        """
        ...

    def prepare(self) -> None:
        """Starts services and makes data. May take a while.

        Raises:
            WorkloadError: It cannot be prepared; the tool's last words are in the message.
            HealthStop: The target's health guard ended it. ``reset`` and ``restart`` raise this too.
        """
        ...

    def reset(self) -> None:
        """Brings data back to a state in which trials are comparable (checkpoint, vacuum, delete files)."""
        ...

    def lengthen(self, seconds: float) -> bool:
        """Makes every run from now on take this long. False when the tool cannot be told how long to run."""
        ...

    @property
    def resets(self) -> bool:
        """Whether :meth:`reset` brings any data back."""
        ...

    def restart(self) -> None:
        """Restarts the services under test, so that cold knobs act. Does nothing without services."""
        ...

    def run(self, on_progress: ProgressCallback | None = None) -> Measurement:
        """Runs the benchmark once. A run that fails yields a measurement with ``failure`` set; it never raises for
        what the benchmark did."""
        ...

    def cleanup(self) -> None:
        """Removes data and ends services. Never raises."""
        ...


class Adapter(Protocol):
    """Everything that knobctl knows about one benchmark tool. Stateless."""

    program: str
    """Name of the executable, such as ``pgbench``."""
    title: str
    """For lists: ``pgbench: PostgreSQL transactions``."""
    packages: Mapping[str, str]
    """Package to install, by package manager: ``{"apt": "postgresql", "dnf": "postgresql-server"}``."""

    def metrics(self, argv: Sequence[str]) -> tuple[MetricSpec, ...]:
        """Every metric that this invocation prints; the first one is its objective when nobody names another."""
        ...

    def problems(self, argv: Sequence[str]) -> list[str]:
        """What is wrong with the arguments or not allowed without the user's own consent, one sentence each; empty
        when the command may run. Arguments are checked against a list of known ones, never against a list of bad
        ones."""
        ...

    def parse(self, argv: Sequence[str], output: str) -> dict[str, float]:
        """Every metric in the tool's output, by canonical name; empty when there is none. Never raises."""
        ...

    def run_seconds(self, argv: Sequence[str]) -> float | None:
        """Seconds of one run as far as the arguments tell; None when they do not."""
        ...

    def bind(self, argv: Sequence[str], target: Target, objective: str, reset_command: Sequence[str] = ()) -> Workload:
        """A workload that runs this command on this target, starting throw-away services unless the arguments point
        at the user's own."""
        ...
