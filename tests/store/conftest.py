"""A store in a temporary folder, and a session to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from knobctl.plan import TuningPlan, plan_from
from knobctl.store import Store
from knobctl.target import HostFacts

PLAN = {
    "workload_name": "PostgreSQL OLTP",
    "reward_metric": "transactions_per_second",
    "benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb",
    "action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 80}],
    "state_space": [{"metric": "cpu_utilization"}],
}
FACTS = HostFacts("6.18.5", "x86_64", "Debian 12", "EPYC", 2, 25_000_000_000, 0, tuners=("tuned",), boot_id="b")


@pytest.fixture
def plan() -> TuningPlan:
    return plan_from(PLAN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "knobctl.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as opened:
        yield opened


@pytest.fixture
def begin(plan: TuningPlan) -> Callable[..., str]:
    def begin(store: Store, **changes: Any) -> str:
        values: dict[str, Any] = {
            "request": "optimize for postgres",
            "plan": plan,
            "facts": FACTS,
            "target": "local",
            "simulated": False,
            "searcher": "ppo",
            "budget": 24,
            "seed": 7,
        }
        return store.begin(**{**values, **changes})

    return begin
