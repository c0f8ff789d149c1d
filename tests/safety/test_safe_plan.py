from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.errors import KnobctlError
from knobctl.safety import SafePlan
from tests.safety.machine import states, validate

WOUNDED = states(c_low=40, c_middle=20, c_high=30, b_ratio=0, b_bytes=4194304)


def test_nobody_else_makes_one() -> None:
    safe = validate()
    fields = {field.name: getattr(safe, field.name) for field in dataclasses.fields(safe)}
    with pytest.raises(KnobctlError, match="only SafetyValidator makes a SafePlan"):
        SafePlan(**fields)
    with pytest.raises(KnobctlError, match="only SafetyValidator makes a SafePlan"):
        dataclasses.replace(safe, dropped=())


def test_decode_repairs_couplings() -> None:
    safe = validate("b.background", "b.ratio")
    configuration = safe.decode([1.0, 0.0])
    assert configuration["b.background"] < configuration["b.ratio"]  # type: ignore[operator]


def test_default_is_never_altered_even_when_it_breaks_a_rule() -> None:
    safe = validate("c.low", "c.middle", "c.high", "b.ratio", "b.background", found=WOUNDED)
    assert safe.default == {"c.low": 40, "c.middle": 20, "c.high": 30, "b.ratio": 0, "b.background": 10}
    assert safe.repair(safe.default) == safe.default
    assert safe.repair({}) == safe.default
    assert safe.changed(safe.repair({})) == {}


def test_idle_twin_is_left_alone_while_something_else_moves() -> None:
    safe = validate("b.ratio", "b.background", "a.plain", found=WOUNDED)
    assert safe.changed(safe.repair({"b.background": 50, "a.plain": 1})) == {"b.background": 50, "a.plain": 1}


def test_rule_between_found_values_is_not_blamed_on_a_change_elsewhere() -> None:
    safe = validate("c.low", "c.middle", "a.plain", found=WOUNDED)
    assert safe.repair({"a.plain": 1}) == {"c.low": 40, "c.middle": 20, "a.plain": 1}


def test_repair_of_one_rule_wakes_the_next_one() -> None:
    found = states(c_low=10, c_middle=40, c_high=30)
    safe = validate("c.low", {"param": "c.middle", "max": 35}, "c.high", found=found)
    configuration = safe.repair({"c.low": 90, "c.middle": 35})
    assert configuration["c.low"] <= configuration["c.middle"] <= configuration["c.high"]  # type: ignore[operator]


def test_changed_is_what_differs_from_the_default() -> None:
    safe = validate("a.plain", "a.other")
    assert safe.changed(safe.repair({"a.plain": 1})) == {"a.plain": 1}


KNOBS = ("a.plain", "a.share", "a.mode", "b.ratio", "b.background", "c.low", "c.middle", "c.high")


@given(st.lists(st.floats(0, 1), min_size=len(KNOBS), max_size=len(KNOBS)))
def test_every_action_gives_values_inside_with_every_coupling_held(action: list[float]) -> None:
    safe = validate(*KNOBS)
    configuration: dict[str, Any] = safe.decode(action)
    for tuned in safe.knobs:
        assert tuned.dimension.contains(configuration[tuned.knob.name])
    for coupling in safe.couplings:
        assert coupling.holds(configuration[coupling.left], configuration[coupling.right])
    assert safe.repair(configuration) == configuration


@given(
    st.lists(st.integers(0, 100), min_size=3, max_size=3),
    st.lists(st.sampled_from([None, *range(0, 101, 7)]), min_size=3, max_size=3),
)
def test_repair_settles_whatever_was_found(found: list[int], wanted: list[int | None]) -> None:
    names = ("c.low", "c.middle", "c.high")
    machine = states(**{name.replace(".", "_"): value for name, value in zip(names, found, strict=True)})
    safe = validate(*names, found=machine)
    asked = {name: value for name, value in zip(names, wanted, strict=True) if value is not None}
    once = safe.repair(asked)
    assert safe.repair(once) == once
    for coupling in safe.couplings:
        left, right = coupling.left, coupling.right
        as_found = once[left] == safe.default[left] and once[right] == safe.default[right]
        assert as_found or coupling.holds(once[left], once[right])  # type: ignore[arg-type]
