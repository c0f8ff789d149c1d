from __future__ import annotations

import pytest

from knobctl.workload.wrk import WrkAdapter
from tests.workload.captured import captured
from tests.workload.folder_target import Played, ScriptedTarget

ADAPTER = WrkAdapter()
COMMAND = ["wrk", "-t2", "-c20", "-d2s", "http://localhost/"]
RPS = "requests_per_second"


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("wrk-4.1-latency", {RPS: 46534.92, "latency_average_ms": 0.59487, "latency_stddev_ms": 0.79822,
                             "latency_max_ms": 8.22, "latency_p50_ms": 0.346, "latency_p75_ms": 0.575,
                             "latency_p90_ms": 1.28, "latency_p99_ms": 4.18, "transfer_rate_mib_per_second": 192.43,
                             "failed_requests": 0, "complete_requests": 97729}),
        ("wrk-4.1", {RPS: 41466.15, "latency_average_ms": 0.63447, "latency_stddev_ms": 0.7255,
                     "latency_max_ms": 7.92, "transfer_rate_mib_per_second": 171.47, "failed_requests": 0,
                     "complete_requests": 83108}),
        ("wrk-4.1-server-died", {RPS: 23643.67, "latency_average_ms": 0.41828, "latency_stddev_ms": 0.38479,
                                 "latency_max_ms": 4.69, "latency_p50_ms": 0.398, "latency_p75_ms": 0.562,
                                 "latency_p90_ms": 0.821, "latency_p99_ms": 1.89,
                                 "transfer_rate_mib_per_second": 97.77, "failed_requests": 39 + 1938,
                                 "complete_requests": 47354}),
        ("wrk-4.1-refused", {}),
    ],
)  # fmt: skip
def test_every_metric_of_captured_output_is_read(name: str, metrics: dict[str, float]) -> None:
    assert ADAPTER.parse(COMMAND, captured(name)) == pytest.approx(metrics)


def test_the_metrics_that_are_announced_are_those_that_are_printed() -> None:
    announced = {spec.name for spec in ADAPTER.metrics(COMMAND)}

    assert announced == set(ADAPTER.parse(COMMAND, captured("wrk-4.1-latency")))


def test_percentiles_are_asked_for() -> None:
    assert ADAPTER.complete(COMMAND) == ("wrk", "--latency", *COMMAND[1:])
    assert ADAPTER.complete(("wrk", "--latency", "http://localhost/")) == ("wrk", "--latency", "http://localhost/")


@pytest.mark.parametrize(("options", "seconds"), [("-d2s", 2.0), ("--duration=1m", 60.0), ("-d 5", 5.0), ("", 10.0)])
def test_the_duration_is_read_in_wrks_own_units(options: str, seconds: float) -> None:
    assert ADAPTER.run_seconds(["wrk", *options.split(), "http://localhost/"]) == seconds


@pytest.mark.parametrize(
    ("command", "problems"),
    [
        ("wrk -t2 -c20 -d2s http://localhost/", []),
        ("wrk --threads=2 --connections 100 --duration 1m --timeout 5s --latency http://127.0.0.1:80/x", []),
        ("wrk -s x.lua http://localhost/", ["wrk -s needs your own consent: it runs a Lua script"]),
        ("wrk --script=x.lua http://localhost/", ["wrk --script needs your own consent: it runs a Lua script"]),
        ("wrk -d 2h http://localhost/", ["wrk -d '2h' is not allowed: it must be a time from 1s to 3600s"]),
        ("wrk -t4 -c2 http://localhost/", ["wrk needs at least one connection per thread: raise -c or lower -t"]),
        ("wrk http://10.0.0.1/", ["wrk 'http://10.0.0.1/' needs your own consent: it puts load on another machine, "
                                  "10.0.0.1"]),
    ],
)  # fmt: skip
def test_problems(command: str, problems: list[str]) -> None:
    assert ADAPTER.problems(command.split()) == problems


@pytest.mark.parametrize(
    ("name", "exit_code", "failure"),
    [
        ("wrk-4.1-not-found", 0, "all 109115 requests of wrk failed; its last words: "),
        ("wrk-4.1-refused", 1, "wrk ended with exit code 1: unable to connect to 127.0.0.1:54989 Connection refused"),
    ],
)
def test_runs_without_a_good_answer_fail(name: str, exit_code: int, failure: str) -> None:
    target = ScriptedTarget({"wrk": Played(captured(name), exit_code)})

    measurement = ADAPTER.bind(["wrk", "http://localhost/x"], target, RPS).run()

    assert measurement.metrics == {}
    assert measurement.failure.startswith(failure)


def test_a_server_that_dies_halfway_leaves_metrics_and_failed_requests() -> None:
    target = ScriptedTarget({"wrk": Played(captured("wrk-4.1-server-died"))})

    measurement = ADAPTER.bind(["wrk", "http://localhost/x"], target, RPS).run()

    assert measurement.failure == ""
    assert measurement.metrics["failed_requests"] == 1977


def test_good_answers_with_as_many_socket_errors_on_top_are_a_run() -> None:
    target = ScriptedTarget({"wrk": Played(captured("wrk-4.1-reset"))})

    measurement = ADAPTER.bind(["wrk", "http://localhost/x"], target, RPS).run()

    assert measurement.failure == ""
    assert measurement.metrics["complete_requests"] == 6343
    assert measurement.metrics["failed_requests"] == 5168 + 1175
