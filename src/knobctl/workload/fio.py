"""fio: file I/O in all its shapes, described by options (job files are left out), read from its JSON output."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from knobctl.target import Target
from knobctl.workload.arguments import (
    MAX_BUFFER_BYTES,
    MAX_DATA_BYTES,
    MAX_SECONDS,
    Arguments,
    Option,
    Style,
    Takes,
    matching,
    one_of,
    parse_arguments,
    program_problems,
    refused,
    size,
    size_in_bytes,
    valued,
    whole,
)
from knobctl.workload.base import MetricSpec, Workload
from knobctl.workload.file_load import FileLoad
from knobctl.workload.reading import MEBIBYTES, MILLISECONDS, NUMBER, finite, parse_number
from knobctl.workload.tool import ToolAdapter

_PATTERNS = ("read", "write", "randread", "randwrite", "rw", "readwrite", "randrw")
_ENGINES = ("sync", "psync", "vsync", "pvsync", "pvsync2", "libaio", "io_uring", "posixaio", "mmap")
_NAME = matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}", "a plain name without a path")
_TIME = matching(r"[0-9]{1,4}s?", "seconds")


def _yes(*names: str) -> Option:
    return Option(names, Takes.MAYBE, one_of("0", "1"))


_OPTIONS = (
    valued("--name", check=_NAME),
    valued("--filename", check=_NAME),
    valued("--rw", "--readwrite", check=one_of(*_PATTERNS)),
    valued("--bs", "--blocksize", check=size(512, 2**28)),
    valued("--size", check=size(2**12, MAX_DATA_BYTES)),
    valued("--filesize", check=size(2**12, MAX_DATA_BYTES)),
    valued("--io_size", check=size(2**12, 16 * MAX_DATA_BYTES)),
    valued("--nrfiles", check=whole(1, 1024)),
    valued("--numjobs", check=whole(1, 256)),
    valued("--iodepth", check=whole(1, 4096)),
    valued("--ioengine", check=one_of(*_ENGINES)),
    valued("--runtime", check=lambda text: _TIME(text) or whole(1, MAX_SECONDS)(text.rstrip("s"))),
    valued("--ramp_time", check=lambda text: _TIME(text) or whole(0, 600)(text.rstrip("s"))),
    valued("--loops", check=whole(1, 1000)),
    valued("--rwmixread", check=whole(0, 100)),
    valued("--rwmixwrite", check=whole(0, 100)),
    valued("--fsync", check=whole(0, 10**9)),
    valued("--fdatasync", check=whole(0, 10**9)),
    valued("--randseed", check=whole(0, 2**63)),
    valued("--random_distribution", check=matching(r"random|(?:zipf|pareto|normal):[0-9.]{1,8}", "random or zipf:1.1")),
    valued("--fallocate", check=one_of("none", "native", "posix", "keep", "truncate", "0", "1")),
    valued("--output-format", check=one_of("json", "json+", "normal")),
    valued("--eta", check=one_of("never", "auto", "always")),
    *(_yes(f"--{name}") for name in (
        "direct", "buffered", "sync", "time_based", "group_reporting", "thread", "end_fsync", "fsync_on_close",
        "invalidate", "overwrite", "norandommap", "randrepeat", "refill_buffers", "zero_buffers", "stonewall",
        "create_on_open", "unlink", "gtod_reduce",
    )),
    *(refused(f"--{name}", because=because) for because, names in (
        ("writes outside the work folder", ("directory", "opendir", "filename_format", "lockfile", "aux-path",
                                            "allow_mounted_write", "replay_redirect")),
        ("writes a file", ("output", "daemonize", "write_iolog", "verify_state_save", "verify_dump")),
        ("reads a file", ("read_iolog", "merge_blktrace_file", "verify_state_load", "inflate-log", "section")),
        ("runs another program", ("exec_prerun", "exec_postrun", "trigger", "trigger-file", "trigger-timeout",
                                  "trigger-remote", "profile")),
        ("works on another machine", ("client", "remote-config", "hostname")),
        ("writes log files", ("write_bw_log", "write_lat_log", "write_iops_log", "write_hist_log", "bandwidth-log")),
        ("changes a setting of the kernel", ("ioscheduler", "cgroup", "cgroup_weight", "cgroup_nodelete")),
        ("runs as another user", ("uid", "gid")),
        ("takes memory or the processor from everything else", ("lockmem", "nice", "prio", "prioclass", "cpumask",
                                                                "cpus_allowed", "numa_mem_policy", "mem")),
        ("prints several reports where one is read", ("status-interval",)),
    ) for name in names),
    refused("--server", because="listens for other machines", takes=Takes.MAYBE),
)  # fmt: skip

_PERCENTILES = {"50.000000": 50, "95.000000": 95, "99.000000": 99}
_MAX_DOCUMENTS = 50

_GROUP = re.compile(
    rf"^[ \t]*(read|write)\s*:\s*IOPS=({NUMBER})([kMG]?), BW=({NUMBER})([KMGT]?)iB/s", re.MULTILINE | re.IGNORECASE
)
_MEAN = re.compile(
    rf"^[ \t]*lat \((nsec|usec|msec|sec)\)\s*: min=.*?, avg=\s*({NUMBER}), stdev=", re.MULTILINE | re.IGNORECASE
)
_THOUSANDS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}

_PACKAGES: Mapping[str, str] = {"apt": "fio", "dnf": "fio"}


class FioAdapter(ToolAdapter):
    """What knobctl knows about fio 3 (and the JSON of fio 2)."""

    program = "fio"
    title = "fio: file I/O with a chosen pattern"
    packages = _PACKAGES

    def metrics(self, argv: Sequence[str]) -> tuple[MetricSpec, ...]:
        """As the base class says; speeds come first, those of the direction that the pattern uses."""
        pattern = _parse(argv).text("--rw", "read")
        reads, writes = _directions(pattern)
        metrics: list[MetricSpec] = []
        for used, side, verb, names in (
            (writes, "written", "write", ("write_throughput", "write_bandwidth", "write_mib_per_second", "write_bw")),
            (reads, "read", "read", ("read_throughput", "read_bandwidth", "read_bw")),
        ):
            if not used:
                continue
            alone = ("throughput", "bandwidth", "mib_per_second", "bw") if not (reads and writes) else ()
            rate = ("iops", "operations_per_second") if not (reads and writes) else ()
            speed = MetricSpec(f"{side}_mib_per_second", "MiB/s", "maximize", f"data {side}", (*names, *alone))
            operations = MetricSpec(f"{verb}s_per_second", "1/s", "maximize", f"{verb} operations",
                                    (f"{verb}_iops", *rate))  # fmt: skip
            metrics += [operations, speed] if pattern.startswith("rand") else [speed, operations]
        if reads and writes:
            metrics += [
                MetricSpec("operations_per_second", "1/s", "maximize", "reads and writes together", ("iops",)),
                MetricSpec("mib_per_second", "MiB/s", "maximize", "read and written together",
                           ("throughput", "bandwidth", "bw")),
            ]  # fmt: skip
        for used, verb in ((writes, "write"), (reads, "read")):
            if used:
                metrics.append(MetricSpec(f"{verb}_latency_average_ms", "ms", "minimize", f"mean time of a {verb}"))
                metrics += [
                    MetricSpec(f"{verb}_latency_p{percent}_ms", "ms", "minimize", f"{percent} % were faster")
                    for percent in _PERCENTILES.values()
                ]
        return tuple(metrics)

    def problems(self, argv: Sequence[str]) -> list[str]:
        """As the base class says."""
        parsed = _parse(argv)
        problems = [*program_problems(self.program, argv), *parsed.problems]
        problems += [
            f"fio job file {word[:80]!r} needs your own consent: give options instead" for word in parsed.words
        ]
        if not parsed.has("--name"):
            problems.append("fio needs --name for its job")
        if not (parsed.has("--size") or parsed.has("--filesize")):
            problems.append("fio needs --size for its file")
        total, buffers = _bytes_of_files(parsed), _bytes_of_buffers(parsed)
        if total > MAX_DATA_BYTES:
            problems.append(f"fio would make {total / 2**30:.0f} GiB of files: --size times --numjobs is limited to"
                            f" {MAX_DATA_BYTES >> 30} GiB")  # fmt: skip
        if buffers > MAX_BUFFER_BYTES:
            problems.append(f"fio would take {buffers / 2**30:.0f} GiB of memory: --bs times --iodepth times --numjobs"
                            f" is limited to {MAX_BUFFER_BYTES >> 30} GiB")  # fmt: skip
        if parsed.has("--time_based") and not parsed.has("--runtime"):
            problems.append("fio --time_based never ends without --runtime")
        return problems

    def parse(self, argv: Sequence[str], output: str) -> dict[str, float]:
        """As the base class says. Jobs are added up; of their percentiles the worst counts."""
        documents = list(_documents(output))
        metrics = _from_json(documents[-1]) if documents else _from_text(output)
        for name, parts in (("operations_per_second", ("reads_per_second", "writes_per_second")),
                            ("mib_per_second", ("read_mib_per_second", "written_mib_per_second"))):  # fmt: skip
            found = [metrics[part] for part in parts if part in metrics]
            if found:
                metrics[name] = sum(found)
        return finite(metrics)

    def arguments(self, argv: Sequence[str]) -> Arguments:
        """As the base class says."""
        return _parse(argv)

    def run_seconds(self, argv: Sequence[str]) -> float | None:
        """``--runtime`` and ``--ramp_time``; unknown when the size ends the run."""
        parsed = _parse(argv)
        if not (parsed.has("--time_based") and parsed.has("--runtime")):
            return None
        runtime, ramp = (parse_number(parsed.text(name).rstrip("s")) or 0.0 for name in ("--runtime", "--ramp_time"))
        return max(0.0, runtime + ramp)

    def complete(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Adds ``--output-format=json``."""
        return tuple(argv) if _parse(argv).has("--output-format") else (*argv, "--output-format=json")

    def complaint(self, argv: Sequence[str], metrics: Mapping[str, float], output: str) -> str:
        """A run without a single operation measured nothing."""
        return "fio finished no operation" if metrics.get("operations_per_second") == 0 else ""

    def workload(
        self, argv: Sequence[str], target: Target, objective: str, reset_command: Sequence[str], reader: ToolAdapter
    ) -> Workload:
        """On files of its own in the work folder; fio makes them itself."""
        parsed = _parse(argv)
        # fio calls a file JOB.NUMBER.FILE unless it is told otherwise.
        names = [*(f"{name}.*" for name in parsed.values.get("--name", ())), *parsed.values.get("--filename", ())]
        reads, _ = _directions(parsed.text("--rw", "read"))
        return FileLoad(reader, argv, target, objective, reset_command, names or ["*.0"], reads)


