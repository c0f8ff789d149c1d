"""What a fault has to do with: the run, the kernel, a source of chance; and what it tells the judge."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.machine import Machine
from tests.faults.runs import ROOT, Run

POLL_SECONDS = 0.01


class Watch:
    """Looks at the kernel files that a run plays with, and remembers when one last was not as it should be.

    Args:
        machine: The kernel.
        wanted: What every file should hold; may change while this looks.
        paths: The files to look at.
    """

    def __init__(self, machine: Machine, wanted: dict[str, bytes], paths: Sequence[str]) -> None:
        self._machine = machine
        self._wanted = wanted
        self._paths = [path for path in paths if path in wanted]
        self._different = False
        self.changed = False
        """Whether any file was seen changed at all."""
        self.restored_at = 0.0
        """The first look after the last one that saw a difference; 0 when none was seen."""

    def look(self) -> None:
        """Looks once."""
        now = self._machine.texts(self._paths)
        different = any(now.get(path) != self._wanted[path] for path in self._paths)
        if self._different and not different:
            self.restored_at = time.monotonic()
        self._different = different
        self.changed |= different


@dataclass
class Scene:
    """One run with all that a fault may touch.

    Attributes:
        run: The run that is struck.
        rng: Source of every random choice.
        machine: The kernel files.
        watch: Looks at them all the time.
        wanted: What they must hold in the end; a fault that plays another program notes that program's values here.
        paths: Kernel files of the run's knobs.
        folder: Temporary folder of the run.
        env: Environment of knobctl's processes.
        alone: There is no second fault, so what is certain for this one can be demanded.
        killed: Processes of the run that were killed.
        needs_start: Why the kernel may wait for the next start; empty when it may not.
        problems: What went wrong, one line each.
        helpers: Processes that the fault started.
        undo: Called in reverse order when the run is over.
    """

    run: Run
    rng: random.Random
    machine: Machine
    watch: Watch
    wanted: dict[str, bytes]
    paths: list[str]
    folder: Path
    env: dict[str, str]
    alone: bool = True
    killed: set[str] = field(default_factory=set)
    needs_start: str = ""
    problems: list[str] = field(default_factory=list)
    helpers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    undo: list[Callable[[], None]] = field(default_factory=list)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Looks at kernel and run until the condition holds, or until the time is up. Whether it holds."""
        deadline = time.monotonic() + seconds
        while True:
            self.watch.look()
            self.run.hear()
            if condition():
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)

    def pause(self, seconds: float) -> None:
        """Lets time pass."""
        self.wait(lambda: False, seconds)

    def start(self, argv: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
        """Starts another program, with its words in a file."""
        words = self.run.disk.seen_by(argv) if self.run.disk else list(argv)
        with output.open("wb") as out:
            helper = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, env=self.env
            )
        self.helpers.append(helper)
        return helper

    def undo_all(self) -> None:
        """Takes back what outlives the run, such as a clock that was moved."""
        while self.undo:
            self.undo.pop()()
