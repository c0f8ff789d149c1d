"""The record finds who measured the same without reading trials, keeps what is imported, and forgets."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from knobctl.errors import StoreError
from knobctl.events import MemoryRecalled
from knobctl.store import ImportedMemory, Store
from tests.memory.sessions import FACTS, LOAD, METRIC, TRIALS, finish


def imported(key: str, *, metric: str = METRIC, simulated: bool = False) -> ImportedMemory:
    return ImportedMemory(
        key,
        "2026-01-02T03:04:05+00:00",
        "2026-02-02T03:04:05+00:00",
        "a" * 64,
        simulated,
        metric,
        "{}",
        "WORSE",
        '{"key": 1}',
    )


def test_a_finished_session_is_found_by_its_metric_with_what_likeness_needs(store: Store) -> None:
    finish(store, "s-1", command="pgbench -c 5 postgresql://me:hunter2@db/x")
    finish(store, "s-2", metric="latency_average_ms")
    finish(store, "s-3", target="simulated:web")
    (found,) = store.memories.finished(METRIC, simulated=False)
    assert (found.key, found.metric, found.direction) == ("s-1", METRIC, "maximize")
    assert (found.target, found.simulated, found.facts, found.verdict) == ("local", False, FACTS, "IMPROVED")
    assert found.command == "pgbench -c 5 postgresql://me:***@db/x"
    assert found.machine == (LOAD, LOAD), "of the two baseline runs"
    assert [each.key for each in store.memories.finished(METRIC, simulated=True)] == ["s-3"]
    assert [each.key for each in store.memories.all_finished()] == ["s-3", "s-2", "s-1"]


def test_what_is_not_finished_or_did_not_search_is_not_found(store: Store) -> None:
    finish(store, "s-1", searcher="none")
    finish(store, "s-2")
    store._connection.execute("UPDATE session SET status = 'failed' WHERE id = 's-2'")
    assert store.memories.all_finished() == ()
    assert store.memories.finished_named(["s-1", "s-2"]) == ()
    assert store.memories.keys("s") == ()


def test_a_thousand_sessions_are_looked_through_without_reading_their_trials(store: Store) -> None:
    finish(store, "s-1")
    plan = store._connection.execute(
        "EXPLAIN QUERY PLAN SELECT id FROM session WHERE status = 'finished' AND searcher != 'none' AND forgotten = 0 "
        "AND json_extract(result, '$.metric') = ? AND simulated = ? ORDER BY created DESC, rowid DESC LIMIT ?",
        ("m", 0, 10),
    ).fetchall()
    assert "USING INDEX session_of_metric" in plan[0][3]
    baseline = store._connection.execute(
        "EXPLAIN QUERY PLAN SELECT machine FROM trial WHERE session = ? AND number < ? AND kind = 'baseline'", ("s", 16)
    ).fetchall()
    assert "session=? AND number<?" in baseline[0][3]


def test_what_is_imported_is_kept_under_its_key_with_its_origin(store: Store) -> None:
    assert store.memories.keep([imported("m-1"), imported("m-2", metric="other")]) == ("m-1", "m-2")
    (found,) = store.memories.imported(METRIC, simulated=False)
    assert (found.key, found.origin, found.imported) == ("m-1", "a" * 64, "2026-02-02T03:04:05+00:00")
    assert found.body == "", "only its likeness is asked for"
    assert [json.loads(each.body) for each in store.memories.imported_named(["m-1"])] == [{"key": 1}]
    assert [each.key for each in store.memories.all_imported()] == ["m-1", "m-2"]
    assert store.memories.imported(METRIC, simulated=True) == ()
    assert store.memories.imported_named([]) == store.memories.finished_named([]) == ()


def test_an_import_never_replaces_anything(store: Store) -> None:
    finish(store, "s-1")
    store.memories.keep([imported("m-1")])
    assert store.memories.keep([imported("s-1"), imported("m-1", metric="other"), imported("m-3")]) == ("m-3",)
    assert [each.key for each in store.memories.imported("other", simulated=False)] == []


def test_keys_are_found_by_their_beginning(store: Store) -> None:
    finish(store, "20260102-a")
    store.memories.keep([imported("20260102-b"), imported("20270101-c")])
    assert store.memories.keys("2026") == ("20260102-a", "20260102-b")
    assert store.memories.keys("20260102-b") == ("20260102-b",)
    assert store.memories.keys("%") == ()


def test_to_forget_deletes_what_was_imported_and_leaves_a_record_of_ones_own(store: Store) -> None:
    finish(store, "s-1")
    store.memories.keep([imported("m-1")])
    for key in ("s-1", "m-1", "never-there"):
        store.memories.forget(key)
    assert store.memories.keys("") == ()
    assert store.memories.finished(METRIC, simulated=False) == ()
    assert [each.key for each in store.memories.finished_named(["s-1"])] == ["s-1"], "for a session that began with it"
    assert len(store.trials("s-1")) == len(TRIALS)


def test_what_a_session_began_with_is_recorded(store: Store) -> None:
    key = finish(store, "s-1")
    recalled = MemoryRecalled(("s-0",), ("pgbench, same machine",))
    store.sink(key)(recalled)
    assert store.events(key) == (recalled,)


def test_a_damaged_file_is_a_store_error(path: Path) -> None:
    with Store(path) as store:
        raw = sqlite3.connect(path)
        raw.execute("DROP TABLE memory")
        raw.close()
        for act in (store.memories.all_imported, lambda: store.memories.keep([imported("m")])):
            with pytest.raises(StoreError, match="no such table: memory"):
                act()
