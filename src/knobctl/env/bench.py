"""One configuration in, one :class:`~knobctl.events.Trial` out: set the knobs, run the benchmark, read the score.

Everything that measures (preflight, search, verification) measures through a :class:`Bench`, so every trial is
numbered, announced and recorded in the same way, and no caller can forget to put the knobs back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from knobctl.errors import (
    HealthStop,
    KnobChangedByOther,
    KnobctlError,
    RestoreIncomplete,
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


class Bench:
    """Measures configurations of one safe plan on one open target.

    Args:
        plan: What may be set and what is measured.
        target: An open target.
        workload: Prepared, and bound to that target.
        emit: Reader of the events.
        seconds_left: Estimate until the end of the whole run, for the events.
        began: When the session began, on the target's clock; now by default.
        first_number: Number of the first trial.

    Attributes:
        trials: Every trial measured so far, in order.
    """

    def __init__(
        self,
        plan: SafePlan,
        target: Target,
        workload: Workload,
        emit: EventSink = _nobody,
        *,
        seconds_left: Callable[[], float] = _unknown,
        began: float | None = None,
        first_number: int = 0,
    ) -> None:
        self.plan = plan
        self.target = target
        self.workload = workload
        self.trials: tuple[Trial, ...] = ()
        self._emit = emit
        self._seconds_left = seconds_left
        self._began = target.clock.monotonic() if began is None else began
        self._number = first_number
        self._default = plan.default
        self._current = dict(self._default)
        self._cold = tuple(tuned.knob.name for tuned in plan.knobs if tuned.knob.effect == "cold")
        self._started_with: dict[str, Value] | None = {name: self._default[name] for name in self._cold}
        self._trips = 0

    @property
    def current(self) -> dict[str, Value]:
        """The value that every tuned knob has now."""
        return dict(self._current)

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
        """
        changed = {} if configuration is None else self.plan.changed(configuration)
        number, started = self._number, self.target.clock.monotonic()
        self._number += 1
        announced = TrialStarted(number, kind, changed, position, of, self._seconds_left())
        self._emit(announced)
        try:
            measurement = self._run(number, changed)
        except HealthStop as stop:  # it tripped while the services or the data were made ready for this trial
            measurement = replace(_failed(stop), tripped=stop.message)
        except KnobctlError as error:
            self._record(announced, started, _failed(error), reward)
            raise
        trial = self._record(announced, started, measurement, reward)
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
        default = self.default_score()
        if default is None:
            return None
        gains = [
            log_ratio(default, trial.score, self.plan.objective.direction)
            for trial in self.trials
            if trial.kind in SEARCH_KINDS and trial.score is not None
        ]
        return max((percent(gain) for gain in gains if gain is not None), default=None)

    def _run(self, number: int, changed: Mapping[str, Value]) -> Measurement:
        def on_progress(fraction: float, samples: Samples) -> bool:
            self._emit(Progress(number, fraction, mean([value for _, value in samples])))
            return False

        try:
            self.apply(changed)
            self.workload.reset()
        except (WriteFailed, WorkloadError) as error:
            return _failed(error)
        return self.workload.run(on_progress)

    def _record(
        self,
        announced: TrialStarted,
        started: float,
        measurement: Measurement,
        reward: Callable[[Trial], float | None] | None,
    ) -> Trial:
        score, failure = self._score(measurement)
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
            started=started - self._began,
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
        self._trips += 1
        self._restore()
        self._started_with = None  # a server may be among what was ended, or killed for its memory
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
