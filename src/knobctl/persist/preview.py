"""A session in, what its change would do to this machine out: values, files, and who would win over it. Only reads."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knobctl.agent.places import Places
from knobctl.errors import TargetError, UsageError
from knobctl.knobs import Value
from knobctl.measure import Verdict
from knobctl.permanent.dropin import settings
from knobctl.permanent.tuned import ACTIVE_FILE, MODE_FILE, PROFILE, Tuned
from knobctl.permanent.ways import SYSCTL_D, TUNED, obstacle, stack_of, texts, way_of
from knobctl.persist.conflict import REMEDY, Conflict, Order, Unreadable
from knobctl.persist.conflicts import find_conflicts
from knobctl.settings import require_the_same_disk
from knobctl.store import Result, SessionRecord
from knobctl.target.local import LocalTarget

AUTO = "auto"
"""Choose the way by what is found on the machine."""


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
class FileChange:
    """One file of a change, as a whole.

    Attributes:
        path: Where it is.
        before: Its text now; None when there is none.
        after: Its text then.
    """

    path: str
    before: str | None
    after: str

    @property
    def diff(self) -> tuple[str, ...]:
        """What changes, as the lines of a unified diff."""
        old = "/dev/null" if self.before is None else self.path
        lines = (self.before or "").splitlines(), self.after.splitlines()
        return tuple(difflib.unified_diff(*lines, old, self.path, lineterm=""))


@dataclass(frozen=True)
class ApplyPreview:
    """What making a session's change permanent would do.

    Attributes:
        session: Key of the session that proved the change.
        workload: Its workload.
        improvement: Its verified improvement in percent.
        date: When it was drawn up, for the header of the files.
        via: The way: ``sysctl.d`` or ``tuned``.
        changes: Knob by knob.
        conflicts: Lines of other files that set the same knobs at boot or later.
        orders: How those files are read.
        unreadable: Files that may hold such lines and could not be read.
        files: Every file that will be different.
        includes: Profiles that are active now, which our TuneD profile includes.
    """

    session: str
    workload: str
    improvement: float
    date: str
    via: str
    changes: tuple[ValueChange, ...]
    conflicts: tuple[Conflict, ...]
    orders: tuple[Order, ...]
    unreadable: tuple[Unreadable, ...]
    files: tuple[FileChange, ...]
    includes: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Value]:
        """The new value of each knob."""
        return {change.name: change.then for change in self.changes}

    @property
    def losing(self) -> tuple[Conflict, ...]:
        """The conflicts because of which the change would not hold."""
        return tuple(conflict for conflict in self.conflicts if conflict.wins)


def plan_apply(record: SessionRecord, target: LocalTarget, via: str = AUTO) -> ApplyPreview:
    """What applying a session would do to this machine. Changes nothing.

    Args:
        record: The session.
        target: This machine.
        via: ``sysctl.d``, ``tuned``, or :data:`AUTO`: the way that what is applied here already went; else ``tuned``
            where TuneD is running with a profile, and ``sysctl.d`` everywhere else.

    Raises:
        UsageError: The session has no result, was simulated, proved no improvement, or measured another disk; or this
            way is not open.
        TargetError: A knob of the change does not exist on this machine.
    """
    result = _verified(record)
    _require_same_disk(record, result, target)
    stack, tuned = stack_of(Places(target.root)), Tuned(target.root)
    if via == AUTO:
        via = way_of(stack) or (TUNED if tuned.in_charge() else SYSCTL_D)
    message, hint = obstacle(via, stack, tuned)
    if message:
        raise UsageError(message, hint)
    values = result.best_config
    states = target.probe(list(values))
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}"
    profiles = list(tuned.active())
    try:
        own = settings([(target.catalogue[name], value) for name, value in values.items()], states)
        entry = {"session": record.id, "date": date, "via": via, "settings": own, "own": list(own),
                 "tuned": {"profiles": profiles}}  # fmt: skip
        then = texts([*stack, entry], tuned, target.catalogue)
    except ValueError as error:
        raise TargetError(
            f"cannot make this permanent: {error}", "Look at `knobctl knobs` for what exists here."
        ) from None
    if via == TUNED:
        then |= {ACTIVE_FILE: f"{PROFILE}\n", MODE_FILE: "manual\n"}
    scan = find_conflicts(
        list(values), target.catalogue, Path(target.root), via, {name: states[name].paths for name in values}
    )
    changes = [FileChange(path, tuned.text(path), text) for path, text in then.items()]
    return ApplyPreview(
        session=record.id,
        workload=result.workload_name,
        improvement=result.improvement,
        date=date,
        via=via,
        changes=tuple(ValueChange(name, states[name].value, value) for name, value in values.items()),
        conflicts=scan.conflicts,
        orders=scan.orders,
        unreadable=scan.unreadable,
        files=tuple(change for change in changes if change.before != change.after),
        includes=tuple(stack[0]["tuned"]["profiles"] if stack else profiles) if via == TUNED else (),
    )


def require_lasting(preview: ApplyPreview) -> None:
    """Returns when nothing on this machine would win over the change.

    Raises:
        UsageError: Something would; the hint says what to remove.
    """
    losing = preview.losing
    if losing:
        lines = "; ".join(conflict.sentence.removesuffix(REMEDY) for conflict in losing)
        places = ", ".join(dict.fromkeys(conflict.place for conflict in losing))
        raise UsageError(
            f"this change would not hold, so nothing was changed: {lines}",
            f"Remove or comment out {places}, then apply again.",
        )


def describe_preview(preview: ApplyPreview) -> list[str]:
    """What an apply would change, in which files, and who else sets the same keys, one line each, for people."""
    by = f"profile {PROFILE}, which includes {', '.join(preview.includes) or 'no other'}"
    return [
        f"From session {preview.session} ({preview.workload}, {preview.improvement:+.1f} % verified):",
        *[f"  {change.name}: {change.now} -> {change.then}" for change in preview.changes],
        f"  by way of {f'TuneD: {by}' if preview.via == TUNED else preview.via}",
        *[line for file in preview.files for line in file.diff],
        *[f"  {'!' if conflict.wins else '-'} {conflict.sentence}" for conflict in preview.conflicts],
        *[f"  - {order.sentence}" for order in preview.orders],
        *[
            f"  ! {file.file} could not be read ({file.reason}); it may set the same keys"
            for file in preview.unreadable
        ],
    ]


def preview_document(preview: ApplyPreview) -> dict[str, Any]:
    """The same as plain JSON types."""
    return {
        "session_id": preview.session,
        "via": preview.via,
        "values": preview.values,
        "changes": [asdict(change) for change in preview.changes],
        "files": {file.path: file.after for file in preview.files},
        "diff": [line for file in preview.files for line in file.diff],
        "conflicts": [conflict.sentence for conflict in preview.conflicts],
        "losing": [conflict.place for conflict in preview.losing],
        "orders": [asdict(order) for order in preview.orders],
        "unreadable": [file.file for file in preview.unreadable],
    }


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
    if any("{disk}" in target.catalogue[name].path for name in result.best_config):
        require_the_same_disk(record, target)
