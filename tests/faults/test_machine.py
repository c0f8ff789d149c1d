"""The witness of the campaign sees what is left: on a made-up machine, with real processes and a real lock."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from tests.faults import processes
from tests.faults.machine import Machine, differences, settable

FILES = {
    "/proc/sys/vm/swappiness": "60\n",
    "/proc/sys/vm/dirty_ratio": "20\n",
    "/proc/sys/vm/dirty_bytes": "0\n",
    "/sys/block/vda/queue/scheduler": "none [mq-deadline] kyber\n",
    "/sys/block/loop0/queue/scheduler": "[none]\n",
    "/sys/power/state": "mem\n",
}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for path, text in FILES.items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_text(text)
    (tmp_path / "var/lib/knobctl").mkdir(parents=True)
    (tmp_path / "var/lib/knobctl/agent.pyz").touch()
    (tmp_path / "var/tmp/knobctl-older").mkdir(parents=True)
    return Machine(str(tmp_path))


def test_every_knob_is_looked_at_but_loop_devices_are_not(machine: Machine) -> None:
    assert machine.paths == sorted(list(FILES)[:4])


def test_one_byte_more_is_a_difference(machine: Machine) -> None:
    before = machine.texts()
    machine.write("/proc/sys/vm/swappiness", "60")
    assert differences(before, machine.texts()) == ["/proc/sys/vm/swappiness holds '60' instead of '60\\n'"]


def test_a_vanished_file_is_a_difference(machine: Machine) -> None:
    before = machine.texts()
    (machine.root / "proc/sys/vm/swappiness").unlink()
    assert differences(before, machine.texts()) == ["/proc/sys/vm/swappiness holds nothing instead of '60\\n'"]


def test_what_cannot_be_put_back_is_said(machine: Machine) -> None:
    wanted = {**machine.texts(), "/proc/sys/vm/dirty_bytes": b"0\n", "/proc/sys/vm/dirty_ratio": b"20"}
    machine.write("/proc/sys/vm/dirty_ratio", "33")
    machine.write("/proc/sys/vm/dirty_bytes", "4096")
    # An idle face is never written: a kernel zeroes it by itself, and this one does not.
    assert machine.put_back(wanted) == ["/proc/sys/vm/dirty_bytes holds '4096' instead of '0\\n'"]
    assert machine.texts(["/proc/sys/vm/dirty_ratio"]) == {"/proc/sys/vm/dirty_ratio": b"20"}


@pytest.mark.parametrize(("text", "written"), [(b"none [bfq] kyber\n", "bfq"), (b"4096\t16384\t9\n", "4096\t16384\t9")])
def test_what_has_to_be_written_to_see_a_text_again(text: bytes, written: str) -> None:
    assert settable(text) == written


def test_files_that_a_run_left_are_found(machine: Machine) -> None:
    assert machine.left_files() == []
    state = machine.root / "var/lib/knobctl"
    (state / "journal").touch()
    (state / "last-run.json").touch()
    (state / "last-run.json.knobctl-new").touch()
    (state / "knobctl.db-wal").touch()  # of somebody else's run
    (machine.root / "var/tmp/knobctl-abc").mkdir()
    assert machine.left_files() == [
        f"journal {state}/journal is still there",
        f"work folder {machine.root}/var/tmp/knobctl-abc is still there",
        f"unknown file {state}/last-run.json.knobctl-new",
    ]


def test_a_held_lock_is_seen(machine: Machine) -> None:
    assert machine.lock_is_free()
    (machine.root / "run/knobctl").mkdir(parents=True)
    with (machine.root / "run/knobctl/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not machine.lock_is_free()
    assert machine.lock_is_free()


def test_children_of_children_are_found_and_a_stopped_process_still_lives() -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 71 & wait"])
    handle = processes.Handle(shell.pid)
    try:
        while not processes.children(shell.pid):
            pass
        sleeper = processes.children(shell.pid)[0]
        assert {shell.pid, sleeper} <= set(processes.descendants(os.getpid()))
        assert handle.alive
        assert not processes.is_in_poll(sleeper)
    finally:
        os.kill(processes.children(shell.pid)[0], 9)
        shell.kill()
        shell.wait()
    assert not handle.alive
    assert not handle.send(processes.signal.SIGTERM)
    handle.close()
