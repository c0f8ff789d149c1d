"""The machine's sysctl files in, every line that says something else about a change out.

Two programs read these files at boot, and they do not agree:

* ``systemd-sysctl`` reads the ``sysctl.d`` folders, sorted by file name whatever the folder; of two files with the
  same name only the one in the more important folder counts (sysctl.d(5)). It does not read ``/etc/sysctl.conf``.
* ``sysctl --system`` of procps does the same and then reads ``/etc/sysctl.conf`` last of all (sysctl(8)).

What is read later wins. A key with a glob never wins over a key that is spelled out, in either program; it can win
over a knob's twin, which is not spelled out.

TuneD starts after both. When its ``reapply_sysctl`` is on, it reads ``/run/sysctl.d``, ``/etc/sysctl.d`` (of two files
with the same name, that in ``/run``) and ``/etc/sysctl.conf`` once more after it has set its profile.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePosixPath

from knobctl.permanent.dropin import PROC, SYSCTL_FILE
from knobctl.permanent.tuned import PROFILE
from knobctl.persist.conflict import Conflict, Order, Subject, matches
from knobctl.persist.reading import Reader, folders

SYSCTL_CONF = "/etc/sysctl.conf"
OUR_PROFILE = f"the TuneD profile {PROFILE}"
SYSTEMD, PROCPS, REAPPLY = "systemd-sysctl", "`sysctl --system`", "TuneD's reapply_sysctl"
_OWN_NAME = PurePosixPath(SYSCTL_FILE).name


def against_the_drop_in(subjects: Sequence[Subject], reader: Reader) -> tuple[list[Conflict], list[Order]]:
    """Conflicts with :data:`SYSCTL_FILE`, and in which order each program reads the files that hold them."""
    counted = reader.files(folders("sysctl.d"), ".conf")
    files = [file for file in counted if PurePosixPath(file).name != _OWN_NAME]  # ours replaces it
    found = []
    for file in [*files, SYSCTL_CONF]:
        late = file == SYSCTL_CONF or _is_late(file)
        for number, key, value in _assignments(reader.lines(file)):
            for subject in subjects:
                relation = subject.relation(path_of(key))
                if relation is None:
                    continue
                # An exact key in our own file keeps every glob away from the knob itself, but not from its twin.
                shielded = relation == "glob" and not any(matches(mover, path_of(key)) for mover in subject.movers)
                programs = (PROCPS,) if file == SYSCTL_CONF else (SYSTEMD, PROCPS)
                wins = programs if late and not shielded else ()
                found.append(Conflict(subject.name, file, number, key, value, relation, SYSCTL_FILE, wins))
    if not found:
        return [], []
    named = [file for file in dict.fromkeys(conflict.file for conflict in found) if file != SYSCTL_CONF]
    early = [file for file in named if not _is_late(file)]
    order = [*early, SYSCTL_FILE, *[file for file in named if file not in early]]
    last = [SYSCTL_CONF] if any(conflict.file == SYSCTL_CONF for conflict in found) else []
    return found, [Order(PROCPS, (*order, *last), "last"), Order(SYSTEMD, tuple(order), "last")]


def against_the_profile(
    subjects: Sequence[Subject], reader: Reader, *, reapplies: bool
) -> tuple[list[Conflict], list[Order]]:
    """Conflicts with our TuneD profile, and in which order they come after it."""
    etc, run, *rest = folders("sysctl.d")
    read_again = [*reader.files((run, etc), ".conf"), SYSCTL_CONF] if reapplies else []
    found = []
    for file in [*reader.files((run, etc, *rest), ".conf"), SYSCTL_CONF]:
        for number, key, value in _assignments(reader.lines(file)):
            for subject in subjects:
                relation = subject.relation(path_of(key))
                if relation is not None:
                    wins = (REAPPLY,) if file in read_again and relation != "glob" else ()  # it knows no patterns
                    found.append(Conflict(subject.name, file, number, key, value, relation, OUR_PROFILE, wins))
    winning = [file for file in dict.fromkeys(conflict.file for conflict in found) if file in read_again]
    return found, [Order("TuneD", (OUR_PROFILE, *winning), "last")] if winning else []


def path_of(key: str) -> str:
    """The kernel file of a key: the first separator says whether dots or slashes separate (sysctl.d(5))."""
    first = next((mark for mark in key if mark in "./"), "/")
    if first == ".":
        key = key.translate(str.maketrans("./", "/."))
    return PROC + key.strip("/")


def _is_late(file: str) -> bool:
    return os.fsencode(PurePosixPath(file).name) > os.fsencode(_OWN_NAME)


def _assignments(lines: Sequence[str]) -> list[tuple[int, str, str]]:
    """Number, key and value of every line that sets something."""
    found = []
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line or line[0] in "#;" or "=" not in line:
            continue
        key, _, value = line.partition("=")
        found.append((number, key.strip().removeprefix("-").strip(), " ".join(value.split())))
    return found
