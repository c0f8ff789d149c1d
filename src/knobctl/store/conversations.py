"""What is said to a language model and what it says and does in, conversations that can be read again out."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knobctl.events import StrategistStep
from knobctl.masking import mask_secrets
from knobctl.store.database import insert, rows, storable, translated
from knobctl.store.records import ConversationRecord

LONGEST_TEXT = 20_000
"""Characters of one step that are kept."""

_LONGEST_NAME = 200
_LOOKED_AT = LONGEST_TEXT + 4096
_EDGE = 512
"""The end of a text that was not looked at to its end may hold the first half of a key."""


class Conversations:
    """The conversations of one open record file. Its methods raise :class:`StoreError` and nothing else."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Works on a connection that belongs to somebody else.

        Args:
            path: The file, for messages.
            connection: To it.
        """
        self._path = path
        self._connection = connection

    def begin(self, conversation: str, request: str, model: str) -> None:
        """Opens a conversation under this key."""
        row = {
            "id": conversation,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "request": kept(request),
            "model": kept(model),
        }
        with translated(self._path):
            insert(self._connection, "conversation", row)

    def add(self, conversation: str, step: StrategistStep) -> None:
        """Appends a step."""
        last = "SELECT coalesce(max(number), 0) AS number FROM step WHERE conversation = ?"
        with translated(self._path):
            (row,) = rows(self._connection, last, (conversation,))
            insert(
                self._connection,
                "step",
                {
                    "conversation": conversation,
                    "number": row["number"] + 1,
                    "step": step.step[:_LONGEST_NAME],
                    "name": step.name[:_LONGEST_NAME],
                    "text": kept(step.text),
                },
            )

    def end(self, conversation: str, outcome: str) -> None:
        """Closes a conversation; what it came to does not change any more."""
        with translated(self._path):
            self._connection.execute(
                "UPDATE conversation SET status = 'closed', outcome = ? WHERE id = ? AND status = 'open'",
                (storable(kept(outcome)), conversation),
            )

    def latest(self, limit: int) -> tuple[ConversationRecord, ...]:
        """The newest first."""
        return self._records("ORDER BY created DESC, rowid DESC LIMIT ?", (limit,))

    def beginning_with(self, reference: str) -> tuple[ConversationRecord, ...]:
        """All whose keys begin so, in the order of their keys."""
        return self._records("WHERE substr(id, 1, ?) = ? ORDER BY id", (len(reference), reference))

    def of_session(self, session: str) -> ConversationRecord | None:
        """The one that a session began in."""
        found = self._records("WHERE id = (SELECT conversation FROM session WHERE id = ?)", (session,))
        return found[0] if found else None

    def _records(self, tail: str, arguments: tuple[Any, ...]) -> tuple[ConversationRecord, ...]:
        with translated(self._path):
            return tuple(
                ConversationRecord(
                    id=row["id"],
                    created=datetime.fromisoformat(row["created"]),
                    request=row["request"],
                    model=row["model"],
                    status=row["status"],
                    outcome=row["outcome"],
                    sessions=self._sessions(row["id"]),
                    steps=self._steps(row["id"]),
                )
                for row in rows(self._connection, f"SELECT * FROM conversation {tail}", arguments)  # noqa: S608
            )

    def _sessions(self, conversation: str) -> tuple[str, ...]:
        query = "SELECT id FROM session WHERE conversation = ? ORDER BY created, rowid"
        return tuple(row["id"] for row in rows(self._connection, query, (conversation,)))

    def _steps(self, conversation: str) -> tuple[StrategistStep, ...]:
        query = "SELECT step, name, text FROM step WHERE conversation = ? ORDER BY number"
        return tuple(
            StrategistStep(row["step"], row["text"], row["name"])
            for row in rows(self._connection, query, (conversation,))
        )


def kept(text: str) -> str:
    """Text as the record keeps it: keys and passwords masked, then cut, with its full length noted when it was."""
    masked = mask_secrets(text[:_LOOKED_AT])
    if len(text) <= _LOOKED_AT and len(masked) <= LONGEST_TEXT:
        return masked
    note = f"\n[... cut here: {len(text)} characters in all]"
    if len(text) > _LOOKED_AT:
        masked = masked[:-_EDGE]
    return masked[: LONGEST_TEXT - len(note)] + note
