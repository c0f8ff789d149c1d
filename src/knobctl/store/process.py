"""Which process makes a session, so that a session whose process is gone can be told from one that goes on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process, not to be confused with a later one of the same number.

    Attributes:
        pid: Its number.
        started: Clock ticks between the boot and its start (field 22 of ``/proc/PID/stat``); 0 when unknown.
        boot: Random identifier of the boot.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def current(cls) -> Process:
        """The process that asks."""
        pid = os.getpid()
        return cls(pid, _start_of(pid) or 0, _boot())

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.boot == _boot() and _start_of(self.pid) == self.started


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _start_of(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name of the program stands in parentheses and may hold anything, blanks and parentheses too.
    fields = stat[stat.rindex(b")") + 1 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
