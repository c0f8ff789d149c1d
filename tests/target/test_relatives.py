"""Machines that are much like another one, and machines on which its lessons are wrong."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from knobctl.target.families import FAMILIES, family_by_name
from knobctl.target.relatives import related, unrelated
from knobctl.target.synthetic import SyntheticSurface
from tests.target.test_families import anywhere

SEEDS = range(4)


def matter(surface: SyntheticSurface) -> set[str]:
    own = {axis.param for axis in surface.axes if axis.effect is not None or axis.fails is not None}
    return own | {name for pair in surface.interactions for name in (pair.left, pair.right)}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_relative_has_the_same_knobs_and_the_same_ones_matter(family: str) -> None:
    for seed in SEEDS:
        surface = family_by_name(f"{family}:{seed}")
        other = related(surface, seed + 1)
        assert other.action_space == surface.action_space
        assert other.default() == surface.default()
        assert matter(other) == matter(surface)
        assert other == related(surface, seed + 1)
        assert matter(surface) == set() or other != related(surface, seed + 2)


@pytest.mark.parametrize("make", [related, unrelated])
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_better_than_its_optimum(
    family: str, make: Callable[[SyntheticSurface, int], SyntheticSurface]
) -> None:
    for seed in SEEDS:
        other = make(family_by_name(f"{family}:{seed}"), seed)
        _, gain = other.optimum()
        random = np.random.default_rng(seed)
        assert all(other.gain(anywhere(other, random)) <= gain + 1e-9 for _ in range(20))


def test_what_is_best_on_relatives_is_mostly_good_here() -> None:
    shares = []
    for seed in range(30):
        surface = family_by_name(f"few:{seed}")
        best, _ = related(surface, seed).optimum()
        shares.append(surface.gain(best) / surface.optimum()[1])
    assert np.median(shares) > 0.85
    assert min(shares) < 0.99, "but best a little elsewhere"


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "null"])
def test_what_is_best_where_other_knobs_matter_is_worth_nothing_here(family: str) -> None:
    shares = []
    for seed in range(12):
        surface = family_by_name(f"{family}:{seed}")
        other = unrelated(surface, seed)
        best, gain = other.optimum()
        assert other.action_space == surface.action_space
        assert gain == pytest.approx(surface.optimum()[1], rel=0.01)
        shares.append(max(surface.gain(best), -1.0) / surface.optimum()[1])
    assert np.mean(shares) < (0.9 if family == "many" else 0.5)


def test_an_unrelated_machine_never_fails() -> None:
    surface = family_by_name("crash:1")
    configuration = {axis.param: axis.fails[1] for axis in surface.axes if axis.fails is not None}
    assert surface.gain(configuration) == -math.inf
    assert unrelated(surface, 0).gain(configuration) > -math.inf
