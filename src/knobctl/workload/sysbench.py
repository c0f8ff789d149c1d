"""sysbench: its built-in tests of CPU, memory, threads, mutexes and file I/O, versions 0.4 to 1.1.

The database tests are Lua programs and are left out: what they run could be anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from knobctl.target import Target
from knobctl.workload.arguments import (
    MAX_BUFFER_BYTES,
    MAX_CLIENTS,
    MAX_DATA_BYTES,
    MAX_SECONDS,
    Arguments,
    Style,
    decimal,
    matching,
    one_of,
    parse_arguments,
    program_problems,
    refused,
    size,
    size_in_bytes,
    switch,
    valued,
    whole,
)
from knobctl.workload.base import MetricSpec, Workload
from knobctl.workload.file_load import SysbenchFiles
from knobctl.workload.reading import MEBIBYTES, NUMBER, finite, parse_number, read_metrics, reading
from knobctl.workload.tool import ProgressLine, ToolAdapter

TESTS = ("cpu", "memory", "threads", "mutex", "fileio")
MODES = ("seqwr", "seqrewr", "seqrd", "rndrd", "rndwr", "rndrw")

_DEFAULT_SECONDS = 10.0
_MAX_EVENTS = 10**12

_OPTIONS = (
    valued("--test", check=one_of(*TESTS)),
    valued("--threads", "--num-threads", check=whole(1, MAX_CLIENTS)),
    valued("--time", "--max-time", check=whole(1, MAX_SECONDS)),
    valued("--events", "--max-requests", check=whole(0, _MAX_EVENTS)),
    valued("--rate", "--tx-rate", check=whole(0, 10**9)),
    valued("--report-interval", check=whole(0, 60)),
    valued("--warmup-time", check=whole(0, 600)),
    valued("--percentile", check=whole(0, 100)),
    valued("--thread-stack-size", check=size(2**14, 2**30)),
    valued("--forced-shutdown", check=matching(r"off|[0-9]{1,4}", "off or seconds")),
    valued("--rand-type", check=one_of("uniform", "gaussian", "special", "pareto", "zipfian")),
    valued("--rand-seed", check=whole(0, 2**31)),
    valued("--verbosity", check=whole(0, 3)),
    switch("--histogram"),
    switch("--init-rng"),
    valued("--cpu-max-prime", check=whole(3, 10**7)),
    valued("--memory-block-size", check=size(1, 2**30)),
    valued("--memory-total-size", check=size(1, 2**60)),
    valued("--memory-scope", check=one_of("global", "local")),
    valued("--memory-oper", check=one_of("read", "write", "none")),
    valued("--memory-access-mode", check=one_of("seq", "rnd")),
    switch("--memory-hugetlb"),
    valued("--thread-yields", check=whole(1, 10**6)),
    valued("--thread-locks", check=whole(1, 10**5)),
    valued("--mutex-num", check=whole(1, 10**6)),
    valued("--mutex-locks", check=whole(1, 10**8)),
    valued("--mutex-loops", check=whole(0, 10**8)),
    valued("--file-num", check=whole(1, 1024)),
    valued("--file-block-size", check=size(512, 2**28)),
    valued("--file-total-size", check=size(2**16, MAX_DATA_BYTES)),
    valued("--file-test-mode", check=one_of(*MODES)),
    valued("--file-io-mode", check=one_of("sync", "async", "mmap")),
    valued("--file-async-backlog", check=whole(1, 10**5)),
    valued("--file-extra-flags", check=matching(r"(?:sync|dsync|direct)(?:,(?:sync|dsync|direct))*",
                                                "sync, dsync or direct")),
    valued("--file-fsync-freq", check=whole(0, 10**9)),
    valued("--file-fsync-mode", check=one_of("fsync", "fdatasync")),
    valued("--file-merged-requests", check=whole(0, 10**6)),
    valued("--file-rw-ratio", check=decimal(0, 1000)),
    switch("--file-fsync-all"),
    switch("--file-fsync-end"),
    refused("--config-file", because="reads options from a file"),
    refused("--luajit-cmd", because="runs Lua"),
    *(refused(f"--{name}", because="connects to a database server") for name in (
        "mysql-host", "mysql-port", "mysql-socket", "mysql-user", "mysql-password", "mysql-db", "pgsql-host",
        "pgsql-port", "pgsql-user", "pgsql-password", "pgsql-db", "db-driver",
    )),
)  # fmt: skip

_PREPARED_WITH = ("--file-num", "--file-block-size", "--file-total-size", "--file-io-mode", "--file-extra-flags")

_READINGS = (
    reading("events_per_second", rf"events per second:\s+({NUMBER})"),
    reading("events_per_second", rf"events/s \(eps\):\s+({NUMBER})"),
    reading("total_events", r"total number of events:\s+([0-9]+)"),
    reading("total_time_seconds", rf"total time:\s+({NUMBER})s"),
    reading("total_time_seconds", rf"time elapsed:\s+({NUMBER})s"),
    reading("operations_per_second", rf"Total operations: [0-9]+ \(\s*({NUMBER}) per second"),
    reading("operations_per_second", rf"Operations performed: [0-9]+ \(\s*({NUMBER}) ops/sec"),
    reading("mib_per_second", rf"{NUMBER} Mi?B transferred \(({NUMBER}) Mi?B/sec\)"),
    reading("reads_per_second", rf"reads/s:\s+({NUMBER})"),
    reading("writes_per_second", rf"writes/s:\s+({NUMBER})"),
    reading("fsyncs_per_second", rf"fsyncs/s:\s+({NUMBER})"),
    reading("read_mib_per_second", rf"read, MiB/s:\s+({NUMBER})"),
    reading("written_mib_per_second", rf"written, MiB/s:\s+({NUMBER})"),
    reading("reads_per_second", rf"read:\s+IOPS=({NUMBER}) {NUMBER} MiB/s"),
    reading("writes_per_second", rf"write:\s+IOPS=({NUMBER}) {NUMBER} MiB/s"),
    reading("fsyncs_per_second", rf"fsync:\s+IOPS=({NUMBER})[ \t]*$"),
    reading("read_mib_per_second", rf"read:\s+IOPS={NUMBER} ({NUMBER}) MiB/s"),
    reading("written_mib_per_second", rf"write:\s+IOPS={NUMBER} ({NUMBER}) MiB/s"),
    reading("operations_per_second", rf"({NUMBER}) Requests/sec executed"),
    reading("latency_min_ms", rf"min:\s+({NUMBER})(?:ms)?[ \t]*$"),
    reading("latency_average_ms", rf"avg:\s+({NUMBER})(?:ms)?[ \t]*$"),
    reading("latency_max_ms", rf"max:\s+({NUMBER})(?:ms)?[ \t]*$"),
)  # fmt: skip
_PERCENTILE = re.compile(
    rf"^[ \t]*(?:approx\.\s+)?([0-9]{{1,3}})(?:st|nd|rd|th)? percentile:\s+({NUMBER})(?:ms)?[ \t]*$", re.MULTILINE
)
_OLD_TRANSFER = re.compile(
    rf"^[ \t]*Read ({NUMBER})([KMGT]?)b\s+Written ({NUMBER})([KMGT]?)b\s+Total transferred ({NUMBER})([KMGT]?)b\s+"
    rf"\(({NUMBER})([KMGT]?)b/sec\)",
    re.MULTILINE,
)

_INTERVAL = re.compile(r"^\[ *([0-9]{1,9})s *\] *(.*)$")
_INTERVAL_PARTS = (
    reading("events_per_second", rf".*\beps: ({NUMBER})"),
    reading("mib_per_second", rf"({NUMBER}) Mi?B/sec"),
    reading("read_mib_per_second", rf".*\breads: ({NUMBER}) MiB/s"),
    reading("written_mib_per_second", rf".*\bwrites: ({NUMBER}) MiB/s"),
    reading("fsyncs_per_second", rf".*\bfsyncs: ({NUMBER})/s"),
)
_INTERVAL_LATENCY = re.compile(rf"lat(?:ency)? \(ms,([0-9]{{1,3}})%\): ({NUMBER})")

_LATENCY_MAX_MS = 1e9
"""Version 0.4 prints 18446744073709.55 for the fastest of no requests."""

_PACKAGES: Mapping[str, str] = {"apt": "sysbench", "dnf": "sysbench"}


class SysbenchAdapter(ToolAdapter):
    """What knobctl knows about sysbench."""

    program = "sysbench"
    title = "sysbench: CPU, memory, threads, mutexes, file I/O"
    packages = _PACKAGES

    def metrics(self, argv: Sequence[str]) -> tuple[MetricSpec, ...]:
        """As the base class says; the first one depends on the test and, for files, on the mode."""
        parsed = _parse(argv)
        return (*_own_metrics(_test(parsed), parsed.text("--file-test-mode")), *_common_metrics(parsed))

    def problems(self, argv: Sequence[str]) -> list[str]:
        """As the base class says."""
        parsed = _parse(argv)
        problems = [*program_problems(self.program, argv), *parsed.problems]
        words = list(parsed.words)
        test = parsed.text("--test") or (words.pop(0) if words and words[0] != "run" else "")
        if test not in TESTS:
            known = ", ".join(TESTS)
            problems.append(f"sysbench test {test[:80]!r} needs your own consent: known are {known}; others run Lua")
        if words != ["run"]:
            problems.append(f"the sysbench command must end with run, not {' '.join(words)[:80]!r}")
        buffers = 1 if parsed.text("--memory-scope", "global") == "global" else int(parsed.number("--threads", 1))
        memory = (size_in_bytes(parsed.text("--memory-block-size")) or 0) * buffers
        if memory > MAX_BUFFER_BYTES:
            problems.append(f"sysbench would take {memory / 2**30:.0f} GiB of memory: --memory-block-size (for each"
                            f" thread if --memory-scope=local) is limited to {MAX_BUFFER_BYTES >> 30} GiB")  # fmt: skip
        if test == "fileio" and not parsed.has("--file-test-mode"):
            problems.append(f"sysbench fileio needs --file-test-mode, one of {', '.join(MODES)}")
        return problems

    def parse(self, argv: Sequence[str], output: str) -> dict[str, float]:
        """As the base class says. Events per second are computed where the tool prints only their number and time."""
        metrics = read_metrics(output, _READINGS)
        for match in _PERCENTILE.finditer(output):
            value = parse_number(match.group(2))
            if value is not None:
                metrics[f"latency_p{int(match.group(1))}_ms"] = value
        metrics.update(_old_file_metrics(output, metrics))
        events, seconds = metrics.get("total_events"), metrics.get("total_time_seconds")
        if "events_per_second" not in metrics and events is not None and seconds:
            metrics["events_per_second"] = events / seconds
        if "reads_per_second" in metrics and "writes_per_second" in metrics:
            metrics["operations_per_second"] = metrics["reads_per_second"] + metrics["writes_per_second"]
        if "read_mib_per_second" in metrics and "written_mib_per_second" in metrics:
            metrics["mib_per_second"] = metrics["read_mib_per_second"] + metrics["written_mib_per_second"]
        return {
            name: value
            for name, value in finite(metrics).items()
            if not (name.startswith("latency_") and value > _LATENCY_MAX_MS)
        }

    def arguments(self, argv: Sequence[str]) -> Arguments:
        """As the base class says."""
        return _parse(argv)

    def run_seconds(self, argv: Sequence[str]) -> float | None:
        """``--time``, or 10 s, and ``--warmup-time``; unknown when a number of events ends the run, and for mutexes."""
        parsed = _parse(argv)
        counted = parsed.number("--events", 0) > 0 and not parsed.has("--time")
        if counted or _test(parsed) == "mutex":
            return None
        return max(0.0, parsed.number("--time", _DEFAULT_SECONDS) + parsed.number("--warmup-time", 0))

    def lasting(self, argv: Sequence[str], seconds: int) -> tuple[str, ...]:
        """As the base class says; of two durations the last one counts."""
        return (*argv[:-1], f"--time={seconds}", *argv[-1:]) if self.run_seconds(argv) is not None else ()

    def complete(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Adds ``--report-interval=1``."""
        if _parse(argv).has("--report-interval") or len(argv) < 2:
            return tuple(argv)
        return (*argv[:-1], "--report-interval=1", *argv[-1:])

    def progress(
        self, argv: Sequence[str], line: str, seconds: float, previous: ProgressLine | None
    ) -> ProgressLine | None:
        """Reads ``[ 1s ] thds: 2 eps: 7140.93 lat (ms,95%): 0.31`` and its relatives."""
        match = _INTERVAL.match(line.strip())
        second = parse_number(match.group(1)) if match else None
        if match is None or second is None:
            return None
        metrics = read_metrics(match.group(2), _INTERVAL_PARTS)
        latency = _INTERVAL_LATENCY.search(match.group(2))
        if latency and (value := parse_number(latency.group(2))) is not None:
            metrics[f"latency_p{int(latency.group(1))}_ms"] = value
        if "read_mib_per_second" in metrics and "written_mib_per_second" in metrics:
            metrics["mib_per_second"] = metrics["read_mib_per_second"] + metrics["written_mib_per_second"]
        return ProgressLine(second, metrics)

    def complaint(self, argv: Sequence[str], metrics: Mapping[str, float], output: str) -> str:
        """A run without a single event measured nothing."""
        return "sysbench finished no event" if metrics.get("total_events") == 0 else ""

    def workload(
        self, argv: Sequence[str], target: Target, objective: str, reset_command: Sequence[str], reader: ToolAdapter
    ) -> Workload:
        """With its files prepared, for the file test."""
        parsed = _parse(argv)
        if _test(parsed) != "fileio":
            return super().workload(argv, target, objective, reset_command, reader)
        layout = [f"{name}={parsed.text(name)}" for name in _PREPARED_WITH if parsed.has(name)]
        reads = parsed.text("--file-test-mode") in ("seqrd", "rndrd", "rndrw")
        return SysbenchFiles(reader, argv, target, objective, reset_command, layout, reads)


