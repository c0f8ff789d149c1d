"""What all benchmark tools have in common: an adapter to fill in, and the workload that runs its command.

A command goes in; a :class:`~knobctl.workload.base.Measurement` comes out of every run, with a failure in words when
the tool failed, hung, or printed no usable number.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from knobctl.errors import HealthStop, KnobctlError, ToolMissing, WorkloadError
from knobctl.target import Command, CommandOutcome, Target
from knobctl.workload.arguments import Arguments
from knobctl.workload.base import Measurement, MetricSpec, ProgressCallback, Workload

UNKNOWN_RUN_SECONDS = 10.0
"""First guess for a command whose duration cannot be told from its arguments."""

RESET_TIMEOUT = 600.0

RELIEF = (
    "Free memory or disk space, make the benchmark smaller, or narrow the range of the knob; `knobctl doctor` looks at "
    "the machine."
)
"""What to do when the health guard tripped."""


@dataclass(frozen=True)
class ProgressLine:
    """What one line of output says about the run so far.

    Attributes:
        seconds: Since the start of the measurement, as the tool says.
        metrics: Metrics in the interval that the line reports.
        fraction: Share of the run that is done, when the tool counts work and not time.
        done: Work done so far, for tools that count it.
    """

    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    fraction: float | None = None
    done: float = 0.0


class ToolAdapter(ABC):
    """Base of all adapters; satisfies :class:`~knobctl.workload.base.Adapter`. Stateless."""

    program: str
    title: str
    packages: Mapping[str, str]

    @abstractmethod
    def metrics(self, argv: Sequence[str]) -> tuple[MetricSpec, ...]:
        """Every metric that this invocation prints, the usual objective first."""

    @abstractmethod
    def problems(self, argv: Sequence[str]) -> list[str]:
        """What is wrong, or not allowed without the user's own consent, one sentence each."""

    @abstractmethod
    def parse(self, argv: Sequence[str], output: str) -> dict[str, float]:
        """Every metric in the output, by canonical name. Never raises."""

    def arguments(self, argv: Sequence[str]) -> Arguments:
        """The arguments, sorted as the tool sorts them; none when nothing is known about its options."""
        return Arguments()

    def run_seconds(self, argv: Sequence[str]) -> float | None:
        """Seconds of one run as far as the arguments tell; None when they do not."""
        return None

    def complete(self, argv: Sequence[str]) -> tuple[str, ...]:
        """The command with what knobctl adds to it, such as progress reports."""
        return tuple(argv)

    def progress(
        self, argv: Sequence[str], line: str, seconds: float, previous: ProgressLine | None
    ) -> ProgressLine | None:
        """What a line says about the run so far; None for any other line. Never raises.

        Args:
            argv: The command.
            line: One line of output.
            seconds: When it came, since the start of the program.
            previous: The last line that said something.
        """
        return None

    def lasting(self, argv: Sequence[str], seconds: int) -> tuple[str, ...]:
        """The command with another duration; empty when the tool takes none."""
        return ()

    def complaint(self, argv: Sequence[str], metrics: Mapping[str, float], output: str) -> str:
        """Why the metrics of this output are worth nothing although the tool did not fail; usually empty."""
        return ""

    def workload(
        self, argv: Sequence[str], target: Target, objective: str, reset_command: Sequence[str], reader: ToolAdapter
    ) -> Workload:
        """The workload of a command; ``reader`` is the adapter that reads its output."""
        return ToolWorkload(reader, argv, target, objective, reset_command)

    def bind(self, argv: Sequence[str], target: Target, objective: str, reset_command: Sequence[str] = ()) -> Workload:
        """A workload that runs this command on this target."""
        return self.workload(argv, target, objective, reset_command, self)