def _bytes_of_files(parsed: Arguments) -> float:
    """At most so many: every job with the largest sizes and the largest number of processes that any of them names."""
    size_of_all = _largest(parsed, "--size", size_in_bytes)
    size_of_each = _largest(parsed, "--filesize", size_in_bytes) * max(1, _largest(parsed, "--nrfiles", parse_number))
    return max(size_of_all, size_of_each) * _processes(parsed)


def _bytes_of_buffers(parsed: Arguments) -> float:
    depth = max(1, _largest(parsed, "--iodepth", parse_number))
    return _largest(parsed, "--bs", size_in_bytes) * depth * _processes(parsed)


def _processes(parsed: Arguments) -> float:
    return max(1, len(parsed.values.get("--name", ()))) * max(1, _largest(parsed, "--numjobs", parse_number))


def _largest(parsed: Arguments, name: str, read: Callable[[str], float | None]) -> float:
    return max((read(text) or 0 for text in parsed.values.get(name, ())), default=0)


def _directions(pattern: str) -> tuple[bool, bool]:
    both = pattern in ("rw", "readwrite", "randrw")
    return both or pattern in ("read", "randread"), both or pattern in ("write", "randwrite")


def _documents(output: str) -> Iterator[Mapping[str, Any]]:
    """Every JSON report in the output, whatever stands around it."""
    decoder = json.JSONDecoder()
    position, tried = 0, 0
    for match in re.finditer(r"^\{", output, re.MULTILINE):
        if match.start() < position or tried >= _MAX_DOCUMENTS:
            continue
        tried += 1
        try:
            document, position = decoder.raw_decode(output, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict) and isinstance(document.get("jobs"), list):
            yield document


