"""Where the main program keeps its own state: sessions and the packed agent."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """``$KNOBCTL_STATE_DIR``; else ``/var/lib/knobctl`` for root, ``$XDG_STATE_HOME/knobctl`` for everybody else."""
    chosen = os.environ.get("KNOBCTL_STATE_DIR")
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/knobctl")
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "knobctl"
