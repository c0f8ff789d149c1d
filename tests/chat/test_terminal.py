"""Conversations through a real pseudo-terminal: real keys, real signals, a model over real HTTP, simulated machines."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from knobctl.store import Store
from tests.llm.scripted_server import Hang, Request, Say, scripted_server

# A server's threads live beside the fork of a terminal's child, which executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

ROOT = Path(__file__).parent.parent.parent
REQUEST = "optimize this system for a PostgreSQL database"
PROMPT = "knobctl> "
QUESTION = "or say what to change\\] "
QUICK = ("--searcher", "random", "--budget", "2", "--pairs", "5", "--seed", "1")
PLAN = {
    "workload_name": "PostgreSQL OLTP",
    "reward_metric": "transactions_per_second",
    "benchmark_command": "pgbench -c 8 -j 2 -T 5 bench",
    "action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 80}],
    "state_space": [{"metric": "cpu_utilization", "source": "/proc/stat"}],
    "training_config": {"total_timesteps": 40, "max_steps_per_episode": 10, "n_steps": 8},
}

Start = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts knobctl at a terminal."""
    started: list[pexpect.spawn[str]] = []

    def begin(*arguments: str, target: str = "simulated:postgresql", **environment: str) -> pexpect.spawn[str]:
        words = ["chat", "--target", target, *QUICK, *arguments] if target else list(arguments)
        child = pexpect.spawn(
            sys.executable, ["-m", "knobctl.main", *words], cwd=str(ROOT), encoding="utf-8", timeout=60, echo=True,
            dimensions=(50, 200), codec_errors="replace",
            env={**os.environ, "KNOBCTL_STATE_DIR": str(tmp_path / "state"), "TERM": "dumb", "LC_ALL": "C.UTF-8",
                 **environment},
        )  # fmt: skip
        started.append(child)
        return child

    yield begin
    for child in started:
        child.close(force=True)


