"""Where the agent keeps things on the target, below a root folder that is ``/`` outside of tests."""

import contextlib
import fcntl
import os
import shutil
import time
from typing import Any, Mapping

from knobctl.agent.processes import acting_as
from knobctl.agent.protocol import BUSY, NOT_PERMITTED, AgentError

FOLDER_PREFIX = "knobctl-"
FOLDER_MODE = 0o755
LOCK_SECONDS = 0.5
"""The timer's look holds the lock for an instant; a run that begins then waits instead of giving up."""


class Places:
    """The agent's files.

    Attributes:
        state: Folder of the journal and of what was applied (``/var/lib/knobctl``).
        run: Folder of the lock (``/run/knobctl``).
        lock: One run per machine holds it.
        journal: What the open session found and wrote; does not exist between runs.
        settled: Work folder of a run whose journal could not be removed although everything is back; until the next
            boot.
        last_run: How the last run ended.
        applied: What ``apply`` made permanent, and what it replaced.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = root
        self.state = os.path.join(root, "var/lib/knobctl")
        self.run = os.path.join(root, "run/knobctl")
        self.lock = os.path.join(self.run, "lock")
        self.journal = os.path.join(self.state, "journal")
        self.settled = os.path.join(self.run, "settled")
        self.last_run = os.path.join(self.state, "last-run.json")
        self.applied = os.path.join(self.state, "applied.json")

    def prepare(self) -> int:
        """Makes the folders, which everybody may look into. Returns an open handle of the lock file, not yet locked.

        Nobody else may open that file: whoever can, even for reading alone, can hold the lock.

        Raises:
            OSError: The disk is full or read-only, or the caller is not root.
        """
        for folder in (self.state, self.run):
            os.makedirs(folder, mode=FOLDER_MODE, exist_ok=True)
            with contextlib.suppress(OSError):  # what was left has to be put back on a read-only disk too
                os.chmod(folder, FOLDER_MODE)
        lock = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.fchmod(lock, 0o600)
        return lock


def check_permission(places: Places) -> None:
    """Returns when kernel settings can be changed here.

    Raises:
        AgentError: This process is not root, or the kernel interface is read-only.
    """
    if places.root != "/":
        return
    if os.geteuid() != 0:
        raise AgentError(NOT_PERMITTED, "setting kernel knobs needs root", "Run it as root or with sudo.")
    if os.statvfs("/proc/sys").f_flag & os.ST_RDONLY:
        raise AgentError(
            NOT_PERMITTED, "/proc/sys is mounted read-only, as in a container",
            "Run on the host itself, or try `--target simulated`.",
        )  # fmt: skip


def take_lock(handle: int) -> None:
    """Takes the machine's lock on an open file; it is held until the last process that has the file open ends.

    Raises:
        AgentError: Another run holds it.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise AgentError(
                    BUSY, "another knobctl run holds this machine's lock", "Wait for it, or see `knobctl status`."
                ) from None
            time.sleep(0.02)


def write_atomically(path: str, text: str, mode: int = 0o644) -> None:
    """Replaces a file so that a reader, or a power cut, sees either the old text or the new one.

    Raises:
        OSError: It could not be written; the old file is untouched.
    """
    os.makedirs(os.path.dirname(path), mode=FOLDER_MODE, exist_ok=True)
    fresh = path + ".knobctl-new"
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            os.fchmod(out.fileno(), mode)
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.rename(fresh, path)
    except OSError:
        os.unlink(fresh)
        raise
    sync_folder(os.path.dirname(path))


def delete(path: str) -> None:
    """Deletes a file durably. Not an error when there is none."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    sync_folder(os.path.dirname(path))


def sync_folder(folder: str) -> None:
    """Makes a folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_work_folder(begin: Mapping[str, Any]) -> None:
    """Deletes a session's work folder, if that is what it is: a real folder with the agent's prefix.

    Links in it are not followed (``shutil.rmtree`` works with descriptors), and what is the caller's is deleted with
    the caller's rights: who puts another folder in its place gains nothing.

    Args:
        begin: The journal's first entry. Without ``caller`` in it, root itself asked for the run.
    """
    folder = str(begin.get("folder", ""))
    if os.path.basename(folder).startswith(FOLDER_PREFIX) and not os.path.islink(folder):
        with acting_as(begin.get("uid", 0) if begin.get("caller") else 0, begin.get("gid", 0)):
            shutil.rmtree(folder, ignore_errors=True)
