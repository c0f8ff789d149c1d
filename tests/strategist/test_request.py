from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from knobctl.errors import UsageError
from knobctl.strategist.request import CLIENTS, PORT, SECONDS, SIZE_MIB, THREADS, Hints, read_request

LIMITS = {"clients": CLIENTS, "threads": THREADS, "seconds": SECONDS, "size_mib": SIZE_MIB, "port": PORT}

NAME = " that knobctl uses (letters, digits and _); the default is used."
ADDRESS = " that knobctl uses (plain http://host:port/path); the default is used."
ELSEWHERE = ": the plan puts load on it and tunes this machine, and its command needs your own consent."

FRAGMENTS = st.sampled_from(
    (
        *("clients", "threads", "seconds", "minutes", "days", "GB files", "port", "database", "db named", "host", "at"),
        *(
            "http://",
            "localhost",
            ":8080",
            "/a",
            "$(reboot)",
            ";",
            "'",
            '"',
            "`",
            "\x00",
            "\x1b[0m",
            "\u202e",
            "-",
            ",",
        ),
        *(
            "0",
            "7",
            "50",
            "1,000",
            "9" * 400,
            "10.0.0.5",
            "999.1.1.1",
            "一百",
            "万",
            "亿",
            "个客户端",
            "线程",
            "秒",
            "天",
        ),
        *(
            "数据库",
            "名为",
            "端口",
            "主机",
            "不要",
            "not",
            "but",
            "but not",
            "，",
            "。",
            "５０",
            "٣",
            "x_1",
            "Ünïcode",
            "文件",
        ),
    )
)


@given(
    st.one_of(
        st.text(max_size=300),
        st.lists(FRAGMENTS, max_size=14).map(" ".join),
        st.lists(FRAGMENTS, max_size=14).map("".join),
    )
)
@example("database x; rm -rf /")
@example("port 99999999999999999999999999")
@example("http://[::1")
@example("http://a:99999/")
@example("\ufdfa" * 4000)
@example("at \u0661.\u0661.\u0661.\u0661 port \u0661")
def test_any_text_gives_bounded_checked_hints(text: str) -> None:
    hints = read_request(text)
    for name, (low, high) in LIMITS.items():
        value = getattr(hints, name)
        assert value is None or (isinstance(value, int) and low <= value <= high)
    assert hints.database is None or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", hints.database)
    assert hints.host is None or re.fullmatch(r"[a-z0-9][a-z0-9.-]*", hints.host)
    assert hints.url is None or re.fullmatch(
        r"http://[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?/[A-Za-z0-9._~/%+=&?-]*", hints.url
    )
    shown = "".join(hints.notes) + hints.wording.text
    assert not any(character < " " and character != "\n" for character in shown)


@given(st.text(min_size=4001, max_size=4100))
def test_a_long_request_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=rf"the request has {len(text)} characters, more than 4000") as caught:
        read_request(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("50 clients", "clients", 50),
        ("50个客户端", "clients", 50),
        ("50 并发", "clients", 50),
        ("并发数为 20", "clients", 20),
        ("concurrency 50", "clients", 50),
        ("2 concurrent users", "clients", 2),
        ("ten clients", "clients", 10),
        ("a hundred clients", "clients", 100),
        ("两百个连接", "clients", 200),
        ("no more than 50 clients", "clients", 50),
        ("8 threads", "threads", 8),
        ("threads=8", "threads", 8),
        ("8 个工作线程", "threads", 8),
        ("线程数 16", "threads", 16),
        ("for 30 seconds", "seconds", 30),
        ("30s", "seconds", 30),
        ("30秒", "seconds", 30),
        ("每次 10 秒", "seconds", 10),
        ("1 minute", "seconds", 60),
        ("两分钟", "seconds", 120),
        ("十秒钟", "seconds", 10),
        ("2 GB files", "size_mib", 2048),
        ("512MB 文件", "size_mib", 512),
        ("文件大小 4G", "size_mib", 4096),
        ("files of 2 GiB", "size_mib", 2048),
        ("database shop", "database", "shop"),
        ("the database 'orders'", "database", "orders"),
        ("数据库 shop", "database", "shop"),
        ("数据库名为 shop", "database", "shop"),
        ("db named x", "database", "x"),
        ("database called X_1 with 5 clients", "database", "X_1"),
        ("db=shop", "database", "shop"),
        ("database x; rm -rf /", "database", "x"),
        ("on port 5433", "port", 5433),
        ("端口 5433", "port", 5433),
        ("server at 10.0.0.5", "host", "10.0.0.5"),
        ("host db1.example.com", "host", "db1.example.com"),
        ("localhost:5433", "port", 5433),
        ("see http://localhost:8080/a?b=1.", "url", "http://localhost:8080/a?b=1"),
        ("测试http://127.0.0.1/，50个并发", "url", "http://127.0.0.1/"),
        ("HTTP://LocalHost/A", "url", "http://localhost/A"),
    ],
)
def test_a_hint_is_read(text: str, hint: str, value: object) -> None:
    assert getattr(read_request(text), hint) == value


