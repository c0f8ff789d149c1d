"""Values as models write them (``"1,000"``, ``"16 MiB"``, ``"0x10"``, ``"5-80"``) in, numbers in the wanted unit out.

Multiples of bytes are powers of 1024, as everywhere in the kernel. A value with a unit counts only when it is whole in
the knob's own unit; without one it is in the knob's unit already.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

_LONGEST = 60

_NUMBER = r"[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9][0-9_,]*(?:\.[0-9]+)?(?:[eE]\+?[0-9]{1,2})?)"
_UNIT = r"(?:[A-Za-zµμ]+|%|％|秒|分钟|小时)"
_QUANTITY = re.compile(rf"({_NUMBER})\s*({_UNIT})?")
_RANGE = re.compile(
    rf"[\[(]?\s*({_NUMBER}\s*{_UNIT}?)\s*(?:\.\.\.?|-|–|—|~|～|\bto\b|至|到|[,;]\s+)\s*({_NUMBER}\s*{_UNIT}?)\s*[\])]?"
)
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")

_BYTES = {
    1: ("b", "byte", "bytes"),
    2**10: ("k", "kb", "kib", "kbyte", "kbytes", "kilobyte", "kilobytes", "kibibytes"),
    2**20: ("m", "mb", "mib", "mbyte", "mbytes", "megabyte", "megabytes", "mebibytes"),
    2**30: ("g", "gb", "gib", "gbyte", "gbytes", "gigabyte", "gigabytes", "gibibytes"),
    2**40: ("t", "tb", "tib", "terabyte", "terabytes"),
}
_NANOSECONDS = {
    1: ("ns", "nsec", "nsecs", "nanosecond", "nanoseconds"),
    10**3: ("us", "µs", "μs", "usec", "usecs", "microsecond", "microseconds"),
    10**6: ("ms", "msec", "msecs", "millisecs", "millisecond", "milliseconds"),
    10**7: ("cs", "centisec", "centisecs", "centisecond", "centiseconds"),
    10**9: ("s", "sec", "secs", "second", "seconds", "秒"),
    60 * 10**9: ("min", "mins", "minute", "minutes", "分钟"),
    3600 * 10**9: ("h", "hr", "hour", "hours", "小时"),
}
_PERCENT = ("%", "％", "percent", "pct", "percentage")


def _by_word(table: Mapping[int, tuple[str, ...]]) -> dict[str, int]:
    return {word: factor for factor, words in table.items() for word in words}


_DIMENSIONS = (_by_word(_BYTES), _by_word(_NANOSECONDS), dict.fromkeys(_PERCENT, 1))


def is_unit(word: str) -> bool:
    """Whether a word is a unit that :func:`whole` converts."""
    return any(word.strip().lower() in dimension for dimension in _DIMENSIONS)


def whole(raw: Any, unit: str, spoken: str = "") -> int | None:
    """The integer, in a knob's unit, that a value means; None when it means none, or more than one.

    Args:
        raw: A number or text from a JSON document.
        unit: The knob's unit, as in the catalogue.
        spoken: Unit of values that bring none; the knob's when it is empty.
    """
    number = _quantity(raw, unit, spoken)
    return None if number is None or number.denominator != 1 else int(number)


def percentage(raw: Any) -> float | None:
    """The share from 0 to 100 that a value means; None when it means none."""
    number = _quantity(raw, "percent", "")
    return float(number) if number is not None and 0 <= number <= 100 else None


def bounds(raw: Any) -> tuple[Any, Any] | None:
    """The two ends of a range, as they were written; None when it is none.

    Understands ``[5, 80]``, ``"5-80"``, ``"5..80"``, ``"5 to 80"`` and ``"[5, 80]"``; a unit behind the second end
    holds for both.
    """
    if isinstance(raw, list) and len(raw) == 2:
        return raw[0], raw[1]
    if not isinstance(raw, str) or len(raw) > _LONGEST:
        return None
    match = _RANGE.fullmatch(raw.strip())
    if match is None:
        return None
    low, high = (end.strip() for end in match.groups())
    unit = re.search(rf"{_UNIT}$", high) if not re.search(rf"{_UNIT}$", low) else None
    return (f"{low} {unit.group()}" if unit else low), high


def _quantity(raw: Any, unit: str, spoken: str) -> Fraction | None:
    if isinstance(raw, bool):
        return None
    if isinstance(raw, float) and not math.isfinite(raw):
        return None
    if isinstance(raw, int | float):
        number, word = Fraction(raw), spoken
    elif isinstance(raw, str) and len(raw) <= _LONGEST and (match := _QUANTITY.fullmatch(raw.strip())):
        parsed = _number(match.group(1))
        if parsed is None:
            return None
        number, word = parsed, match.group(2) or spoken
    else:
        return None
    factor = _factor(word.strip().lower(), unit.lower())
    return None if factor is None else number * factor


def _number(text: str) -> Fraction | None:
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+-")
    if text[:2].lower() == "0x":
        return Fraction(sign * int(text, 16))
    if "," in text:
        if not _GROUPED.fullmatch(text):
            return None
        text = text.replace(",", "")
    return sign * Fraction(text.replace("_", ""))


def _factor(word: str, unit: str) -> Fraction | None:
    """What a number with this unit is multiplied by to be in the knob's unit."""
    if word in ("", unit) or (unit and word in (unit.rstrip("s"), f"{unit}s")):
        return Fraction(1)
    if word in _PERCENT:
        return Fraction(1) if unit in ("", "percent") else None
    for dimension in _DIMENSIONS:
        if word in dimension and unit in dimension:
            return Fraction(dimension[word], dimension[unit])
    return None
