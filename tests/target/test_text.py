"""Foreign text in, text that is safe to show out."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.target.text import clean, encodable

DANGEROUS = {"Cc", "Cf", "Co", "Zl", "Zp"}
PIECES = st.sampled_from(
    ["\x1b", "[", "]", "0", ";", "m", "\x07", "\\", "P", "\x9b", "\x9d", "\x9c", "\r", "\n", "\t", "a", "\u202e"]
)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("tps = 4000.5\n\tlatency 2 ms\n", "tps = 4000.5\n\tlatency 2 ms\n"),
        ("数据库 – “µs” ±5 %", "数据库 – “µs” ±5 %"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]0;new title\x07text", "text"),
        ("\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice control\x1b\\after", "after"),
        ("\x1b]52;c;never ends", ""),
        ("\x1b]0;never ends\nnext line", "\nnext line"),
        pytest.param("\x1b]" * 200_000 + "\n", "\n", id="many that never end"),
        ("\x1bc reset", " reset"),
        ("\x1b(0charset\x1b#8", "charset"),
        ("\x9b31mred\x9bm", "red"),
        ("\x9d0;title\x9ctext \x90q\x9c\x9e\x9f\x98x\x07.", "text ."),
        ("\x9d52;c;never ends", ""),
        ("private \ue000\uf8ff\U000f0000\U0010fffd use", "private  use"),
        ("\u0600\u06dd\u070f\U000110bd\U0001bca0\U0001d173", ""),
        ("10 %\r99 %", "10 %99 %"),
        ("back\b\b\bspace\x7f", "backspace"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("\x00null", "null"),
        ("line\u2028separator\u2029", "lineseparator"),
    ],
)
def test_what_is_left_is_what_can_be_read(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@given(st.text() | st.lists(PIECES).map("".join))
def test_nothing_that_moves_a_cursor_is_left(raw: str) -> None:
    once = clean(raw)
    assert [each for each in once if each not in "\n\t" and unicodedata.category(each) in DANGEROUS] == []
    assert clean(once) == once


@given(st.text(st.characters(categories=["L", "N", "P", "S"]) | st.sampled_from(" \n\t")))
def test_what_people_write_is_left_alone(raw: str) -> None:
    assert clean(raw) == raw


def test_halves_of_characters_become_marks() -> None:
    assert encodable("half \ud83d of a \udcff 字 \x00") == "half ? of a ? 字 \x00"


def test_every_character_that_is_none_goes() -> None:
    everything = "".join(map(chr, range(0x110000)))
    left = {unicodedata.category(each) for each in clean(everything) if each not in "\n\t"}
    assert not left & DANGEROUS
