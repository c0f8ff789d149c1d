"""``apply``, ``rollback``, ``restore``, ``status``, ``sessions``, ``report``: what happens after and between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from knobctl.agent.places import Places
from knobctl.commands import options
from knobctl.commands.edge import answer, confirm, fail, guarded, put, say
from knobctl.errors import Busy, KnobctlError, NotPermitted, RestoreIncomplete, UsageError
from knobctl.measure import Verdict
from knobctl.persist import (
    AUTO,
    WAYS,
    carry_out,
    carry_out_rollback,
    describe_preview,
    describe_restore,
    describe_rollback,
    knob_restores,
    plan_apply,
    plan_rollback,
    preview_document,
    require_complete,
    require_lasting,
)
from knobctl.report.session_view import (
    RecordedSession,
    describe_session,
    read_session,
    session_document,
    session_line,
)
from knobctl.report.status_view import describe_status, read_status
from knobctl.store import SessionRecord, Store
from knobctl.target.base import KnobRestore
from knobctl.target.local import LocalTarget
from knobctl.target.standing import has_journal

SESSION = click.argument("session", default="last", metavar="[SESSION]")


@click.command("apply")
@SESSION
@options.yes
@click.option(
    "--via", type=click.Choice([AUTO, *WAYS]), default=AUTO, show_default=True,
    help="sysctl.d: drop-ins that are read at boot. tuned: a TuneD profile that includes the active one. "
         "auto: tuned where TuneD is in charge.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop.")
@options.workdir
@options.as_json
@guarded
def apply_command(session: str, yes: bool, via: str, dry_run: bool, workdir: str, as_json: bool) -> int:
    """Make a session's verified change permanent: live now, and at every boot.

    Refused when another file of this machine would win over it.

    SESSION is its id, a unique beginning of it, or `last`.
    """
    with Store() as store:
        record = store.session(session)
    target = LocalTarget(base=workdir)
    preview = plan_apply(record, target, via)
    say("\n".join(describe_preview(preview)))
    if dry_run and as_json:
        put({"dry_run": True, **preview_document(preview)})
        return UsageError.exit_code if preview.losing else 0
    require_lasting(preview)
    if dry_run:
        return 0
    confirm("Set these values now and at every boot?", yes=yes)
    applied = carry_out(preview, target)
    for path in applied.files:
        say(f"wrote {path}")
    say("live values set and read back. Undo with: knobctl rollback")
    if as_json:
        put(
            {"success": True, **preview_document(preview), "values": dict(applied.values), "files": list(applied.files)}
        )
    return 0


@click.command("rollback")
@options.yes
@options.as_json
@guarded
def rollback_command(yes: bool, as_json: bool) -> int:
    """Undo the last apply: live values, files and TuneD's profile are as they were before it."""
    target = LocalTarget()
    last = plan_rollback(target)
    say(f"Undo what session {last.session} applied on {last.date}:")
    for name, value in last.values.items():
        say(f"  {name} = {value}")
    confirm("Put back what it replaced?", yes=yes)
    undone = carry_out_rollback(target)
    _show(describe_rollback(undone))
    knobs = [asdict(knob) for knob in undone.knobs]
    return end(undone.knobs, {"session_id": undone.session, "knobs": knobs, "kept": list(undone.kept)}, as_json)


@click.command("restore")
@options.as_json
@guarded
def restore_command(as_json: bool) -> int:
    """Put back what an interrupted run left. Does nothing when nothing was left."""
    if not has_journal(Places()):
        say("nothing to restore: no run was cut off")
        if as_json:
            put({"success": True, "restored": [], "record": None})
        return 0
    record = LocalTarget().recover()
    knobs = knob_restores(record["knobs"]) if record else ()
    if record is not None and record["rebooted"]:
        say("the machine was rebooted since, which put every knob back")
    _show(describe_restore(knobs))
    if record is not None and record["problem"]:
        say(record["problem"])
    return end(knobs, {"restored": [asdict(knob) for knob in knobs], "record": record}, as_json)


@click.command("status")
@options.as_json
@guarded
def status_command(as_json: bool) -> int:
    """What is applied and whether it still holds, whether a run is going on, and how the last one ended."""
    status = read_status(LocalTarget())
    if as_json:
        put(status.to_dict())
        return 0
    for line in describe_status(status):
        answer(line)
    return 0


