"""A verified configuration in, a permanent change out, and the way back. This half only reads."""

from knobctl.agent.dropin import SYSCTL_FILE, TMPFILES_FILE
from knobctl.persist.conflicts import Conflict, Scan, Unreadable, find_conflicts
from knobctl.persist.dropin import DropIn, drop_in

__all__ = [
    "SYSCTL_FILE",
    "TMPFILES_FILE",
    "Conflict",
    "DropIn",
    "Scan",
    "Unreadable",
    "drop_in",
    "find_conflicts",
]
