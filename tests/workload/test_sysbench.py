from __future__ import annotations

import shlex

import pytest

from knobctl.errors import TargetError
from knobctl.workload.file_load import SysbenchFiles
from knobctl.workload.sysbench import MODES, SysbenchAdapter
from tests.workload.captured import captured
from tests.workload.folder_target import Played, ScriptedTarget

ADAPTER = SysbenchAdapter()
WOUNDED = shlex.split(
    "sysbench fileio --file-total-size=1G --file-num=16 --file-test-mode=seqwr --file-fsync-freq=0 --threads=2 "
    "--time=4 run"
)


def command(test: str, *options: str) -> list[str]:
    return ["sysbench", test, *options, "run"]


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("sysbench-1.0-cpu", {"events_per_second": 6946.29, "total_time_seconds": 2.0002, "total_events": 13899,
                              "latency_min_ms": 0.26, "latency_average_ms": 0.29, "latency_max_ms": 5.54,
                              "latency_p95_ms": 0.32}),
        ("sysbench-1.0-cpu-interval", {"events_per_second": 7046.31, "total_time_seconds": 3.0022,
                                       "total_events": 21157, "latency_min_ms": 0.27, "latency_average_ms": 0.28,
                                       "latency_max_ms": 2.96, "latency_p95_ms": 0.32}),
        ("sysbench-1.0-memory", {"mib_per_second": 3416.50, "operations_per_second": 3498499.28,
                                 "events_per_second": 7001736 / 2.0009, "total_time_seconds": 2.0009,
                                 "total_events": 7001736, "latency_min_ms": 0, "latency_average_ms": 0,
                                 "latency_max_ms": 4.2, "latency_p95_ms": 0}),
        ("sysbench-1.0-threads", {"events_per_second": 5331 / 2.0009, "total_time_seconds": 2.0009,
                                  "total_events": 5331, "latency_min_ms": 0.59, "latency_average_ms": 0.75,
                                  "latency_max_ms": 5.12, "latency_p95_ms": 0.9}),
        ("sysbench-1.0-mutex", {"events_per_second": 2 / 0.2688, "total_time_seconds": 0.2688, "total_events": 2,
                                "latency_min_ms": 201.91, "latency_average_ms": 235.02, "latency_max_ms": 268.14,
                                "latency_p95_ms": 267.41}),
        ("sysbench-1.0-fileio-rndrw", {"reads_per_second": 37016.98, "writes_per_second": 24677.99,
                                       "operations_per_second": 61694.97, "fsyncs_per_second": 2470.80,
                                       "read_mib_per_second": 578.39, "written_mib_per_second": 385.59,
                                       "mib_per_second": 963.98, "events_per_second": 128438 / 2.0013,
                                       "total_time_seconds": 2.0013, "total_events": 128438, "latency_min_ms": 0,
                                       "latency_average_ms": 0.03, "latency_max_ms": 4.37, "latency_p95_ms": 0.01}),
        ("sysbench-0.4.12-memory", {"operations_per_second": 9592744.87, "mib_per_second": 37471.66}),
        ("sysbench-1.0-2016-memory", {"operations_per_second": 650506.28, "mib_per_second": 2541.04}),
        ("sysbench-0.4.12-cpu", {"events_per_second": 10000 / 21.6836, "total_time_seconds": 21.6836,
                                 "total_events": 10000, "latency_min_ms": 2.09, "latency_average_ms": 2.17,
                                 "latency_max_ms": 4.64, "latency_p95_ms": 2.23}),
        ("sysbench-0.4.12-fileio-rndrw", {"operations_per_second": 191.0, "mib_per_second": 2.9843,
                                          "read_mib_per_second": 2.9843 * 537.19 / 895.31,
                                          "written_mib_per_second": 2.9843 * 358.12 / 895.31,
                                          "events_per_second": 57300 / 300.0064, "total_time_seconds": 300.0064,
                                          "total_events": 57300, "latency_min_ms": 0, "latency_average_ms": 1.43,
                                          "latency_max_ms": 51.65, "latency_p95_ms": 9.38}),
        ("sysbench-1.0-2016-fileio", {"reads_per_second": 8259.22, "writes_per_second": 5499.26,
                                      "operations_per_second": 13758.48, "fsyncs_per_second": 17610.85,
                                      "read_mib_per_second": 129.05, "written_mib_per_second": 85.93,
                                      "mib_per_second": 214.98, "events_per_second": 10000 / 0.7268,
                                      "total_time_seconds": 0.7268, "total_events": 10000, "latency_min_ms": 0,
                                      "latency_average_ms": 0.18, "latency_max_ms": 1.98, "latency_p95_ms": 0.54}),
        ("sysbench-1.1-cpu", {"events_per_second": 707.94, "total_time_seconds": 30.0112, "total_events": 21246,
                              "latency_min_ms": 11.25, "latency_average_ms": 11.3, "latency_max_ms": 19.08,
                              "latency_p95_ms": 11.24}),
        ("sysbench-1.1-fileio-seqwr", {"reads_per_second": 0, "writes_per_second": 31961.19,
                                       "operations_per_second": 31961.19, "fsyncs_per_second": 327500.24,
                                       "read_mib_per_second": 0, "written_mib_per_second": 499.39,
                                       "mib_per_second": 499.39, "latency_min_ms": 0, "latency_average_ms": 0.33,
                                       "latency_max_ms": 920.89, "latency_p95_ms": 0.33}),
        ("sysbench-1.0-fileio-not-prepared", {}),
        ("sysbench-1.0-unknown-test", {}),
        ("sysbench-1.0-fileio-prepare", {}),
    ],
)  # fmt: skip
def test_every_metric_of_captured_output_is_read(name: str, metrics: dict[str, float]) -> None:
    assert ADAPTER.parse(command("cpu"), captured(name)) == pytest.approx(metrics)


