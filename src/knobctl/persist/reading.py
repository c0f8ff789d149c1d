"""Folders of drop-in files in, which files count and what they say out, as systemd and its relatives read them.

Of two files with the same name only the one in the more important folder counts, wherever it is sorted; a link to
``/dev/null`` masks a file (sysctl.d(5), tmpfiles.d(5), udev(7)).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from knobctl.persist.conflict import Unreadable


def folders(name: str) -> tuple[str, ...]:
    """Where drop-ins of a kind (``sysctl.d``) are, from the most important folder to the least."""
    return tuple(f"{above}{name}" for above in ("/etc/", "/run/", "/usr/local/lib/", "/usr/lib/", "/lib/"))


class Reader:
    """Reads files below a root folder, and remembers what could not be read.

    Args:
        root: Folder that stands for ``/``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unreadable: list[Unreadable] = []

    def files(self, folders: Sequence[str], ending: str) -> list[str]:
        """The files that count, in the order of their names."""
        found: dict[str, str] = {}
        for folder in folders:
            try:
                names = sorted(entry.name for entry in self.below(folder).iterdir() if entry.name.endswith(ending))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self.unreadable.append(Unreadable(folder, error.strerror or str(error)))
                continue
            for name in names:
                found.setdefault(name, f"{folder}/{name}")
        return [found[name] for name in sorted(found, key=os.fsencode)]

    def lines(self, file: str) -> list[str]:
        """Its lines; none when it does not exist, is masked, or cannot be read."""
        path = self.below(file)
        if path.is_symlink() and path.readlink().is_absolute():
            path = self.below(str(path.readlink()))
        if path == self.below("/dev/null"):
            return []
        try:
            return path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            self.unreadable.append(Unreadable(file, error.strerror or str(error)))
            return []

    def exists(self, file: str) -> bool:
        """Whether it is there; what cannot be the name of a file is not."""
        try:
            self.below(file).stat()
        except (OSError, ValueError):
            return False
        return True

    def text(self, file: str) -> str | None:
        """Text of a kernel file; None when it cannot be read."""
        try:
            return self.below(file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def below(self, path: str) -> Path:
        """Where a file is, root folder included."""
        return self.root / path.lstrip("/")
