"""A verified configuration in, a permanent change of this machine out, and the way back from it."""

from knobctl.permanent.dropin import SYSCTL_FILE, TMPFILES_FILE
from knobctl.persist.applying import (
    Applied,
    ApplyPreview,
    RolledBack,
    ValueChange,
    applied_here,
    carry_out,
    carry_out_rollback,
    describe_preview,
    describe_restore,
    knob_restores,
    plan_apply,
    plan_rollback,
    require_complete,
)
from knobctl.persist.conflicts import Conflict, Scan, Unreadable, find_conflicts
from knobctl.persist.dropin import DropIn, drop_in

__all__ = [
    "SYSCTL_FILE",
    "TMPFILES_FILE",
    "Applied",
    "ApplyPreview",
    "Conflict",
    "DropIn",
    "RolledBack",
    "Scan",
    "Unreadable",
    "ValueChange",
    "applied_here",
    "carry_out",
    "carry_out_rollback",
    "describe_preview",
    "describe_restore",
    "drop_in",
    "find_conflicts",
    "knob_restores",
    "plan_apply",
    "plan_rollback",
    "require_complete",
]
