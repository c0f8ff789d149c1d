"""What every target can do (:class:`Target`) and the records that go in and come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from knobctl.errors import RestoreIncomplete
from knobctl.knobs import Catalogue, KnobState, Value, quantities_of
from knobctl.permanent.dropin import command_line
from knobctl.target.profiles import Profile

WORKDIR = "/var/tmp"
"""Where work folders are made when nobody says otherwise."""

Configuration = Mapping[str, Value]
"""One value per knob, by canonical name."""


@dataclass(frozen=True)
class HostFacts:
    """What a machine is. Never holds a host name, an address or a user name.

    Attributes:
        kernel: Release, such as ``6.1.0-18-amd64``.
        architecture: Such as ``x86_64``.
        distribution: ``PRETTY_NAME`` of os-release.
        cpu_model: As in ``/proc/cpuinfo``; may be empty.
        cores: Logical CPUs online.
        memory_bytes: Total memory.
        swap_bytes: Total swap.
        page_bytes: Page size.
        virtualization: Such as ``kvm``, ``container``, ``none`` or empty when unknown.
        disk: Block device under the work folder, such as ``vda``; empty when there is none.
        disk_kind: ``rotational``, ``solid-state`` or empty.
        boot_id: Random identifier of this boot.
        tuners: Running programs that also write kernel settings, such as ``tuned``.
        simulated: Nothing here is real.
    """

    kernel: str
    architecture: str
    distribution: str
    cpu_model: str
    cores: int
    memory_bytes: int
    swap_bytes: int
    page_bytes: int = 4096
    virtualization: str = ""
    disk: str = ""
    disk_kind: str = ""
    boot_id: str = ""
    tuners: tuple[str, ...] = ()
    simulated: bool = False

    @property
    def quantities(self) -> dict[str, int]:
        """What the catalogue's bounds are functions of."""
        return quantities_of(self.memory_bytes, self.page_bytes, self.cores)


@dataclass(frozen=True)
class Command:
    """A program to run to its end, as an ordinary user, in the work folder. Never a shell line.

    Attributes:
        argv: Program and arguments.
        timeout: Seconds after which it and all its descendants are killed.
        env: Environment variables on top of a minimal environment.
        sample: Collect machine metrics over the run.
    """

    argv: tuple[str, ...]
    timeout: float
    env: Mapping[str, str] = field(default_factory=dict)
    sample: bool = False


@dataclass(frozen=True)
class CommandOutcome:
    """How a command ended.

    Attributes:
        exit_code: Exit status; negative is minus the signal number; 127 when the program could not be started.
        output: Standard output and standard error, interleaved by line, bounded in size, without control characters.
        seconds: Wall time (virtual on a simulated target).
        timed_out: It was killed at its deadline.
        stopped: It was killed because ``on_line`` asked for it.
        tripped: Why the agent's health guard ended it, in words; empty when it did not. The knobs are at what was
            found then.
        machine: Machine metrics as differences over the run (names in ``target.metrics``); empty without ``sample``.
    """

    exit_code: int
    output: str
    seconds: float
    timed_out: bool = False
    stopped: bool = False
    machine: Mapping[str, float] = field(default_factory=dict)
    tripped: str = ""

    @property
    def ok(self) -> bool:
        """It ran to its end and said so."""
        return self.exit_code == 0 and not self.timed_out and not self.stopped and not self.tripped

    def last_lines(self, count: int = 5) -> str:
        """The last lines that it printed, for error messages."""
        return "\n".join([line for line in self.output.splitlines() if line.strip()][-count:])


