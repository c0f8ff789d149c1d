"""The process's edge: one clear line, whatever happened; questions only where somebody can answer."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands.conftest import CommandLine
from tests.commands.plans import FIVE_KEYS, plan_file

ROOT = Path(__file__).parent.parent.parent
SCRIPT = Path(sys.executable).with_name("knobctl")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
TINY = ("--target", "simulated", "--searcher", "random", "--budget", "2", "--seed", "1")
OWN = {
    **FIVE_KEYS,
    "benchmark_command": "./my-benchmark --fast",
    "metric_pattern": "score: ([0-9]+)",
    "reward_metric": "score",
    "direction": "maximize",
}


def at_a_terminal(state: Path, *arguments: str, answers: tuple[str, ...]) -> tuple[int, str, str]:
    """Runs knobctl at a terminal and answers its questions. (Exit code, standard output, what the terminal showed)"""
    main, terminal = pty.openpty()
    environment = {**os.environ, "KNOBCTL_STATE_DIR": str(state), "TERM": "dumb"}
    waiting, shown = list(answers), b""
    with subprocess.Popen(
        [SCRIPT, *arguments], stdin=terminal, stderr=terminal, stdout=subprocess.PIPE, env=environment, cwd=ROOT,
        start_new_session=True,
    ) as program:  # fmt: skip
        os.close(terminal)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not select.select([main], [], [], 1.0)[0]:
                continue
            try:
                block = os.read(main, 65536)
            except OSError:
                break  # the last one that had the terminal open has gone
            if not block:
                break
            shown += block
            if waiting and shown.rstrip().endswith(b"[y/N]:"):
                os.write(main, waiting.pop(0).encode() + b"\n")
        assert program.stdout is not None
        out = program.stdout.read().decode()
        code = program.wait(30)
    os.close(main)
    assert waiting == [], shown.decode()
    return code, out, shown.decode()


# --- consent


@pytest.mark.parametrize("command", [("tune", "postgres"), ("run", "PLAN")])
def test_without_a_terminal_and_without_yes_nothing_happens(
    knobctl: CommandLine, tmp_path: Path, command: tuple[str, str]
) -> None:
    words = [str(plan_file(tmp_path, FIVE_KEYS)) if word == "PLAN" else word for word in command]
    done = knobctl(*words, *TINY, "--json")
    assert done.code == 2
    assert done.document == {
        "success": False,
        "error": "a confirmation is needed, and there is no terminal to ask at",
        "hint": "Add --yes to confirm in advance.",
        "exit_code": 2,
    }
    assert done.err.endswith(
        "knobctl: a confirmation is needed, and there is no terminal to ask at\n"
        "  hint: Add --yes to confirm in advance.\n"
    )
    assert not knobctl.state.exists()


def test_a_no_at_the_terminal_changes_nothing(tmp_path: Path) -> None:
    code, out, shown = at_a_terminal(tmp_path / "state", "tune", "postgres", *TINY, answers=("n",))
    assert (code, out) == (2, "")
    assert "Try these knobs on a simulated machine? [y/N]: n" in shown
    assert "knobctl: not confirmed, nothing was changed" in shown
    assert not (tmp_path / "state").exists()


def test_a_yes_at_the_terminal_runs(tmp_path: Path) -> None:
    code, out, shown = at_a_terminal(tmp_path, "tune", "postgres", *TINY, "--json", answers=("y",))
    assert code in (0, 3)
    assert out.startswith("{")
    assert "Machine: every knob has the value that was found" in shown
    assert "Make this permanent?" not in shown, "a simulation is never applied"


def test_a_command_of_the_plans_own_is_asked_about_by_itself(tmp_path: Path) -> None:
    path = str(plan_file(tmp_path, OWN))
    code, _, shown = at_a_terminal(tmp_path / "state", "run", path, *TINY, "--yes", answers=("n",))
    assert code == 2
    assert "The plan wants to run, as an ordinary user:" in shown
    assert "./my-benchmark --fast" in shown
    assert "Run exactly this? [y/N]: n" in shown
    assert not (tmp_path / "state").exists()
    code, _, shown = at_a_terminal(tmp_path / "state", "run", path, *TINY, "--yes", answers=("y",))
    assert code in (0, 3)


# --- errors


def test_a_message_never_moves_the_cursor(knobctl: CommandLine) -> None:
    done = knobctl("tune", "postgres", *TINY, "--budget", "6", "--yes", "--json",
                   "--target", "simulated:tests.commands.machines:Chatty")  # fmt: skip
    assert done.code == 1
    assert "knobctl: the tool said red done\n  hint: read this\n" in done.err
    assert (done.document["error"], done.document["hint"]) == ("the tool said red done", "read this")
    assert not CONTROLS.search(done.err)
    assert not CONTROLS.search(done.out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("tune", "\x1b]0;owned\x07\x1b[31mmake me a sandwich\u202e"),
        ("tune", "postgres \x1b[31m", "--metric", "\x1b[31mbeauty"),
        ("tune", "postgres", "--command", "pgbench \x1b[31m -T 5"),
        ("tune", "postgres", "--knobs", "vm.\x1b[31mswappiness"),
        ("tune", "postgres", "--target", "\x1b[31mlocal"),
        ("tune", "postgres", "--target", "simulated:\x1b[31m"),
        ("tune", "postgres", "--direction", "\x1b[31mup"),
        ("run", "/nowhere/\x1b[31m.json"),
        ("report", "\x1b[31m"),
        ("knobs", "\x1b[31mvm.swappiness", "--target", "simulated"),
        ("knobs", "\x1b[31m*", "--target", "simulated"),
        ("doctor", "--workdir", "/nowhere/\x1b[31m"),
    ],
)
def test_what_was_typed_never_moves_the_cursor(knobctl: CommandLine, arguments: tuple[str, ...]) -> None:
    target = ("--target", "simulated") if arguments[0] == "tune" and "--target" not in arguments else ()
    done = knobctl(*arguments, *target)
    assert done.code != 0
    assert not CONTROLS.search(done.out + done.err)


def test_a_request_with_control_characters_reaches_nobodys_terminal(knobctl: CommandLine) -> None:
    request = "tune \x1b]0;owned\x07 postgres \x1b[31m\u202e please"
    assert knobctl("tune", request, *TINY, "--yes", "--json").code in (0, 3)
    for arguments in (("sessions",), ("report", "-v"), ("sessions", "--json"), ("report", "--json")):
        done = knobctl(*arguments)
        assert done.code == 0
        assert not CONTROLS.search(done.out + done.err)
    assert knobctl("report", "--json").document["request"] == request, "kept as it was said"


def test_a_defect_says_so_in_one_line_after_its_traceback(knobctl: CommandLine) -> None:
    done = knobctl("tune", "postgres", "--target", "simulated:tests.commands.machines:Defective", "--json")
    assert done.code == 1
    assert "Traceback (most recent call last):" in done.err
    assert "knobctl: unexpected ZeroDivisionError: no such thing\n  hint: This is a defect of knobctl." in done.err
    assert done.document["error"] == "unexpected ZeroDivisionError: no such thing"


def test_a_second_signal_waits_for_the_restore(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_SIGNALS], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT,
        env={**os.environ, "KNOBCTL_STATE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr == (
        "restoring\nSIGTERM: the machine is being restored, please wait\nrestored\nknobctl: interrupted by SIGINT\n"
    )


TWO_SIGNALS = """
import os, signal, sys
from knobctl.commands.edge import guarded

@guarded
def command():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        print("restoring", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGTERM)
        print("restored", file=sys.stderr)

command()
"""
