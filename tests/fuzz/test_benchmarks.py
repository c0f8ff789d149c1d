"""Whatever a benchmark prints, and whatever a command says: no reader of it raises, and every number is finite."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from knobctl.workload.registry import adapters
from knobctl.workload.tool import ProgressLine, ToolAdapter
from tests.fuzz.trying import MARKS, NUMBERS, is_campaign, mutated_lines, mutated_text, reading, sized, texts
from tests.workload.captured import REPLAY, captured

ADAPTERS = pytest.mark.parametrize("adapter", adapters(), ids=lambda adapter: adapter.program)
FILES = sorted(path.stem for path in REPLAY.glob("*.txt"))
COMMANDS: dict[str, list[list[str]]] = {
    "pgbench": [["-T", "3"], ["-c", "4", "-t", "100"], ["-T", "3", "-R", "50", "-L", "10"], ["-C", "-S", "-T", "3"]],
    "ab": [["-n", "20000", "http://localhost/"], ["-t", "3", "-c", "4", "http://localhost/"]],
    "wrk": [["http://localhost/"], ["-d", "3s", "--latency", "http://localhost/"]],
    "sysbench": [
        *[["fileio", f"--file-test-mode={mode}", "--time=3", "run"] for mode in ("rndrw", "seqwr", "rndrd")],
        *[[test, "--events=10", "--percentile=99", "run"] for test in ("cpu", "memory", "threads", "mutex")],
    ],
    "fio": [["--name=m", "--rw=randrw", "--size=1m"], ["--name=m", "--rw=write", "--size=1m", "--output-format=json"]],
}
SHUFFLED = st.lists(
    st.sampled_from(
        [*{line for name in FILES for line in captured(name).split("\n") if re.search("[0-9]", line)}, *NUMBERS, *MARKS]
    ),
    max_size=25,
).map("\n".join)
"""Lines of all tools together."""

OUTPUTS = st.one_of(
    st.sampled_from(FILES).flatmap(lambda name: mutated_lines(captured(name))),
    st.sampled_from(FILES).flatmap(lambda name: mutated_text(captured(name))),
    st.sampled_from(FILES).flatmap(
        lambda name: st.sampled_from(NUMBERS).map(lambda number: re.sub(r"[0-9.]+", number, captured(name)))
    ),
    SHUFFLED,
    texts,
    st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "replace")),
    st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)


def commands_of(adapter: ToolAdapter) -> st.SearchStrategy[list[str]]:
    return st.sampled_from(COMMANDS[adapter.program]).map(lambda arguments: [adapter.program, *arguments])


def check_line(said: ProgressLine | None) -> None:
    if said is not None:
        assert math.isfinite(said.seconds)
        assert math.isfinite(said.done)
        assert all(math.isfinite(value) for value in said.metrics.values())
        assert said.fraction is None or 0.0 <= said.fraction <= 1.0


def check_output(adapter: ToolAdapter, argv: Sequence[str], output: str) -> None:
    metrics = adapter.parse(argv, output)
    assert all(isinstance(name, str) and math.isfinite(value) for name, value in metrics.items())
    assert isinstance(adapter.complaint(argv, metrics, output), str)
    previous = None
    for number, line in enumerate(output.splitlines()[:30]):
        said = adapter.progress(argv, line, number / 10, previous)
        check_line(said)
        previous = said or previous


@ADAPTERS
@sized(60)
@given(data=st.data())
def test_what_a_benchmark_prints(adapter: ToolAdapter, data: st.DataObject) -> None:
    argv, output = data.draw(commands_of(adapter)), data.draw(OUTPUTS)
    with reading(f"output of {adapter.program}"):
        check_output(adapter, argv, output)


METRIC_VALUES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, -0.0, 1e308, 5e-324]))


@ADAPTERS
@sized(20)
@given(data=st.data())
def test_what_is_said_about_any_metrics(adapter: ToolAdapter, data: st.DataObject) -> None:
    argv, output = data.draw(commands_of(adapter)), data.draw(OUTPUTS)
    names = [spec.name for spec in adapter.metrics(argv)]
    metrics = data.draw(st.dictionaries(st.sampled_from(names), METRIC_VALUES))
    with reading(f"complaints of {adapter.program}"):
        assert isinstance(adapter.complaint(argv, metrics, output), str)


ARGUMENTS = [
    "-c", "-j", "-T", "-t", "-n", "-k", "-d", "-R", "-L", "-P", "-b", "-s", "-h", "-f", "-l", "--", "-", "--time",
    "--time=",
    "--size=1m", "--size", "--rw=write", "--name=x", "--runtime=5", "--loops=3", "--output-format=json",
    "--latency", "-d30s",
    "-d1h", "--percentile=99", "--events=0", "run", "fileio", "cpu", "memory", "prepare", "cleanup",
    "http://localhost/", "db",
    "http://[::1]:99999/", "http://a@b", "http://[", "//x", "-c5", "-nS", "-T=3", "--client=5",
    "--file-total-size=9e9", "-1",
    "postgres://u:p@h/db", "host=x", "/etc/passwd", "--filename=/dev/sda", "--exec_prerun=reboot", "$(id)", "1e3",
    "0x5",
]  # fmt: skip


@ADAPTERS
@sized(60)
@given(arguments=st.lists(st.one_of(st.sampled_from([*ARGUMENTS, *NUMBERS, *MARKS]), texts), max_size=8))
@example(arguments=["-" * 5000])
@example(arguments=["-T", "9" * 5000, "--time=" + "9" * 5000, "--size=" + "9" * 5000])
def test_any_arguments(adapter: ToolAdapter, arguments: list[str]) -> None:
    argv = [adapter.program, *arguments]
    with reading(f"arguments of {adapter.program}"):
        problems = adapter.problems(argv)
        assert all(isinstance(problem, str) and problem for problem in problems)
        assert all(spec.name and spec.direction for spec in adapter.metrics(argv))
        seconds = adapter.run_seconds(argv)
        assert seconds is None or math.isfinite(seconds)
        complete = adapter.complete(argv)
        if not problems:
            assert seconds is None or seconds >= 0
            assert complete[0] == adapter.program
            assert adapter.problems(complete) == [], "what knobctl adds is allowed"
        assert not adapter.parse(argv, "")
        check_line(adapter.progress(argv, "", 0.0, None))


@ADAPTERS
@pytest.mark.parametrize(
    "line", ["", "1", "progress: 1.0 s, ", "99% ", "[ 1s ] ", '{"jobs":[', "\x1b[0m", "((((", "Jobs: 1 ("]
)
def test_long_output(adapter: ToolAdapter, line: str) -> None:
    """Four megabytes are what the agent lets through; who takes the square of them never ends."""
    argv = [adapter.program, *COMMANDS[adapter.program][0]]
    length = 4_000_000 if is_campaign() else 100_000
    for output in (line * (length // max(1, len(line))), f"{line}\n" * (length // (len(line) + 1))):
        with reading(f"long output of {adapter.program}"):
            metrics = adapter.parse(argv, output)
        assert all(math.isfinite(value) for value in metrics.values())
