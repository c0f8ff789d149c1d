"""Text of a kernel file in, typed value out, and back.

``/proc/sys`` files hold an integer, a word, or several of them separated by tabs; sysfs choices show all choices with
the active one in brackets: ``none [mq-deadline] kyber``.
"""

from __future__ import annotations

import re
from typing import Tuple

from knobctl.knobs.knob import Knob, Value

_ACTIVE = re.compile(r"\[([^\]\s]+)\]")


def parse(knob: Knob, text: str) -> Value:
    """The knob's value in the text of its file.

    Raises:
        ValueError: The text holds no such value.
    """
    if knob.kind == "choice":
        active = _ACTIVE.search(text)
        word = active.group(1) if active else text.strip()
        if not word:
            raise ValueError("%s: empty" % knob.name)
        return word
    fields = text.split()
    index = knob.field or 0
    if index >= len(fields):
        raise ValueError("%s: %r has no field %d" % (knob.name, text, index))
    try:
        return int(fields[index])
    except ValueError:
        raise ValueError("%s: %r is not an integer" % (knob.name, fields[index])) from None


def render(knob: Knob, value: Value, current: str) -> str:
    """The text to write so that the knob holds the value; other fields of a vector keep their current text.

    Raises:
        ValueError: The current text has no such field.
    """
    if knob.field is None:
        return str(value)
    fields = current.split()
    if knob.field >= len(fields):
        raise ValueError("%s: %r has no field %d" % (knob.name, current, knob.field))
    fields[knob.field] = str(value)
    return " ".join(fields)


def offered(text: str) -> Tuple[str, ...]:
    """The choices that a sysfs file offers, when it lists them with one in brackets; otherwise nothing."""
    if not _ACTIVE.search(text):
        return ()
    return tuple(word.strip("[]") for word in text.split())


def settable(text: str) -> str:
    """The text that, written to a file, brings back what the file showed (the bracketed choice, or all of it)."""
    active = _ACTIVE.search(text)
    return active.group(1) if active else " ".join(text.split())


def same(left: str, right: str) -> bool:
    """Whether two texts of the same file mean the same, white space and list of choices aside."""
    return settable(left) == settable(right)
