"""A safe plan and a seed in, a sweep file out: many configurations of a machine, each measured as a trial is.

The order is that of :mod:`knobctl.lab.design`. The file grows by one line after each run, so a sweep that was cut off,
or that is recorded in parts, goes on where it stopped.
"""

from __future__ import annotations

import gzip
import io
import math
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType

from knobctl.env import Bench, close_restored, refuse_other_defaults
from knobctl.errors import (
    BenchmarkBroken,
    PreflightRefused,
    StoreError,
    UsageError,
)
from knobctl.events import EventSink, Notice, PhaseStarted, SessionStarted, Trial
from knobctl.lab.design import Design, Visit, design
from knobctl.lab.sweep import DEFAULT, FORMAT, POINT, REPEAT, WARMUP, Header, Part, Run, Sweep, line_of, read_sweep
from knobctl.masking import mask_secrets
from knobctl.safety import SafePlan
from knobctl.target import Command, Target, tuners
from knobctl.workload import Workload
from knobctl.workload.opening import open_workload
from knobctl.workload.tool import UNKNOWN_RUN_SECONDS

_EVENT_KINDS = {WARMUP: "warmup", DEFAULT: "control", POINT: "search", REPEAT: "search"}


LOOK_SECONDS = 1
"""How long the machine is looked at to see whether it is calm."""

MOST_WAITING = 600.0
"""Seconds after which a run begins although the machine is not calm, when there is no time limit."""


@dataclass(frozen=True)
class Recorded:
    """How far a recording came: runs in the file, runs of the whole design, and runs measured just now."""

    runs: int
    of: int
    measured: int

    @property
    def complete(self) -> bool:
        """Nothing is left to measure."""
        return self.runs == self.of


def estimate(plan: SafePlan, runs: int) -> float:
    """Seconds that so many runs take at least."""
    return runs * (plan.command.adapter.run_seconds(plan.command.argv) or UNKNOWN_RUN_SECONDS)


def record(
    plan: SafePlan,
    target: Target,
    path: Path,
    emit: EventSink,
    *,
    runs: int,
    seed: int,
    command: str,
    seconds: float | None = None,
    calm_percent: float | None = None,
    run_timeout: float | None = None,
    force: bool = False,
) -> Recorded:
    """Measures a sweep, or what is missing of it, and restores the machine whatever happens.

    Args:
        plan: What may run.
        target: Not open yet.
        path: The sweep file; one that is there already goes on.
        emit: Reader of the events.
        runs: Runs of the whole design.
        seed: Of the design.
        command: The command line, for the header.
        seconds: Begins no run after so long; None for no limit.
        calm_percent: Begins a run only while everything else uses less of the CPU than this; None for at once.
        run_timeout: Seconds after which one benchmark run is killed; the plan's own when None.
        force: Go on beside another program that sets a knob of the plan.

    Raises:
        UsageError: The file holds another sweep, or cannot be written.
        PreflightRefused: Another program sets a knob of the plan.
        BenchmarkBroken: The benchmark gives no score at the default configuration.
        KnobctlError: The machine could not be measured on. It was restored, unless it is :class:`RestoreIncomplete`.
    """
    if not force:
        _refuse_beside(plan, target)
    layout = design(len(plan.knobs), runs, seed)
    with SweepFile(path, _header(plan, target, runs, seed, command)) as file:
        before = file.sweep
        missing = sorted(set(range(runs)) - {run.place for run in before.counted})
        if not missing:
            return Recorded(runs, runs, 0)
        _announce(plan, target, emit, before, len(missing))
        sitting = _Sitting(plan, target, emit, file, layout, seconds, calm_percent)
        try:
            target.open(f"sweep-{uuid.uuid4().hex[:12]}", [tuned.knob.name for tuned in plan.knobs])
            refuse_other_defaults(plan, target)
            measured = sitting.measure(missing, run_timeout)
        finally:
            close_restored(target, emit)
    return Recorded(len(before.counted) + measured, runs, measured)


