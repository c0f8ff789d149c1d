from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobctl.llm.base import Rejected
from knobctl.strategist.repair_command import RepairedCommand, repair_command
from knobctl.workload.registry import adapter_for
from tests.strategist.test_repair import brief_of

OWN = "pgbench -c 8 -j 2 -T 5 -P 1 bench"
SHORTER = (
    "One run was shortened from 60 to 5 seconds: a search has tens of runs. "
    "Say how many seconds you want in the request."
)
NO_SERVER = "You named no server, so the model's address was taken off the command."
NO_SUDO = "sudo was taken off the benchmark command: a benchmark runs as an ordinary user."


def command_of(raw: Any, text: str = "PostgreSQL", **options: Any) -> RepairedCommand:
    return repair_command(raw, brief_of(text, **options))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("pgbench -c 16 -T 10 bench", "pgbench -c 16 -T 10 bench"),
        (["pgbench", "-c", 16, "-T", "10"], "pgbench -c 16 -T 10"),
        (["pgbench -c 16 -T 10"], "pgbench -c 16 -T 10"),
        ({"command": ["pgbench", "-T", "10"]}, "pgbench -T 10"),
        ("  $ pgbench -T 10  ", "pgbench -T 10"),
        ("`pgbench -T 10`", "pgbench -T 10"),
        ("```bash\npgbench -T 10\n```", "pgbench -T 10"),
        ("```pgbench -T 10```", "pgbench -T 10"),
        ("pgbench -c 16 \\\n  -T 10", "pgbench -c 16 -T 10"),
        ("pgbench -T 10 2>&1", "pgbench -T 10"),
        ("pgbench -T 10 >/dev/null 2>&1", "pgbench -T 10"),
        ("pgbench -T 10 2>/dev/null", "pgbench -T 10"),
        ("/usr/lib/postgresql/17/bin/pgbench -T 10", "pgbench -T 10"),
        ("pgbench -T 10 -d mine", "pgbench -T 10 mine"),
        ("pgbench --dbname=mine -T 10", "pgbench -T 10 mine"),
        ("pgbench -T 10 -d <database>", "pgbench -T 10"),
        ("pgbench -U<user> --host=<your host> -p{{ port }} -T 10 YOUR_DB", "pgbench -T 10 bench"),
        ("pgbench -T 10 CHANGEME", "pgbench -T 10 bench"),
    ],
)
def test_what_is_repaired_without_a_word(raw: Any, text: str) -> None:
    assert command_of(raw) == RepairedCommand(text)


@pytest.mark.parametrize("raw", [None, "", "  ", [], {}, {"tool": "pgbench"}, 5, True, {"command": None}])
def test_nothing_said_means_the_workloads_own_command(raw: Any) -> None:
    assert command_of(raw) == RepairedCommand(OWN)


@pytest.mark.parametrize(
    ("raw", "text", "notes"),
    [
        ("sudo pgbench -T 10", "pgbench -T 10", (NO_SUDO,)),
        ("sudo -E -u postgres pgbench -T 10", "pgbench -T 10", (NO_SUDO,)),
        ("pgbench -T 60", "pgbench -T 5", (SHORTER,)),
        ("pgbench -T60 -c 4", "pgbench -T 5 -c 4", (SHORTER,)),
        ("pgbench --time=60 -c 4", "pgbench --time=5 -c 4", (SHORTER,)),
        ("pgbench --time 60 -c 4", "pgbench --time=5 -c 4", (SHORTER,)),
        ("pgbench -T 30", "pgbench -T 30", ()),
        ("pgbench -h /run/postgresql --port=5432 -Upostgres -T 10 db", "pgbench -T 10 db", (NO_SERVER,)),
    ],
)
def test_what_is_repaired_and_told(raw: str, text: str, notes: tuple[str, ...]) -> None:
    assert command_of(raw) == RepairedCommand(text, notes)


@pytest.mark.parametrize(
    ("raw", "text", "notes"),
    [
        ("ab -n 5000 -c 20 http://127.0.0.1/", "ab -n 5000 -c 20 http://127.0.0.1/", ()),
        ("ab -t 60 -c 20 http://<server>/index.html", "ab -t 5 -c 20 http://localhost/", (SHORTER,)),
        ("wrk -t2 -c50 -d1m http://localhost/", "wrk -t2 -c50 -d 5 http://localhost/", (SHORTER,)),
        ("ab -n 5000 localhost:8080/", "ab -n 5000 http://localhost/", (NO_SERVER,)),
        ("ab -n 50 -H 'Accept: text/html' localhost/", "ab -n 50 -H 'Accept: text/html' localhost/", ()),
        ("ab -n 50 http://LOCALHOST/", "ab -n 50 http://LOCALHOST/", ()),
        *(
            (f"{tool} {address}", f"{tool} http://localhost/", (NO_SERVER,))
            for tool in ("ab -t 5 -n 1000000 -c 50", "wrk -c 50 -t 2 -d 5")
            for address in (
                "http://LOCALHOST:8500/v1/agent/leave", "http://[::1]:8500/x", "HTTP://localhost:9999/admin/delete",
                "LOCALHOST:9999/admin", "http://localhost/admin", "http://127.0.0.1:80/", "http://Localhost:9200/?a=b",
            )
        ),
    ],
)  # fmt: skip
def test_web_servers(raw: str, text: str, notes: tuple[str, ...]) -> None:
    assert command_of(raw, "nginx") == RepairedCommand(text, notes)


