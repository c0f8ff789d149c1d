"""Numbers, times and foreign text in, short text out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.report import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"), (0.0, "0"), (10731.4, "10,731"), (412.34, "412.3"), (1.2345, "1.234"), (0.01234, "0.01234"),
        (0.000012, "1.2e-05"), (-55.5, "-55.50"), (math.inf, "inf"), (123456789.0, "123,456,789"),
    ],
)  # fmt: skip
def test_number(value: float | None, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(8.14, "+8.1 %"), (-0.04, "-0.0 %"), (1834.5, "+1,834 %"), (None, "unknown"), (math.inf, "unknown")],
)
def test_percent(value: float | None, text: str) -> None:
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"), (45.4, "45 s"), (60, "1 min"), (200, "3 min 20 s"), (720, "12 min"), (3599, "1 h 0 min"),
        (3900, "1 h 5 min"),
    ],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_assignments() -> None:
    assert (
        wording.assignments({"vm.dirty_ratio": 40, "thp.enabled": "always"}) == "vm.dirty_ratio=40 thp.enabled=always"
    )
    assert wording.assignments({}) == "default"


@given(st.text())
def test_one_line_is_one_line_without_controls(text: str) -> None:
    line = wording.one_line(text, limit=50)
    assert len(line) <= 50
    assert not any(mark in line for mark in "\n\r\x1b\x07\u202e")


def test_columns_align_wide_characters_and_cut_nothing() -> None:
    assert wording.columns(["a", "b"], [["慢", "1"], ["xyz", "a very long last cell"]]) == [
        "  a    b",
        "  慢   1",
        "  xyz  a very long last cell",
    ]
