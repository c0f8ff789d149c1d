from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from knobctl.errors import ToolMissing, WorkloadError
from knobctl.workload.pgbench import (
    OwnServerPgbench,
    PgbenchAdapter,
    ThrowawayPgbench,
    points_at_own_server,
    scale_for,
)
from tests.workload.captured import captured
from tests.workload.folder_target import FACTS, Played, ScriptedTarget

ADAPTER = PgbenchAdapter()
PLAN = shlex.split("pgbench -c 50 -j 4 -T 30 testdb")
TPS = "transactions_per_second"


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("pgbench-9.5-docs", {TPS: 85.296346, "transactions": 10000}),
        ("pgbench-9-latency", {TPS: 108.832630, "transactions": 3265, "latency_average_ms": 9.188}),
        ("pgbench-12-docs", {TPS: 622.977698, "transactions": 10000, "latency_average_ms": 15.844,
                             "latency_stddev_ms": 2.715}),
        ("pgbench-16-docs", {TPS: 896.967014, "transactions": 10000, "failed_transactions": 0,
                             "latency_average_ms": 11.013, "latency_stddev_ms": 7.351,
                             "initial_connection_time_ms": 45.758}),
        ("pgbench-15-tpcb", {TPS: 1956.114443, "transactions": 5829, "failed_transactions": 0,
                             "latency_average_ms": 4.034, "latency_stddev_ms": 1.362,
                             "initial_connection_time_ms": 41.559}),
        ("pgbench-15-select-only", {TPS: 27211.643857, "transactions": 80187, "failed_transactions": 0,
                                    "latency_average_ms": 0.294, "initial_connection_time_ms": 59.234}),
        ("pgbench-15-count-report", {TPS: 1083.846354, "transactions": 200, "failed_transactions": 0,
                                     "latency_average_ms": 1.845, "initial_connection_time_ms": 24.159}),
        ("pgbench-15-connect", {TPS: 80.835011, "transactions": 163, "failed_transactions": 0,
                                "latency_average_ms": 49.484, "average_connection_time_ms": 11.083}),
        ("pgbench-15-rate-mixed", {TPS: 487.723343, "transactions": 960, "failed_transactions": 0,
                                   "skipped_transactions": 0, "late_transactions": 2, "latency_average_ms": 1.337,
                                   "latency_stddev_ms": 0.876, "initial_connection_time_ms": 39.236}),
        ("pgbench-15-no-tables", {}),
        ("pgbench-15-no-database", {}),
        ("pgbench-15-too-many-clients", {}),
    ],
)  # fmt: skip
def test_every_metric_of_captured_output_is_read(name: str, metrics: dict[str, float]) -> None:
    assert ADAPTER.parse(PLAN, captured(name)) == pytest.approx(metrics)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("pgbench -c 8 -T 3 -P 1 bench", "pgbench-15-tpcb"),
        ("pgbench -c 2 -t 100 -r --failures-detailed bench", "pgbench-15-count-report"),
        ("pgbench -c 4 -C -t 2 bench", "pgbench-15-connect"),
        ("pgbench -b tpcb-like@3 -b select-only -c 4 -T 2 -L 5 -R 500 -P 1 bench", "pgbench-15-rate-mixed"),
    ],
)
def test_the_metrics_that_are_announced_are_those_that_are_printed(command: str, name: str) -> None:
    announced = {spec.name for spec in ADAPTER.metrics(command.split())}

    assert announced == set(ADAPTER.parse(command.split(), captured(name)))


def test_the_usual_objective_is_the_rate_unless_the_rate_is_fixed() -> None:
    assert ADAPTER.metrics(PLAN)[0].name == TPS
    assert ADAPTER.metrics([*PLAN, "-R", "500"])[0].name == "latency_average_ms"


def test_progress_lines_become_samples() -> None:
    lines = captured("pgbench-15-tpcb").splitlines()
    said = [progress for line in lines if (progress := ADAPTER.progress(PLAN, line, 0.0, None))]

    assert [(each.seconds, each.metrics[TPS]) for each in said] == [(1.0, 1946.2), (2.0, 2019.8), (3.0, 1855.7)]
    assert said[0].metrics["latency_average_ms"] == 3.899


