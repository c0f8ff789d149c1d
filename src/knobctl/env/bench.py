"""One configuration in, one :class:`~knobctl.events.Trial` out: set the knobs, run the benchmark, read the score.

Everything that measures (preflight, search, verification) measures through a :class:`Bench`, so every trial is
numbered, announced and recorded in the same way, and no caller can forget to put the knobs back. A session that was
cut off goes on by playing it again from the start: trials that are recorded are handed out and not measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from knobctl.env.cutting import Cut, Cutter
from knobctl.errors import (
    HealthStop,
    KnobChangedByOther,
    KnobctlError,
    RestoreIncomplete,
    StoreError,
    WorkloadError,
    WriteFailed,
)
from knobctl.events import Event, EventSink, Progress, Trial, TrialDone, TrialStarted
from knobctl.knobs import Value
from knobctl.safety import SafePlan
from knobctl.stats import geometric_mean, log_ratio, mean, percent
from knobctl.target import Target
from knobctl.workload import Measurement, Workload
from knobctl.workload.base import Samples
from knobctl.workload.tool import RELIEF

DEFAULT_KINDS = ("baseline", "control", "canary")
"""Kinds of trials that measure the default configuration (a warm-up does not count, verification is on its own)."""

SEARCH_KINDS = ("search", "suggestion")
"""Kinds of trials that try a new configuration and count in the budget."""

MOST_TRIPS = 3
"""So many trips of the health guard in one session end it. One is a bad configuration, a second one another or a
neighbour's bad minute; a third says that this search keeps hurting a machine that others use."""


def _nobody(event: Event) -> None:
    """Reads no events."""


def _unknown() -> float:
    return 0.0


def _anything_goes() -> None:
    """Finds nothing in the way of another run."""


