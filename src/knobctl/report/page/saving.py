"""A page and a path in, a file out: whole or not at all, and never in the place of something else."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from knobctl.errors import KnobctlError, UsageError
from knobctl.report.page.page import MARK

_LOOKED_AT = 4096


def save(page: str, path: Path, *, force: bool = False) -> int:
    """Writes the page and returns its size in bytes. An earlier report of the same name is replaced.

    Args:
        page: Its text.
        path: The file.
        force: Replace whatever is there.

    Raises:
        UsageError: The path is a folder, its folder does not exist, or it is a file that is no report.
        KnobctlError: It cannot be written (a full disk, for instance); what was there before is unharmed.
    """
    data = page.encode("utf-8")
    try:
        mode = _mode(path)
        if mode is not None and stat.S_ISDIR(mode):
            raise UsageError(f"{path} is a folder", "Name a file, such as report.html.")
        if mode is not None and not stat.S_ISREG(mode):
            path.write_bytes(data)  # a pipe or a device is written to, not replaced
            return len(data)
        if mode is not None and not force and not _is_report(path):
            raise UsageError(f"{path} exists and is no report of knobctl", "Choose another name, or add --force.")
        _replace(data, path)
    except FileNotFoundError:
        raise UsageError(f"there is no folder {path.parent}", "Make it, or name another.") from None
    except OSError as error:
        raise KnobctlError(
            f"cannot write the report {path}: {error.strerror}", "Name a file in a folder that can be written."
        ) from None
    return len(data)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        beginning = file.read(_LOOKED_AT)
    return not beginning or MARK.encode() in beginning


def _replace(data: bytes, path: Path) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
