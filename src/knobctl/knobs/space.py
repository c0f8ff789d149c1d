"""Knob values in, points of the unit cube out, and back: the only language that a searcher speaks.

A :class:`Dimension` is one knob with the part of its range that is explored; a :class:`Space` is several of them in
a fixed order. Everything is deterministic, and every allowed value survives ``decode(encode(value))``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from knobctl.knobs.knob import SCALES, Value

LARGEST = 2**44
"""Largest width of a range: beyond it, neighbours on a log scale are the same floating-point number."""

_SPECIAL_SHARE = 0.1
_SPECIAL_SHARE_TOGETHER = 0.2
_TIE = 1e-9


@dataclass(frozen=True)
class Dimension:
    """One axis of the search: a knob and the values that may be tried.

    The unit interval is laid out from the left: the special values, a tenth of the interval each (together never more
    than a fifth), then the range. Explicit ``values`` replace the range and the special values: they share the
    interval equally.

    Attributes:
        name: The knob's canonical name.
        kind: ``integer`` or ``choice``.
        low: Smallest value of the range.
        high: Largest value of the range.
        scale: ``linear``, or ``log`` for equal steps of the logarithm (a range that starts at 0 or below is shifted
            to start at 1).
        values: The only values to try; always given for a choice.
        special: Integers with a meaning of their own (0 = off), inside or outside the range.
    """

    name: str
    kind: str = "integer"
    low: int = 0
    high: int = 0
    scale: str = "linear"
    values: Tuple[Value, ...] = ()
    special: Tuple[int, ...] = ()

    def __post_init__(self) -> None:
        def require(condition: bool, what: str) -> None:
            if not condition:
                raise ValueError("%s: %s" % (self.name, what))

        require(self.kind in ("integer", "choice"), "kind is integer or choice, not %s" % self.kind)
        require(self.scale in SCALES, "scale is linear or log, not %s" % self.scale)
        require(bool(self.values) or self.kind == "integer", "a choice has values")
        require(len(set(self.values)) == len(self.values), "a value stands twice")
        require(len(set(self.special)) == len(self.special), "a special value stands twice")
        require(not (self.values and self.special), "special values stand among the values when these are given")
        require(self.low <= self.high, "low %d is above high %d" % (self.low, self.high))
        require(self.high - self.low <= LARGEST, "a range is at most %d wide" % LARGEST)

    @property
    def size(self) -> int:
        """How many values there are."""
        if self.values:
            return len(self.values)
        return self.high - self.low + 1 + sum(not self.low <= value <= self.high for value in self.special)

    def contains(self, value: object) -> bool:
        """Whether this is one of the values (an integer that is a boolean is none)."""
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            return False
        if self.values:
            return value in self.values
        return isinstance(value, int) and (self.low <= value <= self.high or value in self.special)

    def decode(self, u: float) -> Value:
        """The value at a point of [0, 1]; a point outside is moved to the nearest end.

        Integers are rounded to the nearest value of the range, ties downwards: 0.7 on 5..80 is 57.

        Raises:
            ValueError: The point is not a number.
        """
        if math.isnan(u):
            raise ValueError("%s: cannot decode NaN" % self.name)
        u = min(max(float(u), 0.0), 1.0)
        if self.values:
            return self.values[min(int(u * len(self.values)), len(self.values) - 1)]
        share, taken = self._special_share(), self.special_end
        if u < taken:
            return self.special[min(int(u / share), len(self.special) - 1)]
        return self._at((u - taken) / (1.0 - taken))

    def encode(self, value: Value) -> float:
        """The point of a value: the centre of its bin, or its place in the range.

        An integer that is not allowed (a machine may have been found with one) has the point of the nearest one
        that is.

        Raises:
            ValueError: A word that is not one of the values, or a word where an integer belongs.
        """
        if self.values:
            return (self.values.index(self._nearest_of_values(value)) + 0.5) / len(self.values)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("%s: %r is not an integer" % (self.name, value))
        if value in self.special:
            return (self.special.index(value) + 0.5) * self._special_share()
        taken = self.special_end
        return taken + self._place(min(max(value, self.low), self.high)) * (1.0 - taken)

    @property
    def special_end(self) -> float:
        """Where the special values end on the unit interval, and the range begins; 0 without any."""
        return self._special_share() * len(self.special)

    def at_most(self, limit: int) -> Optional[int]:
        """The largest ordinary (not special) integer up to a limit, or None."""
        if self.values:
            return max((value for value in self.values if isinstance(value, int) and value <= limit), default=None)
        value = min(limit, self.high)
        while value in self.special:
            value -= 1
        return value if value >= self.low else None

    def at_least(self, limit: int) -> Optional[int]:
        """The smallest ordinary (not special) integer from a limit on, or None."""
        if self.values:
            return min((value for value in self.values if isinstance(value, int) and value >= limit), default=None)
        value = max(limit, self.low)
        while value in self.special:
            value += 1
        return value if value <= self.high else None

    def _special_share(self) -> float:
        return min(_SPECIAL_SHARE, _SPECIAL_SHARE_TOGETHER / max(len(self.special), 1))

    def _at(self, t: float) -> int:
        if self.scale == "log":
            shift = max(1 - self.low, 0)
            x = (self.low + shift) * math.exp(t * math.log((self.high + shift) / (self.low + shift))) - shift
        else:
            x = self.low + t * (self.high - self.low)
        return min(max(math.ceil(x - 0.5 - _TIE), self.low), self.high)

    def _place(self, value: int) -> float:
        if self.low == self.high:
            return 0.5
        if self.scale == "log":
            shift = max(1 - self.low, 0)
            start = self.low + shift
            return math.log((value + shift) / start) / math.log((self.high + shift) / start)
        return (value - self.low) / (self.high - self.low)

    def _nearest_of_values(self, value: Value) -> Value:
        if self.contains(value):
            return value
        numbers = [number for number in self.values if isinstance(number, int)]
        if isinstance(value, int) and numbers:
            return min(numbers, key=lambda number: abs(number - value))
        known = ", ".join(str(word) for word in self.values)
        raise ValueError("%s: %r is none of %s" % (self.name, value, known))


@dataclass(frozen=True)
class Space:
    """Several dimensions in a fixed order.

    Attributes:
        dimensions: One per knob; no name twice.
    """

    dimensions: Tuple[Dimension, ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.dimensions):
            raise ValueError("a knob stands twice in the space: %s" % ", ".join(self.names))

    @property
    def names(self) -> Tuple[str, ...]:
        """Names of the knobs, in order."""
        return tuple(dimension.name for dimension in self.dimensions)

    def __len__(self) -> int:
        return len(self.dimensions)

    def decode(self, vector: Sequence[float]) -> Dict[str, Value]:
        """The configuration at a point of the unit cube.

        Raises:
            ValueError: The vector has another length, or holds a NaN.
        """
        if len(vector) != len(self.dimensions):
            raise ValueError("%d numbers for %d knobs" % (len(vector), len(self.dimensions)))
        return {dimension.name: dimension.decode(u) for dimension, u in zip(self.dimensions, vector)}

    def encode(self, configuration: Mapping[str, Value]) -> List[float]:
        """The point of a configuration, which may hold more knobs than these.

        Raises:
            ValueError: A knob is missing, or has a value that its dimension cannot place.
        """
        missing = [name for name in self.names if name not in configuration]
        if missing:
            raise ValueError("no value for %s" % ", ".join(missing))
        return [dimension.encode(configuration[dimension.name]) for dimension in self.dimensions]