def test_progress_of_a_server_that_sleeps_is_zero_and_no_error() -> None:
    lines = captured("pgbench-14-progress").splitlines()
    rates = [said.metrics[TPS] for line in lines if (said := ADAPTER.progress(PLAN, line, 0.0, None))]

    assert rates == [0.0] * 8 + [8.0]


@pytest.mark.parametrize(
    "command",
    [
        "pgbench -c 50 -j 4 -T 30 testdb",
        "pgbench -S -M prepared -c8 -j2 -T60",
        "pgbench --client=4 --time=10 --progress=1 --report-latencies -n bench",
        "pgbench -b simple-update@2 -b select-only -T 5 --max-tries=3 bench",
        "pgbench -h localhost -p 5432 -U app -T 5 shop",
        "pgbench -h /var/run/postgresql -T 5 shop",
    ],
)
def test_ordinary_commands_have_no_problems(command: str) -> None:
    assert ADAPTER.problems(command.split()) == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("pgbench -c 5000 -T 5", "pgbench -c '5000' is not allowed: it must be a whole number from 1 to 1000"),
        ("pgbench -T 0", "pgbench -T '0' is not allowed: it must be a whole number from 1 to 3600"),
        ("pgbench -T 5 -f x.sql", "pgbench -f needs your own consent: it runs SQL from a file"),
        ("pgbench -T 5 --file=x.sql", "pgbench --file needs your own consent: it runs SQL from a file"),
        ("pgbench -T 5 -l", "pgbench -l needs your own consent: it writes log files"),
        ("pgbench -T 5 --log-prefix=/etc/x", "pgbench --log-prefix needs your own consent: it writes log files"),
        ("pgbench -i -T 5", "pgbench -i needs your own consent: it makes tables and is no benchmark"),
        ("pgbench -T 5 -b evil", "pgbench -b 'evil' is not allowed: it must be tpcb-like, simple-update or "
         "select-only"),
        ("pgbench -T 5 -h db.example.org", "pgbench -h 'db.example.org' is not allowed: it must be this machine: "
         "localhost, 127.0.0.1, ::1 or a folder of sockets"),
        ("pgbench -T 5 -h /run/../tmp", "pgbench -h '/run/../tmp' is not allowed: it must be this machine: localhost, "
         "127.0.0.1, ::1 or a folder of sockets"),
        ("pgbench -T 5 --hos=x", "pgbench --hos is not an option that knobctl runs without asking: write --host in "
         "full"),
        ("pgbench -T 5 --dbname=x", "pgbench --dbname needs your own consent: it may name another machine"),
        ("pgbench -T 5 host=db.example.org", "'host=db.example.org' is no plain database name of letters, digits, _, "
         "$ and -"),
        ("pgbench -T 5 postgresql://db/x", "'postgresql://db/x' is no plain database name of letters, digits, _, $ "
         "and -"),
        ("pgbench -T 5 one two", "pgbench takes one database name, not 2: one two"),
        ("pgbench -T 5 -t 5", "pgbench takes either -T seconds or -t transactions, not both"),
        ("pgbench -c 5", "pgbench without -T stops after 10 transactions per client: add -T 30"),
        ("./pgbench -T 5", "'./pgbench' needs your own consent: only the bare name pgbench is run without asking"),
        ("pgbench -T 5 --unheard-of", "pgbench --unheard-of is not an option that knobctl runs without asking"),
    ],
)  # fmt: skip
def test_the_words_of_each_problem(command: str, problem: str) -> None:
    assert ADAPTER.problems(command.split()) == [problem]


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("pgbench -c 50 -T 30 testdb", False),
        ("pgbench -c50 -T30", False),
        ("pgbench -h localhost -T 5", True),
        ("pgbench -p5433 -T 5", True),
        ("pgbench --username=app -T 5", True),
        ("pgbench -T 5 host=localhost", True),
        ("pgbench -T 5 postgresql:///shop", True),
    ],
)
def test_a_server_is_the_users_own_when_the_arguments_name_one(command: str, own: bool) -> None:
    workload = ADAPTER.bind(command.split(), ScriptedTarget({}), TPS)

    assert points_at_own_server(command.split()) is own
    assert isinstance(workload, OwnServerPgbench if own else ThrowawayPgbench)


