"""A verified configuration in, a permanent change of this machine out, and the way back from it."""

from knobctl.permanent.dropin import SYSCTL_FILE, TMPFILES_FILE
from knobctl.permanent.ways import WAYS
from knobctl.persist.applying import (
    Applied,
    RolledBack,
    applied_here,
    carry_out,
    carry_out_rollback,
    describe_restore,
    describe_rollback,
    knob_restores,
    plan_rollback,
    require_complete,
)
from knobctl.persist.conflict import Conflict, Order, Scan, Unreadable
from knobctl.persist.conflicts import find_conflicts
from knobctl.persist.preview import (
    AUTO,
    ApplyPreview,
    FileChange,
    ValueChange,
    describe_preview,
    plan_apply,
    preview_document,
    require_lasting,
)

__all__ = [
    "AUTO",
    "SYSCTL_FILE",
    "TMPFILES_FILE",
    "WAYS",
    "Applied",
    "ApplyPreview",
    "Conflict",
    "FileChange",
    "Order",
    "RolledBack",
    "Scan",
    "Unreadable",
    "ValueChange",
    "applied_here",
    "carry_out",
    "carry_out_rollback",
    "describe_preview",
    "describe_restore",
    "describe_rollback",
    "find_conflicts",
    "knob_restores",
    "plan_apply",
    "plan_rollback",
    "preview_document",
    "require_complete",
    "require_lasting",
]