def ended(child: Any) -> int:
    """Waits for the end; the exit code."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.signalstatus is None
    return int(child.exitstatus)


def sessions(tmp_path: Path) -> tuple[Any, ...]:
    with Store(tmp_path / "state" / "knobctl.db") as store:
        return store.sessions()


def script(request: Request) -> Say:
    """A model that knows its way, and always says yes."""
    if "action_space" in request.text:
        return Say(json.dumps(PLAN))
    if "intent" in request.text:
        asked = "why" if "why?" in request.messages[-1]["content"] else ""
        decision = {"thought": "yes", "intent": "explain" if asked else "optimize",
                    "workload": "none" if asked else "postgresql-write"}  # fmt: skip
        return Say(json.dumps(decision))
    return Say("yes")


def test_a_conversation_with_a_model(start: Start, tmp_path: Path) -> None:
    with scripted_server(script) as server:
        child = start("--model", "openai-compatible:scripted", KNOBCTL_LLM_BASE_URL=server.base_url)
        child.expect_exact("SIMULATED machine simulated:postgresql: Say what should be fast")
        child.expect_exact("openai-compatible:scripted understands and plans.")
        child.expect_exact(PROMPT)
        child.sendline("make my shop's PostgreSQL database quick")
        child.expect_exact("... the model is thinking")
        child.expect_exact("(model:openai-compatible:scripted)")
        child.expect_exact("vm.dirty_ratio")
        child.expect(QUESTION)
        child.sendline("no")
        child.expect_exact("Nothing was changed.")
        child.expect_exact(PROMPT)
        assert sessions(tmp_path) == ()
        child.sendline("make my shop's PostgreSQL database quick")
        child.expect(QUESTION)
        child.sendline("yes")
        child.expect_exact("SIMULATED search: random tries up to 2 configurations")
        child.expect_exact("SIMULATED In the model's words, with every figure checked against the record:")
        child.expect_exact(PROMPT)
        child.sendline("why?")
        child.expect_exact("... the model is thinking")
        child.expect_exact(PROMPT)
        child.sendline("quit")
        assert ended(child) == 0
    (record,) = sessions(tmp_path)
    assert record.status == "finished"
    assert record.conversation


def test_without_a_model_the_playbook_talks(start: Start, tmp_path: Path) -> None:
    child = start()
    child.expect_exact("The built-in playbook plans; name a model with --model.")
    child.expect_exact(PROMPT)
    child.sendline("优化数据库")
    child.expect_exact("(playbook:postgresql-write)")
    child.expect(QUESTION)
    child.sendline("是")
    child.expect_exact("SIMULATED Machine: every knob has the value that was found.")
    child.expect_exact(PROMPT)
    child.sendeof()
    assert ended(child) == 0


def test_a_terminal_with_colours_shows_the_live_view(start: Start) -> None:
    child = start(TERM="xterm-256color")
    child.expect_exact(PROMPT)
    child.sendline(REQUEST)
    child.expect(QUESTION)
    child.sendline("y")
    child.expect_exact("\x1b[")
    child.expect_exact("SIMULATED Machine: every knob has the value that was found.")
    child.expect_exact(PROMPT)
    child.sendline("\x1b[A")
    child.expect(QUESTION)
    child.sendline("")
    child.expect_exact("Nothing was changed.")
    child.sendline("quit")
    assert ended(child) == 0


def test_ctrl_c_at_the_prompt_and_at_a_question(start: Start, tmp_path: Path) -> None:
    child = start()
    child.expect_exact(PROMPT)
    child.send("optimize th")
    child.expect_exact("optimize th")  # readline sees a signal when it waits for a key, not while it handles one
    child.sendintr()
    child.expect_exact("Type quit to leave.")
    child.expect_exact(PROMPT)
    child.sendline(REQUEST)
    child.expect(QUESTION)
    child.sendintr()
    child.expect_exact("Stopped; nothing was changed.")
    child.expect_exact(PROMPT)
    child.sendline("exit")
    assert ended(child) == 0
    assert sessions(tmp_path) == ()


def test_ctrl_c_during_a_run_keeps_the_conversation(start: Start, tmp_path: Path) -> None:
    child = start(target="simulated:tests.chat.machines:Slow")
    child.expect_exact(PROMPT)
    child.sendline("postgres")
    child.expect(QUESTION)
    child.sendline("yes")
    child.expect_exact("1/6 ")
    child.sendintr()
    child.expect_exact("SIMULATED   restored: ")
    child.expect_exact("The run was stopped; every knob has the value that was found.")
    child.expect_exact(PROMPT)
    child.sendline("sessions")
    child.expect_exact("interrupted")
    child.expect_exact(PROMPT)
    child.sendline("quit")
    assert ended(child) == 0


def test_a_second_signal_waits(start: Start) -> None:
    child = start(target="simulated:tests.commands.machines:Signalled")
    child.expect_exact(PROMPT)
    child.sendline("postgres, 20 trials")
    child.expect(QUESTION)
    child.sendline("yes")
    child.expect_exact("The run was stopped; every knob has the value that was found.")
    child.expect_exact(PROMPT)
    child.sendline("quit")
    assert ended(child) == 0


def test_ctrl_c_stops_the_models_reply(start: Start) -> None:
    with scripted_server([Hang()]) as server:
        child = start("--model", "openai-compatible:scripted", KNOBCTL_LLM_BASE_URL=server.base_url)
        child.expect_exact(PROMPT)
        child.sendline(REQUEST)
        assert server.waiting.wait(30)
        child.sendintr()
        child.expect_exact("Stopped; nothing was changed.")
        child.expect_exact(PROMPT)
        child.sendline("quit")
        assert ended(child) == 0


@pytest.mark.parametrize("running", [False, True], ids=["prompt", "run"])
def test_sigterm_ends_it_and_restores(start: Start, tmp_path: Path, running: bool) -> None:
    child = start(target="simulated:tests.chat.machines:Slow")
    child.expect_exact(PROMPT)
    if running:
        child.sendline("postgres")
        child.expect(QUESTION)
        child.sendline("yes")
        child.expect_exact("1/6 ")
    child.kill(signal.SIGTERM)
    child.expect_exact("knobctl: interrupted by SIGTERM")
    assert ended(child) == 130
    assert [record.status for record in sessions(tmp_path)] == (["interrupted"] if running else [])


def test_a_terminal_that_goes_away_ends_it(start: Start, tmp_path: Path) -> None:
    child = start(target="simulated:tests.chat.machines:Slow")
    child.expect_exact(PROMPT)
    child.sendline("postgres")
    child.expect(QUESTION)
    child.sendline("yes")
    child.expect_exact("1/6 ")
    child.ptyproc.fileobj.close()
    assert child.wait() == 130
    assert [record.status for record in sessions(tmp_path)] == ["interrupted"]


def test_what_was_typed_before_a_question_does_not_answer_it(start: Start, tmp_path: Path) -> None:
    child = start()
    child.expect_exact(PROMPT)
    child.send("postgres\ny\ny\n")
    child.expect(QUESTION)
    time.sleep(0.3)
    child.sendline("n")
    child.expect_exact("Nothing was changed.")
    child.sendline("quit")
    assert ended(child) == 0
    assert sessions(tmp_path) == ()


def test_requests_are_remembered_and_answers_and_secrets_are_not(start: Start, tmp_path: Path) -> None:
    child = start()
    child.expect_exact(PROMPT)
    child.sendline("postgres")
    child.expect(QUESTION)
    child.sendline("n")
    child.expect_exact(PROMPT)
    child.sendline("my password is hunter2")
    child.expect_exact(PROMPT)
    child.sendline("quit")
    assert ended(child) == 0
    history = tmp_path / "state" / "chat-history"
    assert history.read_text() == "postgres\nquit\n"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_keys_that_are_no_text_do_no_harm(start: Start) -> None:
    child = start()
    child.expect_exact(PROMPT)
    os.write(child.child_fd, b"\xff\xfe\x16\x1b]0;owned\x16\x07 what is vm.swappiness?\n")
    child.expect_exact(PROMPT)
    child.sendline("quit")
    assert ended(child) == 0


def test_plain_knobctl_at_a_terminal_begins_a_conversation(start: Start) -> None:
    child = start(target="")
    child.expect_exact("Say what should be fast")
    child.expect_exact(PROMPT)
    child.sendline("quit")
    assert ended(child) == 0


def test_nobody_answers_blindly_when_standard_output_goes_elsewhere(tmp_path: Path) -> None:
    main, terminal = pty.openpty()
    environment = {**os.environ, "KNOBCTL_STATE_DIR": str(tmp_path / "state"), "TERM": "dumb"}
    with subprocess.Popen(
        [sys.executable, "-m", "knobctl.main", "chat", "--target", "simulated", *QUICK],
        stdin=terminal, stderr=terminal, stdout=subprocess.PIPE, env=environment, cwd=ROOT, start_new_session=True,
    ) as program:  # fmt: skip
        os.close(terminal)
        shown = b""
        for waited_for, typed in ((b"knobctl> ", b"postgres\n"), (b"change] ", b"n\n"), (b"knobctl> ", b"quit\n")):
            while not shown.endswith(waited_for):
                shown += os.read(main, 65536)
            os.write(main, typed)
            shown += b"|"
        assert program.stdout is not None
        out = program.stdout.read()
        assert program.wait(30) == 0
    os.close(main)
    assert b"SIMULATED Plan: PostgreSQL" in out
    assert b"SIMULATED Plan: PostgreSQL" in shown