class TestWhatTheUserSaid:
    """A command that does otherwise is not used."""

    @pytest.mark.parametrize(
        ("request_text", "raw", "reason"),
        [
            ("PostgreSQL with 50 clients", "pgbench -c 10 -T 5", "clients is 50, and it has 10"),
            ("PostgreSQL with 50 clients", "pgbench -T 5", "clients is 50, and it has none"),
            ("PostgreSQL, 10 seconds", "pgbench -T 5", "seconds is 10, and it has 5"),
            ("PostgreSQL database shop", "pgbench -T 5 bench", "database is shop, and it has another one"),
            ("PostgreSQL on port 5433", "pgbench -T 5 -p 5432", "port is 5433, and it has 5432"),
            ("nginx at http://localhost:8080/", "ab -n 10 http://localhost/",
             "url is http://localhost:8080/, and it has another one"),
            ("large sequential file writes, 4 GB files",
             "sysbench fileio --file-test-mode=seqwr --file-total-size=1G --time=4 run", "size is 4G, and it has 1G"),
            ("optimize postgres, database shop on localhost port 5433",
             "pgbench -h localhost -p 5433 -U shop -c 8 -j 2 -T 5 -P 1 production",
             "database is shop, and it has another one"),
            ("PostgreSQL database shop", "pgbench -U shop -c 8 -j 2 -T 5 -P 1 other",
             "database is shop, and it has another one"),
            ("make nginx on port 8080 faster",
             "ab -t 5 -c 50 -H http://localhost:8080/ http://localhost:8500/v1/agent/leave",
             "url is http://localhost:8080/, and it has another one"),
            ("make nginx on port 8080 faster",
             "wrk -c 50 -t 2 -d 5 -H http://localhost:8080/ http://localhost:8500/v1/agent/leave",
             "url is http://localhost:8080/, and it has another one"),
            ("PostgreSQL with 50 clients", "pgbench -c 50 -nc900 -T 5", "clients is 50, and it has 900"),
        ],
    )  # fmt: skip
    def test_the_workloads_command_takes_its_place(self, request_text: str, raw: str, reason: str) -> None:
        brief = brief_of(request_text)
        note = f"The model's command was not used: for this request {reason}."
        assert repair_command(raw, brief) == RepairedCommand(brief.command, (note,))

    @pytest.mark.parametrize(
        ("request_text", "raw"),
        [
            ("PostgreSQL with 50 clients for 60 seconds", "pgbench --client=50 -T60 -M prepared"),
            ("PostgreSQL on port 5433, database shop", "pgbench -p5433 -T 5 shop"),
            ("nginx at http://localhost:8080/", "wrk -c 50 -t 2 -d 5s http://localhost:8080/"),
            ("nginx for 10 seconds", "wrk -c 50 -t 2 -d 10s http://localhost/"),
            ("large sequential file writes, 4 GB files",
             "sysbench fileio --file-test-mode=seqwr --file-total-size=4096M --time=4 run"),
        ],
    )  # fmt: skip
    def test_one_that_follows_is_used(self, request_text: str, raw: str) -> None:
        assert command_of(raw, request_text) == RepairedCommand(shlex.join(shlex.split(raw)))

    def test_the_command_that_they_typed_is_never_changed(self) -> None:
        typed = "pgbench  -T 99   'mine'"
        assert command_of("pgbench -T 5", command=typed) == RepairedCommand(typed)


