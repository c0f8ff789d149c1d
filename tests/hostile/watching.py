"""What this process does while somebody watches: programs started, files changed, addresses called.

Python's own audit events are the witness, so that nothing has to be replaced, and no module can do anything unseen by
using another function for it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROGRAMS = {
    "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.system", "pty.spawn",
}  # fmt: skip
_CHANGES = {
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate",
    "os.utime", "os.setxattr", "shutil.rmtree", "sqlite3.connect",
}  # fmt: skip


@dataclass
class Seen:
    """What happened.

    Attributes:
        programs: Arguments of every program that was started.
        changed: Every path that was opened for writing, made, renamed or removed; also the databases.
        called: (host, port) of every connection.
    """

    programs: list[tuple[str, ...]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    called: list[tuple[str, int]] = field(default_factory=list)


_seen: Seen | None = None
_lock = threading.Lock()
_installed = False


@contextmanager
def watching() -> Iterator[Seen]:
    """Watches the whole process while the context is open."""
    global _seen, _installed
    if not _installed:  # there is no way to take an audit hook away again
        sys.addaudithook(_hear)
        _installed = True
    with _lock:
        _seen = Seen()
        seen = _seen
    try:
        yield seen
    finally:
        with _lock:
            _seen = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    seen = _seen
    if seen is None:
        return
    if event in _PROGRAMS:
        seen.programs.append(_words(event, arguments))
    elif event == "open":
        path, mode, flags = arguments
        if (flags or 0) & _WRITES or (isinstance(mode, str) and set(mode) & set("wax+")):
            _note(seen, path)
    elif event in _CHANGES:
        for argument in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
            _note(seen, argument)
    elif event == "socket.connect":
        address = arguments[1]
        seen.called.append((str(address[0]), int(address[1])) if isinstance(address, tuple) else (str(address), 0))


def _words(event: str, arguments: tuple[Any, ...]) -> tuple[str, ...]:
    argv = arguments[1] if len(arguments) > 1 else arguments[:1]
    words = [argv] if isinstance(argv, str | bytes) else list(argv or ())
    return tuple(os.fsdecode(word) for word in words) or (event,)


def _note(seen: Seen, path: Any) -> None:
    if isinstance(path, str | bytes | os.PathLike):
        name = os.fsdecode(path)
        if "__pycache__" not in name and name != os.devnull:  # a module that is imported for the first time
            seen.changed.append(os.path.abspath(name) if not name.startswith(":") else name)
