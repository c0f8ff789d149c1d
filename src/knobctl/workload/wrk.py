"""wrk: HTTP requests over kept-alive connections, on a throw-away nginx unless the URL means the user's own server."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from knobctl.target import Target
from knobctl.workload.arguments import (
    MAX_CLIENTS,
    MAX_SECONDS,
    Arguments,
    Style,
    flag,
    matching,
    parse_arguments,
    program_problems,
    refused,
    valued,
    whole,
)
from knobctl.workload.base import MetricSpec, Workload
from knobctl.workload.reading import MEBIBYTES, MILLISECONDS, NUMBER, finite, parse_number, read_metrics, reading
from knobctl.workload.tool import ToolAdapter
from knobctl.workload.web import all_failed, url_problems, web_workload

_DEFAULT_SECONDS = 10.0
_TIME_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def _seconds(text: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,6})([smh]?)", text.lower())
    return int(match.group(1)) * _TIME_UNITS[match.group(2)] if match else None


def _duration(low: int, high: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        seconds = _seconds(text)
        return "" if seconds is not None and low <= seconds <= high else f"a time from {low}s to {high}s"

    return check


_OPTIONS = (
    valued("-c", "--connections", check=whole(1, MAX_CLIENTS)),
    valued("-t", "--threads", check=whole(1, 256)),
    valued("-d", "--duration", check=_duration(1, MAX_SECONDS)),
    valued("--timeout", check=_duration(1, 600)),
    valued(
        "-H",
        "--header",
        check=matching(r"[A-Za-z0-9-]{1,60}: ?[ -~]{0,200}", "a header such as 'Accept-Encoding: gzip'"),
    ),
    flag("--latency"),
    refused("-s", "--script", because="runs a Lua script"),
)

_TIME = rf"({NUMBER})(us|ms|s|m|h)"
_LATENCY = re.compile(rf"^[ \t]*Latency[ \t]+{_TIME}[ \t]+{_TIME}[ \t]+{_TIME}[ \t]", re.MULTILINE)
_PERCENTILE = re.compile(rf"^[ \t]*(50|75|90|99)(?:\.0+)?%[ \t]+{_TIME}[ \t]*$", re.MULTILINE)
_TRANSFER = re.compile(rf"^[ \t]*Transfer/sec:[ \t]+({NUMBER})([KMGT]?)B", re.MULTILINE)
_ERRORS = re.compile(r"Socket errors: connect ([0-9]+), read ([0-9]+), write ([0-9]+), timeout ([0-9]+)")
_READINGS = (
    reading("requests_per_second", rf"Requests/sec:\s+({NUMBER})"),
    reading("complete_requests", rf"([0-9]+) requests in {NUMBER}"),
)
_NON_2XX = (reading("non_2xx", r"Non-2xx or 3xx responses: ([0-9]+)"),)

_PACKAGES: Mapping[str, str] = {"apt": "wrk", "dnf": "wrk"}


class WrkAdapter(ToolAdapter):
    """What knobctl knows about wrk 4."""

    program = "wrk"
    title = "wrk: HTTP requests over kept-alive connections"
    packages = _PACKAGES

    def metrics(self, argv: Sequence[str]) -> tuple[MetricSpec, ...]:
        """As the base class says."""
        return (
            MetricSpec("requests_per_second", "1/s", "maximize", "requests per second",
                       ("rps", "throughput", "req_per_sec", "requests_per_sec", "request_rate")),
            MetricSpec("latency_average_ms", "ms", "minimize", "mean time of a request",
                       ("latency", "latency_ms", "average_latency", "avg_latency", "mean_latency", "latency_avg_ms")),
            *(
                MetricSpec(f"latency_p{percent}_ms", "ms", "minimize", f"{percent} % of the requests were faster",
                           (f"p{percent}", f"p{percent}_latency", f"latency_p{percent}", f"p{percent}_latency_ms"))
                for percent in (50, 75, 90, 99)
            ),
            MetricSpec("latency_stddev_ms", "ms", "minimize", "standard deviation of the latency",
                       ("latency_stddev", "jitter")),
            MetricSpec("latency_max_ms", "ms", "minimize", "slowest request", ("max_latency",)),
            MetricSpec("transfer_rate_mib_per_second", "MiB/s", "maximize", "data received",
                       ("transfer_rate", "transfer_per_second")),
            MetricSpec("failed_requests", "", "minimize", "socket errors and answers other than 2xx and 3xx",
                       ("errors", "failures")),
            MetricSpec("complete_requests", "", "maximize", "requests answered"),
        )  # fmt: skip

    def problems(self, argv: Sequence[str]) -> list[str]:
        """As the base class says."""
        parsed = _parse(argv)
        problems = [*program_problems(self.program, argv), *parsed.problems, *url_problems(self.program, parsed.words)]
        if parsed.number("-c", 10) < parsed.number("-t", 2):
            problems.append("wrk needs at least one connection per thread: raise -c or lower -t")
        return problems

    def parse(self, argv: Sequence[str], output: str) -> dict[str, float]:
        """As the base class says."""
        metrics = read_metrics(output, _READINGS)
        if "requests_per_second" not in metrics:
            return {}
        for match in _LATENCY.finditer(output):
            groups = match.groups()
            for position, name in enumerate(("latency_average_ms", "latency_stddev_ms", "latency_max_ms")):
                metrics[name] = _milliseconds(groups[2 * position], groups[2 * position + 1])
        for match in _PERCENTILE.finditer(output):
            metrics[f"latency_p{match.group(1)}_ms"] = _milliseconds(match.group(2), match.group(3))
        for match in _TRANSFER.finditer(output):
            amount, unit = match.groups()
            metrics["transfer_rate_mib_per_second"] = _number(amount) * MEBIBYTES[unit.lower() or "b"]
        errors = [sum(_number(count) for count in match.groups()) for match in _ERRORS.finditer(output)]
        metrics["failed_requests"] = (errors[-1] if errors else 0.0) + read_metrics(output, _NON_2XX).get(
            "non_2xx", 0.0
        )
        return finite(metrics)

    def arguments(self, argv: Sequence[str]) -> Arguments:
        """As the base class says."""
        return _parse(argv)

    def run_seconds(self, argv: Sequence[str]) -> float | None:
        """The value of ``-d``, or wrk's own 10 s."""
        parsed = _parse(argv)
        return float(_seconds(parsed.text("-d")) or _DEFAULT_SECONDS)

    def lasting(self, argv: Sequence[str], seconds: int) -> tuple[str, ...]:
        """As the base class says; of two durations the last one counts."""
        return (*argv, "-d", f"{seconds}s")

    def complete(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Adds ``--latency``, which prints percentiles."""
        return tuple(argv) if _parse(argv).has("--latency") else (*argv[:1], "--latency", *argv[1:])

    def complaint(self, argv: Sequence[str], metrics: Mapping[str, float], output: str) -> str:
        """A run in which no request was answered, or every one with an error, measured nothing.

        Socket errors are no part of the requests that wrk counts: they come on top of the answers.
        """
        requests = metrics.get("complete_requests", 0.0)
        if not requests:
            return "wrk got no answer at all"
        return all_failed("wrk", requests, read_metrics(output, _NON_2XX).get("non_2xx", 0.0))

    def workload(
        self, argv: Sequence[str], target: Target, objective: str, reset_command: Sequence[str], reader: ToolAdapter
    ) -> Workload:
        """On the server that the URL means."""
        words = _parse(argv).words
        return web_workload(reader, argv, target, objective, reset_command, words, ("-t1", "-c1", "-d1s"))


def _number(text: str) -> float:
    number = parse_number(text)
    return math.nan if number is None else number


def _milliseconds(text: str, unit: str) -> float:
    return _number(text) * MILLISECONDS[unit]


def _parse(argv: Sequence[str]) -> Arguments:
    return parse_arguments("wrk", Style.GETOPT, _OPTIONS, argv[1:])