def test_events_of_version_1_1_are_read_where_the_test_prints_none_of_its_own() -> None:
    output = captured("sysbench-1.1-cpu").replace("CPU speed:\n    events per second:   707.94\n", "")

    assert ADAPTER.parse(command("threads"), output)["events_per_second"] == 707.9361


def test_reads_and_writes_of_version_1_1_are_told_apart() -> None:
    reads = "read:  IOPS=3136.91 49.01 MiB/s (51.40 MB/s)"
    output = captured("sysbench-1.1-fileio-seqwr").replace("read:  IOPS=0.00 0.00 MiB/s (0.00 MB/s)", reads)

    metrics = ADAPTER.parse(command("fileio", "--file-test-mode=rndrw"), output)

    assert (metrics["reads_per_second"], metrics["read_mib_per_second"]) == (3136.91, 49.01)
    assert (metrics["operations_per_second"], metrics["mib_per_second"]) == pytest.approx((35098.1, 548.4))


@pytest.mark.parametrize("test", ["cpu", "memory", "threads", "mutex"])
def test_the_metrics_that_are_announced_are_those_that_are_printed(test: str) -> None:
    printed = set(ADAPTER.parse(command(test), captured(f"sysbench-1.0-{test}")))
    announced = {spec.name for spec in ADAPTER.metrics(command(test))}

    assert printed - announced == ({"events_per_second"} if test == "mutex" else set())
    assert announced <= printed


@pytest.mark.parametrize("mode", MODES)
def test_the_metrics_of_files_are_those_that_are_printed(mode: str) -> None:
    argv = command("fileio", f"--file-test-mode={mode}")

    printed = ADAPTER.parse(argv, captured(f"sysbench-1.0-fileio-{mode}"))

    assert {spec.name for spec in ADAPTER.metrics(argv)} == set(printed)
    assert printed[ADAPTER.metrics(argv)[0].name] > 0


@pytest.mark.parametrize(
    ("argv", "objective", "direction"),
    [
        (command("cpu"), "events_per_second", "maximize"),
        (command("memory"), "mib_per_second", "maximize"),
        (command("threads"), "events_per_second", "maximize"),
        (command("mutex"), "total_time_seconds", "minimize"),
        (WOUNDED, "written_mib_per_second", "maximize"),
        (command("fileio", "--file-test-mode=rndrd"), "read_mib_per_second", "maximize"),
        (command("fileio", "--file-test-mode=rndrw"), "mib_per_second", "maximize"),
        (["sysbench", "--test=memory", "run"], "mib_per_second", "maximize"),
    ],
)
def test_the_usual_objective_depends_on_the_test_and_the_mode(argv: list[str], objective: str, direction: str) -> None:
    first = ADAPTER.metrics(argv)[0]

    assert (first.name, first.direction) == (objective, direction)


