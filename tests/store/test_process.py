"""A process is itself, and not a later one of the same number."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from knobctl.store.process import Process


def test_this_process_is_alive() -> None:
    current = Process.current()
    assert current.pid == os.getpid()
    assert current.alive


def test_a_number_that_was_given_to_another_process_is_not_alive() -> None:
    current = Process.current()
    assert not dataclasses.replace(current, started=current.started - 1).alive
    assert not dataclasses.replace(current, boot="another boot").alive


def test_a_process_that_ended_is_not_alive_even_before_its_parent_looked() -> None:
    read, write = os.pipe()
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=read) as child:
        os.close(read)
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        process = Process(child.pid, int(stat.rpartition(")")[2].split()[19]), Process.current().boot)
        assert process.alive
        os.close(write)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not process.alive, "a zombie is not alive"
    assert not process.alive
