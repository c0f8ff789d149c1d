"""The command line on the real kernel: real knobs, real processes, real signals, and a benchmark that costs nothing.

The benchmark reads a knob and prints it, so its score is known, and every run of it takes a millisecond.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from knobctl.agent.places import Places
from knobctl.errors import RestoreIncomplete
from knobctl.persist import SYSCTL_FILE
from knobctl.target.local import LocalTarget
from tests.real_host.waiting import children, eventually, running

pytestmark = pytest.mark.real_host

SWAPPINESS = Path("/proc/sys/vm/swappiness")
GOOD = "awk '{print \"score:\", 1000 + 10 * $1 + rand()}' /proc/sys/vm/swappiness"
PATTERN = ("--metric-pattern", "score: ([0-9.]+)", "--direction", "maximize", "--knobs", "vm.swappiness")
HANGING = "sleep 3917"
QUICK = ("--budget", "6", "--searcher", "random", "--seed", "5")


def knobctl(*words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "knobctl.main", *words],
        capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def tune(*words: str, command: str = GOOD) -> subprocess.CompletedProcess[str]:
    return knobctl("tune", "try it", "--command", command, *PATTERN, *QUICK, "--yes", "--json", *words)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def hangers() -> list[int]:
    return running("^sleep 3917")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    before = SWAPPINESS.read_text()
    yield tmp_path / "state"
    assert eventually(lambda: SWAPPINESS.read_text() == before)
    assert eventually(lambda: not Path(Places().journal).exists())
    assert eventually(lambda: not hangers())


@pytest.fixture
def hanging() -> Iterator[subprocess.Popen[str]]:
    """A run in the middle of a trial, with a knob written."""
    command = (
        'awk \'{if ($1 == 60) print "score:", 60 + rand(); else system("' + HANGING + "\")}' /proc/sys/vm/swappiness"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "knobctl.main", "tune", "try it", "--command", command, *PATTERN, *QUICK, "--yes"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    before = SWAPPINESS.read_text()
    assert before == "60\n"
    assert eventually(lambda: bool(hangers()), 60), process.stderr
    assert SWAPPINESS.read_text() != before
    yield process
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def watcher_of(process: subprocess.Popen[str]) -> int:
    return next(pid for pid in children(process.pid) if pid in running("/agent-"))


def test_an_improvement_is_found_proven_applied_and_rolled_back() -> None:
    before = SWAPPINESS.read_text()
    done = tune()
    result = document(done)
    assert done.returncode == 0, done.stderr
    assert result["verdict"] == "IMPROVED"
    assert result["best_config"]["vm.swappiness"] > 60
    assert result["restored"]
    assert SWAPPINESS.read_text() == before
    session = result["session_id"]
    try:
        shown = knobctl("apply", session, "--dry-run")
        assert f"vm.swappiness = {result['best_config']['vm.swappiness']}" in shown.stderr
        assert SWAPPINESS.read_text() == before
        refused = knobctl("apply", session)
        assert refused.returncode == 2
        assert "Add --yes" in refused.stderr
        applied = knobctl("apply", session, "--yes", "--json")
        assert applied.returncode == 0, applied.stderr
        assert SWAPPINESS.read_text() == f"{result['best_config']['vm.swappiness']}\n"
        assert f"vm.swappiness = {result['best_config']['vm.swappiness']}" in Path(SYSCTL_FILE).read_text()
        status = document(knobctl("status", "--json"))
        assert status["holds"] == {"vm.swappiness": True}
        assert status["applied"][0]["session_id"] == session
    finally:
        rolled = knobctl("rollback", "--yes", "--json")
    assert rolled.returncode == 0, rolled.stderr
    assert SWAPPINESS.read_text() == before
    assert not Path(SYSCTL_FILE).exists()
    assert knobctl("rollback", "--yes").returncode == 2


IMPOSSIBLE = {"path": "/proc/sys/vm/swappiness", "text": "100000", "active": True}


def test_a_rollback_that_cannot_put_a_knob_back_is_one_document() -> None:
    applied = Path(Places().applied)
    assert not applied.exists()
    entry = {"session": "s", "date": "d", "values": {"vm.swappiness": 60}, "own": [IMPOSSIBLE["path"]],
             "found": [IMPOSSIBLE], "settings": {IMPOSSIBLE["path"]: "60"}, "files": []}  # fmt: skip
    applied.write_text(json.dumps({"stack": [entry]}))
    try:
        done = knobctl("rollback", "--yes", "--json")
    finally:
        applied.unlink(missing_ok=True)
    answer = document(done)
    assert done.returncode == answer["exit_code"] == 5
    assert answer["success"] is False
    assert answer["error"] == "1 kernel setting(s) could not be put back"
    assert answer["hint"] == "Paste as root: sysctl -w vm.swappiness=100000"
    assert [(knob["outcome"], knob["now"]) for knob in answer["knobs"]] == [("failed", "60")]
    assert (answer["session_id"], answer["kept"]) == ("s", [])


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Callable[..., pexpect.spawn[str]]]:
    """knobctl at a terminal, which can ask."""
    started = []

    def begin(*words: str) -> pexpect.spawn[str]:
        environment = {**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        started.append(
            pexpect.spawn(sys.executable, ["-m", "knobctl.main", *words, "--workdir", str(tmp_path)], encoding="utf-8",
                          timeout=90, env=environment, dimensions=(50, 400))
        )  # fmt: skip
        return started[-1]

    yield begin
    for child in started:
        child.close(force=True)


def test_what_is_offered_goes_to_the_work_folder_that_was_measured(
    asked: Callable[..., pexpect.spawn[str]], tmp_path: Path
) -> None:
    before = SWAPPINESS.read_text()
    child = asked("tune", "try it", "--command", GOOD, *PATTERN, *QUICK, "-q")
    child.expect_exact("Try these knobs on this machine? [y/N]:")
    child.sendline("y")
    child.expect(r"To make it permanent: knobctl apply (\S+) --workdir (\S+)")
    session, folder = child.match.groups()
    assert folder == str(tmp_path)
    child.expect_exact("Make this permanent? [y/N]:")
    child.sendline("n")
    child.expect_exact(f"nothing was applied; later: knobctl apply {session} --workdir {tmp_path}")
    child.expect(pexpect.EOF)
    assert SWAPPINESS.read_text() == before
    again = asked("verify", session, "--json")
    again.expect_exact("Measure its candidate again? [y/N]:")
    again.sendline("y")
    again.expect(pexpect.EOF)
    assert "Make this permanent?" not in again.before, "a question has no place beside a document"
    try:
        child = asked("verify", session, "-q")
        child.expect_exact("Measure its candidate again? [y/N]:")
        child.sendline("y")
        child.expect_exact("Make this permanent? [y/N]:")
        child.sendline("y")
        child.expect_exact(f"wrote {SYSCTL_FILE}")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
    finally:
        assert knobctl("rollback", "--yes").returncode == 0
    assert SWAPPINESS.read_text() == before


def test_a_plan_file_runs_and_its_session_can_be_verified_again(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    made = knobctl("plan", "try it", "--command", GOOD, *PATTERN, "-o", str(plan))
    assert made.returncode == 0, made.stderr
    unconsented = knobctl("run", str(plan), "--yes", "--budget", "6")
    assert unconsented.returncode == 2
    assert "--command" in unconsented.stderr
    assert knobctl("run", str(plan), "--yes", "--command", "awk 1").returncode == 2
    done = knobctl("run", str(plan), "--yes", *QUICK, "--json", "--command", GOOD)
    assert done.returncode == 0, done.stderr
    again = knobctl("verify", document(done)["session_id"], "--yes", "--json", "--command", GOOD)
    assert again.returncode == 0, again.stderr
    assert document(again)["verdict"] == "IMPROVED"


def test_nothing_to_find_claims_nothing() -> None:
    done = tune(command="awk '{srand(); print \"score:\", 1000 + 20 * rand()}' /proc/uptime")
    result = document(done)
    assert done.returncode == 3, done.stderr
    assert result["best_config"] == {}
    assert result["verdict"] in ("NO_CHANGE", "INCONCLUSIVE")


@pytest.mark.parametrize("victim", ["main", "agent"])
def test_kill_9_in_the_middle_of_a_trial(hanging: subprocess.Popen[str], victim: str) -> None:
    watcher = watcher_of(hanging)
    agent = children(watcher)[0]
    os.kill({"main": hanging.pid, "agent": agent}[victim], signal.SIGKILL)
    assert eventually(lambda: SWAPPINESS.read_text() == "60\n")
    assert eventually(lambda: not hangers())
    code = hanging.wait(20)
    assert code == (-9 if victim == "main" else 1)
    assert eventually(lambda: not Path(Places().journal).exists())
    status = knobctl("status")
    words = {"main": "the main program ended", "agent": "the agent was killed by signal 9"}
    assert words[victim] in status.stdout
    sessions = document(knobctl("sessions", "--json"))
    assert sessions[0]["status"] == {"main": "interrupted", "agent": "failed"}[victim]
    assert sessions[0]["trials"] >= 5


def test_the_next_command_first_finishes_a_run_whose_guards_were_killed_too(hanging: subprocess.Popen[str]) -> None:
    watcher = watcher_of(hanging)
    agent = children(watcher)[0]
    for pid in (watcher, agent, hanging.pid):
        os.kill(pid, signal.SIGKILL)
    hanging.wait(20)
    assert SWAPPINESS.read_text() != "60\n"
    assert document(knobctl("status", "--json"))["interrupted"]
    assert "knobctl restore" in knobctl("status").stdout
    with pytest.raises(RestoreIncomplete, match="a run was cut off and its knobs are not back") as caught:
        LocalTarget().apply("a-session", "a date", {"vm.swappiness": 10})
    assert caught.value.hint == "Run `knobctl restore` first."
    looked = knobctl("plan", "try it", "--command", GOOD, *PATTERN)
    assert looked.returncode == 0
    assert "an earlier run was cut off; putting back what it left" in looked.stderr
    assert "/proc/sys/vm/swappiness is 60" in looked.stderr
    assert SWAPPINESS.read_text() == "60\n"
    assert not hangers()
    assert "found by the next start of knobctl" in knobctl("status").stdout
    assert "cut off" not in knobctl("sessions").stderr


def test_a_run_that_was_killed_goes_on_and_measures_nothing_twice() -> None:
    command = 'awk \'{print "score:", 1000 + 10 * $1 + rand(); system("sleep 0.3")}\' /proc/sys/vm/swappiness'
    words = ("--command", command, *PATTERN, *QUICK, "--yes")
    run = subprocess.Popen(
        [sys.executable, "-m", "knobctl.main", "tune", "try it", *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert eventually(lambda: recorded_trials() >= 8, 60)
    run.kill()
    run.wait()
    before = recorded("last")
    assert eventually(lambda: SWAPPINESS.read_text() == "60\n")
    assert document(knobctl("sessions", "--json"))[0]["status"] == "interrupted"
    done = knobctl("tune", "--resume", "last", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    after = recorded("last")
    assert after[: len(before)] == before
    assert [trial["number"] for trial in after] == list(range(len(after)))
    assert document(done)["trials"] == len(after) > len(before)
    assert document(done)["best_config"]["vm.swappiness"] > 60
    assert f"it goes on: {len(before)} runs are recorded and are not repeated" in done.stderr
    assert len(document(knobctl("sessions", "--json"))) == 1


def recorded(session: str) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = document(knobctl("report", session, "--json"))["trials"]
    return trials


def recorded_trials() -> int:
    sessions = document(knobctl("sessions", "--json"))
    return int(sessions[0]["trials"]) if sessions else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_and_says_so(hanging: subprocess.Popen[str], number: signal.Signals) -> None:
    hanging.send_signal(number)
    assert hanging.wait(20) == 130
    assert SWAPPINESS.read_text() == "60\n"
    assert hanging.stderr is not None
    assert f"interrupted by {number.name}" in hanging.stderr.read()
    assert document(knobctl("sessions", "--json"))[0]["status"] == "interrupted"


def test_two_runs_at_once(hanging: subprocess.Popen[str]) -> None:
    second = tune()
    assert second.returncode == 75
    assert document(second)["error"] == "another knobctl run holds this machine's lock"
    assert "knobctl status" in document(second)["hint"]
    assert hanging.poll() is None
    assert hangers()
    assert Path(Places().journal).exists()
    assert SWAPPINESS.read_text() != "60\n"


def test_the_administrators_dirty_bytes_are_still_dirty_bytes() -> None:
    ratio, by_bytes = Path("/proc/sys/vm/dirty_ratio"), Path("/proc/sys/vm/dirty_bytes")
    before = ratio.read_text()
    by_bytes.write_text("536870912")
    try:
        command = "awk '{print \"score:\", 1000 + 10 * $1 + rand()}' /proc/sys/vm/dirty_ratio"
        done = knobctl("tune", "try it", "--command", command, *PATTERN[:4], "--knobs", "vm.dirty_ratio",
                       *QUICK, "--yes", "--json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert document(done)["best_config"]["vm.dirty_ratio"] > 1
        assert (by_bytes.read_text(), ratio.read_text()) == ("536870912\n", "0\n")
    finally:
        ratio.write_text(before)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--command", "echo nothing"), 1, "the benchmark fails at the default configuration: "),
        (("--command", "false"), 1, "the benchmark fails at the default configuration: "),
        (("--command", HANGING, "--timeout", "1s"), 1, "the benchmark fails at the default configuration: "),
        (("--command", "no-such-benchmark-anywhere"), 1, "no-such-benchmark-anywhere"),
        (("--command", "echo a | tail -1"), 2, "shell"),
    ],
)
def test_bad_benchmarks_change_nothing(words: tuple[str, ...], code: int, message: str) -> None:
    done = knobctl("tune", "try it", *words, *PATTERN, *QUICK, "--yes")
    last = [line for line in done.stderr.splitlines() if line.startswith("knobctl: ")]
    assert done.returncode == code, done.stderr
    assert len(last) == 1
    assert message in last[0]
    assert "  hint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_for_the_record_stops_before_anything_is_touched(state: Path) -> None:
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(state)], check=True)
    try:
        _fill(state / "ballast")
        done = tune()
        assert done.returncode == 1
        assert "space" in document(done)["error"].lower()
        assert document(done)["hint"]
    finally:
        subprocess.run(["umount", str(state)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError:
            return
