"""A folder that stands for a whole machine, with the real agent on it, and sessions that were recorded on it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knobctl.measure import Verdict
from knobctl.store import Result, SessionRecord
from knobctl.target import HostFacts
from knobctl.target.local import LocalTarget

SESSION = "20260102-030405-aaaa"
FILES = {
    "proc/sys/vm/swappiness": "60",
    "proc/sys/vm/vfs_cache_pressure": "100",
    "proc/meminfo": "MemTotal: 4194304 kB\nSwapTotal: 0 kB",
    "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555",
    "sys/block/.keep": "",
}


def machine(root: Path) -> LocalTarget:
    """A machine with two knobs and no disk."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return LocalTarget(base=str(root), root=str(root))


def swappiness(root: Path) -> str:
    """The knob's text."""
    return (root / "proc/sys/vm/swappiness").read_text().strip()


def session(
    values: dict[str, Any] | None = None, *, disk: str = "", status: str = "finished", **changes: Any
) -> SessionRecord:
    """A session that proved these values; ``changes`` go into its result."""
    values = {"vm.swappiness": 10} if values is None else values
    result = Result(
        **{
            "success": True, "workload_name": "PostgreSQL OLTP", "best_reward": 103.5, "best_config": values,
            "baseline_reward": 99.0, "improvement": 8.1, "total_episodes": 3, "verdict": Verdict.IMPROVED,
            "reason": "", "improvement_interval": (5.2, 11.0), "metric": "transactions_per_second", "unit": "1/s",
            "direction": "maximize", "baseline_score": 4000.0, "best_score": 4324.0, "candidate_config": values,
            "claimed_by_search": 13.0, "trials": 45, "benchmark_seconds": 360.0, "session_id": SESSION,
            "restored": True, "simulated": False, "target": "local", "searcher": "ppo", "pairs": 12,
            "noise_percent": 3.1, "smallest_percent": 5.2, "policy_updates": 2, "seconds": 480.0, **changes,
        }
    )  # fmt: skip
    return SessionRecord(
        id=SESSION, created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), request="", workload="PostgreSQL", plan="{}",
        facts=HostFacts("6.18.5", "x86_64", "Debian 12", "EPYC", 2, 1 << 32, 0, disk=disk), target="local",
        simulated=False, searcher="ppo", budget=24, seed=7, version="1", status=status, reason="", trials=45,
        result=result if status == "finished" else None,
    )  # fmt: skip
