from __future__ import annotations

import pytest

from knobctl.errors import HealthStop, WorkloadError
from knobctl.target import CommandOutcome
from knobctl.workload.base import Samples
from knobctl.workload.sysbench import SysbenchAdapter
from knobctl.workload.tool import RELIEF, ToolWorkload, failure_of, measure
from tests.workload.captured import captured
from tests.workload.folder_target import Played, ScriptedTarget

ADAPTER = SysbenchAdapter()
ARGV = ("sysbench", "cpu", "--time=3", "run")
EPS = "events_per_second"
SHORT = "available memory 212 MiB is below 492 MiB"


def workload(played: Played, reset_command: tuple[str, ...] = (), **others: Played) -> ToolWorkload:
    return ToolWorkload(ADAPTER, ARGV, ScriptedTarget({"sysbench": played, **others}), EPS, reset_command)


def test_a_good_run_yields_metrics_samples_and_machine_metrics() -> None:
    measurement = workload(Played(captured("sysbench-1.0-cpu-interval"))).run()

    assert measurement.failure == ""
    assert measurement.metrics[EPS] == 7046.31
    assert measurement.samples == ((1.0, 7140.93), (2.0, 7112.47), (3.0, 6897.46))
    assert measurement.machine == {"cpu_utilization": 50.0}


@pytest.mark.parametrize(
    ("outcome", "failure"),
    [
        (CommandOutcome(3, "one\n\ntwo", 1.0), "sysbench ended with exit code 3: one | two"),
        (CommandOutcome(-11, "", 1.0), "sysbench was killed by signal 11: it printed nothing"),
        (CommandOutcome(-9, "half", 69.0, timed_out=True), "sysbench did not end within 69 s and was killed: half"),
        (CommandOutcome(0, "hello", 1.0), "sysbench printed no events_per_second; its last words: hello"),
        (CommandOutcome(0, "total time: 3s", 1.0), "sysbench printed no events_per_second (it printed "
         "total_time_seconds); its last words: total time: 3s"),
    ],
)  # fmt: skip
def test_every_way_to_fail_is_a_failure_in_one_line(outcome: CommandOutcome, failure: str) -> None:
    measurement = measure(ADAPTER, ARGV, EPS, outcome)

    assert measurement.failure == failure
    assert measurement.metrics == {}
    assert not measurement.cut_short


def test_last_words_are_bounded() -> None:
    outcome = CommandOutcome(1, "\n".join("x" * 10_000 for _ in range(100)), 1.0)

    assert len(failure_of(outcome, "tool")) < 1200


def test_a_hanging_run_is_killed_after_three_times_its_duration_and_a_minute() -> None:
    bench = workload(Played("Threads started!", timed_out=True))

    measurement = bench.run()

    assert measurement.seconds == bench.timeout == 69.0
    assert measurement.failure == "sysbench did not end within 69 s and was killed: Threads started!"


def test_progress_is_told_as_fraction_and_samples_and_can_end_the_run() -> None:
    told: list[tuple[float, list[float]]] = []

    def on_progress(fraction: float, samples: Samples) -> bool:
        told.append((fraction, [value for _, value in samples]))
        return len(samples) == 2

    measurement = workload(Played(captured("sysbench-1.0-cpu-interval"), pace=0.1)).run(on_progress)

    assert [(round(fraction, 3), values) for fraction, values in told if values] == [
        (0.333, [7140.93]),
        (0.667, [7140.93, 7112.47]),
    ]
    assert measurement.cut_short
    assert measurement.metrics == {}
    assert measurement.failure.startswith("cut short after ")
    assert measurement.samples == ((1.0, 7140.93), (2.0, 7112.47))


def test_lines_that_say_nothing_are_told_twice_a_second_at_most() -> None:
    told: list[float] = []
    quiet = Played("\n".join(f"line {number}" for number in range(100)), pace=0.1)

    workload(quiet).run(lambda fraction, score: bool(told.append(fraction)))

    assert len(told) == 20
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_reset_command_runs_before_a_trial_and_its_failure_is_an_error() -> None:
    fine = workload(Played(), ("clean", "all"))
    fine.reset()
    assert fine.target.commands[0].argv == ("clean", "all")  # type: ignore[attr-defined]

    broken = workload(Played(), ("clean", "all"), clean=Played("no space", exit_code=1))
    with pytest.raises(WorkloadError, match="the reset command failed: clean ended with exit code 1: no space"):
        broken.reset()


# --- the health guard


def test_a_run_that_the_health_guard_ended_says_why_and_counts_for_nothing() -> None:
    measurement = workload(Played(captured("sysbench-1.0-cpu-interval"), tripped=SHORT)).run()

    assert measurement.failure == f"the health guard ended the run: {SHORT}"
    assert measurement.tripped == SHORT
    assert measurement.metrics == {}
    assert not measurement.cut_short
    assert measurement.machine == {"cpu_utilization": 50.0}
    assert measurement.samples == ((1.0, 7140.93), (2.0, 7112.47), (3.0, 6897.46))


@pytest.mark.parametrize("also", [{"stopped": True}, {"timed_out": True}, {}])
def test_the_guard_is_named_whatever_else_is_said_about_the_end(also: dict[str, bool]) -> None:
    outcome = CommandOutcome(-9, captured("sysbench-1.0-cpu-interval"), 3.0, tripped=SHORT, **also)

    assert not outcome.ok
    assert measure(ADAPTER, ARGV, EPS, outcome).failure == f"the health guard ended the run: {SHORT}"


def test_an_ordinary_end_is_no_trip() -> None:
    measurement = workload(Played("Threads started!", exit_code=1)).run()

    assert (measurement.tripped, CommandOutcome(0, "", 1.0).ok) == ("", True)


def test_a_command_between_runs_that_the_guard_ended_is_no_failure_of_the_tool() -> None:
    ended = workload(Played(), ("clean", "all"), clean=Played("half", exit_code=-9, tripped=SHORT))

    with pytest.raises(HealthStop) as caught:
        ended.reset()
    assert caught.value.message == f"the reset command failed: the health guard ended it: {SHORT}"
    assert caught.value.hint == RELIEF
    with pytest.raises(HealthStop, match=f"clean failed: the health guard ended it: {SHORT}"):
        ended.attempt(("clean", "some"), 1.0)


def test_a_command_whose_failure_does_not_matter_may_fail() -> None:
    workload(Played(), clean=Played("no", exit_code=1)).attempt(("clean",), 1.0)