def _own_metrics(test: str, mode: str) -> tuple[MetricSpec, ...]:
    alone = ("throughput",) if test in ("cpu", "threads") else ()
    events = MetricSpec("events_per_second", "1/s", "maximize", "events per second", ("eps", *alone))
    operations = MetricSpec("operations_per_second", "1/s", "maximize", "reads and writes per second",
                            ("iops", "ops_per_sec", "operations_per_sec"))  # fmt: skip
    if test == "memory":
        speed = MetricSpec(
            "mib_per_second",
            "MiB/s",
            "maximize",
            "memory transferred",
            ("throughput", "bandwidth", "transfer_rate", "memory_throughput", "memory_bandwidth"),
        )
        return (speed, operations, events)  # fmt: skip
    if test != "fileio":
        return () if test == "mutex" else (events,)
    both = MetricSpec("mib_per_second", "MiB/s", "maximize", "read and written together",
                      ("throughput", "bandwidth", "total_mib_per_second") if mode == "rndrw" else ())  # fmt: skip
    read = MetricSpec("read_mib_per_second", "MiB/s", "maximize", "read from files",
                      ("read_throughput", "read_bandwidth", "read_mib", *(_main(mode, "seqrd", "rndrd"))))  # fmt: skip
    written = MetricSpec("written_mib_per_second", "MiB/s", "maximize", "written to files",
                         ("write_throughput", "write_bandwidth", "write_mib_per_second", "written_throughput",
                          *(_main(mode, "seqwr", "seqrewr", "rndwr"))))  # fmt: skip
    speeds = {"seqrd": (read, both, written), "rndrd": (read, both, written), "rndrw": (both, read, written)}
    return (
        *speeds.get(mode, (written, both, read)),
        operations,
        MetricSpec("reads_per_second", "1/s", "maximize", "read operations", ("read_iops",)),
        MetricSpec("writes_per_second", "1/s", "maximize", "write operations", ("write_iops",)),
        MetricSpec("fsyncs_per_second", "1/s", "maximize", "fsync calls", ("fsync_rate", "fsyncs")),
        events,
    )


