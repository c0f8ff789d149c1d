"""A metric in, the finished sessions and imported memories that measured it out: enough to judge by how alike they are.

No trial is read but those of the baseline, so that a record of a thousand sessions is looked through in a moment.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from knobctl.store.database import insert, rows, translated
from knobctl.store.records import facts_from
from knobctl.target import HostFacts

MOST_LOOKED_AT = 1000
"""The latest sessions that measured the same; older ones are not looked at."""

_LATEST_BASELINE = 16  # The preflight is over long before a session has so many trials.

_FINISHED = """
    SELECT id, created, facts, target, simulated, json_extract(plan, '$.benchmark_command') AS command,
           json_extract(result, '$.metric') AS metric, json_extract(result, '$.direction') AS direction,
           json_extract(result, '$.verdict') AS verdict
    FROM session WHERE status = 'finished' AND searcher != 'none' AND {condition}
    ORDER BY created DESC, rowid DESC LIMIT ?
"""


@dataclass(frozen=True)
class FinishedSession:
    """A finished session of this record that searched, without its trials.

    Attributes:
        key: Its key.
        created: When it began (UTC, ISO 8601).
        command: What it measured with; keys and passwords are masked.
        metric: Its objective.
        direction: ``maximize`` or ``minimize``.
        target: Name of the target.
        simulated: Whether the target was a simulation.
        facts: The machine.
        machine: Machine metrics of its baseline runs.
        verdict: What came of it.
    """

    key: str
    created: str
    command: str
    metric: str
    direction: str
    target: str
    simulated: bool
    facts: HostFacts
    machine: tuple[Mapping[str, float], ...]
    verdict: str


@dataclass(frozen=True)
class ImportedMemory:
    """What a session of another record left, as it was imported.

    Attributes:
        key: Key of that session.
        created: When it began (UTC, ISO 8601).
        imported: When it was imported (UTC, ISO 8601).
        origin: SHA-256 of what the file held that it came in.
        simulated: Whether its target was a simulation.
        metric: Its objective.
        fingerprint: What its likeness is judged by, as JSON.
        verdict: What came of it.
        body: All of it, as JSON; empty where only its likeness is asked for.
    """

    key: str
    created: str
    imported: str
    origin: str
    simulated: bool
    metric: str
    fingerprint: str
    verdict: str
    body: str


class Memories:
    """What one open record file remembers. Its methods raise :class:`StoreError` and nothing else.

    No list is longer than :data:`MOST_LOOKED_AT`, but that of all imported memories.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Works on a connection that belongs to somebody else.

        Args:
            path: The file, for messages.
            connection: To it.
        """
        self._path = path
        self._connection = connection

    def finished(self, metric: str, simulated: bool) -> tuple[FinishedSession, ...]:
        """Sessions that measured this metric and are not forgotten, the newest first."""
        condition = "forgotten = 0 AND json_extract(result, '$.metric') = ? AND simulated = ?"
        return self._finished(condition, (metric, int(simulated)))

    def all_finished(self) -> tuple[FinishedSession, ...]:
        """Sessions that measured anything and are not forgotten, the newest first."""
        return self._finished("forgotten = 0", ())

    def finished_named(self, keys: Sequence[str]) -> tuple[FinishedSession, ...]:
        """Sessions with these keys, forgotten since or not."""
        return self._finished(f"id IN ({_marks(keys)})", tuple(keys)) if keys else ()

    def imported(self, metric: str, simulated: bool) -> tuple[ImportedMemory, ...]:
        """Imported memories of this metric without their bodies, the newest first."""
        condition = "WHERE metric = ? AND simulated = ? ORDER BY created DESC, key LIMIT ?"
        return self._imported("''", condition, (metric, int(simulated), MOST_LOOKED_AT))

    def imported_named(self, keys: Sequence[str]) -> tuple[ImportedMemory, ...]:
        """Imported memories with these keys, with their bodies."""
        return self._imported("body", f"WHERE key IN ({_marks(keys)})", tuple(keys)) if keys else ()

    def all_imported(self) -> tuple[ImportedMemory, ...]:
        """Every imported memory without its body, the newest first."""
        return self._imported("''", "ORDER BY created DESC, key", ())

    def keep(self, memories: Iterable[ImportedMemory]) -> tuple[str, ...]:
        """Keeps imported memories, all of them or, when something goes wrong, none.

        Returns:
            Keys of those that are new: what this record has under the same key already, as a session of its own or
            as a memory, stays as it is.
        """
        new = []
        with translated(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for memory in memories:
                    known = "SELECT 1 FROM session WHERE id = :key UNION SELECT 1 FROM memory WHERE key = :key"
                    if self._connection.execute(known, {"key": memory.key}).fetchone() is None:
                        insert(self._connection, "memory", {**asdict(memory), "simulated": int(memory.simulated)})
                        new.append(memory.key)
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
        return tuple(new)

    def keys(self, beginning: str) -> tuple[str, ...]:
        """Keys that begin so, of all that is remembered, in their order."""
        query = (
            "SELECT id AS key FROM session WHERE status = 'finished' AND searcher != 'none' AND forgotten = 0 "
            "AND substr(id, 1, ?) = ? UNION SELECT key FROM memory WHERE substr(key, 1, ?) = ? ORDER BY key"
        )
        return tuple(row["key"] for row in self._rows(query, (len(beginning), beginning) * 2))

    def forget(self, key: str) -> None:
        """Remembers this session no more: what was imported is deleted; the record of a session of one's own stays."""
        with translated(self._path):
            self._connection.execute("UPDATE session SET forgotten = 1 WHERE id = ?", (key,))
            self._connection.execute("DELETE FROM memory WHERE key = ?", (key,))

    def _finished(self, condition: str, arguments: tuple[Any, ...]) -> tuple[FinishedSession, ...]:
        return tuple(
            FinishedSession(
                key=row["id"],
                created=row["created"],
                command=row["command"] or "",
                metric=row["metric"] or "",
                direction=row["direction"] or "",
                target=row["target"],
                simulated=bool(row["simulated"]),
                facts=facts_from(json.loads(row["facts"])),
                machine=self._baseline(row["id"]),
                verdict=row["verdict"] or "",
            )
            for row in self._rows(_FINISHED.format(condition=condition), (*arguments, MOST_LOOKED_AT))
        )

    def _baseline(self, session: str) -> tuple[Mapping[str, float], ...]:
        query = (
            "SELECT machine FROM trial WHERE session = ? AND number < ? AND kind = 'baseline' AND score IS NOT NULL "
            "ORDER BY number"
        )
        return tuple(json.loads(row["machine"]) for row in self._rows(query, (session, _LATEST_BASELINE)))

    def _imported(self, body: str, tail: str, arguments: tuple[Any, ...]) -> tuple[ImportedMemory, ...]:
        columns = f"key, created, imported, origin, simulated, metric, fingerprint, verdict, {body} AS body"
        return tuple(
            ImportedMemory(**{**row, "simulated": bool(row["simulated"])})
            for row in self._rows(f"SELECT {columns} FROM memory {tail}", arguments)  # noqa: S608
        )

    def _rows(self, query: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
        with translated(self._path):
            return rows(self._connection, query, arguments)


def _marks(keys: Sequence[str]) -> str:
    return ", ".join("?" for _ in keys)
