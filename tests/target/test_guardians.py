"""Watcher and agent, real processes on an invented machine: whichever dies or stands still, the other one restores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from knobctl.agent import protocol
from knobctl.agent.places import Places
from knobctl.errors import Busy, KnobChangedByOther, KnobctlError, PreflightRefused
from knobctl.permanent.ways import read_json
from knobctl.target import Command, pack
from knobctl.target.local import LocalTarget
from tests.real_host.waiting import children, eventually, running, started_at

FILES = {
    "proc/sys/vm/swappiness": "60\n",
    "proc/sys/vm/vfs_cache_pressure": "100\n",
    "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n",
    "proc/meminfo": "MemTotal: 4194304 kB\nMemAvailable: 2097152 kB\n",
}
NEW = {"vm.swappiness": 13, "vm.vfs_cache_pressure": 120}
NAMES = list(NEW)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    return tmp_path / "root"


@pytest.fixture
def open_target(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], LocalTarget]]:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    made: list[LocalTarget] = []

    def make() -> LocalTarget:
        made.append(LocalTarget(base=str(tmp_path), root=str(root), patience=3.0))
        made[-1].open("guarded", NAMES)
        return made[-1]

    yield make
    for target in made:
        try:
            target.close()
        except KnobctlError:
            continue


def guardians(target: LocalTarget) -> tuple[int, int]:
    """Process ids of the watcher and the agent."""
    assert target._connection is not None
    watcher = target._connection.pid
    return watcher, children(watcher)[0]


def is_as_found(root: Path, but: str = "") -> bool:
    return all((root / name).read_text() == text for name, text in FILES.items() if name != but)


def last_run(root: Path) -> dict[str, Any]:
    record = read_json(Places(str(root)).last_run)
    assert record is not None
    return record


def test_an_agent_that_stands_still_is_replaced_by_its_watcher(
    open_target: Callable[[], LocalTarget], root: Path
) -> None:
    target = open_target()
    target.write(NEW)
    watcher, agent = guardians(target)
    os.kill(agent, signal.SIGSTOP)
    assert eventually(lambda: not started_at(watcher) and not started_at(agent), 20)
    assert is_as_found(root)
    assert not os.path.exists(Places(str(root)).journal)
    assert (last_run(root)["by"], last_run(root)["reason"]) == ("watcher", "the agent stood still for 3 s")


@pytest.mark.parametrize("damage", ["cut", "changed", "removed"])
def test_a_journal_damaged_during_the_run_costs_nothing_while_the_watcher_lives(
    open_target: Callable[[], LocalTarget], root: Path, damage: str
) -> None:
    target = open_target()
    target.write(NEW)
    journal = Path(Places(str(root)).journal)
    content = journal.read_bytes()
    if damage == "removed":
        journal.unlink()
    else:
        journal.write_bytes(content[: len(content) // 3] if damage == "cut" else content.replace(b"found", b"lost!"))
    os.kill(guardians(target)[1], signal.SIGKILL)
    assert eventually(lambda: is_as_found(root), 10)
    assert eventually(lambda: not journal.exists(), 10)


def test_a_journal_damaged_during_the_run_costs_nothing_while_the_agent_lives(
    open_target: Callable[[], LocalTarget], root: Path
) -> None:
    target = open_target()
    target.write(NEW)
    Path(Places(str(root)).journal).write_bytes(b"")
    os.kill(guardians(target)[0], signal.SIGKILL)
    assert eventually(lambda: is_as_found(root), 10)


def test_when_both_are_killed_the_program_that_systemd_starts_finishes_it(
    open_target: Callable[[], LocalTarget], root: Path, tmp_path: Path
) -> None:
    target = open_target()
    target.write(NEW)
    both = guardians(target)
    restore = [sys.executable, "-I", "-S", str(pack.install(pack.AGENT, tmp_path / "state")), "--root", str(root),
               "--restore"]  # fmt: skip
    busy = subprocess.run(restore, capture_output=True, text=True, check=False)
    assert (busy.returncode, busy.stderr) == (75, "knobctl-agent: another knobctl run holds this machine's lock\n")
    for pid in both:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not any(map(started_at, both)))
    assert not is_as_found(root)
    done = subprocess.run(restore, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert is_as_found(root)
    assert last_run(root)["by"] == "restore"
    assert subprocess.run(restore, check=False).returncode == 0, "nothing is left to do"


def test_the_program_that_systemd_starts_says_what_it_cannot_put_back(
    open_target: Callable[[], LocalTarget], root: Path, tmp_path: Path
) -> None:
    target = open_target()
    target.write(NEW)
    for pid in guardians(target):
        os.kill(pid, signal.SIGKILL)
    file = root / "proc/sys/vm/swappiness"
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")  # a link is never followed, so this one can neither be read nor written
    program = str(pack.install(pack.AGENT, tmp_path / "state"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", program, "--root", str(root), "--restore"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    assert done.stderr == "knobctl-agent: not restored: /proc/sys/vm/swappiness (found 60)\n"
    assert (root / "proc/sys/vm/vfs_cache_pressure").read_text() == "100\n"
    assert Path(Places(str(root)).journal).exists()


def test_a_second_run_is_refused_and_leaves_the_first_one_alone(
    open_target: Callable[[], LocalTarget], root: Path
) -> None:
    target = open_target()
    target.write(NEW)
    with pytest.raises(Busy):
        open_target()
    assert (root / "proc/sys/vm/swappiness").read_text() == "13\n"


def test_a_knob_of_the_run_that_somebody_else_changes_ends_a_benchmark_that_is_running(
    open_target: Callable[[], LocalTarget], root: Path
) -> None:
    target = open_target()

    def change(line: str, at: float) -> bool:
        (root / "proc/sys/vm/vfs_cache_pressure").write_text("77\n")
        return False

    with pytest.raises(KnobChangedByOther, match="vfs_cache_pressure was changed by somebody else during the run: 77"):
        target.run(Command(("sh", "-c", "echo started; sleep 60"), 90), change)
    report = {knob.path: knob.outcome for knob in target.close().knobs}
    assert report == {"/proc/sys/vm/swappiness": "held", "/proc/sys/vm/vfs_cache_pressure": "drifted"}
    assert (root / "proc/sys/vm/vfs_cache_pressure").read_text() == "77\n"


def test_a_machine_in_trouble_ends_the_benchmark_and_gets_its_knobs_back(
    open_target: Callable[[], LocalTarget], root: Path
) -> None:
    target = open_target()
    target.write(NEW)

    def scarce(line: str, at: float) -> bool:
        (root / "proc/meminfo").write_text("MemTotal: 4194304 kB\nMemAvailable: 20480 kB\n")
        return False

    outcome = target.run(Command(("sh", "-c", "echo started; sleep 60"), 90), scarce)
    (root / "proc/meminfo").write_text(FILES["proc/meminfo"])
    assert outcome.tripped == "available memory 20 MiB is below 82 MiB"
    assert not outcome.ok
    assert is_as_found(root)
    assert target.run(Command(("echo", "well"), 5)).output == "well"


def test_a_machine_that_is_short_of_memory_already_is_left_alone(
    open_target: Callable[[], LocalTarget], root: Path
) -> None:
    (root / "proc/meminfo").write_text("MemTotal: 4194304 kB\nMemAvailable: 20480 kB\n")
    with pytest.raises(PreflightRefused, match="in no state to be tuned: available memory 20 MiB is below 82 MiB"):
        open_target()
    assert not Path(Places(str(root)).journal).exists()


def test_a_command_may_not_take_longer_than_a_day(open_target: Callable[[], LocalTarget]) -> None:
    target = open_target()
    with pytest.raises(KnobctlError, match="a command may take up to 86400 s, not 90000"):
        target.run(Command(("true",), 90_000))


@pytest.mark.parametrize("linked", [False, True])
def test_a_daemon_below_a_relative_or_linked_folder_is_ended(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "real").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    target = LocalTarget(base=str(tmp_path / "link") if linked else "real", root=str(root))
    target.open("guarded", NAMES)
    try:
        target.write(NEW)
        target.run(Command(("sh", "-c", "setsid sleep 337 >/dev/null 2>&1 &"), 10))
        assert target.folder.startswith(f"{tmp_path}/real/knobctl-")
        assert eventually(lambda: not running("^sleep 337"))
    finally:
        target.close()
    assert not list((tmp_path / "real").iterdir())


def test_output_without_end_does_not_keep_the_agent_from_its_signs_of_life(
    open_target: Callable[[], LocalTarget],
) -> None:
    target = open_target()
    outcome = target.run(Command(("sh", "-c", "yes & yes & yes"), 3.0))
    assert outcome.timed_out


def test_a_main_program_that_does_not_read_does_not_keep_the_agent_from_looking(root: Path, tmp_path: Path) -> None:
    program = str(pack.install(pack.AGENT, tmp_path / "state"))
    requests: list[dict[str, Any]] = [
        {"op": "open", "session": "deaf", "base": str(tmp_path), "knobs": NAMES},
        {"op": "write", "values": NEW},
        {"op": "run", "argv": ["yes", "x" * 4000], "timeout": 60},
    ]
    agent = subprocess.Popen(
        [sys.executable, "-I", "-S", program, "--root", str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert agent.stdin is not None and agent.stdout is not None
    try:
        agent.stdin.write(b"".join(protocol.encode({"id": number, **each}) for number, each in enumerate(requests)))
        agent.stdin.flush()
        while b"xxx" not in agent.stdout.readline():
            assert agent.poll() is None
        (root / "proc/meminfo").write_text("MemTotal: 4194304 kB\nMemAvailable: 20480 kB\n")
        assert eventually(lambda: is_as_found(root, but="proc/meminfo"), 10)
    finally:
        agent.stdin.close()
        agent.stdout.close()
        agent.wait(20)


def test_what_a_run_leaves_can_be_seen_by_everybody_whatever_the_users_umask(root: Path, tmp_path: Path) -> None:
    program = str(pack.install(pack.AGENT, tmp_path / "state"))
    agent = subprocess.Popen(
        [sys.executable, "-I", "-S", program, "--root", str(root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, umask=0o077,
    )  # fmt: skip
    assert agent.stdin is not None and agent.stdout is not None
    agent.stdin.write(protocol.encode({"id": 1, "op": "open", "session": "s", "base": str(tmp_path), "knobs": NAMES}))
    agent.stdin.flush()
    assert protocol.decode(agent.stdout.readline())["ok"]
    places = Places(str(root))
    paths = (places.state, places.run, places.journal)
    modes = [os.stat(path).st_mode & 0o777 for path in paths]
    agent.communicate(timeout=20)
    assert (modes, os.stat(places.last_run).st_mode & 0o777) == ([0o755, 0o755, 0o644], 0o644)


def test_every_line_of_the_journal_reaches_the_watcher_too(open_target: Callable[[], LocalTarget], root: Path) -> None:
    target = open_target()
    for value in range(10, 40):
        target.write({"vm.swappiness": value})
    journal = Path(Places(str(root)).journal)
    assert json.loads(journal.read_text().splitlines()[-1].partition(" ")[2])["text"] == "39"
    journal.unlink()
    os.kill(guardians(target)[1], signal.SIGKILL)
    assert eventually(lambda: is_as_found(root), 10)