def _main(mode: str, *modes: str) -> tuple[str, ...]:
    """What people call the one speed that matters in these modes."""
    return ("throughput", "bandwidth") if mode in modes else ()


def _common_metrics(parsed: Arguments) -> tuple[MetricSpec, ...]:
    percentile = int(parsed.number("--percentile", 95))
    tail = () if percentile == 0 else (
        MetricSpec(f"latency_p{percentile}_ms", "ms", "minimize", f"{percentile} % of the events were faster",
                   (f"p{percentile}", f"p{percentile}_latency", f"latency_p{percentile}", f"p{percentile}_latency_ms")),
    )  # fmt: skip
    return (
        MetricSpec("total_time_seconds", "s", "minimize", "duration of the test",
                   ("total_time", "execution_time", "elapsed_time")),
        MetricSpec("latency_average_ms", "ms", "minimize", "mean time of an event",
                   ("latency", "latency_ms", "average_latency", "avg_latency", "mean_latency", "latency_avg_ms")),
        *tail,
        MetricSpec("latency_min_ms", "ms", "minimize", "fastest event", ("min_latency",)),
        MetricSpec("latency_max_ms", "ms", "minimize", "slowest event", ("max_latency",)),
        MetricSpec("total_events", "", "maximize", "events finished"),
    )  # fmt: skip


def _old_file_metrics(output: str, known: Mapping[str, float]) -> dict[str, float]:
    """What versions up to 0.5 print of files: amounts and one speed for reads and writes together."""
    found: dict[str, float] = {}
    for match in _OLD_TRANSFER.finditer(output):
        numbers = [parse_number(text) for text in match.groups()[::2]]
        read, written, total, speed = (
            None if number is None else number * MEBIBYTES[unit.lower() or "b"]
            for number, unit in zip(numbers, match.groups()[1::2], strict=True)
        )
        if read is None or written is None or speed is None or not total:
            continue
        found["mib_per_second"] = speed
        found["read_mib_per_second"] = speed * read / total
        found["written_mib_per_second"] = speed * written / total
    return {name: value for name, value in found.items() if name not in known}


def _test(parsed: Arguments) -> str:
    return parsed.text("--test") or next(iter(parsed.words), "")


def _parse(argv: Sequence[str]) -> Arguments:
    return parse_arguments("sysbench", Style.EQUALS, _OPTIONS, argv[1:])
