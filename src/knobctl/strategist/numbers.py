"""Numbers as people write them (``50``, ``1,000``, ``2k``, ``ten``, ``a million``, ``五十``) in, numbers out."""

from __future__ import annotations

import re

_WORDS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "twelve": 12, "sixteen": 16, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "zero": 0,
}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000}
_DIGITS = {"零": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 100_000_000}
_SUFFIXES = {"k": 1000, **_UNITS}

_FIGURES = r"(?<![0-9.])(?<![0-9],)(?<![a-z_])(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+(?:\.[0-9]+)?)"
_SCALE = rf"\s+(?:{'|'.join(_SCALES)})(?![a-z])"
NUMBER = (
    rf"(?:(?<![\w.+-])-)?(?:{_FIGURES}(?:{_SCALE}|\s?[百千万亿]{{1,2}}|k(?![a-z]))?"
    rf"|(?<![a-z])(?:(?:a|{'|'.join(_WORDS)}){_SCALE}|(?:{'|'.join(_WORDS)})(?![a-z]))"
    rf"|[{''.join(_DIGITS)}{''.join(_UNITS)}]{{1,8}})"
)
"""What :func:`parse_number` reads, as a regular expression without groups (for ``re.IGNORECASE | re.ASCII``)."""


def parse_number(text: str) -> float:
    """The number that a match of :data:`NUMBER` stands for; infinite when it is absurdly long."""
    text = text.strip().lower()
    if text.startswith("-"):
        return -parse_number(text[1:])
    words = text.split()
    if words[-1] in _SCALES:
        return _SCALES[words[-1]] * (1 if words[0] == "a" else parse_number(words[0]))
    if text in _WORDS:
        return _WORDS[text]
    if figures := re.match(r"[0-9][0-9.,]*", text):
        value = float(figures.group(0).replace(",", ""))
        for suffix in text[figures.end() :].strip():
            value *= _SUFFIXES[suffix]
        return value
    return _chinese(text)


def _chinese(text: str) -> int:
    total, digit = 0, 0
    for character in text:
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif character in "万亿":
            total, digit = max(1, total + digit) * _UNITS[character], 0
        else:
            total, digit = total + max(1, digit) * _UNITS[character], 0
    return total + digit