@pytest.mark.parametrize(
    ("request_text", "raw", "message"),
    [
        ("PostgreSQL", "pgbench -T 10 | tee log", "benchmark_command: | means something to a shell only"),
        ("PostgreSQL", "pgbench -T 10 > out.txt", "benchmark_command: > means something to a shell only"),
        ("PostgreSQL", "pgbench -i bench && pgbench -T 10", "benchmark_command: & means something to a shell only"),
        ("PostgreSQL", "pgbench -i\npgbench -T 10", "benchmark_command has several lines"),
        ("PostgreSQL", "PGPASSWORD=x pgbench -T 10", "'PGPASSWORD=x' is no program"),
        ("PostgreSQL", "pgbench -T 'x", "no closing quotation"),
        ("PostgreSQL", "pgbench -T 10 \x01", "holds the invisible character U+0001"),
        ("PostgreSQL", "x" * 4001, "benchmark_command has 4001 characters, more than 4000."),
        ("PostgreSQL", "pgbench -c <n> -T 10", "benchmark_command holds a placeholder; every value has to"),
        ("PostgreSQL", "pgbench <db> -T 10", "benchmark_command holds a placeholder"),
        ("PostgreSQL", "pgbench -T 10 -c <n>", "benchmark_command holds a placeholder"),
        ("PostgreSQL", "pgbench -i -s 50", "pgbench -i may not be used: it makes tables and is no benchmark"),
        ("PostgreSQL", "pgbench -f /tmp/x.sql -T 10", "pgbench -f may not be used: it runs SQL from a file"),
        ("PostgreSQL", "pgbench -c 8", "pgbench without -T stops after 10 transactions per client"),
        ("PostgreSQL", "pgbench -T 10 postgres://a:b@c/d", "is no plain database name"),
        ("PostgreSQL", "pgbench -T 10 -nhlocalhost", "The request names no server: leave its address out of"),
        ("nginx", "ab -n 10 http://localhost:1/ http://localhost:2/", "ab takes one URL, not 2"),
        ("nginx", "ab -n 10 http://LOCALHOST@example.com/", "may not be used: it puts load on another machine"),
        ("PostgreSQL", "pgbench -S -T 10", "'pgbench -S -T 10' does not measure the workload asked for"),
        ("PostgreSQL", "psql -c 'SELECT 1'", "does not measure the workload asked for: PostgreSQL, short transactions"),
        ("PostgreSQL", "tool pgbench", "does not measure the workload asked for"),
        ("PostgreSQL", "sudo", "benchmark_command: 'sudo' is never run"),
        ("read-only PostgreSQL queries", "pgbench -T 10", "does not measure the workload asked for: PostgreSQL, read"),
        ("nginx", "curl http://localhost/", "does not measure the workload asked for: Web server"),
        ("nginx", "ab -n 10 http://example.com/", "may not be used: it puts load on another machine, example.com"),
        ("nginx", "ab -n 10 -c {clients} http://localhost/", "benchmark_command holds a placeholder"),
        ("cpu", "sysbench memory run", "does not measure the workload asked for: CPU"),
        ("mutex and threads", "sysbench mutex run", "does not measure the workload asked for"),
        ("random file reads and writes", "sysbench fileio --file-test-mode=seqwr run", "does not measure"),
        ("random file reads and writes", "sysbench fileio --file-test-mode=rndrd run", "does not measure"),
        ("random file reads and writes", "fio --name=a --rw=randrw --size=1G", "does not measure"),
        ("large sequential file writes", "sysbench fileio --file-test-mode=seqwr prepare", "must end with run"),
    ],
)  # fmt: skip
def test_what_is_asked_for_again_or_replaced_at_last(request_text: str, raw: str, message: str) -> None:
    brief = brief_of(request_text)
    with pytest.raises(Rejected) as rejected:
        repair_command(raw, brief)
    assert message in str(rejected.value)
    assert str(rejected.value).endswith(f" Use this benchmark_command: {brief.command}")
    at_last = repair_command(raw, brief, last=True)
    assert at_last.text == brief.command
    assert len(at_last.notes) == 1
    assert at_last.notes[0].startswith("The model's command was not used: ")
    assert message in at_last.notes[0]


WORDS = st.sampled_from(
    ("pgbench", "ab", "sysbench", "fileio", "run", "-c", "-T", "10", "60", "-h", "localhost", "<host>", "{port}",
     "your_db", "-S", "-i", "sudo", "|", "&&", "2>&1", "'", "`", "$", "http://localhost:80/", "--time=99",
     "--file-test-mode=seqwr",
     "-T60", "-p5432", "\n", "\x01", "\\", "=", "--", "-d")
)  # fmt: skip
BRIEFS = tuple(
    brief_of(text) for text in ("PostgreSQL", "PostgreSQL with 50 clients", "nginx", "large sequential file writes")
)


@settings(deadline=None)
@given(
    st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=10).map(" ".join), st.lists(WORDS, max_size=8)),
    st.sampled_from(BRIEFS),
)
def test_whatever_is_accepted_runs_without_asking(raw: Any, brief: Any) -> None:
    try:
        words = shlex.split(repair_command(raw, brief).text)
    except Rejected as rejected:
        assert str(rejected)
        return
    assert adapter_for(words).problems(words) == []
