"""What SQLite raises becomes a sentence with a hint."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from knobctl.errors import StoreError
from knobctl.store.database import connect, translated


@pytest.fixture
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    connect(path).close()
    connection = sqlite3.connect(path, timeout=0.01, isolation_level=None)
    yield connection
    connection.close()


def test_read_only(path: Path, raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match=r"the record .*knobctl\.db is read-only") as error, translated(path):
        raw.execute("DELETE FROM session")
    assert "belongs to the user who made it" in error.value.hint


def test_held_by_another_process(path: Path, raw: sqlite3.Connection) -> None:
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process has held the record") as error, translated(path):
        raw.execute("DELETE FROM session")
    other.close()
    assert "`knobctl status`" in error.value.hint


def test_full(path: Path, raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreError, match=r"no space left to write the record .*knobctl\.db") as error, translated(path):
        raw.execute("CREATE TABLE more (x)")
    assert error.value.hint == f"Free some space in {path.parent}, or name another folder in KNOBCTL_STATE_DIR."


def test_damaged(path: Path, raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"x" * 4096
    path.write_bytes(content)
    damaged = sqlite3.connect(path)
    with pytest.raises(StoreError, match="is not a record of knobctl, or it is damaged"), translated(path):
        damaged.execute("SELECT * FROM session").fetchall()
    damaged.close()


def test_anything_else_keeps_the_words_of_sqlite(path: Path, raw: sqlite3.Connection) -> None:
    with pytest.raises(StoreError, match="no such table: elsewhere"), translated(path):
        raw.execute("SELECT * FROM elsewhere")


def test_two_processes_can_make_the_same_record(path: Path) -> None:
    first, second = connect(path), connect(path)
    assert first.execute("PRAGMA user_version").fetchone() == second.execute("PRAGMA user_version").fetchone()
    first.close()
    second.close()
