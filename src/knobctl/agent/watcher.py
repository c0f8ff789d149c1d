"""The watcher: starts the agent as its child, and when the agent dies, restores in its place.

It does nothing else, so that nothing else can bring it down. It holds the lock together with the agent: while either
lives, no other run begins.
"""

import fcntl
import os
import signal
import subprocess
import sys
from types import FrameType
from typing import List, Optional

from knobctl.agent import processes
from knobctl.agent.kernel import Kernel
from knobctl.agent.places import Places
from knobctl.agent.recovery import recover


def _is_ours(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def watch(command: List[str], kernel: Kernel, places: Places, lock: int) -> int:
    """Runs the agent to its end and finishes what it could not.

    Args:
        command: The agent's own command line.
        kernel: The machine's knobs.
        places: Where the journal is.
        lock: Open handle of the lock file, shared with the agent.

    Returns:
        The agent's exit status, or 128 plus the signal that killed it.
    """
    processes.become_subreaper()
    agent = subprocess.Popen([*command, "--lock", str(lock), "--watcher", str(os.getpid())], pass_fds=(lock,))

    def forward(number: int, frame: Optional[FrameType]) -> None:
        if agent.poll() is None:
            agent.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    code = agent.wait()
    if code == 0 or not _is_ours(lock):
        return code  # it finished by itself, or the journal belongs to another run that lives
    reason = "the agent was killed by signal %d" % -code if code < 0 else "the agent ended with status %d" % code
    record = recover(kernel, places, "watcher", reason)
    if record is not None and not record["restored"]:
        for entry in record["knobs"]:
            if entry["outcome"] in ("failed", "absent"):
                print("knobctl: not restored: %s (found %s)" % (entry["path"], entry["found"]), file=sys.stderr)
    return 128 - code if code < 0 else code