def _from_json(document: Mapping[str, Any]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for side, speed, verb in (("read", "read_mib_per_second", "read"), ("write", "written_mib_per_second", "write")):
        reports = [_mapping(_mapping(job).get(side)) for job in document["jobs"]]
        used = [report for report in reports if _number(report.get("iops"))]
        if not used:
            continue
        metrics[f"{verb}s_per_second"] = sum(_number(report.get("iops")) for report in used)
        # "bw" is in KiB/s in every version.
        metrics[speed] = sum(_number(report.get("bw")) for report in used) / 1024
        weights = [_number(report.get("total_ios")) for report in used]
        means = [_latency(report, "lat", "mean") for report in used]
        if all(mean is not None for mean in means) and sum(weights) > 0:
            pairs = zip(means, weights, strict=True)
            metrics[f"{verb}_latency_average_ms"] = sum((mean or 0.0) * weight for mean, weight in pairs) / sum(weights)
        for key, percent in _PERCENTILES.items():
            tails = [tail for report in used if (tail := _latency(report, "clat", "percentile", key)) is not None]
            if tails:
                metrics[f"{verb}_latency_p{percent}_ms"] = max(tails)
    return metrics


def _latency(report: Mapping[str, Any], kind: str, *path: str) -> float | None:
    """A latency in milliseconds: fio 3 prints nanoseconds under ``lat_ns``, fio 2 microseconds under ``lat``."""
    for key, factor in ((f"{kind}_ns", 1e-6), (kind, 1e-3)):
        value: Any = report.get(key)
        for step in path:
            value = _mapping(value).get(step)
        if value is not None:
            return _number(value) * factor
    return None


def _from_text(output: str) -> dict[str, float]:
    metrics: dict[str, float] = {}
    side = ""
    for line in output.splitlines():
        if group := _GROUP.match(line):
            side = group.group(1).lower()
            speed = "read_mib_per_second" if side == "read" else "written_mib_per_second"
            rate, amount = parse_number(group.group(2)), parse_number(group.group(4))
            if rate is None or amount is None:
                continue
            operations = f"{side}s_per_second"
            metrics[operations] = metrics.get(operations, 0.0) + rate * _THOUSANDS[group.group(3).lower()]
            metrics[speed] = metrics.get(speed, 0.0) + amount * MEBIBYTES[group.group(5).lower() or "b"]
        elif side and (mean := _MEAN.match(line)):
            average = parse_number(mean.group(2))
            if average is not None:
                metrics[f"{side}_latency_average_ms"] = average * MILLISECONDS[mean.group(1).lower()]
    return metrics


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    """The number that a JSON value is; not a number otherwise, which is left out later."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan if value is not None else 0.0
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _parse(argv: Sequence[str]) -> Arguments:
    return parse_arguments("fio", Style.LONG, _OPTIONS, argv[1:])
