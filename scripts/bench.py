"""What knobctl itself costs per trial, beside the benchmark: its own seconds, processor time and memory.

    make bench                      prints the table and writes docs/bench.json
    scripts/bench.py --trials 12    with fewer trials

Two machines: a simulated one, where a benchmark takes no time, so that all of the time is knobctl's; and this one, if
its knobs may be set, with ``sysbench cpu`` of one second. Own time of a trial is everything between the end of one
benchmark and the start of the next one that is not the workload's own reset: thinking, setting and reading back knobs,
recording.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from knobctl import pipeline
from knobctl.events import Event, TrialDone
from knobctl.plan import plan_from
from knobctl.safety import Consent
from knobctl.search.registry import SEARCHERS
from knobctl.settings import Settings
from knobctl.store import Store
from knobctl.target import Target
from knobctl.target.facts import collect
from knobctl.target.local import LocalTarget
from knobctl.target.simulated import simulated_target

COMMAND = "sysbench cpu --threads=1 --time=1 run"
KNOBS = ("vm.dirty_ratio", "vm.dirty_background_ratio", "vm.swappiness", "vm.vfs_cache_pressure", "vm.page-cluster")
OUTPUT = Path(__file__).resolve().parent.parent / "docs" / "bench.json"


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds."""

    target: str
    searcher: str
    trials: int
    own_median: float
    own_maximum: float
    own_cpu: float
    benchmark_median: float
    peak_memory_mib: float


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--row", nargs=2, metavar=("TARGET", "SEARCHER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(asdict(_measure(options.row[0], options.row[1], options.trials))))
        return 0
    where = ["simulated"] + ([] if LocalTarget().obstacle() or not LocalTarget().which("sysbench") else ["local"])
    rows = [_in_a_process_of_its_own(target, name, options.trials) for target in where for name in SEARCHERS]
    print(f"{'target':<10} {'searcher':<13} {'trials':>6} {'own median':>11} {'own max':>9} {'own CPU':>9} "
          f"{'benchmark':>10} {'memory':>9}")  # fmt: skip
    for row in rows:
        print(f"{row.target:<10} {row.searcher:<13} {row.trials:>6} {row.own_median:>9.3f} s {row.own_maximum:>7.3f} s "
              f"{row.own_cpu:>7.3f} s {row.benchmark_median:>8.2f} s {row.peak_memory_mib:>5.0f} MiB")  # fmt: skip
    facts = collect("")
    OUTPUT.write_text(
        json.dumps(
            {
                "command": f"scripts/bench.py --trials {options.trials}",
                "machine": {key: facts[key] for key in ("cpu_model", "cores", "memory_bytes", "kernel")},
                "python": platform.python_version(),
                "date": time.strftime("%Y-%m-%d", time.gmtime()),
                "rows": [asdict(row) for row in rows],
            },
            indent=2,
        )
        + "\n",
        encoding="utf-8",
    )
    print(f"wrote {OUTPUT.relative_to(Path.cwd()) if OUTPUT.is_relative_to(Path.cwd()) else OUTPUT}")
    return 0


def _in_a_process_of_its_own(target: str, searcher: str, trials: int) -> Row:
    """So that no row pays for the imports and the memory of another."""
    command = [sys.executable, __file__, "--trials", str(trials), "--row", target, searcher]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Row(**json.loads(done.stdout.splitlines()[-1]))


def _measure(target_name: str, searcher: str, trials: int) -> Row:
    target: Target = LocalTarget() if target_name == "local" else simulated_target("postgresql")
    plan = plan_from(
        {
            "workload_name": "the tuner's own cost",
            "reward_metric": "events_per_second",
            "benchmark_command": COMMAND,
            "action_space": [{"param": name} for name in KNOBS],
            "state_space": [{"metric": "cpu_utilization"}],
            "training_config": {"total_timesteps": trials, "n_steps": 8},
        }
    )
    watch = _Watch(os.times)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "bench.db") as store:
        try:
            safe = pipeline.validate(plan, target, Consent())
            settings = Settings(searcher=searcher, budget=trials, pairs=5, seed=1, force=True)
            pipeline.execute(safe, target, store, watch, settings)
        finally:
            target.close()
    real = target_name == "local"
    own = [done - before - (seconds if real else 0.0) for before, done, seconds, _ in watch.searched]
    return Row(
        target_name,
        searcher,
        len(own),
        statistics.median(own),
        max(own),
        statistics.median([cpu for *_, cpu in watch.searched]),
        statistics.median([seconds for _, _, seconds, _ in watch.searched]),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


class _Watch:
    """Notes when each trial of the search was done, and what the process had used by then."""

    def __init__(self, times: Callable[[], os.times_result]) -> None:
        self._times = times
        self._last = (time.monotonic(), self._cpu())
        self.searched: list[tuple[float, float, float, float]] = []

    def __call__(self, event: Event) -> None:
        if not isinstance(event, TrialDone):
            return
        now, cpu = time.monotonic(), self._cpu()
        if event.trial.kind in ("search", "suggestion"):
            self.searched.append((self._last[0], now, event.trial.seconds, cpu - self._last[1]))
        self._last = (now, cpu)

    def _cpu(self) -> float:
        used = self._times()
        return used.user + used.system


if __name__ == "__main__":
    sys.exit(main())
