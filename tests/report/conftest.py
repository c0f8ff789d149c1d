"""One run as events, and the records that the views show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from knobctl import events
from knobctl.measure import GuardrailJudgement, Verdict
from knobctl.plan import plan_from
from knobctl.safety import SafePlan, SafetyValidator
from knobctl.store import KnobChange, Result
from knobctl.target import HostFacts

SESSION = "20261122-184500-a1b2"
FACTS = HostFacts("6.18.5", "x86_64", "Debian 12", "EPYC", 2, 25_000_000_000, 0)


def trial(number: int, kind: str, score: float | None, configuration: dict[str, Any] | None = None) -> events.Trial:
    return events.Trial(
        number, kind, configuration or {}, score, {"latency_average": 2.41} if score else {},
        {"cpu_utilization": 88.0}, (), 30.0, None, "" if score else "exit code 1: \x1b[31mno such database", 0.0,
    )  # fmt: skip


def events_of_a_run(simulated: bool = False) -> list[events.Event]:
    changed = {"vm.dirty_ratio": 40}
    target = "simulated:postgresql" if simulated else "local"
    return [
        events.SessionStarted(
            SESSION, "PostgreSQL OLTP", "transactions_per_second", "1/s", "maximize", "pgbench -c 50 testdb", target,
            simulated, "ppo", 2,
        ),
        events.PhaseStarted("preflight", 1, 700.0, "measuring the machine as it is"),
        events.TrialStarted(0, "baseline", {}, 1, 1, 700.0),
        events.Progress(0, 0.5, 3999.0),
        events.TrialDone(trial(0, "baseline", 4000.0), 1, 1, 650.0, None),
        events.NoiseMeasured(4000.0, 3.1, 5.2, 12),
        events.PhaseStarted("search", 2, 600.0, "ppo tries up to 2 configurations"),
        events.TrialStarted(1, "search", changed, 1, 2, 600.0),
        events.Progress(1, 0.25, None),
        events.TrialDone(trial(1, "search", 4500.0, changed), 1, 2, 560.0, 12.5),
        events.TrialStarted(2, "search", {"vm.swappiness": 1}, 2, 2, 560.0),
        events.TrialDone(trial(2, "search", None, {"vm.swappiness": 1}), 2, 2, 500.0, 12.5),
        events.Notice("the [bold]disk\x1b[2J is slow", "warning"),
        events.Notice("one update of the policy"),
        events.CandidateChosen(changed, 12.5, 1),
        events.PhaseStarted("verify", 4, 120.0, "up to 2 fresh pairs"),
        events.TrialStarted(3, "verify-candidate", changed, 1, 4, 120.0),
        events.PairMeasured(1, 2, 4000.0, 4300.0, 7.5, None, None),
        events.PairMeasured(2, 2, 4000.0, 4340.0, 8.5, 5.2, 11.0),
        events.PhaseStarted("restore", 0, 0.0, "putting every knob back"),
        events.MachineRestored(True, 2, ("/proc/sys/vm/swappiness",)),
        events.SessionEnded({}),
    ]  # fmt: skip


@pytest.fixture
def run() -> Callable[..., list[events.Event]]:
    return events_of_a_run


@pytest.fixture
def result() -> Callable[..., Result]:
    def make(**changes: Any) -> Result:
        values: dict[str, Any] = {
            "success": True,
            "workload_name": "PostgreSQL OLTP",
            "best_reward": 103.5,
            "best_config": {"vm.dirty_ratio": 40},
            "baseline_reward": 99.0,
            "improvement": 8.1,
            "total_episodes": 3,
            "verdict": Verdict.IMPROVED,
            "reason": "after 12 pairs the effect is between +5.2 % and +11.0 %",
            "improvement_interval": (5.2, 11.0),
            "metric": "transactions_per_second",
            "unit": "1/s",
            "direction": "maximize",
            "baseline_score": 4000.0,
            "best_score": 4324.0,
            "candidate_config": {"vm.dirty_ratio": 40},
            "claimed_by_search": 13.0,
            "trials": 45,
            "benchmark_seconds": 360.0,
            "session_id": SESSION,
            "restored": True,
            "simulated": False,
            "target": "local",
            "searcher": "ppo",
            "pairs": 12,
            "noise_percent": 3.1,
            "smallest_percent": 5.2,
            "policy_updates": 2,
            "seconds": 480.0,
            "guardrails": (GuardrailJudgement("latency_average", 5.0, "held", -1.0, "latency_average is 1 % worse"),),
            "knobs": (KnobChange("vm.dirty_ratio", 20, 40, "percent", "lets bursts of writes run at memory speed"),),
            "notes": ("the disk is virtual", "the disk is virtual"),
        }
        return Result(**{**values, **changes})

    return make


@pytest.fixture
def safe_plan() -> SafePlan:
    plan = plan_from(
        {
            "workload_name": "PostgreSQL OLTP",
            "reward_metric": "transactions_per_second",
            "benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb",
            "action_space": [{"param": "vm.dirty_ratio", "min": 15, "max": 80}, {"param": "thp.enabled"}],
            "state_space": [{"metric": "cpu_utilization"}],
            "guardrails": [{"metric": "latency_average"}],
            "suggestions": [{"configuration": {"vm.dirty_ratio": 40}, "reason": "more room for bursts"}],
        }
    )
    return SafetyValidator(facts=FACTS).validate(plan)
