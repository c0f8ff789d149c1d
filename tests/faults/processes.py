"""Processes as the kernel lists them in ``/proc``: who descends from whom, and a handle that outlives a reused id."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
DEAD = ("Z", "X")
_POLL = {"x86_64": ("7", "271"), "aarch64": ("73",)}  # poll and ppoll


@dataclass(frozen=True)
class Process:
    """One line of the process table; ``waits_in`` is the kernel function that it sleeps in."""

    pid: int
    parent: int
    state: str
    command: str
    waits_in: str

    def __str__(self) -> str:
        return f"{self.pid:>8} {self.parent:>8} {self.state} {self.waits_in:<24} {self.command}"


class Handle:
    """A process that may be signalled without ever meeting another one that got its id."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    @property
    def alive(self) -> bool:
        """Whether it has not ended; one that nobody has waited for yet has ended too."""
        return not select.select([self._descriptor], [], [], 0)[0]

    def send(self, number: signal.Signals) -> bool:
        """Whether there was a living process to send this to."""
        if not self.alive:
            return False
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        os.close(self._descriptor)


def adopt_orphans() -> None:
    """From now on every orphan among this process's descendants becomes its child, so that none can hide."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(of: int) -> list[int]:
    """Living children of a process, oldest first."""
    return sorted(pid for pid, (parent, state) in _table().items() if parent == of and state not in DEAD)


def descendants(of: int) -> list[int]:
    """Living descendants of a process."""
    table = _table()
    families: dict[int, list[int]] = {}
    for pid, (parent, _) in table.items():
        families.setdefault(parent, []).append(pid)
    found, waiting = [], [of]
    while waiting:
        for child in families.get(waiting.pop(), ()):
            found.append(child)
            waiting.append(child)
    return sorted(pid for pid in found if table[pid][1] not in DEAD)


def describe(pids: Iterable[int]) -> list[str]:
    """These processes as a table for people; those that are gone are left out."""
    return [str(process) for process in map(look, pids) if process is not None]


def look(pid: int) -> Process | None:
    """One process, or None when it is gone."""
    folder = Path("/proc", str(pid))
    try:
        state, parent = _fields(folder)
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        return Process(pid, int(parent), state, command[:160], (folder / "wchan").read_text())
    except OSError:
        return None


def is_in_poll(pid: int) -> bool:
    """Whether a sleeping or stopped process (of one thread) is in ``poll``: between two pieces of work."""
    try:
        number = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except (OSError, IndexError):
        return False
    return number in _POLL.get(os.uname().machine, ())


def reap_orphans(own: Iterable[int]) -> None:
    """Collects ended children that were adopted, and leaves alone those that are somebody's ``Popen``."""
    kept = set(own)
    for pid, (parent, state) in _table().items():
        if parent == os.getpid() and state in DEAD and pid not in kept:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _table() -> dict[int, tuple[int, str]]:
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = _fields(Path(entry.path))
                found[int(entry.name)] = (int(parent), state)
    return found


def _fields(folder: Path) -> tuple[str, str]:
    state, parent, *_ = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return state, parent
