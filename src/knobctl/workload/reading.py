"""Numbers out of a tool's output: text in, finite floats out, never an error."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?")
_BARE_FRACTION = re.compile(r"[+-]?\.[0-9]+(?:[eE][+-]?[0-9]{1,3})?")

NUMBER = r"[0-9]++(?:\.[0-9]++)?+(?![eE][+-]?[0-9])"
"""Pattern of the plain unsigned numbers that benchmark tools print. No part of ``1e999`` is one."""

MILLISECONDS: Mapping[str, float] = {
    "ns": 1e-6, "nsec": 1e-6, "us": 1e-3, "usec": 1e-3, "ms": 1.0, "msec": 1.0, "s": 1e3, "sec": 1e3, "m": 6e4,
    "h": 3.6e6,
}  # fmt: skip
"""Milliseconds in each unit of time that tools print."""

MEBIBYTES: Mapping[str, float] = {
    "b": 2.0**-20, "k": 2.0**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20,
}  # fmt: skip
"""Mebibytes in each unit of size, by the lower-case first letter of its name."""


@dataclass(frozen=True)
class Reading:
    """How one metric is found in the output.

    Attributes:
        metric: Canonical name of the metric.
        pattern: Its first group is the number; matched against every line, the last match counts.
        factor: Multiplies the number, to reach the metric's unit.
    """

    metric: str
    pattern: re.Pattern[str]
    factor: float = 1.0


def reading(metric: str, pattern: str, factor: float = 1.0) -> Reading:
    """A :class:`Reading` whose pattern matches from the start of a line, leading blanks allowed."""
    return Reading(metric, re.compile(rf"^[ \t]*{pattern}", re.MULTILINE), factor)


def read_metrics(output: str, readings: Iterable[Reading]) -> dict[str, float]:
    """Every metric that is found. Of several readings of one metric, the first that finds something counts."""
    metrics: dict[str, float] = {}
    for rule in readings:
        if rule.metric in metrics:
            continue
        value = None
        for match in rule.pattern.finditer(output):
            value = parse_number(match.group(1))
        if value is not None and math.isfinite(value * rule.factor):
            metrics[rule.metric] = value * rule.factor
    return metrics


def parse_number(text: str) -> float | None:
    """The finite number that the whole text is, or None.

    Understood: a sign, a decimal point, an exponent, and commas between groups of exactly three digits (``1,234.5``).
    ``1,5`` is refused, because nobody can say whether it means 15 or 1.5.
    """
    text = text.strip()
    if not (_NUMBER.fullmatch(text) or _BARE_FRACTION.fullmatch(text)):
        return None
    number = float(text.replace(",", ""))
    return number if math.isfinite(number) else None


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics without those that are not a finite number."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
