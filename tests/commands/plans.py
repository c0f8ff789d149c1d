"""Plans for the machines that ship with the simulated target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from knobctl.plan import TuningPlan, plan_from
from knobctl.target.surfaces import find_surface

FIVE_KEYS: dict[str, Any] = {
    "workload_name": "PostgreSQL OLTP",
    "reward_metric": "transactions_per_second",
    "benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb",
    "action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 80}],
    "state_space": [{"metric": "cpu_utilization", "source": "/proc/stat"}],
    "training_config": {"total_timesteps": 40, "max_steps_per_episode": 10, "n_steps": 8},
}

COMMANDS = {
    "postgresql": "pgbench -c 8 -j 2 -T 5 bench",
    "file-write": "sysbench fileio --file-total-size=1G --file-num=16 --file-test-mode=seqwr --time=4 run",
    "web": "ab -n 1000 -c 10 http://127.0.0.1:8080/",
    "null": "sysbench cpu --threads=2 --time=3 run",
}
"""A command for each shipped surface."""


def document(surface: str, **training: Any) -> dict[str, Any]:
    """A plan over all knobs of a shipped surface, as JSON types; ``training`` goes into ``training_config``."""
    shipped = find_surface(surface)
    return {
        "workload_name": f"the {surface} surface",
        "reward_metric": shipped.metric,
        "benchmark_command": COMMANDS[surface],
        "action_space": list(shipped.action_space),
        "state_space": [],
        "training_config": training,
    }


def plan(surface: str, **training: Any) -> TuningPlan:
    """The same as a plan."""
    return plan_from(document(surface, **training))


def plan_file(folder: Path, record: dict[str, Any]) -> Path:
    """A plan file."""
    path = folder / "plan.json"
    path.write_text(json.dumps(record))
    return path