class SweepFile:
    """A sweep file that grows by one line per record. Use it in a ``with`` statement.

    A file that is there already is rewritten up to its last complete line first, so that nothing is ever appended to
    half a line.

    Args:
        path: Its name; compressed when it ends in ``.gz``.
        header: Of the sweep. A file that is there already has to be of the same sweep.

    Attributes:
        sweep: What the file held when it was opened.

    Raises:
        UsageError: The file holds another sweep, or cannot be written.
        StoreError: The file that is there is no sweep, or damaged.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self.sweep = read_sweep(path) if path.exists() else Sweep(path.name, header, (), ())
        _refuse_other(self.sweep.header, header, path)
        fresh = path.with_name(path.name + ".new")
        self._file: gzip.GzipFile | io.BufferedWriter
        try:
            self._file = gzip.GzipFile(fresh, "wb") if path.suffix == ".gz" else fresh.open("wb")
            self._write(self.sweep.header)
            for part in self.sweep.parts:
                self._write(part)
                for run in self.sweep.runs:
                    if run.part == part.number:
                        self._write(run)
            self._file.flush()
            fresh.replace(path)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}", "Choose another file with -o.") from None

    def __enter__(self) -> SweepFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, record: Part | Run) -> None:
        """Writes one line; it is in the file when this returns.

        Raises:
            StoreError: It cannot be written.
        """
        try:
            self._write(record)
            self._file.flush()
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror}", "Make room, and run it again.") from None

    def _write(self, record: Header | Part | Run) -> None:
        self._file.write(line_of(record))


class _Sitting:
    """The runs from one opening of the machine to its restore."""

    def __init__(
        self,
        plan: SafePlan,
        target: Target,
        emit: EventSink,
        file: SweepFile,
        layout: Design,
        seconds: float | None,
        calm_percent: float | None,
    ) -> None:
        self._plan = plan
        self._target = target
        self._emit = emit
        self._file = file
        self._layout = layout
        self._began = target.clock.monotonic()
        self._deadline = math.inf if seconds is None else self._began + seconds
        self._part = len(file.sweep.parts)
        self._calm = calm_percent

    def measure(self, places: list[int], run_timeout: float | None) -> int:
        """Measures these places of the design until the time is over; returns how many."""
        command, before = self._plan.command, self._file.sweep
        workload = open_workload(
            command.adapter, command.argv, self._target, self._plan.objective.name, command.reset_argv,
            run_timeout or command.timeout,
        )  # fmt: skip
        workload.check()
        if before.runs:
            last = before.runs[-1]
            self._target.resume(len(before.runs), before.began(last) + last.seconds)
        bench = Bench(self._plan, self._target, workload, self._emit)  # its clock starts here, as the part's does
        self._file.append(self._new_part())
        try:
            workload.prepare()
            return self._walk(bench, places, workload)
        finally:
            workload.cleanup()

    def _walk(self, bench: Bench, places: list[int], workload: Workload) -> int:
        total, cost = len(places), workload.run_seconds
        self._run(bench, -1, Visit(WARMUP, -1), 1, total)
        for done, place in enumerate(places):
            self._wait_for_calm()
            now = self._target.clock.monotonic()
            if now + cost > self._deadline:
                self._emit(
                    Notice(f"the time is over; {total - done} of {self._file.sweep.header.runs} runs are missing")
                )
                return done
            self._run(bench, place, self._layout.visits[place], done + 1, total)
            cost = self._target.clock.monotonic() - now
        return total

    def _wait_for_calm(self) -> None:
        """Returns when the machine is calm, or when there is no more time to wait for that."""
        if self._calm is None:
            return
        look = Command((self._target.which("sleep"), str(LOOK_SECONDS)), timeout=30.0, sample=True)
        clock = self._target.clock
        end = min(self._deadline, clock.monotonic() + MOST_WAITING)
        while self._target.run(look).machine.get("cpu_utilization", 0.0) >= self._calm:
            if clock.monotonic() >= end:
                self._emit(Notice(f"something else uses {self._calm:g} % of the CPU and more all the time", "warning"))
                return

    def _run(self, bench: Bench, place: int, visit: Visit, position: int, of: int) -> None:
        chosen = None if visit.point < 0 else self._plan.decode(self._layout.points[visit.point])
        trial = bench.measure(chosen, _EVENT_KINDS[visit.role], position, of)
        if trial.score is None and visit.point < 0:
            raise BenchmarkBroken(
                f"the benchmark fails at the default configuration: {trial.failure}",
                f"Run it by hand and see what it says: {self._plan.command.text}",
            )
        self._file.append(_run_of(trial, place, self._part, visit))

    def _new_part(self) -> Part:
        now, parts = datetime.now(UTC), self._file.sweep.parts
        if not parts:
            offset = 0.0
        elif self._target.simulated:
            offset = self._target.clock.monotonic()  # resume has moved the clock to where the sweep stopped
        else:
            offset = (now - datetime.fromisoformat(parts[0].began)).total_seconds()
        return Part(self._part, now.isoformat(timespec="seconds"), offset)


def _run_of(trial: Trial, place: int, part: int, visit: Visit) -> Run:
    return Run(
        place=place,
        part=part,
        role=visit.role,
        point=visit.point,
        configuration=trial.configuration,
        score=trial.score,
        metrics=trial.metrics,
        machine=trial.machine,
        samples=trial.samples,
        seconds=trial.seconds,
        failure=trial.failure,
        started=trial.started,
    )


def _header(plan: SafePlan, target: Target, runs: int, seed: int, command: str) -> Header:
    return Header(
        format=FORMAT,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=metadata.version("knobctl"),
        command=mask_secrets(command),
        target=target.name,
        simulated=target.simulated,
        facts=replace(target.facts(), boot_id=""),
        plan=mask_secrets(plan.plan.to_json()),
        metric=plan.objective.name,
        unit=plan.objective.unit,
        direction=plan.objective.direction,
        dimensions=plan.space.dimensions,
        default=plan.default,
        couplings=plan.couplings,
        fixed=plan.fixed,
        runs=runs,
        seed=seed,
    )


def _refuse_other(found: Header, wanted: Header, path: Path) -> None:
    same = ("target", "plan", "metric", "direction", "dimensions", "default", "couplings", "fixed", "runs", "seed")
    here, there = asdict(wanted), asdict(found)
    different = [name for name in same if here[name] != there[name]]
    different += [name for name in ("kernel", "cores", "memory_bytes") if here["facts"][name] != there["facts"][name]]
    if different:
        raise UsageError(
            f"{path} holds another sweep: its {', '.join(different)} {'are' if len(different) > 1 else 'is'} different",
            "Repeat the command that began it, or choose another file with -o.",
        )


def _refuse_beside(plan: SafePlan, target: Target) -> None:
    found = tuners.in_the_way(target.facts().tuners, [tuned.knob.name for tuned in plan.knobs])
    if found:
        raise PreflightRefused(
            "; ".join(f"{tuner.title} is running and sets {', '.join(owned)}" for tuner, owned in found),
            "Pause it while the sweep is recorded, or go on with --force.",
        )


def _announce(plan: SafePlan, target: Target, emit: EventSink, before: Sweep, missing: int) -> None:
    objective = plan.objective
    emit(
        SessionStarted(
            f"sweep {before.name}", plan.plan.workload_name, objective.name, objective.unit, objective.direction,
            plan.command.text, target.name, target.simulated, "sobol", before.header.runs,
        )
    )  # fmt: skip
    said = f"{len(before.counted)} of {before.header.runs} runs are recorded; " if before.counted else ""
    emit(PhaseStarted("sweep", missing, estimate(plan, missing), f"{said}one configuration after the other"))
