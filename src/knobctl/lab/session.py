"""A surface, a noise, a searcher and a seed in; a whole session played, and next to its result the truth, out.

The session is the one that ``knobctl run`` would play: preflight, search, verification, verdict, through the same
pipeline. Time is virtual, and its record is kept nowhere.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knobctl import pipeline
from knobctl.env.bench import SEARCH_KINDS
from knobctl.errors import UsageError
from knobctl.events import Event, Trial, TrialDone
from knobctl.knobs import Value
from knobctl.memory import Memory, memory_of, remember
from knobctl.plan import TuningPlan, plan_from
from knobctl.safety import Consent
from knobctl.settings import Settings
from knobctl.stats import log_ratio, percent
from knobctl.store import Result, Store
from knobctl.target.noise import NOISES, NoiseModel, noise_model
from knobctl.target.simulated import SimulatedTarget
from knobctl.target.surfaces import Surface, as_action, find_surface

OWN = "own"
"""In place of the name of a noise: the noise that the surface brings with it."""

_COMMAND = "simulated-benchmark"
_ORIGIN = "lab"
_MEMORY = Path("/dev/shm")
_DURING_SEARCH = (*SEARCH_KINDS, "control", "canary")


@dataclass(frozen=True)
class LabSession:
    """A session whose truth is known.

    Attributes:
        surface: Name of the surface.
        noise: Name of the noise; ``custom`` for one without a name.
        searcher: Name of the searcher.
        budget: Trials of the search.
        seed: Of the noise and of everything that the session draws.
        result: As ``knobctl`` gives it.
        true_percent: What the candidate is worth, whatever the verdict: percent against the default without noise,
            positive is better; 0 without a candidate, None when the benchmark fails there.
        truth_of_best_config: The same for what is recommended: 0 when that is nothing.
        optimum_percent: What the best configuration of all is worth; None when the surface does not know.
        announced_percent: The smallest gain that the preflight said it could prove; None when it said none.
        best_seen_percent: What the search alone would have claimed.
        search_seconds: Virtual seconds of benchmark in the search, with its controls.
        cpu_seconds: Processor time that playing the session took.
        trials: Every run, in order.
        leaves: What later sessions may remember; None when it searched nothing.
    """

    surface: str
    noise: str
    searcher: str
    budget: int
    seed: int
    result: Result
    true_percent: float | None
    truth_of_best_config: float | None
    optimum_percent: float | None
    announced_percent: float | None
    best_seen_percent: float | None
    search_seconds: float
    cpu_seconds: float
    trials: tuple[Trial, ...]
    leaves: Memory | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: everything but the trials and what it leaves, with the result document under ``result``."""
        apart = ("result", "trials", "leaves")
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in apart}
        return {**own, "result": self.result.to_dict()}


def run_session(
    surface: Surface,
    noise: NoiseModel | float | str = "vm",
    searcher: str = "tpe",
    budget: int = 40,
    seed: int = 0,
    *,
    pairs: int | None = None,
    seconds: float | None = None,
    run_seconds: float = 30.0,
    force: bool = True,
    cut_short: bool = True,
    candidate: Mapping[str, Value] | None = None,
    training: Mapping[str, Any] | None = None,
    actor: bool = True,
    suggestions: Sequence[Mapping[str, Value]] = (),
    memory: Sequence[LabSession] = (),
) -> LabSession:
    """Plays a whole session against a surface whose truth is known.

    The same arguments play the same session. Sessions of different searchers with the same seed meet the same noise:
    that of a run depends on its number and on the time, and not on what is tried.

    Args:
        surface: Any object with ``action_space``, ``metric``, ``direction``, ``default()`` and ``score()``.
        noise: A model, a name of :data:`~knobctl.target.noise.NOISES`, ``own`` for what the surface brings with it, or
            the standard deviation between runs and of each second within one.
        searcher: As in ``--searcher``.
        budget: Trials of the search.
        seed: Of the noise and of everything that is drawn.
        pairs: Most pairs of the verification; the usual number when None.
        seconds: Virtual seconds for everything together; None for no limit.
        run_seconds: Virtual length of one benchmark run.
        force: Go on where the preflight would refuse.
        cut_short: End runs of the search early that very likely do not come near the best one.
        candidate: Verify this, without a search; None to search.
        training: Of PPO, as in a plan's ``training_config``; what a plan has by itself when None.
        actor: Whether PPO takes part in ``sappo``.
        suggestions: Configurations to try first, as in a plan.
        memory: Earlier sessions, the oldest first, that this one may remember. All of them count as sessions of this
            very machine, whatever their surface was: how alike two surfaces are is for the study to say.

    Raises:
        UsageError: The surface, the noise or the searcher makes no sense.
        PreflightRefused: Nothing could be proven, and ``force`` is not set.
        KnobctlError: The session could not be finished.
    """
    began = time.process_time()
    target = SimulatedTarget(surface, _model(surface, noise), seed, run_seconds)
    trials: list[Trial] = []

    def note(event: Event) -> None:
        if isinstance(event, TrialDone):
            trials.append(event.trial)

    plan = plan_for(surface, budget, training, suggestions)
    consent = Consent(_COMMAND, frozenset(action.param for action in plan.action_space))
    settings = Settings(searcher=searcher, budget=budget, seconds=seconds, seed=seed, force=force, cut_short=cut_short)
    settings = replace(settings, actor=actor, memory=bool(memory))
    if pairs is not None:
        settings = replace(settings, pairs=pairs)
    safe = pipeline.validate(plan, target, consent)
    with _record() as folder, Store(Path(folder) / "lab.db") as store:
        remember(store, _of_this_machine(memory, target.name), _ORIGIN)
        if candidate is None:
            result = pipeline.execute(safe, target, store, note, settings)
        else:
            result = pipeline.verify_candidate(candidate, "lab", safe, target, store, note, settings)
        leaves = memory_of(store.session(result.session_id), trials)
    return LabSession(
        surface=target.name.partition(":")[2],
        noise=_name(noise),
        searcher=searcher,
        budget=budget,
        seed=seed,
        result=result,
        true_percent=true_percent(target, result.candidate_config),
        truth_of_best_config=true_percent(target, result.best_config),
        optimum_percent=_optimum(surface),
        announced_percent=result.smallest_percent,
        best_seen_percent=result.claimed_by_search,
        search_seconds=math.fsum(trial.seconds for trial in trials if trial.kind in _DURING_SEARCH),
        cpu_seconds=time.process_time() - began,
        trials=tuple(trials),
        leaves=leaves,
    )


