"""Memories in, one file out that another machine can learn from; and such a file in, memories out, all or none.

The file is gzip. Its first line says what it is and holds the SHA-256 of everything after it; each further line is one
session. The hash shows that nothing was lost or changed on the way. It does not show who wrote it: whoever changes the
file can make the hash again.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from knobctl.errors import StoreError, UsageError
from knobctl.masking import mask_document
from knobctl.memory.documents import fingerprint_document, memory_document, memory_from_text
from knobctl.memory.left import Memory
from knobctl.plan import Line
from knobctl.plan_text import shown
from knobctl.store import ImportedMemory, Store

FORMAT = 1
"""Counts up whenever an older knobctl could misread a newer file."""

LARGEST_FILE = 32_000_000
"""Bytes of a file; more is no memory."""

LARGEST = 64_000_000
"""Bytes of what is in it."""

MOST_MEMORIES = 5000
LONGEST_LINE = 2_000_000

AGAIN = "Get the file again from where it came."

_LONGEST_HEADER = 10_000


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    knobctl_memory: Literal[1]
    written_with: Annotated[Line, Field(max_length=80)]
    sessions: Annotated[int, Field(ge=0, le=MOST_MEMORIES)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Carried:
    """What a file holds.

    Attributes:
        memories: In the order of the file.
        origin: SHA-256 of them as they stand there.
        written_with: The knobctl that wrote the file.
    """

    memories: tuple[Memory, ...]
    origin: str
    written_with: str


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        new: Keys of what is remembered from now on.
        known: Keys of what this record had already, and keeps as it was.
    """

    new: tuple[str, ...]
    known: tuple[str, ...]


def write_memories(memories: Sequence[Memory], path: Path, *, force: bool = False) -> str:
    """Writes a file, complete or not at all; the same memories give the same bytes.

    Args:
        memories: What to write.
        path: The file.
        force: Replace whatever file is there.

    Returns:
        The SHA-256 that stands in it.

    Raises:
        UsageError: Nothing is to be written, something is there already, or there is no such folder.
        StoreError: It cannot be written (a full disk, for instance).
    """
    if not memories:
        raise UsageError("there is nothing to export", "`knobctl memory list` shows what is remembered.")
    if path.exists() and not (force and path.is_file()):
        raise UsageError(f"{path} exists", "Choose another name, or overwrite a file: --force.")
    lines = b"".join(_session(memory) for memory in memories)
    if len(memories) > MOST_MEMORIES or len(lines) > LARGEST - _LONGEST_HEADER:
        raise UsageError(f"{len(memories)} sessions are too many for one file", "Name some with --session.")
    digest = hashlib.sha256(lines).hexdigest()
    header = {
        "knobctl_memory": FORMAT,
        "written_with": metadata.version("knobctl"),
        "sessions": len(memories),
        "sha256": digest,
    }
    _replace(path, gzip.compress(_line(header) + lines, mtime=0))
    return digest


def read_memories(path: Path) -> Carried:
    """Reads a file and checks all of it.

    Raises:
        UsageError: There is no such file.
        StoreError: It is no memory, is damaged, was changed, is too large, has a format that this knobctl does not
            know, or a session in it is not as it should be. The message says which, and where.
    """
    header_line, _, lines = _unpacked(path).partition(b"\n")
    header = _header(path, header_line)
    if hashlib.sha256(lines).hexdigest() != header.sha256:
        raise StoreError(f"{path}: its content is not what its own hash says: it was changed or damaged", AGAIN)
    texts = lines.split(b"\n")
    if texts.pop():
        raise StoreError(f"{path}: it ends in the middle of a line", AGAIN)
    if len(texts) != header.sessions:
        raise StoreError(f"{path}: it holds {len(texts)} sessions, and says {header.sessions}", AGAIN)
    memories: list[Memory] = []
    keys: set[str] = set()
    for number, text in enumerate(texts, 1):
        try:
            if len(text) > LONGEST_LINE:
                raise ValueError(f"has {len(text)} bytes, more than {LONGEST_LINE}")
            memory = memory_from_text(text)
        except ValueError as error:
            raise StoreError(f"{path}: session {number} of {len(texts)}: {error}", AGAIN) from None
        if memory.key in keys:
            raise StoreError(f"{path}: session {memory.key} stands twice in it", AGAIN)
        keys.add(memory.key)
        memories.append(memory)
    return Carried(tuple(memories), header.sha256, header.written_with)


def remember(store: Store, memories: Iterable[Memory], origin: str) -> Imported:
    """Keeps memories of other records in this one: all of them or, when something goes wrong, none.

    Args:
        store: This record.
        memories: What to keep. A session that this record knows already stays as it is.
        origin: Where they come from.

    Raises:
        StoreError: They cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows = [
        ImportedMemory(
            key=memory.key,
            created=memory.created,
            imported=now,
            origin=origin,
            simulated=memory.fingerprint.simulated,
            metric=memory.fingerprint.metric,
            fingerprint=json.dumps(fingerprint_document(memory.fingerprint)),
            verdict=memory.verdict,
            body=json.dumps(memory_document(memory)),
        )
        for memory in memories
    ]
    new = store.memories.keep(rows)
    return Imported(new, tuple(row.key for row in rows if row.key not in new))


def _session(memory: Memory) -> bytes:
    """One line, which :func:`read_memories` takes."""
    try:
        line = _line(mask_document(memory_document(memory)))
        memory_from_text(line)
    except ValueError as error:
        raise StoreError(
            f"what session {memory.key} left cannot be exported: {error}", "Name the other ones with --session."
        ) from None
    return line


def _line(document: Any) -> bytes:
    return (json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n").encode()


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except FileNotFoundError:
        raise UsageError(
            f"cannot write {path}: there is no folder {path.parent}", "Make it, or name another."
        ) from None
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", "Make room, or name another place.") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _unpacked(path: Path) -> bytes:
    """What is in the file, never more of it than :data:`LARGEST`."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no ordinary file", "Name what `knobctl memory export` wrote.")
        with path.open("rb") as file:
            packed = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", "`knobctl memory export FILE` writes one.") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {getattr(error, 'strerror', '') or error}") from None
    if len(packed) > LARGEST_FILE:
        raise StoreError(f"{path}: it has more than {LARGEST_FILE} bytes, which no memory has")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as unpacked:
            content = unpacked.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error):
        raise StoreError(f"{path}: it is no memory, or not all of it is there", AGAIN) from None
    if len(content) > LARGEST:
        raise StoreError(f"{path}: it unpacks to more than {LARGEST} bytes, which no memory does")
    return content


def _header(path: Path, line: bytes) -> _Header:
    if len(line) > _LONGEST_HEADER:
        raise StoreError(f"{path}: it is no memory of knobctl", AGAIN)
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or "knobctl_memory" not in document:
        raise StoreError(f"{path}: it is no memory of knobctl", AGAIN)
    version = document["knobctl_memory"]
    if version != FORMAT or isinstance(version, bool):
        wrote = shown(document.get("written_with", "unknown"))
        raise StoreError(
            f"{path}: it has format {shown(version)}, and this knobctl reads format {FORMAT}",
            f"Read it with the knobctl that wrote it ({wrote}) or a newer one.",
        )
    try:
        return _Header.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise StoreError(f"{path}: its first line: {'.'.join(map(str, first['loc']))}: {first['msg']}", AGAIN) from None
