"""Events in, lines for people out: one per thing that happened. What all terminal views say, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from knobctl.events import (
    CandidateChosen,
    Event,
    MachineRestored,
    MemoryRecalled,
    NoiseMeasured,
    Notice,
    PairMeasured,
    PhaseStarted,
    SessionResumed,
    SessionStarted,
    StrategistStep,
    TrialDone,
    TrialStarted,
)
from knobctl.report.conversation_view import step_lines
from knobctl.report.wording import SIMULATED, assignments, better, duration, number, one_line, percent, score

QUIET, NORMAL, VERBOSE = -1, 0, 1

KINDS = {
    "warmup": "warm-up",
    "baseline": "as found",
    "probe": "very different",
    "search": "search",
    "suggestion": "first guess",
    "control": "as found again",
    "canary": "as found, after a failure",
    "run-off": "run-off",
    "verify-default": "as found",
    "verify-candidate": "candidate",
}
"""What kinds of trials are called."""

LINES_OF_A_STEP = 3
"""Lines that are told of what a language model says or sees."""

BETWEEN = ("control", "canary")
"""Kinds that come between the trials that are counted."""


def level_of(*, quiet: bool = False, verbose: int = 0) -> int:
    """The level of the command line's ``-q`` and ``-v``."""
    return QUIET if quiet else VERBOSE if verbose else NORMAL


@dataclass(frozen=True)
class Line:
    """One line for people.

    Attributes:
        text: Without control characters.
        style: ``plain``, ``title``, ``good``, ``warning`` or ``dim``.
    """

    text: str
    style: str = "plain"


class Narrator:
    """Remembers what the lines need: the unit, the phase, and whether all this is simulated."""

    def __init__(self, level: int = NORMAL) -> None:
        """Starts a run's story.

        Args:
            level: ``QUIET`` tells warnings only, ``NORMAL`` every trial, ``VERBOSE`` also what each trial printed and
                what a language model says and looks at.
        """
        self.level = level
        self.simulated = False
        self.unit = ""
        self.phase = ""

    def lines(self, event: Event) -> list[Line]:
        """What there is to say about an event; often nothing."""
        told = self._told(event)
        if self.level <= QUIET:
            told = [line for line in told if line.style == "warning"]
        if self.simulated:
            told = [Line(f"{SIMULATED} {line.text}", line.style) for line in told]
        return told

    def _told(self, event: Event) -> list[Line]:
        match event:
            case SessionStarted():
                return self._session(event)
            case SessionResumed():
                return [Line(f"  it goes on: {event.trials} runs are recorded and are not repeated")]
            case PhaseStarted():
                return self._phase(event)
            case TrialStarted():
                if self.level < VERBOSE:
                    return []
                return [Line(f"  start {place(event.position, event.of)} {assignments(event.configuration)}", "dim")]
            case TrialDone():
                return self._trial(event)
            case NoiseMeasured():
                return self._noise(event)
            case MemoryRecalled():
                return _recalled(event)
            case CandidateChosen():
                return _candidate(event)
            case PairMeasured():
                return [Line(pair(event))]
            case MachineRestored():
                return _restored(event)
            case StrategistStep():
                return self._step(event)
            case Notice():
                warning = event.level == "warning"
                return [
                    Line(
                        f"{'warning' if warning else 'note'}: {one_line(event.text)}", "warning" if warning else "plain"
                    )
                ]
        return []

    def _step(self, event: StrategistStep) -> list[Line]:
        if event.step == "failed":
            return [Line(f"warning: the language model gave no reply: {one_line(event.text)}", "warning")]
        if event.step in ("user", "reply"):  # whoever holds the conversation shows these two
            return []
        if self.level < VERBOSE:
            brief = {"call": f"it looks at {event.name}", "rejected": f"not usable, asked again: {event.text}"}
            return [Line(f"  {one_line(brief[event.step], 160)}", "dim")] if event.step in brief else []
        return [Line(line, "dim") for line in step_lines(event, LINES_OF_A_STEP)]

    def _session(self, event: SessionStarted) -> list[Line]:
        self.simulated, self.unit = event.simulated, event.unit
        unit = f"{one_line(event.unit, 40)}, " if event.unit else ""
        return [
            Line(
                f"session {one_line(event.session)}: {one_line(event.workload)} on {one_line(event.target, 80)}",
                "title",
            ),
            Line(f"  measuring {one_line(event.metric, 100)} ({unit}{better(event.direction)})"),
            Line(f"  with {one_line(event.command, 1000)}"),
            Line(f"  searcher {one_line(event.searcher, 40)}, {event.budget} trials"),
        ]

    def _phase(self, event: PhaseStarted) -> list[Line]:
        self.phase = event.phase
        runs = f", {event.runs} runs" if event.runs else ""
        return [Line(f"{event.phase}: {one_line(event.text)}{runs}{left(event.seconds_left)}", "title")]

    def _trial(self, event: TrialDone) -> list[Line]:
        trial = event.trial
        what = KINDS.get(trial.kind, one_line(trial.kind, 40))
        outcome = f"FAILED: {one_line(trial.failure)}" if trial.score is None else score(trial.score, self.unit)
        if trial.cut_short:
            outcome = f"about {outcome}, cut short after {trial.seconds:.0f} s"
        where = "" if trial.kind in BETWEEN else f"{place(event.position, event.of)} "
        parts = [f"  {where}{what}: {outcome}"]
        if trial.configuration and self.phase != "verify":
            parts.append(assignments(trial.configuration))
        if self.phase == "search" and event.best_percent is not None:
            parts.append(unverified(event.best_percent))
        text = " | ".join(parts) + left(event.seconds_left)
        told = [Line(text, "dim" if trial.score is None else "plain")]
        if self.level >= VERBOSE:
            for title, values in (("printed", trial.metrics), ("machine", trial.machine)):
                if values:
                    shown = " ".join(f"{one_line(name, 60)}={number(value)}" for name, value in values.items())
                    told.append(Line(f"      {title} {shown}", "dim"))
        return told

    def _noise(self, event: NoiseMeasured) -> list[Line]:
        found = f"  baseline {score(event.baseline, self.unit)}, noise between runs {event.noise_percent:.1f} %"
        if event.within_percent is not None:
            found += f" (from within a run {event.within_percent:.1f} %)"
        if event.smallest_percent > 1000:
            return [Line(f"{found}; {event.pairs} pairs prove nothing at this noise", "title")]
        proof = f"this budget ({event.pairs} pairs) can prove effects of about {event.smallest_percent:.1f} % or more"
        return [Line(found), Line(f"  {proof}", "title")]


