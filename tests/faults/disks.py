"""A private disk for the journal: a small file system that only the run sees in place of the state folder."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.machine import STATE_FOLDER

FOR_LETTING_GO_SECONDS = 5.0
_OVERLAY = 'mount --bind "$0" "$1" && shift && exec "$@"'


class Disk:
    """A mounted disk.

    Args:
        kind: ``tmpfs`` (1 MiB) or ``ext4`` (4 MiB in a file, becomes read-only at the first error).
        folder: Empty folder to make it in.

    Raises:
        subprocess.CalledProcessError: It could not be made.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.folder = folder / "disk"
        self.kind = kind
        self._image = folder / "image"
        self.folder.mkdir()
        if kind == "ext4":
            with self._image.open("wb") as out:
                out.truncate(4 << 20)
            _call("mkfs.ext4", "-q", "-m", "0", str(self._image))
        self._mount()

    def seen_by(self, argv: Sequence[str]) -> list[str]:
        """A command line that sees this disk in place of the state folder; the process id stays the same."""
        return ["unshare", "-m", "sh", "-c", _OVERLAY, str(self.folder), STATE_FOLDER, *argv]

    def fill(self) -> None:
        """Takes all space that is left."""
        with (self.folder / "ballast").open("ab", buffering=0) as out:
            for size in (65536, 4096, 512, 1):
                try:
                    while True:
                        out.write(b"x" * size)
                except OSError:
                    continue

    def fail(self) -> None:
        """Reports an error of the disk to its file system, which becomes read-only."""
        (self._file_system() / "trigger_fs_error").write_text("1")

    def repair(self) -> None:
        """Makes it writable again; every process that sees it must have ended."""
        (self.folder / "ballast").unlink(missing_ok=True) if self.kind == "tmpfs" else self._mount_again()

    def remove(self) -> None:
        """Unmounts it."""
        _call("umount", "--lazy", str(self.folder))

    def _mount(self) -> None:
        if self.kind == "tmpfs":
            _call("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.folder))
        else:
            _call("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.folder))

    def _mount_again(self) -> None:
        file_system = self._file_system()
        _call("umount", str(self.folder))
        deadline = time.monotonic() + FOR_LETTING_GO_SECONDS
        while file_system.exists() and time.monotonic() < deadline:
            time.sleep(0.01)  # the kernel takes down the mounts of ended processes a little later
        self._mount()

    def _file_system(self) -> Path:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        return Path("/sys/fs/ext4", *[Path(mount[0]).name for mount in mounts if mount[1] == str(self.folder)])


def can_make(kind: str) -> str:
    """Why such a disk cannot be made here; empty when it can."""
    needed = ("unshare", "mount", "mkfs.ext4") if kind == "ext4" else ("unshare", "mount")
    missing = [program for program in needed if not shutil.which(program)]
    if not missing and kind == "ext4" and not Path("/dev/loop-control").exists():
        missing = ["loop devices"]
    return f"{', '.join(missing)} missing here" if missing else ""


def _call(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
