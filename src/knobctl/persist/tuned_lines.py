"""The TuneD profiles in force and those that they include in; every line that sets a kernel file of a change out.

Beside the sections ``[sysctl]`` and ``[sysfs]`` the options of ``[vm]``, ``[disk]`` and ``[cpu]`` that write knobs of
the catalogue are known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from knobctl.permanent.dropin import PROC, SYSCTL_FILE, TMPFILES_FILE
from knobctl.permanent.tuned import PROFILE, Tuned
from knobctl.persist.conflict import Conflict, Subject
from knobctl.persist.reading import Reader
from knobctl.persist.sysctl_lines import OUR_PROFILE, path_of

PROGRAM = "TuneD"
_HUGE = "/sys/kernel/mm/transparent_hugepage/"
_OPTIONS = {
    ("vm", "transparent_hugepages"): _HUGE + "enabled",
    ("vm", "transparent_hugepage"): _HUGE + "enabled",
    ("vm", "transparent_hugepage.defrag"): _HUGE + "defrag",
    **{("vm", f"dirty_{name}"): f"{PROC}vm/dirty_{name}"
       for name in ("ratio", "bytes", "background_ratio", "background_bytes")},
    ("disk", "elevator"): "/sys/block/*/queue/scheduler",
    ("disk", "readahead"): "/sys/block/*/queue/read_ahead_kb",
    ("cpu", "governor"): "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
}  # fmt: skip


@dataclass
class _Section:
    kind: str
    lines: list[tuple[int, str, str]] = field(default_factory=list)


def conflicts(subjects: Sequence[Subject], reader: Reader, tuned: Tuned, *, by_profile: bool) -> list[Conflict]:
    """Conflicts with the profiles that are in force.

    Args:
        subjects: The kernel files of the change.
        reader: The machine's files.
        tuned: This machine's TuneD.
        by_profile: The change is a profile that includes them, and overrides them.
    """
    if not tuned.in_charge():
        return []
    found = []
    for file, number, kind, key, value in _settings(tuned.active(), tuned, reader, set()):
        path = _OPTIONS.get((kind, key)) or {"sysctl": path_of(key), "sysfs": os.path.normpath(key)}.get(kind, "")
        for subject in subjects:
            relation = subject.relation(path)
            if relation is None:
                continue
            proc = subject.path.startswith(PROC)
            over = OUR_PROFILE if by_profile else SYSCTL_FILE if proc else TMPFILES_FILE
            # TuneD sets its profile after the boot has read all drop-ins, and reads sysctl.d again only when told to.
            wins = not by_profile and not (proc and tuned.reapplies())
            found.append(Conflict(subject.name, file, number, key, value, relation, over, (PROGRAM,) if wins else ()))
    return found


def _settings(
    names: Sequence[str], tuned: Tuned, reader: Reader, seen: set[str]
) -> Iterator[tuple[str, int, str, str, str]]:
    for name in names:
        file = next(
            (
                path
                for folder in reversed(tuned.folders())
                if (path := f"{folder}/{PurePosixPath(name).name}/tuned.conf") not in seen and reader.exists(path)
            ),
            None,
        )
        if file is None:
            continue
        seen.add(file)
        for section in _sections(reader.lines(file)):
            for number, key, value in section.lines:
                if (section.kind, key) == ("main", "include"):
                    yield from _settings(re.split(r"\s*[,;]\s*", value), tuned, reader, seen)
                elif name != PROFILE:
                    yield file, number, section.kind, key, value


def _sections(lines: Sequence[str]) -> list[_Section]:
    """The sections of a profile, each with its type, which is its name unless it says otherwise."""
    sections = [_Section("")]
    for number, raw in enumerate(lines, start=1):
        line = raw.partition("#")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            sections.append(_Section(line[1:-1].strip()))
        elif "=" in line:
            key, _, value = line.partition("=")
            if key.strip() == "type":
                sections[-1].kind = value.strip()
            else:
                sections[-1].lines.append((number, key.strip(), " ".join(value.split())))
    return sections
