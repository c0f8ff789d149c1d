"""Sessions of comparisons in, one JSON file out, and back: from it everything that is said about them is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from knobctl.errors import StoreError
from knobctl.lab.compare_case import COLUMNS, Case, Played, row_of, row_read
from knobctl.lab.study_file import write_whole

FORMAT = 1


@dataclass(frozen=True)
class CompareRecord:
    """The sessions of one split.

    Attributes:
        command: That plays them again.
        version: Of knobctl.
        sources: Hash of the sources of the searchers.
        date: On which it was begun.
        machine: On which it was played, in words; of several, each once, with ``; `` between them.
        sessions: What came of each case.
    """

    command: str
    version: str
    sources: str
    date: str
    machine: str
    sessions: Mapping[Case, Played] = field(default_factory=dict)

    def with_sessions(self, sessions: Mapping[Case, Played]) -> CompareRecord:
        """The same comparison with these sessions."""
        return replace(self, sessions=dict(sessions))


def read_comparisons(path: Path) -> dict[str, CompareRecord]:
    """The comparisons in a file by their split; none when there is no such file.

    Raises:
        StoreError: It cannot be read, or holds something else.
    """
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}, and this version reads {FORMAT}")
        return {name: _record(section) for name, section in document["splits"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} holds no comparison: {error}", "Give another file, or remove this one.") from None


def write_comparisons(path: Path, records: Mapping[str, CompareRecord]) -> None:
    """Writes a file whole or not at all, one session a line.

    Raises:
        StoreError: It cannot be written.
    """
    sections = [f"{json.dumps(name)}: {_section(record)}" for name, record in records.items()]
    write_whole(path, '{"format": %d, "splits": {\n%s\n}}\n' % (FORMAT, ",\n".join(sections)))


_HEAD = ("command", "version", "sources", "date", "machine")


def _record(section: Mapping[str, Any]) -> CompareRecord:
    if tuple(section["columns"]) != COLUMNS:
        raise ValueError("its columns are those of another version")
    head = {name: str(section[name]) for name in _HEAD}
    return CompareRecord(**head, sessions=dict(row_read(row) for row in section["sessions"]))


def _section(record: CompareRecord) -> str:
    head = {**{name: getattr(record, name) for name in _HEAD}, "columns": list(COLUMNS)}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    rows = ",\n".join(json.dumps(row_of(*each), separators=(",", ":")) for each in record.sessions.items())
    return '{%s, "sessions": [\n%s\n]}' % (", ".join(lines), rows)
