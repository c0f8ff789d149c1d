"""Conversations about this very machine, through a real pseudo-terminal: real keys, real knobs, a real benchmark."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from knobctl.agent.places import Places
from knobctl.persist import SYSCTL_FILE
from knobctl.store import Store
from tests.real_host.waiting import eventually

pytestmark = pytest.mark.real_host

BACKGROUND, FOREGROUND = Path("/proc/sys/vm/dirty_background_ratio"), Path("/proc/sys/vm/dirty_ratio")
REQUEST = "make large sequential file writes fast"
PROMPT = "knobctl> "
QUESTION = "or say what to change] "
PERMANENT = "Make this permanent? [y/N] "

Start = Callable[..., "pexpect.spawn[str]"]


def ratios() -> tuple[str, str]:
    return BACKGROUND.read_text().strip(), FOREGROUND.read_text().strip()


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a conversation at a terminal."""
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    started: list[pexpect.spawn[str]] = []

    def begin(*arguments: str) -> pexpect.spawn[str]:
        words = ["-m", "knobctl.main", "chat", "--strategist", "playbook", "--seed", "5", *arguments]
        environment = {**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        child = pexpect.spawn(
            sys.executable, words, encoding="utf-8", timeout=90, env=environment, dimensions=(50, 200)
        )
        started.append(child)
        return child

    yield begin
    for child in started:
        child.close(force=True)
    assert eventually(lambda: not Path(Places().journal).exists(), 10)


def ended(child: pexpect.spawn[str]) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


@pytest.mark.long
def test_this_machine_is_asked_about_tried_and_left_as_it_was(start: Start, tmp_path: Path) -> None:
    before = ratios()
    child = start("--searcher", "random", "--budget", "3", "--pairs", "5", "--time-budget", "40s", "--force")
    child.expect_exact(PROMPT)
    child.sendline(f"{REQUEST}, 2 seconds per run")
    child.expect_exact("--time=2 ")
    child.expect_exact("Try these knobs on this machine? [y/N, or say what to change] ")
    child.sendline("no")
    child.expect_exact("Nothing was changed.")
    child.expect_exact(PROMPT)
    assert ratios() == before
    with Store(tmp_path / "state" / "knobctl.db") as store:
        assert store.sessions() == ()
    child.sendline(f"{REQUEST}, 2 seconds per run")
    child.expect_exact(QUESTION)
    child.sendline("yes")
    child.expect_exact("search: random tries up to ")
    child.expect_exact("every knob has the value that was found")
    if child.expect_exact([PERMANENT, PROMPT]) == 0:
        child.sendline("no")
        child.expect_exact("Nothing was applied; later: knobctl apply ")
        child.expect_exact(PROMPT)
    assert ratios() == before
    child.sendline(f"{REQUEST}, 2 seconds per run")
    child.expect_exact(QUESTION)
    child.sendline("yes")
    child.expect_exact("2/6 ")
    child.sendintr()
    child.expect_exact("The run was stopped; every knob has the value that was found.")
    child.expect_exact(PROMPT)
    assert ratios() == before
    child.sendline("status")
    child.expect_exact("no run is going on")
    child.expect_exact(PROMPT)
    child.sendline("quit")
    assert ended(child) == 0
    with Store(tmp_path / "state" / "knobctl.db") as store:
        assert [record.status for record in store.sessions()] == ["interrupted", "finished"]


@pytest.fixture
def wounded() -> Iterator[None]:
    """A machine that may hold next to no dirty memory; it is healed again whatever happened, and nothing is applied."""
    background, foreground = ratios()
    applied = Path(SYSCTL_FILE).exists()
    BACKGROUND.write_text("1")
    FOREGROUND.write_text("2")
    yield
    if not applied and Path(SYSCTL_FILE).exists():
        subprocess.run([sys.executable, "-m", "knobctl.main", "rollback", "--yes"], check=False)
    FOREGROUND.write_text(foreground)
    BACKGROUND.write_text(background)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("wounded")
def test_a_wounded_machine_is_healed_in_a_conversation(start: Start) -> None:
    child = start("--budget", "24")
    child.expect_exact(PROMPT)
    child.sendline(REQUEST)
    child.expect_exact(QUESTION)
    assert ratios() == ("1", "2")
    child.sendline("yes")
    child.expect_exact("IMPROVED: ", timeout=800)
    child.expect_exact("every knob has the value that was found")
    child.expect_exact(PERMANENT)
    assert ratios() == ("1", "2")
    child.sendline("yes")
    child.expect_exact("live values set and read back.")
    child.expect_exact(PROMPT)
    assert int(ratios()[0]) > 1
    assert "vm.dirty_background_ratio = " in Path(SYSCTL_FILE).read_text()
    child.sendline("status")
    child.expect_exact("holds")
    child.expect_exact(PROMPT)
    child.sendline("quit")
    assert ended(child) == 0
    rolled = subprocess.run(
        [sys.executable, "-m", "knobctl.main", "rollback", "--yes"], capture_output=True, text=True, check=False
    )
    assert rolled.returncode == 0, rolled.stderr
    assert ratios() == ("1", "2")
    assert not Path(SYSCTL_FILE).exists()
