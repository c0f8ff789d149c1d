"""The machine as a witness sees it: the bytes of every kernel file of the catalogue, and what else a run may leave.

It reads and writes the files by itself, without the agent.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from knobctl.knobs.files import catalogue

Texts = Mapping[str, bytes]

TWINS = {
    "/proc/sys/vm/dirty_ratio": "/proc/sys/vm/dirty_bytes",
    "/proc/sys/vm/dirty_background_ratio": "/proc/sys/vm/dirty_background_bytes",
}
"""Two faces of one setting: writing one zeroes the other, and a 0 cannot be written."""

STATE_FOLDER = "/var/lib/knobctl"
WORK_FOLDERS = "/var/tmp"
KEPT = {"last-run.json", "journal", "lost+found", "ballast"}
OTHERS = {"knobctl.db", "knobctl.db-shm", "knobctl.db-wal"}  # a run of the campaign keeps its record elsewhere
ATTEMPTS = 20


class Machine:
    """The kernel files below a root folder, ``/`` outside of tests.

    Loop devices are left out: a read-only disk is made from one.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = Path(root)
        self.paths = sorted({f"/{path.relative_to(self.root)}" for path in self._files()})
        self._folders = set(self._work_folders())
        self._state = set(_names(self._at(STATE_FOLDER)))

    def _files(self) -> Iterable[Path]:
        for knob in catalogue():
            for path in self.root.glob(knob.path.lstrip("/").replace("{disk}", "*")):
                if "/block/loop" not in str(path) and path.is_file():
                    yield path

    def texts(self, paths: Iterable[str] | None = None) -> dict[str, bytes]:
        """What these files (all by default) hold now; those that cannot be read are left out."""
        found = {}
        for path in self.paths if paths is None else paths:
            try:
                found[path] = self._at(path).read_bytes()
            except OSError:
                continue
        return found

    def write(self, path: str, text: str) -> None:
        """Writes one file in one call.

        Raises:
            OSError: The kernel refused.
        """
        with self._at(path).open("wb", buffering=0) as out:
            out.write(text.encode())

    def put_back(self, wanted: Texts) -> list[str]:
        """Gives every file its text of an earlier look. Returns what could not be put back, one line each."""
        for attempt in range(ATTEMPTS):
            different = [path for path, text in self.texts(wanted).items() if text != wanted[path]]
            if not different:
                break
            time.sleep(0.0 if attempt < 3 else 0.05)
            for path in different:
                if not _is_idle_face(path, wanted):
                    try:
                        self.write(path, settable(wanted[path]))
                    except OSError:
                        continue  # it is looked at again, and reported when it stays
        return differences(wanted, self.texts(wanted))

    def has_journal(self) -> bool:
        """Whether a run is going on, or has left its journal."""
        return self._at(STATE_FOLDER + "/journal").exists()

    def lock_is_free(self) -> bool:
        """Whether nobody holds the lock of a run."""
        try:
            handle = os.open(self._at("/run/knobctl/lock"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(handle)
        return True

    def left_files(self, state: Path | None = None) -> list[str]:
        """What a run left on the disk, one line each: a journal, work folders, unfinished files.

        Args:
            state: Where the run kept its journal, when that was not the usual folder.
        """
        folder = state or self._at(STATE_FOLDER)
        before = set() if state else self._state
        left = [f"journal {folder / 'journal'} is still there"] if (folder / "journal").exists() else []
        left += [f"work folder {name} is still there" for name in self._work_folders() if name not in self._folders]
        return left + [
            f"unknown file {folder / name}" for name in _names(folder) if name not in {*before, *KEPT, *OTHERS}
        ]

    def _work_folders(self) -> list[str]:
        return sorted(str(path) for path in self._at(WORK_FOLDERS).glob("knobctl-*"))

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")


def differences(wanted: Texts, now: Texts) -> list[str]:
    """One line per file that does not hold what it should."""
    return [
        f"{path} holds {_shown(now.get(path))} instead of {_shown(text)}"
        for path, text in wanted.items()
        if now.get(path) != text
    ]


def settable(text: bytes) -> str:
    """What has to be written so that a file shows this again: the choice in brackets, or all of it."""
    words = text.decode("utf-8", "replace")
    chosen = re.search(r"\[(\S+)\]", words)
    return chosen.group(1) if chosen else words.strip()


def twin_of(path: str) -> str:
    """The other face of a setting; empty when it has one only."""
    return {**TWINS, **{right: left for left, right in TWINS.items()}}.get(path, "")


def _is_idle_face(path: str, wanted: Texts) -> bool:
    return bool(twin_of(path)) and wanted[path].strip() == b"0"


def _names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def _shown(text: bytes | None) -> str:
    return "nothing" if text is None else repr(text.decode("utf-8", "replace"))