@pytest.mark.parametrize(
    ("command", "scale"),
    [("pgbench -T 5", 10), ("pgbench -c 4 -T 5", 10), ("pgbench -c 30 -T 5", 30), ("pgbench -c 500 -T 5", 50),
     ("pgbench -c 500 -s 3 -T 5", 3)],
)  # fmt: skip
def test_the_throwaway_tables_have_a_branch_per_client_within_reason(command: str, scale: int) -> None:
    assert scale_for(command.split()) == scale


def test_progress_is_added_to_a_timed_run_only() -> None:
    assert ADAPTER.complete(PLAN) == ("pgbench", "-P", "1", "-c", "50", "-j", "4", "-T", "30", "testdb")
    assert ADAPTER.complete(("pgbench", "-T", "5", "-P2")) == ("pgbench", "-T", "5", "-P2")
    assert ADAPTER.complete(("pgbench", "-t", "5")) == ("pgbench", "-t", "5")


def test_the_duration_is_known_for_a_timed_run_only() -> None:
    assert ADAPTER.run_seconds(PLAN) == 30.0
    assert ADAPTER.run_seconds(["pgbench", "-t", "1000"]) is None


def test_the_throwaway_server_is_private_and_durable() -> None:
    target = ScriptedTarget({"pgbench": Played(captured("pgbench-15-tpcb"))})
    workload = ADAPTER.bind(PLAN, target, TPS)

    workload.check()
    workload.prepare()

    server = target.started[0]
    settings = {word for word in server.argv if "=" in word}
    assert {"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=on", "full_page_writes=on",
            "autovacuum=off", "shared_buffers=512MB", "max_connections=70"} <= settings  # fmt: skip
    commands = [command.argv for command in target.commands]
    password = target.files["postgres-password"].strip()
    assert len(password) >= 32
    assert not any(password in word for argv in [*commands, server.argv] for word in argv)
    assert ("chmod", "0600", f"{target.folder}/postgres-passwords", f"{target.folder}/postgres-password") in commands
    initdb = next(argv for argv in commands if argv[0].endswith("/initdb"))
    assert initdb[initdb.index("-A") + 1] == "scram-sha-256"
    assert any(argv[1:5] == ("-i", "-q", "-s", "50") for argv in commands)


def test_shared_buffers_are_a_quarter_of_a_small_machine() -> None:
    target = ScriptedTarget({}, facts=replace(FACTS, memory_bytes=2**30))
    workload = ADAPTER.bind(PLAN, target, TPS)

    workload.prepare()

    assert "shared_buffers=256MB" in target.started[0].argv


def test_the_run_names_the_throwaway_server_and_its_password_file() -> None:
    target = ScriptedTarget({"pgbench": Played(captured("pgbench-15-tpcb"))})
    workload = ADAPTER.bind(["pgbench", "-c", "8", "-T", "3"], target, TPS)
    workload.prepare()
    target.commands.clear()

    measurement = workload.run()

    (command,) = target.commands
    assert command.argv[1:3] == ("-h", "127.0.0.1")
    assert command.argv[-1] == "bench"
    assert "-n" not in command.argv
    assert command.env["PGPASSFILE"] == f"{target.folder}/postgres-passwords"
    assert command.sample
    assert measurement.metrics[TPS] == 1956.114443
    assert measurement.samples == ((1.0, 1946.2), (2.0, 2019.8), (3.0, 1855.7))
    assert measurement.machine == {"cpu_utilization": 50.0}


@pytest.mark.parametrize(
    ("options", "touched"),
    [
        ("", True),
        ("-N", True),
        ("-b simple-update", True),
        ("-S", False),
        ("-b select-only", False),
        ("-b select-only@9 -b tpcb-like", True),
    ],
)
def test_only_what_writes_is_vacuumed_between_trials(options: str, touched: bool) -> None:
    target = ScriptedTarget({})
    workload = ADAPTER.bind(["pgbench", "-T", "5", *options.split()], target, TPS)
    workload.prepare()
    target.commands.clear()

    workload.reset()

    statements = [word for command in target.commands for word in command.argv if word.isupper() or "VACUUM" in word]
    assert (statements[-1:] == ["CHECKPOINT"]) is touched
    assert bool(target.commands) is touched


def test_a_restart_checkpoints_stops_and_keeps_the_port() -> None:
    target = ScriptedTarget({})
    workload = ADAPTER.bind(PLAN, target, TPS)
    workload.prepare()

    workload.restart()

    assert target.stopped == ["postgres"]
    assert target.started[0] == target.started[1]


def test_a_server_that_does_not_come_up_is_reported_with_its_last_words() -> None:
    target = ScriptedTarget({"psql": Played(exit_code=2), "test": Played(exit_code=1)})
    target.service_words = "FATAL:  could not map anonymous shared memory: Cannot allocate memory"
    workload = ADAPTER.bind(PLAN, target, TPS)

    with pytest.raises(WorkloadError, match=r"postgres server ended at once: FATAL: .*Cannot allocate memory"):
        workload.prepare()


def test_a_taken_port_is_tried_again_on_another_one() -> None:
    target = ScriptedTarget({"psql": Played(exit_code=2), "test": Played(exit_code=1)})
    target.service_words = "LOG:  could not bind IPv4 address: Address already in use"

    with pytest.raises(WorkloadError, match="in use"):
        ADAPTER.bind(PLAN, target, TPS).prepare()

    assert len({argument for service in target.started for argument in service.argv if "port=" in argument}) == 3


def test_a_missing_server_is_named_with_its_package() -> None:
    workload = ADAPTER.bind(PLAN, ScriptedTarget({}, installed=["pgbench", "apt-get"]), TPS)

    with pytest.raises(ToolMissing, match="the PostgreSQL server is not installed") as raised:
        workload.check()

    assert raised.value.hint == ("Install it: `apt install postgresql`. Or name your own server with -h, -p and -U.")


def test_the_users_own_server_is_neither_filled_nor_reset() -> None:
    target = ScriptedTarget({"pgbench": Played(captured("pgbench-15-tpcb"))})
    workload = ADAPTER.bind(shlex.split("pgbench -h localhost -c 8 -T 3 shop"), target, TPS)

    workload.prepare()
    workload.reset()
    workload.run()
    workload.cleanup()

    assert target.started == []
    assert [command.argv[0] for command in target.commands] == ["/usr/bin/psql", "/usr/bin/pgbench"]
    assert target.commands[0].argv[-1] == "SELECT count(*) FROM pgbench_branches"
    assert target.commands[1].argv[1:] == ("-P", "1", "-h", "localhost", "-c", "8", "-T", "3", "shop")


def test_missing_tables_on_the_users_own_server_come_with_the_command_that_makes_them() -> None:
    words = 'psql: error: ERROR:  relation "pgbench_branches" does not exist'
    target = ScriptedTarget({"psql": Played(words, exit_code=1)})
    workload = ADAPTER.bind(shlex.split("pgbench -h localhost -p 5433 -c 30 -T 3 shop"), target, TPS)

    with pytest.raises(WorkloadError, match="the database has no pgbench tables") as raised:
        workload.prepare()

    assert raised.value.hint == "Make them: `pgbench -i -s 30 -h localhost -p 5433 shop`."


def test_a_users_own_server_that_is_down_is_said_to_be_down() -> None:
    target = ScriptedTarget({"psql": Played("psql: error: Connection refused", exit_code=2)})
    workload = ADAPTER.bind(shlex.split("pgbench -p 5433 -T 3"), target, TPS)

    with pytest.raises(WorkloadError, match=r"your PostgreSQL server does not answer: .*Connection refused"):
        workload.prepare()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pgbench-15-no-tables", 'relation "pgbench_branches" does not exist'),
        ("pgbench-15-too-many-clients", "sorry, too many clients already"),
        ("pgbench-15-server-died", "Run was aborted; the above results are incomplete"),
    ],
)
def test_a_run_that_fails_has_no_metrics_and_says_why(name: str, words: str) -> None:
    target = ScriptedTarget({"pgbench": Played(captured(name), exit_code=2)})
    workload = ADAPTER.bind(["pgbench", "-h", "localhost", "-T", "3"], target, TPS)

    measurement = workload.run()

    assert measurement.metrics == {}
    assert measurement.failure.startswith("pgbench ended with exit code 2: ")
    assert words in measurement.failure
    assert "\n" not in measurement.failure
