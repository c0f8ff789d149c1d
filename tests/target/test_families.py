"""Surfaces that are drawn have the optimum that they announce, and can be tuned as a plan."""

from __future__ import annotations

import math

import numpy as np
import pytest

from knobctl.errors import UsageError
from knobctl.knobs import Value
from knobctl.knobs.files import catalogue
from knobctl.target.families import FAMILIES, KINDS, OPTIMUM_GAINS, draw, family_by_name, wide
from knobctl.target.simulated import FACTS
from knobctl.target.synthetic import Axis, Choice, Cliff, Interaction, Peak, Special, SyntheticSurface

SEEDS = range(8)


def anywhere(surface: SyntheticSurface, random: np.random.Generator) -> dict[str, Value]:
    """A random configuration; half of the knobs are at their best."""
    best, _ = surface.optimum()
    values: dict[str, Value] = {}
    for axis in surface.axes:
        low, high = math.log1p(axis.low), math.log1p(axis.high)
        picked: list[Value] = [*axis.values, *axis.special, best.get(axis.param, axis.default)]
        if not axis.values:
            picked.append(min(max(round(math.expm1(random.uniform(low, high))), axis.low), axis.high))
        values[axis.param] = picked[random.integers(len(picked))]
    return values


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_better_than_the_optimum(family: str) -> None:
    for seed in SEEDS:
        surface = family_by_name(f"{family}:{seed}")
        configuration, gain = surface.optimum()
        assert surface.gain(configuration) == gain
        random = np.random.default_rng(seed)
        assert all(surface.gain(anywhere(surface, random)) <= gain + 1e-9 for _ in range(20))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_optimum_gains_what_was_drawn_and_needs_every_knob_that_it_changes(family: str) -> None:
    for seed in SEEDS:
        surface = family_by_name(f"{family}:{seed}")
        configuration, gain = surface.optimum()
        if family == "null":
            assert (configuration, gain) == ({}, 0.0)
        elif family == "wounded":
            assert 1.0 <= math.expm1(gain) <= 2.5
        else:
            assert math.expm1(gain) == pytest.approx(min(OPTIMUM_GAINS, key=lambda each: abs(each - math.expm1(gain))))
        for name in configuration:
            without = {other: value for other, value in configuration.items() if other != name}
            assert surface.gain(without) < gain


@pytest.mark.parametrize("family", FAMILIES)
def test_every_knob_may_be_tuned_freely_over_its_whole_range(family: str) -> None:
    coupled = {name for coupling in catalogue().couplings for name in (coupling.left, coupling.right)}
    for seed in SEEDS:
        surface = family_by_name(f"{family}:{seed}")
        assert len(surface.default()) == len(surface.axes)
        for axis in surface.axes:
            knob = catalogue()[axis.param]
            assert (knob.name, knob.risk, knob.twin) == (axis.param, "safe", "")
            assert not surface.default().keys() & set(knob.affects)
            assert knob.effect != "cold" and knob.name not in coupled
            values = axis.values or (axis.low, axis.high, *axis.special)
            assert all(knob.allows(value, FACTS.quantities) for value in (axis.default, *values))


def test_a_seed_draws_the_same_machine_and_another_one_another() -> None:
    assert family_by_name("few:5") == family_by_name("few:5") != family_by_name("few:6")
    assert family_by_name("few:5").name == "family:few:5"
    assert {family_by_name(f"few:{seed}").direction for seed in range(20)} == {"maximize", "minimize"}


def active(surface: SyntheticSurface) -> int:
    paired = {name for pair in surface.interactions for name in (pair.left, pair.right)}
    return sum(axis.effect is not None or axis.param in paired for axis in surface.axes)


@pytest.mark.parametrize(("family", "matter", "knobs"), [
    ("null", 0, 8), ("single", 1, 8), ("few", 2, 10), ("many", 8, 10), ("interaction", 3, 8), ("cliff", 2, 8),
    ("special", 2, 8), ("crash", 2, 8), ("carry-over", 2, 8), ("wounded", 2, 6), ("wide", 3, 24),
])  # fmt: skip
def test_as_many_knobs_matter_as_the_family_says(family: str, matter: int, knobs: int) -> None:
    for seed in SEEDS:
        surface = family_by_name(f"{family}:{seed}")
        assert (active(surface), len(surface.axes)) == (matter, knobs)


def test_a_mixed_family_has_machines_of_every_size_and_every_kind() -> None:
    surfaces = [family_by_name(f"mixed:{seed}") for seed in range(40)]
    assert {active(surface) for surface in surfaces} == {2, 3, 4, 5}
    sizes = {len(surface.axes) for surface in surfaces}
    assert min(sizes) == 6 and max(sizes) == 24 and len(sizes) > 12
    assert {len(surface.interactions) for surface in surfaces} == {0, 1}
    axes = [axis for surface in surfaces for axis in surface.axes]
    assert {type(axis.effect).__name__ for axis in axes} == {
        "Peak", "Rise", "Cliff", "Choice", "Special", "NoneType",
    }  # fmt: skip
    assert any(axis.fails for axis in axes)
    assert any(isinstance(value, str) for axis in axes for value in axis.values)