class Bench:
    """Measures configurations of one safe plan on one open target.

    Args:
        plan: What may be set and what is measured.
        target: An open target.
        workload: Prepared, and bound to that target.
        emit: Reader of the events.
        seconds_left: Estimate until the end of the whole run, for the events.
        recorded: Trials of this session that were measured before it was cut off, in order; they are handed out
            again, without an event, as long as they last.
        check: Called before each run; raises when there is no point in it: the record cannot be written.

    Attributes:
        trials: Every trial so far, in order.
        cutter: Ends hopeless runs of the search early; None to let every run come to its end.
    """

    def __init__(
        self,
        plan: SafePlan,
        target: Target,
        workload: Workload,
        emit: EventSink = _nobody,
        *,
        seconds_left: Callable[[], float] = _unknown,
        recorded: Sequence[Trial] = (),
        check: Callable[[], None] = _anything_goes,
    ) -> None:
        self.plan = plan
        self.target = target
        self.workload = workload
        self.trials: tuple[Trial, ...] = ()
        self.cutter: Cutter | None = None
        self._emit = emit
        self._seconds_left = seconds_left
        self._recorded = tuple(recorded)
        self._check = check
        self._began = target.clock.monotonic()
        self._default = plan.default
        self._current = dict(self._default)
        self._replayed: Mapping[str, Value] | None = None
        self._cold = tuple(tuned.knob.name for tuned in plan.knobs if tuned.knob.effect == "cold")
        self._started_with: dict[str, Value] | None = {name: self._default[name] for name in self._cold}
        self._trips = 0

    @property
    def current(self) -> dict[str, Value]:
        """The value that every tuned knob has now, or had after the trial that was handed out again."""
        return dict(self._current if self._replayed is None else self._replayed)

    @property
    def replaying(self) -> bool:
        """The next trial is recorded already."""
        return len(self.trials) < len(self._recorded)

    @property
    def elapsed(self) -> float:
        """Seconds of the session until its last trial ended, without the time between its being cut off and going on.

        Whatever depends on the time is decided by these, so a session that is played again decides the same.
        """
        return self.trials[-1].ended if self.trials else 0.0

    @property
    def _now(self) -> float:
        return self.target.clock.monotonic() - self._began

    def measure(
        self,
        configuration: Mapping[str, Value] | None,
        kind: str,
        position: int = 1,
        of: int = 1,
        reward: Callable[[Trial], float | None] | None = None,
    ) -> Trial:
        """Tries one configuration once.

        Args:
            configuration: Values of tuned knobs, the others are at their default; None for the default configuration.
            kind: As in :class:`~knobctl.events.Trial`.
            position: Which one it is within the phase, from 1.
            of: How many there are in the phase.
            reward: Computes the reward of the finished trial.

        Returns:
            The trial. A refused write, a benchmark that fails or that the health guard ends, and a score that is no
            positive number make a failed trial (``score`` is None, ``failure`` says why), not an error.

        Raises:
            HealthStop: The health guard tripped for the :data:`MOST_TRIPS`-th time; or at the default configuration,
                right after another failed trial or as the first trial of all: no configuration is to blame then.
                The trial is recorded first, and the knobs are at their default.
            KnobChangedByOther: Somebody else changed a knob. The trial is recorded first.
            TargetError: The target was lost. The trial is recorded first.
            StoreError: The session is played again, and this is not the trial that was recorded; or ``check`` says
                that nothing more can be recorded. Nothing was measured.
        """
        changed = {} if configuration is None else self.plan.changed(configuration)
        if self.replaying:
            return self._replay(changed, kind)
        self._check()
        number, started = len(self.trials), self._now
        announced = TrialStarted(number, kind, changed, position, of, self._seconds_left())
        self._emit(announced)
        refused = False
        try:
            measurement, cut = self._run(number, changed, kind)
        except WriteFailed as error:
            measurement, cut, refused = _failed(error), None, True
        except HealthStop as stop:  # it tripped while the services or the data were made ready for this trial
            measurement, cut = replace(_failed(stop), tripped=stop.message), None
        except KnobctlError as error:
            self._record(announced, started, _failed(error), None, reward)
            raise
        trial = self._record(announced, started, measurement, cut, reward, refused)
        if measurement.tripped:
            self._settle(measurement.tripped)
        return trial

    def apply(self, configuration: Mapping[str, Value] | None) -> None:
        """Sets the knobs: only those that differ from what is set now, and the default by restoring what was found.

        Raises:
            WriteFailed: A value was refused; all knobs are back at their default.
            KnobChangedByOther: Somebody else changed a knob.
            RestoreIncomplete: A knob cannot be put back.
            WorkloadError: The workload did not come up again after a cold knob was changed.
            HealthStop: The health guard ended that.
        """
        self._replayed = None
        wanted = {**self._default, **(configuration or {})}
        differing = {name: value for name, value in wanted.items() if value != self._current[name]}
        # Only a restore gives back exactly what was found: a twin's other face, a value outside the safe range.
        if not self.plan.changed(wanted) or any(value == self._default[name] for name, value in differing.items()):
            self._restore()
            differing = self.plan.changed(wanted)
        moved = {other for tuned in self.plan.knobs if tuned.knob.name in differing for other in tuned.knob.affects}
        differing |= {name: value for name, value in self.plan.changed(wanted).items() if name in moved}
        if differing:
            try:
                self.target.write(differing)
            except WriteFailed:
                self._restore()
                raise
        self._current = wanted
        cold = {name: wanted[name] for name in self._cold}
        if cold != self._started_with:
            self._started_with = None
            self.workload.restart()
            self._started_with = cold

    def default_score(self) -> float | None:
        """Geometric mean of the default configuration's scores so far, or None."""
        return geometric_mean([t.score for t in self.trials if t.kind in DEFAULT_KINDS and t.score is not None])

    def best_percent(self) -> float | None:
        """The best score of the search against the default so far, in percent. Unverified: luck included."""
        default, best = self.default_score(), self._best_score()
        gain = None if default is None or best is None else log_ratio(default, best, self.plan.objective.direction)
        return None if gain is None else percent(gain)

    def _best_score(self) -> float | None:
        scores = [trial.score for trial in self.trials if trial.kind in SEARCH_KINDS and trial.score is not None]
        best = max if self.plan.objective.direction == "maximize" else min
        return best(scores, default=None)

    def _replay(self, changed: Mapping[str, Value], kind: str) -> Trial:
        trial = self._recorded[len(self.trials)]
        if trial.kind != kind or dict(trial.configuration) != dict(changed):
            raise StoreError(
                f"the session cannot go on: its trial {trial.number} was {trial.kind} {dict(trial.configuration)}, and "
                f"would now be {kind} {dict(changed)}",
                "Start a new one; its record stays, and `knobctl report` still shows it.",
            )
        self.trials += (trial,)
        self._replayed = dict(self._default) if trial.tripped or trial.refused else {**self._default, **changed}
        if not self.replaying:
            self._began = self.target.clock.monotonic() - trial.ended
        if trial.tripped:
            self._count_trip(trial.tripped)
        return trial

    def _run(self, number: int, changed: Mapping[str, Value], kind: str) -> tuple[Measurement, Cut | None]:
        cutter = self.cutter if kind in SEARCH_KINDS else None
        defaults = [trial for trial in self.trials if trial.kind in DEFAULT_KINDS]
        best = self._best_score()
        cut: Cut | None = None

        def on_progress(fraction: float, samples: Samples) -> bool:
            nonlocal cut
            self._emit(Progress(number, fraction, mean([value for _, value in samples])))
            if cutter is not None and cut is None:
                cut = cutter.judge(samples, fraction, defaults, best)
            return cut is not None

        try:
            self.apply(changed)
            self.workload.reset()
        except WorkloadError as error:
            return _failed(error), None
        measurement = self.workload.run(on_progress)
        return measurement, cut if measurement.cut_short else None

    def _record(
        self,
        announced: TrialStarted,
        started: float,
        measurement: Measurement,
        cut: Cut | None,
        reward: Callable[[Trial], float | None] | None,
        refused: bool = False,
    ) -> Trial:
        score, failure = (cut.score, "") if cut else self._score(measurement)
        trial = Trial(
            number=announced.number,
            kind=announced.trial_kind,
            configuration=announced.configuration,
            score=score,
            metrics=measurement.metrics,
            machine=measurement.machine,
            samples=measurement.samples,
            seconds=measurement.seconds,
            reward=None,
            failure=failure,
            started=started,
            ended=self._now,
            cut_short=cut is not None,
            uncertainty=cut.uncertainty if cut else 0.0,
            tripped=measurement.tripped,
            refused=refused,
        )
        if reward is not None:
            trial = replace(trial, reward=reward(trial))
        self.trials += (trial,)
        self._emit(TrialDone(trial, announced.position, announced.of, self._seconds_left(), self.best_percent()))
        return trial

    def _settle(self, words: str) -> None:
        """Goes on after a trip of the health guard, which has put the knobs back, or does not.

        Raises:
            HealthStop: As :meth:`measure`.
        """
        self._restore()
        self._started_with = None  # a server may be among what was ended, or killed for its memory
        self._count_trip(words)

    def _count_trip(self, words: str) -> None:
        """Counts a trip of the health guard, in a session that is played again too.

        Raises:
            HealthStop: As :meth:`measure`.
        """
        self._trips += 1
        if self._trips >= MOST_TRIPS:
            raise HealthStop(f"the health guard tripped {self._trips} times; the last time: {words}", RELIEF)
        failed_before = len(self.trials) == 1 or self.trials[-2].score is None
        if failed_before and not self.trials[-1].configuration:
            raise HealthStop(f"the health guard tripped at the default configuration: {words}", RELIEF)

    def _restore(self) -> None:
        report = self.target.restore()
        for knob in report.knobs:
            if knob.outcome == "drifted":
                raise KnobChangedByOther(
                    f"{knob.path} was changed to {knob.now} by somebody else during the run",
                    "Their value was left alone. Stop whatever else tunes this machine and start again.",
                )
        if not report.complete:
            knob = next(knob for knob in report.knobs if knob.outcome == "failed")
            raise RestoreIncomplete(
                f"{knob.path} holds {knob.now or 'nothing'} and not {knob.found}, which was found: "
                f"{knob.detail or knob.outcome}",
                "Run `knobctl restore`, or write the value found by hand.",
            )
        self._current = dict(self._default)

    def _score(self, measurement: Measurement) -> tuple[float | None, str]:
        name = self.plan.objective.name
        score = measurement.metrics.get(name)
        if measurement.failure:
            return None, measurement.failure
        if score is None:
            return None, f"the benchmark did not print {name}"
        if not math.isfinite(score) or score <= 0:
            return None, f"{name} is {score:g}, which is no usable score"
        return score, ""


def _failed(error: KnobctlError) -> Measurement:
    return Measurement(metrics={}, failure=" ".join(error.message.split()))
