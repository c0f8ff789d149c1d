"""Untrusted text in, text that is safe to show and to keep out."""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_][^\x1b\x07\n]*(?:\x1b\\|\x07)?"  # OSC, DCS, SOS, PM, APC: to their end, or to the end of the line
    r"|\x1b[@-Z\\-_]?"
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e0fff]"  # tags: letters that nobody sees and a language model reads
)


def clean(text: str) -> str:
    """The text without terminal escapes, control characters and invisible marks; tabs and newlines stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))
