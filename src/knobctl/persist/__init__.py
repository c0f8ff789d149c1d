"""A verified configuration in, what makes it permanent and what stands in its way out. This half only reads."""

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
