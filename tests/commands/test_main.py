"""The command line as a whole: its help, its exit codes, and what goes to which stream."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from knobctl.main import COMMANDS
from tests.commands.conftest import CommandLine
from tests.commands.plans import FIVE_KEYS, plan_file

ROOT = Path(__file__).parent.parent.parent
SCRIPT = Path(sys.executable).with_name("knobctl")


def run(*arguments: str, state: Path, program: tuple[str, ...] = (str(SCRIPT),)) -> subprocess.CompletedProcess[str]:
    """The program itself, in a process of its own, with nobody at a terminal."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.run(
        [*program, *arguments], capture_output=True, text=True, check=False, timeout=120, cwd=ROOT,
        stdin=subprocess.DEVNULL, env={**environment, "KNOBCTL_STATE_DIR": str(state)},
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(knobctl: CommandLine, command: str) -> None:
    done = knobctl(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: knobctl {command} ")
    assert "--json" in done.out or command == "chat", "a conversation is for people alone"
    assert knobctl(command, "-h") == done
    assert not knobctl.state.exists()


def test_without_arguments_it_shows_its_help(knobctl: CommandLine) -> None:
    done = knobctl()
    assert done.out + done.err == knobctl("--help").out
    for command, (_, help_text) in COMMANDS.items():
        assert f"  {command} " in knobctl("--help").out
        assert help_text.split(".")[0].split(":")[0][:30] in " ".join(knobctl("--help").out.split())


def test_the_help_lists_every_exit_code(knobctl: CommandLine) -> None:
    words = " ".join(knobctl("--help").out.split())
    for code in ("0 done", "1 error", "2 usage", "3 finished without", "4 safety stop", "5 restore incomplete",
                 "6 preflight refused", "75 another run", "77 not permitted", "130 interrupted"):  # fmt: skip
        assert code in words


def test_the_version(knobctl: CommandLine) -> None:
    assert importlib.metadata.version("knobctl") in knobctl("--version").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tuen", "postgres"), "No such command 'tuen'."),
        (("tune",), "Missing argument 'REQUEST'. Say what to tune for, or name a session with --resume."),
        (("tune", "postgres", "--resume", "last"), "leave REQUEST or --resume out"),
        (("tune", "postgres", "--budget", "0"), "Invalid value for '--budget': 0 is not in the range 1<=x<=100000."),
        (("tune", "postgres", "--searcher", "annealing"), "Invalid value for '--searcher': 'annealing' is not one of"),
        (("tune", "postgres", "--seed", "-1"), "Invalid value for '--seed': -1 is not in the range"),
        (("tune", "postgres", "--time-budget", "soon"), "'soon' is no duration; write 90s, 10m or 1h30m"),
        (("tune", "postgres", "--strategist", "oracle"), "Invalid value for '--strategist'"),
        (("run", "plan.json", "--fast"), "No such option '--fast'."),
        (("sessions", "-n", "0"), "Invalid value for '-n'"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(knobctl: CommandLine, arguments: tuple[str, ...], words: str) -> None:
    done = knobctl(*arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    asked = knobctl(*arguments, "--json")
    assert (asked.code, asked.err) == (2, done.err)
    assert set(asked.document) == {"success", "error", "hint", "exit_code"}
    assert words in asked.document["error"]
    assert (asked.document["success"], asked.document["exit_code"]) == (False, 2)
    assert asked.document["hint"].startswith("Try 'knobctl ")
    assert not knobctl.state.exists()


EXIT_CODES = [
    ("Broken", 1, "the benchmark fails at the default configuration: "),
    ("Flat", 3, ""),
    ("Meddled", 4, "/proc/sys/vm/swappiness was changed to 1 by somebody else"),
    ("Stuck", 5, "1 kernel setting(s) could not be put back"),
    ("Restless", 6, "the noise between runs may be "),
    ("Taken", 75, "another knobctl run holds this machine's lock"),
    ("Guarded", 77, "/proc/sys is mounted read-only, as in a container"),
    ("Signalled", 130, "interrupted by SIGINT"),
    ("Terminated", 130, "interrupted by SIGTERM"),
    ("HungUp", 130, "interrupted by SIGHUP"),
]


@pytest.mark.parametrize(("machine", "code", "words"), EXIT_CODES)
def test_exit_codes(knobctl: CommandLine, machine: str, code: int, words: str) -> None:
    target = f"simulated:tests.commands.machines:{machine}"
    done = knobctl("tune", "postgres", "--target", target, "--searcher", "random", "--budget", "6", "--seed", "1",
                   "--yes", "--json")  # fmt: skip
    assert done.code == code
    with knobctl.store() as store:
        record = store.session("last")
    if code == 3:
        assert record.status == "finished"
        assert done.document["verdict"] in ("NO_CHANGE", "INCONCLUSIVE")
        assert done.document["best_config"] == {}
        return
    assert set(done.document) == {"success", "error", "hint", "exit_code"}
    assert (done.document["success"], done.document["exit_code"]) == (False, code)
    assert done.document["error"].startswith(words)
    assert f"knobctl: {done.document['error']}\n" in done.err
    assert record.status == ("interrupted" if code == 130 else "failed")
    assert "SIMULATED   restored: " in done.err


def test_an_improvement_is_exit_code_0_and_a_plan_of_five_keys_runs(tmp_path: Path) -> None:
    path = plan_file(tmp_path, {**FIVE_KEYS, "training_config": {"total_timesteps": 12, "n_steps": 4}})
    done = run("run", str(path), "--target", "simulated:file-write", "--seed", "1", "--yes", "--json",
               "--searcher", "ppo", state=tmp_path / "state")  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["verdict"] == "IMPROVED"
    assert document["policy_updates"] == 3
    assert "SIMULATED IMPROVED: transactions_per_second +" in done.stderr
    assert "every knob has the value that was found" in done.stderr


def test_the_module_is_the_program_too(tmp_path: Path) -> None:
    program = (sys.executable, "-m", "knobctl.main")
    done = run("workloads", "--json", state=tmp_path, program=program)
    assert done.returncode == 0
    assert json.loads(done.stdout)["playbooks"]
    asked = run(state=tmp_path, program=program)
    assert "Usage: knobctl [OPTIONS] COMMAND [ARGS]..." in asked.stdout + asked.stderr


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, "KNOBCTL_STATE_DIR": str(tmp_path)}
    with subprocess.Popen(
        [SCRIPT, "knobs", "--all", "--target", "simulated"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment, cwd=ROOT,
    ) as program:  # fmt: skip
        assert program.stdout is not None and program.stderr is not None
        program.stdout.close()
        said = program.stderr.read().decode()
        program.wait(60)
    assert "Traceback" not in said
    assert program.returncode == 1


def test_a_terminal_that_knows_no_unicode_spoils_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "KNOBCTL_STATE_DIR": str(tmp_path), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([SCRIPT, "workloads", "--json"], capture_output=True, check=True, env=environment, cwd=ROOT)
    assert "优化" in "".join(json.loads(done.stdout)["playbooks"][0]["examples"])
