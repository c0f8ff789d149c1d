"""Events in, the same events out: also after a crash, on a full disk, and for strange files."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from knobctl import events
from knobctl.errors import StoreError, UsageError
from knobctl.plan import parse_plan
from knobctl.store import Store, default_path, new_session_id
from knobctl.store.schema import VERSION

Begin = Callable[..., str]


def trial(number: int, score: float | None = 4123.5) -> events.Trial:
    return events.Trial(
        number=number,
        kind="search",
        configuration={"vm.dirty_ratio": 40, "thp.enabled": "always"},
        score=score,
        metrics={"transactions_per_second": 4123.5, "latency_average": 2.4},
        machine={"cpu_utilization": 88.0},
        samples=((1.0, 4100.0), (2.0, 4147.0)),
        seconds=30.2,
        reward=101.5 if score is not None else None,
        failure="" if score is not None else "exit code 1",
        started=61.0 + number,
    )


def done(number: int, score: float | None = 4123.5) -> events.TrialDone:
    return events.TrialDone(trial(number, score), number, 24, 100.0, None)


def test_what_goes_in_comes_out(store: Store, begin: Begin, plan: object) -> None:
    session = begin(store, request="优化 PostgreSQL")
    save = store.sink(session)
    notice = events.Notice("the searcher could not afford an update", "warning")
    phase = events.PhaseStarted("search", 24, 700.0, "trying configurations")
    left = events.MachineRestored(False, 2, ("vm.swappiness",), ("sysctl -w vm.dirty_ratio=20",))
    pair = events.PairMeasured(1, 8, 100.0, 120.0, 20.0, None, None)
    bounded = events.PairMeasured(2, 8, 100.0, 121.0, 21.0, 3.5, 40.0)
    for event in (notice, phase, done(0), done(1, None), events.Progress(2, 0.5, 4000.0), pair, bounded, left):
        save(event)
    store.check()
    assert store.trials(session) == (trial(0), trial(1, None))
    assert store.pairs(session) == (pair, bounded)
    assert store.events(session) == (notice, phase, left)
    record = store.session(session)
    assert record.request == "优化 PostgreSQL"
    assert parse_plan(record.plan) == plan
    assert record.facts.tuners == ("tuned",)
    assert (record.status, record.trials, record.result) == ("running", 2, None)
    assert (record.searcher, record.budget, record.seed, record.target) == ("ppo", 24, 7, "local")


def test_every_kind_of_event_is_kept_in_some_way(store: Store, begin: Begin) -> None:
    session = begin(store)
    stream = (
        events.SessionStarted("s", "w", "m", "1/s", "maximize", "c", "local", False, "ppo", 24),
        events.TrialStarted(3, "search", {"vm.dirty_ratio": 9}, 3, 24, 50.0),
        events.NoiseMeasured(4000.0, 3.1, 9.0, 8),
        events.CandidateChosen({"vm.dirty_ratio": 9}, 12.5, 3),
    )
    for event in stream:
        store.sink(session)(event)
    assert store.events(session) == stream


def changed(store: Store, statement: str, *values: str) -> None:
    """What another program does to the file meanwhile."""
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        assert connection.execute(statement, values).rowcount == 1


def test_what_a_later_version_added_to_an_event_is_left_out(store: Store, begin: Begin) -> None:
    session = begin(store)
    noise = events.NoiseMeasured(4000.0, 3.1, 9.0, 8)
    store.sink(session)(noise)
    changed(store, "UPDATE event SET body = json_set(body, '$.added_later', 1) WHERE session = ?", session)
    assert store.events(session) == (noise,)


@pytest.mark.parametrize("body", ["{}", "[]", "no JSON"])
def test_an_event_that_cannot_be_read_is_an_error_in_words(store: Store, begin: Begin, body: str) -> None:
    session = begin(store)
    store.sink(session)(events.NoiseMeasured(4000.0, 3.1, 9.0, 8))
    changed(store, "UPDATE event SET body = ? WHERE session = ?", body, session)
    with pytest.raises(StoreError, match=r"the record holds an event \(noise-measured\) that cannot be read: "):
        store.events(session)


@pytest.mark.parametrize("text", ["{}", '{"knobs": ["x"]}', "[]"])
def test_a_result_that_cannot_be_read_hides_no_other_session(store: Store, begin: Begin, text: str) -> None:
    sound, odd = begin(store), begin(store)
    changed(store, "UPDATE session SET status = 'finished', result = ? WHERE id = ?", text, odd)
    assert {record.id for record in store.sessions()} == {sound, odd}
    record = store.session(odd)
    assert (record.status, record.result) == ("finished", None)
    assert record.reason.startswith("its result cannot be read: ")
    assert store.session(sound).reason == ""


def test_a_session_of_this_process_is_running_and_ends_as_it_says(store: Store, begin: Begin) -> None:
    first, second = begin(store), begin(store)
    store.end(first, "failed", "disk on fire")
    assert (store.session(first).status, store.session(first).reason) == ("failed", "disk on fire")
    assert store.session(second).status == "running"
    store.end(first, "interrupted")
    assert store.session(first).status == "failed", "how a session ended does not change"


def test_text_that_is_not_unicode_is_kept_as_far_as_possible(store: Store, begin: Begin) -> None:
    session = begin(store, request="tune \udcff this")
    store.sink(session)(events.Notice("odd \udcff name"))
    store.check()
    assert store.session(session).request == "tune ? this"


def test_a_session_is_readable_after_kill_9_up_to_its_last_trial(path: Path) -> None:
    program = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        sys.path[:0] = [sys.argv[2], sys.argv[3]]
        from conftest import FACTS, PLAN
        from test_store import done
        from knobctl.plan import plan_from
        from knobctl.store import Store
        store = Store(Path(sys.argv[1]))
        session = store.begin(request="", plan=plan_from(PLAN), facts=FACTS, target="local", simulated=False,
                              searcher="ppo", budget=24, seed=1)
        save = store.sink(session)
        for number in range(3):
            save(done(number))
        store.check()
        print(session, flush=True)
        time.sleep(60)
    """)
    here = Path(__file__).parent
    arguments = [sys.executable, "-c", program, str(path), str(here), str(here.parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        session = process.stdout.readline().strip()
        with Store(path) as store:
            assert store.session(session).status == "running", "its process is alive"
        process.send_signal(signal.SIGKILL)
        process.wait()
    with Store(path) as store:
        record = store.session(session)
        assert (record.status, record.reason) == ("interrupted", "its process is gone")
        assert store.trials(session) == (trial(0), trial(1), trial(2))


def test_sessions_are_listed_newest_first(store: Store, begin: Begin) -> None:
    made = [begin(store) for _ in range(4)]
    assert [record.id for record in store.sessions()] == made[::-1]
    assert [record.id for record in store.sessions(limit=2)] == made[:1:-1]
    assert store.session("last").id == made[-1]


def test_a_session_is_found_by_any_beginning_that_is_its_own(store: Store, begin: Begin) -> None:
    begin(store, session="20261122-184500-a1b2")
    begin(store, session="20261122-184500-a1c3")
    begin(store, session="20261123-000000-ffff")
    begin(store, session="20261123-000000-ffff-2")
    assert store.session("20261122-184500-a1b").id == "20261122-184500-a1b2"
    assert store.session("20261123-000000-ffff").id == "20261123-000000-ffff", "an exact key wins"
    with pytest.raises(UsageError, match=r"2 sessions begin with '20261122': 20261122-184500-a1b2, 2026") as error:
        store.session("20261122")
    assert "more of its digits" in error.value.hint


@pytest.mark.parametrize("reference", ["", "2027", "%", "last"])
def test_a_session_that_is_not_there_is_a_usage_error(store: Store, reference: str) -> None:
    with pytest.raises(UsageError, match=f"there is no session '{reference}' in ") as error:
        store.session(reference)
    assert error.value.hint == "`knobctl sessions` lists them all."


def test_keys_carry_the_time_in_utc_and_do_not_collide() -> None:
    now = datetime(2026, 11, 22, 18, 45, tzinfo=UTC)
    assert re.fullmatch(r"20261122-184500-[0-9a-f]{4}", new_session_id(now))
    assert len({new_session_id(now) for _ in range(20)}) > 15


def test_the_default_path_is_in_the_state_folder() -> None:
    assert default_path().name == "knobctl.db"


def test_only_the_owner_can_read_the_record(store: Store, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == (0o755 if os.geteuid() == 0 else 0o700)


def test_each_trial_is_on_the_disk_before_the_next_one(store: Store, path: Path, begin: Begin) -> None:
    session = begin(store)
    store.sink(session)(done(0))
    with Store(path) as other:
        assert other.trials(session) == (trial(0),)
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    raw.close()


def test_a_file_of_another_kind_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("dear diary, " * 1000)
    with pytest.raises(StoreError, match=r"knobctl\.db is not a record of knobctl, or it is damaged") as error:
        Store(path)
    assert error.value.hint == f"Move it away: mv {path} {path}.damaged"
    assert path.read_text().startswith("dear diary"), "it is left alone"


def test_a_record_of_a_newer_version_is_refused(path: Path) -> None:
    Store(path).close()
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version = {VERSION + 1}")
    raw.close()
    with pytest.raises(StoreError, match=rf"newer knobctl \(version {VERSION + 1} of its tables; this one knows"):
        Store(path)


def test_an_empty_file_becomes_a_record(path: Path, begin: Begin) -> None:
    path.parent.mkdir()
    path.touch()
    with Store(path) as store:
        assert store.session(begin(store)).status == "running"
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (VERSION,)
    raw.close()


def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot open the record .*: Is a directory") as error:
        Store(tmp_path)
    assert "KNOBCTL_STATE_DIR" in error.value.hint


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot open the record .*/file/knobctl\.db: (Not a directory|File exists)"):
        Store(tmp_path / "file" / "knobctl.db")


FULL_DISK = textwrap.dedent("""
    import sys
    from pathlib import Path
    sys.path[:0] = [sys.argv[2], sys.argv[3]]
    from conftest import FACTS, PLAN
    from test_store import done
    from knobctl.errors import StoreError
    from knobctl.plan import plan_from
    from knobctl.store import Store
    try:
        store = Store(Path(sys.argv[1]))
        session = store.begin(request="", plan=plan_from(PLAN), facts=FACTS, target="local", simulated=False,
                              searcher="ppo", budget=24, seed=1)
    except StoreError as error:
        print("refused:", error, "|", error.hint)
        raise SystemExit
    save = store.sink(session)
    for number in range(5000):
        save(done(number))
        if store.failure:
            break
    save(done(number + 1))
    print("failed:", store.failure, "|", store.failure.hint)
    print(number == len(store.trials(session)))
    try:
        store.check()
    except StoreError as error:
        print("raised:", error is store.failure)
""")


def limited(prefix: str, folder: Path) -> list[str]:
    here = Path(__file__).parent
    program = folder / "full_disk.py"
    program.write_text(FULL_DISK)
    python = f"{sys.executable} {program} {folder}/state/knobctl.db {here} {here.parent}"
    done = subprocess.run(["sh", "-c", f"{prefix} {python}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_limit_on_file_sizes_ends_the_record_but_not_the_run(tmp_path: Path) -> None:
    failed, complete, raised = limited("ulimit -f 400;", tmp_path)
    assert failed.startswith("failed: the record ")
    assert "could not be written (SQLITE_IOERR" in failed
    assert "ulimit -f" in failed.split("|")[1]
    assert (complete, raised) == ("True", "raised: True"), "every trial before the failure is there"


needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs to mount a small file system in a namespace of its own",
)


@needs_mounts
def test_a_full_disk_in_the_middle_of_a_run(tmp_path: Path) -> None:
    mount = f"mkdir {tmp_path}/state; mount -t tmpfs -o size=1m tmpfs {tmp_path}/state; exec"
    failed, complete, raised = limited(f"exec unshare -m sh -c '{mount} \"$@\"' sh", tmp_path)
    assert failed == (
        f"failed: no space left to write the record {tmp_path}/state/knobctl.db | "
        f"Free some space in {tmp_path}/state, or name another folder in KNOBCTL_STATE_DIR."
    )
    assert (complete, raised) == ("True", "raised: True")


@needs_mounts
@pytest.mark.parametrize("size", ["4k", "16k", "48k"])
def test_a_disk_that_is_full_from_the_start_refuses_the_session(tmp_path: Path, size: str) -> None:
    mount = f"mkdir {tmp_path}/state; mount -t tmpfs -o size={size} tmpfs {tmp_path}/state; exec"
    (refused,) = limited(f"exec unshare -m sh -c '{mount} \"$@\"' sh", tmp_path)
    assert refused.startswith(f"refused: no space left to write the record {tmp_path}/state/knobctl.db | Free some")


@needs_mounts
def test_a_read_only_file_system_is_named(tmp_path: Path) -> None:
    mount = f"mkdir {tmp_path}/state; mount -t tmpfs -o ro tmpfs {tmp_path}/state; exec"
    (refused,) = limited(f"exec unshare -m sh -c '{mount} \"$@\"' sh", tmp_path)
    assert refused.startswith(f"refused: cannot open the record {tmp_path}/state/knobctl.db: Read-only file system")
