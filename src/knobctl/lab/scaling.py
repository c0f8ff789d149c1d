"""A searcher, a number of knobs and a number of known trials in; what one more trial costs out.

Every measurement has a process of its own, so that none pays for the imports and the memory of another.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

from knobctl.env import OSTuningEnv, make_env
from knobctl.knobs import Value
from knobctl.lab.session import plan_for
from knobctl.lab.study_figures import Check, Findings, Table
from knobctl.lab.study_file import this_machine
from knobctl.lab.study_jobs import play_each
from knobctl.lab.study_page import markdown
from knobctl.search.base import BudgetedEnv, SearchOver
from knobctl.search.model import Observation
from knobctl.search.registry import Options, make_searcher
from knobctl.search.remembered import Remembered
from knobctl.target.families import wide
from knobctl.target.simulated import SimulatedTarget
from knobctl.target.synthetic import SyntheticSurface

PLAYED, REMEMBERED = "played", "remembered"
WAYS = (PLAYED, REMEMBERED)
"""How trials are known: as earlier ones of the same search, or as those of earlier sessions."""

REMEMBERING = ("sappo",)
"""Searchers that make something of earlier sessions; to all others they are nothing."""

KNOBS = (6, 12, 24, 48)
TRIALS = (50, 200, 1000)
MEASURED = 3
"""Trials that are measured."""

BEGUN = 20
"""Trials of the search before them, where others are remembered."""

MOST_CPU, MOST_MIB = 1.0, 1500.0
"""What one more trial of the default searcher may cost: processor seconds, and memory."""

_SESSIONS = 10
_WARM_UP = 50
_MORE = 60
_NOISE = 0.05
_STATUS = Path("/proc/self/status")
_HEAD = """# What one more trial costs

