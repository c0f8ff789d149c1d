"""Recording a sweep: what is measured, what the file holds, and going on where it stopped."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from knobctl.errors import BenchmarkBroken, Interrupted, PreflightRefused, StoreError, UsageError
from knobctl.events import Event, MachineRestored, Notice, TrialDone
from knobctl.knobs import Value
from knobctl.lab.design import design
from knobctl.lab.record import estimate
from knobctl.lab.sweep import DEFAULT, WARMUP, read_sweep
from knobctl.target.base import Command, CommandOutcome
from knobctl.target.noise import NoiseModel
from knobctl.target.simulated import FACTS, SimulatedTarget
from tests.lab.sweeps import RUN_SECONDS, Machine, machine, recorded, recording, safe_plan


class Breaking(Machine):
    """Something happens at a certain run."""

    def __init__(self, at: int, error: Exception | None = None) -> None:
        self.runs = 0
        self.at = at
        self.error = error

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        self.runs += 1
        if self.runs < self.at:
            return super().score(configuration)
        if self.error is not None:
            raise self.error
        return None


class Fragile(Machine):
    """Fails where one knob is too high."""

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        return None if configuration["vm.swappiness"] in range(70, 101) else super().score(configuration)


@pytest.mark.parametrize("name", ["sweep.jsonl", "sweep.jsonl.gz"])
def test_a_sweep_measures_its_design(tmp_path: Path, name: str) -> None:
    target = machine()
    plan = safe_plan(target)
    done = recording(tmp_path / name, target, runs=40)
    assert (done.runs, done.of, done.measured, done.complete) == (40, 40, 40, True)
    sweep = read_sweep(tmp_path / name)
    layout = design(4, 40, 1)
    assert [run.role for run in sweep.runs] == [WARMUP, *(visit.role for visit in layout.visits)]
    assert [run.point for run in sweep.counted] == [visit.point for visit in layout.visits]
    for run in sweep.counted:
        wanted = {} if run.role == DEFAULT else plan.changed(plan.decode(layout.points[run.point]))
        assert run.configuration == wanted
        values = sweep.configuration(run)
        assert int(values["vm.dirty_background_ratio"]) < int(values["vm.dirty_ratio"])  # the coupling
        assert run.score is not None
        assert len(run.samples) == RUN_SECONDS
        assert run.machine
    assert sweep.benchmark_seconds == pytest.approx(41 * RUN_SECONDS)


def test_the_header_says_what_it_was_made_from_and_names_nobody(tmp_path: Path) -> None:
    header = recorded(tmp_path / "a.jsonl").header
    assert header.command == "knobctl lab record plan.json"
    assert (header.metric, header.unit, header.direction) == ("written_mib_per_second", "MiB/s", "maximize")
    assert header.default == Machine().default()
    assert header.facts == replace(FACTS, boot_id="")
    assert header.simulated
    assert json.loads(header.plan)["workload_name"] == "sequential writes"
    assert [rule.left for rule in header.couplings] == ["vm.dirty_background_ratio"]


def test_the_machine_is_as_it_was(tmp_path: Path) -> None:
    target, events = machine(), list[Event]()
    before = target.probe()
    recording(tmp_path / "a.jsonl", target, emit=events.append)
    assert target.probe() == before
    assert isinstance(events[-1], MachineRestored)
    assert events[-1].complete
    target.open("another")  # the lock was given back


@pytest.mark.parametrize("name", ["sweep.jsonl", "sweep.jsonl.gz"])
def test_a_sweep_goes_on_where_it_stopped(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    events = list[Event]()
    first = recording(path, machine(), runs=40, seconds=60.0, emit=events.append)
    assert not first.complete
    assert 10 < first.measured < 20
    assert Notice(f"the time is over; {40 - first.measured} of 40 runs are missing") in events
    before = read_sweep(path)
    second = recording(path, machine(), runs=40)
    assert (second.runs, second.measured) == (40, 40 - first.measured)
    after = read_sweep(path)
    assert after.complete
    assert after.runs[: len(before.runs)] == before.runs
    assert [run.place for run in after.counted] == list(range(40))
    assert [part.offset for part in after.parts] == [0.0, pytest.approx(before.began(before.runs[-1]) + RUN_SECONDS)]
    assert next(run.role for run in after.runs if run.part == 1) == WARMUP
    assert len({run.score for run in after.runs}) == len(after.runs)  # the noise goes on too


def test_a_complete_sweep_is_not_measured_again(tmp_path: Path) -> None:
    recording(tmp_path / "a.jsonl", machine())
    target = machine()
    target.open("somebody else")  # another open would raise Busy
    assert recording(tmp_path / "a.jsonl", target).measured == 0


@pytest.mark.parametrize("name", ["sweep.jsonl", "sweep.jsonl.gz"])
def test_half_a_line_at_the_end_is_measured_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    whole = recorded(path)
    path.write_bytes(path.read_bytes()[:-200])
    cut = read_sweep(path)
    assert 0 < len(cut.runs) < len(whole.runs)
    recording(path, machine())
    again = read_sweep(path)
    assert again.complete
    assert again.runs[: len(cut.runs)] == whole.runs[: len(cut.runs)]


def test_every_run_is_in_the_file_when_the_next_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    seen = list[int]()

    def look(event: Event) -> None:
        if isinstance(event, TrialDone):
            seen.append(len(read_sweep(path).runs))

    recording(path, machine(), runs=12, emit=look)
    assert seen == list(range(13))  # told of a run, then written


def test_an_interrupted_sweep_restores_and_keeps_what_it_has(tmp_path: Path) -> None:
    target, events = machine(Breaking(15, Interrupted("interrupted by SIGTERM"))), list[Event]()
    before = target.probe()
    with pytest.raises(Interrupted):
        recording(tmp_path / "a.jsonl", target, emit=events.append)
    assert target.probe() == before
    assert isinstance(events[-1], MachineRestored)
    assert len(read_sweep(tmp_path / "a.jsonl").runs) == 14


def test_a_benchmark_that_fails_as_found_ends_the_sweep(tmp_path: Path) -> None:
    target = machine(Breaking(11))
    with pytest.raises(BenchmarkBroken, match=r"fails at the default configuration: .*score is None") as failure:
        recording(tmp_path / "a.jsonl", target)
    assert failure.value.hint.startswith("Run it by hand and see what it says: sysbench")
    runs = read_sweep(tmp_path / "a.jsonl").counted
    assert [run.place for run in runs] == list(range(10))  # the default again comes at place 10, and is not in the file
    assert runs[-1].failure  # a failure of another configuration is


def test_a_configuration_that_fails_is_part_of_the_record(tmp_path: Path) -> None:
    sweep = recorded(tmp_path / "a.jsonl", Fragile())
    failed = [run for run in sweep.counted if run.score is None]
    assert failed
    assert all(int(run.configuration["vm.swappiness"]) >= 70 and "failed" in run.failure for run in failed)
    assert sweep.complete


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"seed": 2}, "its seed is different"), ({"runs": 61}, "its runs is different")],
)
def test_the_file_of_another_sweep_is_left_alone(tmp_path: Path, changed: dict[str, int], words: str) -> None:
    path = tmp_path / "a.jsonl"
    recording(path, machine())
    before = path.read_bytes()
    with pytest.raises(UsageError, match="holds another sweep: " + words) as failure:
        recording(path, machine(), **changed)  # type: ignore[arg-type]
    assert failure.value.hint == "Repeat the command that began it, or choose another file with -o."
    assert path.read_bytes() == before


def test_a_sweep_of_another_machine_is_left_alone(tmp_path: Path) -> None:
    recording(tmp_path / "a.jsonl", machine())
    with pytest.raises(UsageError, match="holds another sweep: its kernel, cores are different"):
        recording(tmp_path / "a.jsonl", machine(facts=replace(FACTS, kernel="6.99.0", cores=3)))


def test_a_file_that_is_no_sweep_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "diary.jsonl"
    path.write_text("dear diary\n")
    with pytest.raises(StoreError, match=r"diary\.jsonl is no sweep: line 1"):
        recording(path, machine())
    assert path.read_text() == "dear diary\n"


def test_a_place_that_cannot_be_written_is_said_before_anything_runs(tmp_path: Path) -> None:
    target = machine()
    with pytest.raises(UsageError, match=r"cannot write .*nowhere.*No such file") as failure:
        recording(tmp_path / "nowhere" / "a.jsonl", target)
    assert failure.value.hint == "Choose another file with -o."
    assert target.clock.monotonic() == 0.0


class Busy(SimulatedTarget):
    """Something else uses the CPU for a while; each look takes a second."""

    looks = 0
    calm_after = 3

    def run(self, command: Command, on_line: Callable[[str, float], bool] | None = None) -> CommandOutcome:
        assert command.argv == ("/simulated/bin/sleep", "1")
        assert command.sample
        self.looks += 1
        self.clock.sleep(1.0)
        load = 80.0 if self.looks <= self.calm_after else 5.0
        return replace(super().run(command, on_line), machine={"cpu_utilization": load})


def test_a_run_waits_until_the_machine_is_calm(tmp_path: Path) -> None:
    target = Busy(Machine(), NoiseModel(), 0, RUN_SECONDS)
    assert recording(tmp_path / "a.jsonl", target, runs=5, calm_percent=25.0).complete
    assert target.looks == 3 + 5
    first, second, *_ = read_sweep(tmp_path / "a.jsonl").counted
    assert first.started == pytest.approx((1 + RUN_SECONDS) + 4)  # the warm-up with its reset, then four looks
    assert second.started - first.started == pytest.approx(RUN_SECONDS + 1 + 1)


def test_waiting_ends_with_the_time(tmp_path: Path) -> None:
    target, events = Busy(Machine(), NoiseModel(), 0, RUN_SECONDS), list[Event]()
    target.calm_after = 10**6
    done = recording(tmp_path / "a.jsonl", target, runs=5, calm_percent=25.0, seconds=60.0, emit=events.append)
    assert done.measured == 0
    assert Notice("something else uses 25 % of the CPU and more all the time", "warning") in events
    assert target.clock.monotonic() == pytest.approx(60.0, abs=2.0)


def test_another_tuner_is_refused_unless_forced(tmp_path: Path) -> None:
    target = machine(facts=replace(FACTS, tuners=("TuneD",)))
    with pytest.raises(PreflightRefused, match=r"TuneD is running and sets .*vm\.dirty") as failure:
        recording(tmp_path / "a.jsonl", target)
    assert "--force" in failure.value.hint
    assert not (tmp_path / "a.jsonl").exists()
    assert recording(tmp_path / "a.jsonl", target, runs=5, force=True).complete


def test_the_compressed_file_is_one_that_gzip_reads(tmp_path: Path) -> None:
    recording(tmp_path / "a.jsonl.gz", machine(), runs=20, seconds=30.0)
    recording(tmp_path / "a.jsonl.gz", machine(), runs=20)
    lines = gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).splitlines()
    assert [next(iter(json.loads(line))) for line in lines].count("part") == 2
    assert len(lines) == 1 + 2 + 2 + 20  # header, parts, warm-ups, runs


def test_the_estimate_is_the_benchmarks_own_time(tmp_path: Path) -> None:
    assert estimate(safe_plan(machine()), 100) == 400.0
