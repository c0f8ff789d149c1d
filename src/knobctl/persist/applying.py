"""A preview in, the change itself out; and the same for undoing it.

What is carried out is exactly what a preview holds; whoever calls has shown it to the user, and has heard a yes in
between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knobctl.agent.places import Places
from knobctl.errors import RestoreIncomplete, UsageError
from knobctl.knobs import Value
from knobctl.permanent.ways import SYSCTL_D, stack_of, way_of
from knobctl.persist.preview import ApplyPreview, require_lasting
from knobctl.target.base import KnobRestore
from knobctl.target.local import LocalTarget


@dataclass(frozen=True)
class Applied:
    """A change that was made permanent.

    Attributes:
        session: Key of the session that proved it.
        date: When, in words.
        values: The value of each knob, set and read back.
        files: Files that set them at boot.
        via: The way: ``sysctl.d`` or ``tuned``.
        complete: It was not cut off half-way.
    """

    session: str
    date: str
    values: Mapping[str, Value]
    files: tuple[str, ...] = ()
    via: str = SYSCTL_D
    complete: bool = True


@dataclass(frozen=True)
class RolledBack:
    """A change that was undone.

    Attributes:
        session: Key of the session that had proved it.
        knobs: What became of each kernel file.
        kept: Under which names files are kept that were edited since; nothing reads these at boot.
    """

    session: str
    knobs: tuple[KnobRestore, ...]
    kept: tuple[str, ...] = ()


def carry_out(preview: ApplyPreview, target: LocalTarget) -> Applied:
    """Sets the values of a preview live and at every boot.

    Raises:
        UsageError: The change would not hold; nothing is changed.
        KnobctlError: A value was refused, a file could not be written, or there are no rights to; then everything is
            as it was. Or another run holds the lock.
    """
    require_lasting(preview)
    answer = target.apply(preview.session, preview.date, preview.values, preview.via)
    return Applied(preview.session, preview.date, dict(answer["values"]), tuple(answer["files"]), answer["via"])


def applied_here(target: LocalTarget) -> tuple[Applied, ...]:
    """What is applied on this machine, the first apply first. The names of the files are not among it."""
    return tuple(
        Applied(entry["session"], entry["date"], dict(entry["values"]), via=way_of([entry]),
                complete=entry.get("complete", True))
        for entry in stack_of(Places(target.root))
    )  # fmt: skip


def plan_rollback(target: LocalTarget) -> Applied:
    """The apply that a rollback would undo: the last one. Changes nothing.

    Raises:
        UsageError: Nothing is applied.
    """
    stack = applied_here(target)
    if not stack:
        raise UsageError("nothing is applied", "See `knobctl status`.")
    return stack[-1]


def carry_out_rollback(target: LocalTarget) -> RolledBack:
    """Undoes the last apply, live values and drop-ins. Look at the outcome with :func:`require_complete`.

    Raises:
        KnobctlError: Nothing is applied, a file could not be written, there are no rights to, or another run holds the
            lock.
    """
    answer = target.rollback()
    return RolledBack(answer["session"], knob_restores(answer["knobs"]), tuple(answer["kept"]))


def knob_restores(knobs: Sequence[Mapping[str, Any]]) -> tuple[KnobRestore, ...]:
    """The agent's report about kernel files that it put back, as records."""
    return tuple(KnobRestore(**knob) for knob in knobs)


def describe_restore(knobs: Sequence[KnobRestore]) -> list[str]:
    """One line for people per kernel file."""
    lines = []
    for knob in knobs:
        words = {
            "held": f"is {knob.now}",
            "drifted": f"was changed to {knob.now} by somebody else; left alone",
            "absent": "no longer exists",
            "failed": f"is {knob.now}, not {knob.found}: {knob.detail}",
        }
        lines.append(f"{knob.path} {words[knob.outcome]}")
    return lines


def describe_rollback(undone: RolledBack) -> list[str]:
    """One line for people per kernel file, and per file that somebody edited."""
    kept = [f"what was edited since is kept as {path}; nothing reads that at boot" for path in undone.kept]
    return [*describe_restore(undone.knobs), *kept]


def require_complete(knobs: Sequence[KnobRestore]) -> None:
    """Returns when no kernel file holds a value of the run any more.

    Raises:
        RestoreIncomplete: One is not; the hint holds the lines to paste.
    """
    left = [knob for knob in knobs if knob.outcome == "failed"]
    if left:
        lines = "; ".join(knob.command for knob in left)
        raise RestoreIncomplete(f"{len(left)} kernel setting(s) could not be put back", f"Paste as root: {lines}")
