"""A session in, what its change would do to this machine out, then the change itself; and the same for undoing it.

A preview only reads. What is carried out is exactly what a preview holds; whoever calls has shown it to the user, and
has heard a yes in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knobctl.agent.places import Places, read_json
from knobctl.errors import RestoreIncomplete, UsageError
from knobctl.knobs import Value
from knobctl.measure import Verdict
from knobctl.permanent.dropin import SYSCTL_FILE, TMPFILES_FILE
from knobctl.persist.conflicts import Conflict, Unreadable, find_conflicts
from knobctl.persist.dropin import drop_in
from knobctl.store import Result, SessionRecord
from knobctl.target.base import KnobRestore
from knobctl.target.local import LocalTarget


@dataclass(frozen=True)
class ValueChange:
    """One knob of a change.

    Attributes:
        name: Canonical name.
        now: Value on this machine; None when it cannot be read.
        then: Value that it will have.
    """

    name: str
    now: Value | None
    then: Value


@dataclass(frozen=True)
class ApplyPreview:
    """What making a session's change permanent would do.

    Attributes:
        session: Key of the session that proved the change.
        workload: Its workload.
        improvement: Its verified improvement in percent.
        changes: Knob by knob.
        conflicts: Lines of other files that set the same knobs at boot.
        unreadable: Files that may hold such lines and could not be read.
        files: (path, text) of every drop-in that would be written for this change alone.
    """

    session: str
    workload: str
    improvement: float
    changes: tuple[ValueChange, ...]
    conflicts: tuple[Conflict, ...]
    unreadable: tuple[Unreadable, ...]
    files: tuple[tuple[str, str], ...]

    @property
    def values(self) -> dict[str, Value]:
        """The new value of each knob."""
        return {change.name: change.then for change in self.changes}


@dataclass(frozen=True)
class Applied:
    """A change that was made permanent.

    Attributes:
        session: Key of the session that proved it.
        date: When, in words.
        values: The value of each knob, set and read back.
        files: Drop-ins that set them at boot.
    """

    session: str
    date: str
    values: Mapping[str, Value]
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class RolledBack:
    """A change that was undone.

    Attributes:
        session: Key of the session that had proved it.
        knobs: What became of each kernel file.
    """

    session: str
    knobs: tuple[KnobRestore, ...]


def plan_apply(record: SessionRecord, target: LocalTarget) -> ApplyPreview:
    """What applying a session would do to this machine. Changes nothing.

    Raises:
        UsageError: The session has no result, was simulated, proved no improvement, or measured another disk.
        TargetError: A knob of the change does not exist on this machine.
    """
    result = _verified(record)
    _require_same_disk(record, result, target)
    values = result.best_config
    states = target.probe(list(values))
    scan = find_conflicts(list(values), target.catalogue, Path(target.root))
    texts = drop_in(values, target.catalogue, states, record.id, datetime.now(UTC))
    return ApplyPreview(
        session=record.id,
        workload=result.workload_name,
        improvement=result.improvement,
        changes=tuple(ValueChange(name, states[name].value, value) for name, value in values.items()),
        conflicts=scan.conflicts,
        unreadable=scan.unreadable,
        files=tuple(
            (path, text) for path, text in ((SYSCTL_FILE, texts.sysctl), (TMPFILES_FILE, texts.tmpfiles)) if text
        ),
    )


def carry_out(preview: ApplyPreview, target: LocalTarget) -> Applied:
    """Sets the values of a preview live and at every boot.

    Raises:
        KnobctlError: A value was refused, a file could not be written, or there are no rights to; then everything is
            as it was. Or another run holds the lock.
    """
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}"
    answer = target.apply(preview.session, date, preview.values)
    return Applied(preview.session, date, dict(answer["values"]), tuple(answer["files"]))


def applied_here(target: LocalTarget) -> tuple[Applied, ...]:
    """What is applied on this machine, the first apply first. The names of the drop-ins are not among it."""
    document = read_json(Places(target.root).applied)
    stack = document["stack"] if document else []
    return tuple(Applied(entry["session"], entry["date"], dict(entry["values"])) for entry in stack)


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
    return RolledBack(answer["session"], knob_restores(answer["knobs"]))


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


def require_complete(knobs: Sequence[KnobRestore]) -> None:
    """Returns when no kernel file holds a value of the run any more.

    Raises:
        RestoreIncomplete: One is not; the hint holds the lines to paste.
    """
    left = [knob for knob in knobs if knob.outcome == "failed"]
    if left:
        lines = "; ".join(knob.command for knob in left)
        raise RestoreIncomplete(f"{len(left)} kernel setting(s) could not be put back", f"Paste as root: {lines}")


def _verified(record: SessionRecord) -> Result:
    result = record.result
    if result is None:
        raise UsageError(
            f"session {record.id} is {record.status} and has no result", "Choose one from `knobctl sessions`."
        )
    if result.simulated:
        raise UsageError(
            f"session {record.id} was simulated: nothing of it was measured on a machine", "Run it for real."
        )
    if result.verdict is not Verdict.IMPROVED or not result.best_config:
        raise UsageError(
            f"session {record.id} ended with {result.verdict}: there is nothing worth applying",
            "The best thing to do is nothing.",
        )
    return result


def _require_same_disk(record: SessionRecord, result: Result, target: LocalTarget) -> None:
    """A knob of a disk goes to the disk that was measured.

    Raises:
        UsageError: The work folder is on another disk than the session's was.
    """
    concerned = [name for name in result.best_config if "{disk}" in target.catalogue[name].path]
    disk = target.facts().disk
    if concerned and disk != record.facts.disk:
        raise UsageError(
            f"session {record.id} measured the disk {record.facts.disk or '(none)'}, but the work folder is on {disk}",
            "Give the --workdir of that session.",
        )


def describe_preview(preview: ApplyPreview) -> list[str]:
    """What an apply would change and who else sets the same keys, one line each, for people."""
    return [
        f"From session {preview.session} ({preview.workload}, {preview.improvement:+.1f} % verified):",
        *[f"  {change.name}: {change.now} -> {change.then}" for change in preview.changes],
        *[f"  {'!' if conflict.wins else '-'} {conflict.sentence}" for conflict in preview.conflicts],
        *[
            f"  ! {file.file} could not be read ({file.reason}); it may set the same keys"
            for file in preview.unreadable
        ],
    ]
