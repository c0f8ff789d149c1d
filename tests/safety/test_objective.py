from __future__ import annotations

import pytest

from knobctl.errors import PlanError
from knobctl.safety import Consent
from tests.safety.machine import validate


@pytest.mark.parametrize("name", ["transactions_per_second", "tps", "TPS", "Transactions-Per-Second"])
def test_metric_by_name_or_synonym(name: str) -> None:
    objective = validate(reward_metric=name).objective
    assert (objective.name, objective.direction) == ("transactions_per_second", "maximize")


def test_direction_that_agrees_is_fine_and_one_that_does_not_is_an_error() -> None:
    assert validate(reward_metric="latency", direction="lower").objective.direction == "minimize"
    with pytest.raises(PlanError, match="latency_average_ms is better when lower, and the plan says maximize"):
        validate(reward_metric="latency", direction="maximize")


def test_unknown_metric_lists_the_known_ones() -> None:
    with pytest.raises(PlanError) as refused:
        validate(reward_metric="joy\u200d")
    assert "prints no 'joy\\u200d'; it prints transactions_per_second, latency_average_ms" in refused.value.message


def test_pattern_names_its_own_metric() -> None:
    consent = Consent(command="./mine")
    custom = {"benchmark_command": "./mine", "metric_pattern": "score ([0-9]+)", "reward_metric": "score"}
    assert validate(consent=consent, direction="up", **custom).objective.direction == "maximize"
    with pytest.raises(PlanError, match="nobody knows whether more or less of 'score' is better"):
        validate(consent=consent, **custom)


def test_pattern_on_a_known_tool_keeps_the_known_name_and_the_other_metrics() -> None:
    safe = validate(metric_pattern="tps = ([0-9.]+)", guardrails=[{"metric": "latency"}])
    assert safe.objective.name == "transactions_per_second"
    assert safe.guardrails[0].metric.name == "latency_average_ms"


def test_guardrails_with_tolerance() -> None:
    guardrails = validate(guardrails=[{"metric": "latency", "tolerance_percent": 7}]).guardrails
    assert [(each.metric.name, each.tolerance_percent) for each in guardrails] == [("latency_average_ms", 7.0)]
