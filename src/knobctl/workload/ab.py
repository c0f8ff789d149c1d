"""ab (ApacheBench): HTTP requests, on a throw-away nginx unless the URL means the user's own server."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from knobctl.target import Target
from knobctl.workload.arguments import (
    MAX_CLIENTS,
    MAX_SECONDS,
    Arguments,
    Style,
    Takes,
    flag,
    matching,
    one_of,
    parse_arguments,
    program_problems,
    refused,
    valued,
    whole,
)
from knobctl.workload.base import MetricSpec, Workload
from knobctl.workload.reading import NUMBER, parse_number, read_metrics, reading
from knobctl.workload.tool import ProgressLine, ToolAdapter
from knobctl.workload.web import all_failed, url_problems, web_workload

_OPTIONS = (
    valued("-n", check=whole(1, 10_000_000)),
    valued("-c", check=whole(1, MAX_CLIENTS)),
    valued("-t", check=whole(1, MAX_SECONDS)),
    valued("-s", check=whole(1, 600)),
    valued("-b", check=whole(1, 2**26)),
    valued("-m", check=one_of("GET", "HEAD")),
    valued("-H", check=matching(r"[A-Za-z0-9-]{1,60}: ?[ -~]{0,200}", "a header such as 'Accept-Encoding: gzip'")),
    flag("-k"),
    flag("-i"),
    flag("-q"),
    flag("-d"),
    flag("-S"),
    flag("-l"),
    flag("-r"),
    flag("-I"),
    refused("-p", because="sends a file"),
    refused("-u", because="sends a file"),
    refused("-T", because="sends a file"),
    refused("-g", because="writes a file"),
    refused("-e", because="writes a file"),
    refused("-E", because="reads a certificate from a file"),
    refused("-X", because="goes through a proxy"),
    refused("-B", because="binds an address of the machine"),
    refused("-A", because="holds a password"),
    refused("-P", because="holds a password"),
    refused("-C", because="holds a cookie"),
    refused("-v", because="prints every answer"),
    refused("-w", because="prints HTML, which is not read", takes=Takes.NOTHING),
)

_READINGS = (
    reading("requests_per_second", rf"Requests per second:\s+({NUMBER})"),
    reading("time_per_request_ms", rf"Time per request:\s+({NUMBER}) \[ms\] \(mean\)"),
    reading("transfer_rate_kib_per_second", rf"Transfer rate:\s+({NUMBER}) \[Kbytes/sec\]"),
    reading("complete_requests", r"Complete requests:\s+([0-9]+)"),
    reading("failed_requests", r"Failed requests:\s+([0-9]+)"),
    reading("total_time_seconds", rf"Time taken for tests:\s+({NUMBER}) seconds"),
    *(reading(f"latency_p{percent}_ms", rf"{percent}%\s+([0-9]+)") for percent in (50, 90, 95, 99)),
    reading("latency_max_ms", r"100%\s+([0-9]+) \(longest request\)"),
)
_ANSWERS = (
    reading("non_2xx", r"Non-2xx responses:\s+([0-9]+)"),
    reading("of_another_length", r"\(Connect: [0-9]+, Receive: [0-9]+, Length: ([0-9]+), Exceptions: [0-9]+\)"),
)

_COMPLETED = re.compile(r"Completed ([0-9]{1,12}) requests")
_DEFAULT_REQUESTS_OF_TIMED_RUN = 50_000

_PACKAGES: Mapping[str, str] = {"apt": "apache2-utils", "dnf": "httpd-tools"}


class AbAdapter(ToolAdapter):
    """What knobctl knows about ApacheBench 2.3."""

    program = "ab"
    title = "ab: HTTP requests to a web server"
    packages = _PACKAGES

    def metrics(self, argv: Sequence[str]) -> tuple[MetricSpec, ...]:
        """As the base class says. Percentiles are whole milliseconds, too coarse for an objective."""
        metrics = [
            MetricSpec("requests_per_second", "1/s", "maximize", "requests per second",
                       ("rps", "throughput", "req_per_sec", "requests_per_sec", "request_rate")),
            MetricSpec("time_per_request_ms", "ms", "minimize", "mean time of a request as one client sees it",
                       ("latency", "latency_ms", "average_latency", "latency_average_ms", "avg_latency",
                        "mean_latency", "latency_avg_ms", "time_per_request")),
            MetricSpec("transfer_rate_kib_per_second", "KiB/s", "maximize", "data received",
                       ("transfer_rate", "transfer_per_second")),
            MetricSpec("failed_requests", "", "minimize", "requests that failed or were answered with an error",
                       ("errors", "failures")),
            MetricSpec("complete_requests", "", "maximize", "requests answered"),
            MetricSpec("total_time_seconds", "s", "minimize", "duration of the test", ("total_time",)),
        ]  # fmt: skip
        if not _parse(argv).has("-d"):
            metrics += [
                MetricSpec(f"latency_p{percent}_ms", "ms", "minimize", f"{percent} % of the requests were faster",
                           (f"p{percent}", f"p{percent}_latency", f"latency_p{percent}", f"p{percent}_latency_ms"))
                for percent in (50, 90, 95, 99)
            ]  # fmt: skip
            metrics.append(MetricSpec("latency_max_ms", "ms", "minimize", "slowest request", ("max_latency",)))
        return tuple(metrics)

    def problems(self, argv: Sequence[str]) -> list[str]:
        """As the base class says."""
        parsed = _parse(argv)
        problems = [*program_problems(self.program, argv), *parsed.problems, *url_problems(self.program, parsed.words)]
        if not (parsed.has("-n") or parsed.has("-t")):
            problems.append("ab without -n sends a single request: add -n 20000")
        return problems

    def parse(self, argv: Sequence[str], output: str) -> dict[str, float]:
        """As the base class says. Answers other than 2xx count as failed requests, each of them once.

        An error page is mostly of another length than the page that was asked for, and then ab has counted it already.
        """
        metrics = read_metrics(output, _READINGS)
        if "failed_requests" in metrics:
            errors, of_another_length = _answers(output)
            metrics["failed_requests"] += errors - min(errors, of_another_length)
        return metrics

    def arguments(self, argv: Sequence[str]) -> Arguments:
        """As the base class says."""
        return _parse(argv)

    def run_seconds(self, argv: Sequence[str]) -> float | None:
        """The value of ``-t``, which is an upper bound; unknown without it."""
        parsed = _parse(argv)
        return max(0.0, parsed.number("-t", 0.0)) if parsed.has("-t") else None

    def progress(
        self, argv: Sequence[str], line: str, seconds: float, previous: ProgressLine | None
    ) -> ProgressLine | None:
        """Reads ``Completed 2000 requests``: the rate since the line before it."""
        match = _COMPLETED.search(line)
        count = parse_number(match.group(1)) if match else None
        if count is None:
            return None
        since, before = (previous.seconds, previous.done) if previous else (0.0, 0.0)
        rate = (count - before) / (seconds - since) if seconds - since > 1e-6 and count > before else None
        parsed = _parse(argv)
        total = parsed.number("-n", _DEFAULT_REQUESTS_OF_TIMED_RUN)
        of_time = seconds / max(parsed.number("-t", math.inf), 1.0)
        metrics = {} if rate is None else {"requests_per_second": rate}
        return ProgressLine(seconds, metrics, min(1.0, max(of_time, count / max(total, 1.0))), count)

    def complaint(self, argv: Sequence[str], metrics: Mapping[str, float], output: str) -> str:
        """A run in which every request failed measured nothing. An answer of another length may be a good one."""
        errors, of_another_length = _answers(output)
        printed = read_metrics(output, _READINGS).get("failed_requests", 0.0)
        return all_failed("ab", metrics.get("complete_requests", 0.0), printed - of_another_length + errors)

    def workload(
        self, argv: Sequence[str], target: Target, objective: str, reset_command: Sequence[str], reader: ToolAdapter
    ) -> Workload:
        """On the server that the URL means."""
        words = _parse(argv).words
        return web_workload(reader, argv, target, objective, reset_command, words, ("-q", "-d", "-n", "1"))


def _answers(output: str) -> tuple[float, float]:
    """How many answers were errors, and how many were of another length than the first one."""
    counts = read_metrics(output, _ANSWERS)
    return counts.get("non_2xx", 0.0), counts.get("of_another_length", 0.0)


def _parse(argv: Sequence[str]) -> Arguments:
    return parse_arguments("ab", Style.GETOPT, _OPTIONS, argv[1:])
