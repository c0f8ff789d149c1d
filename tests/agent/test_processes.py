"""What root does for somebody else, and noticing that the parent is gone: on the real kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knobctl.agent.places import remove_work_folder
from knobctl.agent.processes import descendants
from tests.real_host.waiting import eventually

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")

SIGNAL_AFTER_ACTING = """
import ctypes, signal
from knobctl.agent.processes import acting_as, die_with_parent
die_with_parent()
with acting_as(65534, 65534):
    pass
now = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(now), 0, 0, 0)
print(signal.Signals(now.value).name)
"""

SERVE_FOR_A_DEAD_WATCHER = """
import os, sys
from knobctl.agent.kernel import Kernel
from knobctl.agent.places import Places
from knobctl.agent.server import Server
from knobctl.knobs import Catalogue
places = Places(sys.argv[1])
lock, line = places.prepare(), os.pipe()[1]
sys.exit(Server(Kernel(Catalogue.from_records({"knob": []}), sys.argv[1]), places, lock, 0, line).serve())
"""


@needs_root
def test_the_parents_death_is_still_heard_after_acting_as_somebody_else() -> None:
    """The kernel forgets the wish with every change of the user."""
    done = subprocess.run([sys.executable, "-c", SIGNAL_AFTER_ACTING], capture_output=True, text=True, check=True)
    assert done.stdout == "SIGTERM\n"


def test_a_watcher_whose_death_gave_no_signal_is_missed(root: Path) -> None:
    agent = subprocess.Popen(
        [sys.executable, "-c", SERVE_FOR_A_DEAD_WATCHER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert agent.wait(10) == 0, "it has ended, although its input is open"
    finally:
        agent.kill()
        agent.communicate()


NOBODY = 65534
CALLER = {"uid": NOBODY, "gid": NOBODY, "caller": True}


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in which nobody (the user) may give names."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="shared-") as made:
        os.chown(made, NOBODY, NOBODY)
        yield Path(made)


@needs_root
@pytest.mark.parametrize(
    ("owner", "begin", "stays"),
    [
        (0, CALLER, True),
        (NOBODY, CALLER, False),
        (0, {**CALLER, "caller": False}, False),
        (0, {}, False),  # a journal from before it said whose the folder is
    ],
)
def test_a_folder_is_deleted_with_the_rights_of_who_asked_for_the_run(
    shared: Path, owner: int, begin: dict[str, Any], stays: bool
) -> None:
    folder = shared / "knobctl-0123456789ab"
    folder.mkdir()
    (folder / "precious").write_text("text")
    for path in (folder, folder / "precious"):
        os.chown(path, owner, owner)
    remove_work_folder({"kind": "begin", "folder": str(folder), **begin})
    assert (folder / "precious").exists() is stays
    assert os.geteuid() == 0


@needs_root
def test_of_those_who_work_in_the_folder_only_the_users_own_are_counted(shared: Path) -> None:
    alone = subprocess.Popen(["sleep", "331"])
    roots = subprocess.Popen(["sleep", "331"], cwd=shared)
    theirs = subprocess.Popen(["sh", "-c", "cd /; sleep 331 & wait"], cwd=shared, user=NOBODY, group=NOBODY)
    inside = subprocess.Popen(["sh", "-c", "sleep 331 & wait"], cwd=shared, user=NOBODY, group=NOBODY)
    started = [alone, roots, theirs, inside]
    try:
        assert eventually(lambda: len(descendants(inside.pid)) == len(descendants(theirs.pid)) == 1)
        family = {inside.pid, *descendants(inside.pid)}
        assert descendants(alone.pid, str(shared), NOBODY) == family
        assert descendants(alone.pid, str(shared)) == {*family, roots.pid}
        assert descendants(theirs.pid, str(shared), 0) == {*descendants(theirs.pid), roots.pid}
    finally:
        for process in (*descendants(inside.pid), *descendants(theirs.pid)):
            os.kill(process, 9)
        for each in started:
            each.kill()
            each.wait()
