"""Near means alike, and atoms are near to nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.knobs.space import Dimension, Space
from knobctl.search.encoding import Encoding

RANGE = Dimension("demo.range", "integer", 0, 100)
OFF = Dimension("demo.off", "integer", 1, 100, special=(0,))
WORDS = Dimension("demo.words", "choice", values=("none", "kyber", "bfq"))
LEVELS = Dimension("demo.levels", values=(0, 1, 2, 4))
SPACE = Space((RANGE, OFF, WORDS, LEVELS))
DEFAULT = {"demo.range": 50, "demo.off": 0, "demo.words": "none", "demo.levels": 1}


def apart(one: dict[str, object], other: dict[str, object]) -> list[float]:
    encoding = Encoding(SPACE, DEFAULT)
    rows = encoding.coordinates([{**DEFAULT, **one}, {**DEFAULT, **other}])  # type: ignore[dict-item]
    return [float(encoding.distances(column, column)[0, 1]) for column in rows.T]


def test_a_range_is_one_long() -> None:
    assert apart({"demo.range": 0}, {"demo.range": 100}) == [1.0, 0.0, 0.0, 0.0]
    assert apart({"demo.off": 1}, {"demo.off": 100})[1] == pytest.approx(1.0)
    assert apart({"demo.range": 20}, {"demo.range": 30})[0] == pytest.approx(0.1)


def test_an_atom_is_as_far_from_everything() -> None:
    assert math.isnan(apart({"demo.off": 0}, {"demo.off": 1})[1])
    assert math.isnan(apart({"demo.off": 0}, {"demo.off": 100})[1])
    assert math.isnan(apart({"demo.words": "none"}, {"demo.words": "bfq"})[2])
    assert apart({"demo.words": "bfq"}, {"demo.words": "bfq"})[2] == 0.0


def test_numbers_among_explicit_values_stand_in_their_order() -> None:
    assert apart({"demo.levels": 0}, {"demo.levels": 4})[3] > apart({"demo.levels": 0}, {"demo.levels": 1})[3] > 0


def test_words_from_outside_the_space_are_words_of_their_own() -> None:
    encoding = Encoding(SPACE, {**DEFAULT, "demo.words": "mq-deadline"})
    words = ["mq-deadline", "none", "gone", "gone"]
    rows = encoding.coordinates([{**DEFAULT, "demo.words": word} for word in words])
    assert len(set(rows[:, 2])) == 3
    assert rows[2, 2] == rows[3, 2]


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_point_and_its_configuration_have_the_same_coordinates(point: list[float]) -> None:
    encoding = Encoding(SPACE, DEFAULT)
    at = encoding.at(np.array([point]))[0]
    decoded = encoding.coordinates([SPACE.decode(point)])[0]
    assert at[2:] == pytest.approx(decoded[2:])
    assert np.abs(at - decoded).max() < 0.011, "but for the rounding of integers"