def test_the_name_of_the_percentile_follows_the_arguments() -> None:
    names = [spec.name for spec in ADAPTER.metrics(command("cpu", "--percentile=99"))]
    assert "latency_p99_ms" in names
    assert "latency_p95_ms" not in names
    assert not any("latency_p" in spec.name for spec in ADAPTER.metrics(command("cpu", "--percentile=0")))


def test_a_latency_that_cannot_be_is_left_out() -> None:
    output = captured("sysbench-0.4.12-memory-empty")
    metrics = ADAPTER.parse(command("memory"), output)

    assert "latency_min_ms" not in metrics
    assert metrics["mib_per_second"] == 0
    assert ADAPTER.complaint(command("memory"), metrics, output) == "sysbench finished no event"


@pytest.mark.parametrize(
    ("name", "metric", "samples"),
    [
        ("sysbench-1.0-cpu-interval", "events_per_second", [(1, 7140.93), (2, 7112.47), (3, 6897.46)]),
        ("sysbench-1.0-cpu-interval", "latency_p95_ms", [(1, 0.31), (2, 0.31), (3, 0.33)]),
        ("sysbench-1.0-memory", "mib_per_second", [(1, 3517.44), (2, 3316.68)]),
        ("sysbench-1.0-threads", "events_per_second", [(1, 2607.95), (2, 2719.75)]),
        ("sysbench-1.0-fileio-seqwr", "written_mib_per_second", [(1, 1295.58), (2, 1381.46)]),
        ("sysbench-1.0-fileio-rndrw", "read_mib_per_second", [(1, 599.25), (2, 558.09)]),
        ("sysbench-1.0-fileio-rndrw", "mib_per_second", [(1, 998.75), (2, 930.15)]),
        ("sysbench-1.0-fileio-rndrw", "fsyncs_per_second", [(1, 2552.82), (2, 2387.21)]),
        ("sysbench-1.0-fileio-rndrw", "latency_p95_ms", [(1, 0.012), (2, 0.013)]),
    ],
)
def test_interval_lines_become_samples(name: str, metric: str, samples: list[tuple[float, float]]) -> None:
    lines = captured(name).splitlines()
    said = [each for line in lines if (each := ADAPTER.progress(command("cpu"), line, 0.0, None))]

    assert [(each.seconds, each.metrics[metric]) for each in said] == [
        (second, pytest.approx(value)) for second, value in samples
    ]


@pytest.mark.parametrize(
    "argv",
    [
        WOUNDED,
        command("cpu", "--threads=2", "--time=3"),
        command("memory", "--memory-block-size=1M", "--memory-total-size=100G", "--memory-oper=read"),
        command("threads", "--thread-locks=2", "--histogram", "--percentile=99"),
        command("mutex", "--mutex-num=1", "--mutex-locks=10000"),
        command("fileio", "--file-test-mode=rndrw", "--file-extra-flags=direct,dsync", "--file-fsync-all=on"),
        ["sysbench", "--test=cpu", "--num-threads=4", "--max-time=5", "run"],
    ],
)
def test_ordinary_commands_have_no_problems(argv: list[str]) -> None:
    assert ADAPTER.problems(argv) == []


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (command("oltp_read_write"), "sysbench test 'oltp_read_write' needs your own consent: known are cpu, memory, "
         "threads, mutex, fileio; others run Lua"),
        (command("/tmp/x.lua"), "sysbench test '/tmp/x.lua' needs your own consent: known are cpu, memory, threads, "
         "mutex, fileio; others run Lua"),
        (["sysbench", "cpu", "prepare"], "the sysbench command must end with run, not 'prepare'"),
        (["sysbench", "cpu", "--threads=2"], "the sysbench command must end with run, not ''"),
        (command("fileio"), "sysbench fileio needs --file-test-mode, one of seqwr, seqrewr, seqrd, rndrd, rndwr, "
         "rndrw"),
        (command("cpu", "--threads=5000"), "sysbench --threads '5000' is not allowed: it must be a whole number from 1 "
         "to 1000"),
        (command("cpu", "--config-file=/etc/passwd"), "sysbench --config-file needs your own consent: it reads options "
         "from a file"),
        (command("cpu", "--mysql-host=db"), "sysbench --mysql-host needs your own consent: it connects to a database "
         "server"),
        (command("memory", "--memory-block-size=1G", "--memory-scope=local", "--threads=8"), "sysbench would take 8 GiB"
         " of memory: --memory-block-size (for each thread if --memory-scope=local) is limited to 4 GiB"),
        (command("fileio", "--file-test-mode=seqwr", "--file-total-size=1T"), "sysbench --file-total-size '1T' is not "
         "allowed: it must be a size from 65536 bytes to 64 GiB"),
    ],
)  # fmt: skip
def test_the_words_of_each_problem(argv: list[str], problem: str) -> None:
    assert ADAPTER.problems(argv) == [problem]


