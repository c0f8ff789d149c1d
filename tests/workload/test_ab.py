from __future__ import annotations

import shlex

import pytest

from knobctl.errors import ToolMissing
from knobctl.workload.ab import AbAdapter
from tests.workload.captured import captured
from tests.workload.folder_target import Played, ScriptedTarget

ADAPTER = AbAdapter()
COMMAND = ["ab", "-n", "20000", "-c", "50", "http://localhost/"]
RPS = "requests_per_second"


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("ab-2.3", {RPS: 13657.13, "time_per_request_ms": 3.661, "transfer_rate_kib_per_second": 57762.71,
                    "complete_requests": 20000, "failed_requests": 0, "total_time_seconds": 1.464,
                    "latency_p50_ms": 3, "latency_p90_ms": 5, "latency_p95_ms": 6, "latency_p99_ms": 8,
                    "latency_max_ms": 12}),
        ("ab-2.3-keepalive-time", {RPS: 46826.91, "time_per_request_ms": 0.214,
                                   "transfer_rate_kib_per_second": 198282.52, "complete_requests": 50000,
                                   "failed_requests": 0, "total_time_seconds": 1.068, "latency_p50_ms": 0,
                                   "latency_p90_ms": 0, "latency_p95_ms": 0, "latency_p99_ms": 1, "latency_max_ms": 6}),
        ("ab-2.3-quiet", {RPS: 7315.88, "time_per_request_ms": 0.683, "transfer_rate_kib_per_second": 30942.45,
                          "complete_requests": 2000, "failed_requests": 0, "total_time_seconds": 0.273}),
        ("ab-2.3-not-found", {RPS: 8189.67, "time_per_request_ms": 0.611, "transfer_rate_kib_per_second": 2423.31,
                              "complete_requests": 200, "failed_requests": 200, "total_time_seconds": 0.024,
                              "latency_p50_ms": 1, "latency_p90_ms": 1, "latency_p95_ms": 1, "latency_p99_ms": 3,
                              "latency_max_ms": 3}),
        ("ab-2.3-error-pages", {RPS: 6804.11, "time_per_request_ms": 0.735, "transfer_rate_kib_per_second": 3140.99,
                                "complete_requests": 200, "failed_requests": 149, "total_time_seconds": 0.029,
                                "latency_p50_ms": 1, "latency_p90_ms": 1, "latency_p95_ms": 1, "latency_p99_ms": 1,
                                "latency_max_ms": 2}),
        ("ab-2.3-refused", {}),
    ],
)  # fmt: skip
def test_every_metric_of_captured_output_is_read(name: str, metrics: dict[str, float]) -> None:
    assert ADAPTER.parse(COMMAND, captured(name)) == pytest.approx(metrics)


@pytest.mark.parametrize(("option", "name"), [("-k", "ab-2.3"), ("-d", "ab-2.3-quiet")])
def test_the_metrics_that_are_announced_are_those_that_are_printed(option: str, name: str) -> None:
    command = [*COMMAND[:-1], option, COMMAND[-1]]

    assert {spec.name for spec in ADAPTER.metrics(command)} == set(ADAPTER.parse(command, captured(name)))


def test_progress_counts_requests_and_gives_the_rate_since_the_line_before() -> None:
    first = ADAPTER.progress(COMMAND, "Completed 2000 requests", 0.5, None)
    assert first is not None
    second = ADAPTER.progress(COMMAND, "Completed 4000 requests", 0.75, first)
    assert second is not None

    assert (first.fraction, first.metrics) == (0.1, {RPS: 4000.0})
    assert (second.fraction, second.metrics) == (0.2, {RPS: 8000.0})
    assert ADAPTER.progress(COMMAND, "Finished 20000 requests", 1.0, second) is None


@pytest.mark.parametrize(
    ("options", "seconds"), [("-n 20000", None), ("-t 5", 5.0), ("-t 5 -n 1000000", 5.0), ("-t 0", 0.0)]
)
def test_the_duration_is_known_where_time_ends_the_run(options: str, seconds: float | None) -> None:
    assert ADAPTER.run_seconds(["ab", *options.split(), "http://localhost/"]) == seconds


