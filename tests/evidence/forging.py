"""What somebody can do to a bundle: change members and make the hashes again, or not."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

from knobctl.evidence.bundle import MANIFEST
from knobctl.evidence.reading import fingerprint


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def zip_again(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def forge(path: Path, changes: dict[str, bytes], **manifest: Any) -> Path:
    """Changes members of a bundle, and makes the manifest as if they had always been so."""
    members = members_of(path) | changes
    document = json.loads(members.pop(MANIFEST)) | manifest
    document["members"] = [
        {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(members.items())
    ]
    document["fingerprint"] = fingerprint(document)
    return zip_again(path, members | {MANIFEST: json.dumps(document).encode()})


def changed_json(content: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(content) | changes).encode()
