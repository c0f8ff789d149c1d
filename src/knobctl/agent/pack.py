"""Packs the agent: this room, the ``knobs`` room and the catalogue's data in, one zipapp out.

The only module of this room that stays with the main program. The file's name holds a hash of its content, and the
content depends on nothing but the sources, so an old agent is never run by a new program.
"""

from __future__ import annotations

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

_ROOMS = {"knobctl.agent": ("pack.py",), "knobctl.knobs": ("files.py",)}
_EPOCH = (1980, 1, 1, 0, 0, 0)


@functools.cache
def packed() -> bytes:
    """The zipapp's content."""
    files = {
        "__main__.py": "import sys\nfrom knobctl.agent.__main__ import main\nsys.exit(main())\n",
        "knobctl/__init__.py": '"""The part of knobctl that runs as root."""\n',
        "knobctl/knobs/catalogue.json": json.dumps(records(), separators=(",", ":"), ensure_ascii=True),
    }
    for room, left_out in _ROOMS.items():
        for entry in resources.files(room).iterdir():
            if entry.name.endswith(".py") and entry.name not in left_out:
                files[f"{room.replace('.', '/')}/{entry.name}"] = entry.read_text(encoding="utf-8")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name])
    return stream.getvalue()


def install(folder: Path) -> Path:
    """Writes the zipapp into a folder, unless it is there already. Returns its path.

    Raises:
        TargetError: It cannot be written.
    """
    content = packed()
    path = folder / f"agent-{hashlib.sha256(content).hexdigest()[:16]}.pyz"
    try:
        if path.is_file() and path.read_bytes() == content:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            os.fchmod(out.fileno(), 0o755)
        os.replace(fresh, path)
    except OSError as error:
        raise TargetError(
            f"cannot write the agent to {path}: {error.strerror}", "Free some space, or set KNOBCTL_STATE_DIR."
        ) from None
    return path