def test_of_several_words_one_is_best_and_one_as_bad() -> None:
    surface = draw(3, knobs=4, active=1, optimum_gain=0.25, kinds=("word",))
    (axis,) = [axis for axis in surface.axes if axis.effect is not None]
    gains = sorted(surface.gain({axis.param: value}) for value in axis.values)
    assert gains == [pytest.approx(-math.log(1.25)), 0.0, 0.0, pytest.approx(math.log(1.25))]
    assert surface.optimum()[0].keys() == {axis.param}


@pytest.mark.parametrize("knobs", [3, 24, 25, 48])
def test_a_wide_machine_has_as_many_knobs_as_its_name_says(knobs: int) -> None:
    surface = family_by_name(f"wide:7:{knobs}")
    assert (surface.name, len(surface.default()), active(surface)) == (f"family:wide:7:{knobs}", knobs, 3)
    assert wide(7, knobs) == surface


@pytest.mark.parametrize("name", ["wide:7:", "wide:7:x", "wide::9", "few:1:9", "wide:1:9:9"])
def test_what_is_no_seed_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no seed of a family"):
        family_by_name(name)


@pytest.mark.parametrize(("name", "message"), [("wide:1:49", "3 active of 49 knobs"), ("wide:1:2", "3 active of 2")])
def test_there_are_so_many_knobs_and_no_more(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        family_by_name(name)
    assert caught.value.hint == "There are up to 48 knobs to draw from."


def test_one_step_beyond_the_best_value_is_a_cliff() -> None:
    surface = family_by_name("cliff:1")
    (axis,) = [axis for axis in surface.axes if isinstance(axis.effect, Cliff)]
    best, gain = surface.optimum()
    assert surface.gain({**best, axis.param: int(best[axis.param]) + 1}) < gain - 0.7


def test_one_step_beyond_the_best_value_the_benchmark_fails() -> None:
    surface = family_by_name("crash:1")
    (axis,) = [axis for axis in surface.axes if axis.fails]
    best, _ = surface.optimum()
    assert surface.score(best) is not None
    assert surface.score({**best, axis.param: int(best[axis.param]) + 1}) is None
    assert surface.score({axis.param: axis.high}) is None


def test_off_is_best_and_its_neighbours_are_not() -> None:
    surface = family_by_name("special:1")
    (axis,) = [axis for axis in surface.axes if isinstance(axis.effect, Special)]
    assert surface.optimum()[0][axis.param] == 0
    assert surface.gain({axis.param: 0}) > max(surface.gain({axis.param: value}) for value in range(1, axis.high, 7))
    assert {"param": axis.param, "min": axis.low, "max": axis.high, "special": [0]} in surface.action_space


def test_two_knobs_gain_only_together() -> None:
    for seed in SEEDS:
        surface = family_by_name(f"interaction:{seed}")
        (pair,) = surface.interactions
        left, right = pair.bells[0].best, pair.bells[1].best
        together = surface.gain({pair.left: left, pair.right: right})
        assert together > 0.04
        assert surface.gain({pair.left: left}) < -together / 20
        assert surface.gain({pair.right: right}) < -together / 20


def test_an_optimum_of_an_interaction_without_gain_is_the_default() -> None:
    pair = Interaction("a", "b", (Peak(9, 0.1, 1.0), Peak(9, 0.1, 1.0)), together=-0.1, alone=-0.2)
    axes = (Axis("a", 0, None, 0, 9), Axis("b", 0, None, 0, 9), Axis("c", 0, Choice({1: 0.1}), values=(0, 1)))
    surface = SyntheticSurface("trap", "score", "maximize", 1.0, axes, (pair,))
    assert surface.optimum() == ({"c": 1}, pytest.approx(0.1))


def test_what_is_asked_for_is_drawn() -> None:
    surface = draw(1, knobs=5, active=5, optimum_gain=0.3, kinds=tuple(KINDS))
    assert math.expm1(surface.optimum()[1]) == pytest.approx(0.3)
    assert surface.name == "drawn:1"
    assert {type(axis.effect).__name__ for axis in surface.axes} == {"Peak", "Rise", "Cliff", "Choice", "Special"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"knobs": 3, "active": 4}, "4 active of 3 knobs"),
        ({"knobs": 0, "active": 0}, "0 active of 0 knobs"),
        ({"knobs": 100}, "2 active of 100 knobs"),
        ({"active": 1, "interaction": True}, "an interaction of 1 active knobs"),
        ({"optimum_gain": 0.0}, "optimum_gain is 0"),
        ({"kinds": ("hole",)}, "unknown kind of effect 'hole'"),
        ({"kinds": ()}, "no kind of effect was given"),
        ({"kinds": ("special",)}, "no knob is left that could be a special"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        draw(1, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "message"),
    [("several", "unknown family of surfaces 'several'"), ("few:x", "'x' is no seed"), ("few:-1", "'-1' is no seed"),
     ("few:", "'' is no seed")],
)  # fmt: skip
def test_an_unknown_family_is_named_with_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        family_by_name(name)
    assert "null, single, few" in caught.value.hint or "family:few:3" in caught.value.hint
