"""The machine's udev rules in, every one that sets a kernel file of a change out.

A rule acts whenever its device appears or changes, at boot and later, so it wins over whatever was set once (udev(7)).
Whether a rule is about our device is decided by its ``KERNEL``, ``SUBSYSTEM`` and ``ATTR`` conditions; a rule with any
other condition is taken to hold.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence

from knobctl.permanent.dropin import PROC, SYSCTL_FILE, TMPFILES_FILE
from knobctl.persist.conflict import Conflict, Subject
from knobctl.persist.reading import Reader, folders
from knobctl.persist.sysctl_lines import OUR_PROFILE, path_of

PROGRAM = "systemd-udevd"
_PART = re.compile(r'([A-Z]+)(?:\{([^}]*)\})?\s*(==|!=|:=|\+=|-=|=)\s*i?"((?:[^"\\]|\\.)*)"')


def conflicts(subjects: Sequence[Subject], reader: Reader, *, by_profile: bool) -> list[Conflict]:
    """Conflicts; each of them wins.

    Args:
        subjects: The kernel files of the change.
        reader: The machine's files.
        by_profile: The change is a TuneD profile.
    """
    found = []
    for file in reader.files(folders("udev/rules.d"), ".rules"):
        for number, parts in _rules(reader.lines(file)):
            for kind, name, operator, value in parts:
                if kind not in ("ATTR", "SYSCTL") or operator not in ("=", ":="):
                    continue
                for subject in subjects:
                    if not _sets(kind, name, subject, parts, reader):
                        continue
                    over = SYSCTL_FILE if subject.path.startswith(PROC) else TMPFILES_FILE
                    found.append(
                        Conflict(
                            subject.name, file, number, f"{kind}{{{name}}}", value, "event",
                            OUR_PROFILE if by_profile else over, (PROGRAM,),
                        )
                    )  # fmt: skip
    return found


_Parts = Sequence[tuple[str, str, str, str]]


def _rules(lines: Sequence[str]) -> Iterator[tuple[int, _Parts]]:
    """Number of its first line, and the parts (key, name in braces, operator, value) of every rule."""
    rule, first = "", 0
    for number, line in enumerate(lines, start=1):
        first = first if rule else number
        rule += line.strip()
        if rule.startswith("#"):
            rule = ""
        elif rule.endswith("\\"):
            rule = rule[:-1]
        else:
            yield first, _PART.findall(rule)
            rule = ""


def _sets(kind: str, name: str, subject: Subject, parts: _Parts, reader: Reader) -> bool:
    if kind == "SYSCTL":
        return subject.relation(path_of(name)) is not None
    if not subject.path.endswith(f"/{name}"):
        return False
    device = subject.path.removesuffix(f"/{name}")
    if not reader.below(f"{device}/uevent").exists():
        return False  # no device, so udev never sees it
    return all(_holds(part, device, reader) for part in parts if part[:2] != (kind, name))


def _holds(part: tuple[str, str, str, str], device: str, reader: Reader) -> bool:
    """Whether a condition is true of a device, or cannot be told here."""
    kind, name, operator, value = part
    if operator not in ("==", "!="):
        return True
    folder = reader.below(device)
    if kind == "KERNEL":
        now = folder.name
    elif kind == "SUBSYSTEM" and (folder / "subsystem").is_symlink():
        now = (folder / "subsystem").readlink().name
    elif kind == "ATTR" and (text := reader.text(f"{device}/{name}")) is not None:
        now = text.strip()
    else:
        return True
    return any(fnmatch.fnmatchcase(now, choice) for choice in value.split("|")) == (operator == "==")
