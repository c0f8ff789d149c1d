"""Packs the programs that are root: rooms of the package and the catalogue's data in, one zipapp each out.

A file's name holds a hash of its content, and the content depends on nothing but the sources, so an old program is
never run by a new main program.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import tempfile
import zipfile
from importlib import resources
from pathlib import Path

from knobctl.errors import TargetError
from knobctl.knobs.files import records

AGENT, PERMANENT = "agent", "permanent"
INSTALLED_AGENT = Path("/usr/local/libexec/knobctl/knobctl-agent")
"""Where `knobctl doctor --fix` puts the agent, for users who may run it as root without a password."""

_ROOMS = {
    AGENT: ("knobctl.agent", "knobctl.knobs"),
    PERMANENT: ("knobctl.permanent", "knobctl.agent", "knobctl.knobs"),
}
_STAYS = ("files.py", "space.py", "couplings.py")
"""What of the knobs only the main program needs."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_INTERPRETER = b"#!/usr/bin/python3 -IS\n"


@functools.cache
def packed(program: str) -> bytes:
    """The content of :data:`AGENT` or :data:`PERMANENT`; executable by a bare python3."""
    files = {
        "__main__.py": f"import sys\nfrom knobctl.{program}.__main__ import main\nsys.exit(main())\n",
        "knobctl/__init__.py": '"""The part of knobctl that runs as root."""\n',
        "knobctl/knobs/catalogue.json": json.dumps(records(), separators=(",", ":"), ensure_ascii=True),
    }
    for room in _ROOMS[program]:
        for entry in resources.files(room).iterdir():
            if entry.name.endswith(".py") and entry.name not in _STAYS:
                files[f"{room.replace('.', '/')}/{entry.name}"] = entry.read_text(encoding="utf-8")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name])
    return _INTERPRETER + stream.getvalue()


def install(program: str, folder: Path) -> Path:
    """Writes a zipapp into a folder, unless it is there already, and removes older ones. Returns its path.

    Raises:
        TargetError: It cannot be written.
    """
    content = packed(program)
    path = folder / f"{program}-{hashlib.sha256(content).hexdigest()[:16]}.pyz"
    try:
        if path.is_file() and path.read_bytes() == content:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            os.fchmod(out.fileno(), 0o755)
        Path(fresh).replace(path)
    except OSError as error:
        raise TargetError(
            f"cannot write the {program} program to {path}: {error.strerror}",
            "Free some space, or set KNOBCTL_STATE_DIR.",
        ) from None
    for old in folder.glob(f"{program}-????????????????.pyz"):
        if old != path:
            with contextlib.suppress(OSError):
                old.unlink()  # a process that runs it has read it already
    return path


def installed_agent() -> Path | None:
    """The installed agent, when it is this version's and only root could have written it; otherwise None."""
    try:
        folder, file = INSTALLED_AGENT.parent.stat(), INSTALLED_AGENT.lstat()
        safe = folder.st_uid == file.st_uid == 0 and not (folder.st_mode | file.st_mode) & 0o022
        return INSTALLED_AGENT if safe and INSTALLED_AGENT.read_bytes() == packed(AGENT) else None
    except OSError:
        return None
