"""Dimension and Space: what goes in comes out, whatever the scale, the special values or the bins."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.knobs.space import LARGEST, Dimension, Space

points = st.floats(0, 1)


@st.composite
def ranges(draw: st.DrawFn) -> Dimension:
    low = draw(st.integers(-10, 2**33))
    high = low + draw(st.one_of(st.integers(0, 300), st.integers(0, 2**40)))
    special = draw(st.lists(st.integers(-5, 2**33), max_size=4, unique=True))
    scale = draw(st.sampled_from(["linear", "log"]))
    return Dimension("a.knob", "integer", low, high, scale, special=tuple(special))


@st.composite
def bins(draw: st.DrawFn) -> Dimension:
    words = st.text("abc+-", min_size=1, max_size=6)
    kind = draw(st.sampled_from(["integer", "choice"]))
    values = draw(st.lists(st.integers(-5, 10**9) if kind == "integer" else words, min_size=1, max_size=9, unique=True))
    return Dimension("a.knob", kind, values=tuple(values))


dimensions = st.one_of(ranges(), bins())


@given(dimensions, points)
def test_every_point_is_an_allowed_value(dimension: Dimension, u: float) -> None:
    assert dimension.contains(dimension.decode(u))


@given(dimensions, points)
def test_a_decoded_value_survives_encoding(dimension: Dimension, u: float) -> None:
    value = dimension.decode(u)
    assert 0 <= dimension.encode(value) <= 1
    assert dimension.decode(dimension.encode(value)) == value


@given(ranges(), st.data())
def test_every_allowed_integer_survives_encoding(dimension: Dimension, data: st.DataObject) -> None:
    value = data.draw(
        st.one_of(st.integers(dimension.low, dimension.high), st.sampled_from([*dimension.special, dimension.low]))
    )
    assert dimension.decode(dimension.encode(value)) == value


@given(ranges(), points, points)
def test_a_larger_point_is_no_smaller_value(dimension: Dimension, u: float, v: float) -> None:
    plain = Dimension("a.knob", "integer", dimension.low, dimension.high, dimension.scale)
    low, high = sorted((u, v))
    assert plain.decode(low) <= plain.decode(high)


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize(("low", "high"), [(0, LARGEST), (1, 1 + LARGEST), (2**40, 2**40 + LARGEST)])
def test_neighbours_at_the_far_end_of_the_widest_range_differ(scale: str, low: int, high: int) -> None:
    dimension = Dimension("a.knob", "integer", low, high, scale, special=(-1,))
    for value in (low, low + 1, high - 2, high - 1, high):
        assert dimension.decode(dimension.encode(value)) == value


def test_ties_are_rounded_down() -> None:
    dimension = Dimension("vm.dirty_ratio", "integer", 5, 80)
    assert dimension.decode(0.7) == 57
    assert [dimension.decode(u) for u in (0, 1)] == [5, 80]
    assert Dimension("a.knob", "integer", 0, 1).decode(0.5) == 0


def test_points_outside_are_moved_to_the_nearest_end_and_nan_is_refused() -> None:
    dimension = Dimension("a.knob", "integer", 3, 9)
    assert dimension.decode(-0.4) == 3
    assert dimension.decode(math.inf) == 9
    with pytest.raises(ValueError, match=r"a\.knob: cannot decode NaN"):
        dimension.decode(math.nan)


def test_log_scale_has_its_middle_at_the_geometric_mean_and_may_start_at_zero() -> None:
    assert Dimension("a.knob", "integer", 1, 10_000, "log").decode(0.5) == 100
    shifted = Dimension("a.knob", "integer", 0, 999, "log")
    assert shifted.decode(0) == 0
    assert shifted.decode(2 / 3) == 99
    assert shifted.decode(1) == 999


def test_special_values_are_a_tenth_each_and_a_fifth_together() -> None:
    two = Dimension("a.knob", "integer", 100, 200, special=(0, -1))
    assert [two.decode(u) for u in (0.0, 0.099, 0.101, 0.199, 0.2)] == [0, 0, -1, -1, 100]
    four = Dimension("a.knob", "integer", 100, 200, special=(0, -1, -2, 7))
    assert [four.decode(u) for u in (0.04, 0.06, 0.14, 0.16, 0.2)] == [0, -1, -2, 7, 100]
    assert two.encode(0) == pytest.approx(0.05)
    assert two.encode(200) == 1


def test_values_are_bins_of_equal_width_with_the_point_in_the_middle() -> None:
    dimension = Dimension("thp.enabled", "choice", values=("always", "madvise", "never"))
    assert [dimension.decode(u) for u in (0, 0.34, 0.67, 1)] == ["always", "madvise", "never", "never"]
    assert dimension.encode("madvise") == pytest.approx(0.5)


def test_sizes() -> None:
    assert Dimension("a.knob", "integer", 5, 80).size == 76
    assert Dimension("a.knob", "integer", 5, 80, special=(0, 7)).size == 77
    assert Dimension("a.knob", "choice", values=("a", "b")).size == 2


def test_a_boolean_or_a_word_is_no_integer() -> None:
    dimension = Dimension("a.knob", "integer", 0, 1)
    assert dimension.contains(1)
    assert not dimension.contains(True)
    assert not dimension.contains("1")
    assert not Dimension("a.knob", "integer", values=(0, 1)).contains(True)
    with pytest.raises(ValueError, match="'1' is not an integer"):
        dimension.encode("1")


def test_a_value_found_outside_has_the_point_of_the_nearest_one() -> None:
    assert Dimension("a.knob", "integer", 5, 80).encode(2) == 0
    assert Dimension("a.knob", "integer", 5, 80).encode(90) == 1
    assert Dimension("a.knob", "integer", values=(10, 20, 40)).encode(33) == pytest.approx(5 / 6)
    with pytest.raises(ValueError, match="'bfq' is none of none, kyber"):
        Dimension("block.scheduler", "choice", values=("none", "kyber")).encode("bfq")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "float"}, "kind is integer or choice, not float"),
        ({"scale": "cubic"}, "scale is linear or log, not cubic"),
        ({"kind": "choice"}, "a choice has values"),
        ({"low": 9, "high": 3}, "low 9 is above high 3"),
        ({"values": (1, 1)}, "a value stands twice"),
        ({"special": (0, 0)}, "a special value stands twice"),
        ({"values": (1, 2), "special": (0,)}, "special values stand among the values"),
        ({"high": LARGEST + 1}, "a range is at most"),
    ],
)
def test_an_impossible_dimension_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=f"a.knob: {words}"):
        Dimension("a.knob", **arguments)  # type: ignore[arg-type]


@given(ranges(), st.integers(-20, 2**41))
def test_neighbours_of_a_limit_are_ordinary_values_next_to_it(dimension: Dimension, limit: int) -> None:
    below, above = dimension.at_most(limit), dimension.at_least(limit)
    for value in (below, above):
        assert value is None or (dimension.low <= value <= dimension.high and value not in dimension.special)
    assert below is None or below <= limit
    assert above is None or above >= limit
    if dimension.low <= limit <= dimension.high and limit not in dimension.special:
        assert below == above == limit


def test_neighbours_among_listed_values() -> None:
    dimension = Dimension("a.knob", "integer", values=(10, 20, 40))
    assert (dimension.at_most(39), dimension.at_least(21), dimension.at_most(9), dimension.at_least(41)) == (
        20,
        40,
        None,
        None,
    )


class TestSpace:
    space = Space((Dimension("a", "integer", 0, 10), Dimension("b", "choice", values=("x", "y"))))

    def test_names_and_length(self) -> None:
        assert self.space.names == ("a", "b")
        assert len(self.space) == 2

    def test_vector_and_configuration(self) -> None:
        assert self.space.decode([0.3, 0.9]) == {"a": 3, "b": "y"}
        assert self.space.encode({"b": "x", "a": 3, "other": 1}) == [pytest.approx(0.3), 0.25]

    def test_a_vector_of_another_length_is_refused(self) -> None:
        with pytest.raises(ValueError, match="3 numbers for 2 knobs"):
            self.space.decode([0, 0, 0])

    def test_a_missing_knob_is_named(self) -> None:
        with pytest.raises(ValueError, match="no value for b"):
            self.space.encode({"a": 1})

    def test_a_name_stands_once(self) -> None:
        with pytest.raises(ValueError, match="stands twice in the space: a, a"):
            Space((Dimension("a", "integer", 0, 1), Dimension("a", "integer", 0, 1)))