def test_progress_of_a_timed_run_is_the_larger_share_of_time_and_requests() -> None:
    argv = ["ab", "-t", "10", "-n", "1000000", "http://localhost/"]

    by_time = ADAPTER.progress(argv, "Completed 100000 requests", 8.0, None)
    by_count = ADAPTER.progress(argv, "Completed 900000 requests", 8.0, None)

    assert by_time is not None
    assert by_count is not None
    assert (by_time.fraction, by_count.fraction) == (0.8, 0.9)


def test_two_progress_lines_at_the_same_instant_give_no_rate() -> None:
    first = ADAPTER.progress(COMMAND, "Completed 2000 requests", 0.5, None)
    second = ADAPTER.progress(COMMAND, "Completed 4000 requests", 0.5, first)

    assert second is not None
    assert second.metrics == {}


@pytest.mark.parametrize(
    "command",
    [
        "ab -n 20000 -c 50 http://localhost/",
        "ab -k -q -c50 -t 10 http://127.0.0.1:8080/index.html",
        "ab -n 10 'http://[::1]:80/'",
        "ab -n 10 -H 'Accept-Encoding: gzip' localhost:8080/x",
    ],
)
def test_ordinary_commands_have_no_problems(command: str) -> None:
    assert ADAPTER.problems(shlex.split(command)) == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("ab -n 1 http://example.org/", "ab 'http://example.org/' needs your own consent: it puts load on another "
         "machine, example.org"),
        ("ab -n 1 http://localhost.example.org/", "ab 'http://localhost.example.org/' needs your own consent: it puts "
         "load on another machine, localhost.example.org"),
        ("ab -n 1 http://localhost@example.org/", "ab 'http://localhost@example.org/' needs your own consent: it puts "
         "load on another machine, example.org"),
        ("ab -n 1 https://localhost:443/", "ab 'https://localhost:443/' needs your own consent: only http is used "
         "without asking"),
        ("ab -n 1 http://me:secret@localhost/", "ab 'http://me:secret@localhost/' needs your own consent: it holds a "
         "user name or password"),
        ("ab -n 1 http://localhost:99999/", "ab was given 'http://localhost:99999/', which is no URL"),
        ("ab -n 1 http://[::1/", "ab was given 'http://[::1/', which is no URL"),
        ("ab -n 1", "ab takes one URL, not 0: write http://localhost/ for a throw-away server"),
        ("ab -n 1 http://localhost/ http://localhost/", "ab takes one URL, not 2: write http://localhost/ for a "
         "throw-away server"),
        ("ab -c 5 http://localhost/", "ab without -n sends a single request: add -n 20000"),
        ("ab -n 1 -p /etc/passwd http://localhost/", "ab -p needs your own consent: it sends a file"),
        ("ab -n 1 -g /tmp/x http://localhost/", "ab -g needs your own consent: it writes a file"),
        ("ab -n 1 -e /tmp/x http://localhost/", "ab -e needs your own consent: it writes a file"),
        ("ab -n 1 -X proxy:80 http://localhost/", "ab -X needs your own consent: it goes through a proxy"),
        ("ab -n 1 -c 1001 http://localhost/", "ab -c '1001' is not allowed: it must be a whole number from 1 to 1000"),
        ("ab -n 1 -m POST http://localhost/", "ab -m 'POST' is not allowed: it must be one of GET, HEAD"),
    ],
)  # fmt: skip
def test_the_words_of_each_problem(command: str, problem: str) -> None:
    assert ADAPTER.problems(shlex.split(command)) == [problem]


def test_a_bare_localhost_is_served_by_a_throwaway_nginx_on_loopback() -> None:
    target = ScriptedTarget({"ab": Played(captured("ab-2.3"), pace=0.1)})
    workload = ADAPTER.bind(COMMAND, target, RPS)

    workload.check()
    workload.prepare()
    measurement = workload.run()

    (server,) = target.started
    assert server.argv == ("/usr/bin/nginx", "-p", target.folder, "-c", f"{target.folder}/nginx.conf")
    configuration = target.files["nginx.conf"]
    listens = [line.split()[1] for line in configuration.splitlines() if line.strip().startswith("listen ")]
    assert len(listens) == 1
    assert listens[0].startswith("127.0.0.1:")
    assert f"pid {target.folder}/nginx.pid;" in configuration
    assert "user " not in configuration
    assert len(target.files["nginx-page.html"]) == 4096
    run = target.commands[-1]
    assert run.argv == ("/usr/bin/ab", "-n", "20000", "-c", "50", f"http://{listens[0]}/")
    assert measurement.metrics[RPS] == 13657.13
    assert len(measurement.samples) == 10
    assert workload.command == "ab -n 20000 -c 50 http://localhost/"


