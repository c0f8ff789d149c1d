"""The phases of one run, each on its own: prepare, preflight, search, verify, conclude.

What order they come in is ``pipeline``'s business; how time is shared among them is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from knobctl.env import Baseline, Bench, OSTuningEnv
from knobctl.env.environment import CONTROL_EVERY
from knobctl.errors import BenchmarkBroken
from knobctl.events import EventSink, Notice, PhaseStarted, Trial
from knobctl.knobs import Value
from knobctl.measure import Judgement, Noise, Verification, assess, order
from knobctl.reward import penalty, reward
from knobctl.safety import SafePlan
from knobctl.search.incumbent import Incumbent, choose, claimed_percent
from knobctl.search.registry import make_searcher
from knobctl.search.session import run_search
from knobctl.stats import geometric_mean, log_ratio
from knobctl.store import Result, conclude
from knobctl.target import Target
from knobctl.workload import Workload
from knobctl.workload.opening import open_workload
from knobctl.workload.tool import UNKNOWN_RUN_SECONDS

BASELINE_RUNS = 4
"""Counted runs of the default configuration before the search; one warm-up comes before them."""

VERIFY_SHARE = 0.4
"""Part of the time left after the preflight that is kept for the verification, when there is a time limit."""

RUNOFF_RUNS = 2
"""Runs of each candidate when two of them compete to be verified."""

RESET_SECONDS = 1.0
"""A guess at what a trial costs besides its benchmark, until it is known."""

SMALLEST_LOSS = 0.02
"""A smaller change may cost this much of the log score, or twice the noise between runs, before the whole one is taken.