@pytest.mark.parametrize(
    ("argv", "seconds"),
    [(WOUNDED, 4.0), (command("cpu"), 10.0), (command("cpu", "--events=100"), None),
     (command("cpu", "--events=100", "--time=5"), 5.0), (command("mutex", "--time=5"), None),
     (command("cpu", "--max-time=7"), 7.0), (command("cpu", "--time=7", "--warmup-time=3"), 10.0)],
)  # fmt: skip
def test_the_duration_is_known_where_time_ends_the_run(argv: list[str], seconds: float | None) -> None:
    assert ADAPTER.run_seconds(argv) == seconds


def test_progress_reports_are_asked_for() -> None:
    assert ADAPTER.complete(command("cpu")) == ("sysbench", "cpu", "--report-interval=1", "run")
    assert ADAPTER.complete(command("cpu", "--report-interval=2")) == tuple(command("cpu", "--report-interval=2"))


def test_files_are_made_flushed_and_removed() -> None:
    target = ScriptedTarget({"sysbench": Played(captured("sysbench-1.0-fileio-seqwr"), pace=0.01)})
    workload = ADAPTER.bind(WOUNDED, target, "written_mib_per_second")

    workload.check()
    workload.prepare()
    workload.reset()
    measurement = workload.run()
    workload.cleanup()

    find = ("find", target.folder, "-maxdepth", "1", "-type", "f", "(", "-name", "test_file.*", ")")
    assert [command.argv for command in target.commands] == [
        ("/usr/bin/sysbench", "fileio", "--file-num=16", "--file-total-size=1G", "prepare"),
        (*find, "-exec", "sync", "{}", "+"),
        ("/usr/bin/sysbench", *WOUNDED[1:-1], "--report-interval=1", "run"),
        (*find, "-delete"),
    ]
    assert measurement.metrics["written_mib_per_second"] == 1337.79
    assert measurement.samples == ((1.0, 1295.58), (2.0, 1381.46))


@pytest.mark.parametrize(("mode", "dropped"), [("seqrd", True), ("rndrw", True), ("seqwr", False), ("rndwr", False)])
def test_files_that_are_read_start_out_of_the_page_cache(mode: str, dropped: bool) -> None:
    target = ScriptedTarget({})
    workload = ADAPTER.bind(command("fileio", f"--file-test-mode={mode}"), target, "mib_per_second")

    workload.reset()

    assert any("iflag=nocache" in command.argv for command in target.commands) is dropped


def test_only_the_file_test_has_files() -> None:
    target = ScriptedTarget({})
    assert not isinstance(ADAPTER.bind(command("cpu"), target, "events_per_second"), SysbenchFiles)
    assert isinstance(ADAPTER.bind(WOUNDED, target, "written_mib_per_second"), SysbenchFiles)


def test_a_run_without_its_files_says_so() -> None:
    target = ScriptedTarget({"sysbench": Played(captured("sysbench-1.0-fileio-not-prepared"), exit_code=1)})

    failure = ADAPTER.bind(WOUNDED, target, "written_mib_per_second").run().failure

    assert failure.startswith("sysbench ended with exit code 1: ")
    assert "FATAL: Cannot open file 'test_file.0'" in failure


class ClosedTarget(ScriptedTarget):
    """A target whose work folder is gone, as after the death of its agent."""

    @property
    def folder(self) -> str:  # type: ignore[override]
        raise TargetError("the target is not open")


def test_cleaning_up_after_the_target_is_gone_is_no_error() -> None:
    target = ClosedTarget({})

    ADAPTER.bind(WOUNDED, target, "written_mib_per_second").cleanup()

    assert target.commands == []
