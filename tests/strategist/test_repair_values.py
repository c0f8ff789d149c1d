from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.knobs.files import catalogue
from knobctl.strategist.repair_values import bounds, is_unit, percentage, whole


@pytest.mark.parametrize(
    ("raw", "unit", "value"),
    [
        (10, "percent", 10),
        (10.0, "", 10),
        ("10", "", 10),
        (" 10 % ", "percent", 10),
        ("10％", "percent", 10),
        ("10 percent", "", 10),
        ("1,000", "packets", 1000),
        ("1_000_000", "", 1_000_000),
        ("0x10", "", 16),
        ("-1", "", -1),
        ("1e6", "", 1_000_000),
        ("2.0", "", 2),
        ("16 MiB", "bytes", 16 * 2**20),
        ("16mb", "bytes", 16 * 2**20),
        ("16M", "KiB", 16 * 1024),
        ("128K", "KiB", 128),
        ("1.5 GiB", "bytes", 3 * 2**29),
        ("4096 B", "KiB", 4),
        ("30 s", "centiseconds", 3000),
        ("30秒", "centiseconds", 3000),
        ("500 ms", "centiseconds", 50),
        ("2 min", "seconds", 120),
        ("3 ms", "nanoseconds", 3_000_000),
        ("75 ms", "microseconds", 75_000),
        ("5000 centisecs", "centiseconds", 5000),
        ("64 requests", "requests", 64),
        ("1 request", "requests", 1),
    ],
)
def test_a_value_with_one_meaning(raw: Any, unit: str, value: int) -> None:
    assert whole(raw, unit) == value


@pytest.mark.parametrize(
    ("raw", "unit"),
    [
        (0.5, "percent"),
        (True, ""),
        (None, ""),
        (math.nan, ""),
        (math.inf, ""),
        ([5], ""),
        ("", ""),
        ("ten", ""),
        ("10.5", ""),
        ("1,00", ""),
        ("1,0000", ""),
        ("10 %", "1/10000 of memory"),
        ("10 %", "bytes"),
        ("64K", "packets"),
        ("16 MiB", "pages"),
        ("16 MiB", "percent"),
        ("1 KiB", "seconds"),
        ("100 B", "KiB"),
        ("1 ms", "centiseconds"),
        ("5m", "seconds"),
        ("1e999999999", ""),
        ("9" * 61, ""),
    ],
)
def test_a_value_with_no_meaning_or_several(raw: Any, unit: str) -> None:
    assert whole(raw, unit) is None


def test_a_unit_that_is_said_once_holds_for_plain_numbers() -> None:
    assert whole(5, "centiseconds", "seconds") == 500
    assert whole("5", "centiseconds", "seconds") == 500
    assert whole("5 ms", "microseconds", "seconds") == 5000
    assert whole(5, "percent", "MB") is None


@pytest.mark.parametrize(
    ("raw", "share"),
    [(0, 0.0), (2.5, 2.5), ("2.5 %", 2.5), ("0.5", 0.5), ("100％", 100.0), (100, 100.0), (100.1, None), (-0.1, None),
     ("5 ms", None), (True, None), (None, None), ([5], None), (math.nan, None), (math.inf, None), (10**400, None)],
)  # fmt: skip
def test_a_percentage(raw: Any, share: float | None) -> None:
    assert percentage(raw) == share


def test_words_that_are_units() -> None:
    assert all(is_unit(word) for word in ("seconds", " MiB ", "%", "usec"))
    assert not any(is_unit(word) for word in ("", "of memory", "count", "pages"))


@pytest.mark.parametrize(
    ("raw", "ends"),
    [
        ([5, 80], (5, 80)),
        ("5-80", ("5", "80")),
        ("5 - 80", ("5", "80")),
        ("5..80", ("5", "80")),
        ("5 to 80", ("5", "80")),
        ("5–80", ("5", "80")),
        ("5~80", ("5", "80")),
        ("5至80", ("5", "80")),
        ("[5, 80]", ("5", "80")),
        ("(5, 80)", ("5", "80")),
        ("1,000-2,000", ("1,000", "2,000")),
        ("-1-5", ("-1", "5")),
        ("4K-16M", ("4K", "16M")),
        ("4-16 MiB", ("4 MiB", "16 MiB")),
        ("5-80%", ("5 %", "80%")),
    ],
)
def test_a_range(raw: Any, ends: tuple[Any, Any]) -> None:
    assert bounds(raw) == ends


@pytest.mark.parametrize(
    "raw", ["", "5", "-5", "5,80", "a-b", "5-", "5-80-100", [5], [1, 2, 3], {"min": 1}, None, 5, "5 " * 40 + "- 6"]
)
def test_what_is_no_range(raw: Any) -> None:
    assert bounds(raw) is None


UNITS = sorted({knob.unit for knob in catalogue()})


@given(
    st.one_of(st.text(max_size=70), st.floats(), st.integers(),
              st.from_regex(r"-?[0-9,_.]{1,9} ?[a-zA-Zµ%]{0,4}", fullmatch=True)),
    st.sampled_from(UNITS),
    st.text(max_size=8),
)  # fmt: skip
def test_any_value_is_a_whole_number_or_none(raw: Any, unit: str, spoken: str) -> None:
    assert isinstance(whole(raw, unit, spoken), int | None)
    ends = bounds(raw)
    assert ends is None or len(ends) == 2


@given(st.integers(-(2**63), 2**63))
def test_a_plain_number_is_in_the_knobs_unit(number: int) -> None:
    for unit in UNITS:
        assert whole(number, unit) == whole(str(number), unit) == number
