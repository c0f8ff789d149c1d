"""Repair: the nearest configuration in which every coupling holds, and no move that is not needed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.knobs import Coupling, Value
from knobctl.knobs.couplings import repair, violated
from knobctl.knobs.space import Dimension

BACKGROUND, FOREGROUND = "vm.dirty_background_ratio", "vm.dirty_ratio"
BELOW = Coupling("below", BACKGROUND, FOREGROUND, "because")
DIRTY = {BACKGROUND: Dimension(BACKGROUND, "integer", 1, 60), FOREGROUND: Dimension(FOREGROUND, "integer", 2, 80)}
CHAIN = [Coupling("at_most", "min", "default", "order"), Coupling("at_most", "default", "max", "order")]


def dirty(background: Value, foreground: Value) -> dict[str, Value]:
    return {BACKGROUND: background, FOREGROUND: foreground}


@pytest.mark.parametrize(
    ("given_", "repaired"),
    [
        (dirty(10, 20), dirty(10, 20)),
        (dirty(20, 20), dirty(19, 20)),
        (dirty(50, 7), dirty(6, 7)),
        (dirty(1, 2), dirty(1, 2)),
        (dirty(2, 2), dirty(1, 2)),
    ],
)
def test_the_left_side_is_lowered(given_: dict[str, Value], repaired: dict[str, Value]) -> None:
    assert repair(given_, [BELOW], DIRTY, {}) == repaired


def test_the_right_side_is_raised_when_the_left_cannot_be_lowered() -> None:
    dimensions = {**DIRTY, BACKGROUND: Dimension(BACKGROUND, "integer", 30, 60)}
    assert repair(dirty(40, 5), [BELOW], dimensions, {}) == dirty(30, 31)


def test_the_right_side_is_raised_when_the_left_is_fixed() -> None:
    assert repair({FOREGROUND: 5}, [BELOW], DIRTY, {BACKGROUND: 10}) == {FOREGROUND: 11}


def test_the_left_side_is_lowered_to_a_fixed_right_side() -> None:
    assert repair({BACKGROUND: 30}, [BELOW], DIRTY, {FOREGROUND: 20}) == {BACKGROUND: 19}


@pytest.mark.parametrize("fixed", [{BACKGROUND: 90}, {BACKGROUND: 80}])
def test_what_is_impossible_stays_as_it_is_and_is_told(fixed: dict[str, Value]) -> None:
    assert repair({FOREGROUND: 5}, [BELOW], DIRTY, fixed) == {FOREGROUND: 5}
    assert violated({FOREGROUND: 5}, [BELOW], fixed) == [BELOW]


def test_an_impossible_coupling_does_not_keep_others_from_being_repaired() -> None:
    dimensions = {name: Dimension(name, "integer", 10, 20) for name in ("min", "default", "max")}
    impossible = Coupling("below", "max", "floor", "never")
    repaired = repair({"min": 20, "default": 15, "max": 12}, [impossible, *CHAIN], dimensions, {"floor": 0})
    assert repaired == {"min": 12, "default": 12, "max": 12}
    assert violated(repaired, [impossible, *CHAIN], {"floor": 0}) == [impossible]


def test_a_circle_that_cannot_hold_comes_to_an_end() -> None:
    circle = [BELOW, Coupling("below", FOREGROUND, BACKGROUND, "nonsense")]
    assert repair(dirty(30, 20), circle, DIRTY, {}) == dirty(19, 20)


def test_couplings_with_an_unknown_side_or_a_word_are_ignored() -> None:
    assert repair({BACKGROUND: 30}, [BELOW], DIRTY, {}) == {BACKGROUND: 30}
    assert violated({BACKGROUND: 30}, [BELOW], {}) == []
    assert repair(dirty("off", 20), [BELOW], DIRTY, {}) == dirty("off", 20)


def test_special_values_are_exempt_and_never_the_goal_of_a_move() -> None:
    off = {
        "left": Dimension("left", "integer", 0, 9, special=(0,)),
        "right": Dimension("right", "integer", 0, 9, special=(0,)),
    }
    rule = [Coupling("below", "left", "right", "order")]
    assert repair({"left": 5, "right": 0}, rule, off, {}) == {"left": 5, "right": 0}
    assert violated({"left": 5, "right": 0}, rule, {}, off) == []
    assert violated({"left": 5, "right": 0}, rule, {}) == rule
    assert repair({"left": 5, "right": 1}, rule, off, {}) == {"left": 1, "right": 2}


def test_a_value_found_outside_its_dimension_stays_unless_a_coupling_moves_it() -> None:
    narrow = {BACKGROUND: Dimension(BACKGROUND, "integer", 5, 50), FOREGROUND: Dimension(FOREGROUND, "integer", 10, 60)}
    assert repair(dirty(1, 2), [BELOW], narrow, {}) == dirty(1, 2)
    assert repair(dirty(1, 90), [BELOW], narrow, {}) == dirty(1, 90)
    assert repair(dirty(95, 90), [BELOW], narrow, {}) == dirty(50, 90)


def test_listed_values_are_the_only_ones_to_move_to() -> None:
    dimensions = {**DIRTY, BACKGROUND: Dimension(BACKGROUND, "integer", values=(5, 10, 40))}
    assert repair(dirty(40, 20), [BELOW], dimensions, {}) == dirty(10, 20)


def test_knobs_that_nothing_couples_pass_unchanged_and_the_argument_is_not_touched() -> None:
    configuration = {**dirty(30, 20), "thp.enabled": "always"}
    assert repair(configuration, [BELOW], DIRTY, {})["thp.enabled"] == "always"
    assert configuration[BACKGROUND] == 30


names = ("a", "b", "c", "d")
couplings = st.lists(
    st.builds(
        lambda kind, pair: Coupling(kind, min(pair), max(pair), "order"),
        st.sampled_from(["below", "at_most"]),
        st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True),
    ),
    max_size=5,
)
spans = st.tuples(st.integers(0, 8), st.integers(0, 8)).map(sorted)
problems = st.tuples(
    st.fixed_dictionaries(dict.fromkeys(names, spans)),
    st.fixed_dictionaries(dict.fromkeys(names, st.integers(0, 8))),
    st.sets(st.sampled_from(names), max_size=2),
    couplings,
)


@given(problems)
def test_repair_satisfies_what_can_be_satisfied_once_and_for_all(problem) -> None:  # type: ignore[no-untyped-def]
    limits, wishes, still, rules = problem
    dimensions = {
        name: Dimension(name, "integer", low, high) for name, (low, high) in limits.items() if name not in still
    }
    fixed: dict[str, Value] = {name: wishes[name] for name in still}
    start: dict[str, Value] = {
        name: min(max(wishes[name], dimension.low), dimension.high) for name, dimension in dimensions.items()
    }
    repaired = repair(start, rules, dimensions, fixed)

    assert set(repaired) == set(start)
    assert all(dimensions[name].contains(value) for name, value in repaired.items())
    assert repair(repaired, rules, dimensions, fixed) == repaired
    tuned = list(dimensions)
    satisfiable = any(
        not violated(dict(zip(tuned, values, strict=True)), rules, fixed)
        for values in itertools.product(*(range(dimensions[name].low, dimensions[name].high + 1) for name in tuned))
    )
    assert (not violated(repaired, rules, fixed)) == satisfiable
    if not violated(start, rules, fixed):
        assert repaired == start
