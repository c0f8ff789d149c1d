"""A machine that does not exist: a :class:`~knobctl.target.surfaces.Surface` in, a target with virtual time out.

Knobs are files in memory with the text that the kernel would show, so vectors, bracketed choices and twins behave as
on a real machine. Nothing of the host is read or written, and no time passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from knobctl.errors import Busy, KnobChangedByOther, KnobctlError, TargetError, UsageError, WriteFailed
from knobctl.knobs import Catalogue, Knob, KnobState, UnknownKnob, Value, codec
from knobctl.knobs.files import catalogue as shipped_catalogue
from knobctl.target.base import Command, CommandOutcome, Configuration, HostFacts, KnobRestore, RestoreReport, Service
from knobctl.target.noise import NoiseModel, Weather, noise_model
from knobctl.target.profiles import Profile
from knobctl.target.surfaces import Surface, find_surface, knob_names, plain, with_knobs_of

FACTS = HostFacts(
    kernel="6.12.0-simulated",
    architecture="x86_64",
    distribution="Simulated Linux",
    cpu_model="Simulated CPU",
    cores=4,
    memory_bytes=16 * 2**30,
    swap_bytes=0,
    virtualization="none",
    disk="sim0",
    disk_kind="solid-state",
    boot_id="simulated",
    simulated=True,
)
"""What a simulated machine claims to be."""

_TYPICAL_LOAD = {
    "cpu_utilization": 60.0, "cpu_user": 45.0, "cpu_system": 15.0, "iowait": 3.0, "steal": 0.0,
    "memory_utilization": 25.0, "dirty_memory": 2.0, "cpu_pressure": 10.0, "io_pressure": 5.0, "memory_pressure": 0.0,
    "major_faults": 1.0, "swap_rate": 0.0, "context_switches": 20_000.0, "disk_read": 5.0, "disk_write": 40.0,
    "disk_utilization": 30.0, "run_queue": 4.0,
}  # fmt: skip


class Evaluation(NamedTuple):
    """One run of the simulated benchmark.

    Attributes:
        score: The objective with its noise; None when the run failed or was cut short.
        seconds: Virtual seconds that it took.
        samples: (second, score) once per second.
        machine: Machine metrics over the run.
        failure: Why there is no score; empty when there is one, and when the run was cut short.
    """

    score: float | None
    seconds: float
    samples: tuple[tuple[float, float], ...]
    machine: Mapping[str, float]
    failure: str


class VirtualClock:
    """Time that passes only when somebody says so."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Moves the clock on and returns at once."""
        self._now += max(seconds, 0.0)


