"""Events in, one SQLite file that holds every session out, readable up to the last trial whatever happened.

The file is the record that everything else is recomputed from: raw samples are kept, summaries are derived.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from knobctl.errors import StoreError
from knobctl.events import (
    CandidateChosen,
    Event,
    EventSink,
    MachineRestored,
    MemoryRecalled,
    NoiseMeasured,
    Notice,
    PairMeasured,
    PhaseStarted,
    Progress,
    SessionEnded,
    SessionResumed,
    SessionStarted,
    StrategistStep,
    Trial,
    TrialDone,
    TrialStarted,
)
from knobctl.masking import mask_document, mask_secrets
from knobctl.plan import TuningPlan
from knobctl.state import state_folder
from knobctl.store.conversations import Conversations
from knobctl.store.database import connect, insert, rows, storable, translated
from knobctl.store.memories import Memories
from knobctl.store.process import Process
from knobctl.store.records import ConversationRecord, SessionRecord, event_from, facts_from, result_from, the_one
from knobctl.store.resuming import reopen
from knobctl.target import HostFacts

_KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        Notice,
        SessionStarted,
        SessionResumed,
        PhaseStarted,
        TrialStarted,
        NoiseMeasured,
        MemoryRecalled,
        CandidateChosen,
        MachineRestored,
    )
}


def default_path() -> Path:
    """Where the record is kept: ``knobctl.db`` in the state folder."""
    return state_folder() / "knobctl.db"


def new_session_id(now: datetime | None = None) -> str:
    """A key such as ``20261122-184500-a1b2``: the time in UTC and four random digits."""
    return f"{(now or datetime.now(UTC)).astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def new_conversation_id(now: datetime | None = None) -> str:
    """A key such as ``c-20261122-184500-a1b2``, which no session has."""
    return f"c-{new_session_id(now)}"


class Store:
    """The record of all sessions. One instance belongs to one thread; close it, or use it in a ``with`` statement.

    Attributes:
        path: The SQLite file.
        failure: Why the record is incomplete, or None. A sink must not raise into a run, so the first error is kept
            here and nothing more is written; the run looks at it between trials, with :meth:`check`.
        memories: What later sessions may remember.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Opens the record, making folder and file when they are missing.

        Raises:
            StoreError: It cannot be opened or written, is no record, or comes from a newer knobctl.
        """
        self.path = path or default_path()
        self.failure: StoreError | None = None
        self._connection = connect(self.path)
        self._conversations = Conversations(self.path, self._connection)
        self.memories = Memories(self.path, self._connection)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file. May be called more than once."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def begin(
        self,
        *,
        request: str,
        plan: TuningPlan,
        facts: HostFacts,
        target: str,
        simulated: bool,
        searcher: str,
        budget: int,
        seed: int,
        session: str = "",
        conversation: str = "",
        settings: Mapping[str, Any] | None = None,
    ) -> str:
        """Opens a session that belongs to this process, before anything on the machine is touched.

        Args:
            request: The user's words; empty when a plan file is run. Keys and passwords in them are masked.
            plan: What was asked for.
            facts: The machine.
            target: Name of the target.
            simulated: Whether the target is a simulation.
            searcher: Name of the searcher.
            budget: Trials of the search.
            seed: Seed of everything that is drawn.
            session: Its key, when it is already known; a new one otherwise.
            conversation: Key of the conversation that it begins in.
            settings: What else is needed to go on with it after it was cut off, in plain JSON types.

        Returns:
            The key of the session.

        Raises:
            StoreError: It cannot be written (a full disk, for instance).
        """
        now = datetime.now(UTC)
        session = session or new_session_id(now)
        process = Process.current()
        row = {
            "id": session,
            "created": now.isoformat(timespec="seconds"),
            "request": mask_secrets(request),
            "workload": plan.workload_name,
            "plan": _masked(plan).to_json(),
            "facts": _json(asdict(facts)),
            "target": target,
            "simulated": int(simulated),
            "searcher": searcher,
            "budget": budget,
            "seed": seed,
            "version": metadata.version("knobctl"),
            "pid": process.pid,
            "pid_started": process.started,
            "boot": process.boot,
            "status": "running",
            "conversation": conversation,
            "settings": _json(settings or {}),
        }
        with translated(self.path):
            insert(self._connection, "session", row)
        return session

    def resume(self, session: str) -> tuple[Trial, ...]:
        """Makes a session that was cut off this process's own, and returns its complete trials.

        Raises:
            UsageError: The session is finished.
            Busy: Its own process goes on with it.
            StoreError: The file cannot be read or written.
        """
        with translated(self.path):
            reopen(self._connection, session, Process.current())
        return self.trials(session)

    def sink(self, session: str) -> EventSink:
        """The reader of the event stream that saves every event of a session as it comes. Never raises."""

        return self._guarded(lambda event: self._save(session, event))

    def check(self) -> None:
        """Raises what kept a sink from writing, if anything did.

        Raises:
            StoreError: The record is incomplete.
        """
        if self.failure is not None:
            raise self.failure

    def end(self, session: str, status: str, reason: str = "") -> None:
        """Says that a session ended without a result: ``interrupted`` or ``failed``.

        Raises:
            StoreError: It cannot be written.
        """
        with translated(self.path):
            self._connection.execute(
                "UPDATE session SET status = ?, reason = ? WHERE id = ? AND status = 'running'",
                (status, storable(mask_secrets(reason)), session),
            )

    def sessions(self, limit: int = 1000) -> tuple[SessionRecord, ...]:
        """The latest sessions, the newest first.

        Raises:
            StoreError: The file cannot be read.
        """
        return tuple(self._records("ORDER BY session.created DESC, session.rowid DESC LIMIT ?", (limit,)))

    def session(self, reference: str) -> SessionRecord:
        """One session by its key, by a beginning of it that no other key has, or ``last`` for the newest.

        Raises:
            UsageError: There is none, or more than one.
            StoreError: The file cannot be read.
        """
        if reference == "last":
            found = self.sessions(limit=1)
        else:
            where = "WHERE substr(session.id, 1, ?) = ? ORDER BY session.id"
            found = tuple(self._records(where, (len(reference), reference))) if reference else ()
        return the_one(found, reference, "session", self.path, "`knobctl sessions` lists them all.")

    def trials(self, session: str) -> tuple[Trial, ...]:
        """Every trial of a session, in the order in which they ran, with its raw samples.

        Raises:
            StoreError: The file cannot be read.
        """
        return tuple(
            Trial(
                number=row["number"],
                kind=row["kind"],
                configuration=json.loads(row["configuration"]),
                score=row["score"],
                metrics=json.loads(row["metrics"]),
                machine=json.loads(row["machine"]),
                samples=tuple((second, value) for second, value in json.loads(row["samples"])),
                seconds=row["seconds"],
                reward=row["reward"],
                failure=row["failure"],
                started=row["started"],
                ended=row["ended"],
                cut_short=bool(row["cut_short"]),
                uncertainty=row["uncertainty"],
                tripped=row["tripped"],
                refused=bool(row["refused"]),
            )
            for row in self._rows("SELECT * FROM trial WHERE session = ? ORDER BY number", (session,))
        )

    def pairs(self, session: str) -> tuple[PairMeasured, ...]:
        """Every pair of a session's verification, with the interval after it.

        Raises:
            StoreError: The file cannot be read.
        """
        return tuple(
            PairMeasured(
                pair=row["number"],
                of=row["planned"],
                default_score=row["default_score"],
                candidate_score=row["candidate_score"],
                percent=row["percent"],
                low_percent=row["low_percent"],
                high_percent=row["high_percent"],
            )
            for row in self._rows("SELECT * FROM pair WHERE session = ? ORDER BY number", (session,))
        )

    def events(self, session: str) -> tuple[Event, ...]:
        """All other events of a session in their order: notices, phases, starts of trials, noise, candidate, restore.

        Raises:
            StoreError: The file cannot be read, or one of them.
        """
        rows = self._rows("SELECT kind, body FROM event WHERE session = ? ORDER BY position", (session,))
        return tuple(event_from(_KINDS[row["kind"]], row["body"]) for row in rows if row["kind"] in _KINDS)

    def begin_conversation(self, request: str, model: str) -> str:
        """Opens a conversation with a language model, whether or not it will end in a session.

        Args:
            request: The user's first words. Keys and passwords in them are masked.
            model: Provider and model.

        Returns:
            The key of the conversation.

        Raises:
            StoreError: It cannot be written.
        """
        conversation = new_conversation_id()
        self._conversations.begin(conversation, request, model)
        return conversation

    def conversation_sink(self, conversation: str) -> EventSink:
        """The reader of the event stream that saves what is said in a conversation. Never raises.

        Keys and passwords are masked, texts cut to 20,000 characters. Other events are left to :meth:`sink`.
        """

        def save(event: Event) -> None:
            if isinstance(event, StrategistStep):
                self._conversations.add(conversation, event)

        return self._guarded(save)

    def end_conversation(self, conversation: str, outcome: str) -> None:
        """Says what a conversation came to: ``plan by model:...``, ``playbook: REASON``, ``refused``, ``closed``.

        The first outcome stays.

        Raises:
            StoreError: It cannot be written.
        """
        self._conversations.end(conversation, outcome)

    def conversations(self, limit: int = 20) -> tuple[ConversationRecord, ...]:
        """The latest conversations, the newest first.

        Raises:
            StoreError: The file cannot be read.
        """
        return self._conversations.latest(limit)

    def conversation(self, reference: str) -> ConversationRecord:
        """One conversation by its key, by a beginning of it that no other key has, or ``last`` for the newest.

        Raises:
            UsageError: There is none, or more than one.
            StoreError: The file cannot be read.
        """
        if reference == "last":
            found = self._conversations.latest(1)
        else:
            found = self._conversations.beginning_with(reference) if reference else ()
        hint = "`knobctl report SESSION --json` names the conversation of a session."
        return the_one(found, reference, "conversation", self.path, hint)

    def conversation_of(self, session: str) -> ConversationRecord | None:
        """The conversation that a session began in; None without one.

        Raises:
            StoreError: The file cannot be read.
        """
        return self._conversations.of_session(session)

    def _guarded(self, save: EventSink) -> EventSink:
        """A sink that keeps the first error instead of raising it, and writes nothing more after it."""

        def read(event: Event) -> None:
            if self.failure is not None:
                return
            try:
                with translated(self.path):
                    save(event)
            except StoreError as error:
                self.failure = error

        return read

    def _save(self, session: str, event: Event) -> None:
        match event:
            case Progress():
                return  # what it showed comes again, complete, in the trial's samples
            case StrategistStep():
                return  # it belongs to a conversation
            case TrialDone(trial=trial):
                row = {field.name: getattr(trial, field.name) for field in fields(trial)}
                row["failure"] = mask_secrets(row["failure"])
                for name in ("configuration", "metrics", "machine", "samples"):
                    row[name] = _json(row[name])
                insert(self._connection, "trial", {"session": session, **row})
            case PairMeasured():
                row = asdict(event)
                numbers = {"number": row.pop("pair"), "planned": row.pop("of")}
                known = (session, event.pair)  # when a session goes on, its last pair may be said again
                self._connection.execute("DELETE FROM pair WHERE session = ? AND number = ?", known)
                insert(self._connection, "pair", {"session": session, **numbers, **row})
            case SessionEnded(result=result):
                self._connection.execute(
                    "UPDATE session SET status = 'finished', result = ? WHERE id = ?", (_json(result), session)
                )
            case _:
                row = {"session": session, "kind": event.kind, "body": _json(asdict(event))}
                insert(self._connection, "event", row)

    def _records(self, tail: str, arguments: tuple[Any, ...]) -> Iterator[SessionRecord]:
        counted = "SELECT *, (SELECT count(*) FROM trial WHERE trial.session = session.id) AS trials FROM session"
        for row in self._rows(f"{counted} {tail}", arguments):
            process = Process(row["pid"], row["pid_started"], row["boot"])
            gone = row["status"] == "running" and not process.alive
            result, unread = result_from(row["result"])
            yield SessionRecord(
                id=row["id"],
                created=datetime.fromisoformat(row["created"]),
                request=row["request"],
                workload=row["workload"],
                plan=row["plan"],
                facts=facts_from(json.loads(row["facts"])),
                target=row["target"],
                simulated=bool(row["simulated"]),
                searcher=row["searcher"],
                budget=row["budget"],
                seed=row["seed"],
                version=row["version"],
                status="interrupted" if gone else row["status"],
                reason="its process is gone" if gone else row["reason"] or unread,
                trials=row["trials"],
                result=result,
                conversation=row["conversation"],
                settings=json.loads(row["settings"]),
            )

    def _rows(self, query: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
        with translated(self.path):
            return rows(self._connection, query, arguments)


def _json(value: Any) -> str:
    return json.dumps(mask_document(value), separators=(",", ":"))


def _masked(plan: TuningPlan) -> TuningPlan:
    reset = plan.reset_command and mask_secrets(plan.reset_command)
    return plan.model_copy(update={"benchmark_command": mask_secrets(plan.benchmark_command), "reset_command": reset})