def _recalled(event: MemoryRecalled) -> list[Line]:
    if not event.sessions:
        return []
    count = len(event.sessions)
    many = "1 similar session, " if count == 1 else f"{count} similar sessions, the nearest "
    why = f" ({one_line(event.why[0], 200)})" if event.why else ""
    return [Line(f"  remembered: {many}{one_line(event.sessions[0], 80)}{why}")]


def _candidate(event: CandidateChosen) -> list[Line]:
    if not event.configuration:
        return [Line("  the search proposes nothing but what was found")]
    claim = "" if event.claimed_percent is None else f"; it claims {percent(event.claimed_percent)}, unverified"
    return [Line(f"  the search proposes {assignments(event.configuration)}{claim}")]


def _restored(event: MachineRestored) -> list[Line]:
    told = []
    if event.complete:
        told.append(Line(f"  restored: {event.knobs} kernel files were looked at again", "good"))
    told += [
        Line(f"warning: {one_line(path)} was changed by somebody else; left alone", "warning") for path in event.drifted
    ]
    if not event.complete:
        told.append(Line("warning: NOT EVERY KNOB IS BACK. Paste as root:", "warning"))
        told += [Line(f"  {one_line(line)}", "warning") for line in event.left]
    return told


def pair(event: PairMeasured) -> str:
    """A pair of the verification with the interval after it."""
    scores = f"{number(event.default_score)} as found, {number(event.candidate_score)} candidate"
    if event.low_percent is None or event.high_percent is None:
        interval = "no interval yet"
    else:
        interval = f"95 % interval {percent(event.low_percent)} to {percent(event.high_percent)}"
    return f"  pair {place(event.pair, event.of)}: {scores}: {percent(event.percent)}; {interval}"


def place(position: int, of: int) -> str:
    """``5/24``."""
    return f"{position}/{of}" if of else str(position)


def left(seconds: float) -> str:
    """``, about 12 min left``; nothing when no time is left."""
    return f", about {duration(seconds)} left" if seconds >= 1 else ""


def unverified(best_percent: float) -> str:
    """The best of the search so far, marked as what it is."""
    return f"best so far {percent(best_percent)} (unverified)"
