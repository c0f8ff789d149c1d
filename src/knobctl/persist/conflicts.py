"""The machine's sysctl files and the knobs of a change in; every line that says something else about them out.

Two programs read these files at boot, and they do not agree:

* ``systemd-sysctl`` reads the ``sysctl.d`` folders, sorted by file name whatever the folder; of two files with the
  same name only the one in the more important folder counts (sysctl.d(5)). It does not read ``/etc/sysctl.conf``.
* ``sysctl --system`` of procps does the same and then reads ``/etc/sysctl.conf`` last of all (sysctl(8)).

What is read later wins. A key with a glob never wins over a key that is spelled out, in either program; it can win
over a knob's twin, which is not spelled out.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from knobctl.knobs import Catalogue, Knob
from knobctl.permanent.dropin import PROC, SYSCTL_FILE, sysctl_key

FOLDERS = (
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
)
"""From the most important to the least."""

SYSCTL_CONF = "/etc/sysctl.conf"

_OWN_NAME = PurePosixPath(SYSCTL_FILE).name
_GLOB_MARKS = "*?["


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
            the knob by itself when it is written) or ``glob`` (a pattern that matches one of these).
        wins_systemd: It is applied after the change by ``systemd-sysctl``.
        wins_procps: It is applied after the change by ``sysctl --system``.
    """

    knob: str
    file: str
    line: int
    key: str
    value: str
    relation: str
    wins_systemd: bool
    wins_procps: bool

    @property
    def wins(self) -> bool:
        """At least one of the two programs lets it win at boot."""
        return self.wins_systemd or self.wins_procps

    @property
    def sentence(self) -> str:
        """The same for people, with what to do when it wins."""
        what = {
            "twin": f", the other face of {self.knob},",
            "moves": f", which moves {self.knob},",
            "glob": f", which matches {self.knob},",
        }.get(self.relation, "")
        says = f"{self.file}:{self.line} sets {self.key} = {self.value}{what}"
        if not self.wins:
            return f"{says} and is overridden by {SYSCTL_FILE}."
        program = "`sysctl --system`" if not self.wins_systemd else "systemd-sysctl"
        if self.wins_systemd and self.wins_procps:
            program = "both systemd-sysctl and `sysctl --system`"
        return f"{says} and wins over {SYSCTL_FILE} with {program}: remove or comment out that line."


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that may hold a conflict and could not be read."""

    file: str
    reason: str


@dataclass(frozen=True)
class Scan:
    """What the machine's sysctl files say about a change.

    Attributes:
        conflicts: In the order in which ``sysctl --system`` applies them.
        unreadable: What could not be looked into.
    """

    conflicts: tuple[Conflict, ...]
    unreadable: tuple[Unreadable, ...]

    def winner(self, knob: str) -> Conflict | None:
        """The line that decides about a knob at boot in place of the change; None when the change holds."""
        return next((one for one in reversed(self.conflicts) if one.knob == knob and one.wins), None)


@dataclass(frozen=True)
class _Line:
    file: str
    number: int
    key: str
    path: str
    value: str
    read_by_systemd: bool
    last: bool
    """It is read after 90-knobctl.conf."""


def find_conflicts(names: Sequence[str], catalogue: Catalogue, root: Path = Path("/")) -> Scan:
    """Looks for lines about the knobs of a change in everything that sets sysctls at boot.

    Args:
        names: The knobs; those below ``/sys`` have no part in this, and fields of one vector are one.
        catalogue: Knows their files, their twins and what moves what.
        root: Folder that stands for ``/``.

    Raises:
        UnknownKnob: The catalogue has no such knob.
    """
    knobs = {knob.path: knob for knob in map(catalogue.__getitem__, names) if knob.path.startswith(PROC)}
    movers = {path: _movers(knob, catalogue) for path, knob in knobs.items()}
    unreadable: list[Unreadable] = []
    found = []
    for line in _lines(root, unreadable):
        for path, knob in knobs.items():
            relation = _relation(line.path, path, movers[path])
            if relation is None:
                continue
            # An exact key in our own file keeps every glob away from the knob itself, but not from its twin.
            shielded = relation == "glob" and not any(_matches(mover, line.path) for mover in movers[path])
            wins = line.last and not shielded
            found.append(
                Conflict(
                    knob=knob.name if knob.field is None else sysctl_key(path),
                    file=line.file,
                    line=line.number,
                    key=line.key,
                    value=line.value,
                    relation=relation,
                    wins_systemd=wins and line.read_by_systemd,
                    wins_procps=wins,
                )
            )
    return Scan(tuple(found), tuple(unreadable))


def _movers(knob: Knob, catalogue: Catalogue) -> dict[str, str]:
    """Paths of other knobs that change this one when they are written, with the relation."""
    movers = {other.path: "moves" for other in catalogue if knob.name in other.affects and other.path != knob.path}
    if knob.twin:
        movers[catalogue[knob.twin].path] = "twin"
    return movers


def _relation(set_path: str, path: str, movers: Mapping[str, str]) -> str | None:
    if any(mark in set_path for mark in _GLOB_MARKS):
        return "glob" if any(_matches(candidate, set_path) for candidate in (path, *movers)) else None
    return "same" if set_path == path else movers.get(set_path)


def _matches(path: str, pattern: str) -> bool:
    """As glob(7): a star does not match a slash."""
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _lines(root: Path, unreadable: list[Unreadable]) -> Iterator[_Line]:
    """Every assignment in the order of ``sysctl --system``."""
    files: dict[str, str] = {}
    for folder in FOLDERS:
        try:
            names = sorted(entry.name for entry in _below(root, folder).iterdir() if entry.name.endswith(".conf"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            unreadable.append(Unreadable(folder, error.strerror or str(error)))
            continue
        for name in names:
            files.setdefault(name, f"{folder}/{name}")
    files.pop(_OWN_NAME, None)  # our own, or one that ours replaces
    for name in sorted(files, key=str.encode):
        yield from _parse(root, files[name], unreadable, read_by_systemd=True, last=name.encode() > _OWN_NAME.encode())
    yield from _parse(root, SYSCTL_CONF, unreadable, read_by_systemd=False, last=True)


def _parse(
    root: Path, file: str, unreadable: list[Unreadable], *, read_by_systemd: bool, last: bool
) -> Iterator[_Line]:
    path = _below(root, file)
    if path.is_symlink() and path.readlink().is_absolute():
        path = _below(root, str(path.readlink()))
    if str(path) == str(_below(root, "/dev/null")):
        return  # how an administrator masks a file
    try:
        content = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        unreadable.append(Unreadable(file, error.strerror or str(error)))
        return
    for number, raw in enumerate(content.splitlines(), start=1):
        line = raw.strip()
        if not line or line[0] in "#;" or "=" not in line:
            continue
        key, _, value = line.partition("=")
        key = key.strip().removeprefix("-").strip()
        yield _Line(file, number, key, _path_of(key), " ".join(value.split()), read_by_systemd, last)


def _path_of(key: str) -> str:
    """The kernel file of a key: the first separator says whether dots or slashes separate (sysctl.d(5))."""
    first = next((mark for mark in key if mark in "./"), "/")
    if first == ".":
        key = key.translate(str.maketrans("./", "/."))
    return PROC + key.strip("/")


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
