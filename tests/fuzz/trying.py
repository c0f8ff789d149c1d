"""How much is tried, and what nobody who reads foreign text may do while it is tried."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.hostile.watching import watching

TRIED: Counter[str] = Counter()
"""Inputs by target."""


def sized(examples: int) -> settings:
    """So many inputs in the ordinary test run, and as many more as the profile has more than the usual hundred."""
    scale = max(1, settings().max_examples // 100)
    return settings(max_examples=examples * scale, suppress_health_check=list(HealthCheck))


@contextmanager
def reading(target: str) -> Iterator[None]:
    """One input is read: no file is written, no program started, no address called.

    Args:
        target: Who reads, for the count.
    """
    TRIED[target] += 1
    with watching() as seen:
        yield
    assert seen.programs == []
    assert seen.changed == []
    assert seen.called == []


def is_campaign() -> bool:
    """Minutes are spent on this, and not seconds."""
    return settings.get_current_profile_name() == "campaign"


def is_shown_safely(text: str) -> bool:
    """No character in it moves a terminal's cursor or changes its colours."""
    return not any((character < " " and character not in "\n\t") or "\x7f" <= character <= "\x9f" for character in text)


NUMBERS = [
    "1e999",
    "-1e999",
    "NaN",
    "-1",
    "",
    "0",
    "9" * 400,
    "1,5",
    "0x10",
    "1e308",
    "²",
    "١٢",
    "1_000",
    "+7",
    ".5",
    "-0",
]
"""What stands where a number is expected."""

MARKS = [
    "\x00", "\x1b[31m", "\x1b]0;title\x07", "\u202e", "\u200b", "\ud800", "\udcff", "\ufeff", "\r", "\n", "\n\n", "\t",
    "\x9b1m",
    "{", "}", "[", "]", '"', "'", "\\", "//", "/*", "`", "${x}", ";", "|", "&", "..", "=", ":", ",", "%s", "😀",
    "é", " " * 300,
]  # fmt: skip

texts = st.text(st.characters(), max_size=60)
"""Any characters at all, half ones too."""

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from([10**30, -(2**63) - 1, 1e-320]),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated_text(draw: st.DrawFn, source: str) -> str:
    """A text with some of it cut out, put in, doubled or in another place."""
    text = source
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        piece = text[start:end]
        new = draw(st.one_of(st.sampled_from([*MARKS, *NUMBERS, piece * 2, ""]), texts))
        text = text[:start] + new + text[end:]
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 5)) == 0 else text


@st.composite
def mutated_lines(draw: st.DrawFn, source: str) -> str:
    """A text with lines in another order, doubled or missing, and numbers that are none."""
    lines = source.split("\n")
    for _ in range(draw(st.integers(1, 6))):
        place, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                lines[place], lines[other] = lines[other], lines[place]
            case 1:
                lines.insert(place, lines[other])
            case 2 if len(lines) > 1:
                del lines[place]
            case 3:
                lines[place] += draw(st.sampled_from(MARKS))
            case _:
                words = lines[place].split(" ")
                words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(NUMBERS))
                lines[place] = " ".join(words)
    return "\n".join(lines)


@st.composite
def mutated_document(draw: st.DrawFn, document: Any) -> Any:
    """A JSON document with some of its values replaced, removed or added."""
    fresh = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(0, 4))):
        place = fresh
        while isinstance(place, (dict, list)) and place:
            keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            if draw(st.integers(0, 3)) == 0:
                del place[key]
            elif isinstance(place, dict) and draw(st.integers(0, 3)) == 0:
                place[draw(texts)] = draw(json_values)
            else:
                place[key] = draw(st.one_of(json_values, st.sampled_from(keys)))
            break
    return fresh
