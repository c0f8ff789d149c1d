"""Bench: which writes it makes, what it restarts, what it records, and which trials fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from knobctl.env import Bench
from knobctl.env.bench import MOST_TRIPS
from knobctl.env.cutting import Cutter
from knobctl.errors import HealthStop, KnobChangedByOther, RestoreIncomplete, SafetyStop, ServiceFailed, StoreError
from knobctl.events import Event, Progress, TrialDone, TrialStarted
from knobctl.knobs import Bound, Catalogue, Knob, Value
from knobctl.plan import plan_from
from knobctl.safety import SafePlan, SafetyValidator
from knobctl.target.base import KnobRestore, RestoreReport
from knobctl.target.simulated import SimulatedTarget
from knobctl.workload import Measurement
from knobctl.workload.base import ProgressCallback
from knobctl.workload.simulated import SurfaceWorkload

METRIC = "transactions_per_second"
SHORT = "available memory 212 MiB is below 492 MiB"


def knob(name: str, effect: str = "hot", affects: tuple[str, ...] = ()) -> Knob:
    return Knob(
        name, f"/proc/sys/{name.replace('.', '/')}", "integer", "s", "w", "s",
        minimum=Bound(constant=0), maximum=Bound(constant=100), default=10, effect=effect, affects=affects,
    )  # fmt: skip


class Sum:
    """The score is the sum of the knobs; some values do harm."""

    metric = METRIC
    direction = "maximize"
    action_space = tuple({"param": name, "min": 0, "max": 100} for name in ("demo.a", "demo.b", "demo.cold"))

    def default(self) -> dict[str, Value]:
        return {}

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        total = sum(int(value) for value in configuration.values())
        if configuration["demo.a"] == 66:
            raise SafetyStop("memory ran out")
        if configuration["demo.a"] == 77:
            return None
        return 0.0 if configuration["demo.a"] == 88 else float(total)


class Machine(SimulatedTarget):
    """Remembers what was written, refuses one value, and may fail to restore."""

    def __init__(self, *knobs: Knob) -> None:
        catalogue = Catalogue(knobs or [knob("demo.a"), knob("demo.b"), knob("demo.cold", "cold")])
        super().__init__(Sum(), noise=0.0, catalogue=catalogue)
        self.calls: list[dict[str, Value] | str] = []
        self.stuck = False

    def write(self, configuration: Mapping[str, Value]) -> dict[str, Value]:
        self.calls.append(dict(configuration))
        return super().write(configuration)

    def restore(self) -> RestoreReport:
        self.calls.append("restore")
        if self.stuck:
            return RestoreReport((KnobRestore("/proc/sys/demo/a", "failed", "10", "20", "EINVAL"),))
        return super().restore()


class Benchmark(SurfaceWorkload):
    """Remembers restarts and resets, and may fail in either."""

    def __init__(self, target: SimulatedTarget) -> None:
        super().__init__(target, METRIC)
        self.calls: list[str] = []
        self.broken = ""
        self.printed: dict[str, float] | None = None
        self.trips_in = ""

    def restart(self) -> None:
        self._call("restart")

    def reset(self) -> None:
        self._call("reset")

    def run(self, on_progress: ProgressCallback | None = None) -> Measurement:
        self.calls.append("run")
        measurement = super().run(on_progress)
        if self.trips_in == "run":
            return Measurement(
                {}, measurement.machine, failure=f"the health guard ended the run: {SHORT}", tripped=SHORT
            )
        return measurement if self.printed is None else Measurement(self.printed)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.trips_in == name:
            raise HealthStop(f"psql failed: the health guard ended it: {SHORT}")
        if self.broken == name:
            raise ServiceFailed(f"the server did not\n{name}", "Look at its log.")


class Lab:
    def __init__(self, *knobs: Knob) -> None:
        self.machine = Machine(*knobs)
        self.machine.open("test")
        self.benchmark = Benchmark(self.machine)
        self.events: list[Event] = []
        self.bench = Bench(
            safe_plan(self.machine), self.machine, self.benchmark, self.events.append, seconds_left=lambda: 12.0
        )
        self.machine.calls.clear()

    def writes(self, configuration: Mapping[str, Value] | None) -> list[dict[str, Value] | str]:
        """The calls with which the machine gets this configuration."""
        self.machine.calls.clear()
        self.bench.apply(configuration)
        return list(self.machine.calls)


def safe_plan(machine: SimulatedTarget) -> SafePlan:
    plan = plan_from(
        {
            "workload_name": "invented",
            "reward_metric": METRIC,
            "benchmark_command": "pgbench -T 5 testdb",
            "action_space": Sum.action_space,
            "state_space": [],
        }
    )
    return SafetyValidator(machine.catalogue, machine.facts(), machine.probe()).validate(plan)


@pytest.fixture
def lab() -> Lab:
    return Lab()


# --- setting knobs


def test_only_knobs_that_differ_from_what_is_set_are_written(lab: Lab) -> None:
    assert lab.writes({"demo.a": 20, "demo.b": 10}) == [{"demo.a": 20}]
    assert lab.writes({"demo.a": 20, "demo.b": 30}) == [{"demo.b": 30}]
    assert lab.writes({"demo.a": 20, "demo.b": 30}) == []
    assert lab.bench.current == {"demo.a": 20, "demo.b": 30, "demo.cold": 10}


def test_a_knob_that_the_kernel_moves_with_another_is_written_again_after_it() -> None:
    lab = Lab(knob("demo.a", affects=("demo.b",)), knob("demo.b"), knob("demo.cold"))
    lab.bench.apply({"demo.b": 30})
    assert lab.writes({"demo.a": 20, "demo.b": 30}) == [{"demo.a": 20, "demo.b": 30}]
    assert lab.writes({"demo.a": 20, "demo.b": 40}) == [{"demo.b": 40}]


def test_the_default_is_restored_and_never_written(lab: Lab) -> None:
    lab.bench.apply({"demo.a": 20, "demo.b": 30})
    assert lab.writes({"demo.a": 25}) == ["restore", {"demo.a": 25}]
    assert lab.writes(None) == ["restore"]
    assert lab.writes({"demo.a": 10, "demo.b": 10}) == ["restore"]
    assert lab.bench.current == {"demo.a": 10, "demo.b": 10, "demo.cold": 10}


def test_a_refused_write_leaves_everything_at_its_default(lab: Lab) -> None:
    lab.bench.apply({"demo.b": 30})
    trial = lab.bench.measure({"demo.b": 30, "demo.a": 500}, "search")
    assert trial.score is None
    assert "demo.a: 500" in trial.failure
    assert lab.bench.current == {"demo.a": 10, "demo.b": 10, "demo.cold": 10}
    assert lab.machine.probe(["demo.b"])["demo.b"].value == 10
    assert "run" not in lab.benchmark.calls


def test_the_workload_is_restarted_when_a_cold_knob_changes_and_only_then(lab: Lab) -> None:
    lab.bench.measure({"demo.a": 20}, "search")
    assert lab.benchmark.calls == ["reset", "run"]
    lab.benchmark.calls.clear()
    lab.bench.measure({"demo.a": 20, "demo.cold": 50}, "search")
    assert lab.benchmark.calls == ["restart", "reset", "run"]
    lab.benchmark.calls.clear()
    lab.bench.measure({"demo.a": 30, "demo.cold": 50}, "search")
    assert lab.benchmark.calls == ["reset", "run"]
    lab.benchmark.calls.clear()
    lab.bench.measure(None, "control")
    assert lab.benchmark.calls == ["restart", "reset", "run"]


def test_a_workload_that_does_not_come_up_is_restarted_again_at_the_next_trial(lab: Lab) -> None:
    lab.benchmark.broken = "restart"
    trial = lab.bench.measure({"demo.cold": 50}, "search")
    assert trial.failure == "the server did not restart"
    lab.benchmark.broken = ""
    lab.benchmark.calls.clear()
    assert lab.bench.measure({"demo.cold": 50}, "search").score == 70.0
    assert lab.benchmark.calls == ["restart", "reset", "run"]


def test_somebody_elses_value_stops_the_run_even_when_only_the_default_is_wanted(lab: Lab) -> None:
    lab.bench.apply({"demo.a": 20})
    lab.machine.change_from_outside("demo.a", 33)
    with pytest.raises(KnobChangedByOther, match="/proc/sys/demo/a was changed to 33 by somebody else"):
        lab.bench.measure(None, "control")
    assert lab.bench.trials[-1].failure.startswith("/proc/sys/demo/a was changed to 33")


def test_a_knob_that_cannot_be_put_back_is_the_loudest_error(lab: Lab) -> None:
    lab.bench.apply({"demo.a": 20})
    lab.machine.stuck = True
    with pytest.raises(RestoreIncomplete, match="/proc/sys/demo/a holds 20 and not 10, which was found: EINVAL"):
        lab.bench.apply(None)


# --- what a trial holds


def test_a_trial_is_numbered_announced_and_recorded(lab: Lab) -> None:
    lab.bench.measure(None, "baseline")
    trial = lab.bench.measure({"demo.a": 20, "demo.b": 10}, "search", 3, 8, lambda trial: 7.5)
    assert (trial.number, trial.kind, trial.score, trial.reward, trial.failure) == (1, "search", 40.0, 7.5, "")
    assert trial.configuration == {"demo.a": 20}
    assert trial.metrics == {METRIC: 40.0}
    assert (trial.started, trial.seconds, len(trial.samples)) == (5.0, 5.0, 5)
    assert trial.machine["cpu_utilization"] > 0
    assert lab.bench.trials[-1] is trial
    assert lab.events[0] == TrialStarted(0, "baseline", {}, 1, 1, 12.0)
    of_second = [event for event in lab.events if getattr(event, "number", 1) == 1][-7:]
    assert of_second[0] == TrialStarted(1, "search", {"demo.a": 20}, 3, 8, 12.0)
    assert of_second[1] == Progress(1, 0.2, 40.0)
    assert of_second[-1] == TrialDone(trial, 3, 8, 12.0, best_percent=pytest.approx(100 / 3))


def test_recorded_trials_are_handed_out_again_and_numbers_and_time_go_on_after_them(lab: Lab) -> None:
    first = lab.bench.measure(None, "baseline")
    second = replace(lab.bench.measure({"demo.a": 20}, "search", reward=lambda trial: 7.5), ended=100.0)
    events: list[Event] = []
    bench = Bench(lab.bench.plan, lab.machine, lab.benchmark, events.append, recorded=[first, second])
    assert (bench.replaying, bench.elapsed) == (True, 0.0)
    assert bench.measure(None, "baseline") is first
    assert (bench.replaying, bench.elapsed) == (True, first.ended)
    assert bench.measure({"demo.a": 20}, "search") is second
    assert (bench.replaying, bench.elapsed, events) == (False, 100.0, [])
    lab.machine.clock.sleep(3.0)
    assert bench.elapsed == 100.0, "a searcher's thinking decides nothing: another time it may think longer"
    third = bench.measure(None, "control")
    assert (third.number, third.started, third.ended, bench.elapsed) == (2, 103.0, 108.0, 108.0)
    assert events


def played_again(lab: Lab) -> Bench:
    """The same session, cut off after its last trial."""
    return Bench(lab.bench.plan, lab.machine, lab.benchmark, recorded=lab.bench.trials)


def test_trips_of_the_guard_count_in_a_session_that_goes_on_too(lab: Lab) -> None:
    lab.bench.measure(None, "baseline")
    trip(lab, {"demo.a": 20})
    trip(lab, {"demo.a": 40}, "reset")
    again = played_again(lab)
    for trial in lab.bench.trials:
        assert again.measure(trial.configuration, trial.kind) is trial
        assert not trial.tripped or again.current == lab.bench.plan.default, "the guard has put everything back"
    lab.benchmark.trips_in = "run"
    with pytest.raises(HealthStop, match="tripped 3 times"):
        again.measure({"demo.a": 50}, "search")


def test_a_session_that_the_guard_has_ended_ends_in_the_same_way_when_it_is_played_again(lab: Lab) -> None:
    lab.bench.measure({"demo.a": 77}, "search")
    with pytest.raises(HealthStop) as before:
        trip(lab, None)
    again = played_again(lab)
    again.measure({"demo.a": 77}, "search")
    with pytest.raises(HealthStop) as after:
        again.measure(None, "search")
    assert after.value.message == before.value.message
    assert not again.replaying and len(again.trials) == 2


def test_after_a_refused_write_a_session_that_is_played_again_sees_what_it_saw(lab: Lab) -> None:
    lab.bench.measure({"demo.a": 500}, "search")
    again = played_again(lab)
    assert again.measure({"demo.a": 500}, "search").refused
    assert again.current == lab.bench.current == lab.bench.plan.default


def test_nothing_is_measured_that_cannot_be_recorded(lab: Lab) -> None:
    def full() -> None:
        raise StoreError("no space left to write the record")

    bench = Bench(lab.bench.plan, lab.machine, lab.benchmark, lab.events.append, check=full)
    with pytest.raises(StoreError):
        bench.measure({"demo.a": 20}, "search")
    assert (lab.benchmark.calls, lab.machine.calls, lab.events) == ([], [], [])


@pytest.mark.parametrize(("configuration", "kind"), [({"demo.a": 21}, "search"), (None, "search"), (None, "control")])
def test_another_trial_than_the_recorded_one_is_an_error(
    lab: Lab, configuration: dict[str, Value] | None, kind: str
) -> None:
    trial = lab.bench.measure({"demo.a": 20}, "search")
    bench = Bench(lab.bench.plan, lab.machine, lab.benchmark, recorded=[trial])
    with pytest.raises(StoreError, match=r"trial 0 was search \{'demo.a': 20\}, and would now be") as caught:
        bench.measure(configuration, kind)
    assert "its record stays" in caught.value.hint


def test_a_bad_run_of_the_search_is_ended_early_and_never_one_of_the_default(lab: Lab) -> None:
    for _ in range(4):
        lab.bench.measure(None, "baseline")
    lab.bench.cutter = Cutter("maximize", 0.01, 5.0)
    assert lab.bench.measure({"demo.a": 20}, "search").score == 40.0, "a good one comes to its end"
    bad = lab.bench.measure({"demo.a": 0}, "search")
    assert bad.cut_short
    assert (bad.failure, bad.seconds, bad.metrics) == ("", 3.0, {})
    assert bad.score == pytest.approx(20.0), "as its first seconds say"
    for kind in ("verify-candidate", "run-off", "probe", "baseline"):
        trial = lab.bench.measure({"demo.a": 0}, kind)
        assert (trial.cut_short, trial.seconds, trial.uncertainty) == (False, 5.0, 0.0)


def test_a_failed_run_is_a_trial_without_a_score(lab: Lab) -> None:
    trial = lab.bench.measure({"demo.a": 77}, "search")
    assert trial.score is None
    assert trial.failure == "the simulated benchmark failed: its score is None"
    assert trial.metrics == {}


@pytest.mark.parametrize(
    ("printed", "failure"),
    [
        ({}, "the benchmark did not print transactions_per_second"),
        ({"latency_average": 3.0}, "the benchmark did not print transactions_per_second"),
        ({METRIC: 0.0}, "transactions_per_second is 0, which is no usable score"),
        ({METRIC: -3.5}, "transactions_per_second is -3.5, which is no usable score"),
        ({METRIC: float("nan")}, "transactions_per_second is nan, which is no usable score"),
    ],
)
def test_a_number_that_is_missing_or_senseless_is_a_failure_and_never_a_zero(
    lab: Lab, printed: dict[str, float], failure: str
) -> None:
    lab.benchmark.printed = printed
    trial = lab.bench.measure({"demo.a": 20}, "search")
    assert trial.score is None
    assert trial.failure == failure


def test_a_reset_that_fails_is_a_failed_trial(lab: Lab) -> None:
    lab.benchmark.broken = "reset"
    trial = lab.bench.measure({"demo.a": 20}, "search")
    assert trial.score is None
    assert trial.failure == "the server did not reset"


def test_a_safety_stop_is_recorded_before_it_is_raised(lab: Lab) -> None:
    with pytest.raises(SafetyStop, match="memory ran out"):
        lab.bench.measure({"demo.a": 66}, "search", reward=lambda trial: -1.0)
    assert lab.bench.trials[-1].failure == "memory ran out"
    assert lab.bench.trials[-1].reward == -1.0
    done = lab.events[-1]
    assert isinstance(done, TrialDone)
    assert done.trial is lab.bench.trials[-1]


def test_the_best_of_the_search_is_compared_with_all_runs_of_the_default(lab: Lab) -> None:
    assert lab.bench.best_percent() is None
    lab.bench.measure({"demo.a": 40}, "search")
    assert lab.bench.best_percent() is None
    lab.bench.measure(None, "baseline")
    lab.bench.measure(None, "control")
    lab.bench.measure({"demo.a": 100}, "warmup")
    lab.bench.measure({"demo.a": 77}, "search")
    assert lab.bench.default_score() == pytest.approx(30.0)
    assert lab.bench.best_percent() == pytest.approx(100.0)


# --- the health guard


def trip(lab: Lab, configuration: Mapping[str, Value] | None, where: str = "run") -> None:
    lab.benchmark.trips_in = where
    lab.bench.measure(configuration, "search")
    lab.benchmark.trips_in = ""


def test_a_run_that_the_health_guard_ended_is_a_failed_trial_at_a_machine_as_it_was_found(lab: Lab) -> None:
    lab.bench.measure(None, "baseline")
    trip(lab, {"demo.a": 20, "demo.b": 30})
    trial = lab.bench.trials[-1]
    assert trial.score is None
    assert trial.configuration == {"demo.a": 20, "demo.b": 30}
    assert trial.failure == f"the health guard ended the run: {SHORT}"
    assert trial.machine["cpu_utilization"] > 0
    assert lab.machine.calls[-1] == "restore"
    assert lab.bench.current == {"demo.a": 10, "demo.b": 10, "demo.cold": 10}
    assert lab.machine.probe(["demo.b"])["demo.b"].value == 10
    assert lab.writes({"demo.a": 20}) == [{"demo.a": 20}], "what was set before the trip is known to be gone"


@pytest.mark.parametrize("cold", [10, 50])
def test_after_a_trip_the_services_are_started_anew(lab: Lab, cold: int) -> None:
    lab.bench.measure(None, "baseline")
    trip(lab, {"demo.a": 20, "demo.cold": 50})
    lab.benchmark.calls.clear()
    lab.bench.measure({"demo.a": 30, "demo.cold": cold}, "search")
    lab.bench.measure({"demo.a": 40, "demo.cold": cold}, "search")
    assert lab.benchmark.calls == ["restart", "reset", "run", "reset", "run"]


@pytest.mark.parametrize("where", ["restart", "reset"])
def test_a_trip_while_a_trial_is_made_ready_is_a_trip_too(lab: Lab, where: str) -> None:
    lab.bench.measure(None, "baseline")
    lab.benchmark.calls.clear()
    trip(lab, {"demo.a": 20, "demo.cold": 50}, where)
    assert lab.benchmark.calls[-1] == where
    assert lab.bench.trials[-1].failure == f"psql failed: the health guard ended it: {SHORT}"
    assert lab.bench.current == {"demo.a": 10, "demo.b": 10, "demo.cold": 10}
    assert lab.machine.probe(["demo.a"])["demo.a"].value == 10


def test_the_third_trip_ends_the_run_after_it_is_recorded(lab: Lab) -> None:
    lab.bench.measure(None, "baseline")
    assert MOST_TRIPS == 3
    trip(lab, {"demo.a": 20})
    lab.bench.measure({"demo.a": 30}, "search")
    trip(lab, {"demo.a": 40}, "reset")
    with pytest.raises(HealthStop) as caught:
        trip(lab, {"demo.a": 50})
    assert caught.value.message == f"the health guard tripped 3 times; the last time: {SHORT}"
    assert caught.value.exit_code == 4
    assert caught.value.hint.startswith("Free memory or disk space, make the benchmark smaller, or narrow the range")
    assert lab.bench.trials[-1].configuration == {"demo.a": 50}
    done = lab.events[-1]
    assert isinstance(done, TrialDone)
    assert done.trial is lab.bench.trials[-1]
    assert lab.bench.current["demo.a"] == 10
    assert lab.machine.probe(["demo.a"])["demo.a"].value == 10


def test_a_trip_of_the_first_trial_of_all_ends_the_run(lab: Lab) -> None:
    with pytest.raises(HealthStop, match=f"the health guard tripped at the default configuration: {SHORT}"):
        trip(lab, None)
    assert [trial.failure for trial in lab.bench.trials] == [f"the health guard ended the run: {SHORT}"]


def test_a_trip_at_the_default_right_after_a_failure_ends_the_run(lab: Lab) -> None:
    lab.bench.measure(None, "baseline")
    trip(lab, None)
    lab.bench.measure(None, "canary")
    lab.bench.measure({"demo.a": 77}, "search")
    with pytest.raises(HealthStop, match="at the default configuration"):
        trip(lab, {"demo.a": 10})
    assert len(lab.bench.trials) == 5


def test_a_trip_right_after_a_failure_is_not_the_end_when_a_knob_may_be_to_blame(lab: Lab) -> None:
    lab.bench.measure({"demo.a": 77}, "search")
    trip(lab, {"demo.a": 20})
    assert lab.bench.measure(None, "canary").score == 30.0


def test_a_knob_that_is_not_back_after_a_trip_is_the_loudest_error(lab: Lab) -> None:
    lab.bench.measure({"demo.a": 20}, "search")
    lab.machine.stuck = True
    with pytest.raises(RestoreIncomplete, match="/proc/sys/demo/a holds 20 and not 10"):
        trip(lab, {"demo.a": 30})
    assert lab.bench.trials[-1].failure == f"the health guard ended the run: {SHORT}"
