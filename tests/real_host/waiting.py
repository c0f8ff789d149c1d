"""Looking at other processes, and waiting for what they do. Needs nothing but ``/proc``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether the condition holds within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def started_at(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty when it does not live. Tells reused ids apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def running(pattern: str) -> list[int]:
    """Processes whose command line, joined by blanks, matches a regular expression."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if re.search(pattern, line):
            found.append(int(folder.name))
    return found


def children(parent: int) -> list[int]:
    """Processes that were started by this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(folder.name))
    return found
