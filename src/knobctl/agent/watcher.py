"""The watcher: starts the agent as its child, listens for its signs of life, and when it dies restores in its place.

It does nothing else, so that nothing else can bring it down. It holds the lock together with the agent: while a session
is open and either lives, no other run begins.
"""

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import List, Optional

from knobctl.agent import processes
from knobctl.agent.kernel import Kernel
from knobctl.agent.places import Places
from knobctl.agent.recovery import not_back, recover


def watch(command: List[str], kernel: Kernel, places: Places, lock: int, patience: float) -> int:
    """Runs the agent to its end and finishes what it could not.

    Args:
        command: The agent's own command line.
        kernel: The machine's knobs.
        places: Where the journal is.
        lock: Open handle of the lock file, shared with the agent.
        patience: Seconds without a sign of life after which the agent is killed: it stands still.

    Returns:
        The agent's exit status, or 128 plus the signal that killed it.
    """
    processes.become_subreaper()
    processes.set_oom_score(processes.GUARDIAN_OOM_SCORE)
    ours, its = os.pipe()
    agent = subprocess.Popen(
        [*command, "--lock", str(lock), "--watcher", str(os.getpid()), "--line", str(its)], pass_fds=(lock, its)
    )
    os.close(its)

    def forward(number: int, frame: Optional[FrameType]) -> None:
        if agent.poll() is None:
            agent.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    copy, silent = _listen(agent, ours, patience)
    code = agent.wait()
    if code == 0 or not _is_ours(lock):
        return code  # it finished by itself, or the journal belongs to another run that lives
    reason = "the agent was killed by signal %d" % -code if code < 0 else "the agent ended with status %d" % code
    if silent:
        reason = "the agent stood still for %g s" % patience
    try:
        for line in not_back(recover(kernel, places, "watcher", reason, copy=copy)):
            print("knobctl: %s" % line, file=sys.stderr)
    except OSError as error:  # an unreadable journal; or nobody listens any more
        return error.errno or 1
    return 128 - code if code < 0 else code


def _listen(agent: "subprocess.Popen[bytes]", line: int, patience: float) -> "tuple[bytes, bool]":
    """What the agent wrote into its journal, until it ends; and whether it had to be killed because it stood still."""
    copy = bytearray()
    heard = time.monotonic()
    silent = False
    while True:
        if select.select([line], [], [], min(1.0, patience / 4))[0]:
            block = os.read(line, 65536)
            if not block:
                return bytes(copy), silent
            heard = time.monotonic()
            if block.strip():  # a sign of life alone is an empty line
                copy += block
        elif agent.poll() is not None:
            return bytes(copy), silent
        elif time.monotonic() - heard > patience and not silent:
            silent = True
            agent.kill()


def _is_ours(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
