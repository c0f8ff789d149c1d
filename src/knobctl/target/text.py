"""Untrusted text in, text that is safe to show and to keep out."""

from __future__ import annotations

import re

# Each introducer is ESC and a character, or one of the C1 control characters, which terminals read too.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    # OSC, DCS, SOS, PM, APC: to their end, or to the end of the line
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x1b\x07\x9c\n]*(?:\x1b\\|\x07|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\ue000-\uf8ff\U000f0000-\U0010ffff"  # for private use: every font shows something else
    r"\U000e0000-\U000e0fff]"  # tags: letters that nobody sees and a language model reads
)


def clean(text: str) -> str:
    """The text without terminal escapes, control characters and invisible marks; tabs and newlines stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def encodable(text: str) -> str:
    """The text with a question mark for every half of a character, which JSON can spell and nothing can take."""
    return text.encode("utf-8", "replace").decode("utf-8")
