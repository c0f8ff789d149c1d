"""Everything that a run knows in, the result document out."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from knobctl.errors import StoreError
from knobctl.events import SessionEnded, Trial
from knobctl.measure import GuardrailJudgement, Judgement, Noise, Verdict
from knobctl.plan import TuningPlan
from knobctl.safety import SafePlan, SafetyValidator
from knobctl.store import KnobChange, Result, Store, conclude
from knobctl.target import HostFacts

SPECIFIED = {
    "success", "workload_name", "best_reward", "best_config", "baseline_reward", "improvement", "total_episodes",
    "verdict", "improvement_interval", "metric", "direction", "baseline_score", "best_score", "candidate_config",
    "claimed_by_search", "trials", "benchmark_seconds", "session_id", "restored",
}  # fmt: skip
FACTS = HostFacts("6.18.5", "x86_64", "Debian 12", "EPYC", 2, 25_000_000_000, 0)
LATENCY = GuardrailJudgement("latency_average", 5.0, "held", -1.0, "latency_average is 1.0 % worse")


@pytest.fixture
def safe_plan(plan: TuningPlan) -> SafePlan:
    return SafetyValidator(facts=FACTS).validate(plan)


def judgement(verdict: Verdict, percent: float | None, low: float | None, high: float | None) -> Judgement:
    return Judgement(verdict, percent, low, high, 12, 4000.0, 4324.0, (LATENCY,), "after 12 pairs ...")


def trial(number: int, seconds: float) -> Trial:
    return Trial(number, "search", {}, 1.0, {}, {}, (), seconds, None, "", 0.0)


def concluded(plan: SafePlan, **changes: Any) -> Result:
    values: dict[str, Any] = {
        "session_id": "20261122-184500-a1b2",
        "target": "local",
        "simulated": False,
        "searcher": "ppo",
        "trials": [trial(0, 30.5), trial(1, 30.0)],
        "seconds": 90.0,
        "restored": True,
        "noise": Noise(3900.0, 0.03, 0.05, 12, 5.2, -1.0, 4),
        "candidate": {"vm.dirty_ratio": 40},
        "claimed_percent": 13.0,
        "judgement": judgement(Verdict.IMPROVED, 8.1, 5.2, 11.0),
        "baseline_reward": 99.0,
        "candidate_reward": 103.5,
        "total_episodes": 3,
        "policy_updates": 2,
        "notes": ("a note",),
    }
    return conclude(plan, **{**values, **changes})


def test_an_improvement(safe_plan: SafePlan) -> None:
    result = concluded(safe_plan)
    assert result.success and result.restored
    assert result.verdict is Verdict.IMPROVED
    assert result.best_config == result.candidate_config == {"vm.dirty_ratio": 40}
    assert (result.improvement, result.improvement_interval, result.pairs) == (8.1, (5.2, 11.0), 12)
    assert (result.baseline_score, result.best_score) == (4000.0, 4324.0)
    assert (result.baseline_reward, result.best_reward) == (99.0, 103.5)
    assert (result.trials, result.benchmark_seconds) == (2, 60.5)
    assert result.claimed_by_search == 13.0
    (knob,) = result.knobs
    assert isinstance(knob, KnobChange)
    assert (knob.name, knob.found, knob.candidate, knob.unit) == ("vm.dirty_ratio", 20, 40, "percent")
    assert knob.why


@pytest.mark.parametrize(
    ("verdict", "percent", "low", "high"),
    [
        (Verdict.NO_CHANGE, 0.4, -2.0, 2.8),
        (Verdict.WORSE, -9.0, -12.0, -6.0),
        (Verdict.INCONCLUSIVE, 3.0, -5.0, 11.0),
        (Verdict.WORSE, 9.0, 5.0, 12.0),
    ],
)
def test_without_an_improvement_nothing_is_recommended(
    safe_plan: SafePlan, verdict: Verdict, percent: float, low: float, high: float
) -> None:
    result = concluded(safe_plan, judgement=judgement(verdict, percent, low, high))
    assert result.success, "finding nothing is a success"
    assert result.best_config == {}
    assert result.candidate_config == {"vm.dirty_ratio": 40}
    assert (result.improvement, result.improvement_interval) == (percent, (low, high))
    assert (result.best_score, result.best_reward) == (4000.0, 99.0)


def test_the_headline_never_comes_from_the_search(safe_plan: SafePlan) -> None:
    result = concluded(safe_plan, judgement=None)
    assert (result.verdict, result.improvement, result.pairs) == (Verdict.INCONCLUSIVE, 0.0, 0)
    assert result.reason == "the candidate was not verified, so nothing is proven"
    assert (result.best_config, result.improvement_interval) == ({}, None)
    assert result.claimed_by_search == 13.0
    assert (result.baseline_score, result.best_score) == (3900.0, 3900.0), "from the preflight"


@pytest.mark.parametrize("candidate", [None, {}, {"vm.dirty_ratio": 20}])
def test_a_search_that_proposes_what_was_found_is_no_change(
    safe_plan: SafePlan, candidate: dict[str, int] | None
) -> None:
    result = concluded(safe_plan, candidate=candidate, judgement=None)
    assert (result.verdict, result.candidate_config, result.knobs) == (Verdict.NO_CHANGE, {}, ())
    assert result.reason == "the search proposes nothing but what was found"


def test_an_estimate_that_cannot_be_computed_is_zero_and_inconclusive(safe_plan: SafePlan) -> None:
    result = concluded(safe_plan, judgement=judgement(Verdict.INCONCLUSIVE, None, None, None))
    assert (result.improvement, result.improvement_interval) == (0.0, None)


def test_a_machine_that_is_not_restored_is_no_success(safe_plan: SafePlan) -> None:
    assert not concluded(safe_plan, restored=False).success


def test_the_document_has_every_specified_key_and_is_plain_json(safe_plan: SafePlan) -> None:
    document = concluded(safe_plan, noise=Noise(3900.0, 0.03, 0.05, 4, math.inf, 0.0, 4)).to_dict()
    assert set(document) >= SPECIFIED
    assert document["smallest_percent"] is None, "JSON has no infinity"
    assert document["verdict"] == "IMPROVED"
    assert document["improvement_interval"] == [5.2, 11.0]
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert isinstance(document["improvement"], float)


def test_a_document_becomes_the_same_result(safe_plan: SafePlan) -> None:
    result = concluded(safe_plan)
    document = json.loads(json.dumps(result.to_dict()))
    assert Result.from_dict(document) == result
    assert Result.from_dict({**document, "added_later": 1}) == result
    for name in ("knobs", "guardrails"):
        nested = [{**one, "added_later": 1} for one in document[name]]
        assert nested and Result.from_dict({**document, name: nested}) == result


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "GREAT"},
        {"improvement_interval": [1.0]},
        {"knobs": [{"name": "x"}]},
        {"knobs": ["x"]},
        {"guardrails": 3},
        {"guardrails": ["x"]},
    ],
)
def test_a_damaged_document_is_an_error(safe_plan: SafePlan, change: dict[str, Any]) -> None:
    document = {**concluded(safe_plan).to_dict(), **change}
    with pytest.raises(StoreError, match="the result document is not complete"):
        Result.from_dict(document)


def test_a_missing_key_is_an_error(safe_plan: SafePlan) -> None:
    document = concluded(safe_plan).to_dict()
    del document["verdict"]
    with pytest.raises(StoreError, match="KeyError\\('verdict'\\)"):
        Result.from_dict(document)


def test_the_store_keeps_the_result(store: Store, safe_plan: SafePlan) -> None:
    session = store.begin(
        request="", plan=safe_plan.plan, facts=FACTS, target="local", simulated=False, searcher="ppo", budget=1, seed=1
    )
    result = concluded(safe_plan, session_id=session)
    store.sink(session)(SessionEnded(result.to_dict()))
    record = store.session(session)
    assert (record.status, record.result) == ("finished", result)