class ToolWorkload:
    """A command that needs no server and no data. Base of the workloads that do.

    Args:
        adapter: Reads the output.
        argv: Program and arguments, as the user gave them.
        target: Where to run.
        objective: Canonical name of the metric to follow.
        reset_command: Runs before each trial, after the workload's own reset.
    """

    def __init__(
        self,
        adapter: ToolAdapter,
        argv: Sequence[str],
        target: Target,
        objective: str,
        reset_command: Sequence[str] = (),
    ) -> None:
        self.adapter = adapter
        self.argv = adapter.complete(argv)
        self.target = target
        self.objective = objective
        self.reset_command = tuple(reset_command)
        self.command = shlex.join(self.argv)
        expected = adapter.run_seconds(argv)
        self._seconds_known = expected is not None
        self.run_seconds = UNKNOWN_RUN_SECONDS if expected is None else expected
        self.timeout = 600.0 if expected is None else 3 * expected + 60.0
        """Seconds after which a run counts as hanging. May be changed before a run."""

    def check(self) -> None:
        """Makes sure that the program is installed.

        Raises:
            ToolMissing: With the package to install.
        """
        self.program()

    def prepare(self) -> None:
        """Nothing to prepare."""

    def reset(self) -> None:
        """Runs the user's reset command, if there is one.

        Raises:
            WorkloadError: It failed; its last words are in the message.
        """
        if self.reset_command:
            self.require("the reset command", self.reset_command, RESET_TIMEOUT)

    def lengthen(self, seconds: float) -> bool:
        """Makes every run from now on take this long. False when the tool cannot be told how long to run."""
        longer = self.adapter.lasting(self.argv, round(seconds))
        expected = self.adapter.run_seconds(longer) if longer else None
        if expected is None or self.adapter.problems(longer):
            return False
        self.timeout += 3 * max(0.0, expected - self.run_seconds)
        self.argv, self.command, self.run_seconds = longer, shlex.join(longer), expected
        return True

    @property
    def resets(self) -> bool:
        """Whether :meth:`reset` brings any data back."""
        return bool(self.reset_command)

    def restart(self) -> None:
        """No service to restart."""

    def cleanup(self) -> None:
        """Nothing to remove."""

    def program(self) -> str:
        """Path of the program to run: the user's own path when they gave one."""
        name = self.argv[0]
        return name if "/" in name else locate(self.target, name, self.adapter.packages)

    def run_argv(self) -> tuple[str, ...]:
        """The exact command of a run."""
        return (self.program(), *self.argv[1:])

    def run_environment(self) -> Mapping[str, str]:
        """Environment of a run, on top of the target's own."""
        return {}

    def run(self, on_progress: ProgressCallback | None = None) -> Measurement:
        """Runs the benchmark once."""
        watch = _Watch(self.adapter, self.argv, self.objective, self.run_seconds, on_progress)
        command = Command(self.run_argv(), self.timeout, self.run_environment(), sample=True)
        outcome = self.target.run(command, watch.on_line)
        measurement = measure(self.adapter, self.argv, self.objective, outcome, tuple(watch.samples))
        if not self._seconds_known and not measurement.failure:
            self.run_seconds = max(outcome.seconds, 0.1)
        return measurement

    def require(self, what: str, argv: Sequence[str], timeout: float, hint: str = "") -> CommandOutcome:
        """Runs a command that has to succeed.

        Raises:
            WorkloadError: It failed; its last words are in the message.
            HealthStop: The health guard ended it.
        """
        outcome = self.target.run(Command(tuple(argv), timeout, self.run_environment()))
        stop_if_tripped(outcome, what)
        if not outcome.ok:
            raise WorkloadError(f"{what} failed: {failure_of(outcome, argv[0], timeout)}", hint)
        return outcome

    def attempt(self, argv: Sequence[str], timeout: float) -> None:
        """Runs a command whose failure does not matter.

        Raises:
            HealthStop: The health guard ended it: the knobs are no longer what they were, which matters.
        """
        try:
            outcome = self.target.run(Command(tuple(argv), timeout, self.run_environment()))
        except KnobctlError:
            return
        stop_if_tripped(outcome, argv[0])


