"""A file from anywhere in, a bundle out, or one sentence that says what is wrong with it.

Nothing is unpacked and nothing is written. Sizes are bounded before anything is read, only the known members are
accepted, each has to be what the manifest says, and each value has to be of its type.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import math
import os
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from knobctl.errors import PlanError, StoreError, UsageError
from knobctl.events import Event, PairMeasured, Trial
from knobctl.evidence.bundle import (
    EVENTS,
    FACTS,
    FORMAT,
    KINDS,
    LIMITS,
    MANIFEST,
    PAIRS,
    PLAN,
    RESULT,
    SESSION,
    SUFFIX,
    TRIALS,
    Bundle,
    Manifest,
    SessionDocument,
)
from knobctl.plan import TuningPlan, parse_plan
from knobctl.plan_text import shown
from knobctl.store import Result
from knobctl.target import HostFacts

LARGEST = sum(LIMITS.values()) + 100_000
"""More bytes than this are no bundle."""

AGAIN = "Get the file again from where it came."

_END = struct.Struct("<4s4H2LH")
_END_MARK, _LARGE_MARK, _LARGE_BYTES = b"PK\x05\x06", b"PK\x06\x07", 20
_LARGEST_DIRECTORY = 10_000
_ENCRYPTED = 0x1
_LONGEST_NUMBER = 40
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_NOT_READABLE = (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError, struct.error)

_Record = TypeVar("_Record")


class _Bad(Exception):
    """What is wrong with a member."""


def read_bundle(path: Path) -> Bundle:
    """Reads a bundle and checks it against its own hashes.

    Raises:
        UsageError: There is no such file.
        StoreError: It is no bundle, is damaged, was changed, or has a format that this knobctl does not know. The
            message names the member.
    """
    return _Reader(path).bundle()


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over a manifest without its fingerprint: keys sorted, no blanks, ASCII.

    Args:
        manifest: As JSON types.
    """
    record = {name: value for name, value in manifest.items() if name != "fingerprint"}
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class _Reader:
    """One file while it is read; every error that leaves it names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members = self._unzipped(self._bytes())
        self.manifest = self._checked_manifest()

    def bundle(self) -> Bundle:
        self._check_members()
        return Bundle(
            session=self._session(),
            plan=self._plan(),
            facts=self._document(FACTS, HostFacts),
            trials=self._lines(TRIALS, Trial),
            pairs=self._lines(PAIRS, PairMeasured),
            events=self._events(),
            result=self._document(RESULT, Result),
            written_with=self.manifest.written_with,
            fingerprint=self.manifest.fingerprint,
        )

    def _bytes(self) -> bytes:
        try:
            if self._path.exists() and not self._path.is_file():
                raise UsageError(f"{self._path} is no ordinary file", f"Name a bundle: SESSION{SUFFIX}.")
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                data = file.read(size) if size <= LARGEST else b""
        except FileNotFoundError:
            raise UsageError(
                f"there is no file {self._path}", "`knobctl report SESSION --bundle FILE` writes one."
            ) from None
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read {self._path}: {getattr(error, 'strerror', '') or error}") from None
        if size > LARGEST:
            raise self._error(f"it has more than {LARGEST} bytes, which no bundle has", "Name a bundle.")
        return data

    def _unzipped(self, data: bytes) -> dict[str, bytes]:
        """The members by name. The directory is bounded before zipfile, which would read any, sees it."""
        end = data[-_END.size :]
        if len(end) < _END.size or not end.startswith(_END_MARK):
            raise self._error("it is no bundle, or not all of it is there", AGAIN)
        _, _, _, _, count, directory, _, _ = _END.unpack(end)
        large = data[-_END.size - _LARGE_BYTES : -_END.size].startswith(_LARGE_MARK)
        if large or count > len(LIMITS) or directory > _LARGEST_DIRECTORY:
            raise self._error(f"it has other members than the {len(LIMITS)} of a bundle", AGAIN)
        found: dict[str, bytes] = {}
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as file:
                for info in file.infolist():
                    problem = _problem(info, found)
                    if problem:
                        raise self._error(f"{shown(info.filename)} {problem}", AGAIN)
                    found[info.filename] = file.read(info)
        except _NOT_READABLE as error:
            raise self._error(f"it is damaged: {error or type(error).__name__}", AGAIN) from None
        return found

    def _checked_manifest(self) -> Manifest:
        try:
            document = _decoded(self._members.get(MANIFEST, b""))
        except _Bad as bad:
            raise self._error(f"{MANIFEST} {bad}", AGAIN) from None
        version = document.get("format")
        if version != FORMAT or isinstance(version, bool):
            wrote = shown(document.get("knobctl", "unknown"))
            raise self._error(
                f"it has format {shown(version)}, and this knobctl reads format {FORMAT}",
                f"Read it with the knobctl that wrote it ({wrote}) or a newer one.",
            )
        manifest = self._document(MANIFEST, Manifest)
        if fingerprint(document) != manifest.fingerprint:
            raise self._error(f"{MANIFEST} is not what its own fingerprint says: it was changed", AGAIN)
        return manifest

    def _check_members(self) -> None:
        listed = {member.name: member for member in self.manifest.members}
        for name in sorted(LIMITS.keys() - {MANIFEST}):
            content, member = self._members.get(name), listed.get(name)
            if content is None:
                raise self._error(f"{name} is missing", AGAIN)
            if member is None:
                raise self._error(f"{name} is not in the list of its manifest", AGAIN)
            if len(content) != member.bytes or hashlib.sha256(content).hexdigest() != member.sha256:
                raise self._error(f"{name} is not what the manifest says: it was changed or damaged", AGAIN)
        if len(self.manifest.members) != len(LIMITS) - 1:
            raise self._error(f"its manifest lists other members than the {len(LIMITS) - 1} of a bundle", AGAIN)

    def _session(self) -> SessionDocument:
        session = self._document(SESSION, SessionDocument)
        if not _KEY.fullmatch(session.id):
            raise self._error(f"{SESSION}: {shown(session.id)} is no key of a session", AGAIN)
        if session.id != self.manifest.session:
            raise self._error(f"{SESSION} is of session {session.id}, and {MANIFEST} of another one", AGAIN)
        return session

    def _plan(self) -> TuningPlan:
        try:
            return parse_plan(self._members[PLAN])
        except PlanError as error:
            raise self._error(f"{PLAN}: {error.message}", AGAIN) from None

    def _document(self, name: str, kind: type[_Record]) -> _Record:
        try:
            return _record(self._members[name], kind)
        except _Bad as bad:
            raise self._error(f"{name} {bad}", AGAIN) from None

    def _lines(self, name: str, kind: type[_Record]) -> tuple[_Record, ...]:
        return tuple(self._line(name, number, line, kind) for number, line in self._numbered(name))

    def _events(self) -> tuple[Event, ...]:
        found = []
        for number, line in self._numbered(EVENTS):
            try:
                document = _decoded(line)
            except _Bad as bad:
                raise self._error(f"{EVENTS}, line {number} {bad}", AGAIN) from None
            word = document.pop("event", None)
            kind = KINDS.get(word) if isinstance(word, str) else None
            if kind is None:
                raise self._error(f"{EVENTS}, line {number} is the unknown event {shown(word)}", AGAIN)
            found.append(self._line(EVENTS, number, json.dumps(document).encode(), kind))
        return tuple(found)

    def _line(self, name: str, number: int, line: bytes, kind: type[_Record]) -> _Record:
        try:
            return _record(line, kind)
        except _Bad as bad:
            raise self._error(f"{name}, line {number} {bad}", AGAIN) from None

    def _numbered(self, name: str) -> Sequence[tuple[int, bytes]]:
        lines = self._members[name].split(b"\n")
        if lines[-1]:
            raise self._error(f"{name} ends in the middle of a line", AGAIN)
        return list(enumerate(lines[:-1], 1))

    def _error(self, what: str, hint: str) -> StoreError:
        return StoreError(f"{self._path}: {what}", hint)


def _problem(info: zipfile.ZipInfo, found: Mapping[str, bytes]) -> str:
    """Why a member is not read; empty when it is one of a bundle's and no larger than it may be."""
    if info.filename not in LIMITS:
        return "is no member of a bundle"
    if info.filename in found:
        return "stands twice in it"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        return "is compressed, and the members of a bundle are not"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted, and the members of a bundle are not"
    if info.file_size > LIMITS[info.filename]:
        return f"has {info.file_size} bytes, more than {LIMITS[info.filename]}"
    return ""


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _record(content: bytes, kind: type[_Record]) -> _Record:
    """A record of this type from JSON, closed to unknown keys, every number finite.

    Raises:
        _Bad: It is none.
    """
    document = _decoded(content)
    unknown = document.keys() - {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise _Bad(f"has the unknown key {shown(min(unknown))}")
    try:
        record: _Record = _adapter(cast(Any, kind)).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(part if str(part).isidentifier() else shown(part) for part in map(str, first["loc"]))
        raise _Bad(f"is not as it should be: {place}: {first['msg']}") from None
    return record


def _decoded(content: bytes) -> dict[str, Any]:
    """The object in a JSON text.

    Raises:
        _Bad: There is none, a key stands twice, or a number is none.
    """
    try:
        document = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_without_doubles,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except RecursionError:
        raise _Bad("is nested too deeply") from None
    except ValueError:
        raise _Bad("is no JSON") from None
    if not isinstance(document, dict):
        raise _Bad("is no JSON object")
    return document


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise _Bad("has a key twice in one object")
    return record


def _no_constant(word: str) -> NoReturn:
    raise _Bad(f"holds {word}, which is no number")


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise _Bad(f"holds a number of {len(digits)} digits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _Bad("holds a number that is too large")
    return number
