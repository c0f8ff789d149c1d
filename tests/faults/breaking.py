"""Faults of what the run is made of: pipes, the disk of the journal, the journal, and a kernel that refuses."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGUSR1, SIGUSR2, Signals

from tests.faults.disks import can_make
from tests.faults.fault import Fault, Strike
from tests.faults.killing import AGENT_SEES_END, signals
from tests.faults.scene import Scene

FOR_ATTACHING_SECONDS = 2.0
FOR_WRITE_SECONDS = 3.0
ERRORS = {
    "EBUSY": "is busy", "EPERM": "forbids it", "EINVAL": "finds the value invalid", "EINTR": "is interrupted",
    "EIO": "has an I/O error", "ENOSPC": "has no space",
}  # fmt: skip
FOR_GOOD = 0
"""Every write fails from then on, as long as this agent lives."""


def close_pipe(number: Signals) -> Strike:
    """Tells the main program to close one of its pipes."""

    def strike(scene: Scene) -> float | None:
        if not scene.run.said("open") or not scene.run.roles["main"].send(number):
            return None
        moment = time.monotonic()
        return moment if scene.wait(lambda: scene.run.said("closed a pipe"), 1.0) else None

    return strike


def close_output(scene: Scene) -> float | None:
    """Nobody reads any more what the main program says."""
    if not scene.run.alive("main"):
        return None
    scene.run.output.close()
    return time.monotonic()


def fill_disk(scene: Scene) -> float | None:
    """The disk of the journal has no byte left."""
    assert scene.run.disk is not None
    scene.run.disk.fill()
    return time.monotonic() if scene.run.alive("agent") else None


def fail_disk(scene: Scene) -> float | None:
    """The file system of the journal becomes read-only."""
    assert scene.run.disk is not None
    scene.run.disk.fail()
    return time.monotonic() if scene.run.alive("agent") else None


def truncate_journal(scene: Scene) -> float | None:
    """The journal ends at a random byte."""
    try:
        os.truncate(scene.run.journal, scene.rng.randrange(scene.run.journal.stat().st_size or 1))
    except OSError:
        return None
    return time.monotonic() if scene.run.alive("agent") else None


def truncate_journal_and_kill_main(scene: Scene) -> float | None:
    """Both, one right after the other."""
    return None if truncate_journal(scene) is None else signals(SIGKILL, "main")(scene)


def flip_byte(scene: Scene) -> float | None:
    """One byte of the journal becomes another one."""
    try:
        with scene.run.journal.open("r+b", buffering=0) as journal:
            place = scene.rng.randrange(os.fstat(journal.fileno()).st_size or 1)
            found = os.pread(journal.fileno(), 1, place)
            if not found:
                return None
            os.pwrite(journal.fileno(), bytes([found[0] ^ scene.rng.randint(1, 255)]), place)
    except OSError:
        return None
    return time.monotonic() if scene.run.alive("agent") else None


def refuse(error: str) -> Strike:
    """The agent's next writes to one kernel file fail."""

    def strike(scene: Scene) -> float | None:
        path = scene.rng.choice(scene.paths)
        times = scene.rng.choice((1, 2, 3) if error == "EINTR" else (1, 2, 3, FOR_GOOD))
        when = f":when=1..{times}" if times else ""
        agent, seen = scene.run.roles["agent"], scene.folder / "strace"
        tracer = scene.start(
            ["strace", "-o", str(seen), "-p", str(agent.pid), "-P", path, "-e", "trace=write",
             "-e", f"inject=write:error={error}{when}"], scene.folder / "strace-words",
        )  # fmt: skip
        if not scene.wait(lambda: _is_traced(agent.pid) or tracer.poll() is not None, FOR_ATTACHING_SECONDS):
            scene.problems.append("strace did not attach")
        scene.wait(lambda: _was_injected(seen) or not agent.alive, FOR_WRITE_SECONDS)
        moment = time.monotonic()
        if not _was_injected(seen):
            tracer.send_signal(SIGINT)
            return None
        if times == FOR_GOOD:
            scene.needs_start = f"{path} can no longer be written"
        return moment

    return strike


def _is_traced(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/status").read_text().partition("TracerPid:")[2].split()
    except OSError:
        return False
    return bool(words) and words[0] != "0"


def _was_injected(seen: Path) -> bool:
    return seen.exists() and "(INJECTED)" in seen.read_text(errors="replace")


def _refusal(error: str, words: str) -> Fault:
    return Fault(
        f"refuse-{error}", f"the kernel {words} ({error}) when the agent writes a file: once, twice, three times"
        + ("" if error == "EINTR" else ", or from then on"),
        "agent: a failed trial, or it writes again" + ("" if error == "EINTR" else "; from then on: the next start"),
        refuse(error), wants_run=True, traces=True, obstacle="" if shutil.which("strace") else "strace is missing here",
    )  # fmt: skip


FAULTS = (
    Fault("close-requests", "the main program closes its pipe to the agent", AGENT_SEES_END, close_pipe(SIGUSR1),
          doors=("program",), needs="main", ends_run=True, wants_run=True),
    Fault("close-answers", "the main program closes its pipe from the agent",
          "agent: it cannot answer, or its input has ended", close_pipe(SIGUSR2), doors=("program",),
          needs="main", wants_run=True),
    Fault("close-output", "nobody reads what the main program prints", "main program", close_output, needs="main"),
    Fault("full-disk", "the disk of the journal becomes full",
          "agent: no write without a journal entry; it stops the run", fill_disk, disk="tmpfs",
          obstacle=can_make("tmpfs")),
    Fault("read-only-disk", "the disk of the journal reports an error and becomes read-only",
          "agent, from memory; the journal itself goes at the next start", fail_disk, disk="ext4",
          obstacle=can_make("ext4")),
    Fault("truncate-journal", "the journal is cut at a random byte", "agent, from memory; the run goes on",
          truncate_journal, damages_journal=True),
    Fault("truncate-journal-kill-main", "the journal is cut at a random byte, then `kill -9` of the main program",
          "agent, from memory", truncate_journal_and_kill_main, damages_journal=True,
          needs="main", kills=frozenset({"main"}), ends_run=True),
    Fault("flip-journal", "a random byte of the journal is changed", "agent, from memory; the run goes on", flip_byte,
          damages_journal=True),
    *(_refusal(error, words) for error, words in ERRORS.items()),
)  # fmt: skip
