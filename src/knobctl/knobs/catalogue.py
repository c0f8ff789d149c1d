"""The knobs we know, by name, alias and path; and the couplings between them."""

from __future__ import annotations

import difflib
import fnmatch
import re
from dataclasses import dataclass
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from knobctl.knobs.knob import Knob

_DISK_PATH = re.compile(r"^/sys/(?:block|class/block)/[^/]+/")
_CLOCK_PATH = re.compile(r"^/sys/devices/system/cpu/(?:cpufreq/policy[^/]+|cpu[^/]+/cpufreq)/")


class UnknownKnob(KeyError):
    """The catalogue has no knob of this name.

    Attributes:
        name: The name that was looked up.
        suggestions: Names in the catalogue that look like it, best first.
    """

    def __init__(self, name: str, suggestions: Sequence[str]) -> None:
        super().__init__(name)
        self.name = name
        self.suggestions = tuple(suggestions)

    def __str__(self) -> str:
        return "unknown knob %s" % self.name


@dataclass(frozen=True)
class Coupling:
    """A rule between two integer knobs: ``left < right`` (``below``) or ``left <= right`` (``at_most``).

    Attributes:
        kind: ``below`` or ``at_most``.
        left: Name of the knob that has to be smaller.
        right: Name of the knob that has to be larger.
        reason: What the kernel does otherwise.
    """

    kind: str
    left: str
    right: str
    reason: str

    def __post_init__(self) -> None:
        if self.kind not in ("below", "at_most"):
            raise ValueError("a coupling is below or at_most, not %s" % self.kind)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Coupling:
        """Builds a coupling from one table of a data file.

        Raises:
            ValueError: A key is unknown or missing, or the kind is.
        """
        keys = ("kind", "left", "right", "reason")
        if set(record) != set(keys):
            raise ValueError("a coupling has %s, not %s" % (", ".join(keys), ", ".join(sorted(record))))
        return cls(**record)

    def holds(self, left: int, right: int) -> bool:
        """Whether the rule holds for two values."""
        return left < right if self.kind == "below" else left <= right


class Catalogue:
    """An immutable set of knobs with their couplings. Iterates in catalogue order."""

    def __init__(self, knobs: Iterable[Knob], couplings: Iterable[Coupling] = ()) -> None:
        self._knobs: Dict[str, Knob] = {}
        self._names: Dict[str, str] = {}
        for knob in knobs:
            if knob.name in self._knobs:
                raise ValueError("%s stands twice in the catalogue" % knob.name)
            self._knobs[knob.name] = knob
        for knob in self._knobs.values():
            for alias in (knob.name, *knob.aliases, *_derived_names(knob)):
                other = self._names.setdefault(_normal(alias), knob.name)
                if other != knob.name:
                    raise ValueError("%s stands for both %s and %s" % (alias, other, knob.name))
        self.couplings: Tuple[Coupling, ...] = tuple(couplings)
        for coupling in self.couplings:
            for name in (coupling.left, coupling.right):
                if name not in self._knobs:
                    raise ValueError("coupling of unknown knob %s" % name)
        for knob in self._knobs.values():
            for other in (*knob.affects, *((knob.twin,) if knob.twin else ())):
                if other not in self._knobs:
                    raise ValueError("%s refers to unknown knob %s" % (knob.name, other))

    @classmethod
    def from_records(cls, records: Mapping[str, Sequence[Mapping[str, Any]]]) -> Catalogue:
        """Builds the catalogue from ``{"knob": [table, ...], "coupling": [table, ...]}``.

        Raises:
            ValueError: A record is malformed, doubled, or refers to a knob that does not exist.
        """
        return cls(
            [Knob.from_record(record) for record in records.get("knob", ())],
            [Coupling.from_record(record) for record in records.get("coupling", ())],
        )

    def __iter__(self) -> Iterator[Knob]:
        return iter(self._knobs.values())

    def __len__(self) -> int:
        return len(self._knobs)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def __getitem__(self, name: str) -> Knob:
        """The knob of this name, alias or path.

        Raises:
            UnknownKnob: There is none; the error carries names that look like it.
        """
        knob = self.find(name)
        if knob is None:
            alike = difflib.get_close_matches(_normal(name), list(self._names), n=6, cutoff=0.6)
            raise UnknownKnob(name, list(dict.fromkeys(self._names[known] for known in alike))[:3])
        return knob

    def find(self, name: str) -> Optional[Knob]:
        """The knob of this name, alias or path, or None.

        Understands ``vm.dirty_ratio``, ``vm/dirty_ratio``, ``/proc/sys/vm/dirty_ratio``, a path under ``/sys``
        (whatever disk or core it names), the plain name of a vector (its last field), and every alias.
        """
        canonical = self._names.get(_normal(name))
        return self._knobs[canonical] if canonical else None

    def matching(self, pattern: str) -> List[Knob]:
        """Knobs whose canonical name matches a shell pattern such as ``vm.*``; or the one that has this name."""
        if any(mark in pattern for mark in "*?"):
            return [knob for knob in self if fnmatch.fnmatchcase(knob.name, pattern)]
        return [self[pattern]]


def _normal(name: str) -> str:
    name = name.strip()
    if name.startswith("/sys/"):
        return _CLOCK_PATH.sub("/sys/devices/system/cpu/cpufreq/policy*/", _DISK_PATH.sub("/sys/block/{disk}/", name))
    if name.startswith("/proc/sys/"):
        name = name[len("/proc/sys/") :]
    return name.replace("/", ".").lower()


def _derived_names(knob: Knob) -> List[str]:
    if knob.field is None:
        return [knob.path]
    if not knob.name.endswith("[max]"):
        return []
    return [knob.path, knob.name[: knob.name.index("[")]]
