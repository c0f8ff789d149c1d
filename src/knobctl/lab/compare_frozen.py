"""The sources of the searchers in, their hash out; and whether they are still the ones that were frozen.

What is learned from the locked machines must not flow back into the searchers. So the locked machines are played only
by searchers that were frozen before: the hash of every file of ``knobctl.search`` is kept beside the recorded sweeps.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path

from knobctl.errors import StoreError, UsageError


@dataclass(frozen=True)
class Frozen:
    """Searchers as they were frozen.

    Attributes:
        sha256: Of their sources.
        version: Of knobctl.
        date: On which that was done.
    """

    sha256: str
    version: str
    date: str


def sources_hash(folder: Path | None = None) -> str:
    """SHA-256 over the names and contents of all files of the searchers, in the order of their names."""
    root = folder or Path(str(resources.files("knobctl.search")))
    files = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.relative_to(root).as_posix()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def frozen_path() -> Path:
    """Where the hash is kept."""
    return Path(str(resources.files("knobctl.lab"))) / "data" / "frozen.json"


def freeze(path: Path | None = None, folder: Path | None = None) -> Frozen:
    """Freezes the searchers as they are now.

    Raises:
        StoreError: It cannot be written.
    """
    frozen = Frozen(sources_hash(folder), metadata.version("knobctl"), datetime.now(UTC).date().isoformat())
    place = path or frozen_path()
    try:
        place.write_text(json.dumps(asdict(frozen), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{place} cannot be written: {error}", "Freeze from a checkout that you may write.") from None
    return frozen


def require_frozen(path: Path | None = None, folder: Path | None = None) -> Frozen:
    """What was frozen, when the searchers are still the same.

    Raises:
        UsageError: They are not, or never were frozen.
        StoreError: The file holds something else.
    """
    place, thaw = path or frozen_path(), "Choose --split development, or freeze the searchers anew with --freeze."
    if not place.exists():
        raise UsageError("the searchers were never frozen, and the locked machines are for frozen ones", thaw)
    try:
        frozen = Frozen(**json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{place} does not say what was frozen: {error}", "Write it anew with --freeze.") from None
    now = sources_hash(folder)
    if now != frozen.sha256:
        raise UsageError(
            f"the searchers have changed since they were frozen on {frozen.date}: {now[:12]} instead of "
            f"{frozen.sha256[:12]}",
            thaw,
        )
    return frozen
