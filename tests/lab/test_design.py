"""The order in which a sweep measures."""

from __future__ import annotations

from collections import Counter

import pytest

from knobctl.lab.design import DEFAULT_EVERY, design
from knobctl.lab.sweep import DEFAULT, POINT, REPEAT


def test_the_same_arguments_give_the_same_design() -> None:
    assert design(5, 120, 7) == design(5, 120, 7)
    assert design(5, 120, 7) != design(5, 120, 8)


@pytest.mark.parametrize("runs", [1, 2, 9, 10, 11, 33, 100, 301])
def test_every_place_has_a_visit_and_every_point_its_first(runs: int) -> None:
    layout = design(4, runs, 3)
    assert len(layout.visits) == runs
    assert [visit.point for visit in layout.visits if visit.role == POINT] == list(range(len(layout.points)))
    assert all(len(point) == 4 and all(0.0 <= u < 1.0 for u in point) for point in layout.points)


def test_every_tenth_run_is_the_default_configuration() -> None:
    visits = design(4, 95, 3).visits
    assert {place for place, visit in enumerate(visits) if visit.role == DEFAULT} == set(range(0, 95, DEFAULT_EVERY))


def test_about_15_percent_of_the_points_are_measured_twice_more_later() -> None:
    layout = design(4, 300, 3)
    repeats = Counter(visit.point for visit in layout.visits if visit.role == REPEAT)
    assert set(repeats.values()) == {2}
    assert len(repeats) == round(0.15 * len(layout.points), -1) + 1 == 31
    first = {visit.point: place for place, visit in reversed(list(enumerate(layout.visits)))}
    assert all(first[visit.point] < place for place, visit in enumerate(layout.visits) if visit.role == REPEAT)
    moments = [place for place, visit in enumerate(layout.visits) if visit.role == REPEAT]
    assert sum(place < 150 for place in moments) > 5  # a sweep that ends early has repeats too


def test_the_points_look_everywhere_from_the_start() -> None:
    points = design(3, 300, 3).points[:64]
    for axis in range(3):
        quarters = Counter(int(4 * point[axis]) for point in points)
        assert all(count == 16 for count in quarters.values())
