"""The machine's tmpfiles.d files in, every line that writes a kernel file of a change out.

How ``systemd-tmpfiles`` decides (tmpfiles.d(5), and tried with version 252): files are sorted by name whatever the
folder. Of two lines of type ``w`` with the same path the one in the **earliest** file counts, and the later one is
ignored. A line that reaches the same kernel file by a pattern or through a link is another line: both are carried out,
and the later one wins. It does not say whether it runs before or after systemd-sysctl.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from knobctl.permanent.dropin import PROC, SYSCTL_FILE, TMPFILES_FILE
from knobctl.persist.conflict import Conflict, Order, Subject
from knobctl.persist.reading import Reader, folders
from knobctl.persist.sysctl_lines import OUR_PROFILE

PROGRAM = "systemd-tmpfiles"
_OWN_NAME = PurePosixPath(TMPFILES_FILE).name
_WRITES = re.compile(r"w[-+!=~^$?]*")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MOST_SPELLINGS = 4096
"""Of one pattern with alternatives; nobody writes more, and two dozen pairs of braces mean millions."""


def conflicts(subjects: Sequence[Subject], reader: Reader, *, by_profile: bool) -> tuple[list[Conflict], list[Order]]:
    """Conflicts, and in which order the files that hold them are read.

    Args:
        subjects: The kernel files of the change.
        reader: The machine's files.
        by_profile: The change is a TuneD profile, which is set after all of these.
    """
    found = []
    for file in reader.files(folders("tmpfiles.d"), ".conf"):
        name = PurePosixPath(file).name
        if name == _OWN_NAME and not by_profile:
            continue  # ours replaces it
        for number, path, value in _writes(reader.lines(file)):
            for subject in subjects:
                relation = _relation(path, subject, reader)
                if relation is None:
                    continue
                later = os.fsencode(name) > os.fsencode(_OWN_NAME)
                wins = subject.path.startswith(PROC) or (not later if relation == "same" else later)
                over = SYSCTL_FILE if subject.path.startswith(PROC) else TMPFILES_FILE
                found.append(
                    Conflict(
                        subject.name, file, number, path, value, relation,
                        OUR_PROFILE if by_profile else over, (PROGRAM,) if wins and not by_profile else (),
                    )
                )  # fmt: skip
    files = list(dict.fromkeys(conflict.file for conflict in found))
    if by_profile or not any(conflict.over == TMPFILES_FILE for conflict in found):
        return found, []
    order = sorted([*files, TMPFILES_FILE], key=lambda file: os.fsencode(PurePosixPath(file).name))
    return found, [Order(PROGRAM, tuple(order), "first")]


def _writes(lines: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Number, path and argument of every line that writes into a file that exists."""
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        kind, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        if not _WRITES.fullmatch(kind):
            continue
        try:
            path, *fields = shlex.split(rest, posix=True)
        except ValueError:
            continue  # systemd-tmpfiles refuses it too
        if path.startswith("/"):  # systemd-tmpfiles refuses any other
            yield number, os.path.normpath(path.replace("%%", "%")), " ".join(fields[4:])


def _relation(pattern: str, subject: Subject, reader: Reader) -> str | None:
    if pattern == subject.path or pattern in subject.movers:
        return subject.relation(pattern)
    real = os.path.realpath(reader.below(subject.path))
    below = glob.escape(str(reader.root))
    for spelled in itertools.islice(_without_braces(pattern), _MOST_SPELLINGS):
        if any(os.path.realpath(file) == real for file in glob.iglob(below + spelled)):  # noqa: PTH207 - pathlib refuses odd patterns
            return "link" if spelled == pattern and not glob.has_magic(pattern) else "glob"
    return None


def _without_braces(pattern: str) -> Iterator[str]:
    """A pattern with alternatives as patterns without: ``a{b,c}`` is ``ab`` and ``ac``."""
    inner = _BRACES.search(pattern)
    if inner is None:
        yield pattern
        return
    before, after = pattern[: inner.start()], pattern[inner.end() :]
    for choice in inner.group(1).split(","):
        yield from _without_braces(before + choice + after)