Processor time and memory of a searcher between two trials, on simulated machines, when many trials are known: as
earlier ones of the same search (played), or as those of ten earlier sessions (remembered). Every number is of a process
of its own.
"""


@dataclass(frozen=True)
class Load:
    """What to measure.

    Attributes:
        searcher: As in ``--searcher``, or ``module:object``.
        knobs: Of the machine.
        trials: That are known.
        way: One of :data:`WAYS`.
    """

    searcher: str
    knobs: int
    trials: int
    way: str = PLAYED


@dataclass(frozen=True)
class Cost:
    """What one more trial costs.

    Attributes:
        cpu: Processor seconds per trial, the mean of :data:`MEASURED`.
        memory_mib: Memory at its highest, beyond what the process had after a small search.
    """

    cpu: float
    memory_mib: float


def loads(searchers: Sequence[str], knobs: Sequence[int] = KNOBS, trials: Sequence[int] = TRIALS) -> list[Load]:
    """What to measure of these searchers, the small ones first."""
    return [
        Load(searcher, count, known, way)
        for searcher in searchers
        for way in WAYS
        if way == PLAYED or searcher in REMEMBERING
        for count in knobs
        for known in trials
    ]


def measure_all(all_loads: Sequence[Load]) -> Iterator[tuple[Load, Cost]]:
    """Measures each in a process of its own, one after the other."""
    return play_each(measure, all_loads, 1, fresh=True)


def measure(load: Load) -> Cost:
    """Measures in this process.

    Raises:
        UsageError: There is no such searcher, or no machine with so many knobs.
    """
    surface = wide(0, load.knobs)
    _search(wide(0, min(KNOBS)), Load(load.searcher, min(KNOBS), _WARM_UP), MEASURED)  # a policy learns by then
    before = _memory("VmRSS")
    cpu = _search(surface, load, MEASURED)
    return Cost(cpu / MEASURED, max(0.0, _memory("VmHWM") - before))


def findings(measured: Mapping[Load, Cost]) -> Findings:
    """Whether the default searcher keeps its promise, one table for processor time and one for memory."""
    trials = sorted({load.trials for load in measured})
    rows = list(dict.fromkeys((load.searcher, load.way, load.knobs) for load in measured))
    times, memory = [], []
    for searcher, way, knobs in rows:
        costs = [measured.get(Load(searcher, knobs, known, way)) for known in trials]
        head = (searcher, way, str(knobs))
        growth = _growth(trials, costs)
        times.append((*head, *(f"{1000.0 * cost.cpu:.0f} ms" if cost else "-" for cost in costs), growth))
        memory.append((*head, *(f"{cost.memory_mib:.0f} MiB" if cost else "-" for cost in costs)))
    heads = ("searcher", "trials are", "knobs", *(str(known) for known in trials))
    own = [cost for load, cost in measured.items() if load.searcher in REMEMBERING]
    cpu, most = max((cost.cpu for cost in own), default=0.0), max((cost.memory_mib for cost in own), default=0.0)
    checks = (
        Check(
            f"one more trial of {REMEMBERING[0]} takes less than {MOST_CPU:g} s of processor time, with everything "
            "that was measured",
            f"{1000.0 * cpu:.0f} ms at most",
            cpu < MOST_CPU,
        ),
        Check(f"and less than {MOST_MIB:.0f} MiB of memory", f"{most:.0f} MiB at most", most < MOST_MIB),
    )
    return Findings(
        checks if own else (),
        (
            Table(
                "Processor time of one more trial, by the number of trials that are known",
                (*heads, "grows like"),
                tuple(times),
                "With the simulation of the machine. Growth: the power of the number of trials that joins the first "
                "and the last column.",
            ),
            Table("Memory beyond that of a small search, at its highest", heads, tuple(memory)),
        ),
    )


def page(found: Findings, command: str) -> str:
    """What was found as Markdown, with the command that measures it again."""
    rows = tuple((check.promise, check.found, check.word) for check in found.checks)
    return "\n".join(
        [
            _HEAD,
            f"`{command}`: {datetime.now(UTC).date().isoformat()}, knobctl {metadata.version('knobctl')}, "
            f"{this_machine()}.\n",
            *((markdown(Table("", ("check", "found", ""), rows)),) if rows else ()),
            *(f"**{table.title}**\n\n{markdown(table)}" for table in found.tables),
        ]
    )


def _growth(trials: Sequence[int], costs: Sequence[Cost | None]) -> str:
    first, last = costs[0], costs[-1]
    if first is None or last is None or len(costs) < 2 or min(first.cpu, last.cpu) <= 0.0:
        return "-"
    return f"trials^{math.log(last.cpu / first.cpu) / math.log(trials[-1] / trials[0]):.1f}"


def _search(surface: SyntheticSurface, load: Load, more: int) -> float:
    """Processor seconds of so many trials in the middle of a search, with so many known before them."""
    before = load.trials if load.way == PLAYED else BEGUN
    env = make_env(plan_for(surface, before + _MORE), SimulatedTarget(surface, _NOISE), budget=before + _MORE)
    remembered = _remembered(env, surface, load.trials) if load.way == REMEMBERED and load.trials else ()
    try:
        budgeted = BudgetedEnv(env, deadline=float(before + more), clock=lambda: float(env.played))
        budgeted.reset()
        for configuration in _anywhere(env, before):
            if any(budgeted.suggest(configuration)[2:4]):
                budgeted.reset()
        searcher = make_searcher(load.searcher, env.plan.plan.training_config, 0, Options(remembered=remembered))
        began = time.process_time()
        with contextlib.suppress(SearchOver):
            searcher.play(budgeted)
        return time.process_time() - began
    finally:
        env.close()


def _anywhere(env: OSTuningEnv, number: int) -> list[dict[str, Value]]:
    """So many configurations from all over the space, the same for everybody."""
    places = np.random.default_rng(0).random((number, len(env.plan.knobs)))
    return [env.plan.repair(env.plan.decode(row)) for row in places.tolist()]


def _remembered(env: OSTuningEnv, surface: SyntheticSurface, number: int) -> tuple[Remembered, ...]:
    """So many trials in earlier sessions of the same machine."""
    observations = [
        Observation(configuration, surface.gain(configuration), 30.0 * index)
        for index, configuration in enumerate(_anywhere(env, number))
    ]
    parts = [tuple(observations[first::_SESSIONS]) for first in range(_SESSIONS)]
    return tuple(Remembered(f"session-{index}", 0.9, part) for index, part in enumerate(parts) if part)


def _memory(name: str) -> float:
    """A figure of this process's memory, in MiB."""
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024.0
    return 0.0
