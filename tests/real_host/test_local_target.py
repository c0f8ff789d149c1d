"""The agent on the real kernel: exact restore however a run ends. Every test here writes real knobs."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from knobctl.agent.places import Places
from knobctl.errors import Busy, KnobChangedByOther, TargetError
from knobctl.permanent.ways import read_json
from knobctl.target import Command, Service
from knobctl.target.local import LocalTarget
from tests.real_host.waiting import children, eventually, running, started_at

pytestmark = pytest.mark.real_host

WRITES = {
    "vm.swappiness": 13,
    "vm.dirty_ratio": 41,
    "vm.dirty_background_ratio": 7,
    "net.ipv4.tcp_wmem[max]": 5_000_000,
}
FILES = ("vm/swappiness", "vm/dirty_ratio", "vm/dirty_bytes", "vm/dirty_background_ratio", "net/ipv4/tcp_wmem")

MAIN = """
import sys, time
from knobctl.target import Command, Service
from knobctl.target.local import LocalTarget
target = LocalTarget()
target.open("test-main")
target.start(Service("server", ("sleep", "317")))
target.write(%r)
print(target.folder, target._connection.pid, flush=True)
target.run(Command(("sh", "-c", "sleep 319 & (setsid sleep 323 &) ; sleep 321"), 600, sample=True))
"""


def values() -> dict[str, str]:
    return {name: Path("/proc/sys", name).read_text() for name in FILES}


def sleepers() -> list[int]:
    return running("^sleep 3(17|19|21|23)")


@pytest.fixture
def target() -> Iterator[LocalTarget]:
    made = LocalTarget()
    made.open("test")
    yield made
    made.close()


@pytest.fixture
def untouched() -> Iterator[dict[str, str]]:
    before = values()
    yield before
    assert values() == before


def test_a_run_sets_and_restores_real_knobs(untouched: dict[str, str]) -> None:
    target = LocalTarget()
    target.open("test")
    try:
        assert target.write(WRITES) == WRITES
        assert Path("/proc/sys/vm/swappiness").read_text() == "13\n"
        assert Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2] == "5000000"
    finally:
        report = target.close()
    assert report.complete
    assert values() == untouched
    assert not Path(Places().journal).exists()


def test_the_administrators_dirty_bytes_are_still_dirty_bytes(untouched: dict[str, str]) -> None:
    bytes_file, ratio_file = Path("/proc/sys/vm/dirty_bytes"), Path("/proc/sys/vm/dirty_ratio")
    ratio = ratio_file.read_text()
    bytes_file.write_text("268435456")
    try:
        target = LocalTarget()
        target.open("test")
        target.write({"vm.dirty_ratio": 30})
        assert bytes_file.read_text() == "0\n"
        target.close()
        assert bytes_file.read_text() == "268435456\n"
        assert ratio_file.read_text() == "0\n"
    finally:
        ratio_file.write_text(ratio)


def test_a_command_runs_as_an_ordinary_user_without_privileges(target: LocalTarget) -> None:
    outcome = target.run(Command(("sh", "-c", "id -u; grep NoNewPrivs /proc/self/status; pwd"), 10))
    uid, privileges, folder = outcome.output.splitlines()
    assert int(uid) != 0
    assert privileges.split() == ["NoNewPrivs:", "1"]
    assert folder == target.folder


def test_output_arrives_while_the_command_runs_and_can_stop_it(target: LocalTarget) -> None:
    seen: list[tuple[str, float]] = []

    def on_line(line: str, at: float) -> bool:
        seen.append((line, at))
        return len(seen) == 2

    outcome = target.run(Command(("sh", "-c", "echo one; sleep 0.3; echo two; sleep 60"), 90), on_line)
    assert [line for line, _ in seen] == ["one", "two"]
    assert seen[1][1] - seen[0][1] == pytest.approx(0.3, abs=0.25)
    assert outcome.stopped
    assert not outcome.ok
    assert outcome.seconds < 20


def test_a_benchmark_that_takes_too_much_memory_is_ended_and_the_knobs_are_back(untouched: dict[str, str]) -> None:
    available = int(re.search(r"MemAvailable: +([0-9]+)", Path("/proc/meminfo").read_text()).group(1)) // 1024
    target = LocalTarget(limits={"memory": available - 300})
    target.open("test", list(WRITES))
    try:
        target.write(WRITES)
        hog = "head -c 700M /dev/zero | tail -c 700M | sleep 321"  # tail keeps it all until somebody reads
        outcome = target.run(Command(("sh", "-c", hog), 60))
        assert re.fullmatch(rf"available memory [0-9]+ MiB is below {available - 300} MiB", outcome.tripped)
        assert values() == untouched
        assert target.run(Command(("true",), 5)).ok
    finally:
        target.close()


def test_a_file_is_put_with_the_users_rights_whatever_takes_the_folders_place(target: LocalTarget) -> None:
    """A program of the ordinary user may swap its own folder for a link; root must not follow it."""
    elsewhere = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="rootonly-"))
    away = f"{target.folder}-away"
    swap = 'mv "$0" "$1" && ln -s "$2" "$0"'
    try:
        assert target.run(Command(("sh", "-c", swap, target.folder, away, str(elsewhere)), 10)).ok
        with pytest.raises(TargetError, match="Permission denied"):
            target.put("planted", "x")
        assert list(elsewhere.iterdir()) == []
    finally:
        os.unlink(target.folder)
        os.rename(away, target.folder)
        elsewhere.rmdir()


def test_root_neither_deletes_nor_ends_for_the_caller_what_the_caller_could_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever may start the agent can give the work folder's name to a folder that is somebody else's."""
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setenv("SUDO_UID", str(nobody.pw_uid))
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="shared-") as base:
        os.chown(base, nobody.pw_uid, nobody.pw_gid)
        theirs = Path(base, "theirs")
        theirs.mkdir()
        (theirs / "precious").write_text("text")
        worker = subprocess.Popen(["sleep", "321"], cwd=theirs)
        target = LocalTarget(base=base)
        target.open("test")
        folder = Path(target.folder)
        try:
            assert folder.stat().st_uid == nobody.pw_uid
            swap = 'mv "$0" "$0-away" && mv "$1" "$0"'
            assert target.run(Command(("sh", "-c", swap, str(folder), str(theirs)), 10)).ok
            target.close()
            assert (folder / "precious").read_text() == "text"
            assert worker.poll() is None
        finally:
            target.close()
            worker.kill()
            worker.wait()


