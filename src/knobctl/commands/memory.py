"""``memory``, and ``sessions --similar``: what earlier sessions left, who would remember it, and how it travels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from knobctl import pipeline
from knobctl.commands import options
from knobctl.commands.edge import answer, confirm, guarded, put, say
from knobctl.errors import UsageError
from knobctl.memory import (
    Fingerprint,
    Memory,
    Recollection,
    Similar,
    fingerprint_in,
    fingerprint_of_run,
    look,
    memory_named,
    read_memories,
    remember,
    write_memories,
)
from knobctl.plan import TuningPlan, load_plan, parse_plan
from knobctl.report.wording import SIMULATED, assignments, one_line
from knobctl.safety import Consent
from knobctl.store import FinishedSession, ImportedMemory, SessionRecord, Store

_SHOWN_DIFFERENCES = 4


@click.group("memory")
def memory_command() -> None:
    """What earlier sessions left for later ones.

    A new session looks for finished ones that measured the same with the same program on a machine that is not too
    different, tries first what they recommended, and lets their trials guide its first guesses. `knobctl sessions
    --similar` shows which ones, and why. Every command takes --json.
    """


@memory_command.command("list")
@options.as_json
@guarded
def list_command(as_json: bool) -> int:
    """List what is remembered, newest first: sessions of this record, then imported ones."""
    with Store() as store:
        found = [_entry(each, "") for each in store.memories.all_finished()]
        found += [_entry(each, each.origin) for each in store.memories.all_imported()]
    if as_json:
        put(found)
        return 0
    for entry in found:
        imported = f"  imported from {entry['origin'][:12]}" if entry["origin"] else ""
        simulated = f" {SIMULATED}" if entry["simulated"] else ""
        answer(
            f"{entry['session_id']}  {entry['verdict']:<12}  "
            f"{one_line(entry['program'], 40)}, {one_line(entry['metric'], 60)}{simulated}{imported}"
        )
    if not found:
        answer("nothing is remembered yet: a session leaves something when it is finished")
    return 0


@memory_command.command("export")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--session", "sessions", multiple=True, metavar="KEY", help="Just this session; may be given repeatedly.")
@click.option("--force", is_flag=True, help="Replace FILE.")
@options.as_json
@guarded
def export_command(file: Path, sessions: tuple[str, ...], force: bool, as_json: bool) -> int:
    """Write what is remembered to FILE, for another machine.

    The file holds configurations, scores, verdicts, and of the machine and the command only what likeness is judged by:
    no names, addresses, paths, words of a request, or passwords. It holds a hash of its content, which shows that
    nothing was lost or changed on the way, and not who wrote it.
    """
    with Store() as store:
        memories = [_the_one(store, key) for key in sessions] if sessions else _all(store)
    digest = write_memories(memories, file, force=force)
    say(f"wrote {file}: {len(memories)} sessions, sha256 {digest}")
    if as_json:
        put({"success": True, "file": str(file), "sessions": [memory.key for memory in memories], "sha256": digest})
    return 0


@memory_command.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@options.as_json
@guarded
def import_command(file: Path, as_json: bool) -> int:
    """Remember what `memory export` wrote, on this machine or another one. All of it, or nothing when it is not sound.

    What is imported is only a first guess: it is tried and measured here before anything is said.
    """
    carried = read_memories(file)
    with Store() as store:
        done = remember(store, carried.memories, carried.origin)
    say(f"{len(done.new)} sessions are remembered from now on, {len(done.known)} were known already")
    if as_json:
        put({"success": True, "sha256": carried.origin, "new": list(done.new), "known": list(done.known)})
    return 0


@memory_command.command("forget")
@click.argument("session")
@options.yes
@options.as_json
@guarded
def forget_command(session: str, yes: bool, as_json: bool) -> int:
    """Never remember a session again. Its own record stays; what was imported is deleted.

    SESSION is its key, or a beginning of it that no other one has.
    """
    with Store() as store:
        key = _key(store, session)
        confirm(f"Forget session {key}?", yes=yes)
        store.memories.forget(key)
    say(f"session {key} is not remembered any more")
    if as_json:
        put({"success": True, "session_id": key})
    return 0


def show_similar(reference: str, target_name: str | None, workdir: str, *, as_json: bool) -> int:
    """Shows what a new session with this plan would remember; the exit code. Nothing is touched.

    Args:
        reference: A plan file, or a session whose plan is meant.
        target_name: Where it would run; where the session ran, or this machine, when None.
        workdir: Where work folders would be made.
        as_json: One document, and nothing for people.

    Raises:
        UsageError: There is no such plan or session.
        PlanError: The plan cannot run on this machine.
        StoreError: The record cannot be read.
    """
    with Store() as store:
        proposed, record = _plan_of(reference, store)
        target = options.open_target(target_name or (record.target if record else "local"), workdir)
        try:
            # Looked at and never run, so nobody has to consent to anything.
            knobs = frozenset(action.param for action in proposed.action_space)
            consent = Consent(proposed.benchmark_command, knobs, proposed.reset_command)
            plan = pipeline.validate(proposed, target, consent)
            here = fingerprint_of_run(plan, target, target.facts(), store.trials(record.id) if record else ())
            found = look(store, plan.space, plan.default, here)
        finally:
            target.close()
    if as_json:
        put(_document(found, here))
        return 0
    for line in _described(found, here):
        answer(line)
    return 0


def _plan_of(reference: str, store: Store) -> tuple[TuningPlan, SessionRecord | None]:
    path = Path(reference)
    if path.suffix == ".json" or path.is_file():
        return load_plan(path), None
    record = store.session(reference)
    return parse_plan(record.plan), record


def _all(store: Store) -> list[Memory]:
    """Every memory, those of this record first."""
    keys = [session.key for session in store.memories.all_finished()]
    keys += [memory.key for memory in store.memories.all_imported()]
    left = [memory_named(store, key) for key in keys]
    return [memory for memory in left if memory is not None]


def _the_one(store: Store, reference: str) -> Memory:
    key = _key(store, reference)
    memory = memory_named(store, key)
    if memory is None:
        raise UsageError(f"session {key} left nothing to remember", "`knobctl memory list` shows the ones that did.")
    return memory


def _key(store: Store, reference: str) -> str:
    keys = store.memories.keys(reference)
    if reference in keys:
        return reference
    if not keys:
        raise UsageError(f"no session {reference!r} is remembered", "`knobctl memory list` shows the ones that are.")
    if len(keys) > 1:
        raise UsageError(
            f"{len(keys)} sessions begin with {reference!r}: {', '.join(keys[:4])}", "Give more of its digits."
        )
    return keys[0]


def _entry(row: FinishedSession | ImportedMemory, origin: str) -> dict[str, Any]:
    fingerprint = fingerprint_in(row)
    return {
        "session_id": row.key,
        "created": row.created,
        "verdict": row.verdict,
        "program": fingerprint.program,
        "metric": fingerprint.metric,
        "simulated": row.simulated,
        "origin": origin,
    }


def _document(found: Recollection, here: Fingerprint) -> dict[str, Any]:
    return {
        "program": here.program,
        "metric": here.metric,
        "looked_at": found.looked_at,
        "unlike": found.unlike,
        "nothing_to_say": found.useless,
        "remembered": [
            {
                "session_id": similar.remembered.session,
                "created": similar.created,
                "origin": similar.origin,
                "likeness": similar.likeness.value,
                "why": similar.likeness.why,
                "differences": [
                    {"part": each.part, "distance": each.distance, "text": each.text}
                    for each in similar.likeness.differences
                ],
                "verdict": similar.remembered.verdict,
                "best": dict(similar.remembered.best),
                "observations": len(similar.remembered.observations),
            }
            for similar in found.sessions
        ],
    }


def _described(found: Recollection, here: Fingerprint) -> Sequence[str]:
    about = f"{one_line(here.program, 60)}, {one_line(here.metric, 100)}"
    if not found.looked_at:
        return [f"nothing would be remembered: no finished session measured the same ({about})"]
    count = len(found.sessions)
    lines = [
        f"{count} of {found.looked_at} sessions that measured the same ({about}) would be remembered"
        + (f"; {found.unlike} are too little alike" if found.unlike else "")
        + (f"; {found.useless} have nothing to say about these knobs" if found.useless else "")
    ]
    if not here.load:
        lines.append("how the machine is loaded is not known yet, so that is not compared")
    for similar in found.sessions:
        lines += _about(similar)
    return lines


def _about(similar: Similar) -> list[str]:
    remembered, likeness = similar.remembered, similar.likeness
    imported = f", imported from {similar.origin[:12]}" if similar.origin else ""
    what = assignments(remembered.best) if remembered.best else "nothing"
    lines = [
        f"{remembered.session}  {100 * likeness.value:.0f} % alike  {remembered.verdict}{imported}",
        f"  would be tried first: {what}; {len(remembered.observations)} observations",
    ]
    if not likeness.differences:
        return [*lines, f"  {one_line(likeness.why, 200)}: nothing tells them apart"]
    shown = likeness.differences[:_SHOWN_DIFFERENCES]
    return [*lines, *(f"  {each.part:<14}  -{each.distance:.2f}  {one_line(each.text, 160)}" for each in shown)]
