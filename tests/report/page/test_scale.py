"""Values in, places and round ticks out."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.report.page.frame import readable
from knobctl.report.page.scale import Scale, label, scale_over, time_unit, usual

NUMBERS = st.floats(-1e12, 1e12, allow_nan=False)


@given(st.lists(NUMBERS, max_size=30))
def test_a_scale_holds_all_values_and_has_ticks_inside(values: list[float]) -> None:
    scale = scale_over(values, 0.0, 500.0)
    assert all(scale.shows(value) and 0 <= scale.at(value) <= 500 for value in values)
    ticks = scale.ticks(6)
    assert len(ticks) <= 7 and all(-1e-6 <= scale.at(tick) <= 500 + 1e-6 for tick in ticks)
    assert ticks == sorted(ticks)


@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=20))
def test_a_log_scale_too(values: list[float]) -> None:
    scale = scale_over(values, 0.0, 500.0, log=True)
    assert all(scale.shows(value) for value in values)
    places = [scale.at(tick) for tick in readable(scale, 5)]
    assert all(later > earlier for earlier, later in itertools.pairwise(places))


def test_ticks_are_round() -> None:
    assert Scale(0.0, 100.0, 0, 1).ticks(5) == [0, 20, 40, 60, 80, 100]
    assert Scale(3712.0, 4630.0, 0, 1).ticks(5) == [3800, 4000, 4200, 4400, 4600]
    assert Scale(900.0, 2e6, 0, 1, log=True).ticks(5) == [1e3, 1e4, 1e5, 1e6]
    assert Scale(900.0, 6000.0, 0, 1, log=True).ticks(5) == [1e3, 2e3, 5e3]


def test_a_log_scale_refuses_nothing_but_falls_back_below_zero() -> None:
    assert scale_over([0.0, 10.0], 0, 1, log=True).log is False


def test_labels_that_would_run_into_each_other_are_left_out() -> None:
    assert readable(Scale(0.0, 6000.0, 0.0, 90.0), 6) == [0.0, 2000.0, 5000.0]
    assert readable(Scale(0.0, 6000.0, 0.0, 500.0), 6) == [0.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4000, "4,000"), (0.5, "0.5"), (0.1 + 0.2, "0.3"), (250_000, "250k"), (50e6, "50M"), (-20, "-20"), (0, "0"),
        (2**34, "17.18G"),
    ],
)  # fmt: skip
def test_label(value: float, text: str) -> None:
    assert label(value) == text


def test_far_out_values_are_not_usual() -> None:
    assert usual([10, 11, 12, 10, 11, 12, 500]) == [10, 11, 12, 10, 11, 12]
    assert usual([1, 1000]) == [1, 1000], "too few to tell"
    assert usual([]) == []


def test_time_unit() -> None:
    assert [time_unit(seconds)[1] for seconds in (100, 200, 8000)] == ["seconds", "minutes", "hours"]
    assert math.isclose(time_unit(200)[0], 60)
