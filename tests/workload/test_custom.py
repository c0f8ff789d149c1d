from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobctl.errors import UsageError
from knobctl.workload.base import MetricSpec
from knobctl.workload.custom import CustomAdapter, PatternAdapter, check_pattern, last_match
from knobctl.workload.pgbench import PgbenchAdapter
from tests.workload.captured import captured
from tests.workload.folder_target import Played, ScriptedTarget

SCORE = MetricSpec("score", "", "maximize")
PATTERN = r"score: ([0-9.,e+]+)"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("score: 12.5", 12.5),
        ("score: 1\nother: 5\nscore: 2\n", 2.0),
        ("a score: 1,234.5 b", 1234.5),
        ("score: 1.5e+3", 1500.0),
        ("score: 1,5", None),
        ("nothing", None),
        ("score: e", None),
    ],
)
def test_the_last_match_counts_and_has_to_be_a_number(text: str, number: float | None) -> None:
    assert last_match(PATTERN, text) == number


def test_a_caret_means_the_start_of_a_line() -> None:
    assert last_match(r"^x ([0-9]+)$", "y\nx 7\nz x 8\n") == 7.0


def test_an_optional_group_that_took_no_part_is_skipped() -> None:
    assert last_match(r"a(?:=([0-9]+))?", "a=5 a") == 5.0


def test_a_careless_pattern_is_ended_in_time() -> None:
    started = time.monotonic()

    assert last_match(r"(a+)+$", "a" * 60 + "!", seconds=0.5) is None
    assert time.monotonic() - started < 5.0


def test_a_greedy_pattern_is_ended_before_it_takes_the_memory() -> None:
    started = time.monotonic()

    assert last_match("(?:" + "(a)?" * 60 + "a)*b()", "a" * 1_000_000, seconds=60.0) is None
    assert time.monotonic() - started < 30.0, "it is ended for its memory, not for its time"


def test_only_the_end_of_a_long_output_is_looked_at() -> None:
    assert last_match(PATTERN, "score: 1\n" + "x" * 1_000_001) is None
    assert last_match(PATTERN, "x" * 1_000_001 + "\nscore: 1") == 1.0


@settings(max_examples=15)
@given(st.text(max_size=30), st.text(max_size=30))
def test_a_metric_between_any_noise_is_found(before: str, after: str) -> None:
    assert last_match(r"QZ=([0-9]+)Q", f"{before}\nQZ=42Q\n{after}") == 42.0


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("score: [0-9]+", "the metric pattern 'score: [0-9]+' has no group in parentheses"),
        ("score: ([0-9]+", "the metric pattern 'score: ([0-9]+' is no regular expression: missing ), unterminated"
         " subpattern at position 7"),
    ],
)  # fmt: skip
def test_a_pattern_that_cannot_work_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_pattern(pattern)

    assert raised.value.message == message
    assert "--metric-pattern" in raised.value.hint


def test_an_unknown_command_always_needs_consent() -> None:
    adapter = CustomAdapter("mybench", SCORE, PATTERN)

    assert adapter.problems(["mybench"]) == [
        "mybench is no benchmark that knobctl knows, so it runs only with your own consent"
    ]
    assert adapter.metrics(["mybench"]) == (SCORE,)


def test_an_unknown_command_is_run_reset_and_read() -> None:
    target = ScriptedTarget({"mybench": Played("warming up\nscore: 17\n", pace=2.0)})
    workload = CustomAdapter("mybench", SCORE, PATTERN).bind(["/opt/mybench", "--fast"], target, "score", ("rm", "x"))

    workload.reset()
    measurement = workload.run()

    assert [command.argv for command in target.commands] == [("rm", "x"), ("/opt/mybench", "--fast")]
    assert measurement.metrics == {"score": 17.0}
    assert measurement.seconds == workload.run_seconds == 4.0


def test_a_command_without_its_metric_is_a_failed_trial() -> None:
    target = ScriptedTarget({"mybench": Played("hello\nworld\n")})

    measurement = CustomAdapter("mybench", SCORE, PATTERN).bind(["mybench"], target, "score").run()

    assert measurement.metrics == {}
    assert measurement.failure == "mybench printed no score; its last words: hello | world"


def test_a_pattern_with_a_known_tool_comes_first_and_keeps_the_tools_own_server() -> None:
    metric = MetricSpec("stddev", "ms", "minimize")
    adapter = PatternAdapter(PgbenchAdapter(), metric, r"latency stddev = ([0-9.]+)")
    target = ScriptedTarget({"pgbench": Played(captured("pgbench-15-tpcb"))})
    argv = ["pgbench", "-c", "8", "-T", "3", "-P", "1"]
    workload = adapter.bind(argv, target, "stddev")

    workload.prepare()
    measurement = workload.run()

    assert [spec.name for spec in adapter.metrics(argv)][:2] == ["stddev", "transactions_per_second"]
    assert adapter.problems(argv) == []
    assert len(target.started) == 1
    assert measurement.metrics["stddev"] == 1.362
    assert measurement.metrics["transactions_per_second"] == 1956.114443


def test_a_pattern_overrides_the_tools_metric_of_the_same_name() -> None:
    metric = MetricSpec("latency_average_ms", "ms", "minimize")
    adapter = PatternAdapter(PgbenchAdapter(), metric, r"clients: ([0-9]+)")

    assert adapter.parse(["pgbench"], captured("pgbench-15-tpcb"))["latency_average_ms"] == 8.0
    assert "latency_average_ms" not in adapter.parse(["pgbench"], captured("pgbench-9.5-docs").replace("clients", ""))
    said = adapter.progress(["pgbench"], "progress: 1.0 s, 9.0 tps, lat 3.0 ms stddev 1.0", 1.0, None)
    assert said is not None
    assert said.metrics == {"transactions_per_second": 9.0, "latency_stddev_ms": 1.0}
