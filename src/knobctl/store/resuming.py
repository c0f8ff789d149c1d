"""A session that was cut off in, its last complete trial found and everything after it forgotten out."""

from __future__ import annotations

import contextlib
import sqlite3

from knobctl.errors import Busy, UsageError
from knobctl.store.process import Process

_OF_THE_DEFAULT = ("warmup", "baseline", "control", "canary")
"""Kinds of trials that measure the default configuration. When they fail, the benchmark is broken."""


def reopen(connection: sqlite3.Connection, session: str, process: Process) -> None:
    """Makes the session this process's own, as it was right after the start of its last trial that counts.

    What was recorded after that is said again when the session is played again, so nothing stands there twice.

    Raises:
        UsageError: The session is finished.
        Busy: Its own process goes on with it.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        status, reason, *owner = connection.execute(
            "SELECT status, reason, pid, pid_started, boot FROM session WHERE id = ?", (session,)
        ).fetchone()
        if status == "finished":
            raise UsageError(
                f"session {session} is finished", f"`knobctl verify {session}` measures its candidate again."
            )
        if status == "running" and Process(*owner).alive:
            raise Busy(f"session {session} is running in process {owner[0]}", "Wait for it to end.")
        last = _last_complete(connection, session, status, reason)
        started = (
            "SELECT max(position) FROM event WHERE session = ? AND kind = 'trial-started' "
            "AND json_extract(body, '$.number') = ?"
        )
        position = None if last is None else connection.execute(started, (session, last)).fetchone()[0]
        connection.execute("DELETE FROM event WHERE session = ? AND position > ?", (session, position or 0))
        connection.execute(
            "UPDATE session SET status = 'running', reason = '', pid = ?, pid_started = ?, boot = ? WHERE id = ?",
            (process.pid, process.started, process.boot, session),
        )
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _last_complete(connection: sqlite3.Connection, session: str, status: str, reason: str) -> int | None:
    """Number of the last trial that counts; those after it are removed, so that they are measured anew.

    These do not count: a trial that failed with the session's reason; runs of the default configuration with whose
    failure the session failed; and the first run of a pair without its second, because the two have to be next to each
    other.
    """
    trials = connection.execute(
        "SELECT number, kind, failure FROM trial WHERE session = ? ORDER BY number", (session,)
    ).fetchall()
    if trials and trials[-1][2] and trials[-1][2] == " ".join(reason.split()):
        trials.pop()
    while status == "failed" and trials and trials[-1][2] and trials[-1][1] in _OF_THE_DEFAULT:
        trials.pop()
    if sum(kind.startswith("verify-") for _, kind, _ in trials) % 2:
        trials.pop()
    last = int(trials[-1][0]) if trials else None
    connection.execute("DELETE FROM trial WHERE session = ? AND number > ?", (session, -1 if last is None else last))
    return last
