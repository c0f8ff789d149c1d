"""``memory`` and ``sessions --similar``: what is remembered is shown, travels, is forgotten; nothing is touched."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from knobctl.settings import Settings
from tests.commands.conftest import CommandLine
from tests.commands.plans import document, plan_file
from tests.memory.sessions import finish

RUN = ("--target", "simulated:file-write", "--searcher", "random", "--pairs", "6", "--yes")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A record with two short sessions on the same simulated machine; the second one remembers the first."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    folder = tmp_path_factory.mktemp("played")
    knobctl = CommandLine(folder / "state")
    path = plan_file(folder, document("file-write", total_timesteps=8))
    for seed in ("1", "2"):
        assert knobctl("run", str(path), *RUN, "--seed", seed).code in (0, 3)
    yield knobctl
    for number, handler in before.items():
        signal.signal(number, handler)


def keys(knobctl: CommandLine) -> list[str]:
    with knobctl.store() as store:
        return [record.id for record in reversed(store.sessions())]


def test_a_second_session_begins_with_what_the_first_one_recommended(played: CommandLine) -> None:
    first, second = keys(played)
    with played.store() as store:
        best = store.session(first).result
        tried = [trial for trial in store.trials(second) if trial.kind == "suggestion"]
    assert best is not None and best.best_config
    assert [trial.configuration for trial in tried] == [best.best_config]
    events = played("report", second, "--json").document["events"]
    (recalled,) = [event for event in events if event["event"] == "memory-recalled"]
    assert recalled["sessions"] == [first]
    assert recalled["why"][0].startswith("sysbench fileio, same machine")


def test_the_terminal_says_who_is_remembered(played: CommandLine, tmp_path: Path) -> None:
    first, second = keys(played)[:2]
    path = plan_file(tmp_path, document("file-write", total_timesteps=1))
    told = played("run", str(path), *RUN, "--seed", "3").err
    assert "  remembered: 2 similar sessions, the nearest " in told
    again = played("run", str(path), *RUN, "--seed", "3", "--no-memory")
    assert "remembered" not in again.err
    with played.store() as store:
        assert store.session("last").settings["given"]["memory"] is False
        for session in keys(played)[2:]:
            store.memories.forget(session)
    assert (first, second) == tuple(keys(played)[:2])


def test_similar_shows_who_would_be_remembered_and_why(played: CommandLine, tmp_path: Path) -> None:
    first, second = keys(played)[:2]
    path = plan_file(tmp_path, document("file-write", total_timesteps=8))
    told = played("sessions", "--similar", str(path), "--target", "simulated:file-write")
    assert told.code == 0
    lines = told.out.splitlines()
    assert (
        lines[0]
        == "2 of 2 sessions that measured the same (sysbench fileio, written_mib_per_second) would be remembered"
    )
    assert lines[1] == "how the machine is loaded is not known yet, so that is not compared"
    assert lines[2].startswith(f"{second}  100 % alike  ")
    assert lines[3].startswith("  would be tried first: ") and lines[3].endswith(" observations")
    assert lines[4] == "  sysbench fileio, same machine: nothing tells them apart"
    shown = played("sessions", "--similar", first, "--json").document
    assert (shown["looked_at"], shown["unlike"], shown["nothing_to_say"]) == (2, 0, 0)
    assert [each["session_id"] for each in shown["remembered"]] == [first, second]
    assert shown["remembered"][0]["likeness"] == 1.0, "itself: a new session would remember it"
    (difference,) = shown["remembered"][1]["differences"]
    assert difference["part"] == "load" and 0 < difference["distance"] < 0.2


def test_similar_alone_is_about_the_last_session(played: CommandLine) -> None:
    last = keys(played)[-1]
    assert (
        played("sessions", "--similar", "--json").document == played("sessions", "--similar", last, "--json").document
    )


def test_similar_with_nothing_to_remember_says_so(played: CommandLine, tmp_path: Path) -> None:
    path = plan_file(tmp_path, document("null", total_timesteps=8))
    told = played("sessions", "--similar", str(path), "--target", "simulated:null")
    assert told.out == (
        "nothing would be remembered: no finished session measured the same (sysbench cpu, events_per_second)\n"
    )
    assert played("sessions", "--target", "simulated:null").code == 2


def test_memory_travels_to_another_record_and_is_remembered_there(
    played: CommandLine, knobctl: CommandLine, tmp_path: Path
) -> None:
    first, second = keys(played)[:2]
    file = str(tmp_path / "memory.gz")
    written = played("memory", "export", file, "--session", first, "--session", second, "--json")
    assert written.document["sessions"] == [first, second]
    assert played("memory", "export", file).code == 2, "nothing is overwritten unasked"
    done = knobctl("memory", "import", file, "--json").document
    assert (done["new"], done["known"], done["sha256"]) == ([first, second], [], written.document["sha256"])
    assert knobctl("memory", "import", file).err == ("0 sessions are remembered from now on, 2 were known already\n")
    listed = knobctl("memory", "list").out.splitlines()
    assert len(listed) == 2
    assert {line.split()[0] for line in listed} == {first, second}
    assert listed[0].endswith(f"SIMULATED  imported from {done['sha256'][:12]}")
    assert knobctl("sessions").out.startswith("no session is recorded yet"), "a memory is no session of this record"
    path = plan_file(tmp_path, document("file-write", total_timesteps=8))
    shown = knobctl("sessions", "--similar", str(path), "--target", "simulated:file-write", "--json").document
    assert {each["session_id"] for each in shown["remembered"]} == {first, second}
    assert shown["remembered"][0]["why"].startswith("sysbench fileio, a machine like it")
    assert knobctl("memory", "forget", second, "--yes").code == 0
    assert [each["session_id"] for each in knobctl("memory", "list", "--json").document] == [first]


def test_forgetting_asks_and_leaves_the_record(knobctl: CommandLine) -> None:
    with knobctl.store() as store:
        finish(store, "20260102-030405-aaaa")
        finish(store, "20260102-030405-bbbb")
    assert knobctl("memory", "forget", "20260102-030405-a").code == 2, "nobody said yes"
    assert len(knobctl("memory", "list", "--json").document) == 2
    ambiguous = knobctl("memory", "forget", "2026", "--yes")
    assert ambiguous.err.startswith(
        "knobctl: 2 sessions begin with '2026': 20260102-030405-aaaa, 20260102-030405-bbbb\n"
    )
    done = knobctl("memory", "forget", "20260102-030405-a", "--yes", "--json")
    assert done.document == {"success": True, "session_id": "20260102-030405-aaaa"}
    assert [each["session_id"] for each in knobctl("memory", "list", "--json").document] == ["20260102-030405-bbbb"]
    assert len(knobctl("sessions", "--json").document) == 2
    gone = knobctl("memory", "forget", "20260102-030405-a", "--yes")
    assert gone.code == 2
    assert gone.err == (
        "knobctl: no session '20260102-030405-a' is remembered\n"
        "  hint: `knobctl memory list` shows the ones that are.\n"
    )


def test_an_empty_record_has_nothing_to_list_or_to_export(knobctl: CommandLine, tmp_path: Path) -> None:
    assert knobctl("memory", "list").out == (
        "nothing is remembered yet: a session leaves something when it is finished\n"
    )
    exported = knobctl("memory", "export", str(tmp_path / "x.gz"))
    assert (exported.code, exported.err.splitlines()[0]) == (2, "knobctl: there is nothing to export")


def test_a_session_that_left_nothing_is_not_exported(knobctl: CommandLine, tmp_path: Path) -> None:
    with knobctl.store() as store:
        finish(store, "20260102-030405-aaaa", found=None)
    done = knobctl("memory", "export", str(tmp_path / "x.gz"), "--session", "2026")
    assert done.err.startswith("knobctl: session 20260102-030405-aaaa left nothing to remember\n")


def test_a_damaged_file_is_refused_in_json_too(knobctl: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(b"no")
    done = knobctl("memory", "import", str(tmp_path / "x.gz"), "--json")
    assert (done.code, done.document["success"]) == (1, False)
    assert done.document["error"].endswith("it is no memory, or not all of it is there")


def test_sessions_remember_unless_they_are_told_not_to() -> None:
    assert Settings().memory
