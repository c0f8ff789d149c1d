from __future__ import annotations

import pytest

from knobctl.errors import PlanError
from knobctl.knobs import KnobState
from tests.safety.machine import CATALOGUE, states, validate


def test_only_couplings_of_tuned_knobs_with_the_value_of_the_other_side() -> None:
    safe = validate("c.low")
    assert [(rule.left, rule.right) for rule in safe.couplings] == [("c.low", "c.middle")]
    assert safe.fixed == {"c.middle": 20}
    assert validate("a.plain").couplings == ()


def test_coupling_of_two_tuned_knobs_fixes_nothing() -> None:
    safe = validate("b.ratio", "b.background")
    assert safe.couplings == (CATALOGUE.couplings[0],)
    assert safe.fixed == {}


def test_side_that_is_absent_has_nothing_to_say() -> None:
    found = states()
    found["c.middle"] = KnobState("c.middle", False, False)
    assert validate("c.low", found=found).couplings == ()


def test_side_whose_twin_is_in_use_has_nothing_to_say() -> None:
    safe = validate("b.background", found=states(b_ratio=0, b_bytes=4194304))
    assert safe.couplings == ()
    assert safe.repair({"b.background": 60}) == {"b.background": 60}


def test_range_that_can_never_hold_is_refused() -> None:
    with pytest.raises(PlanError) as refused:
        validate({"param": "b.background", "min": 20})
    assert refused.value.message == (
        "b.background has to be below b.ratio, and no value from 20 up is; b.ratio is 20 and not tuned"
    )
    assert refused.value.hint == "Add b.ratio to action_space, or move the range."
    assert validate({"param": "b.background", "min": 19}).knobs


def test_two_ranges_that_can_never_hold_are_refused() -> None:
    with pytest.raises(PlanError, match=r"b\.background has to be below b\.ratio, and no value from 30 up is$"):
        validate({"param": "b.background", "min": 30}, {"param": "b.ratio", "max": 30})