class SimulatedTarget:
    """A target whose benchmark is a surface. Same seed and same calls, same numbers.

    The noise of a run depends on the seed, the number of the run and the virtual time, and on nothing else
    (:mod:`knobctl.target.noise`). A surface may have a memory: ``carry_over`` and ``wear``, as in
    :class:`~knobctl.target.synthetic.SyntheticSurface`.

    Args:
        surface: The truth.
        noise: A model, the name of one, or the standard deviation of the log score from run to run and of each
            one-second sample around it.
        seed: Of the noise.
        run_seconds: Virtual seconds that one run of the benchmark takes; may be set later.
        overhead_seconds: Virtual seconds that the workload's reset takes before each run.
        name: For people; the surface's own name by default.
        facts: What the machine claims to be; the surface's own ``facts``, or :data:`FACTS`, when None.
        catalogue: The knobs that it has, besides the surface's own; the shipped catalogue by default.

    Raises:
        UsageError: The surface's knobs or default values make no sense.
    """

    simulated = True

    def __init__(
        self,
        surface: Surface,
        noise: NoiseModel | float | str = 0.03,
        seed: int = 0,
        run_seconds: float = 5.0,
        *,
        overhead_seconds: float = 1.0,
        name: str = "",
        facts: HostFacts | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.surface = surface
        self.noise = noise
        self.run_seconds = run_seconds
        self.overhead_seconds = overhead_seconds
        self.name = f"simulated:{name or getattr(surface, 'name', '') or type(surface).__name__}"
        self.clock = VirtualClock()
        self.catalogue = with_knobs_of(surface, catalogue or shipped_catalogue())
        self._facts: HostFacts = facts if facts is not None else getattr(surface, "facts", FACTS)
        self._weather = Weather(noise_model(noise), seed)
        self._sign = -1.0 if surface.direction == "minimize" else 1.0
        self._runs = 0
        self._worn = 0
        self._before: tuple[float, float] | None = None
        own = [(name, self.catalogue[name]) for name in knob_names(surface)]
        self._own = [(name, knob, self._path(knob)) for name, knob in own]
        self._others = self._beside({knob.name for _, knob in own})
        self._files = self._initial_files()
        self._found: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._session = ""

    def facts(self) -> HostFacts:
        """What the machine claims to be; ``simulated`` is set."""
        return self._facts

    def probe(self, names: Sequence[str] | None = None) -> dict[str, KnobState]:
        """State of these knobs (all by default), by canonical name.

        Raises:
            UsageError: A name is not in the catalogue.
        """
        knobs = list(self.catalogue) if names is None else [self._knob(name) for name in names]
        return {knob.name: self._state(knob) for knob in knobs}

    def profiles(self, names: Sequence[str] = ()) -> tuple[Profile, ...]:
        """None: no TuneD is simulated."""
        return ()

    def which(self, program: str) -> str:
        """A path that looks as if the program were installed."""
        return f"/simulated/bin/{program}"

    def open(self, session: str, names: Sequence[str] = ()) -> None:
        """Takes the simulated machine's lock.

        Raises:
            Busy: It is open already.
        """
        if self._session:
            raise Busy(f"session {self._session} is using {self.name}", "Close it first.")
        self._session = session

    def resume(self, runs: int, seconds: float) -> None:
        """Moves the clock and the noise to where they were after so many runs. A carry-over is forgotten."""
        self._runs = self._worn = runs
        self.clock.sleep(seconds - self.clock.monotonic())

    @property
    def folder(self) -> str:
        """A path that looks like a work folder.

        Raises:
            TargetError: The target is not open.
        """
        self._require_open()
        return f"/simulated/{self._session}"

    def write(self, configuration: Configuration) -> dict[str, Value]:
        """Journals, writes and reads back, as :meth:`knobctl.target.Target.write` says."""
        self._require_open()
        for name, value in configuration.items():
            knob = self.catalogue.find(name)
            if knob is None:
                raise WriteFailed(f"{name} is not in the catalogue", "See `knobctl knobs`.")
            self._refuse_overwriting()
            self._write(knob, value)
        return {name: self._value(self.catalogue[name]) for name in configuration}

    def change_from_outside(self, name: str, value: Value) -> None:
        """Plays an administrator who writes a knob while a run is going on."""
        self._store(self._knob(name), value)

    def put(self, name: str, text: str, *, executable: bool = False) -> str:
        """A path below the work folder. No file is written: nothing runs here that could read it."""
        return f"{self.folder}/{name}"

    def run(self, command: Command, on_line: Callable[[str, float], bool] | None = None) -> CommandOutcome:
        """Succeeds at once and prints nothing; the benchmark itself is :meth:`evaluate`."""
        self._require_open()
        return CommandOutcome(exit_code=0, output="", seconds=0.0)

    def start(self, service: Service) -> None:
        """Does nothing: a simulated machine needs no servers."""
        self._require_open()

    def stop(self, name: str) -> str:
        """Does nothing, and nothing was printed."""
        return ""

    def restore(self) -> RestoreReport:
        """Gives every file that was written the text that was found, unless somebody else changed it since."""
        knobs = []
        for path, found in reversed(self._found.items()):
            drifted = not codec.same(self._files[path], self._seen[path]) and not codec.same(self._files[path], found)
            if not drifted:
                self._files[path] = self._seen[path] = found
            now = codec.settable(self._files[path])
            knobs.append(KnobRestore(path, "drifted" if drifted else "held", codec.settable(found), now))
        return RestoreReport(tuple(reversed(knobs)))

    def close(self) -> RestoreReport:
        """Restores and gives the lock back. Closing a closed target does nothing."""
        report = self.restore()
        self._found.clear()
        self._seen.clear()
        self._session = ""
        return report

    def reset_benchmark(self) -> None:
        """Brings the benchmark's data back, as far as the surface lets it; virtual time passes."""
        self._require_open()
        self.clock.sleep(self.overhead_seconds)
        if getattr(self.surface, "reset_holds", True):
            self._worn = 0

    def evaluate(self, on_progress: Callable[[float, Sequence[tuple[float, float]]], bool] | None = None) -> Evaluation:
        """Runs the simulated benchmark once with the knobs as they are; virtual time passes.

        Args:
            on_progress: Called once per virtual second with the fraction done and the samples so far; returning True
                ends the run early, without a score.
        """
        self._require_open()
        count = max(1, math.floor(self.run_seconds))
        luck = self._weather.luck(self._runs, count, len(_TYPICAL_LOAD))
        worn = self._worn * float(getattr(self.surface, "wear", 0.0))
        # Counted before the surface is asked, so that one failed run does not shift the noise of the runs after it.
        self._runs += 1
        self._worn += 1
        machine = {
            name: _loaded(value, deviation)
            for (name, value), deviation in zip(_TYPICAL_LOAD.items(), luck.load, strict=True)
        }
        truth, failure = self._truth()
        if truth is None:
            self.clock.sleep(self.run_seconds)
            self._before = None
            return Evaluation(None, self.run_seconds, (), machine, failure)
        began = self.clock.monotonic()
        samples: list[tuple[float, float]] = []
        for index, deviation in enumerate(luck.samples):
            second = self.run_seconds * (index + 1) / count
            better = luck.shift + deviation + self._weather.at(began + second) + self._weather.settling(second) - worn
            left = self._left_over(truth, began + second)
            samples.append((second, truth * math.exp(self._sign * better + left)))
            if on_progress is not None and on_progress(second / self.run_seconds, samples):
                return self._ended(truth, began + second, Evaluation(None, second, tuple(samples), machine, ""))
        score = math.fsum(value for _, value in samples) / count
        whole = Evaluation(score, self.run_seconds, tuple(samples), machine, "")
        return self._ended(truth, began + self.run_seconds, whole)

    def truth(self, configuration: Configuration) -> float | None:
        """The score without noise of a configuration, the other knobs as they are; None where the benchmark fails.

        Nothing is run or written, and no time passes.
        """
        files = dict(self._files)
        try:
            for name, value in configuration.items():
                self._store(self._knob(name), value)
            return self._score({**configuration, **self.configuration()})[0]
        finally:
            self._files = files

    def configuration(self) -> dict[str, Value]:
        """The knobs as the surface sees them, under its own names: all of its own and all that a run has written."""
        values = {name: codec.parse(knob, self._files[path]) for name, knob, path in self._own}
        for path in self._found:
            values |= {knob.name: self._value(knob) for knob in self._others.get(path, ())}
        return values

    def _ended(self, truth: float, now: float, evaluation: Evaluation) -> Evaluation:
        """The evaluation, after the time has passed and the machine has taken on the effect of its knobs."""
        self._before = (math.log(truth) + self._left_over(truth, now), now) if truth > 0 else None
        self.clock.sleep(now - self.clock.monotonic())
        return evaluation

    def _left_over(self, truth: float, now: float) -> float:
        """What the run before still adds to the log score."""
        share = float(getattr(self.surface, "carry_over", 0.0))
        if not share or self._before is None or truth <= 0:
            return 0.0
        level, since = self._before
        fading = math.exp(-(now - since) / float(getattr(self.surface, "carry_over_seconds", 20.0)))
        return share * fading * (level - math.log(truth))

    def _truth(self) -> tuple[float | None, str]:
        return self._score(self.configuration())

    def _score(self, configuration: Configuration) -> tuple[float | None, str]:
        try:
            score = self.surface.score(configuration)
            if score is None or not math.isfinite(score):
                return None, f"the simulated benchmark failed: its score is {score}"
            return float(score), ""
        except KnobctlError:
            raise
        except Exception as error:  # noqa: BLE001 - a surface plays a benchmark, and benchmarks crash
            words = " ".join(str(error).split())
            return None, f"the simulated benchmark failed: {type(error).__name__}: {words}"

    def _require_open(self) -> None:
        if not self._session:
            raise TargetError(f"{self.name} is not open", "Call open(session) first.")

    def _knob(self, name: str) -> Knob:
        try:
            return self.catalogue[name]
        except UnknownKnob as error:
            raise UsageError(
                str(error), f"Did you mean {', '.join(error.suggestions)}?" * bool(error.suggestions)
            ) from None

    def _path(self, knob: Knob) -> str:
        return knob.path.replace("{disk}", self._facts.disk).replace("*", "0")

    def _value(self, knob: Knob) -> Value:
        return codec.parse(knob, self._files[self._path(knob)])

    def _state(self, knob: Knob) -> KnobState:
        path = self._path(knob)
        if path not in self._files:
            return KnobState(knob.name, False, False, reason="absent on this simulated machine")
        raw = self._files[path]
        return KnobState(knob.name, True, True, codec.parse(knob, raw), raw, (path,), knob.choices)

    def _refuse_overwriting(self) -> None:
        for path, seen in self._seen.items():
            now = self._files[path]
            if not codec.same(now, seen):
                raise KnobChangedByOther(
                    f"{path} holds {codec.settable(now)}, but this run left {codec.settable(seen)} there",
                    "Somebody else is changing kernel settings; stop them and start again.",
                )

    def _write(self, knob: Knob, value: Value) -> None:
        path = self._path(knob)
        if path not in self._files:
            raise WriteFailed(f"{knob.name} is absent on this simulated machine")
        found = codec.parse(knob, self._found.get(path, self._files[path]))
        if value != found and not knob.allows(value, self._facts.quantities):
            raise WriteFailed(
                f"{knob.name}: {value} is outside what the catalogue allows", f"See `knobctl knobs {knob.name}`."
            )
        for touched in (path, *((self._path(self.catalogue[knob.twin]),) if knob.twin else ())):
            self._found.setdefault(touched, self._files[touched])
        self._store(knob, value)
        for touched in self._found:
            self._seen[touched] = self._files[touched]

    def _store(self, knob: Knob, value: Value) -> None:
        path = self._path(knob)
        self._files[path] = (
            _choice_text(knob, str(value)) if knob.kind == "choice" else codec.render(knob, value, self._files[path])
        )
        if knob.twin:
            self._files[self._path(self.catalogue[knob.twin])] = "0"

    def _beside(self, own: set[str]) -> dict[str, list[Knob]]:
        """The knobs of the catalogue that the surface does not speak of, by their files."""
        others: dict[str, list[Knob]] = {}
        for knob in self.catalogue:
            if knob.name not in own:
                others.setdefault(self._path(knob), []).append(knob)
        return others

    def _initial_files(self) -> dict[str, str]:
        files: dict[str, list[str]] = {}
        own = {self.catalogue[name].name: plain(name, value) for name, value in self.surface.default().items()}
        for knob in self.catalogue:
            value = own.get(knob.name, knob.default)
            if value is None:
                value = self._usual(knob)
            if value is None:
                continue
            fields = files.setdefault(self._path(knob), [])
            position = knob.field or 0
            fields.extend(["0"] * (position + 1 - len(fields)))
            fields[position] = _choice_text(knob, str(value)) if knob.kind == "choice" else str(value)
        for name in own:
            knob = self.catalogue[name]
            if knob.twin and own[name] != 0 and self.catalogue[knob.twin].name not in own:
                files[self._path(self.catalogue[knob.twin])] = ["0"]
        return {path: "\t".join(fields) for path, fields in files.items()}

    def _usual(self, knob: Knob) -> Value | None:
        if knob.kind == "choice":
            return knob.choices[0] if knob.choices else None
        return knob.range_on(self._facts.quantities)[0] if knob.minimum and knob.maximum else None


def simulated_target(
    name: str = "", *, noise: NoiseModel | float | str = 0.03, seed: int = 0, run_seconds: float = 5.0
) -> SimulatedTarget:
    """A simulated target by the name of its surface, as in ``--target simulated:NAME``; ``postgresql`` when empty.

    Raises:
        UsageError: There is no such surface.
    """
    name = name or "postgresql"
    return SimulatedTarget(find_surface(name), noise, seed, run_seconds, name=name)


def _loaded(value: float, deviation: float) -> float:
    """A machine metric around its typical value; a share stays below 100 %."""
    loaded = value * math.exp(0.05 * deviation)
    return min(loaded, 100.0) if value <= 100.0 else loaded


def _choice_text(knob: Knob, value: str) -> str:
    """As sysfs shows it: all choices, the active one in brackets."""
    if not knob.path.startswith("/sys/"):
        return value
    choices = knob.choices if value in knob.choices else (*knob.choices, value)
    return " ".join(f"[{choice}]" if choice == value else choice for choice in choices)
