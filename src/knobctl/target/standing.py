"""The agent's files in, what goes on here out: whether a run lives, and whether one was cut off. Needs no rights."""

from __future__ import annotations

import os
from pathlib import Path

from knobctl.agent.places import Places
from knobctl.errors import NotPermitted

LOCKS = Path("/proc/locks")


def is_locked(places: Places) -> bool:
    """Whether a run holds the machine's lock at this moment.

    The lock's file can be opened by root alone, or anybody could hold it; the kernel's list of locks is for everybody.

    Raises:
        NotPermitted: It cannot be told.
    """
    status = _status(places.lock)
    if status is None:
        return False
    file = f" {os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino} "
    try:
        lines = LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        raise _unknown(str(LOCKS)) from None
    return any(file in line and " -> " not in line for line in lines)  # an arrow only waits for the lock


def has_journal(places: Places) -> bool:
    """Whether a run goes on, or was cut off: its journal is there.

    Raises:
        NotPermitted: It cannot be told.
    """
    return _status(places.journal) is not None


def was_cut_off(places: Places) -> bool:
    """Whether a run left its journal behind: it is there, and no process of that run lives.

    Raises:
        NotPermitted: It cannot be told.
    """
    return has_journal(places) and not is_locked(places)


def _status(file: str) -> os.stat_result | None:
    try:
        return Path(file).lstat()
    except PermissionError:
        raise _unknown(str(Path(file).parent)) from None
    except OSError:
        return None


def _unknown(path: str) -> NotPermitted:
    return NotPermitted(f"whether a run goes on or was cut off cannot be told: {path} may not be read", "Use sudo.")