def test_a_benchmark_has_limits_of_its_own(target: LocalTarget) -> None:
    shown = "ulimit -Hc; grep 'Max realtime priority' /proc/self/limits; cat /proc/self/oom_score_adj"
    core, priority, score = target.run(Command(("sh", "-c", shown), 10)).output.splitlines()
    assert (core, priority.split()[-2:], score) == ("0", ["0", "0"], "500")


def test_a_command_that_hangs_is_killed_with_its_children(target: LocalTarget) -> None:
    outcome = target.run(Command(("sh", "-c", "sleep 319 & sleep 321"), 0.5))
    assert outcome.timed_out
    assert outcome.seconds < 10
    assert eventually(lambda: not sleepers())


def test_what_a_command_leaves_behind_is_ended_but_services_live(target: LocalTarget) -> None:
    target.start(Service("server", ("sleep", "317")))
    target.run(Command(("sh", "-c", "setsid sleep 319 >/dev/null 2>&1 & echo done"), 10))
    assert eventually(lambda: len(sleepers()) == 1)
    target.stop("server")
    assert eventually(lambda: not sleepers())


def test_terminal_escapes_in_output_do_not_survive(target: LocalTarget) -> None:
    outcome = target.run(Command(("printf", r"\033[31mred\033[0m \033]0;title\007bell\a\r\n"), 10))
    assert outcome.output == "red bell"


def test_endless_output_is_bounded(target: LocalTarget) -> None:
    outcome = target.run(Command(("yes", "x" * 200), 1.5))
    assert outcome.timed_out
    assert len(outcome.output) < 4_100_000


def test_a_missing_program_is_an_outcome(target: LocalTarget) -> None:
    outcome = target.run(Command(("no-such-benchmark",), 5))
    assert outcome.exit_code == 127
    assert outcome.output == "cannot start no-such-benchmark: No such file or directory"


def test_machine_metrics_are_differences_over_the_run(target: LocalTarget) -> None:
    busy = target.run(Command(("sh", "-c", "timeout 1 sh -c 'while :; do :; done'"), 10, sample=True)).machine
    idle = target.run(Command(("sleep", "1"), 10, sample=True)).machine
    assert busy["cpu_user"] > idle["cpu_user"] + 10
    assert 0 < busy["memory_utilization"] < 100
    assert {"iowait", "steal", "io_pressure", "context_switches", "run_queue"} <= set(idle)