@click.command("sessions")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@click.option(
    "--similar",
    is_flag=False,
    flag_value="last",
    metavar="[PLAN.json | SESSION]",
    help="Show what a new session with this plan would remember, and why; with the last one's when left out.",
)
@click.option("--target", "target_name", metavar="TARGET", help="With --similar: where it would run.")
@options.workdir
@options.as_json
@guarded
def sessions_command(limit: int, similar: str | None, target_name: str | None, workdir: str, as_json: bool) -> int:
    """List the recorded sessions, newest first. With --similar, those that a new session would begin with."""
    if similar is not None:
        from knobctl.commands.memory import show_similar

        return show_similar(similar, target_name, workdir, as_json=as_json)
    if target_name is not None:
        raise UsageError("--target is about --similar", "Add it, or leave --target out.")
    with Store() as store:
        records = store.sessions(limit)
    if as_json:
        put([_brief(record) for record in records])
        return 0
    for record in records:
        answer(session_line(record))
    if not records:
        answer('no session is recorded yet; begin with: knobctl tune "optimize this system for a PostgreSQL database"')
    return 0


@click.command("report")
@SESSION
@click.option(
    "--html", metavar="FILE", help="Write everything as one HTML page that needs no network; - is standard output."
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all evidence as one file, from which `verify --bundle` recomputes the verdict anywhere.",
)
@click.option("--force", is_flag=True, help="Replace FILE even when it is no report, or no bundle of this session.")
@options.verbose
@options.as_json
@guarded
def report_command(
    session: str, html: str | None, bundle: Path | None, force: bool, verbose: int, as_json: bool
) -> int:
    """Show the result of a session; with -v every trial, and the conversation that led to its plan.

    A session that was cut off shows how far it came. --html makes a page of all of it, with plots. --bundle makes
    a file with all evidence.
    """
    if force and html is None and bundle is None:
        raise UsageError("--force is about the file of --html or --bundle", "Name one, or leave --force out.")
    if bundle is not None:
        return _write_bundle(session, html, bundle, force, as_json)
    if as_json and html == "-":
        raise UsageError("--json and --html - both want standard output", "Give --html a file.")
    with Store() as store:
        recorded = read_session(store, session)
    if html is not None:
        _write_page(recorded, html, force)
    if as_json:
        put(session_document(recorded))
    elif html is None:
        answer(describe_session(recorded, verbose=bool(verbose)))
    return 0


def _write_bundle(session: str, html: str | None, bundle: Path, force: bool, as_json: bool) -> int:
    from knobctl.commands import evidence

    if html is not None:
        raise UsageError("both --html and --bundle were given", "Write one after the other.")
    with Store() as store:
        return evidence.write_evidence(store.session(session), store, bundle, force=force, as_json=as_json)


def _write_page(recorded: RecordedSession, html: str, force: bool) -> None:
    from knobctl.report import page

    text = page.render(recorded)
    if html == "-":
        click.echo(text.encode("utf-8"), nl=False)
        return
    size = page.save(text, Path(html), force=force)
    say(f"wrote {html} ({max(1, round(size / 1000))} kB)")


def finish_interrupted_run() -> None:
    """Puts back what a run left that was cut off with its guards, and says so. Never keeps a command from its work."""
    say("an earlier run was cut off; putting back what it left")
    try:
        record = LocalTarget().recover("found by the next start of knobctl")
        knobs = knob_restores(record["knobs"]) if record else ()
        _show(describe_restore(knobs))
        require_complete(knobs)
    except NotPermitted as error:
        say(f"its knobs are not back: {error.message}\n  hint: sudo knobctl restore")
    except Busy:
        say("somebody else is doing that already")
    except KnobctlError as error:
        say(f"its knobs are not back: {error.message}\n  hint: {error.hint}")


def end(knobs: Sequence[KnobRestore], document: Mapping[str, Any], as_json: bool) -> int:
    """Ends a command that put knobs back: one document, and as a failure when one of them is not back."""
    try:
        require_complete(knobs)
    except RestoreIncomplete as error:
        fail(error, as_json, document)
    if as_json:
        put({"success": True, **document})
    return 0


def _show(lines: Sequence[str]) -> None:
    for line in lines:
        say(f"  {line}")


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
