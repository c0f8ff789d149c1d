"""Untrusted text in; clean text without the negated parts out, and which phrases occur in it.

Case, full-width characters and Chinese beside Latin letters make no difference. A Latin word is found only as a whole
word; a Chinese word anywhere.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from knobctl.errors import UsageError

MAX_REQUEST = 4000
"""Longest request that is read, in characters."""

_CLAUSE_END = re.compile(r"[,;:!?\n。、]|\.(?=\s|$)|\s(?:but|instead|just|only)\b|但|而是|只要|只想", re.IGNORECASE)
_ALLOWED_NOT = r"(?!\s*(?:only|just|more\s+than|less\s+than|longer\s+than|later\s+than|fewer\s+than|problem|matter))"
_NEGATION = re.compile(
    rf"(?<![\w-])(?:do\s+not|don['’]?t|not|never|without|except(?:\s+for)?|excluding|instead\s+of|rather\s+than"
    rf"|other\s+than|no)(?![\w-]){_ALLOWED_NOT}"
    r"|(?:没有|无|不)(?=(?:做|进行)?(?:任何)?写)"
    r"|而?不是|不要|不想|不需要|不用|不必|无需|无须|禁止|请勿|除了|(?<![特级分区类个识差])别(?=[去动碰优调改用管写读跑做])",
    re.IGNORECASE,
)
_HARDWARE = re.compile(
    r"(?<![\w.])\d+(?:\.\d+)?\s*(?:[gmt]i?b?)\s*(?:of\s+)?(?:ram|memory|内存)(?!\s*(?:bandwidth|copy|带宽))"
    r"|(?<![\w.])\d+[\s-]*(?:cores?|v?cpus?|核)(?![a-z])(?:\s*cpus?(?![a-z]))?",
    re.IGNORECASE | re.ASCII,
)
"""A description of the machine (``16 GB of RAM``, ``8 cores``): it says nothing about the work."""


@dataclass(frozen=True)
class Wording:
    """A request, ready to be read.

    Attributes:
        text: Without control characters, full-width characters made narrow, case kept.
        meant: ``text`` with what is negated or merely describes the machine blanked out, of the same length.
        negated: The parts that were blanked out.
    """

    text: str
    meant: str
    negated: tuple[str, ...] = ()


def read_words(text: str) -> Wording:
    """The request as it may be read.

    Raises:
        UsageError: It is longer than :data:`MAX_REQUEST` characters.
    """
    if len(text) > MAX_REQUEST:
        raise UsageError(
            f"the request has {len(text)} characters, more than {MAX_REQUEST}",
            "Say in a sentence or two which workload is to be made faster.",
        )
    clean = _clean(text)
    meant, negated = _without_negations(clean)
    return Wording(clean, _HARDWARE.sub(lambda match: " " * len(match.group(0)), meant), negated)


def found(phrases: Iterable[str], text: str) -> tuple[str, ...]:
    """The phrases that occur in a text, in the order of ``phrases``.

    A phrase is one or several words; between them the text may have spaces, hyphens, underscores or slashes. A ``*``
    at the end of a Latin word stands for any ending.
    """
    folded = text.casefold()
    return tuple(phrase for phrase in phrases if _pattern(phrase).search(folded))


@functools.lru_cache(maxsize=4096)
def _pattern(phrase: str) -> re.Pattern[str]:
    words = [re.escape(word).replace(r"\*", "[a-z0-9]*") for word in re.split(r"[\s/_-]+", phrase.casefold())]
    pattern = r"[\s/_-]*".join(words) if not phrase.isascii() else r"[\s/_-]+".join(words)
    before = r"(?<![a-z0-9])" if phrase[:1].isascii() else ""
    after = r"(?![a-z0-9])" if phrase[-1:].isascii() else ""
    return re.compile(before + pattern + after)


def _clean(text: str) -> str:
    kept = []
    for character in unicodedata.normalize("NFKC", text):
        category = unicodedata.category(character)
        if character.isspace() or category == "Cc":
            kept.append("\n" if character == "\n" else " ")
        elif category[0] != "C":
            kept.append(character)
    return "".join(kept)[:MAX_REQUEST].strip()


def _without_negations(text: str) -> tuple[str, tuple[str, ...]]:
    meant, negated, position = text, [], 0
    while match := _NEGATION.search(text, position):
        end = _CLAUSE_END.search(text, match.end())
        stop = end.start() if end else len(text)
        meant = meant[: match.start()] + " " * (stop - match.start()) + meant[stop:]
        negated.append(" ".join(text[match.start() : stop].split()))
        position = max(stop, match.end())
    return meant, tuple(negated)
