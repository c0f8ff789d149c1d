"""One session of a study in, the few numbers that the study needs of it out.

Every case is played by itself from its own seed, so the cases of a study can be played in any order and by several
processes, and a case that was played is never played again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from knobctl.errors import BenchmarkBroken, PreflightRefused, SafetyStop
from knobctl.knobs import Value
from knobctl.lab.session import LabSession, run_session, true_percent
from knobctl.safety.suggested import most_played
from knobctl.target.families import draw, family_by_name
from knobctl.target.noise import NOISES
from knobctl.target.simulated import SimulatedTarget
from knobctl.target.synthetic import Axis, SyntheticSurface

BUDGET = 40
"""Trials of every search."""

_SHAPES: Mapping[str, dict[str, Any]] = {
    "single": {"knobs": 8, "active": 1},
    "few": {"knobs": 10, "active": 2},
    "many": {"knobs": 10, "active": 8, "kinds": ("peak", "rise", "switch")},
    "cliff": {"knobs": 8, "active": 2, "kinds": ("cliff", "peak")},
    "interaction": {"knobs": 8, "active": 3, "interaction": True},
}
"""The families of which a surface can be drawn with a gain that the study chooses."""

SHAPES = tuple(_SHAPES)

_PLACES = 4


@dataclass(frozen=True)
class Case:
    """What to play.

    Attributes:
        part: Of the study; cases of one part and noise are counted together.
        task: ``search`` for a whole session, and ``good``, ``bad`` or ``crowd`` for one with suggestions as
            :func:`suggestions_of` says; ``random``: verify a random configuration; ``best``: verify the best one.
        family: Where the surface is drawn from.
        noise: Name of the noise.
        seed: Of the surface, the noise and everything that is drawn.
        searcher: Name of the searcher.
        gain: What the best configuration gains, as a share of the default's score; None for the family's own.
        cut_short: End runs of the search early that very likely do not come near the best one.
    """

    part: str
    task: str
    family: str
    noise: str
    seed: int
    searcher: str = "tpe"
    gain: float | None = None
    cut_short: bool = True


@dataclass(frozen=True)
class Played:
    """What came of it. Everything in percent is against the default, positive is better.

    Attributes:
        ended: The verdict, or the name of the error that ended the session: ``PreflightRefused`` when the preflight
            would not let it begin.
        pairs: Pairs of the verification.
        low: Lower end of the final interval, percent; None without a verification or while it is unbounded.
        high: Upper end.
        true: What the candidate is worth without noise, percent; None when the benchmark fails there.
        whole_true: The same for all the changes of the incumbent, of which the candidate may be a part.
        optimum: The same for the best configuration of all.
        announced: The smallest gain that the preflight said it could prove, percent.
        best_seen: Best score of the search against the mean of the default's runs, percent: luck included.
        changes: Knobs that the candidate changes; 0 without a candidate.
        whole_changes: Knobs that the incumbent changes.
        idle_changes: Knobs of the candidate that have no effect at all.
        search_seconds: Seconds of benchmark in the search.
        cut: Runs that were cut short.
    """

    ended: str
    pairs: int = 0
    low: float | None = None
    high: float | None = None
    true: float | None = 0.0
    whole_true: float | None = 0.0
    optimum: float = 0.0
    announced: float | None = None
    best_seen: float | None = None
    changes: int = 0
    whole_changes: int = 0
    idle_changes: int = 0
    search_seconds: float = 0.0
    cut: int = 0

    @property
    def refused(self) -> bool:
        """The preflight would not let it begin."""
        return self.ended == PreflightRefused.__name__

    @property
    def improved(self) -> bool:
        """It claims a gain."""
        return self.ended == "IMPROVED"

    def covers(self, value: float) -> bool:
        """Whether the final interval holds this value; there has to be one."""
        assert self.low is not None and self.high is not None
        return self.low <= value <= self.high


def surface_of(case: Case) -> SyntheticSurface:
    """The machine of a case."""
    name = f"{case.family}:{case.seed}"
    if case.gain is None:
        return family_by_name(name)
    return draw(case.seed, optimum_gain=case.gain, name=name, **_SHAPES[case.family])


def play(case: Case) -> Played:
    """Plays a case. A session that may not begin, or that ends early for safety, is an outcome too."""
    surface = surface_of(case)
    candidate = {"random": random_configuration(surface, case.seed), "best": surface.optimum()[0]}
    try:
        session = run_session(
            surface, case.noise, case.searcher, BUDGET, case.seed,
            force=False, cut_short=case.cut_short, candidate=candidate.get(case.task),
            suggestions=suggestions_of(surface, case.task, case.seed),
        )  # fmt: skip
    except (PreflightRefused, BenchmarkBroken, SafetyStop) as error:
        return Played(type(error).__name__)
    return _numbers(session, surface)


def random_configuration(surface: SyntheticSurface, seed: int) -> dict[str, Value]:
    """A value for every knob, drawn evenly from what may be tried."""
    random = np.random.default_rng((seed, 3))
    return {
        axis.param: axis.values[random.integers(len(axis.values))]
        if axis.values
        else int(random.integers(axis.low, axis.high + 1))
        for axis in surface.axes
    }


def suggestions_of(surface: SyntheticSurface, task: str, seed: int) -> list[dict[str, Value]]:
    """What is suggested in a task: nothing in most.

    ``good``: every second knob that matters, at its best value. ``bad``: each of them at its worst value other than the
    default, where the benchmark fails if it ever does, and the others anywhere. ``crowd``: as many such as are played.
    """
    if task == "good":
        return [dict(list(surface.optimum()[0].items())[::2])]
    worst = {axis.param: _worst(axis) for axis in surface.axes if axis.effect is not None or axis.fails is not None}
    several = range({"bad": 1, "crowd": most_played(BUDGET)}.get(task, 0))
    return [{**random_configuration(surface, len(several) * seed + number), **worst} for number in several]


def _worst(axis: Axis) -> Value:
    if axis.fails is not None:
        return axis.fails[0]
    effect = axis.effect
    others = [value for value in axis.candidates() if value != axis.default]
    return min(others, key=lambda value: effect.at(value) if effect is not None else 0.0)


def row_of(case: Case, played: Played) -> list[Any]:
    """A case and what came of it, in the order of :data:`COLUMNS`."""
    values = [getattr(case, name) for name in _CASE] + [getattr(played, name) for name in _PLAYED]
    return [round(value, _PLACES) + 0.0 if isinstance(value, float) else value for value in values]


def row_read(row: list[Any]) -> tuple[Case, Played]:
    """What :func:`row_of` wrote.

    Raises:
        ValueError: It has another number of columns.
    """
    if len(row) != len(COLUMNS):
        raise ValueError(f"a session has {len(row)} numbers instead of {len(COLUMNS)}")
    return Case(*row[: len(_CASE)]), Played(*row[len(_CASE) :])


def gains(number: int, lowest: float, highest: float) -> list[float]:
    """So many gains between two, evenly spread over their logarithms, neighbours far apart."""
    golden = (5.0**0.5 - 1.0) / 2.0
    return [round(lowest * (highest / lowest) ** ((0.5 + index * golden) % 1.0), _PLACES) for index in range(number)]


def spread_of(noise: str) -> float:
    """Spread of the ln score of runs of 30 s under a noise, by its name."""
    return NOISES[noise].spread(30.0)


_CASE = tuple(field.name for field in fields(Case))
_PLAYED = tuple(field.name for field in fields(Played))
COLUMNS = _CASE + _PLAYED
"""Of the record of a study."""


def _numbers(session: LabSession, surface: SyntheticSurface) -> Played:
    result = session.result
    low, high = result.improvement_interval or (None, None)
    runoff = [trial.configuration for trial in session.trials if trial.kind == "run-off"]
    whole = max([result.candidate_config, *runoff], key=len)
    idle = {axis.param for axis in surface.axes if axis.effect is None and axis.fails is None}
    idle -= {name for pair in surface.interactions for name in (pair.left, pair.right)}
    optimum = session.optimum_percent
    assert optimum is not None, "a drawn surface knows its optimum"
    return Played(
        ended=result.verdict.value,
        pairs=result.pairs,
        low=low,
        high=high,
        true=session.true_percent,
        whole_true=true_percent(SimulatedTarget(surface, session.noise, session.seed), whole),
        optimum=optimum,
        announced=session.announced_percent,
        best_seen=session.best_seen_percent,
        changes=len(result.candidate_config),
        whole_changes=len(whole),
        idle_changes=len(idle & set(result.candidate_config)),
        search_seconds=session.search_seconds,
        cut=result.cut_short,
    )