@dataclass(frozen=True)
class Service:
    """A server to keep running in the work folder until :meth:`Target.stop` or the end of the session.

    Attributes:
        name: Handle for :meth:`Target.stop`, unique within the session.
        argv: The server in the foreground (it must not become a daemon).
        env: Environment variables on top of a minimal environment.
        stop_signal: Signal that asks it to end; it is killed 10 s later.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True)
class KnobRestore:
    """What became of one kernel file when the machine was restored.

    Attributes:
        path: The file.
        outcome: ``held`` (has the value that was found), ``drifted`` (somebody else changed it during the run; left
            alone), ``absent`` (the file is gone, so there is nothing to put back) or ``failed`` (the kernel refused).
        found: Text when the run began.
        now: Text now; empty when it cannot be read.
        detail: The kernel's answer when it failed.
    """

    path: str
    outcome: str
    found: str
    now: str
    detail: str = ""

    @property
    def command(self) -> str:
        """What a person can paste into a root shell to put the value back."""
        return command_line(self.path, self.found)


@dataclass(frozen=True)
class RestoreReport:
    """What a restore did.

    Attributes:
        knobs: One entry per kernel file that the run had written.
    """

    knobs: tuple[KnobRestore, ...] = ()

    @property
    def complete(self) -> bool:
        """No file holds a value of the run any more."""
        return all(knob.outcome != "failed" for knob in self.knobs)

    @property
    def left(self) -> tuple[str, ...]:
        """What a person can paste into a root shell for each knob that is not back."""
        return tuple(knob.command for knob in self.knobs if knob.outcome == "failed")

    def require_complete(self) -> None:
        """Makes sure that every knob is back.

        Raises:
            RestoreIncomplete: One is not; the hint holds the lines to paste.
        """
        if self.left:
            raise RestoreIncomplete(
                f"{len(self.left)} kernel setting(s) could not be put back", "Paste as root: " + "; ".join(self.left)
            )


class Clock(Protocol):
    """Time as a target sees it: real seconds, or virtual ones."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        ...

    def sleep(self, seconds: float) -> None:
        """Lets that much time pass."""
        ...


class Target(Protocol):
    """A machine whose knobs can be set and on which programs can be run.

    ``open`` takes the machine's lock; everything that changes the machine needs an open target. ``close`` restores
    what was written, ends what was started, removes the work folder and gives the lock back; it may be called more
    than once, and it happens without being called when the main program dies.
    """

    @property
    def name(self) -> str:
        """``local`` or ``simulated:NAME``."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether nothing here is real."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """The knobs that this target knows."""
        ...

    @property
    def clock(self) -> Clock:
        """Time as this target sees it."""
        ...

    def facts(self) -> HostFacts:
        """What the machine is."""
        ...

    def probe(self, names: Sequence[str] | None = None) -> dict[str, KnobState]:
        """State of these knobs (all by default), by canonical name. Needs no open target and changes nothing."""
        ...

    def profiles(self, names: Sequence[str] = ()) -> tuple[Profile, ...]:
        """TuneD's profiles: the active one, then those of these names that are installed. Files are read, no more."""
        ...

    def which(self, program: str) -> str:
        """Absolute path of a program on the target, looked up in the usual folders; empty when not installed."""
        ...

    def open(self, session: str, names: Sequence[str] = ()) -> None:
        """Takes the lock, finishes what an interrupted run left, and makes an empty work folder.

        Args:
            session: Key of the session, for the record of how it ended.
            names: Knobs that the session is about. When somebody else changes one of them from now on, the next write
                or run raises :class:`~knobctl.errors.KnobChangedByOther`.

        Raises:
            Busy: Another run holds the lock.
            NotPermitted: The kernel interface cannot be written here.
            RestoreIncomplete: An earlier run left a knob that cannot be put back.
            PreflightRefused: The machine is short of memory or disk space already.
        """
        ...

    def resume(self, runs: int, seconds: float) -> None:
        """Told after ``open`` when a session that was cut off goes on.

        A real machine has nothing to do; a simulated one moves its clock and its noise to where they were.

        Args:
            runs: Benchmark runs that are recorded and will not be repeated.
            seconds: How long the session had lasted at the end of the last of them.
        """
        ...

    @property
    def folder(self) -> str:
        """Absolute path of the session's work folder on the target (only while open)."""
        ...

    def write(self, configuration: Configuration) -> dict[str, Value]:
        """Journals, writes and reads back these knobs, in this order. Returns what was read back.

        Raises:
            WriteFailed: A value was refused or read back differently. Knobs already written stay journalled.
            KnobChangedByOther: A knob no longer has the value that this run gave it.
        """
        ...

    def put(self, name: str, text: str, *, executable: bool = False) -> str:
        """Writes a small file into the work folder, owned by the benchmark's user. Returns its absolute path."""
        ...

    def run(self, command: Command, on_line: Callable[[str, float], bool] | None = None) -> CommandOutcome:
        """Runs a command to its end.

        Args:
            command: What to run.
            on_line: Called with every line of output (without control characters) and the seconds since the start;
                returning True stops the command.
        """
        ...

    def start(self, service: Service) -> None:
        """Starts a server. It is ended by :meth:`stop`, :meth:`close`, or the death of the main program."""
        ...

    def stop(self, name: str) -> str:
        """Ends a server and returns its last lines of output. Not an error when it is not running."""
        ...

    def restore(self) -> RestoreReport:
        """Gives every knob that was written the value that was found. Idempotent; never raises for a single knob."""
        ...

    def close(self) -> RestoreReport:
        """Restores, ends everything that was started, removes the work folder, gives the lock back."""
        ...
