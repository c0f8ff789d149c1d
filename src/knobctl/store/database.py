"""A path in, an open SQLite connection with the current tables out; SQLite's errors become sentences with a hint."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from knobctl.errors import StoreError
from knobctl.store.schema import STEPS, VERSION
from knobctl.target.text import encodable

BUSY_SECONDS = 10.0
"""How long another process may hold the file before it becomes an error."""

_ELSEWHERE = "or name another folder in KNOBCTL_STATE_DIR"


def connect(path: Path) -> sqlite3.Connection:
    """Opens the record, creating folder and file when they are missing, and brings its tables up to date.

    The folder of root can be looked into by everybody (the journal lives next to the record), that of a user by
    nobody else; the record itself is its owner's alone, because a benchmark command may hold a password.

    Raises:
        StoreError: It cannot be opened or written, is no record, or comes from a newer knobctl.
    """
    with translated(path):
        path.parent.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL syncs each commit: a trial costs seconds, a sync milliseconds, it never falls into a measured run,
            # and a machine under tuning may well lose its power or its kernel.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # another process may have been faster
        if version > VERSION:
            raise StoreError(
                f"{path} was written by a newer knobctl (version {version} of its tables; this one knows {VERSION})",
                f"Upgrade knobctl, {_ELSEWHERE}.",
            )
        for step in STEPS[version:]:
            for statement in step.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """Adds a row. Table and column names come from the program's text alone; the values are bound."""
    marks = ", ".join(f":{name}" for name in row)
    bound = {name: storable(value) for name, value in row.items()}
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", bound)  # noqa: S608


def rows(connection: sqlite3.Connection, query: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
    """The rows of a query, by column name."""
    cursor = connection.execute(query, tuple(storable(argument) for argument in arguments))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def storable(value: Any) -> Any:
    """Text as SQLite can hold it: an argument that is not UTF-8 reaches Python with surrogates in it."""
    return encodable(value) if isinstance(value, str) else value


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turns what SQLite and the file system raise into a :class:`StoreError` that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _from_sqlite(path, error) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"cannot open the record {path}: {reason}", _hint_for_access(path)) from error


def _from_sqlite(path: Path, error: sqlite3.Error) -> StoreError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and _is_full(path.parent)):
        return StoreError(
            f"no space left to write the record {path}", f"Free some space in {path.parent}, {_ELSEWHERE}."
        )
    if name.startswith("SQLITE_IOERR"):
        return StoreError(
            f"the record {path} could not be written ({name})",
            f"Check the disk (`dmesg`) and the limit on file sizes (`ulimit -f`), {_ELSEWHERE}.",
        )
    if name.startswith("SQLITE_READONLY"):
        return StoreError(f"the record {path} is read-only", _hint_for_access(path))
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return StoreError(
            f"{path} is not a record of knobctl, or it is damaged", f"Move it away: mv {path} {path}.damaged"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreError(
            f"another process has held the record {path} for {BUSY_SECONDS:.0f} s",
            "Wait for it to end; `knobctl status` shows a run in progress.",
        )
    return StoreError(f"cannot use the record {path}: {error}", _hint_for_access(path))


def _hint_for_access(path: Path) -> str:
    return f"Check the permissions of {path.parent} (the record belongs to the user who made it), {_ELSEWHERE}."


def _is_full(folder: Path) -> bool:
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False
