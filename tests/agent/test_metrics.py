"""Two readings of the kernel's counters in, differences out; every number here was worked out by hand."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from knobctl.agent.metrics import Sampler
from knobctl.target.metrics import MACHINE_METRICS

BEFORE = {
    # user nice system idle iowait irq softirq steal guest guest_nice, in ticks
    "proc/stat": "cpu  1000 100 500 8000 200 10 20 30 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\nctxt 5000\nprocs_running 3\n",
    "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 5 kB\nMemAvailable: 800 kB\nDirty: 10 kB\nWriteback: 0 kB\n",
    "proc/vmstat": "nr_dirty 9\npgmajfault 100\npswpin 10\npswpout 20\n",
    "proc/diskstats": "   8 0 sda 1 1 999 1 1 1 999 1 0 999 999\n 254 0 vda 50 1 2048 30 60 2 4096 40 0 1000 70\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull avg10=0.00 total=900000\n",
    "proc/pressure/io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000\nfull avg10=0.00 total=900000\n",
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=3000\nfull avg10=0.00 total=900000\n",
}  # fmt: skip
AFTER = {
    "proc/stat": "cpu  1300 140 600 8300 300 20 60 140 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\nctxt 5600\nprocs_running 6\n",
    "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 5 kB\nMemAvailable: 600 kB\nDirty: 50 kB\nWriteback: 20 kB\n",
    "proc/vmstat": "nr_dirty 9\npgmajfault 130\npswpin 16\npswpout 26\n",
    "proc/diskstats": "   8 0 sda 9 9 9999 9 9 9 9999 9 0 9999 9999\n 254 0 vda 90 1 6144 30 60 2 12288 40 0 1020 70\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=11000\nfull avg10=0.00 total=1900000\n",
    "proc/pressure/io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=7000\nfull avg10=0.00 total=1900000\n",
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=4000\nfull avg10=0.00 total=1900000\n",
}  # fmt: skip
PAUSE = 0.1


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def measure(
    root: Path, before: dict[str, str], after: dict[str, str], disk: str = "vda"
) -> tuple[dict[str, float], float, float]:
    """The metrics, and the shortest and the longest time that the run can have taken."""
    write(root, before)
    outside = time.monotonic()
    sampler = Sampler(disk, str(root))
    inside = time.monotonic()
    write(root, after)
    time.sleep(PAUSE)
    shortest = time.monotonic() - inside
    metrics = sampler.finish()
    return metrics, shortest, time.monotonic() - outside


@pytest.fixture
def metrics(tmp_path: Path) -> dict[str, float]:
    return measure(tmp_path, BEFORE, AFTER)[0]


def test_shares_of_cpu_time(metrics: dict[str, float]) -> None:
    # 300 + 40 + 100 + 300 + 100 + 10 + 40 + 110 = 1000 ticks in all
    assert metrics["cpu_user"] == 34.0
    assert metrics["cpu_system"] == 15.0, "interrupts included"
    assert metrics["iowait"] == 10.0
    assert metrics["steal"] == 11.0
    assert metrics["cpu_utilization"] == 60.0, "neither idle nor waiting for a disk"


def test_gauges_are_means_over_the_run(metrics: dict[str, float]) -> None:
    assert metrics["memory_utilization"] == 30.0, "of 20 and 40 percent; page cache is not in use"
    assert metrics["dirty_memory"] == 4.0, "of 1 and 7 percent, writeback included"
    assert metrics["run_queue"] == 3.5, "of 2 and 5: the sampler itself does not count"


def test_a_tick_in_between_counts_as_much_as_the_others(tmp_path: Path) -> None:
    write(tmp_path, BEFORE)
    sampler = Sampler("vda", str(tmp_path))
    sampler.tick()
    write(tmp_path, AFTER)
    metrics = sampler.finish()
    assert metrics["memory_utilization"] == pytest.approx((20 + 20 + 40) / 3, abs=1e-5)


def test_rates_are_differences_over_the_time_of_the_run(tmp_path: Path) -> None:
    metrics, shortest, longest = measure(tmp_path, BEFORE, AFTER)
    changes = {
        "context_switches": 600.0,
        "major_faults": 30.0,
        "swap_rate": 6.0 + 6.0,
        "disk_read": 4096 * 512 / 2**20,
        "disk_write": 8192 * 512 / 2**20,
        "disk_utilization": 100.0 * 0.020,
        "cpu_pressure": 100.0 * 0.010,
        "io_pressure": 100.0 * 0.005,
        "memory_pressure": 100.0 * 0.001,
    }
    seconds = {name: change / metrics[name] for name, change in changes.items()}
    assert max(seconds.values()) == pytest.approx(min(seconds.values()), rel=1e-4), "one run, one length"
    assert shortest <= seconds["context_switches"] * 1.0001 <= longest * 1.0002


def test_every_metric_is_a_known_one_and_none_is_missing(metrics: dict[str, float]) -> None:
    assert set(metrics) == {metric.name for metric in MACHINE_METRICS}


def test_a_share_of_time_is_at_most_all_of_it(tmp_path: Path) -> None:
    busy = {
        "proc/pressure/io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=900000000\n",
        "proc/diskstats": " 254 0 vda 50 1 2048 30 60 2 4096 40 0 900000 70\n",
    }
    metrics, _, _ = measure(tmp_path, BEFORE, {**AFTER, **busy})
    assert (metrics["io_pressure"], metrics["disk_utilization"]) == (100.0, 100.0)


def test_a_counter_that_went_back_is_nothing(tmp_path: Path) -> None:
    metrics, _, _ = measure(tmp_path, BEFORE, {**AFTER, "proc/vmstat": "pgmajfault 0\npswpin 0\npswpout 0\n"})
    assert (metrics["major_faults"], metrics["swap_rate"]) == (0.0, 0.0)


def test_what_a_kernel_does_not_offer_is_left_out_and_not_zero(tmp_path: Path) -> None:
    without = {name: text for name, text in BEFORE.items() if "pressure" not in name and "vmstat" not in name}
    metrics, _, _ = measure(tmp_path, without, {name: AFTER[name] for name in without}, disk="")
    left_out = {
        "cpu_pressure", "io_pressure", "memory_pressure", "major_faults", "swap_rate", "disk_read", "disk_write",
        "disk_utilization",
    }  # fmt: skip
    assert set(metrics) == {metric.name for metric in MACHINE_METRICS} - left_out


def test_a_disk_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    metrics, _, _ = measure(tmp_path, BEFORE, AFTER, disk="sdz")
    assert "disk_read" not in metrics
    assert metrics["iowait"] == 10.0
