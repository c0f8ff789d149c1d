"""The write-ahead journal: what was found, what is about to be written, what was seen afterwards.

One JSON object per line with a checksum. Everything that a restore needs is on the disk (fsync of file and folder)
before the kernel is touched. A torn last line is dropped: its write had not begun. The same lines go to the watcher,
so that a journal that is damaged during the run costs nothing as long as one of the two processes lives.
"""

import errno
import json
import os
import zlib
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from knobctl.agent.places import sync_folder

MODE = 0o644


@dataclass
class FileHistory:
    """One kernel file in a run.

    Attributes:
        path: The file.
        found: Text that was found, as it must be written to bring it back.
        active: Whether a restore writes it; the idle face of a twin is only compared.
        seen: Text after the last write of this run, as far as it is known.
        pending: A write was announced whose outcome was not recorded.
    """

    path: str
    found: str
    active: bool = True
    seen: Optional[str] = None
    pending: bool = False


def choose_face(faces: Sequence[FileHistory]) -> None:
    """Of a twin's faces a restore writes the one that is in use.

    Where both read 0 that is the share: the kernel refuses a 0 in bytes, although it begins with one there.
    """
    unused = all(face.found == "0" for face in faces)
    for face in faces:
        face.active = face.found != "0" or (unused and not face.path.endswith("bytes"))


@dataclass
class History:
    """Everything that a journal says.

    Attributes:
        begin: The first entry: session, boot_id, folder, uid and gid of its user, whether that is the caller, pid,
            started.
        files: Every file that was or may have been written, in the order of their first write.
    """

    begin: Dict[str, Any] = field(default_factory=dict)
    files: Dict[str, FileHistory] = field(default_factory=dict)


class Journal:
    """An open journal that is appended to.

    Args:
        path: Its file; the folder must exist.
        copy: Called with every line that is on the disk.

    Raises:
        OSError: It cannot be created (a full or read-only disk).
    """

    def __init__(self, path: str, copy: Optional[Callable[[bytes], None]] = None) -> None:
        self.path = path
        self._copy = copy
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        self._torn = os.fstat(self._handle).st_size > 0
        sync_folder(os.path.dirname(path))

    def append(self, *entries: Dict[str, Any], durable: bool = True) -> None:
        """Adds entries in one write.

        Raises:
            OSError: They could not be written; then nothing may be written to the kernel.
        """
        lines = b"".join(_line(entry) for entry in entries)
        data = b"\n" + lines if self._torn else lines  # a last line that was cut off must not swallow the next one
        size = os.fstat(self._handle).st_size
        try:
            if os.write(self._handle, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
            if durable:
                os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, size)  # half of an announcement must not count later
            raise
        self._torn = False
        if self._copy is not None:
            self._copy(lines)

    def close(self) -> None:
        """Closes the file and leaves it where it is."""
        os.close(self._handle)


def read(path: str, copy: bytes = b"") -> Optional[History]:
    """What a journal says; None when there is none, or when it is empty.

    Args:
        path: Its file.
        copy: The same lines as they came another way; they count when the file holds fewer that are whole.

    Raises:
        OSError: The file exists and cannot be read, and there is no copy.
    """
    content = b""
    try:
        with open(path, "rb") as handle:
            content = handle.read()
    except OSError as error:
        if not copy and not isinstance(error, FileNotFoundError):
            raise
    history = History()
    for entry in max(_entries(content), _entries(copy), key=len):
        _take(history, entry)
    return history if history.begin or history.files else None


def text(history: History, now: Mapping[str, str]) -> str:
    """A journal about files of which some are yet to be put back.

    Args:
        history: What the journal said.
        now: The texts of those files now, which are ours: what differs from them later is somebody else's choice. Empty
            for a file that cannot be read. All others are back, and only what the kernel moves will be put back again.
    """
    entries = [history.begin]
    for path, entry in history.files.items():
        entries.append({"kind": "found", "path": path, "text": entry.found, "active": entry.active})
        if path in now:
            seen = {"kind": "seen", "path": path, "text": now[path]}
            entries.append(seen if now[path] else {"kind": "intent", "path": path})
    return b"".join(map(_line, entries)).decode("ascii")


def _take(history: History, entry: Dict[str, Any]) -> None:
    kind = entry.get("kind")
    path = entry.get("path")
    if kind == "begin":
        history.begin = entry
    elif not isinstance(path, str):
        return
    elif kind == "found" and "text" in entry:
        history.files.setdefault(path, FileHistory(path, str(entry["text"]), bool(entry.get("active", True))))
    elif path in history.files and kind == "intent":
        history.files[path].pending = True
    elif path in history.files and kind == "seen" and "text" in entry:
        history.files[path].seen = str(entry["text"])
        history.files[path].pending = False


def _line(entry: Dict[str, Any]) -> bytes:
    body = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    return b"%08x %s\n" % (zlib.crc32(body.encode("ascii")), body.encode("ascii"))


def _entries(content: bytes) -> List[Dict[str, Any]]:
    entries = []
    for line in content.split(b"\n"):
        checksum, _, body = line.partition(b" ")
        if b"%08x" % zlib.crc32(body) != checksum:
            continue
        try:
            entry = json.loads(body)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries
