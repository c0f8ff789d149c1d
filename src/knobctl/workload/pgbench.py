"""pgbench: PostgreSQL transactions, on a throw-away server unless the arguments name the user's own.

The server is the user's own when ``-h``, ``-p`` or ``-U`` is given, or when the database is a connection string. Their
server is never initialised or reset; its tables have to be there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from knobctl.errors import KnobctlError, WorkloadError
from knobctl.target import Command, Target
from knobctl.workload.arguments import (
    MAX_CLIENTS,
    MAX_SECONDS,
    Arguments,
    Style,
    Takes,
    decimal,
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
from knobctl.workload.postgres import BINARY_FOLDERS, SERVER_PACKAGES, PostgresServer, find_binaries
from knobctl.workload.reading import NUMBER, parse_number, read_metrics, reading
from knobctl.workload.tool import ProgressLine, ToolAdapter, ToolWorkload, failure_of, locate, stop_if_tripped

DEFAULT_DATABASE = "bench"
_MAX_SCALE = 50
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_$-]{0,62}"
_FOLDER = r"(?:/[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}){1,8}/?"

_OPTIONS = (
    valued("-c", "--client", check=whole(1, MAX_CLIENTS)),
    valued("-j", "--jobs", check=whole(1, 256)),
    valued("-T", "--time", check=whole(1, MAX_SECONDS)),
    valued("-t", "--transactions", check=whole(1, 10_000_000)),
    valued("-M", "--protocol", check=one_of("simple", "extended", "prepared")),
    valued("-b", "--builtin", check=matching(r"(?:tpcb-like|simple-update|select-only)(?:@[0-9]{1,6})?",
                                             "tpcb-like, simple-update or select-only")),
    valued("-s", "--scale", check=whole(1, 1000)),
    valued("-P", "--progress", check=whole(1, 60)),
    valued("-R", "--rate", check=decimal(0.01, 10_000_000)),
    valued("-L", "--latency-limit", check=decimal(0.001, 1_000_000)),
    valued("--random-seed", check=matching(r"time|rand|[0-9]{1,10}", "time, rand or a whole number")),
    valued("--max-tries", check=whole(0, 1_000_000)),
    valued("-h", "--host", check=matching(rf"localhost|127\.0\.0\.1|::1|{_FOLDER}",
                                          "this machine: localhost, 127.0.0.1, ::1 or a folder of sockets")),
    valued("-p", "--port", check=whole(1, 65_535)),
    valued("-U", "--username", check=matching(_IDENTIFIER, "a role name of letters, digits, _, $ and -")),
    flag("-S", "--select-only"),
    flag("-N", "--skip-some-updates"),
    flag("-C", "--connect"),
    flag("-n", "--no-vacuum"),
    flag("-v", "--vacuum-all"),
    flag("-r", "--report-latencies", "--report-per-command"),
    flag("--failures-detailed"),
    refused("-f", "--file", because="runs SQL from a file"),
    refused("-D", "--define", because="feeds a script from a file"),
    refused("-l", "--log", because="writes log files", takes=Takes.NOTHING),
    refused("--log-prefix", because="writes log files"),
    refused("--aggregate-interval", because="writes log files"),
    refused("--sampling-rate", because="writes log files"),
    refused("-i", "--initialize", because="makes tables and is no benchmark", takes=Takes.NOTHING),
    refused("-I", "--init-steps", because="makes tables and is no benchmark"),
    refused("-F", "--fillfactor", because="makes tables and is no benchmark"),
    refused("-d", "--debug", because="prints every statement, and names a database from version 17 on",
            takes=Takes.NOTHING),
    refused("--dbname", because="may name another machine"),
    refused("--index-tablespace", because="makes tables and is no benchmark"),
    refused("--tablespace", because="makes tables and is no benchmark"),
    refused("--verbose-errors", because="prints an endless number of lines", takes=Takes.NOTHING),
)  # fmt: skip

_READINGS = (
    # In order of preference: how versions 9 to 13 and 14 and later call the rate of the transactions alone.
    reading("transactions_per_second", rf"tps = ({NUMBER}) \((?:without|excluding) [a-z ]*connection"),
    reading("transactions_per_second", rf"tps = ({NUMBER}) \("),
    reading("latency_average_ms", rf"latency average(?: =|:) ({NUMBER}) ms"),
    reading("latency_stddev_ms", rf"latency stddev(?: =|:) ({NUMBER}) ms"),
    reading("initial_connection_time_ms", rf"initial connection time = ({NUMBER}) ms"),
    reading("average_connection_time_ms", rf"average connection time = ({NUMBER}) ms"),
    reading("transactions", r"number of transactions actually processed: ([0-9]+)"),
    reading("failed_transactions", r"number of failed transactions: ([0-9]+)"),
    reading("skipped_transactions", r"number of transactions skipped: ([0-9]+)"),
    reading("late_transactions", r"number of transactions above the [0-9.]+ ms latency limit: ([0-9]+)"),
)

_PROGRESS = re.compile(rf"progress: ({NUMBER}) s, ({NUMBER}) tps(?:, lat ({NUMBER}) ms stddev ({NUMBER}))?")

_TPS = MetricSpec("transactions_per_second", "1/s", "maximize", "transactions per second, connecting not counted",
                  ("tps", "throughput", "transaction_rate", "transactions_per_sec"))  # fmt: skip
_LATENCY = MetricSpec("latency_average_ms", "ms", "minimize", "mean time of a transaction",
                      ("latency", "latency_ms", "average_latency", "avg_latency", "latency_avg", "mean_latency",
                       "latency_average", "avg_latency_ms", "latency_avg_ms"))  # fmt: skip


class PgbenchAdapter(ToolAdapter):
    """What knobctl knows about pgbench, versions 9 to 18."""

    program = "pgbench"
    title = "pgbench: PostgreSQL transactions"
    packages = SERVER_PACKAGES

    def metrics(self, argv: Sequence[str]) -> tuple[MetricSpec, ...]:
        """As the base class says. With ``-R`` the rate is fixed, so the usual objective is the latency."""
        parsed = _parse(argv)
        main = (_LATENCY, _TPS) if parsed.has("-R") else (_TPS, _LATENCY)
        more = [
            MetricSpec("transactions", "", "maximize", "transactions processed"),
            MetricSpec("failed_transactions", "", "minimize", "serialization and deadlock failures", ("failures",)),
        ]
        if any(parsed.has(name) for name in ("-P", "-T", "-R", "-L")):
            more.append(MetricSpec("latency_stddev_ms", "ms", "minimize", "standard deviation of the latency",
                                   ("latency_stddev", "jitter")))  # fmt: skip
        connecting = "average_connection_time_ms" if parsed.has("-C") else "initial_connection_time_ms"
        more.append(MetricSpec(connecting, "ms", "minimize", "time to connect", ("connection_time",)))
        if parsed.has("-R") and parsed.has("-L"):
            more.append(MetricSpec("skipped_transactions", "", "minimize", "hopelessly late, so never started"))
        if parsed.has("-L"):
            more.append(MetricSpec("late_transactions", "", "minimize", "slower than the latency limit"))
        return (*main, *more)

    def problems(self, argv: Sequence[str]) -> list[str]:
        """As the base class says."""
        parsed = _parse(argv)
        problems = [*program_problems(self.program, argv), *parsed.problems]
        if len(parsed.words) > 1:
            problems.append(f"pgbench takes one database name, not {len(parsed.words)}: {' '.join(parsed.words)[:80]}")
        elif parsed.words and not re.fullmatch(_IDENTIFIER, parsed.words[0]):
            problems.append(f"{parsed.words[0][:80]!r} is no plain database name of letters, digits, _, $ and -")
        if parsed.has("-T") and parsed.has("-t"):
            problems.append("pgbench takes either -T seconds or -t transactions, not both")
        elif not (parsed.has("-T") or parsed.has("-t")):
            problems.append("pgbench without -T stops after 10 transactions per client: add -T 30")
        return problems

    def parse(self, argv: Sequence[str], output: str) -> dict[str, float]:
        """As the base class says."""
        return read_metrics(output, _READINGS)

    def arguments(self, argv: Sequence[str]) -> Arguments:
        """As the base class says."""
        return _parse(argv)

    def run_seconds(self, argv: Sequence[str]) -> float | None:
        """The value of ``-T``; unknown with ``-t``."""
        parsed = _parse(argv)
        return max(0.0, parsed.number("-T", 0.0)) if parsed.has("-T") else None

    def lasting(self, argv: Sequence[str], seconds: int) -> tuple[str, ...]:
        """As the base class says; of two durations the last one counts."""
        return (*argv, "-T", str(seconds)) if _parse(argv).has("-T") else ()

    def complete(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Adds ``-P 1`` to a run of fixed duration."""
        parsed = _parse(argv)
        if not parsed.has("-T") or parsed.has("-P"):
            return tuple(argv)
        return (*argv[:1], "-P", "1", *argv[1:])

    def progress(
        self, argv: Sequence[str], line: str, seconds: float, previous: ProgressLine | None
    ) -> ProgressLine | None:
        """Reads ``progress: 1.0 s, 4556.0 tps, lat 3.899 ms stddev 1.254``."""
        match = _PROGRESS.search(line)
        if match is None:
            return None
        names = ("transactions_per_second", "latency_average_ms", "latency_stddev_ms")
        values = {
            name: value
            for name, text in zip(names, match.groups()[1:], strict=True)
            if text is not None and (value := parse_number(text)) is not None
        }
        second = parse_number(match.group(1))
        return None if second is None else ProgressLine(second, values)

    def complaint(self, argv: Sequence[str], metrics: Mapping[str, float], output: str) -> str:
        """A run without a single transaction measured nothing."""
        return "pgbench processed no transaction" if metrics.get("transactions") == 0 else ""

    def workload(
        self, argv: Sequence[str], target: Target, objective: str, reset_command: Sequence[str], reader: ToolAdapter
    ) -> Workload:
        """On the user's own server when the arguments name one, else on a throw-away one."""
        if points_at_own_server(argv):
            return OwnServerPgbench(reader, argv, target, objective, reset_command)
        return ThrowawayPgbench(reader, argv, target, objective, reset_command)


def points_at_own_server(argv: Sequence[str]) -> bool:
    """The arguments name a server of the user's."""
    parsed = _parse(argv)
    named = any(parsed.has(name) for name in ("-h", "-p", "-U"))
    return named or any("=" in word or "://" in word for word in parsed.words)


def scale_for(argv: Sequence[str]) -> int:
    """Scale of the throw-away tables: ``-s`` when given, else one branch per client, from 10 to 50.

    pgbench's own advice for its TPC-B-like script is a scale not below the number of clients: each transaction updates
    one of ``scale`` branches, and fewer rows than clients would measure waiting for row locks.
    """
    parsed = _parse(argv)
    if parsed.has("-s"):
        return max(1, int(parsed.number("-s", 10)))
    return min(_MAX_SCALE, max(10, math.ceil(parsed.number("-c", 1))))


class ThrowawayPgbench(ToolWorkload):
    """pgbench on a server that knobctl makes and throws away."""

    def __init__(
        self, adapter: ToolAdapter, argv: Sequence[str], target: Target, objective: str, reset_command: Sequence[str]
    ) -> None:
        super().__init__(adapter, argv, target, objective, reset_command)
        parsed = _parse(argv)
        self.scale = scale_for(argv)
        self._database = parsed.words[0] if parsed.words else DEFAULT_DATABASE
        self._names_database = bool(parsed.words)
        self._server = PostgresServer(target, int(parsed.number("-c", 1)))
        builtins = [name.partition("@")[0] for name in parsed.values.get("-b", ())]
        writes = [name for name in builtins if name != "select-only"]
        self._writes = bool(writes) or parsed.has("-N") or parsed.has("-f") or not (builtins or parsed.has("-S"))

    def check(self) -> None:
        """Makes sure that the server and pgbench are installed."""
        find_binaries(self.target)
        super().check()

    def prepare(self) -> None:
        """Makes a cluster, starts it, and fills the tables; takes some seconds."""
        self._server.create(self._database)
        fill = (self.program(), "-i", "-q", "-s", str(self.scale), *self._server.connection, self._database)
        self.require("filling the pgbench tables", fill, timeout=60.0 + 10.0 * self.scale)
        self._server.query("CHECKPOINT", database=self._database)

    @property
    def resets(self) -> bool:
        """It brings its data back by itself."""
        return True

    def reset(self) -> None:
        """Removes what a trial left: dead rows, history, dirty pages. A read-only trial leaves nothing."""
        if self._writes:
            self._server.query(
                "VACUUM pgbench_branches",
                "VACUUM pgbench_tellers",
                "TRUNCATE pgbench_history",
                "VACUUM pgbench_accounts",
                "CHECKPOINT",
                database=self._database,
            )
        super().reset()

    def restart(self) -> None:
        """Restarts the server, so that it takes its memory again under the knobs of now."""
        self._server.restart()

    def cleanup(self) -> None:
        """Ends the server; its files go with the work folder."""
        try:
            self._server.stop()
        except KnobctlError:
            return

    def program(self) -> str:
        """The server's own pgbench where it has one: distributions put a slow wrapper in PATH."""
        if "/" in self.argv[0]:
            return self.argv[0]
        beside = f"{find_binaries(self.target)}/pgbench"
        return self.target.which(beside) or locate(self.target, "pgbench", self.adapter.packages, BINARY_FOLDERS)

    def run_argv(self) -> tuple[str, ...]:
        """The command with the address of the throw-away server."""
        database = () if self._names_database else (self._database,)
        return (self.program(), *self._server.connection, *self.argv[1:], *database)

    def run_environment(self) -> Mapping[str, str]:
        """Where the password is."""
        return self._server.environment


class OwnServerPgbench(ToolWorkload):
    """pgbench on the user's own server, whose data is never initialised or reset."""

    def program(self) -> str:
        """pgbench from PATH, or from where distributions put it."""
        if "/" in self.argv[0]:
            return self.argv[0]
        return locate(self.target, "pgbench", self.adapter.packages, BINARY_FOLDERS)

    def prepare(self) -> None:
        """Makes sure that the server answers and has the tables.

        Raises:
            WorkloadError: It does not, with the command that makes the tables.
        """
        client = next(filter(None, map(self.target.which, ("psql", *(f"{x}/psql" for x in BINARY_FOLDERS)))), "")
        parsed = _parse(self.argv)
        if not client or parsed.has("-f"):
            return
        address = [word for name in ("-h", "-p", "-U") if parsed.has(name) for word in (name, parsed.text(name))]
        database = parsed.words[:1]
        query = (client, "-X", "-A", "-t", "-w", *address, *(("-d", *database) if database else ()),
                 "-c", "SELECT count(*) FROM pgbench_branches")  # fmt: skip
        outcome = self.target.run(Command(query, timeout=30.0, env={"PGCONNECT_TIMEOUT": "10"}))
        stop_if_tripped(outcome, "psql")
        if outcome.ok:
            return
        problem = failure_of(outcome, "psql", 30.0)
        if "pgbench_branches" in outcome.output:
            fill = " ".join(["pgbench", "-i", "-s", str(scale_for(self.argv)), *address, *database])
            raise WorkloadError(f"the database has no pgbench tables: {problem}", f"Make them: `{fill}`.")
        raise WorkloadError(
            f"your PostgreSQL server does not answer: {problem}",
            "Check -h, -p, -U and its password, or leave them out for a throw-away server.",
        )


def _parse(argv: Sequence[str]) -> Arguments:
    return parse_arguments("pgbench", Style.GETOPT, _OPTIONS, argv[1:])
