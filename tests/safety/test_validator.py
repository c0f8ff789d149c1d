from __future__ import annotations

import pytest

import knobctl
from knobctl.errors import PlanError
from knobctl.knobs.files import catalogue
from knobctl.plan import plan_from
from knobctl.safety import SafetyValidator
from knobctl.target.metrics import DEFAULT_STATE
from tests.safety.machine import CATALOGUE, FACTS, plan, validate

FIVE_KEYS = {
    "workload_name": "PostgreSQL OLTP",
    "reward_metric": "transactions_per_second",
    "benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb",
    "action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 80}],
    "state_space": [{"metric": "cpu_utilization", "source": "/proc/stat"}],
}


def test_public_name_works_without_arguments() -> None:
    safe = knobctl.SafetyValidator().validate(plan_from(FIVE_KEYS))
    assert [tuned.knob.name for tuned in safe.knobs] == ["vm.dirty_ratio"]
    assert safe.default == {"vm.dirty_ratio": catalogue()["vm.dirty_ratio"].default}
    assert safe.decode([0.7]) == {"vm.dirty_ratio": 57}


def test_every_knob_of_the_shipped_catalogue_that_is_safe_can_be_asked_for_alone() -> None:
    validator = SafetyValidator(facts=FACTS)
    for knob in catalogue():
        request = plan_from({**FIVE_KEYS, "action_space": [{"param": knob.name}]})
        if knob.risk == "safe":
            assert validator.validate(request).knobs[0].knob == knob
        else:
            with pytest.raises(PlanError, match=r"is never tuned|only when you name it"):
                validator.validate(request)


def test_assumed_machine_has_the_catalogues_defaults() -> None:
    safe = SafetyValidator(CATALOGUE, FACTS).validate(plan("a.plain", "a.mode", "a.share"))
    assert safe.default == {"a.plain": 60, "a.mode": "off", "a.share": 4096}


def test_state_is_what_the_plan_names_once_or_the_usual() -> None:
    assert validate().state == DEFAULT_STATE
    named = validate(state_space=[{"metric": "cpu"}, {"metric": "iowait"}, {"metric": "cpu_usage"}])
    assert named.state == ("cpu_utilization", "iowait")


def test_knobs_keep_the_order_of_the_plan() -> None:
    assert validate("c.high", "a.plain", "b.ratio").space.names == ("c.high", "a.plain", "b.ratio")


def test_every_problem_is_named_with_its_hint() -> None:
    with pytest.raises(PlanError) as refused:
        validate("a.never", "a.nothing", {"param": "a.plain", "max": 500}, reward_metric="joy")
    assert refused.value.message.count("; ") >= 3
    for words in ("a.never is never tuned", "unknown knob 'a.nothing'", "0 to 500 is not inside", "prints no 'joy'"):
        assert words in refused.value.message
    for words in ("Remove it from the plan.", "`knobctl knobs` lists all of them.", "Use min 0 and max 100."):
        assert words in refused.value.hint