@pytest.mark.parametrize(
    "text",
    [
        "PostgreSQL database workload",
        "database performance",
        "a database: make it fast",
        "数据库性能",
        "PostgreSQL on localhost",
        "runs on Ubuntu 24.04",
        "on host machine",
        "a machine with 16 GB of memory",
        "every 5 seconds",
        "latency under 5 ms",
        "不要 50 个客户端",
        "十分重要",
        "database",
        "",
    ],
)
def test_what_is_no_hint_is_not_read_as_one(text: str) -> None:
    hints = read_request(text)
    found = {name: getattr(hints, name) for name in (*LIMITS, "database", "host", "url")}
    assert found == dict.fromkeys(found)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("0 clients", "“0 clients” is not between 1 and 1000 clients; the default is used."),
        ("a million clients", "“a million clients” is not between 1 and 1000 clients; the default is used."),
        ("2.5 clients", "“2.5 clients” is not between 1 and 1000 clients; the default is used."),
        ("3 days", "“3 days” is not between 2 and 600 seconds per run; the default is used."),
        ("port 70000", "“port 70000” is not between 1 and 65535 as a port; the default is used."),
        ("at 10.0.0.999", "“10.0.0.999” is no address; knobctl uses a server of its own."),
        ("database named x;reboot", "“x;reboot” is no database name" + NAME),
        ("db=$(reboot)", "“$(reboot” is no database name" + NAME),
        ("https://localhost/", "“https://localhost/” is no address" + ADDRESS),
        ("http://a@localhost/", "“http://a@localhost/” is no address" + ADDRESS),
        ("http://localhost:0/", "“http://localhost:0/” is no address" + ADDRESS),
        ("in 10 minutes", "“in 10 minutes” looks like a limit for the whole run: give it as --time-budget."),
        ("http://example.com/", "example.com is not this machine" + ELSEWHERE),
        ("without fsync", "Read as not wanted: “without fsync”."),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_reported(text: str, note: str) -> None:
    assert read_request(text).notes == (note,)


def test_negation_ends_with_its_clause() -> None:
    assert read_request("not 50 clients but 20 clients").clients == 20
    assert read_request("50 clients, not read-only") == Hints(
        wording=read_request("50 clients, not read-only").wording,
        clients=50,
        notes=("Read as not wanted: “not read-only”.",),
    )


@pytest.mark.parametrize(
    ("text", "read_only"),
    [
        ("PostgreSQL without writes", True),
        ("PostgreSQL (without any writing)", True),
        ("PostgreSQL with no writes at all", True),
        ("PostgreSQL, don't do any writes, 16 clients", True),
        ("PostgreSQL, no writes", True),
        ("PostgreSQL，不写", True),
        ("PostgreSQL，没有写入，16 个客户端", True),
        ("PostgreSQL，不要写入", True),
        ("PostgreSQL 没有任何写操作", True),
        ("Our PostgreSQL server can not keep up with writes", False),
        ("our database does not handle many writes well", False),
        ("optimize PostgreSQL without writing anything to /etc", False),
        ("optimize PostgreSQL, do not slow down writes", False),
        ("优化 PostgreSQL，不要写日志", False),
        ("优化 PostgreSQL，不写日志", False),
        ("优化 PostgreSQL，不要影响写入性能", False),
    ],
)
def test_only_no_writes_at_all_means_reading_alone(text: str, read_only: bool) -> None:
    hints = read_request(text)
    assert (hints.read_only, hints.write_heavy, hints.database) == (read_only, False, None)


@pytest.mark.parametrize("word", ["does", "can", "could", "did", "will", "has", "still"])
def test_a_verb_before_a_negation_is_no_name_of_a_database(word: str) -> None:
    assert read_request(f"our database {word} not answer fast enough").database is None
    assert read_request("our database shop without writes").database == "shop"
