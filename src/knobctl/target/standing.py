"""The agent's files in, what goes on here out: whether a run lives, and whether one was cut off. Needs no rights."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from knobctl.agent.places import Places


def is_locked(places: Places) -> bool:
    """Whether a run holds the machine's lock at this moment."""
    try:
        handle = os.open(places.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def was_cut_off(places: Places) -> bool:
    """Whether a run left its journal behind: it is there, and no process of that run lives."""
    return Path(places.journal).exists() and not is_locked(places)
