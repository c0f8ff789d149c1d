"""Recorded sessions, made by hand: one with everything in it, and parts of it."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from knobctl import stats
from knobctl.events import (
    CandidateChosen,
    Event,
    MachineRestored,
    NoiseMeasured,
    Notice,
    PairMeasured,
    SessionStarted,
    StrategistStep,
    Trial,
)
from knobctl.measure import GuardrailJudgement, Verdict
from knobctl.report.session_view import RecordedSession
from knobctl.store import ConversationRecord, KnobChange, Result, SessionRecord
from knobctl.target import HostFacts

SESSION = "20261122-184500-a1b2"
FACTS = HostFacts("6.18.5", "x86_64", "Debian 12", "EPYC", 2, 25_000_000_000, 0)
CANDIDATE = {"vm.dirty_ratio": 70, "thp.enabled": "always"}
PLAN = """{
  "workload_name": "PostgreSQL OLTP",
  "reward_metric": "transactions_per_second",
  "benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb",
  "action_space": [
    {"param": "vm.dirty_ratio", "min": 5, "max": 80},
    {"param": "vm.dirty_background_ratio", "min": 1, "max": 30},
    {"param": "thp.enabled", "values": ["always", "madvise", "never"]},
    {"param": "net.ipv4.tcp_wmem[max]", "min": 65536, "max": 16777216},
    {"param": "block.wbt_lat_usec", "min": 1000, "max": 500000, "special": [0]},
    {"param": "kernel.numa_balancing"}
  ],
  "state_space": []
}"""
STARTED = SessionStarted(
    SESSION, "PostgreSQL OLTP", "transactions_per_second", "1/s", "maximize", "pgbench -c 50 -j 4 -T 30 testdb",
    "local", False, "ppo", 20,
)  # fmt: skip
NOISE = NoiseMeasured(3900.0, 3.1, 5.2, 8, 1.4, -2.1, 0.4, 30.0)


def trial(
    number: int, kind: str, score: float | None, configuration: dict[str, Any] | None = None, **more: Any
) -> Trial:
    """One trial, begun half a minute after the one before."""
    samples = () if score is None else tuple((float(at), score * (1 - math.exp(-at))) for at in range(1, 9))
    machine = {"cpu_utilization": 88.0, "iowait": 4.0 + number % 3, "steal": 0.5, "io_pressure": 12.0}
    values: dict[str, Any] = {
        "number": number, "kind": kind, "configuration": configuration or {}, "score": score, "metrics": {},
        "machine": machine, "samples": samples, "seconds": 30.0, "reward": None,
        "failure": "" if score else "exit code 1", "started": 37.0 * number,
    }  # fmt: skip
    return Trial(**{**values, **more})


def trials_of_a_run() -> tuple[Trial, ...]:
    """All kinds of trials: 8 before the search, 21 in it, 4 of a run-off, and 16 of a verification."""
    draw = random.Random(4)
    kinds: list[tuple[str, float | None, dict[str, Any], bool]] = [("warmup", 3300.0, {}, False)]
    kinds += [("baseline", 3900.0 * draw.gauss(1, 0.03), {}, False) for _ in range(6)]
    kinds += [("probe", 1500.0, {"vm.dirty_ratio": 5}, False), ("suggestion", 4100.0, {"vm.dirty_ratio": 40}, False)]
    for place in range(18):
        configuration: dict[str, Any] = {
            "vm.dirty_ratio": draw.randint(5, 80),
            "vm.dirty_background_ratio": draw.randint(1, 30),
            "thp.enabled": draw.choice(["always", "never"]),
            "net.ipv4.tcp_wmem[max]": round(65536 * 2 ** draw.uniform(0, 8)),
            "block.wbt_lat_usec": draw.choice([0, 1000, 60000]),
        }
        score = None if place == 4 else 200.0 if place == 9 else 4000.0 * draw.gauss(1, 0.05)
        kinds.append(("search", score, configuration, place == 9))
    kinds += [("canary", 3880.0, {}, False), ("control", 3860.0, {}, False)]
    kinds += [("run-off", 4200.0 * draw.gauss(1, 0.03), CANDIDATE, False) for _ in range(4)]
    for _ in range(8):
        kinds.append(("verify-default", 3900.0 * draw.gauss(1, 0.02), {}, False))
        kinds.append(("verify-candidate", 4250.0 * draw.gauss(1, 0.02), CANDIDATE, False))
    return tuple(
        trial(number, kind, score, configuration, cut_short=cut)
        for number, (kind, score, configuration, cut) in enumerate(kinds)
    )


def pairs_of(trials: tuple[Trial, ...]) -> tuple[PairMeasured, ...]:
    """The pairs of a verification with the intervals that the statistics give them."""
    default = [one.score or 0.0 for one in trials if one.kind == "verify-default"]
    candidate = [one.score or 0.0 for one in trials if one.kind == "verify-candidate"]
    differences: list[float] = []
    pairs = []
    for place, (before, after) in enumerate(zip(default, candidate, strict=True), start=1):
        differences.append(math.log(after / before))
        interval = stats.confidence_sequence(differences)
        known = interval is not None and interval.bounded
        low = stats.percent(interval.low) if interval and known else None
        high = stats.percent(interval.high) if interval and known else None
        pairs.append(PairMeasured(place, 8, before, after, stats.percent(differences[-1]), low, high))
    return tuple(pairs)


def result(**changes: Any) -> Result:
    """A verified improvement."""
    values: dict[str, Any] = {
        "success": True, "workload_name": "PostgreSQL OLTP", "best_reward": 103.5, "best_config": CANDIDATE,
        "baseline_reward": 99.0, "improvement": 8.1, "total_episodes": 3, "verdict": Verdict.IMPROVED,
        "reason": "after 8 pairs the effect is between +5.2 % and +11.0 %", "improvement_interval": (5.2, 11.0),
        "metric": "transactions_per_second", "unit": "1/s", "direction": "maximize", "baseline_score": 3900.0,
        "best_score": 4216.0, "candidate_config": CANDIDATE, "claimed_by_search": 13.4, "trials": 49,
        "benchmark_seconds": 1470.0, "session_id": SESSION, "restored": True, "simulated": False, "target": "local",
        "searcher": "ppo", "pairs": 8, "noise_percent": 3.1, "smallest_percent": 5.2, "policy_updates": 2,
        "seconds": 1800.0,
        "guardrails": (
            GuardrailJudgement("latency_average_ms", 5.0, "held", -1.0, "latency_average_ms is 1.0 % worse"),
        ),
        "knobs": (
            KnobChange("vm.dirty_ratio", 20, 70, "percent", "lets bursts of writes run", 6.2, (2.1, 10.4)),
            KnobChange("thp.enabled", "madvise", "always", "", "fewer misses"),
        ),
        "importance": {"vm.dirty_ratio": 0.61, "thp.enabled": 0.3, "vm.dirty_background_ratio": 0.09},
        "cut_short": 1, "seconds_saved": 22.0, "notes": ("the disk is virtual",),
    }  # fmt: skip
    return Result(**{**values, **changes})


def session(**changes: Any) -> RecordedSession:
    """A finished session with all there is; ``changes`` are of its record (``request``, ``result``, ``status`` ...)."""
    trials = trials_of_a_run()
    record = SessionRecord(
        SESSION, datetime(2026, 11, 22, 18, 45, tzinfo=UTC), "make the database fast", "PostgreSQL OLTP", PLAN, FACTS,
        "local", False, "ppo", 20, 7, "0.1.0", "finished", "", len(trials), result(),
    )  # fmt: skip
    events: tuple[Event, ...] = (
        STARTED, NOISE, Notice("the disk is slow", "warning"), CandidateChosen(CANDIDATE, 13.4, 2),
        MachineRestored(True, 6),
    )  # fmt: skip
    return RecordedSession(replace(record, **changes), trials, pairs_of(trials), events)


def simulated() -> RecordedSession:
    """The same on a machine that does not exist."""
    target = "simulated:postgresql"
    return session(simulated=True, target=target, result=result(simulated=True, target=target))


def without_a_result(status: str, reason: str = "", trials: int = 0) -> RecordedSession:
    """A session that came so far."""
    whole = session(status=status, reason=reason, result=None)
    return replace(whole, trials=whole.trials[:trials], pairs=(), events=(STARTED,) if trials else ())


def conversation(text: str) -> ConversationRecord:
    """One in which a model said this."""
    when = datetime(2026, 11, 22, 18, 44, tzinfo=UTC)
    steps = (StrategistStep("thought", text),)
    return ConversationRecord("c-1", when, "make it fast", "ollama:qwen", "closed", "plan", (SESSION,), steps)