The difference of two means of two runs has the noise of one run as its standard deviation."""

LEAST_PAIRS = 5
"""Fewer pairs prove nothing: the interval has no bounds yet."""


@dataclass(frozen=True)
class Found:
    """What the search came to.

    Attributes:
        configuration: The candidate: what differs from the default configuration; empty when there is none.
        claimed_percent: What the search alone would have claimed; None when it cannot tell.
        policy_updates: Updates of a learned policy; None without one.
        episodes: Episodes that were played.
        notes: What people should know.
    """

    configuration: Mapping[str, Value]
    claimed_percent: float | None = None
    policy_updates: int | None = None
    episodes: int = 0
    notes: tuple[str, ...] = ()


class Tuning:
    """One run of one safe plan.

    Args:
        plan: What may run.
        target: The machine; open from :meth:`prepare` on.
        emit: Reader of the events.
        check: Called between runs; raises when the run cannot go on (the record cannot be written).
        seed: Seed of everything that is drawn.
        budget: Trials of the search.
        seconds: For everything together; None for no limit.
        pairs: Most pairs of the verification.
        force: Go on where the preflight would refuse.
        run_timeout: Seconds after which one benchmark run is killed; the plan's own when None.

    Attributes:
        pairs: Pairs that the verification may use; lowered when the time is short.
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
        seconds: float | None,
        pairs: int,
        force: bool,
        run_timeout: float | None = None,
    ) -> None:
        self.pairs = pairs
        self._plan = plan
        self._target = target
        self._emit = emit
        self._check = check
        self._seed = seed
        self._budget = budget
        self._force = force
        self._timeout = run_timeout or plan.command.timeout
        self._now = target.clock.monotonic
        self._began = self._now()
        self._deadline = None if seconds is None else self._began + seconds
        self._workload: Workload | None = None
        self._bench: Bench | None = None
        self._cost = 0.0
        self._planned = 0
        self._notes: list[str] = []

    @staticmethod
    def estimate(plan: SafePlan, budget: int, pairs: int) -> tuple[int, float]:
        """Benchmark runs of the whole run at most, and the seconds that they take, before anything was measured."""
        command = plan.command
        runs = 1 + BASELINE_RUNS + budget + budget // CONTROL_EVERY + 2 * RUNOFF_RUNS + 2 * pairs
        return runs, runs * ((command.adapter.run_seconds(command.argv) or UNKNOWN_RUN_SECONDS) + RESET_SECONDS)

    def prepare(self) -> None:
        """Makes the workload ready: services, data.

        Raises:
            WorkloadError: It cannot be made ready.
        """
        command = self._plan.command
        self._workload = open_workload(
            command.adapter, command.argv, self._target, self._plan.objective.name, command.reset_argv, self._timeout
        )
        self._cost = self._workload.run_seconds + RESET_SECONDS
        self._phase("prepare", 0, "making the workload ready")
        self._workload.check()
        self._workload.prepare()
        self._bench = Bench(self._plan, self._target, self._workload, self._emit, seconds_left=self._seconds_left)

    def preflight(self) -> Noise:
        """Measures the default configuration and its noise; shares out the time that is left.

        Raises:
            BenchmarkBroken: The benchmark gives no score at the default configuration.
            PreflightRefused: Nothing could be proven here.
        """
        bench = self._opened()
        self._phase("preflight", 1 + BASELINE_RUNS, "measuring the machine as it is, and its noise")
        began = self._now()
        first = self._measure(None, "warmup", 1, 1 + BASELINE_RUNS)
        if first.score is None:
            raise BenchmarkBroken(
                f"the benchmark fails at the default configuration: {first.failure}",
                f"Run it by hand and see what it says: {self._plan.command.text}",
            )
        for number in range(BASELINE_RUNS):
            self._measure(None, "baseline", 2 + number, 1 + BASELINE_RUNS)
        self._cost = (self._now() - began) / (1 + BASELINE_RUNS)
        self._share_time()
        noise = assess(bench.trials, self._workload_seconds(), self.pairs, force=self._force)
        for warning in noise.warnings:
            self._emit(Notice(warning, "warning"))
        self._noise = noise
        return noise

    def search(self, searcher_name: str) -> Found:
        """Lets a searcher play the environment, then chooses the candidate by a model's mean.

        Raises:
            BenchmarkBroken: The benchmark stopped working at the default configuration.
            SafetyStop: A guard of the target tripped, or somebody else changed a knob.
        """
        bench = self._opened()
        controls = self._budget // CONTROL_EVERY
        self._phase("search", self._budget + controls, f"{searcher_name} tries up to {self._budget} configurations")
        baseline = _baseline(bench.trials, self._noise)
        env = OSTuningEnv(bench, baseline=baseline, budget=self._budget)
        searcher = make_searcher(searcher_name, self._plan.plan.training_config, self._seed)
        deadline = None
        if self._deadline is not None:
            deadline = self._deadline - (2 * self.pairs + 2 * RUNOFF_RUNS + 1) * self._cost
        summary = run_search(env, searcher, deadline=deadline)
        direction = self._plan.objective.direction
        default = self._plan.default
        incumbent = choose(bench.trials, self._plan.space, default, direction, self._noise.sd, allowed=self._allowed)
        for note in summary.notes:
            self._emit(Notice(note))
        claimed = claimed_percent(bench.trials, direction)
        candidate = self._runoff(incumbent) if incumbent else {}
        return Found(candidate, claimed, summary.policy_updates, env.episodes, summary.notes)

    def _runoff(self, incumbent: Incumbent) -> Mapping[str, Value]:
        """The smaller change, unless a few runs of both say that the model left out something that matters."""
        small, whole = incumbent.minimal, incumbent.configuration
        if small == whole:
            return whole
        self._phase("run-off", 2 * RUNOFF_RUNS, f"{len(small)} of {len(whole)} changes, or all of them?")
        scores: dict[str, list[float]] = {"small": [], "whole": []}
        for number in range(2 * RUNOFF_RUNS):
            name, configuration = (("small", small), ("whole", whole))[(number + number // 2) % 2]
            trial = self._measure(configuration, "run-off", number + 1, 2 * RUNOFF_RUNS)
            if trial.score is not None:
                scores[name].append(trial.score)
        smaller, larger = geometric_mean(scores["small"]), geometric_mean(scores["whole"])
        if smaller is None or larger is None:
            return small if smaller is not None else whole
        lost = log_ratio(smaller, larger, self._plan.objective.direction)
        return whole if lost is not None and lost > max(2.0 * self._noise.sd, SMALLEST_LOSS) else small

    def verify(self, candidate: Mapping[str, Value]) -> Judgement:
        """Measures default and candidate in fresh interleaved pairs until that proves something or cannot."""
        margin = max(1.0, min(self._noise.smallest_percent, 100.0))
        test = Verification(self._plan.objective, self._plan.guardrails, pairs=self.pairs, margin_percent=margin)
        self._phase("verify", 2 * self.pairs, f"up to {self.pairs} fresh pairs, default against candidate")
        position = 0
        for pair in order(self.pairs, self._seed):
            trials: dict[str, Trial] = {}
            for arm in pair:
                position += 1
                configuration = candidate if arm == "candidate" else None
                trials[arm] = self._measure(configuration, f"verify-{arm}", position, 2 * self.pairs)
            measured = test.add(
                trials["default"].score,
                trials["candidate"].score,
                default_metrics=trials["default"].metrics,
                candidate_metrics=trials["candidate"].metrics,
            )
            if measured is not None:
                self._emit(measured)
            if test.stop or self._out_of_time():
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
        seconds: float,
        restored: bool,
        noise: Noise,
        found: Found,
        judgement: Judgement | None,
    ) -> Result:
        """Draws up the result."""
        trials = self._opened().trials
        scored = judgement.candidate_score if judgement else None
        return conclude(
            self._plan,
            session_id=session,
            target=self._target.name,
            simulated=self._target.simulated,
            searcher=searcher,
            trials=trials,
            seconds=seconds,
            restored=restored,
            noise=noise,
            candidate=found.configuration,
            claimed_percent=found.claimed_percent,
            judgement=judgement,
            baseline_reward=self._reward(noise.baseline, noise.baseline, ("baseline",)),
            candidate_reward=self._reward(scored, judgement.default_score if judgement else None, _CANDIDATE),
            total_episodes=found.episodes,
            policy_updates=found.policy_updates,
            notes=(*self._plan.notes, *self._notes, *noise.warnings, *found.notes),
        )

    def _reward(self, score: float | None, baseline: float | None, kinds: tuple[str, ...]) -> float | None:
        if score is None or baseline is None:
            return None
        machines = [trial.machine for trial in self._opened().trials if trial.kind in kinds and trial.score is not None]
        excess = sum(penalty(machine) for machine in machines) / len(machines) if machines else 0.0
        return reward(score, baseline, self._plan.objective.direction, excess, self._plan.plan.reward)

    def _measure(self, configuration: Mapping[str, Value] | None, kind: str, position: int, of: int) -> Trial:
        self._check()
        return self._opened().measure(configuration, kind, position, of)

    def _share_time(self) -> None:
        if self._deadline is None:
            return
        left = max(0.0, self._deadline - self._now())
        affordable = int(left * VERIFY_SHARE / (2 * self._cost))
        if affordable < self.pairs:
            self.pairs = max(LEAST_PAIRS, affordable)
        if left < (2 * self.pairs + 2) * self._cost:
            text = f"the time left ({left:.0f} s) hardly suffices for a search: a run takes {self._cost:.0f} s"
            self._notes.append(text)
            self._emit(Notice(text, "warning"))

    def _phase(self, name: str, runs: int, text: str) -> None:
        self._check()
        after = {"prepare": 1 + BASELINE_RUNS + self._search_runs() + 2 * self.pairs,
                 "preflight": self._search_runs() + 2 * self.pairs, "search": 2 * self.pairs,
                 "run-off": 2 * self.pairs}.get(name, 0)  # fmt: skip
        self._planned = self._done() + runs + after
        self._emit(PhaseStarted(name, runs, self._seconds_left(), text))

    def _done(self) -> int:
        return len(self._bench.trials) if self._bench is not None else 0

    def _search_runs(self) -> int:
        return self._budget + self._budget // CONTROL_EVERY

    def _seconds_left(self) -> float:
        estimate = max(0, self._planned - self._done()) * self._cost
        return estimate if self._deadline is None else max(0.0, min(estimate, self._deadline - self._now()))

    def _allowed(self, configuration: Mapping[str, Value]) -> bool:
        return self._plan.repair(configuration) == dict(configuration)

    def _workload_seconds(self) -> float:
        return geometric_mean([trial.seconds for trial in self._opened().trials if trial.seconds > 0]) or self._cost

    def _out_of_time(self) -> bool:
        return self._deadline is not None and self._now() + 2 * self._cost > self._deadline

    def _opened(self) -> Bench:
        assert self._bench is not None, "prepare() comes first"
        return self._bench


_CANDIDATE = ("verify-candidate",)


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
