"""Finished sessions that were never run, as the record holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from knobctl.events import SessionEnded, Trial, TrialDone
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.measure import Verdict
from knobctl.memory import Fingerprint, Memory
from knobctl.memory.fingerprint import fingerprint_of
from knobctl.plan import plan_from
from knobctl.store import Result, Store
from knobctl.target import HostFacts

COMMAND = "pgbench -c 50 -j 4 -T 30 testdb"
METRIC = "transactions_per_second"
FACTS = HostFacts(
    "6.18.5", "x86_64", "Debian 12", "EPYC", 4, 16 * 2**30, 0, virtualization="vm (kvm)", disk_kind="solid-state"
)
LOAD = {"cpu_utilization": 60.0, "disk_write": 40.0, "iowait": 3.0}
FOUND: Mapping[str, Value] = {"vm.dirty_ratio": 20, "vm.swappiness": 60}
SPACE = Space((Dimension("vm.dirty_ratio", low=5, high=80), Dimension("vm.swappiness", low=0, high=100)))


def here(**changes: Any) -> Fingerprint:
    """The fingerprint of a session like all of these."""
    given: dict[str, Any] = {
        "command": COMMAND, "metric": METRIC, "direction": "maximize", "target": "local", "simulated": False,
        "facts": FACTS, "baseline": [LOAD],
    }  # fmt: skip
    return fingerprint_of(**{**given, **changes})


def trial(number: int, kind: str, score: float | None, configuration: Mapping[str, Value] | None = None) -> Trial:
    return Trial(
        number, kind, configuration or {}, score, {METRIC: score or 0.0}, LOAD, ((1.0, 1.0),), 30.0, None,
        "" if score else "it broke", 35.0 * number, 35.0 * number + 33.0,
    )  # fmt: skip


TRIALS = (
    trial(0, "warmup", 900.0),
    trial(1, "baseline", 1000.0),
    trial(2, "baseline", 1000.0),
    trial(3, "search", 1100.0, {"vm.dirty_ratio": 40}),
    trial(4, "search", 800.0, {"vm.dirty_ratio": 60, "vm.swappiness": 10}),
    trial(5, "search", None, {"vm.swappiness": 0}),
    trial(6, "verify-default", 1000.0),
    trial(7, "verify-candidate", 1105.0, {"vm.dirty_ratio": 40}),
)


def memory(**changes: Any) -> Memory:
    """What such a session leaves."""
    given: dict[str, Any] = {
        "key": "20260102-030405-aaaa", "created": "2026-01-02T03:04:05+00:00", "version": "0.1.0",
        "fingerprint": here(), "found": FOUND, "trials": tuple(kept(TRIALS)), "verdict": "IMPROVED",
        "best": {"vm.dirty_ratio": 40}, "candidate": {"vm.dirty_ratio": 40}, "improvement": 10.5,
    }  # fmt: skip
    return Memory(**{**given, **changes})


def kept(trials: Sequence[Trial]) -> list[Trial]:
    """Those that can be learned from, bare."""
    return [
        Trial(
            each.number, each.kind, each.configuration, each.score, {}, {}, (), 30.0, None, "", each.started, each.ended
        )
        for each in trials
        if each.score is not None and each.kind in ("baseline", "search")
    ]


def result(session: str, **changes: Any) -> Result:
    given: dict[str, Any] = {
        "success": True, "workload_name": "OLTP", "best_reward": 104.0, "best_config": {"vm.dirty_ratio": 40},
        "baseline_reward": 99.0, "improvement": 10.5, "total_episodes": 1, "verdict": Verdict.IMPROVED,
        "reason": "proven", "improvement_interval": (5.0, 16.0), "metric": METRIC, "unit": "1/s",
        "direction": "maximize", "baseline_score": 1000.0, "best_score": 1105.0,
        "candidate_config": {"vm.dirty_ratio": 40}, "claimed_by_search": 10.0, "trials": 8, "benchmark_seconds": 240.0,
        "session_id": session, "restored": True, "simulated": False, "target": "local", "searcher": "random",
        "pairs": 8, "noise_percent": 1.0, "smallest_percent": 2.0, "policy_updates": None, "seconds": 280.0,
    }  # fmt: skip
    return Result(**{**given, **changes})


def finish(
    store: Store,
    session: str,
    *,
    command: str = COMMAND,
    facts: HostFacts = FACTS,
    trials: Sequence[Trial] = TRIALS,
    found: Mapping[str, Value] | None = FOUND,
    searcher: str = "random",
    target: str = "local",
    request: str = "",
    plan: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> str:
    """Puts a finished session into the record; ``changes`` are of its result. Its key."""
    proposed = {
        "workload_name": "OLTP", "reward_metric": METRIC, "benchmark_command": command,
        "action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 80}], "state_space": [],
    }  # fmt: skip
    simulated = target.startswith("simulated")
    store.begin(
        request=request, plan=plan_from({**proposed, **(plan or {})}), facts=facts, target=target, simulated=simulated,
        searcher=searcher, budget=3, seed=1, session=session,
        settings=({"found": dict(found)} if found is not None else {}) | dict(settings or {}),
    )  # fmt: skip
    save = store.sink(session)
    for each in trials:
        save(TrialDone(each, 1, 1, 0.0, None))
    save(SessionEnded(result(session, **changes).to_dict()))
    store.check()
    return session
