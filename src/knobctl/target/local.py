"""This machine, through an agent that is root: directly, or by ``sudo -n``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from knobctl.agent.kernel import Kernel
from knobctl.agent.processes import SAFE_PATH
from knobctl.errors import NotPermitted, TargetError
from knobctl.knobs import Catalogue, KnobState, Value
from knobctl.knobs.files import catalogue
from knobctl.state import state_folder
from knobctl.target import facts as host_facts
from knobctl.target import pack, probing
from knobctl.target.base import (
    WORKDIR,
    Command,
    CommandOutcome,
    Configuration,
    HostFacts,
    KnobRestore,
    RestoreReport,
    Service,
)
from knobctl.target.connection import Connection
from knobctl.target.profiles import Profile, read_profiles
from knobctl.target.text import clean


class RealClock:
    """Real seconds."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


class LocalTarget:
    """This machine. Looking needs no rights; :meth:`open` and everything after it needs root or ``sudo -n``.

    Args:
        base: ``workdir``, the folder in which work folders are made; its block device is the disk that is tuned.
        root: Folder that holds ``proc``, ``sys``, ``etc``, ``var`` and ``run``; anything but ``/`` is for tests.
        patience: Seconds without a sign of life after which the agent is taken for dead; anything but its own choice
            is for tests.
        limits: Stricter limits for the agent's health guard, by name, as in :class:`knobctl.agent.health.Guard`.
    """

    name = "local"
    simulated = False

    def __init__(
        self,
        base: str = WORKDIR,
        root: str = "/",
        patience: float | None = None,
        limits: Mapping[str, float] | None = None,
    ) -> None:
        self.catalogue: Catalogue = catalogue()
        self.clock = RealClock()
        self.workdir = str(Path(base).absolute())  # the agent, and who finishes its work, may be somewhere else
        self._limits = dict(limits or {})
        self._options = [
            *(["--root", root] if root != "/" else []),
            *([f"--patience={patience:g}"] if patience is not None else []),
        ]
        self.root = root
        self._kernel = Kernel(self.catalogue, root, self.workdir)
        self._connection: Connection | None = None
        self._folder = ""
        self.left_behind: Mapping[str, Any] | None = None
        """Record of an interrupted run that :meth:`open` found and finished."""

    def facts(self) -> HostFacts:
        """What the machine is."""
        collected = host_facts.collect(self._kernel.disk, self.root)
        return HostFacts(**{**collected, "tuners": tuple(collected["tuners"])})

    def probe(self, names: Sequence[str] | None = None) -> dict[str, KnobState]:
        """State of these knobs."""
        return probing.probe(self._kernel, names)

    def profiles(self, names: Sequence[str] = ()) -> tuple[Profile, ...]:
        """TuneD's profiles, as far as they are installed."""
        return read_profiles(names, self._kernel.disk, self.root)

    def which(self, program: str) -> str:
        """Absolute path of a program in the folders that benchmarks see."""
        return shutil.which(program, path=SAFE_PATH) or ""

    def obstacle(self, program: str = pack.AGENT) -> str:
        """Why knobs cannot be set here (or made permanent), in one line; empty when they can."""
        if self.root == "/" and os.statvfs("/proc/sys").f_flag & os.ST_RDONLY:
            return "/proc/sys is read-only here, as in a container"
        if os.geteuid() == 0 or self.root != "/":
            return ""
        if not shutil.which("sudo"):
            return "not root, and sudo is not installed"
        if program == pack.AGENT and _may_run_installed_agent():
            return ""
        return "" if _sudo_allows("true") else "not root, and sudo asks for a password"

    def open(self, session: str, names: Sequence[str] = ()) -> None:
        """Starts the agent, takes the lock, finishes what an interrupted run left, makes the work folder."""
        connection = self._connect(pack.AGENT)
        try:
            answer = connection.call("open", session=session, base=self.workdir, knobs=list(names), limits=self._limits)
        except BaseException:
            self._connection = None
            connection.close()
            raise
        self._folder = answer["folder"]
        self.left_behind = answer["left"]

    def resume(self, runs: int, seconds: float) -> None:
        """Nothing to do: time went on by itself."""

    @property
    def folder(self) -> str:
        """Absolute path of the work folder."""
        if not self._folder:
            raise TargetError("the target is not open")
        return self._folder

    def write(self, configuration: Configuration) -> dict[str, Value]:
        """Sets knobs and reads them back."""
        held: dict[str, Value] = self._agent().call("write", values=dict(configuration))["held"]
        return held

    def put(self, name: str, text: str, *, executable: bool = False) -> str:
        """Writes a small file into the work folder."""
        return str(self._agent().call("put", name=name, text=text, executable=executable)["path"])

    def run(self, command: Command, on_line: Callable[[str, float], bool] | None = None) -> CommandOutcome:
        """Runs a command to its end as an ordinary user."""
        lines: list[str] = []

        def take(line: str, at: float) -> bool:
            line = clean(line)
            lines.append(line)
            return on_line(line, at) if on_line is not None else False

        answer = self._agent().call(
            "run", take, argv=list(command.argv), env=dict(command.env), timeout=command.timeout, sample=command.sample
        )
        return CommandOutcome(
            exit_code=answer["exit_code"],
            output="\n".join(lines),
            seconds=answer["seconds"],
            timed_out=answer["timed_out"],
            stopped=answer["stopped"],
            machine=answer["machine"],
            tripped=answer["tripped"],
        )

    def start(self, service: Service) -> None:
        """Starts a server as an ordinary user."""
        self._agent().call(
            "start",
            name=service.name,
            argv=list(service.argv),
            env=dict(service.env),
            stop_signal=service.stop_signal,
        )

    def stop(self, name: str) -> str:
        """Ends a server."""
        return clean("\n".join(self._agent().call("stop", name=name)["lines"]))

    def restore(self) -> RestoreReport:
        """Gives every knob the value that was found."""
        return _report(self._agent().call("restore")["knobs"])

    def close(self) -> RestoreReport:
        """Restores, ends everything, gives the lock back. After the agent's death its watcher has done all that."""
        connection, self._connection, self._folder = self._connection, None, ""
        if connection is None:
            return RestoreReport()
        try:
            return _report(connection.call("close")["knobs"])
        finally:
            connection.close()

    def recover(self, reason: str = "asked for by `knobctl restore`") -> Mapping[str, Any] | None:
        """Finishes what an interrupted run left. Returns the record of what was done; None when there was nothing."""
        record: Mapping[str, Any] | None = self._once(pack.AGENT, "recover", reason=reason)["record"]
        return record

    def apply(self, session: str, date: str, values: Configuration, via: str = "sysctl.d") -> Mapping[str, Any]:
        """Makes values permanent: live and at every boot, by one of ``permanent.ways``. Returns the record of it."""
        answer: Mapping[str, Any] = self._once(
            pack.PERMANENT, "apply", session=session, date=date, values=dict(values), via=via, base=self.workdir
        )
        return answer

    def rollback(self) -> Mapping[str, Any]:
        """Undoes the last apply. Returns the agent's record of it."""
        answer: Mapping[str, Any] = self._once(pack.PERMANENT, "rollback")
        return answer

    def _once(self, program: str, operation: str, **arguments: Any) -> Any:
        connection = self._connect(program)
        try:
            return connection.call(operation, **arguments)
        finally:
            self._connection = None
            connection.close()

    def _connect(self, program: str) -> Connection:
        if self._connection is not None:
            raise TargetError("the target is open already")
        obstacle = self.obstacle(program)
        if obstacle:
            raise NotPermitted(
                f"kernel settings cannot be changed: {obstacle}",
                "Run it as root or with sudo, or try `--target simulated`.",
            )
        self._connection = Connection([*self._command(program), *self._options])
        return self._connection

    def _command(self, program: str) -> list[str]:
        """What starts a program that is root, without its options."""
        if os.geteuid() != 0 and self.root == "/" and program == pack.AGENT and _may_run_installed_agent():
            return ["sudo", "-n", str(pack.INSTALLED_AGENT)]
        archive = pack.install(program, state_folder())
        prefix = ["sudo", "-n"] if os.geteuid() != 0 and self.root == "/" else []
        return [*prefix, sys.executable, "-I", "-S", str(archive)]

    def _agent(self) -> Connection:
        if self._connection is None:
            raise TargetError("the target is not open")
        return self._connection


def _may_run_installed_agent() -> bool:
    """It is started once without anything to do, because ``sudo -l`` also lists what would ask for a password."""
    return pack.installed_agent() is not None and _sudo_allows(str(pack.INSTALLED_AGENT))


def _sudo_allows(program: str) -> bool:
    asked = subprocess.run(["sudo", "-n", program], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return asked.returncode == 0


def _report(knobs: Sequence[Mapping[str, Any]]) -> RestoreReport:
    return RestoreReport(
        tuple(
            KnobRestore(
                str(knob["path"]), str(knob["outcome"]), str(knob["found"]), str(knob["now"]), str(knob["detail"])
            )
            for knob in knobs
        )
    )