def test_files_put_into_the_folder_belong_to_the_benchmark_user(target: LocalTarget) -> None:
    path = target.put("settings.conf", "text")
    assert target.run(Command(("cat", path), 5)).output == "text"
    assert oct(os.stat(path).st_mode & 0o777) == "0o600"
    with pytest.raises(TargetError, match="is not a plain file name"):
        target.put("../escape", "x")


def test_two_runs_at_once_are_refused(target: LocalTarget) -> None:
    with pytest.raises(Busy, match="another knobctl run holds this machine's lock"):
        LocalTarget().open("second")


def test_a_knob_changed_by_the_administrator_is_left_alone() -> None:
    path = Path("/proc/sys/vm/swappiness")
    before = path.read_text()
    target = LocalTarget()
    target.open("test")
    try:
        target.write({"vm.swappiness": 13})
        path.write_text("22")
        with pytest.raises(KnobChangedByOther, match="changed by somebody else during the run: 22 instead of 13"):
            target.write({"vm.swappiness": 14})
        report = target.close()
        assert [knob.outcome for knob in report.knobs] == ["drifted"]
        assert path.read_text() == "22\n"
    finally:
        target.close()
        path.write_text(before)


@pytest.mark.parametrize("victim", ["main", "watcher", "agent", "agent and watcher"])
def test_kill_9_restores_within_five_seconds(victim: str, untouched: dict[str, str]) -> None:
    main = subprocess.Popen([sys.executable, "-c", MAIN % WRITES], stdout=subprocess.PIPE, text=True)
    assert main.stdout is not None
    folder, watcher = main.stdout.readline().split()
    agent = children(int(watcher))[0]
    assert eventually(lambda: len(sleepers()) >= 4)
    assert values() != untouched
    victims = {"main": [main.pid], "watcher": [int(watcher)], "agent": [int(agent)]}
    for pid in victims.get(victim, [int(watcher), int(agent)]):
        os.kill(pid, signal.SIGKILL)
    if victim == "agent and watcher":
        main.wait(20)
        assert values() != untouched
        record = LocalTarget().recover()
        assert record is not None
        assert record["by"] == "restore"
    restored = eventually(lambda: values() == untouched)
    gone = eventually(lambda: not sleepers())
    ended = eventually(lambda: not started_at(int(watcher)) and not started_at(int(agent)))
    main.kill()
    main.wait()
    main.stdout.close()
    assert restored
    assert gone
    assert ended
    assert not Path(folder).exists()
    assert not Path(Places().journal).exists()
    record = read_json(Places().last_run)
    assert record is not None
    assert record["session"] == "test-main"
    assert record["restored"]
    words = {
        "main": ("agent", "the main program ended"),
        "watcher": ("agent", "signal SIGTERM"),
        "agent": ("watcher", "the agent was killed by signal 9"),
        "agent and watcher": ("restore", "asked for by `knobctl restore`"),
    }
    assert (record["by"], record["reason"]) == words[victim]


def test_a_watcher_killed_after_a_file_was_put_is_noticed(untouched: dict[str, str]) -> None:
    """The file is made as another user, and with that the kernel forgets that the agent wants to hear of this."""
    target = LocalTarget()
    target.open("test")
    target.put("settings.conf", "text")
    target.write(WRITES)
    assert target._connection is not None
    watcher = target._connection.pid
    agent = children(watcher)[0]
    os.kill(watcher, signal.SIGKILL)
    assert eventually(lambda: values() == untouched)
    assert eventually(lambda: not started_at(agent))
    record = read_json(Places().last_run)
    assert record is not None
    assert (record["by"], record["reason"]) == ("agent", "signal SIGTERM")
    with pytest.raises(TargetError, match="the agent ended during the run"):
        target.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_agent_restores(number: signal.Signals, untouched: dict[str, str]) -> None:
    target = LocalTarget()
    target.open("test")
    target.write(WRITES)
    assert target._connection is not None
    os.kill(target._connection.pid, number)
    assert eventually(lambda: values() == untouched)
    with pytest.raises(TargetError, match="the agent ended during the run"):
        target.close()
