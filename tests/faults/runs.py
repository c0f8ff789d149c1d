"""One run of knobctl as seen from outside: a started main program in, its processes, its words and its journal out.

There are two doors: ``program`` is the small main program of this folder, ``command`` is ``knobctl run``.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from knobctl.knobs import KnobState
from knobctl.target.local import LocalTarget
from tests.faults import processes
from tests.faults.disks import Disk
from tests.faults.machine import STATE_FOLDER
from tests.faults.main_program import SERVICE, Part
from tests.faults.processes import Handle

ROOT = Path(__file__).parents[2]
DOORS = ("program", "command")
START_SECONDS = 30.0

POOL = (
    "vm.dirty_ratio", "vm.dirty_bytes", "vm.dirty_background_ratio", "vm.dirty_background_bytes", "vm.swappiness",
    "vm.vfs_cache_pressure", "vm.dirty_expire_centisecs", "vm.page-cluster", "net.core.somaxconn",
    "net.ipv4.tcp_wmem[min]", "net.ipv4.tcp_wmem[default]", "net.ipv4.tcp_wmem[max]",
    "net.ipv4.tcp_rmem[default]", "net.ipv4.tcp_rmem[max]", "thp.enabled", "thp.defrag", "thp.shmem_enabled",
    "block.scheduler", "block.read_ahead_kb", "block.nr_requests",
)  # fmt: skip
ONE_FACE = ("vm.dirty_bytes", "vm.dirty_background_bytes")
BENCHMARK = (
    'awk \'NR == 1 {score = 1000 + 10 * $1} NR == 2 {print "score:", score + $1 * 100 % 7; system("sleep 0.05")}\' '
    "/proc/sys/vm/swappiness /proc/uptime"
)
DECIDES = "vm.swappiness"
"""The benchmark likes it high, so that a search finds something and proves it."""


@dataclass(frozen=True)
class Knobs:
    """The knobs that can be tuned on this machine, of those that the campaign plays with."""

    states: dict[str, KnobState]
    ranges: dict[str, tuple[int, int]]

    @classmethod
    def here(cls) -> Knobs:
        """Looks at this machine."""
        target = LocalTarget()
        states = {name: state for name, state in target.probe(POOL).items() if state.writable}
        quantities = target.facts().quantities
        ranges = {name: target.catalogue[name].range_on(quantities) for name in states if not states[name].choices}
        return cls(states, ranges)

    def paths(self, names: Sequence[str]) -> list[str]:
        """Kernel files behind these knobs."""
        return sorted({path for name in names for path in self.states[name].paths})

    def some(self, rng: random.Random, door: str, needed: Sequence[str] = ()) -> tuple[str, ...]:
        """A random handful with those that are needed; a plan takes one face of a setting only."""
        names = [name for name in self.states if door == "program" or name not in ONE_FACE]
        some = rng.sample(names, min(rng.randint(3, 8), len(names)))
        first = [name for name in (*needed, *([DECIDES] if door == "command" else [])) if name in names]
        return tuple(dict.fromkeys((*first, *some)))


class Run:
    """A main program that was started, and the processes that it has.

    Args:
        argv: Its command line.
        disk: The private disk of its journal, or None.
        env: Its environment.
    """

    def __init__(self, argv: Sequence[str], disk: Disk | None, env: dict[str, str]) -> None:
        self.disk = disk
        self.journal = (disk.folder if disk else Path(STATE_FOLDER)) / "journal"
        self.lines: list[str] = []
        self._partial = b""
        self.popen = subprocess.Popen(
            disk.seen_by(argv) if disk else list(argv),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, cwd=ROOT, env=env,
        )  # fmt: skip
        assert self.popen.stdout is not None
        self.output = self.popen.stdout
        os.set_blocking(self.output.fileno(), False)
        self.roles = {"main": Handle(self.popen.pid)}

    def find_guards(self) -> bool:
        """Waits for the watcher and the agent to exist. Whether they do; not when the main program ended first."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.roles["main"].alive:
            self.hear()
            for role, parent in (("watcher", "main"), ("agent", "watcher")):
                if role not in self.roles and parent in self.roles:
                    found = [pid for pid in processes.children(self.roles[parent].pid) if _is_guard(pid)]
                    if found:
                        self.roles[role] = Handle(found[0])
            if "agent" in self.roles:
                return True
            time.sleep(0.005)
        return False

    def alive(self, role: str) -> bool:
        """Whether the ``main``, ``watcher`` or ``agent`` process lives."""
        return role in self.roles and self.roles[role].alive

    def benchmark(self) -> Handle | None:
        """What the agent runs at this moment, services aside."""
        for pid in processes.children(self.roles["agent"].pid):
            process = processes.look(pid)
            if process is not None and process.command and process.command != " ".join(SERVICE):
                return Handle(pid)
        return None

    @property
    def guarded(self) -> bool:
        """Whether one of its processes lives."""
        return any(handle.alive for handle in self.roles.values())

    def hear(self) -> None:
        """Takes what the main program has said since."""
        try:
            block = self.output.read() if not self.output.closed else b""
        except OSError:
            return
        *whole, self._partial = (self._partial + (block or b"")).split(b"\n")
        self.lines += [line.decode("utf-8", "replace") for line in whole]

    def said(self, beginning: str) -> bool:
        """Whether a line of the main program begins like this."""
        self.hear()
        return any(line.startswith(beginning) for line in self.lines)

    def close(self) -> None:
        """Waits for the main program, which has ended, and forgets the handles."""
        self.popen.wait(5)
        self.hear()
        self.output.close()
        for handle in self.roles.values():
            handle.close()


def program(part: Part) -> list[str]:
    """Command line of the small main program."""
    return [sys.executable, "-m", "tests.faults.main_program", json.dumps(asdict(part))]


def command(knobs: Knobs, names: Sequence[str], seed: int, folder: Path) -> list[str]:
    """Command line of ``knobctl run`` with a plan for these knobs."""
    plan = folder / "plan.json"
    space = [
        {"param": name, "min": knobs.ranges[name][0], "max": knobs.ranges[name][1]}
        if name in knobs.ranges else {"param": name, "values": list(knobs.states[name].choices)}
        for name in names
    ]  # fmt: skip
    document = {
        "workload_name": "faults", "reward_metric": "score", "direction": "maximize",
        "metric_pattern": "score: ([0-9.]+)", "benchmark_command": BENCHMARK, "action_space": space,
        "state_space": [{"metric": "cpu_utilization", "source": "/proc/stat"}],
        "training_config": {"total_timesteps": 3, "max_steps_per_episode": 4, "n_steps": 2},
    }  # fmt: skip
    plan.write_text(json.dumps(document))
    return [
        *(sys.executable, "-m", "knobctl.main", "run", str(plan), "--yes", "--command", BENCHMARK, "--searcher"),
        *("random", "--budget", "3", "--pairs", "5", "--timeout", "5s", "--seed", str(seed), "--force"),
    ]


def restore_command() -> list[str]:
    """Command line of ``knobctl restore``."""
    return [sys.executable, "-m", "knobctl.main", "restore"]


def environment(folder: Path) -> dict[str, str]:
    """What every run gets: a record and a configuration of its own, no language model."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("KNOBCTL_", "SUDO_"))}
    return {**kept, "KNOBCTL_STATE_DIR": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}


def _is_guard(pid: int) -> bool:
    process = processes.look(pid)
    return process is not None and ".pyz" in process.command
