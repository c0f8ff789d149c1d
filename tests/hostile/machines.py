"""Machines for hostile text: one that records whatever it is told to do, and one whose files somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from knobctl.knobs import KnobState, Value
from knobctl.target import Command, CommandOutcome, HostFacts, RestoreReport, Service
from knobctl.target.base import Configuration
from knobctl.target.local import LocalTarget
from knobctl.target.simulated import SimulatedTarget, simulated_target

FILES = {
    "proc/sys/vm/swappiness": "60",
    "proc/sys/vm/dirty_ratio": "20",
    "proc/sys/vm/dirty_background_ratio": "10",
    "proc/sys/vm/dirty_bytes": "0",
    "proc/sys/vm/dirty_background_bytes": "0",
    "proc/sys/vm/dirty_expire_centisecs": "3000",
    "proc/sys/vm/dirty_writeback_centisecs": "500",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "proc/meminfo": "MemTotal: 16777216 kB\nSwapTotal: 4194304 kB",
    "proc/cpuinfo": "model name : Test CPU",
    "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555",
    "etc/os-release": 'PRETTY_NAME="Test Linux"',
    "sys/block/.keep": "",
}
"""A machine with some knobs and no disk."""


def machine_of_files(root: Path, files: Mapping[str, str]) -> LocalTarget:
    """A folder that stands for a whole machine, with some of its files as somebody else wrote them."""
    for name, text in {**FILES, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8", errors="surrogateescape")
    return LocalTarget(base=str(root), root=str(root))


class Recorder:
    """A machine whose knobs are in memory and whose programs are a text that they print.

    Attributes:
        opened: How often a run began on it.
        written: Every configuration that was written.
        commands: Arguments of every program and server.

    Args:
        output: What every program prints, as raw as it may be.
        exit_code: How it ends.
    """

    name = "recorder"
    simulated = False

    def __init__(self, output: str = "", exit_code: int = 0) -> None:
        self.opened = 0
        self.written: list[dict[str, Value]] = []
        self.commands: list[tuple[str, ...]] = []
        self._output = output
        self._exit_code = exit_code
        self._machine: SimulatedTarget = simulated_target("null")
        self.catalogue = self._machine.catalogue
        self.clock = self._machine.clock

    @property
    def folder(self) -> str:
        return self._machine.folder

    def facts(self) -> HostFacts:
        return self._machine.facts()

    def probe(self, names: Sequence[str] | None = None) -> dict[str, KnobState]:
        return self._machine.probe(names)

    def which(self, program: str) -> str:
        return self._machine.which(program)

    def open(self, session: str, names: Sequence[str] = ()) -> None:
        self.opened += 1
        self._machine.open(session, names)

    def write(self, configuration: Configuration) -> dict[str, Value]:
        self.written.append(dict(configuration))
        return self._machine.write(configuration)

    def put(self, name: str, text: str, *, executable: bool = False) -> str:
        return self._machine.put(name, text, executable=executable)

    def run(self, command: Command, on_line: Callable[[str, float], bool] | None = None) -> CommandOutcome:
        self.commands.append(command.argv)
        self.clock.sleep(3.0)
        for number, line in enumerate(self._output.splitlines()):
            if on_line is not None and on_line(line, number / 10):
                return CommandOutcome(-9, self._output, 3.0, stopped=True)
        return CommandOutcome(self._exit_code, self._output, 3.0)

    def start(self, service: Service) -> None:
        self.commands.append(service.argv)

    def stop(self, name: str) -> str:
        return ""

    def restore(self) -> RestoreReport:
        return self._machine.restore()

    def close(self) -> RestoreReport:
        return self._machine.close()
