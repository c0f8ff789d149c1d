"""Text of a record in, text that a page can show out: one place through which all of it goes."""

from __future__ import annotations

import functools
import re

from knobctl.masking import mask_secrets
from knobctl.target.text import clean

_NOT_IN_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@functools.lru_cache(maxsize=4096)
def safe(text: str) -> str:
    """The text without control characters, invisible marks, keys and passwords. It still has to be escaped."""
    return _NOT_IN_XML.sub("", mask_secrets(clean(text)))


def shortened(text: str, limit: int) -> str:
    """The beginning of a long text, and that it was cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
