"""Targets for these tests: one that runs real programs as ``nobody`` in a folder, and one that plays a script."""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from knobctl.knobs import Catalogue, KnobState, Value
from knobctl.target import Command, CommandOutcome, HostFacts, RestoreReport, Service

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FACTS = HostFacts("6.1.0", "x86_64", "Debian GNU/Linux 12 (bookworm)", "", cores=2, memory_bytes=2**32, swap_bytes=0)


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class VirtualClock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class _NoKnobs:
    """The parts of a target that have to do with knobs, which no workload touches."""

    simulated = False
    catalogue = Catalogue(())

    def facts(self) -> HostFacts:
        return FACTS

    def probe(self, names: Sequence[str] | None = None) -> dict[str, KnobState]:
        raise AssertionError("a workload looked at a knob")

    def write(self, configuration: Mapping[str, Value]) -> dict[str, Value]:
        raise AssertionError("a workload wrote a knob")

    def restore(self) -> RestoreReport:
        raise AssertionError("a workload restored knobs")


class FolderTarget(_NoKnobs):
    """Runs real programs as ``nobody`` in a folder that only they may enter."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self.clock = RealClock()
        self.commands: list[tuple[str, ...]] = []
        self._path = folder
        self._user = pwd.getpwnam("nobody")
        self._services: dict[str, tuple[subprocess.Popen[bytes], Path, str]] = {}

    @property
    def folder(self) -> str:
        return str(self._path)

    def open(self, session: str) -> None:
        self._path.mkdir(mode=0o700)
        os.chown(self._path, self._user.pw_uid, self._user.pw_gid)

    def close(self) -> RestoreReport:
        for name in list(self._services):
            self.stop(name)
        shutil.rmtree(self._path, ignore_errors=True)
        return RestoreReport()

    def which(self, program: str) -> str:
        return shutil.which(program, path=_PATH) or ""

    def put(self, name: str, text: str, *, executable: bool = False) -> str:
        path = self._path / name
        path.write_text(text)
        path.chmod(0o755 if executable else 0o644)
        os.chown(path, self._user.pw_uid, self._user.pw_gid)
        return str(path)

    def run(self, command: Command, on_line: Callable[[str, float], bool] | None = None) -> CommandOutcome:
        self.commands.append(command.argv)
        started = time.monotonic()
        try:
            process = self._spawn(command.argv, command.env, subprocess.PIPE)
        except OSError as error:
            return CommandOutcome(127, f"{command.argv[0]}: {error.strerror}", 0.0)
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(command.timeout, kill)
        timer.start()
        lines, stopped = [], False
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            lines.append(line)
            if on_line is not None and not stopped and on_line(line, time.monotonic() - started):
                stopped = True
                os.killpg(process.pid, signal.SIGKILL)
        exit_code = process.wait()
        timer.cancel()
        process.stdout.close()
        machine = {"cpu_utilization": 50.0} if command.sample else {}
        seconds = time.monotonic() - started
        return CommandOutcome(exit_code, "\n".join(lines), seconds, killed.is_set(), stopped, machine)

    def start(self, service: Service) -> None:
        log = self._path.with_name(f"{self._path.name}-{service.name}.log")
        with log.open("wb") as stream:
            process = self._spawn(service.argv, service.env, stream.fileno())
        self._services[service.name] = (process, log, service.stop_signal)

    def stop(self, name: str) -> str:
        if name not in self._services:
            return ""
        process, log, stop_signal = self._services.pop(name)
        if process.poll() is None:
            process.send_signal(signal.Signals[stop_signal])
        process.wait(timeout=30)
        text = log.read_text(errors="replace")
        log.unlink()
        return "\n".join(text.splitlines()[-20:])

    def _spawn(self, argv: Sequence[str], env: Mapping[str, str], output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(argv),
            cwd=self._path,
            env={"PATH": _PATH, "HOME": self.folder, "LC_ALL": "C.UTF-8", **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
            user=self._user.pw_uid,
            group=self._user.pw_gid,
            extra_groups=[],
        )


@dataclasses.dataclass(frozen=True)
class Played:
    """How a scripted program behaves: its lines come ``pace`` seconds apart."""

    output: str = ""
    exit_code: int = 0
    timed_out: bool = False
    pace: float = 1.0
    tripped: str = ""


class ScriptedTarget(_NoKnobs):
    """Plays canned output. ``script`` maps a program's name to what it does; anything else succeeds silently."""

    name = "scripted"
    folder = "/var/tmp/knobctl-work"

    def __init__(
        self, script: Mapping[str, Played], installed: Sequence[str] | None = None, facts: HostFacts = FACTS
    ) -> None:
        self.clock = VirtualClock()
        self.commands: list[Command] = []
        self.started: list[Service] = []
        self.stopped: list[str] = []
        self.files: dict[str, str] = {}
        self.service_words = ""
        self._script = script
        self._facts = facts
        self._installed = None if installed is None else frozenset(installed)

    def facts(self) -> HostFacts:
        return self._facts

    def open(self, session: str) -> None:
        return

    def close(self) -> RestoreReport:
        return RestoreReport()

    def which(self, program: str) -> str:
        if self._installed is not None and program not in self._installed:
            return ""
        return program if "/" in program else f"/usr/bin/{program}"

    def put(self, name: str, text: str, *, executable: bool = False) -> str:
        self.files[name] = text
        return f"{self.folder}/{name}"

    def run(self, command: Command, on_line: Callable[[str, float], bool] | None = None) -> CommandOutcome:
        self.commands.append(command)
        played = self._script.get(command.argv[0].rpartition("/")[2], Played(pace=0.0))
        lines: list[str] = []
        for number, line in enumerate(played.output.splitlines(), start=1):
            lines.append(line)
            if on_line is not None and on_line(line, number * played.pace):
                return CommandOutcome(-9, "\n".join(lines), number * played.pace, stopped=True)
        seconds = command.timeout if played.timed_out else len(lines) * played.pace
        exit_code = -9 if played.timed_out else played.exit_code
        machine = {"cpu_utilization": 50.0} if command.sample else {}
        return CommandOutcome(
            exit_code, "\n".join(lines), seconds, played.timed_out, machine=machine, tripped=played.tripped
        )

    def start(self, service: Service) -> None:
        self.started.append(service)

    def stop(self, name: str) -> str:
        self.stopped.append(name)
        return self.service_words
