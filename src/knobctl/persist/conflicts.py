"""The machine's files and the knobs of a change in; every line that says something else about them out.

Everything is looked at that sets kernel settings at boot or later by files: sysctl.d and ``/etc/sysctl.conf``,
tmpfiles.d, udev's rules, and the TuneD profile that is active. Which of them win depends on the way by which the change
is made permanent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from knobctl.knobs import Catalogue, Knob
from knobctl.permanent.dropin import PROC, sysctl_key
from knobctl.permanent.tuned import Tuned
from knobctl.permanent.ways import SYSCTL_D, TUNED
from knobctl.persist import sysctl_lines, tmpfiles_lines, tuned_lines, udev_lines
from knobctl.persist.conflict import Scan, Subject
from knobctl.persist.reading import Reader


def find_conflicts(
    names: Sequence[str],
    catalogue: Catalogue,
    root: Path = Path("/"),
    via: str = SYSCTL_D,
    paths: Mapping[str, Sequence[str]] | None = None,
) -> Scan:
    """Looks for lines about the knobs of a change in everything that sets them at boot or later.

    Args:
        names: The knobs; fields of one vector are one.
        catalogue: Knows their files, their twins and what moves what.
        root: Folder that stands for ``/``.
        via: The way by which the change is made permanent.
        paths: The kernel files behind each knob on this machine, where the catalogue's path is only a pattern; a knob
            below ``/sys`` that is not among them has no part in this.

    Raises:
        UnknownKnob: The catalogue has no such knob.
    """
    subjects = _subjects([catalogue[name] for name in names], catalogue, paths or {})
    proc = [subject for subject in subjects if subject.path.startswith(PROC)]
    reader, tuned = Reader(root), Tuned(str(root))
    by_profile = via == TUNED
    if by_profile:
        found, orders = sysctl_lines.against_the_profile(proc, reader, reapplies=tuned.reapplies())
    else:
        found, orders = sysctl_lines.against_the_drop_in(proc, reader)
    more, order = tmpfiles_lines.conflicts(subjects, reader, by_profile=by_profile)
    found += more
    found += udev_lines.conflicts(subjects, reader, by_profile=by_profile)
    found += tuned_lines.conflicts(subjects, reader, tuned, by_profile=by_profile)
    return Scan(tuple(found), tuple(reader.unreadable), (*orders, *order))


def _subjects(knobs: Sequence[Knob], catalogue: Catalogue, paths: Mapping[str, Sequence[str]]) -> list[Subject]:
    found: dict[str, Subject] = {}
    for knob in knobs:
        proc = knob.path.startswith(PROC)
        name = knob.name if knob.field is None else sysctl_key(knob.path)
        for path in [knob.path] if proc else paths.get(knob.name, ()):
            found.setdefault(path, Subject(name, path, _movers(knob, catalogue)))
    return list(found.values())


def _movers(knob: Knob, catalogue: Catalogue) -> dict[str, str]:
    """Paths of other knobs that change this one when they are written, with the relation."""
    movers = {other.path: "moves" for other in catalogue if knob.name in other.affects and other.path != knob.path}
    if knob.twin:
        movers[catalogue[knob.twin].path] = "twin"
    return movers
