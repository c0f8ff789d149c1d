"""Acting as somebody else, and noticing that the parent is gone: on the real kernel, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
