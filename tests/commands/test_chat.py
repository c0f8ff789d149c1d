"""``knobctl chat`` as a command: who may hold a conversation, and how it begins and ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from tests.commands.conftest import CommandLine

ROOT = Path(__file__).parent.parent.parent
QUICK = ("--searcher", "random", "--budget", "6", "--pairs", "5", "--seed", "1")

Start = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a conversation at a terminal."""
    started: list[pexpect.spawn[str]] = []

    def begin(*arguments: str, target: str = "simulated", state: str = "state") -> pexpect.spawn[str]:
        environment = {**os.environ, "KNOBCTL_STATE_DIR": str(tmp_path / state), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        child = pexpect.spawn(
            sys.executable, ["-m", "knobctl.main", "chat", "--target", target, *QUICK, *arguments], cwd=str(ROOT),
            encoding="utf-8", timeout=60, env=environment, dimensions=(50, 200),
        )  # fmt: skip
        started.append(child)
        return child

    yield begin
    for child in started:
        child.close(force=True)


def ended(child: pexpect.spawn[str]) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


def test_without_a_terminal_there_is_no_conversation(knobctl: CommandLine) -> None:
    done = knobctl("chat", "--target", "simulated")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        'knobctl: a conversation needs a terminal\n  hint: For one run without one: knobctl tune "REQUEST".\n'
    )
    assert not knobctl.state.exists()


def test_its_help_names_the_options_of_a_run(knobctl: CommandLine) -> None:
    shown = knobctl("chat", "--help").out
    for option in ("--model", "--strategist", "--target", "--workdir", "--budget", "--time-budget", "--pairs",
                   "--searcher", "--seed", "--verbose", "--force", "--timeout"):  # fmt: skip
        assert option in shown
    for option in ("--yes", "--json", "--dry-run"):
        assert option not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strategist", "llm"), "no language model was chosen"),
        (("--model", "openai-compatible:x", "--strategist", "playbook"), "the playbook needs no model"),
    ],
)
def test_what_makes_no_sense_is_said_before_it_begins(start: Start, arguments: tuple[str, ...], words: str) -> None:
    child = start(*arguments)
    child.expect_exact(words)
    assert ended(child) == 2


def test_an_unknown_target(start: Start) -> None:
    child = start(target="nowhere")
    child.expect_exact("unknown target 'nowhere'")
    assert ended(child) == 2


def test_a_record_that_cannot_be_written_leaves_talking(start: Start, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    child = start()
    child.expect_exact("this conversation is not recorded, and nothing can be run in it")
    child.expect_exact("knobctl> ")
    child.sendline("postgres")
    child.expect_exact("a run needs the record of sessions")
    child.expect_exact("knobctl> ")
    child.sendline("quit")
    assert ended(child) == 0


def test_a_restore_that_is_not_complete_ends_it_with_what_to_paste(start: Start) -> None:
    child = start(target="simulated:tests.commands.machines:Stuck")
    child.expect_exact("knobctl> ")
    child.sendline("postgres")
    child.expect_exact("or say what to change] ")
    child.sendline("yes")
    child.expect_exact("knobctl: 1 kernel setting(s) could not be put back")
    child.expect_exact("hint: Paste as root: echo 60 > swappiness")
    assert ended(child) == 5


def test_a_budget_and_a_seed_are_kept(start: Start, tmp_path: Path) -> None:
    child = start("-v")
    child.expect_exact("knobctl> ")
    child.sendline("postgres")
    child.expect_exact("trials   6 of the search")
    child.expect_exact("or say what to change] ")
    child.sendline("yes")
    child.expect_exact("printed transactions_per_second=")
    child.expect_exact("Machine: every knob has the value that was found.")
    child.expect_exact("knobctl> ")
    child.sendline("quit")
    assert ended(child) == 0
    with CommandLine(tmp_path / "state").store() as store:
        record = store.session("last")
    assert (record.budget, record.seed, record.searcher) == (6, 1, "random")
