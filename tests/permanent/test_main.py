"""The program as it is started: requests on standard input, answers on standard output, below a root folder."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from knobctl.agent.places import Places
from knobctl.permanent.dropin import SYSCTL_FILE
from knobctl.target import pack
from tests.permanent.tuned_machine import TunedMachine
from tests.persist.machine import machine, swappiness


@pytest.fixture
def root(tmp_path: Path) -> Path:
    machine(tmp_path / "root")
    return tmp_path / "root"


def start(root: Path, *lines: str | dict[str, Any]) -> tuple[int, list[Any], str]:
    """Exit code, answers and words of one call of the packed program, on an interpreter without any package."""
    archive = pack.install(pack.PERMANENT, root.parent)
    sent = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(archive), "--root", str(root), "--patience=5"],
        input=sent, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def wanted(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "op": "apply", "session": "s", "date": "d", "values": {"vm.swappiness": 10}, **changes}


def test_apply_and_rollback_over_the_pipe(root: Path) -> None:
    code, answers, words = start(root, {"id": 1, "op": "ping"}, wanted(id=2))
    assert (code, words) == (0, "")
    assert answers[0] == {"id": 1, "ok": True}
    assert (answers[1]["id"], answers[1]["ok"], answers[1]["values"]) == (2, True, {"vm.swappiness": 10})
    assert answers[1]["files"] == [f"{root}{SYSCTL_FILE}"]
    assert swappiness(root) == "10"
    (answer,) = start(root, {"id": 1, "op": "rollback"})[1]
    assert [knob["outcome"] for knob in answer["knobs"]] == ["held"]
    assert swappiness(root) == "60"
    assert not (root / SYSCTL_FILE[1:]).exists()


def test_apply_by_way_of_tuned_over_the_pipe(root: Path) -> None:
    tuned = TunedMachine(root)
    (answer,) = start(root, wanted(via="tuned"))[1]
    assert (answer["ok"], answer["via"]) == (True, "tuned")
    assert tuned.active == ("knobctl", "manual")
    assert start(root, {"id": 1, "op": "rollback"})[1][0]["ok"]
    assert tuned.active == ("base", "manual")


def test_the_words_of_a_failed_switch_reach_the_caller(root: Path) -> None:
    TunedMachine(root).trouble("fail-knobctl")
    (answer,) = start(root, wanted(via="tuned"))[1]
    assert (answer["ok"], answer["code"], answer["hint"]) == (False, "write-failed", "Nothing was changed.")
    assert answer["message"].startswith("`tuned-adm profile knobctl` failed with status 1")
    assert swappiness(root) == "60"


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ("{not json", "bad-request", "a message that is not JSON"),
        ("[1]", "bad-request", "a message that is not an object"),
        ({"id": 1}, "bad-request", "unknown operation None"),
        ({"id": 1, "op": "write", "values": {"vm.swappiness": 1}}, "bad-request", "unknown operation 'write'"),
        ({"id": 1, "op": "rollback"}, "bad-request", "nothing is applied"),
        ({"id": 1, "op": "apply", "values": {}}, "failed", "KeyError: 'session'"),
        (wanted(values=["vm.swappiness"]), "bad-request", "values that are no object"),
        (wanted(values={"vm.swappiness": 101}), "bad-request", "vm.swappiness = 101 is outside its safe range"),
        (wanted(values={"vm.swappiness": "10; reboot"}), "bad-request",
         "vm.swappiness = '10; reboot' is outside its safe range"),
        (wanted(values={"vm.swappiness": [10]}), "bad-request", "vm.swappiness = [10] is outside its safe range"),
        (wanted(values={"vm.dirty_ratio": 40}), "bad-request", "vm.dirty_ratio is absent on this machine"),
        (wanted(values={"/etc/passwd": 1}), "write-failed", None),
        (wanted(values={"kernel.randomize_va_space": 0}), "write-failed", None),
        (wanted(via="../.."), "bad-request", "there is no way '../..' to make values permanent"),
        (wanted(via="tuned"), "bad-request", "TuneD is not running here"),
        (wanted(session="s\nkernel.panic = 1"), "bad-request", "'s\\nkernel.panic = 1' is not one line of text"),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(
    root: Path, request_: str | dict[str, Any], code: str, message: str | None
) -> None:
    before = everything(root)
    exit_code, answers, words = start(root, request_)
    assert (exit_code, words) == (0, "")
    (answer,) = answers
    assert (answer["ok"], answer["code"]) == (False, code)
    assert message is None or answer["message"] == message
    assert everything(root) == before


def test_a_forbidden_knob_is_refused_with_its_reason(root: Path) -> None:
    (root / "proc/sys/kernel/randomize_va_space").write_text("2\n")
    (answer,) = start(root, wanted(values={"vm.swappiness": 10, "kernel.randomize_va_space": 0}))[1]
    assert answer["message"].startswith("kernel.randomize_va_space is never tuned: ")
    assert swappiness(root) == "60"


def test_nothing_is_made_permanent_while_a_run_is_not_restored(root: Path) -> None:
    Path(Places(str(root)).state).mkdir(parents=True)
    Path(Places(str(root)).journal).write_text("x")
    for request in (wanted(), {"id": 1, "op": "rollback"}):
        (answer,) = start(root, request)[1]
        assert (answer["code"], answer["hint"]) == ("restore-incomplete", "Run `knobctl restore` first.")
        assert answer["message"] == "a run was cut off and its knobs are not back"
    assert swappiness(root) == "60"


def test_nothing_is_made_permanent_during_a_run(root: Path) -> None:
    handle = Places(str(root)).prepare()
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        (answer,) = start(root, wanted())[1]
    finally:
        os.close(handle)
    assert (answer["code"], answer["message"]) == ("busy", "another knobctl run holds this machine's lock")
    assert swappiness(root) == "60"


def test_the_lock_is_held_until_the_program_ends(root: Path) -> None:
    archive = pack.install(pack.PERMANENT, root.parent)
    handle = Places(str(root)).prepare()
    program = subprocess.Popen(
        [sys.executable, "-I", "-S", str(archive), "--root", str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        with program:
            assert program.stdin is not None and program.stdout is not None
            for request, taken in (({"id": 1, "op": "ping"}, False), (wanted(id=2), True)):
                program.stdin.write(json.dumps(request) + "\n")
                program.stdin.flush()
                assert json.loads(program.stdout.readline())["ok"]
                assert is_taken(handle) is taken
        assert not is_taken(handle)
    finally:
        os.close(handle)


def is_taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(handle, fcntl.LOCK_UN)
    return False


def test_a_folder_that_cannot_be_used_ends_it_with_77(root: Path) -> None:
    (root / "var").write_text("a file where a folder should be")
    code, answers, words = start(root, wanted())
    assert (code, answers) == (77, [])
    assert words.startswith("knobctl-permanent: cannot use ")


def everything(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "lock"}
