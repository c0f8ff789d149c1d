from __future__ import annotations

import json

import pytest

from knobctl.workload.fio import FioAdapter
from tests.workload.captured import captured
from tests.workload.folder_target import Played, ScriptedTarget

ADAPTER = FioAdapter()
WRITE = ["fio", "--name=w", "--rw=write", "--bs=64k", "--size=512m"]
MIXED = ["fio", "--name=m", "--rw=randrw", "--bs=4k", "--size=64m", "--runtime=2", "--time_based", "--numjobs=2"]


def test_a_json_report_is_read() -> None:
    job = json.loads(captured("fio-3.33-write.json"))["jobs"][0]["write"]

    metrics = ADAPTER.parse(WRITE, captured("fio-3.33-write.json"))

    assert metrics == pytest.approx(
        {
            "written_mib_per_second": job["bw_bytes"] / 2**20,
            "writes_per_second": job["iops"],
            "operations_per_second": job["iops"],
            "mib_per_second": job["bw_bytes"] / 2**20,
            "write_latency_average_ms": job["lat_ns"]["mean"] / 1e6,
            "write_latency_p50_ms": job["clat_ns"]["percentile"]["50.000000"] / 1e6,
            "write_latency_p95_ms": job["clat_ns"]["percentile"]["95.000000"] / 1e6,
            "write_latency_p99_ms": job["clat_ns"]["percentile"]["99.000000"] / 1e6,
        },
        rel=1e-4,
    )


def test_reads_and_writes_are_read_and_added_up() -> None:
    metrics = ADAPTER.parse(MIXED, captured("fio-3.33-randrw.json"))

    assert metrics["reads_per_second"] == 10313.343328
    assert metrics["writes_per_second"] == 10366.316842
    assert metrics["operations_per_second"] == pytest.approx(20679.66017)
    assert metrics["read_mib_per_second"] == pytest.approx(41253 / 1024)
    assert metrics["read_latency_average_ms"] == pytest.approx(0.160964541)
    assert metrics["read_latency_p99_ms"] == pytest.approx(0.569344)


def test_of_several_reports_the_last_one_counts() -> None:
    text = captured("fio-3.33-randrw-status.json")
    reports = [part for part in text.split("\n{") if '"jobs"' in part]
    assert len(reports) > 1
    last = json.loads("{" + reports[-1])["jobs"][0]["read"]["iops"]

    assert ADAPTER.parse(MIXED, text)["reads_per_second"] == pytest.approx(last)


def test_several_jobs_are_added_up_and_their_worst_percentile_counts() -> None:
    document = json.loads(captured("fio-3.33-randrw.json"))
    document["jobs"].append(json.loads(json.dumps(document["jobs"][0])))
    document["jobs"][1]["read"]["clat_ns"]["percentile"]["99.000000"] = 5_000_000

    metrics = ADAPTER.parse(MIXED, json.dumps(document, indent=2))

    assert metrics["reads_per_second"] == pytest.approx(2 * 10313.343328)
    assert metrics["read_latency_average_ms"] == pytest.approx(0.160964541)
    assert metrics["read_latency_p99_ms"] == 5.0


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("fio-3.33-write", {"writes_per_second": 64000, "written_mib_per_second": 4000,
                            "write_latency_average_ms": 0.01044, "operations_per_second": 64000,
                            "mib_per_second": 4000}),
        ("fio-3.33-randread", {"reads_per_second": 7990, "read_mib_per_second": 31.2,
                               "read_latency_average_ms": 0.12088, "operations_per_second": 7990,
                               "mib_per_second": 31.2}),
        ("fio-3.33-randwrite-fsync", {"writes_per_second": 3545, "written_mib_per_second": 13.8,
                                      "write_latency_average_ms": 0.01532, "operations_per_second": 3545,
                                      "mib_per_second": 13.8}),
        ("fio-3.33-bad-option", {}),
    ],
)  # fmt: skip
def test_the_report_for_people_is_read_too(name: str, metrics: dict[str, float]) -> None:
    assert ADAPTER.parse(WRITE, captured(name)) == pytest.approx(metrics)


@pytest.mark.parametrize(
    "damage",
    ['{"jobs": 3}', '{"jobs": [3, null, {"read": []}]}', '{"jobs": [{"read": {"iops": NaN, "bw": 1}}]}',
     '{"jobs": [{"write": {"iops": 1' + "0" * 400 + ', "bw": 1}}]}', '{"jobs": [', "{" * 5000],
)  # fmt: skip
def test_damaged_reports_yield_no_wrong_number(damage: str) -> None:
    metrics = ADAPTER.parse(WRITE, damage)

    assert "reads_per_second" not in metrics
    assert "writes_per_second" not in metrics


