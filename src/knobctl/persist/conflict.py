"""What a scan of a machine's files is about and what it finds: records only."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field

REMEDY = ": remove or comment out that line."
_GLOB_MARKS = "*?["
_WHAT = {
    "twin": ", the other face of {},",
    "moves": ", which moves {},",
    "glob": ", which matches {},",
    "link": ", which is {} by another name,",
    "event": " whenever that device or module appears or changes",
}


@dataclass(frozen=True)
class Subject:
    """One kernel file of a change.

    Attributes:
        name: Name of its knob; of a vector, its sysctl name.
        path: The file.
        movers: Other kernel files that change this one when they are written: path to ``twin`` or ``moves``.
    """

    name: str
    path: str
    movers: Mapping[str, str] = field(default_factory=dict)

    def relation(self, path: str) -> str | None:
        """What writing a kernel file, or all that match a pattern, has to do with this one; None for nothing."""
        if any(mark in path for mark in _GLOB_MARKS):
            return "glob" if any(matches(candidate, path) for candidate in (self.path, *self.movers)) else None
        return "same" if path == self.path else self.movers.get(path)


@dataclass(frozen=True)
class Conflict:
    """One line of a file that sets a knob of the change, or something that moves it.

    Attributes:
        knob: Name of the knob of the change; of a vector, its sysctl name.
        file: Where the line stands.
        line: Its number, from 1.
        key: As it is written there, without a leading hyphen.
        value: As it is written there.
        relation: ``same`` (the knob's own key), ``twin`` (writing it zeroes the knob), ``moves`` (the kernel changes
            the knob by itself when it is written), ``glob`` (a pattern that matches one of these), ``link`` (another
            path of the same file) or ``event`` (a rule of udev's).
        over: What it is compared with: the file, or the profile, of the change.
        wins_with: Programs that let it win over that, in words; none when the change holds.
    """

    knob: str
    file: str
    line: int
    key: str
    value: str
    relation: str
    over: str
    wins_with: tuple[str, ...]

    @property
    def wins(self) -> bool:
        """At least one program lets it win at boot."""
        return bool(self.wins_with)

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}"

    @property
    def sentence(self) -> str:
        """The same for people, with what to do when it wins."""
        says = f"{self.place} sets {self.key} = {self.value}{_WHAT.get(self.relation, '').format(self.knob)}"
        if not self.wins:
            return f"{says} and is overridden by {self.over}."
        programs = ("both " if len(self.wins_with) == 2 else "") + " and ".join(self.wins_with)
        return f"{says} and wins over {self.over} with {programs}{REMEDY}"


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that may hold a conflict and could not be read."""

    file: str
    reason: str


@dataclass(frozen=True)
class Order:
    """In which order a program reads the files that set the same keys.

    Attributes:
        program: Its name, in words.
        files: The files, and that of the change among them.
        wins: ``first`` or ``last``.
    """

    program: str
    files: tuple[str, ...]
    wins: str

    @property
    def sentence(self) -> str:
        """The same for people."""
        return f"{self.program} reads in this order, the {self.wins} one wins: {', '.join(self.files)}"


@dataclass(frozen=True)
class Scan:
    """What a machine's files say about a change.

    Attributes:
        conflicts: Those about ``/proc/sys`` in the order in which they are applied, then all others.
        unreadable: What could not be looked into.
        orders: How the files with conflicts are read.
    """

    conflicts: tuple[Conflict, ...]
    unreadable: tuple[Unreadable, ...]
    orders: tuple[Order, ...] = ()


def matches(path: str, pattern: str) -> bool:
    """As glob(7): a star does not match a slash."""
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))
