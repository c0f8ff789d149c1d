"""``apply``, ``rollback``, ``restore``, ``status``, ``sessions``, ``report``: what happens after and between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from knobctl.agent.places import Places, read_json, was_cut_off
from knobctl.commands import options
from knobctl.commands.edge import answer, confirm, guarded, put, say
from knobctl.errors import RestoreIncomplete, UsageError
from knobctl.measure import Verdict
from knobctl.persist import SYSCTL_FILE, TMPFILES_FILE, drop_in, find_conflicts
from knobctl.report.summary import summarize
from knobctl.store import Result, SessionRecord, Store
from knobctl.target.local import LocalTarget

SESSION = click.argument("session", default="last", metavar="[SESSION]")


@click.command("apply")
@SESSION
@options.yes
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop.")
@options.workdir
@options.as_json
@guarded
def apply_command(session: str, yes: bool, dry_run: bool, workdir: str, as_json: bool) -> int:
    """Make a session's verified change permanent: live now, and in drop-ins for the next boot.

    SESSION is its id, a unique beginning of it, or `last`.
    """
    with Store() as store:
        record = store.session(session)
    result = _verified(record)
    target = LocalTarget(base=workdir)
    _require_same_disk(record, result, target)
    states = target.probe(list(result.best_config))
    say(f"From session {record.id} ({result.workload_name}, {result.improvement:+.1f} % verified):")
    for name, value in result.best_config.items():
        say(f"  {name}: {states[name].value} -> {value}")
    scan = find_conflicts(list(result.best_config), target.catalogue)
    for conflict in scan.conflicts:
        say(f"  {'!' if conflict.wins else '-'} {conflict.sentence}")
    for file in scan.unreadable:
        say(f"  ! {file.file} could not be read ({file.reason}); it may set the same keys")
    if dry_run:
        texts = drop_in(result.best_config, target.catalogue, states, record.id, datetime.now(UTC))
        files = {path: text for path, text in ((SYSCTL_FILE, texts.sysctl), (TMPFILES_FILE, texts.tmpfiles)) if text}
        for path, text in files.items():
            say(f"{path}:\n{text}")
        if as_json:
            put({"dry_run": True, "session_id": record.id, "values": dict(result.best_config), "files": files,
                 "conflicts": [conflict.sentence for conflict in scan.conflicts]})  # fmt: skip
        return 0
    confirm("Set these values now and at every boot?", yes=yes)
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}"
    answer = target.apply(record.id, now, dict(result.best_config))
    for path in answer["files"]:
        say(f"wrote {path}")
    say("live values set and read back. Undo with: knobctl rollback")
    if as_json:
        put({"success": True, "session_id": record.id, "values": answer["values"], "files": answer["files"],
             "conflicts": [conflict.sentence for conflict in scan.conflicts]})  # fmt: skip
    return 0


@click.command("rollback")
@options.yes
@options.as_json
@guarded
def rollback_command(yes: bool, as_json: bool) -> int:
    """Undo the last apply: live values and drop-ins are as they were before it."""
    stack = _applied()
    if not stack:
        raise UsageError("nothing is applied", "See `knobctl status`.")
    say(f"Undo what session {stack[-1]['session']} applied on {stack[-1]['date']}:")
    for name, value in stack[-1]["values"].items():
        say(f"  {name} = {value}")
    confirm("Put back what it replaced?", yes=yes)
    answer = LocalTarget().rollback()
    _show_restore(answer["knobs"])
    if as_json:
        put({"success": True, "session_id": answer["session"], "knobs": answer["knobs"]})
    _require_complete(answer["knobs"])
    return 0


@click.command("restore")
@options.as_json
@guarded
def restore_command(as_json: bool) -> int:
    """Put back what an interrupted run left. Does nothing when nothing was left."""
    if not Path(Places().journal).exists():
        say("nothing to restore: no run was cut off")
        if as_json:
            put({"success": True, "restored": [], "record": None})
        return 0
    record = LocalTarget().recover()
    knobs = list(record["knobs"]) if record else []
    if record is not None and record["rebooted"]:
        say("the machine was rebooted since, which put every knob back")
    _show_restore(knobs)
    if as_json:
        put({"success": not record or record["restored"], "restored": knobs, "record": record})
    _require_complete(knobs)
    return 0


@click.command("status")
@options.as_json
@guarded
def status_command(as_json: bool) -> int:
    """What is applied and whether it still holds, whether a run is going on, and how the last one ended."""
    places, target = Places(), LocalTarget()
    stack = _applied()
    applied: dict[str, Any] = {}
    for entry in stack:
        applied.update(entry["values"])
    now = {name: state.value for name, state in target.probe(list(applied)).items()}
    cut_off = was_cut_off(places)
    running = Path(places.journal).exists() and not cut_off
    last = read_json(places.last_run)
    tuners = target.facts().tuners
    document = {
        "running": running,
        "interrupted": cut_off,
        "last_run": last,
        "applied": [
            {"session_id": entry["session"], "date": entry["date"], "values": entry["values"]} for entry in stack
        ],
        "holds": {name: now[name] == value for name, value in applied.items()},
        "tuners": list(tuners),
    }
    if as_json:
        put(document)
        return 0
    answer("a run is going on" if running else "no run is going on")
    if cut_off:
        answer("! a run was cut off and its knobs are not back: knobctl restore")
    if last is not None:
        answer(f"last run: {last['session']}, ended {last['at']}: {last['reason']}; {_how(last)}")
    if not applied:
        answer("nothing is applied")
    for entry in stack:
        answer(f"applied on {entry['date']} from session {entry['session']}:")
        for name, value in entry["values"].items():
            held = "holds" if now[name] == value else f"! is {now[name]} now, somebody changed it"
            answer(f"  {name} = {value}  {held}")
    if stack:
        answer("undo the last apply with: knobctl rollback")
    for tuner in tuners:
        answer(f"! {tuner} is running and changes kernel settings too")
    return 0


@click.command("sessions")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@options.as_json
@guarded
def sessions_command(limit: int, as_json: bool) -> int:
    """List the recorded sessions, newest first."""
    with Store() as store:
        records = store.sessions(limit)
    if as_json:
        put([_brief(record) for record in records])
        return 0
    for record in records:
        brief = _brief(record)
        gain = f"{brief['improvement']:+.1f} %" if brief["improvement"] is not None else ""
        simulated = " SIMULATED" if record.simulated else ""
        answer(
            f"{record.id}  {brief['outcome']:<12} {gain:>9}  {record.trials:>3} trials  {record.workload}{simulated}"
        )
    if not records:
        answer('no session is recorded yet; begin with: knobctl tune "optimize this system for a PostgreSQL database"')
    return 0


@click.command("report")
@SESSION
@options.verbose
@options.as_json
@guarded
def report_command(session: str, verbose: int, as_json: bool) -> int:
    """Show the result of a session; with -v every trial. A session that was cut off shows how far it came."""
    with Store() as store:
        record = store.session(session)
        trials = store.trials(record.id)
        pairs = store.pairs(record.id)
    if as_json:
        put(
            {
                "session_id": record.id,
                "status": record.status,
                "reason": record.reason,
                "request": record.request,
                "result": record.result.to_dict() if record.result else None,
                "trials": [vars(trial) | {"samples": [list(sample) for sample in trial.samples]} for trial in trials],
                "pairs": [vars(pair) for pair in pairs],
            }
        )
        return 0
    if record.result is not None:
        answer(summarize(record.result))
    else:
        answer(f"session {record.id} ({record.workload}) is {record.status}: {record.reason or 'no result yet'}")
    if verbose or record.result is None:
        for trial in trials:
            score = trial.failure if trial.score is None else f"{trial.score:.6g}"
            changed = ", ".join(f"{name}={value}" for name, value in trial.configuration.items()) or "default"
            answer(f"{trial.number:>4} {trial.kind:<16} {score:>12}  {changed}")
    return 0


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


def _applied() -> Sequence[Mapping[str, Any]]:
    document = read_json(Places().applied)
    return document["stack"] if document else []


def _how(last: Mapping[str, Any]) -> str:
    if last["rebooted"]:
        return "nothing to put back"
    if not last["restored"]:
        return "NOT everything is back"
    who = {"agent": "the agent", "watcher": "the watcher", "restore": "knobctl restore"}.get(last["by"], last["by"])
    return f"{len(last['knobs'])} kernel files put back by {who}"


def _show_restore(knobs: Sequence[Mapping[str, Any]]) -> None:
    for knob in knobs:
        words = {
            "held": f"is {knob['now']}",
            "drifted": f"was changed to {knob['now']} by somebody else; left alone",
            "absent": "no longer exists",
            "failed": f"is {knob['now']}, not {knob['found']}: {knob['detail']}",
        }
        say(f"  {knob['path']} {words[knob['outcome']]}")


def _require_complete(knobs: Sequence[Mapping[str, Any]]) -> None:
    left = [knob for knob in knobs if knob["outcome"] not in ("held", "drifted")]
    if left:
        lines = "; ".join(f"echo '{knob['found']}' > {knob['path']}" for knob in left)
        raise RestoreIncomplete(f"{len(left)} kernel setting(s) could not be put back", f"Paste as root: {lines}")


def _brief(record: SessionRecord) -> dict[str, Any]:
    result = record.result
    return {
        "session_id": record.id,
        "created": record.created.isoformat(),
        "workload": record.workload,
        "request": record.request,
        "status": record.status,
        "outcome": str(result.verdict) if result else record.status,
        "improvement": result.improvement if result and result.verdict is Verdict.IMPROVED else None,
        "trials": record.trials,
        "simulated": record.simulated,
        "target": record.target,
    }
