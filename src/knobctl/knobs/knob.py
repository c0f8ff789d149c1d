"""One kernel setting: what it is (:class:`Knob`), and how it stands on one machine (:class:`KnobState`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple, Union

Value = Union[int, str]
"""What a knob can hold: an integer (in the knob's unit) or one of its choices."""

KINDS = ("integer", "choice")
SCALES = ("linear", "log")
EFFECTS = ("hot", "warm", "cold")
RISKS = ("safe", "caution", "forbidden")
QUANTITIES = ("memory_bytes", "memory_kib", "memory_pages", "cores")


def quantities_of(memory_bytes: int, page_bytes: int, cores: int) -> Dict[str, int]:
    """What bounds are functions of, on a machine of this size."""
    return {
        "memory_bytes": memory_bytes,
        "memory_kib": memory_bytes // 1024,
        "memory_pages": memory_bytes // page_bytes,
        "cores": cores,
    }


@dataclass(frozen=True)
class Bound:
    """One end of a knob's safe range, possibly a function of the machine.

    The value is ``constant`` when it is given; otherwise ``share * quantity``, kept between ``at_least`` and
    ``at_most``.

    Attributes:
        constant: A fixed bound, in the knob's unit.
        share: Factor applied to the quantity.
        of: The quantity, one of :data:`QUANTITIES`.
        at_least: Smallest value of the bound, or None.
        at_most: Largest value of the bound, or None.
    """

    constant: Optional[int] = None
    share: float = 0.0
    of: str = ""
    at_least: Optional[int] = None
    at_most: Optional[int] = None

    @classmethod
    def parse(cls, raw: Any) -> Bound:
        """Builds a bound from a data file's integer or table.

        Raises:
            ValueError: It is neither, or names an unknown quantity.
        """
        if isinstance(raw, int) and not isinstance(raw, bool):
            return cls(constant=raw)
        if not isinstance(raw, Mapping):
            raise ValueError("a bound is an integer or a table with share and of, not %r" % (raw,))
        unknown = set(raw) - {"share", "of", "at_least", "at_most"}
        if unknown or "share" not in raw or raw.get("of") not in QUANTITIES:
            raise ValueError("a bound has share and of (one of %s), not %r" % (", ".join(QUANTITIES), dict(raw)))
        return cls(None, float(raw["share"]), raw["of"], raw.get("at_least"), raw.get("at_most"))

    def on(self, quantities: Mapping[str, int]) -> int:
        """The bound on a machine with these quantities (bytes, KiB, pages, count)."""
        if self.constant is not None:
            return self.constant
        value = math.floor(self.share * quantities[self.of])
        if self.at_least is not None:
            value = max(value, self.at_least)
        if self.at_most is not None:
            value = min(value, self.at_most)
        return value

    def describe(self) -> str:
        """The bound in words, for people."""
        if self.constant is not None:
            return str(self.constant)
        limits = []
        if self.at_least is not None:
            limits.append("at least %d" % self.at_least)
        if self.at_most is not None:
            limits.append("at most %d" % self.at_most)
        formula = "%g x %s" % (self.share, self.of.replace("_", " in ", 1))
        return formula + (" (%s)" % ", ".join(limits) if limits else "")


@dataclass(frozen=True)
class Knob:
    """One kernel setting as the catalogue knows it.

    Attributes:
        name: Canonical name: the sysctl name (``vm.dirty_ratio``), a field of a vector
            (``net.ipv4.tcp_wmem[max]``), or the catalogue's short name of a sysfs file (``thp.enabled``).
        path: File of the setting. ``{disk}`` stands for the block device under the workload; ``*`` matches several
            files that are always written together.
        kind: ``integer`` or ``choice``.
        summary: What it is, one line.
        why: When and why it matters for performance.
        source: Where these statements can be checked.
        unit: Unit of the integer, such as ``percent``, ``bytes``, ``centiseconds``; empty for choices and counts.
        scale: ``linear`` or ``log``: how a searcher should space its steps.
        minimum: Lower end of the safe range (integers).
        maximum: Upper end of the safe range (integers).
        choices: Values that may be written (choices); the kernel may offer fewer.
        special: Integers with a meaning of their own, outside the scale (0 = off, -1 = automatic).
        step: Granularity that the kernel rounds to (a page, for instance); what is read back may differ by less.
        field: Index into a vector value, or None when the file holds one value.
        effect: ``hot`` acts at once, ``warm`` on new connections or the next writeback, ``cold`` after a restart
            of the workload.
        risk: ``safe`` to tune freely inside the range, ``caution`` only when the user names it, ``forbidden`` never.
        risk_reason: Why it is not ``safe``; empty when it is.
        default: What the kernel usually starts with, for people and for simulated targets.
        twin: The knob that is another face of the same setting: writing one zeroes the other.
        affects: Knobs that the kernel changes by itself when this one is written.
        aliases: Other names that people and models use.
        since: First kernel version that has it, such as ``4.12``; empty when it was always there.
        until: First kernel version that no longer has it; empty when it still exists.
    """

    name: str
    path: str
    kind: str
    summary: str
    why: str
    source: str
    unit: str = ""
    scale: str = "linear"
    minimum: Optional[Bound] = None
    maximum: Optional[Bound] = None
    choices: Tuple[str, ...] = ()
    special: Tuple[int, ...] = ()
    step: int = 1
    field: Optional[int] = None
    effect: str = "hot"
    risk: str = "safe"
    risk_reason: str = ""
    default: Optional[Value] = None
    twin: str = ""
    affects: Tuple[str, ...] = ()
    aliases: Tuple[str, ...] = ()
    since: str = ""
    until: str = ""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Knob:
        """Builds a knob from one table of a data file.

        Raises:
            ValueError: A key is unknown or missing, or a value is not what the attribute's description says.
        """
        known = set(cls.__dataclass_fields__)
        unknown = set(record) - known
        if unknown:
            raise ValueError("%s: unknown key %s" % (record.get("name", "?"), ", ".join(sorted(unknown))))
        missing = {"name", "path", "kind", "summary", "why", "source"} - set(record)
        if missing:
            raise ValueError("%s: missing key %s" % (record.get("name", "?"), ", ".join(sorted(missing))))
        values: Dict[str, Any] = dict(record)
        for key in ("minimum", "maximum"):
            if key in values:
                values[key] = Bound.parse(values[key])
        for key in ("choices", "special", "affects", "aliases"):
            if not isinstance(values.get(key, ()), (list, tuple)):
                raise ValueError("%s: %s is a list" % (record["name"], key))
            values[key] = tuple(values.get(key, ()))
        knob = cls(**values)
        knob._check()
        return knob

    def _check(self) -> None:
        def require(condition: bool, what: str) -> None:
            if not condition:
                raise ValueError("%s: %s" % (self.name, what))

        require(self.kind in KINDS, "kind is one of %s" % ", ".join(KINDS))
        require(self.scale in SCALES, "scale is one of %s" % ", ".join(SCALES))
        require(self.effect in EFFECTS, "effect is one of %s" % ", ".join(EFFECTS))
        require(self.risk in RISKS, "risk is one of %s" % ", ".join(RISKS))
        require((self.risk == "safe") == (not self.risk_reason), "every risk but safe has a risk_reason")
        require(self.path.startswith(("/proc/sys/", "/sys/")), "path is below /proc/sys or /sys")
        require(".." not in self.path, "path has no ..")
        require(self.step >= 1, "step is at least 1")
        if self.risk != "forbidden":
            if self.kind == "integer":
                require(self.minimum is not None and self.maximum is not None, "an integer has minimum and maximum")
            else:
                require(len(self.choices) > 1, "a choice has at least two choices")

    def range_on(self, quantities: Mapping[str, int]) -> Tuple[int, int]:
        """Safe range (inclusive) on a machine with these quantities.

        Raises:
            ValueError: The knob has no range: it is a choice or forbidden.
        """
        if self.minimum is None or self.maximum is None:
            raise ValueError("%s has no range" % self.name)
        low, high = self.minimum.on(quantities), self.maximum.on(quantities)
        return low, max(low, high)

    def allows(self, value: Value, quantities: Mapping[str, int]) -> bool:
        """Whether a value may be written on a machine with these quantities."""
        if self.risk == "forbidden":
            return False
        if self.kind == "choice":
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        low, high = self.range_on(quantities)
        return low <= value <= high or value in self.special


@dataclass(frozen=True)
class KnobState:
    """How one knob stands on one machine, as the agent probed it.

    Attributes:
        name: The knob's canonical name.
        present: The file exists and could be read.
        writable: A value could be written here.
        value: Current value, or None when absent.
        raw: The file's text without the final newline (the whole vector for a field).
        paths: The files behind the knob on this machine.
        choices: Choices that this kernel offers, inside the catalogue's.
        reason: Why it cannot be tuned here; empty when it can.
    """

    name: str
    present: bool
    writable: bool
    value: Optional[Value] = None
    raw: str = ""
    paths: Tuple[str, ...] = ()
    choices: Tuple[str, ...] = ()
    reason: str = field(default="")