def test_a_restart_keeps_the_address() -> None:
    target = ScriptedTarget({})
    workload = ADAPTER.bind(COMMAND, target, RPS)
    workload.prepare()
    first = target.files["nginx.conf"]

    workload.restart()
    workload.cleanup()

    assert target.files["nginx.conf"] == first
    assert len(target.started) == 2
    assert target.stopped == ["nginx", "nginx"]


def test_the_users_own_server_is_measured_as_it_is() -> None:
    target = ScriptedTarget({"ab": Played(captured("ab-2.3"))})
    command = ["ab", "-n", "20000", "-c", "50", "http://localhost:8080/"]
    workload = ADAPTER.bind(command, target, RPS)

    workload.prepare()
    workload.run()

    assert target.started == []
    assert [each.argv[1:] for each in target.commands] == [tuple(command[1:])]


def test_a_run_in_which_every_request_failed_is_a_failed_run() -> None:
    target = ScriptedTarget({"ab": Played(captured("ab-2.3-not-found"))})

    measurement = ADAPTER.bind(["ab", "-n", "200", "http://localhost/x"], target, RPS).run()

    assert measurement.metrics == {}
    assert measurement.failure.startswith("all 200 requests of ab failed; its last words: ")


def test_error_pages_of_another_length_are_counted_once_and_fail_no_run_with_good_answers() -> None:
    target = ScriptedTarget({"ab": Played(captured("ab-2.3-error-pages"))})

    measurement = ADAPTER.bind(["ab", "-n", "200", "http://localhost/x"], target, RPS).run()

    assert measurement.failure == ""
    assert measurement.metrics["failed_requests"] == 149, "51 of 200 answers were good"


@pytest.mark.parametrize(
    ("failed", "length", "errors", "counted", "complaint"),
    [
        (150, 100, 100, 150, ""),  # fifty requests got no whole answer besides
        (50, 0, 100, 150, ""),  # error pages as long as the page itself
        (199, 199, 1, 199, ""),  # the first answer was an error, the good ones are of another length
        (200, 0, 0, 200, "all 200 requests of ab failed"),
        (120, 100, 180, 200, "all 200 requests of ab failed"),
    ],
)
def test_failures_errors_and_lengths_together(
    failed: int, length: int, errors: int, counted: int, complaint: str
) -> None:
    parts = f"   (Connect: 0, Receive: {failed - length}, Length: {length}, Exceptions: 0)"
    output = (
        captured("ab-2.3-error-pages")
        .replace("   (Connect: 0, Receive: 0, Length: 149, Exceptions: 0)", parts)
        .replace("Failed requests:        149", f"Failed requests:        {failed}")
        .replace("Non-2xx responses:      149", f"Non-2xx responses:      {errors}")
    )

    metrics = ADAPTER.parse(COMMAND, output)

    assert metrics["failed_requests"] == counted
    assert ADAPTER.complaint(COMMAND, metrics, output) == complaint


def test_the_duration_of_a_counted_run_is_learned_from_the_first_one() -> None:
    target = ScriptedTarget({"ab": Played(captured("ab-2.3"), pace=0.05)})
    workload = ADAPTER.bind(["ab", "-n", "20000", "http://localhost:1/"], target, RPS)
    guess = workload.run_seconds

    measurement = workload.run()

    assert guess == 10.0
    assert workload.run_seconds == measurement.seconds == pytest.approx(0.05 * 51, abs=0.2)


def test_missing_programs_are_named_with_their_package() -> None:
    with pytest.raises(ToolMissing, match="ab is not installed") as raised:
        ADAPTER.bind(COMMAND, ScriptedTarget({}, installed=["dnf"]), RPS).check()
    assert raised.value.hint == "Install it: `dnf install httpd-tools`."

    with pytest.raises(ToolMissing, match="nginx is not installed") as raised:
        ADAPTER.bind(COMMAND, ScriptedTarget({}, installed=["ab"]), RPS).check()
    assert raised.value.hint == "Install it: `apt install nginx` or `dnf install nginx`."
