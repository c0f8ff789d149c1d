"""A file of every earlier version is brought up to date with everything that is in it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from knobctl.plan import plan_from
from knobctl.store import Store
from knobctl.store.schema import STEPS, VERSION
from tests.store.conftest import FACTS, PLAN

SESSION = "20260102-030405-aaaa"


def version_1(path: Path) -> None:
    """A file as the first version made it, with a session that failed in its first trial."""
    path.parent.mkdir()
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.executescript(STEPS[0])
    raw.execute("PRAGMA user_version = 1")
    raw.execute(
        "INSERT INTO session VALUES (?, '2026-01-02T03:04:05+00:00', 'make it fast', 'PostgreSQL OLTP', ?, ?, 'local',"
        " 0, 'ppo', 24, 7, '0.1.0', 1, 1, 'boot', 'failed', 'no space left', NULL)",
        (SESSION, plan_from(PLAN).to_json(), json.dumps(asdict(FACTS))),
    )
    raw.execute(
        "INSERT INTO trial VALUES (?, 0, 'baseline', '{}', 4000.0, '{}', '{}', '[[1.0, 3999.0]]', 5.0, NULL, '', 0.0)",
        (SESSION,),
    )
    raw.close()


def test_a_file_of_version_1_keeps_its_sessions_and_learns_about_conversations(
    path: Path, begin: Callable[..., str]
) -> None:
    version_1(path)
    with Store(path) as store:
        (record,) = store.sessions()
        assert (record.id, record.request, record.reason, record.seed) == (SESSION, "make it fast", "no space left", 7)
        assert record.conversation == ""
        assert store.trials(SESSION)[0].samples == ((1.0, 3999.0),)
        assert store.conversations() == ()
        assert store.conversation_of(SESSION) is None
        conversation = store.begin_conversation("make it faster", "openai:x")
        session = begin(store, conversation=conversation)
        assert store.conversation(conversation).sessions == (session,)
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (VERSION,)
    raw.close()


def test_the_tables_are_the_same_whichever_way_a_file_came_to_them(path: Path, tmp_path: Path) -> None:
    version_1(path)
    Store(path).close()
    Store(tmp_path / "new.db").close()

    def tables(file: Path) -> list[tuple[str, str, str]]:
        raw = sqlite3.connect(file)
        found = raw.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
        raw.close()
        return found

    assert tables(path) == tables(tmp_path / "new.db")
    assert {"conversation", "step"} <= {name for _, name, _ in tables(path)}
