"""The sessions of studies in, one JSON file out, and back: from it everything that is said about them is computed."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from knobctl.errors import StoreError
from knobctl.lab.study_case import COLUMNS, Case, Played, row_of, row_read

FORMAT = 1


@dataclass(frozen=True)
class StudyRecord:
    """A study as it was played.

    Attributes:
        command: That plays it again.
        version: Of knobctl.
        date: On which it was begun.
        machine: On which it was played, in words; no number depends on it.
        sessions: What came of each case.
    """

    command: str
    version: str
    date: str
    machine: str
    sessions: Mapping[Case, Played] = field(default_factory=dict)

    def with_sessions(self, sessions: Mapping[Case, Played]) -> StudyRecord:
        """The same study with these sessions."""
        return replace(self, sessions=dict(sessions))


def read_studies(path: Path) -> dict[str, StudyRecord]:
    """The studies in a file by name; none when there is no such file.

    Raises:
        StoreError: It cannot be read, or holds something else.
    """
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}, and this version reads {FORMAT}")
        return {name: _study(section) for name, section in document["studies"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} holds no studies: {error}", "Give another file, or remove this one.") from None


def write_studies(path: Path, studies: Mapping[str, StudyRecord]) -> None:
    """Writes a file whole or not at all, one session a line.

    Raises:
        StoreError: It cannot be written.
    """
    sections = [f"{json.dumps(name)}: {_section(study)}" for name, study in studies.items()]
    write_whole(path, '{"format": %d, "studies": {\n%s\n}}\n' % (FORMAT, ",\n".join(sections)))


def this_machine() -> str:
    """Where something was played, in words."""
    return f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def write_whole(path: Path, text: str) -> None:
    """Writes a file whole or not at all.

    Raises:
        StoreError: It cannot be written.
    """
    aside = path.with_name(f"{path.name}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}", "Give another file.") from None


def _study(section: Mapping[str, Any]) -> StudyRecord:
    if tuple(section["columns"]) != COLUMNS:
        raise ValueError("its columns are those of another version")
    head = {name: str(section[name]) for name in ("command", "version", "date", "machine")}
    return StudyRecord(**head, sessions=dict(row_read(row) for row in section["sessions"]))


def _section(study: StudyRecord) -> str:
    head = {"command": study.command, "version": study.version, "date": study.date, "machine": study.machine}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in {**head, "columns": list(COLUMNS)}.items()]
    rows = ",\n".join(
        json.dumps(row_of(case, played), separators=(",", ":")) for case, played in study.sessions.items()
    )
    return '{%s, "sessions": [\n%s\n]}' % (", ".join(lines), rows)
