"""The phases of one run, each on its own: prepare, preflight, search, verify, conclude.

What order they come in is ``pipeline``'s business; how runs and time are shared among them is ``schedule``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from knobctl.env import Baseline, Bench, OSTuningEnv
from knobctl.env.bench import DEFAULT_KINDS
from knobctl.env.cutting import Cutter
from knobctl.errors import BenchmarkBroken, KnobctlError
from knobctl.events import EventSink, Notice, PhaseStarted, Trial
from knobctl.knobs import Value
from knobctl.knobs.space import Space
from knobctl.measure import Judgement, Noise, Verification, assess, order, suspects_carry_over
from knobctl.measure.drift import describe_drift
from knobctl.measure.runoff import loses, loss_that_matters
from knobctl.measure.sharing import better_length
from knobctl.measure.within import settling_seconds, within_sd
from knobctl.reward import reward_of_runs
from knobctl.safety import SafePlan
from knobctl.schedule import BASELINE_RUNS, RESET_SECONDS, RUNOFF_ROUNDS, RUNOFF_RUNS, Schedule
from knobctl.search.importance import importance
from knobctl.search.incumbent import Incumbent, Share, choose, claimed_percent, shares_of, smaller_parts
from knobctl.search.registry import Options, make_searcher
from knobctl.search.remembered import first_guesses
from knobctl.search.session import run_search
from knobctl.stats import geometric_mean
from knobctl.store import Result, conclude
from knobctl.target import Command, Target, tuners
from knobctl.workload import Workload
from knobctl.workload.opening import open_workload
from knobctl.workload.tool import UNKNOWN_RUN_SECONDS

IDLE_SECONDS = 1
"""How long the machine is looked at before the first benchmark, for what others do on it."""

_LOW_PLACE, _HIGH_PLACE = 0.15, 0.85
"""Where in its range a probe puts a knob: the one that is farther away from what was found."""


@dataclass(frozen=True)
class Found:
    """What the search came to.

    Attributes:
        configuration: The candidate: what differs from the default configuration; empty when there is none.
        claimed_percent: What the search alone would have claimed; None when it cannot tell.
        policy_updates: Updates of a learned policy; None without one.
        episodes: Episodes that were played.
        shares: What each knob of the candidate contributes, as the model of the search estimates it.
        importance: How much each knob mattered over all trials.
        notes: What people should know.
    """

    configuration: Mapping[str, Value]
    claimed_percent: float | None = None
    policy_updates: int | None = None
    episodes: int = 0
    shares: Mapping[str, Share] = field(default_factory=dict)
    importance: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Tuning:
    """One run of one safe plan.

    Args:
        plan: What may run.
        target: The machine; open from :meth:`prepare` on.
        emit: Reader of the events.
        check: Called before each phase and each run; raises when the run cannot go on (the record cannot be written).
        seed: Seed of everything that is drawn.
        budget: Trials of the search; 0 when only a known candidate is verified.
        seconds: For everything together; None for no limit.
        pairs: Most pairs of the verification; None to let the noise decide.
        force: Go on where the preflight would refuse.
        lengthen: Make runs longer when the noise asks for it.
        cut_short: End runs of the search early that very likely do not come near the best one.
        run_timeout: Seconds after which one benchmark run is killed; the plan's own when None.
        recorded: Trials of this session from before it was cut off.
    """

    def __init__(
        self,
        plan: SafePlan,
        target: Target,
        emit: EventSink,
        check: Callable[[], None],
        *,
        seed: int,
        budget: int,
        seconds: float | None = None,
        pairs: int | None = None,
        force: bool = False,
        lengthen: bool = False,
        cut_short: bool = True,
        run_timeout: float | None = None,
        recorded: Sequence[Trial] = (),
    ) -> None:
        self._plan = plan
        self._target = target
        self._emit = emit
        self._check = check
        self._seed = seed
        self._budget = budget
        self._force = force
        self._lengthen = lengthen
        self._cut_short = cut_short
        self._timeout = run_timeout or plan.command.timeout
        self._recorded = tuple(recorded)
        self._schedule = Schedule(budget, pairs, seconds, lambda: self._bench.elapsed if self._bench else 0.0)
        self._workload: Workload | None = None
        self._bench: Bench | None = None
        self._idle: Mapping[str, float] = {}
        self._notes: list[str] = []

    @staticmethod
    def estimate(plan: SafePlan, budget: int, pairs: int | None) -> tuple[int, float]:
        """Benchmark runs of the whole run at most, and the seconds that they take, before anything was measured."""
        command = plan.command
        runs = Schedule(budget, pairs, None, lambda: 0.0).all_runs
        return runs, runs * ((command.adapter.run_seconds(command.argv) or UNKNOWN_RUN_SECONDS) + RESET_SECONDS)

    @property
    def replaying(self) -> bool:
        """What happens now is recorded already, from before the session was cut off."""
        return bool(self._recorded) if self._bench is None else self._bench.replaying

    def prepare(self) -> None:
        """Makes the workload ready: services, data.

        Raises:
            WorkloadError: It cannot be made ready.
        """
        command = self._plan.command
        self._workload = open_workload(
            command.adapter, command.argv, self._target, self._plan.objective.name, command.reset_argv, self._timeout
        )
        self._bench = Bench(
            self._plan, self._target, self._workload, self._emit,
            seconds_left=lambda: self._schedule.seconds_left(self._done()), recorded=self._recorded, check=self._check,
        )  # fmt: skip
        self._schedule.cost = self._workload.run_seconds + RESET_SECONDS
        self._phase("prepare", 0, "making the workload ready")
        self._workload.check()
        self._idle = self._look_at_idle_machine()
        self._workload.prepare()
        if self._bench.replaying and not self._target.simulated:
            self._workload.run()  # the first run after a pause is a warm-up

    def preflight(self, candidate: Mapping[str, Value] | None = None) -> Noise:
        """Measures the default configuration and its noise; shares out the time that is left.

        Args:
            candidate: What will be verified, when that is known: the probe then is this very configuration.

        Raises:
            BenchmarkBroken: The benchmark gives no score at the default configuration.
            PreflightRefused: Nothing could be proven here.
        """
        bench, schedule = self._opened(), self._schedule
        runs = schedule.preflight_runs
        self._phase("preflight", runs, "measuring the machine as it is, and its noise")
        first = self._measure(None, "warmup", 1, runs)
        if first.score is None:
            raise BenchmarkBroken(
                f"the benchmark fails at the default configuration: {first.failure}",
                f"Run it by hand and see what it says: {self._plan.command.text}",
            )
        self._choose_length(first)
        began = bench.elapsed
        probe = self._probe() if candidate is None else candidate
        between = {2: probe} if schedule.probes and probe else {}
        for number in range(BASELINE_RUNS):
            if number in between:
                self._measure(between[number], "probe", len(bench.trials) + 1, runs)
            self._measure(None, "baseline", len(bench.trials) + 1, runs)
        if between and suspects_carry_over(bench.trials):
            self._measure(probe, "probe", runs + 1, runs + 2)
            self._measure(None, "baseline", runs + 2, runs + 2)
        schedule.cost = (bench.elapsed - began) / (len(bench.trials) - 1)
        self._noise = assess(
            bench.trials,
            self._workload_seconds(),
            schedule.asked_pairs(),
            most_pairs=schedule.affordable_pairs(),
            idle=self._idle,
            jobs=tuners.jobs(self._target.facts().tuners),
            force=self._force,
        )
        schedule.pairs = self._noise.pairs
        for warning in self._noise.warnings:
            self._emit(Notice(warning, "warning"))
        if schedule.tight:
            self._tell(f"the time left ({schedule.left:.0f} s) hardly suffices for a search: a run takes "
                       f"{schedule.cost:.0f} s")  # fmt: skip
        return self._noise

    @property
    def run_seconds(self) -> float:
        """Expected length of a run."""
        return self._workload.run_seconds if self._workload is not None else 0.0

    def search(self, searcher_name: str, options: Options | None = None) -> Found:
        """Lets a searcher play the environment, then chooses the candidate by a model's mean.

        What earlier sessions recommended is tried first, then what the plan suggests.

        Raises:
            BenchmarkBroken: The benchmark stopped working at the default configuration.
            SafetyStop: A guard of the target tripped, or somebody else changed a knob.
        """
        bench = self._opened()
        self._phase("search", self._schedule.search_runs, f"{searcher_name} tries up to {self._budget} configurations")
        plan, direction, noise = self._plan, self._plan.objective.direction, self._noise
        if self._cut_short:
            bench.cutter = Cutter(direction, noise.upper_sd, self._workload_seconds())
        env = OSTuningEnv(bench, baseline=_baseline(bench.trials, noise), budget=self._budget)
        options = options or Options()
        searcher = make_searcher(searcher_name, plan.plan.training_config, self._seed, options)
        seconds = self._schedule.search_seconds()
        deadline = None if seconds is None else bench.elapsed + seconds
        summary = run_search(env, searcher, plan.suggestions, deadline, first_guesses(options.remembered, plan))
        incumbent = choose(*self._learned(), self._allowed)
        for note in summary.notes:
            self._emit(Notice(note))
        defaults = [trial for trial in bench.trials if trial.kind in DEFAULT_KINDS]
        worn = describe_drift(defaults, self._workload is not None and self._workload.resets)
        if worn:
            self._tell(worn)
        candidate = self._runoff(incumbent) if incumbent else {}
        return Found(
            candidate,
            claimed_percent(bench.trials, direction),
            summary.policy_updates,
            env.episodes,
            shares_of(candidate, *self._learned()),
            importance(bench.trials, plan.space, direction, plan.default),
            summary.notes,
        )

    def _runoff(self, incumbent: Incumbent) -> Mapping[str, Value]:
        """The smallest part of the change of which a few runs say that it loses nothing that matters.

        The model learns from these runs and may think of another part; after one that lost, of one with more in it.
        """
        small, whole = incumbent.minimal, incumbent.configuration
        direction = self._plan.objective.direction
        margin = loss_that_matters(self._noise.margin_percent, incumbent.predicted_log_gain, self._noise.upper_sd)
        known: dict[frozenset[tuple[str, Value]], tuple[list[float], list[float]]] = {}
        lost: list[Mapping[str, Value]] = []
        for played in range(1, RUNOFF_ROUNDS + 1):
            if small == whole:
                break
            part = frozenset(small.items())
            question = f"{len(small)} of {len(whole)} changes, or all of them?"
            self._phase("run-off", 2 * RUNOFF_RUNS, f"still {question}" if part in known else question)
            both = known.setdefault(part, ([], []))  # never runs of other rounds: their minutes may be worse
            for number in range(2 * RUNOFF_RUNS):
                arm = (number + number // 2) % 2
                trial = self._measure((small, whole)[arm], "run-off", number + 1, 2 * RUNOFF_RUNS)
                both[arm].extend([] if trial.score is None else [trial.score])
            last = played == RUNOFF_ROUNDS or not self._schedule.runoff_fits
            worse = loses(*both, direction, self._noise.upper_sd, margin, decide=last)
            if worse is False:
                return small
            if last:
                break
            needed: Mapping[str, Value] = {}
            if worse:
                lost.append(small)
                needed = small  # and something else
            parts = smaller_parts(whole, *self._learned(), self._allowed, needed)
            small = next((part for part in parts if part and part not in lost), whole)
        return whole

    def _learned(self) -> tuple[tuple[Trial, ...], Space, Mapping[str, Value], str, float]:
        """What the model of the score learns from."""
        plan = self._plan
        return self._opened().trials, plan.space, plan.default, plan.objective.direction, self._noise.sd

    def verify(self, candidate: Mapping[str, Value]) -> Judgement:
        """Measures default and candidate in fresh interleaved pairs until that proves something or cannot."""
        pairs = self._schedule.pairs
        test = Verification(
            self._plan.objective,
            self._plan.guardrails,
            pairs=pairs,
            margin_percent=self._noise.margin_percent,
            pair_seconds=2 * self._schedule.cost,
        )
        self._phase("verify", 2 * pairs, f"up to {pairs} fresh pairs, default against candidate")
        position = 0
        for pair in order(pairs, self._seed):
            trials: dict[str, Trial] = {}
            for arm in pair:
                position += 1
                configuration = candidate if arm == "candidate" else None
                trials[arm] = self._measure(configuration, f"verify-{arm}", position, 2 * pairs)
            measured = test.add(
                trials["default"].score,
                trials["candidate"].score,
                default_metrics=trials["default"].metrics,
                candidate_metrics=trials["candidate"].metrics,
            )
            if measured is not None:
                self._emit(measured)
            if test.stop or self._schedule.out_of_time:
                break
        return test.judgement()

    def cleanup(self) -> None:
        """Ends the workload. Never raises."""
        if self._workload is not None:
            self._workload.cleanup()

    def conclude(
        self,
        *,
        session: str,
        searcher: str,
        restored: bool,
        noise: Noise,
        found: Found,
        judgement: Judgement | None,
    ) -> Result:
        """Draws up the result."""
        bench = self._opened()
        scored = judgement.candidate_score if judgement else None
        return conclude(
            self._plan,
            session_id=session,
            target=self._target.name,
            simulated=self._target.simulated,
            searcher=searcher,
            trials=bench.trials,
            seconds=bench.elapsed,
            restored=restored,
            noise=noise,
            candidate=found.configuration,
            claimed_percent=found.claimed_percent,
            judgement=judgement,
            baseline_reward=self._reward("baseline", noise.baseline, noise.baseline),
            candidate_reward=self._reward("verify-candidate", scored, judgement.default_score if judgement else None),
            total_episodes=found.episodes,
            policy_updates=found.policy_updates,
            shares=found.shares,
            importance=found.importance,
            run_seconds=self._workload_seconds(),
            notes=(*self._plan.notes, *self._notes, *noise.warnings, *found.notes),
        )

    def _reward(self, kind: str, score: float | None, baseline: float | None) -> float | None:
        runs = [trial for trial in self._opened().trials if trial.kind == kind]
        return reward_of_runs(runs, score, baseline, self._plan.objective.direction, self._plan.plan.reward)

    def _look_at_idle_machine(self) -> Mapping[str, float]:
        """What the machine does while this run does nothing; empty when it cannot be looked at."""
        try:
            outcome = self._target.run(Command(("sleep", str(IDLE_SECONDS)), 30.0 + IDLE_SECONDS, sample=True))
        except KnobctlError:
            return {}
        return outcome.machine if outcome.ok else {}

    def _choose_length(self, first: Trial) -> None:
        """Makes runs longer when the seconds of the first one say that it is too short, and somebody agreed to that."""
        workload = self._workload
        if not self._lengthen or workload is None or first.score is None:
            return
        present = workload.run_seconds
        wanted = better_length(present, within_sd([first]), settling_seconds([first]))
        left = self._schedule.left
        if left is not None:
            wanted = min(wanted, max(present, left / self._schedule.all_runs - RESET_SECONDS))
        if wanted > present and workload.lengthen(wanted):
            self._schedule.cost = workload.run_seconds + RESET_SECONDS
            self._emit(
                Notice(
                    f"a run takes {workload.run_seconds:.0f} s from now on instead of {present:.0f} s: its own seconds "
                    "vary too much for less"
                )
            )

    def _probe(self) -> Mapping[str, Value]:
        """Something very different that the plan allows; empty when there is no such thing."""
        places = []
        for tuned in self._plan.knobs:
            try:
                place = tuned.dimension.encode(tuned.found)
            except ValueError:
                place = 0.0  # found with a choice that the plan does not explore
            places.append(_HIGH_PLACE if place < 0.5 else _LOW_PLACE)
        return self._plan.changed(self._plan.repair(self._plan.decode(places)))

    def _measure(self, configuration: Mapping[str, Value] | None, kind: str, position: int, of: int) -> Trial:
        return self._opened().measure(configuration, kind, position, of)

    def _tell(self, text: str) -> None:
        self._notes.append(text)
        self._emit(Notice(text, "warning"))

    def _phase(self, name: str, runs: int, text: str) -> None:
        self._check()
        self._schedule.enter(name, runs, self._done())
        self._emit(PhaseStarted(name, runs, self._schedule.seconds_left(self._done()), text))

    def _done(self) -> int:
        return len(self._bench.trials) if self._bench is not None else 0

    def _allowed(self, configuration: Mapping[str, Value]) -> bool:
        return self._plan.repair(configuration) == dict(configuration)

    def _workload_seconds(self) -> float:
        whole = [trial.seconds for trial in self._opened().trials if trial.seconds > 0 and not trial.cut_short]
        return geometric_mean(whole[-BASELINE_RUNS:]) or self._schedule.cost

    def _opened(self) -> Bench:
        assert self._bench is not None, "prepare() comes first"
        return self._bench


def _baseline(trials: tuple[Trial, ...], noise: Noise) -> Baseline:
    counted = [trial for trial in trials if trial.kind == "baseline" and trial.score is not None]
    return Baseline(
        noise.baseline, _means([t.machine for t in counted]), _means([t.metrics for t in counted]), noise.sd
    )


def _means(maps: list[Mapping[str, float]]) -> dict[str, float]:
    names = {name for values in maps for name in values}
    return {
        name: sum(values[name] for values in maps if name in values) / sum(name in values for values in maps)
        for name in sorted(names)
    }
