"""A direct question in, a change of this machine out: apply, rollback and restore, each behind a literal yes."""

from __future__ import annotations

from collections.abc import Sequence

from knobctl.agent.places import Places
from knobctl.chat.dialogue import Dialogue
from knobctl.errors import UsageError
from knobctl.persist import (
    carry_out,
    carry_out_rollback,
    describe_preview,
    describe_restore,
    describe_rollback,
    knob_restores,
    plan_apply,
    plan_rollback,
    require_complete,
    require_lasting,
)
from knobctl.report.wording import apply_line
from knobctl.store import SessionRecord
from knobctl.target import Target
from knobctl.target.base import KnobRestore
from knobctl.target.local import LocalTarget
from knobctl.target.standing import has_journal, was_cut_off

NOT_APPLIED = "Nothing was applied; later: {}"


def apply(record: SessionRecord, target: Target, dialogue: Dialogue) -> None:
    """Shows what a session's change would do, asks, and makes it permanent.

    Raises:
        KnobctlError: The session proved nothing that could be applied, something on the machine would win over it, or
            the machine refused; it is as it was.
    """
    local = _this_machine(target)
    preview = plan_apply(record, local)
    dialogue.say("\n".join(describe_preview(preview)))
    require_lasting(preview)
    if not dialogue.confirm("Make this permanent?"):
        dialogue.say(NOT_APPLIED.format(apply_line(record.id, local.workdir)))
        return
    with dialogue.uninterrupted():
        applied = carry_out(preview, local)
    written = [f"wrote {path}" for path in applied.files]
    dialogue.say("\n".join([*written, "live values set and read back. Undo: say rollback, or run knobctl rollback"]))


def rollback(target: Target, dialogue: Dialogue) -> None:
    """Shows what was applied last, asks, and undoes it.

    Raises:
        RestoreIncomplete: A value could not be put back.
        KnobctlError: Nothing is applied, or the machine refused.
    """
    local = _this_machine(target)
    last = plan_rollback(local)
    values = [f"  {name} = {value}" for name, value in last.values.items()]
    dialogue.say("\n".join([f"Undo what session {last.session} applied on {last.date}:", *values]))
    if not dialogue.confirm("Put back what it replaced?"):
        dialogue.say("Nothing was changed.")
        return
    with dialogue.uninterrupted():
        undone = carry_out_rollback(local)
    _say_restored(describe_rollback(undone), undone.knobs, dialogue)


def restore(target: Target, dialogue: Dialogue) -> None:
    """Asks, and puts back what an interrupted run left; says so when nothing was left.

    Raises:
        RestoreIncomplete: A value could not be put back.
        KnobctlError: The machine refused.
    """
    local = _this_machine(target)
    places = Places(local.root)
    if not was_cut_off(places):
        going_on = has_journal(places)
        dialogue.say("a run is going on, nothing to restore" if going_on else "nothing to restore: no run was cut off")
        return
    if not dialogue.confirm("A run was cut off. Put its knobs back?"):
        dialogue.say("Nothing was changed.")
        return
    with dialogue.uninterrupted():
        record = local.recover()
    if record is not None and record["rebooted"]:
        dialogue.say("the machine was rebooted since, which put every knob back")
    knobs = knob_restores(record["knobs"]) if record else ()
    _say_restored(describe_restore(knobs), knobs, dialogue)


def _this_machine(target: Target) -> LocalTarget:
    if not isinstance(target, LocalTarget):
        raise UsageError(
            f"this conversation is about {target.name}: nothing can be made permanent or put back there",
            "Start it without --target.",
        )
    return target


def _say_restored(lines: Sequence[str], knobs: Sequence[KnobRestore], dialogue: Dialogue) -> None:
    if lines:
        dialogue.say("\n".join(f"  {line}" for line in lines))
    require_complete(knobs)
    dialogue.say("every knob is back")