def _of_this_machine(sessions: Sequence[LabSession], target: str) -> list[Memory]:
    """What they left, with keys and dates that are the same whenever the same sessions are remembered."""
    left = [session.leaves for session in sessions if session.leaves is not None]
    return [
        replace(
            each,
            key=f"{_ORIGIN}-{number}",
            created=datetime.fromtimestamp(number, UTC).isoformat(),
            fingerprint=replace(each.fingerprint, machine=target),
        )
        for number, each in enumerate(left, 1)
    ]


def plan_for(
    surface: Surface,
    budget: int,
    training: Mapping[str, Any] | None = None,
    suggestions: Sequence[Mapping[str, Value]] = (),
) -> TuningPlan:
    """A plan over everything that the surface says is worth tuning, with its own metric and direction.

    Raises:
        PlanError: The surface's action space is none.
    """
    return plan_from(
        {
            "workload_name": getattr(surface, "name", "") or type(surface).__name__,
            "reward_metric": surface.metric,
            "direction": surface.direction,
            "benchmark_command": _COMMAND,
            "metric_pattern": "(.*)",
            "action_space": [as_action(action) for action in surface.action_space],
            "state_space": [],
            "training_config": {"total_timesteps": budget, **(training or {})},
            "suggestions": [{"configuration": dict(each)} for each in suggestions],
        }
    )


def true_percent(target: SimulatedTarget, configuration: Mapping[str, Value]) -> float | None:
    """What a configuration is worth without noise against what the target has: percent, positive is better.

    None when the benchmark fails in one of the two.
    """
    before, after = target.truth({}), target.truth(configuration)
    gain = None if before is None or after is None else log_ratio(before, after, target.surface.direction)
    return None if gain is None else percent(gain) + 0.0  # no change is 0, never minus 0


def named_surface(name: str) -> Surface:
    """A surface by its name, as in ``knobctl lab session``: those of ``--target simulated:NAME``, and ``sweep:NAME``
    for one that is fitted to a recorded sweep.

    Raises:
        UsageError: There is no such surface.
        StoreError: The sweep is damaged.
    """
    kind, _, rest = name.partition(":")
    if kind == "sweep":
        from knobctl.lab.fitted import shipped_surface

        return shipped_surface(rest)
    return find_surface(name)


def _model(surface: Surface, noise: NoiseModel | float | str) -> NoiseModel:
    if noise != OWN:
        return noise_model(noise)
    own = getattr(surface, "noise", None)
    if not isinstance(own, NoiseModel):
        raise UsageError("the surface brings no noise of its own", f"Choose one: {', '.join(NOISES)}.")
    return own


def _name(noise: NoiseModel | float | str) -> str:
    return noise if isinstance(noise, str) else "custom"


def _record() -> tempfile.TemporaryDirectory[str]:
    """A folder for the record, in memory where the machine has such a place: a study waits for no disk."""
    return tempfile.TemporaryDirectory(
        prefix=f"knobctl-lab-{os.getpid()}-", dir=_MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None
    )


def _optimum(surface: Surface) -> float | None:
    optimum = getattr(surface, "optimum", None)
    return None if optimum is None else percent(float(optimum()[1]))
