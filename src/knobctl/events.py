"""What a run emits while it goes on. Every view (terminal, store, web page) is a reader of this one stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

Value = int | str


@dataclass(frozen=True)
class Trial:
    """One configuration tried once: the unit of the record.

    Attributes:
        number: Counts from 0 through the whole session, whatever the kind.
        kind: ``warmup``, ``baseline``, ``probe`` (something very different, to see whether it leaves traces in the
            next run), ``search``, ``suggestion``, ``control`` (the default again, for drift), ``canary`` (the default
            after a failure), ``run-off`` (one of two candidates for the verification), ``verify-default`` or
            ``verify-candidate``.
        configuration: Value of every knob that differs from the default configuration.
        score: The objective; None when the trial failed. Of a run that was cut short: what the whole run would
            have given, as estimated from its progress.
        metrics: Everything that the benchmark printed.
        machine: Machine metrics over the run.
        samples: The objective over time: (second, value).
        seconds: Wall time of the benchmark alone.
        reward: What the learner was given; None outside the search.
        failure: Why there is no score; empty when there is one.
        started: Seconds since the session began.
        ended: Seconds since the session began when the trial was over, knobs and reset included.
        cut_short: The run was ended early because it very likely did not come near the best one.
        uncertainty: Standard deviation of the ln score on top of the noise between runs: above 0 for an estimate.
        tripped: Why the health guard ended it, and put the knobs back; empty when it did not.
        refused: The kernel refused a value, so the knobs were put back and no benchmark was run.
    """

    number: int
    kind: str
    configuration: Mapping[str, Value]
    score: float | None
    metrics: Mapping[str, float]
    machine: Mapping[str, float]
    samples: tuple[tuple[float, float], ...]
    seconds: float
    reward: float | None
    failure: str
    started: float
    ended: float = 0.0
    cut_short: bool = False
    uncertainty: float = 0.0
    tripped: str = ""
    refused: bool = False


@dataclass(frozen=True)
class Event:
    """Base of all events. ``kind`` names the class in the store and in JSON."""

    kind: ClassVar[str] = "event"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"event": self.kind, **asdict(self)}


@dataclass(frozen=True)
class Notice(Event):
    """Something that people should read. ``level`` is ``info`` or ``warning``."""

    kind: ClassVar[str] = "notice"
    text: str
    level: str = "info"


@dataclass(frozen=True)
class StrategistStep(Event):
    """Something that was said to a language model, or that it said or did. Untrusted, and recorded as it came.

    Attributes:
        step: ``request`` (what it was asked), ``thought`` (words beside a tool call, or its last words), ``call`` (a
            tool and its arguments), ``observation`` (what the tool returned), ``answer`` (the JSON that it gave),
            ``rejected`` (why that cannot be used), ``failed`` (why there is no reply), ``user`` and ``reply`` (the
            two sides of a conversation).
        text: The words, cut to a bounded length.
        name: Name of the tool; empty for everything else.
    """

    kind: ClassVar[str] = "strategist-step"
    step: str
    text: str
    name: str = ""


@dataclass(frozen=True)
class SessionStarted(Event):
    """A run begins."""

    kind: ClassVar[str] = "session-started"
    session: str
    workload: str
    metric: str
    unit: str
    direction: str
    command: str
    target: str
    simulated: bool
    searcher: str
    budget: int


@dataclass(frozen=True)
class SessionResumed(Event):
    """A run that was cut off goes on: ``trials`` were recorded before and are not measured again."""

    kind: ClassVar[str] = "session-resumed"
    trials: int


@dataclass(frozen=True)
class PhaseStarted(Event):
    """The run enters ``prepare``, ``preflight``, ``search``, ``run-off``, ``verify`` or ``restore``.

    Attributes:
        phase: Its name.
        runs: Benchmark runs planned in it; 0 when it has none.
        seconds_left: Estimate until the end of the whole run.
        text: What happens in it, for people.
    """

    kind: ClassVar[str] = "phase-started"
    phase: str
    runs: int
    seconds_left: float
    text: str


@dataclass(frozen=True)
class TrialStarted(Event):
    """A trial begins. ``position`` of ``of`` counts within the phase, from 1."""

    kind: ClassVar[str] = "trial-started"
    number: int
    trial_kind: str
    configuration: Mapping[str, Value]
    position: int
    of: int
    seconds_left: float


@dataclass(frozen=True)
class Progress(Event):
    """The benchmark is running. ``fraction`` is in [0, 1]; ``score`` the objective so far, if it prints one."""

    kind: ClassVar[str] = "progress"
    number: int
    fraction: float
    score: float | None


@dataclass(frozen=True)
class TrialDone(Event):
    """A trial ended. ``best_percent`` is the best score of the search against the baseline so far, unverified."""

    kind: ClassVar[str] = "trial-done"
    trial: Trial
    position: int
    of: int
    seconds_left: float
    best_percent: float | None


@dataclass(frozen=True)
class NoiseMeasured(Event):
    """The preflight knows the noise.

    Attributes:
        baseline: Geometric mean of the counted runs of the default configuration.
        noise_percent: Noise between runs, in percent of the score.
        smallest_percent: The smallest effect that the budget can prove.
        pairs: Most pairs of the verification.
        within_percent: Part of the noise that comes from within a run; None when the runs print no progress.
        drift_percent: How far the score moved over the preflight.
        carry_over_percent: How much better (positive) or worse a run of the default was right after a very different
            configuration; None when that was not looked at.
        run_seconds: Length of a run from now on.
    """

    kind: ClassVar[str] = "noise-measured"
    baseline: float
    noise_percent: float
    smallest_percent: float
    pairs: int
    within_percent: float | None = None
    drift_percent: float = 0.0
    carry_over_percent: float | None = None
    run_seconds: float = 0.0


@dataclass(frozen=True)
class MemoryRecalled(Event):
    """The search begins with what earlier sessions of a similar kind have left; nothing where there are none.

    Attributes:
        sessions: Their keys, the nearest first. A session that is cut off and goes on remembers these again.
        why: Why each of them counts as similar, one sentence for people.
    """

    kind: ClassVar[str] = "memory-recalled"
    sessions: tuple[str, ...] = ()
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class CandidateChosen(Event):
    """The search is over. ``claimed_percent`` is what the search alone would have claimed."""

    kind: ClassVar[str] = "candidate-chosen"
    configuration: Mapping[str, Value]
    claimed_percent: float | None
    policy_updates: int | None


@dataclass(frozen=True)
class PairMeasured(Event):
    """One fresh pair of the verification, with the interval after it (percent; None while unbounded)."""

    kind: ClassVar[str] = "pair-measured"
    pair: int
    of: int
    default_score: float
    candidate_score: float
    percent: float
    low_percent: float | None
    high_percent: float | None


@dataclass(frozen=True)
class MachineRestored(Event):
    """Every knob was looked at again. ``left`` names what is not back, with its paste-able line."""

    kind: ClassVar[str] = "machine-restored"
    complete: bool
    knobs: int
    drifted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class SessionEnded(Event):
    """The run is over; ``result`` is the result document."""

    kind: ClassVar[str] = "session-ended"
    result: Mapping[str, Any] = field(default_factory=dict)


EventSink = Callable[[Event], None]
"""A reader of the stream. It is called in order, in the thread of the run, and must not raise."""
