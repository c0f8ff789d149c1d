"""One session of a comparison in, what it found and what is true out, trial by trial.

The session is played once, to the end of its budget. What would have been offered after fewer trials, or after less
time, is computed afterwards from the trials until then, for every searcher in the same way: by
:func:`knobctl.search.incumbent.choose`, as in every run of knobctl, before the run-off. What that takes away again
shows in what is recommended in the end.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from knobctl import pipeline
from knobctl.env.bench import DEFAULT_KINDS, SEARCH_KINDS
from knobctl.env.cutting import RISK_PERCENT
from knobctl.errors import BenchmarkBroken, SafetyStop
from knobctl.events import Trial
from knobctl.lab.compare_contenders import contender
from knobctl.lab.compare_memory import earlier
from knobctl.lab.session import LabSession, named_surface, plan_for, run_session
from knobctl.safety import Consent
from knobctl.search.incumbent import choose
from knobctl.stats import geometric_mean, log_effect, log_ratio
from knobctl.target.simulated import SimulatedTarget
from knobctl.target.surfaces import Surface

STEP, FIRST_LOOK = 5, 4
"""What is offered is looked at after every so many trials, and once before: a memory shows at the first ones."""

NEAR = 0.95
"""A session has arrived when what it offers gains this share of what is possible."""

LEAST_GAIN = log_effect(2.0)
"""A machine on which less is possible has nothing to gain: a share of that would be a share of chance."""

RUN_SECONDS = 30.0
"""Of the machines that are drawn; a recorded one has its own."""

_BAD = log_effect(-RISK_PERCENT)
_SEARCHING = (*SEARCH_KINDS, "control", "canary")


@dataclass(frozen=True)
class Case:
    """What to play.

    Attributes:
        contender: Name of a contender.
        surface: Name of a machine.
        noise: Name of the noise; a recorded machine has its own in any case.
        number: Of the session on this machine; sessions with the same number have the same luck.
        budget: Trials of the search.
    """

    contender: str
    surface: str
    noise: str
    number: int
    budget: int

    @property
    def seed(self) -> int:
        """Of the noise and of everything that is drawn: the same for every contender."""
        return zlib.crc32(f"{self.surface}#{self.number}".encode()) >> 1


@dataclass(frozen=True)
class Played:
    """What came of it. Gains are true: log-ratios to the default without noise, positive is better; None: it fails.

    Attributes:
        ended: The verdict, or the name of the error that ended the session.
        optimum: What is possible.
        gains: Of every trial of the search.
        times: Length of every trial, in whole runs: less than 1 when it was cut short.
        cut: Numbers of the trials that were cut short, from 0.
        by_trials: Of what is offered after so many trials as :func:`steps` says.
        by_time: The last of these after as long as so many whole runs take, the default's controls included.
        own: Of the best score seen after so many trials: what the searcher's own users would take.
        claimed: What the best score of all would have claimed; None without any.
        trials_needed: The first of these numbers of trials after which what is offered gains :data:`NEAR` of what is
            possible; None: never.
        time_needed: The time of those trials, in whole runs.
        time: Of the whole search, in whole runs.
        candidate: Of what was verified; 0 for nothing.
        recommended: Of what is recommended in the end; 0 for nothing.
        pairs: Of the verification.
        cpu: Processor seconds of the whole session.
    """

    ended: str
    optimum: float
    gains: tuple[float | None, ...] = ()
    times: tuple[float, ...] = ()
    cut: tuple[int, ...] = ()
    by_trials: tuple[float | None, ...] = ()
    by_time: tuple[float | None, ...] = ()
    own: tuple[float | None, ...] = ()
    claimed: float | None = None
    trials_needed: int | None = None
    time_needed: float | None = None
    time: float = 0.0
    candidate: float | None = 0.0
    recommended: float | None = 0.0
    pairs: int = 0
    cpu: float = 0.0

    @property
    def gainful(self) -> bool:
        """There is something to gain."""
        return self.optimum >= LEAST_GAIN

    @property
    def improved(self) -> bool:
        """It claims a gain."""
        return self.ended == "IMPROVED"

    @property
    def false_claim(self) -> bool:
        """It claims a gain, and there is none."""
        return self.improved and (self.recommended is None or self.recommended <= 0.0)

    def share(self, gain: float | None) -> float:
        """A gain as a share of what is possible; losing more than that, or failing, counts as -1."""
        return -1.0 if gain is None else max(-1.0, gain / self.optimum)

    def bad(self, trials: int) -> float:
        """Share of so many first trials that were more than 10 percent worse than the default, or failed."""
        first = self.gains[:trials]
        return sum(gain is None or gain < _BAD for gain in first) / len(first) if first else 0.0


def steps(budget: int) -> tuple[int, ...]:
    """After how many trials it is looked at what is offered: the places of ``by_trials``, ``by_time`` and ``own``."""
    return tuple(sorted({min(FIRST_LOOK, budget), *range(STEP, budget, STEP), budget}))


def play(case: Case) -> Played:
    """Plays a case, and rounds as its record does. A session that ends early for safety is an outcome too.

    Raises:
        UsageError: There is no such contender or machine.
    """
    who, surface = contender(case.contender), named_surface(case.surface)
    recorded = case.surface.startswith("sweep:")
    run_seconds = float(getattr(surface, "run_seconds", RUN_SECONDS))
    none = (0.0,) * len(steps(case.budget))
    memory = earlier(case.surface, who.remembers, case.noise) if who.remembers else ()
    optimum = float(surface.optimum()[1])  # type: ignore[attr-defined]  # machines of a comparison know their best
    try:
        session = run_session(
            surface, "own" if recorded else case.noise, who.searcher, case.budget, case.seed,
            run_seconds=run_seconds, memory=memory, **who.options,
        )  # fmt: skip
    except (BenchmarkBroken, SafetyStop) as error:
        return Played(type(error).__name__, optimum, by_trials=none, by_time=none, own=none)
    return row_read(row_of(case, _Look(session, surface, optimum, run_seconds).played()))[1]


class _Look:
    """A session that was played, seen with the truth beside it."""

    def __init__(self, session: LabSession, surface: Surface, optimum: float, run_seconds: float) -> None:
        plan = plan_for(surface, session.budget)
        self._target = SimulatedTarget(surface)
        consent = Consent(plan.benchmark_command, frozenset(action.param for action in plan.action_space))
        self._plan = pipeline.validate(plan, self._target, consent)
        self._session = session
        self._optimum = optimum
        self._run_seconds = run_seconds
        self._default = self._target.truth({})
        self._noise_sd = log_effect(session.result.noise_percent or 0.0)
        self._searched = [trial for trial in session.trials if trial.kind in SEARCH_KINDS]

    def played(self) -> Played:
        session, result = self._session, self._session.result
        ends, grid = self._ends(), steps(session.budget)
        # Nothing new is offered between two looks, by time neither: every offer is a model that has to be fitted.
        offers = [self._offer(ends, min(step, len(ends))) for step in grid]
        times = [ends[min(step, len(ends)) - 1][1] if ends else 0.0 for step in grid]
        at_time = [sum(time <= step for time in times) for step in grid]
        arrived = next((look for look, gain in enumerate(offers) if self._near(gain)), None)
        return Played(
            ended=result.verdict.value,
            optimum=self._optimum,
            gains=tuple(self._gain(trial.configuration) for trial in self._searched),
            times=tuple(trial.seconds / self._run_seconds for trial in self._searched),
            cut=tuple(number for number, trial in enumerate(self._searched) if trial.cut_short),
            by_trials=tuple(offers),
            by_time=tuple(offers[looks - 1] if looks else 0.0 for looks in at_time),
            own=tuple(self._own(self._searched[:step])[0] for step in grid),
            claimed=self._own(self._searched)[1],
            trials_needed=None if arrived is None else grid[arrived],
            time_needed=None if arrived is None else times[arrived],
            time=session.search_seconds / self._run_seconds,
            candidate=self._gain(result.candidate_config),
            recommended=self._gain(result.best_config),
            pairs=result.pairs,
            cpu=session.cpu_seconds,
        )

    def _ends(self) -> list[tuple[int, float]]:
        """For each trial of the search: how many runs of the session are known after it, and the time until then."""
        ends: list[tuple[int, float]] = []
        time = 0.0
        for index, trial in enumerate(self._session.trials):
            if trial.kind in _SEARCHING:
                time += trial.seconds / self._run_seconds
            if trial.kind in SEARCH_KINDS:
                ends.append((index + 1, time))
            elif trial.kind == "canary" and ends:
                ends[-1] = (index + 1, time)
        return ends

    def _offer(self, ends: Sequence[tuple[int, float]], trials: int) -> float | None:
        """True gain of what is offered after so many trials of the search."""
        if not trials:
            return 0.0
        plan, known = self._plan, self._session.trials[: ends[trials - 1][0]]
        found = choose(known, plan.space, plan.default, plan.objective.direction, self._noise_sd)
        return self._gain(found.configuration if found else {})

    def _near(self, gain: float | None) -> bool:
        return self._optimum >= LEAST_GAIN and gain is not None and gain >= NEAR * self._optimum

    def _own(self, searched: Sequence[Trial]) -> tuple[float | None, float | None]:
        """True gain and claimed gain of the best score seen; the default when none looks better."""
        direction = self._session.result.direction
        default = geometric_mean(
            [trial.score for trial in self._session.trials if trial.kind in DEFAULT_KINDS and trial.score is not None]
        )
        claims = [
            (claim, trial.configuration)
            for trial in searched
            if default is not None
            and trial.score is not None
            and (claim := log_ratio(default, trial.score, direction)) is not None
        ]
        if not claims:
            return 0.0, None
        claim, configuration = max(claims, key=lambda each: each[0])
        return (self._gain(configuration) if claim > 0 else 0.0), claim

    def _gain(self, configuration: Any) -> float | None:
        truth = self._target.truth(configuration)
        if truth is None or self._default is None:
            return None
        return log_ratio(self._default, truth, self._session.result.direction)


def row_of(case: Case, played: Played) -> list[Any]:
    """A case and what came of it, in the order of :data:`COLUMNS`."""
    return [_rounded(getattr(case, name)) for name in _CASE] + [_rounded(getattr(played, name)) for name in _PLAYED]


def row_read(row: list[Any]) -> tuple[Case, Played]:
    """What :func:`row_of` wrote.

    Raises:
        ValueError: It has another number of columns.
    """
    if len(row) != len(COLUMNS):
        raise ValueError(f"a session has {len(row)} columns instead of {len(COLUMNS)}")
    cells: list[Any] = [tuple(cell) if isinstance(cell, list) else cell for cell in row]
    return Case(*cells[: len(_CASE)]), Played(*cells[len(_CASE) :])


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_rounded(each) for each in value]
    return round(value, _PLACES) + 0.0 if isinstance(value, float) else value


_PLACES = 3
_CASE = tuple(each.name for each in fields(Case))
_PLAYED = tuple(each.name for each in fields(Played))
COLUMNS = _CASE + _PLAYED
"""Of the record of a comparison."""