@pytest.mark.parametrize(
    ("rw", "objective"),
    [("write", "written_mib_per_second"), ("read", "read_mib_per_second"), ("randread", "reads_per_second"),
     ("randwrite", "writes_per_second"), ("randrw", "writes_per_second")],
)  # fmt: skip
def test_the_usual_objective_follows_the_pattern(rw: str, objective: str) -> None:
    assert ADAPTER.metrics(["fio", "--name=x", f"--rw={rw}", "--size=1m"])[0].name == objective


@pytest.mark.parametrize(("argv", "name"), [(WRITE, "fio-3.33-write.json"), (MIXED, "fio-3.33-randrw.json")])
def test_the_metrics_that_are_announced_are_printed(argv: list[str], name: str) -> None:
    assert {spec.name for spec in ADAPTER.metrics(argv)} <= set(ADAPTER.parse(argv, captured(name)))


def test_json_is_asked_for() -> None:
    assert ADAPTER.complete(WRITE) == (*WRITE, "--output-format=json")
    assert ADAPTER.complete((*WRITE, "--output-format=normal")) == (*WRITE, "--output-format=normal")


@pytest.mark.parametrize(
    ("command", "seconds"),
    [("--time_based --runtime=5", 5.0), ("--time_based=1 --runtime=5s --ramp_time=2", 7.0), ("--runtime=5", None)],
)
def test_the_duration_is_known_for_a_timed_job_only(command: str, seconds: float | None) -> None:
    assert ADAPTER.run_seconds([*WRITE, *command.split()]) == seconds


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("--filename=/dev/vda", "fio --filename '/dev/vda' is not allowed: it must be a plain name without a path"),
        ("--filename=a:/dev/vda", "fio --filename 'a:/dev/vda' is not allowed: it must be a plain name without a path"),
        ("--ioengine=external:/tmp/x.so", "fio --ioengine 'external:/tmp/x.so' is not allowed: it must be one of sync, "
         "psync, vsync, pvsync, pvsync2, libaio, io_uring, posixaio, mmap"),
        ("--directory=/etc", "fio --directory needs your own consent: it writes outside the work folder"),
        ("--exec_prerun=sh", "fio --exec_prerun needs your own consent: it runs another program"),
        ("--output=/etc/x", "fio --output needs your own consent: it writes a file"),
        ("evil.fio", "fio job file 'evil.fio' needs your own consent: give options instead"),
        ("--numjobs=200", "fio would make 100 GiB of files: --size times --numjobs is limited to 64 GiB"),
        ("--ioscheduler=none", "fio --ioscheduler needs your own consent: it changes a setting of the kernel"),
        ("--trigger=sh", "fio --trigger needs your own consent: it runs another program"),
        ("--read_iolog=x", "fio --read_iolog needs your own consent: it reads a file"),
        ("--uid=0", "fio --uid needs your own consent: it runs as another user"),
        ("--iodepth=4096 --bs=2m", "fio would take 8 GiB of memory: --bs times --iodepth times --numjobs is limited to "
         "4 GiB"),
        ("--filesize=1g --nrfiles=1024", "fio would make 1024 GiB of files: --size times --numjobs is limited to 64 "
         "GiB"),
        ("--size=40g --name=b --rw=read", "fio would make 80 GiB of files: --size times --numjobs is limited to 64 "
         "GiB"),
        ("--time_based", "fio --time_based never ends without --runtime"),
        ("--runtime=9999", "fio --runtime '9999' is not allowed: it must be a whole number from 1 to 3600"),
        ("--trim_backlog=1", "fio --trim_backlog is not an option that knobctl runs without asking"),
    ],
)  # fmt: skip
def test_the_words_of_each_problem(command: str, problem: str) -> None:
    assert ADAPTER.problems([*WRITE, *command.split()]) == [problem]


def test_a_job_needs_a_name_and_a_size() -> None:
    assert ADAPTER.problems(["fio", "--rw=read"]) == ["fio needs --name for its job", "fio needs --size for its file"]
    assert ADAPTER.problems(WRITE) == []
    assert ADAPTER.problems(MIXED) == []


def test_the_jobs_files_are_flushed_between_trials() -> None:
    target = ScriptedTarget({"fio": Played(captured("fio-3.33-write.json"))})
    workload = ADAPTER.bind(WRITE, target, "written_mib_per_second")

    workload.reset()
    measurement = workload.run()

    assert target.commands[0].argv[6:] == ("(", "-name", "w.*", ")", "-exec", "sync", "{}", "+")
    assert target.commands[1].argv == ("/usr/bin/fio", *WRITE[1:], "--output-format=json")
    assert measurement.metrics["written_mib_per_second"] > 0