class _Watch:
    """Follows the output of one run: collects samples and tells the progress callback."""

    def __init__(
        self,
        adapter: ToolAdapter,
        argv: Sequence[str],
        objective: str,
        expected: float,
        on_progress: ProgressCallback | None,
    ) -> None:
        self.samples: list[tuple[float, float]] = []
        self._adapter = adapter
        self._argv = argv
        self._objective = objective
        self._expected = max(expected, 0.1)
        self._on_progress = on_progress
        self._previous: ProgressLine | None = None
        self._told = -1.0

    def on_line(self, line: str, seconds: float) -> bool:
        """Takes one line of output; True stops the run."""
        said = self._adapter.progress(self._argv, line, seconds, self._previous)
        if said is not None:
            self._previous = said
            if self._objective in said.metrics:
                self.samples.append((said.seconds, said.metrics[self._objective]))
        elif seconds - self._told < 0.5:
            return False
        if self._on_progress is None:
            return False
        self._told = seconds
        fraction = seconds / self._expected
        if said is not None:
            fraction = said.seconds / self._expected if said.fraction is None else said.fraction
        return self._on_progress(min(max(fraction, 0.0), 1.0), self.samples)


def measure(
    adapter: ToolAdapter,
    argv: Sequence[str],
    objective: str,
    outcome: CommandOutcome,
    samples: tuple[tuple[float, float], ...] = (),
) -> Measurement:
    """The measurement of a finished run. Metrics are there only when the run succeeded and printed the objective."""
    program = argv[0]

    def failed(failure: str, cut_short: bool = False) -> Measurement:
        return Measurement({}, outcome.machine, samples, outcome.seconds, failure, cut_short, outcome.tripped)

    if outcome.tripped:
        return failed(f"the health guard ended the run: {outcome.tripped}")
    if outcome.stopped:
        return failed(f"cut short after {outcome.seconds:.1f} s", cut_short=True)
    if not outcome.ok:
        return failed(failure_of(outcome, program))
    metrics = adapter.parse(argv, outcome.output)
    if objective not in metrics:
        others = f" (it printed {', '.join(sorted(metrics))})" if metrics else ""
        return failed(f"{program} printed no {objective}{others}; its last words: {_last_words(outcome)}")
    complaint = adapter.complaint(argv, metrics, outcome.output)
    if complaint:
        return failed(f"{complaint}; its last words: {_last_words(outcome)}")
    return Measurement(metrics, outcome.machine, samples, outcome.seconds)


def stop_if_tripped(outcome: CommandOutcome, what: str) -> None:
    """To be called for every command but the benchmark itself.

    Args:
        outcome: How the command ended.
        what: What it was for.

    Raises:
        HealthStop: The health guard ended it.
    """
    if outcome.tripped:
        raise HealthStop(f"{what} failed: the health guard ended it: {outcome.tripped}", RELIEF)


def failure_of(outcome: CommandOutcome, program: str, timeout: float | None = None) -> str:
    """One line that says how a command failed, with its last words."""
    if outcome.timed_out:
        ending = f"did not end within {timeout or outcome.seconds:.0f} s and was killed"
    elif outcome.exit_code < 0:
        ending = f"was killed by signal {-outcome.exit_code}"
    else:
        ending = f"ended with exit code {outcome.exit_code}"
    return f"{program} {ending}: {_last_words(outcome)}"


def _last_words(outcome: CommandOutcome) -> str:
    return " | ".join(line.strip()[:200] for line in outcome.last_lines().splitlines()) or "it printed nothing"


def locate(target: Target, program: str, packages: Mapping[str, str], where: Sequence[str] = ()) -> str:
    """Absolute path of a program on the target, looked for in the usual folders and then in ``where``.

    Raises:
        ToolMissing: With the package to install.
    """
    for candidate in (program, *(f"{folder}/{program}" for folder in where)):
        if found := target.which(candidate):
            return found
    raise ToolMissing(f"{program} is not installed", how_to_install(target, packages))


def how_to_install(target: Target, packages: Mapping[str, str]) -> str:
    """A sentence with the command that installs these packages on this machine."""
    tools = {"apt": "apt-get", "dnf": "dnf"}
    usable = [manager for manager in packages if target.which(tools.get(manager, manager))] or list(packages)
    return "Install it: " + " or ".join(f"`{manager} install {packages[manager]}`" for manager in usable) + "."
