"""Values in, places on an axis out, with ticks that people would have chosen."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 5.0, 10.0)
_FAR = 3.0
"""Interquartile ranges beyond the quartiles where a value is so far out that it would flatten all others."""


@dataclass(frozen=True)
class Scale:
    """A range of values on a range of places.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``, above ``low``.
        start: Place of ``low``, in pixels.
        end: Place of ``high``.
        log: Whether equal ratios take equal room; ``low`` is above 0 then.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Place of a value; one outside the range has its place at the edge."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * share

    def shows(self, value: float) -> bool:
        """Whether a value is inside the range."""
        return self.low <= value <= self.high

    def ticks(self, most: int) -> list[float]:
        """Round values inside the range, at most so many."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for factors in ((1, 2, 5), (1,)):
                found = [factor * 10.0**power for power in decades for factor in factors]
                inside = [value for value in found if self.shows(value)]
                if len(inside) <= most:
                    break
            if len(inside) >= 2:
                return inside[:: math.ceil(len(inside) / most)]
        return _round_values(self.low, self.high, most)


def scale_over(values: Sequence[float], start: float, end: float, *, log: bool = False) -> Scale:
    """A scale that holds all values with a little air around them."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if log and low > 0:
        air = (high / low) ** 0.05 if high > low else 2.0
        return Scale(low / air, high * air, start, end, log=True)
    air = 0.06 * (high - low) or max(abs(high) * 0.05, 0.5)
    return Scale(low - air, high + air, start, end)


def usual(values: Sequence[float]) -> list[float]:
    """The values without those that are so far out that they would flatten all others."""
    if len(values) < 5:
        return list(values)
    first, _, third = statistics.quantiles(values, n=4)
    reach = _FAR * (third - first)
    return [value for value in values if first - reach <= value <= third + reach] or list(values)


def label(value: float) -> str:
    """A tick in few characters: ``4,000``, ``0.5``, ``250k``, ``50M``."""
    size = abs(value)
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= factor and size >= 1e5:
            return f"{value / factor:.4g}{letter}"
    return f"{value:,.6g}"


def time_unit(seconds: float) -> tuple[float, str]:
    """The unit for a span of time: its length in seconds and its name."""
    if seconds > 2 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if seconds > 180 else (1.0, "seconds")


def _round_values(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
