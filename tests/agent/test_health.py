"""The health guard on invented machines: what trips, what just does not, and what it says; time is a number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from knobctl.agent.health import CEILINGS, FLOORS, WINDOW_SECONDS, Guard, Trip
from knobctl.agent.protocol import BAD_REQUEST, AgentError

MIB = 1024 * 1024
PAGES_PER_MIB = MIB // os.sysconf("SC_PAGE_SIZE")
GIB_IN_MIB = 1024


class Machine:
    """Files of ``/proc`` and a clock, both set by hand. A healthy machine of 16 GiB at first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 1000.0
        (root / "proc/pressure").mkdir(parents=True)
        self.memory(16 * GIB_IN_MIB, 12 * GIB_IN_MIB)
        self.kills, self.swapped_in, self.swapped_out = 7, 500, 700
        self.write_vmstat()
        self.stalled(0.0)

    def memory(self, total: float, available: float) -> None:
        """Total and available memory, in MiB."""
        self.write(
            "meminfo", f"MemTotal:  {total * 1024:.0f} kB\nMemFree:  5 kB\nMemAvailable:  {available * 1024:.0f} kB\n"
        )

    def write_vmstat(self) -> None:
        self.write(
            "vmstat",
            f"nr_free_pages 9\npswpin {self.swapped_in}\npswpout {self.swapped_out}\noom_kill {self.kills}\nhtlb 3\n",
        )

    def stalled(self, seconds: float) -> None:
        """All tasks waited so long for memory since the boot; some of them much longer."""
        self.write(
            "pressure/memory",
            "some avg10=99.00 avg60=99.00 avg300=99.00 total=900000000\n"
            f"full avg10=0.00 avg60=0.00 avg300=0.00 total={seconds * 1e6:.0f}\n",
        )

    def write(self, name: str, text: str) -> None:
        (self.root / "proc" / name).write_text(text)

    def delete(self, *names: str) -> None:
        for name in names:
            (self.root / "proc" / name).unlink()

    def guard(self, *folders: str, stricter: Mapping[str, float] | None = None) -> Guard:
        return Guard(str(self.root), folders, lambda: self.now, stricter)

    def seconds(self, guard: Guard, count: int, each: Callable[[int], None] = lambda second: None) -> Iterator[Trip]:
        """The trips of a look per second."""
        for second in range(1, count + 1):
            self.now += 1.0
            each(second)
            trip = guard.look()
            if trip is not None:
                yield trip

    def swaps(self, mebibytes_per_second: float) -> Callable[[int], None]:
        """Half of it in, half of it out."""

        def second(number: int) -> None:
            self.swapped_in += round(mebibytes_per_second / 2 * PAGES_PER_MIB)
            self.swapped_out += round(mebibytes_per_second / 2 * PAGES_PER_MIB)
            self.write_vmstat()

        return second

    def stalls(self, percent: float) -> Callable[[int], None]:
        return lambda second: self.stalled(second * percent / 100.0)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def disk(path: Path) -> tuple[float, float]:
    """Free and whole MiB of the file system that the tests run on."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize / MIB, found.f_blocks * found.f_frsize / MIB


def test_a_healthy_machine_never_trips(machine: Machine, tmp_path: Path) -> None:
    assert list(machine.seconds(machine.guard(), 100)) == []


def test_a_machine_that_is_merely_busy_never_trips(machine: Machine) -> None:
    for resource in ("cpu", "io"):
        machine.write(f"pressure/{resource}", "some avg10=99.00 total=1\nfull avg10=99.00 total=99000000000\n")
    assert list(machine.seconds(machine.guard(), 20)) == []


# --- memory


@pytest.mark.parametrize(
    ("total", "floor"),
    [
        (256, 25.6),
        (1 * GIB_IN_MIB, 64),
        (2 * GIB_IN_MIB, 64),
        (24 * GIB_IN_MIB, 491.52),
        (50 * GIB_IN_MIB, 1024),
        (2048 * GIB_IN_MIB, 1024),
    ],
)
def test_the_floor_of_available_memory_fits_the_machine(machine: Machine, total: float, floor: float) -> None:
    guard = machine.guard()
    machine.memory(total, floor + 0.1)
    assert guard.look() is None
    assert guard.shortage() is None
    machine.memory(total, floor - 0.1)
    trip = guard.shortage()
    assert trip is not None
    assert trip == guard.look()
    assert trip.signal == "memory"


def test_words_about_memory(machine: Machine) -> None:
    machine.memory(24 * GIB_IN_MIB, 212.9)
    trip = machine.guard().look()
    assert trip == ("memory", "212 MiB", "492 MiB")
    assert trip is not None and trip.words == "available memory 212 MiB is below 492 MiB"


def test_a_process_that_the_kernel_killed_trips_once(machine: Machine) -> None:
    guard = machine.guard()
    assert guard.look() is None, "seven were killed before the session"
    machine.kills += 1
    machine.write_vmstat()
    trips = list(machine.seconds(guard, 5))
    assert trips == [("oom", "OOM kills: 1", "")]
    assert trips[0].words == "the kernel killed a process for want of memory (OOM kills: 1)"
    machine.kills += 2
    machine.write_vmstat()
    guard.rest()
    assert guard.look() == ("oom", "OOM kills: 2", ""), "rest does not forget it"


def test_a_killed_process_is_told_before_the_memory_that_it_was_killed_for(machine: Machine) -> None:
    guard = machine.guard()
    machine.kills += 1
    machine.write_vmstat()
    machine.memory(16 * GIB_IN_MIB, 1)
    trip = guard.look()
    assert trip is not None and trip.signal == "oom"


# --- disk


def test_a_disk_above_its_floor_does_not_trip_and_one_below_does(machine: Machine, tmp_path: Path) -> None:
    free, _ = disk(tmp_path)
    assert machine.guard(str(tmp_path), stricter={"disk": free / 2}).look() is None
    trip = machine.guard(str(tmp_path), stricter={"disk": free * 2}).look()
    assert trip is not None
    assert (trip.signal, trip.limit) == ("disk", f"{-int(-free * 2 // 1)} MiB")
    assert trip.words == f"{trip.value} is below {trip.limit}"
    assert trip.value.endswith(f" MiB free in {tmp_path}")
    assert abs(int(trip.value.split()[0]) - free) < free / 10


def test_a_folder_that_is_gone_is_no_full_disk_and_the_next_one_is_still_looked_at(
    machine: Machine, tmp_path: Path
) -> None:
    missing, there = str(tmp_path / "none"), str(tmp_path)
    assert machine.guard(missing, stricter={"disk": 1e9}).look() is None
    trip = machine.guard(missing, there, stricter={"disk": 1e9}).shortage()
    assert trip is not None and there in trip.value


def test_a_file_system_without_size_is_not_full(machine: Machine) -> None:
    assert os.statvfs("/proc").f_blocks == 0
    assert machine.guard("/proc").look() is None


# --- windows: swapping and memory pressure


@pytest.mark.parametrize(("rate", "trips"), [(127.0, 0), (130.0, 1)])
def test_swapping_trips_when_it_goes_on(machine: Machine, rate: float, trips: int) -> None:
    found = list(machine.seconds(machine.guard(), 7, machine.swaps(rate)))
    assert len(found) == trips
    if trips:
        assert found[0] == ("swap", "130 MiB/s for 5 s", "128 MiB/s")
        assert found[0].words == "swapping at 130 MiB/s for 5 s (at most 128 MiB/s)"


def test_a_burst_of_swapping_does_not_trip(machine: Machine) -> None:
    guard = machine.guard()
    assert list(machine.seconds(guard, 6)) == []
    assert list(machine.seconds(guard, 1, machine.swaps(600.0))) == []
    assert list(machine.seconds(guard, 30)) == []


def test_the_window_slides(machine: Machine) -> None:
    guard = machine.guard()
    assert list(machine.seconds(guard, 600)) == []
    storm = machine.swaps(300.0)
    seconds = [second for second in range(1, 6) if list(machine.seconds(guard, 1, storm))]
    assert seconds == [3], "900 MiB in 3 of the last 5 s; ten quiet minutes before them do not count"


def test_after_a_trip_its_window_begins_anew(machine: Machine) -> None:
    guard = machine.guard()
    storm = machine.swaps(300.0)
    seconds = [second for second in range(1, 15) if list(machine.seconds(guard, 1, storm))]
    assert seconds == [6, 12], "the first look begins a window"


@pytest.mark.parametrize(("percent", "trips"), [(49.0, 0), (52.0, 1)])
def test_memory_pressure_trips_when_memory_is_scarce(machine: Machine, percent: float, trips: int) -> None:
    machine.memory(16 * GIB_IN_MIB, 1.5 * GIB_IN_MIB)
    found = list(machine.seconds(machine.guard(), 7, machine.stalls(percent)))
    assert len(found) == trips
    if trips:
        assert found[0] == ("pressure", "52 % of the last 5 s", "50 %")
        assert found[0].words == "all tasks waited for memory 52 % of the last 5 s (at most 50 %)"


def test_pressure_from_reading_more_than_fits_does_not_trip(machine: Machine) -> None:
    machine.memory(16 * GIB_IN_MIB, 1.7 * GIB_IN_MIB)
    assert list(machine.seconds(machine.guard(), 20, machine.stalls(99.0))) == []


def test_looks_may_come_irregularly(machine: Machine) -> None:
    machine.memory(16 * GIB_IN_MIB, 1 * GIB_IN_MIB)
    guard = machine.guard()
    stalled = 0.0
    found = []
    for pause in (1.25, 0.75, 2.0, 1.5, 1.0):
        machine.now += pause
        stalled += 0.6 * pause
        machine.stalled(stalled)
        found.append(guard.look())
    assert [trip is not None for trip in found] == [False, False, False, False, True]
    assert found[-1] == ("pressure", "60 % of the last 5 s", "50 %")


# --- lag and rest


def test_an_agent_that_could_not_work_trips(machine: Machine) -> None:
    guard = machine.guard()
    machine.now += 10.0
    assert guard.look() is None
    machine.now += 13.5
    trip = guard.look()
    assert trip == ("lag", "14 s", "10 s")
    assert trip is not None and trip.words == "the agent was kept from its work for 14 s (at most 10 s)"
    machine.now += 1.0
    assert guard.look() is None


def test_rest_forgets_the_time_and_the_windows(machine: Machine) -> None:
    guard = machine.guard()
    assert list(machine.seconds(guard, 5, machine.swaps(300.0))) == []
    machine.now += 60.0
    machine.swaps(300_000.0)(0)
    guard.rest()
    assert guard.look() is None
    assert list(machine.seconds(guard, 20)) == []


# --- what is not available


@pytest.mark.parametrize(
    "missing", [("meminfo",), ("vmstat",), ("pressure/memory",), ("meminfo", "vmstat", "pressure/memory")]
)
def test_a_missing_file_is_a_signal_less_and_no_crash(machine: Machine, missing: Sequence[str]) -> None:
    machine.delete(*missing)
    guard = machine.guard()
    assert list(machine.seconds(guard, 10)) == []
    machine.now += 11.0
    trip = guard.look()
    assert trip is not None and trip.signal == "lag", "the others go on"


@pytest.mark.parametrize("name", ["meminfo", "vmstat", "pressure/memory"])
@pytest.mark.parametrize("text", ["", "\xff\n", "MemAvailable: none\noom_kill\nfull total=\n"])
def test_a_file_that_makes_no_sense_is_a_signal_less_and_no_crash(machine: Machine, name: str, text: str) -> None:
    machine.write(name, text)
    assert list(machine.seconds(machine.guard(), 10)) == []


def test_counters_that_appear_late_or_go_back_do_not_trip(machine: Machine) -> None:
    machine.delete("vmstat")
    guard = machine.guard()
    assert list(machine.seconds(guard, 3)) == []
    machine.write_vmstat()
    assert list(machine.seconds(guard, 10)) == []
    machine.kills, machine.swapped_in = 0, 0
    machine.write_vmstat()
    assert list(machine.seconds(guard, 10)) == []


# --- stricter limits


def test_stricter_limits_trip_on_a_healthy_machine(machine: Machine, tmp_path: Path) -> None:
    def tripped(limits: Mapping[str, float], each: Callable[[int], None] = lambda second: None) -> str:
        machine.stalled(0.0)
        return next(machine.seconds(machine.guard(str(tmp_path), stricter=limits), 9, each), Trip("", "")).signal

    assert tripped({}) == ""
    assert tripped({"memory": 12 * GIB_IN_MIB + 1}) == "memory"
    assert tripped({"disk": 1e9}) == "disk"
    assert tripped({"swap": 1}, machine.swaps(2.0)) == "swap"
    assert tripped({"lag": 0.5}) == "lag"
    machine.memory(16 * GIB_IN_MIB, 1 * GIB_IN_MIB)
    assert tripped({"pressure": 0.5}, machine.stalls(1.0)) == "pressure"


def test_a_laxer_limit_changes_nothing(machine: Machine) -> None:
    guard = machine.guard(stricter={"memory": 1, "disk": 0, "swap": 1e9, "pressure": 1e9, "lag": 1e9})
    machine.now += 11.0
    assert guard.look() == ("lag", "11 s", "10 s")
    machine.memory(1 * GIB_IN_MIB, 63)
    trip = guard.look()
    assert trip is not None and trip.signal == "memory"


@pytest.mark.parametrize(
    ("name", "limit"), [("oom", 1.0), ("cpu", 5.0), ("memory", -1.0), ("memory", float("inf")), ("lag", float("nan"))]
)
def test_a_limit_that_makes_no_sense_is_refused(machine: Machine, name: str, limit: float) -> None:
    with pytest.raises(AgentError, match=f"no such health limit: {name} = {limit}") as caught:
        machine.guard(stricter={name: limit})
    assert caught.value.code == BAD_REQUEST


def test_every_limit_has_words(machine: Machine) -> None:
    for signal in (*FLOORS, *CEILINGS):
        assert "1 of it" in Trip(signal, "1 of it", "2 of it").words
        assert "2 of it" in Trip(signal, "1 of it", "2 of it").words
    assert CEILINGS["lag"] > WINDOW_SECONDS


def test_this_machine_is_healthy_and_a_look_is_cheap(tmp_path: Path) -> None:
    times = os.times()
    guard = Guard("/", (str(tmp_path),))
    trips = [guard.look() for _ in range(50)]
    used = os.times()
    assert set(trips) == {None}
    assert used.user + used.system - times.user - times.system < 50 * 0.01, "a look a second is below 1 % of a CPU"
