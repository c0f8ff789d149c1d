from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.workload.reading import finite, parse_number, read_metrics, reading


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0.0),
        ("42", 42.0),
        (" 42.5 ", 42.5),
        ("-3.5", -3.5),
        ("+7", 7.0),
        (".25", 0.25),
        ("12.", 12.0),
        ("1,234", 1234.0),
        ("1,234,567.89", 1234567.89),
        ("1.5e3", 1500.0),
        ("2E-3", 0.002),
        ("1,234e2", 123400.0),
    ],
)
def test_a_number_is_read(text: str, number: float) -> None:
    assert parse_number(text) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", " ", ".", "-", "1,5", "12,34", "1,2345", ",123", "1.2.3", "1e", "0x10", "nan", "inf", "-inf", "1e999",
     "9" * 400, "1 234", "1_000", "٣", "12ms", "1.234,5"],
)  # fmt: skip
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    assert parse_number(text) is None


@given(st.floats(min_value=-1e12, max_value=1e12, allow_nan=False))
def test_every_float_comes_back_with_and_without_thousands_separators(number: float) -> None:
    assert parse_number(repr(number)) == number
    assert parse_number(f"{number:,.6f}") == pytest.approx(number, abs=1e-6, rel=1e-12)


@given(st.text(max_size=50))
def test_no_text_yields_anything_but_a_finite_number(text: str) -> None:
    number = parse_number(text)
    assert number is None or math.isfinite(number)


def test_the_last_match_of_a_line_counts_and_the_first_rule_that_finds_something() -> None:
    rules = (
        reading("rate", r"best rate: ([0-9.]+)"),
        reading("rate", r"rate: ([0-9.]+)"),
        reading("size", r"size: ([0-9.]+) KiB", 1 / 1024),
    )
    output = "rate: 1\n  rate: 2\nthe rate: 3\nsize: 2048 KiB\n"

    assert read_metrics(output, rules) == {"rate": 2.0, "size": 2.0}
    assert read_metrics(output + "best rate: 9\n", rules)["rate"] == 9.0


def test_a_number_too_large_for_a_float_is_no_metric() -> None:
    assert read_metrics("rate: " + "9" * 400, (reading("rate", r"rate: ([0-9]+)"),)) == {}


def test_finite_leaves_out_what_is_no_number() -> None:
    assert finite({"good": 1.0, "bad": math.nan, "huge": math.inf}) == {"good": 1.0}
