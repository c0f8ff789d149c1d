"""The small root on this machine: installed with the real sudo and used by `nobody`, who has no other rights.

Nothing is installed where a small root is installed already, and everything is removed again.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knobctl.agent.places import Places
from knobctl.persist.installing import Installed, look
from knobctl.persist.small_root import AGENT_FILE, SUDOERS_FILE

pytestmark = [
    pytest.mark.real_host,
    pytest.mark.skipif(not shutil.which("sudo") or not shutil.which("visudo"), reason="sudo is not installed"),
]

SWAPPINESS = Path("/proc/sys/vm/swappiness")


def doctor(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "knobctl.main", "doctor", *words, "--yes"],
        capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def as_nobody(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    nobody = pwd.getpwnam("nobody")
    return subprocess.run(
        words, input=said, capture_output=True, text=True, check=False, timeout=60, cwd="/",
        user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], env={"PATH": os.environ["PATH"]},
    )  # fmt: skip


def requests(*operations: dict[str, Any]) -> str:
    return "".join(json.dumps({"id": number, **each}) + "\n" for number, each in enumerate(operations))


def answers(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    if look() != Installed("absent", "absent", (), look().timer):
        pytest.skip("a small root is installed here already")
    above = Path(AGENT_FILE).parent.parent
    there = above.exists()
    try:
        done = doctor("--fix", "--user", "nobody")
        assert done.returncode == 0, done.stderr
        yield
    finally:
        removed = doctor("--remove")
        if not there:
            above.rmdir()
    assert removed.returncode == 0, removed.stderr
    assert not Path(AGENT_FILE).parent.exists()
    assert not Path(SUDOERS_FILE).exists()


def test_the_files_are_roots_and_pass_the_whole_check_of_sudo() -> None:
    for path, mode in ((AGENT_FILE, 0o100755), (SUDOERS_FILE, 0o100440), (str(Path(AGENT_FILE).parent), 0o040755)):
        status = Path(path).stat()
        assert (status.st_uid, status.st_gid, status.st_mode) == (0, 0, mode), path
    done = subprocess.run(["visudo", "-c"], capture_output=True, text=True, check=False)
    assert f"{SUDOERS_FILE}: parsed OK" in done.stdout
    assert (look().agent, look().rule, look().users) == ("current", "current", ("nobody",))


def test_it_restores_when_started_directly_and_has_nothing_to_say() -> None:
    assert not Path(Places().journal).exists()
    done = subprocess.run([AGENT_FILE, "--restore"], capture_output=True, text=True, check=False, env={})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_nobody_starts_in_it_is_nobodys() -> None:
    words = ["sudo", "-n", AGENT_FILE]
    open_it = {"op": "open", "session": "small-root", "base": "/var/tmp", "knobs": []}
    look_around = {"op": "run", "argv": ["id", "-u"], "env": {}, "timeout": 10, "sample": False}
    nobody = pwd.getpwnam("nobody")
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
        user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], env={"PATH": os.environ["PATH"]},
    ) as agent:  # fmt: skip
        assert agent.stdin is not None and agent.stdout is not None
        agent.stdin.write(requests(open_it, look_around))
        agent.stdin.flush()
        opened, line, outcome = (json.loads(agent.stdout.readline()) for _ in range(3))
        assert Path(opened["folder"]).stat().st_uid == nobody.pw_uid
    assert agent.returncode == 0
    assert (line["line"], outcome["exit_code"]) == (str(nobody.pw_uid), 0)
    assert not Path(opened["folder"]).exists()


def test_a_knob_that_nobody_sets_is_back_when_the_input_ends() -> None:
    before = SWAPPINESS.read_text()
    value = 61 if before.strip() != "61" else 62
    said = requests(
        {"op": "open", "session": "small-root", "base": "/var/tmp", "knobs": ["vm.swappiness"]},
        {"op": "write", "values": {"vm.swappiness": value}},
        {"op": "write", "values": {"kernel.core_pattern": "|/tmp/x"}},
        {"op": "write", "values": {"vm.swappiness": 100000}},
        {"op": "apply", "values": {"vm.swappiness": value}, "session": "s", "date": "d"},
    )
    opened, written, forbidden, beyond, permanent = answers(as_nobody("sudo", "-n", AGENT_FILE, said=said))
    assert opened["ok"], opened
    assert written["held"] == {"vm.swappiness": value}
    assert "kernel.core_pattern is never tuned" in forbidden["message"]
    assert "outside its safe range" in beyond["message"]
    assert "unknown operation 'apply'" in permanent["message"]
    assert SWAPPINESS.read_text() == before
    assert not Path(Places().journal).exists()


@pytest.mark.parametrize(
    "words",
    [
        (AGENT_FILE, "--root", "/x"),
        (AGENT_FILE, "--restore"),
        (AGENT_FILE, ""),
        (f"{Path(AGENT_FILE).parent}/../knobctl/knobctl-agent", "--patience=1"),
        ("-u", "daemon", AGENT_FILE),
        ("PYTHONPATH=/tmp", AGENT_FILE),
        ("/usr/bin/python3", AGENT_FILE),
        ("true",),
    ],
)
def test_anything_else_is_refused(words: tuple[str, ...]) -> None:
    done = as_nobody("sudo", "-n", *words, said=requests({"op": "ping"}))
    assert done.returncode != 0
    assert done.stdout == ""
    assert "a password is required" in done.stderr or "you are not allowed to" in done.stderr, done.stderr


def test_nobody_cannot_change_it() -> None:
    for words in (
        ("sh", "-c", f"echo x >> {AGENT_FILE}"),
        ("mv", AGENT_FILE, f"{AGENT_FILE}.old"),
        ("rm", "-f", SUDOERS_FILE),
        ("cat", SUDOERS_FILE),
    ):
        done = as_nobody(*words)
        assert done.returncode != 0
        assert "ermission denied" in done.stderr
