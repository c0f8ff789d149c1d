from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.strategist.numbers import NUMBER, parse_number

PATTERN = re.compile(NUMBER, re.IGNORECASE | re.ASCII)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("50", 50),
        ("-5", -5),
        ("1,000", 1000),
        ("1,000,000", 1_000_000),
        ("2.5", 2.5),
        ("2k", 2000),
        ("10万", 100_000),
        ("3 千", 3000),
        ("ten", 10),
        ("Fifty", 50),
        ("a million", 1_000_000),
        ("2 hundred", 200),
        ("five thousand", 5000),
        ("五", 5),
        ("十", 10),
        ("十六", 16),
        ("五十", 50),
        ("两百", 200),
        ("一百二十三", 123),
        ("一万二千", 12_000),
        ("一百万", 1_000_000),
    ],
)
def test_a_number_is_read(text: str, number: float) -> None:
    match = PATTERN.fullmatch(text)
    assert match
    assert parse_number(match.group()) == number


@given(st.integers(0, 10**15))
def test_figures_are_read_back(number: int) -> None:
    assert parse_number(str(number)) == number
    assert parse_number(f"{number:,}") == number


@given(st.text(alphabet="0123456789.,-k 百千万亿一二两十 aten", max_size=30))
def test_whatever_the_pattern_finds_is_a_number(text: str) -> None:
    for match in PATTERN.finditer(text):
        assert not math.isnan(parse_number(match.group()))


def test_a_number_inside_a_word_is_none() -> None:
    assert [match.group() for match in PATTERN.finditer("ext4 x50 tenant 1.2.3")] == ["1.2"]
