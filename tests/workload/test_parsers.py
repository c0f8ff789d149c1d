"""What holds for every parser, whatever the output."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobctl.workload.base import Adapter
from knobctl.workload.registry import adapters
from knobctl.workload.tool import ToolAdapter
from tests.workload.captured import REPLAY, captured

ADAPTERS = pytest.mark.parametrize("adapter", adapters(), ids=lambda adapter: adapter.program)
FILES = sorted(path.stem for path in REPLAY.glob("*.txt"))
ARGUMENTS = {
    "pgbench": ["-T", "3"],
    "ab": ["-n", "20000", "http://localhost/"],
    "wrk": ["http://localhost/"],
    "sysbench": ["fileio", "--file-test-mode=rndrw", "run"],
    "fio": ["--name=m", "--rw=randrw", "--size=1m"],
}

_words = st.sampled_from(
    re.split(
        " ",
        "tps = ( ) latency average ms stddev progress: s, reads/s: read, MiB/s: Requests per second: Requests/sec: 99% "
        'Latency us 1.5e308 9e999 nan inf -1 0 [ 1s ] eps: events { } "jobs" [] : , total time: number of events: '
        "percentile: 95th Completed requests IOPS=5k, BW=3MiB/s write: 18446744073709.55ms",
    )
)
_texts = st.one_of(
    st.text(max_size=200),
    st.lists(_words, max_size=60).map(" ".join),
    st.lists(st.lists(_words, max_size=6).map(" ".join), max_size=15).map("\n".join),
    st.tuples(st.sampled_from(FILES), st.integers(0, 4000), st.text(max_size=20), st.integers(0, 4000)).map(
        lambda cut: captured(cut[0])[: cut[1]] + cut[2] + captured(cut[0])[cut[3] :]
    ),
)
# Lines as other programs print them: no benchmark's own words.
_noise = st.lists(st.text(alphabet="abcxyz <>{}[]#!?é", max_size=40), max_size=8).map("\n".join)


def _argv(adapter: Adapter) -> list[str]:
    return [adapter.program, *ARGUMENTS[adapter.program]]


@ADAPTERS
@given(output=_texts)
def test_no_output_raises_or_yields_anything_but_finite_numbers(adapter: Adapter, output: str) -> None:
    metrics = adapter.parse(_argv(adapter), output)

    assert all(isinstance(value, float | int) and math.isfinite(value) for value in metrics.values())


@ADAPTERS
@given(line=_texts, seconds=st.floats(0, 1e6))
def test_no_line_raises_or_yields_a_sample_that_is_no_number(adapter: ToolAdapter, line: str, seconds: float) -> None:
    previous = adapter.progress(_argv(adapter), line, seconds, None)
    for said in (previous, adapter.progress(_argv(adapter), line, seconds, previous)):
        if said is not None:
            assert math.isfinite(said.seconds)
            assert all(math.isfinite(value) for value in said.metrics.values())
            assert said.fraction is None or 0.0 <= said.fraction <= 1.0


@ADAPTERS
@settings(max_examples=25)
@given(before=_noise, after=_noise)
def test_metrics_are_found_between_the_words_of_others(adapter: Adapter, before: str, after: str) -> None:
    for name in FILES:
        if name.startswith(f"{adapter.program}-"):
            alone = adapter.parse(_argv(adapter), captured(name))
            assert adapter.parse(_argv(adapter), f"{before}\n{captured(name)}\n{after}") == alone


@ADAPTERS
@given(arguments=st.lists(st.text(max_size=12), max_size=8))
def test_no_arguments_raise(adapter: ToolAdapter, arguments: list[str]) -> None:
    argv = [adapter.program, *arguments]

    assert all(isinstance(problem, str) and problem for problem in adapter.problems(argv))
    assert adapter.metrics(argv)
    adapter.complete(argv)
    seconds = adapter.run_seconds(argv)
    assert seconds is None or seconds >= 0


@ADAPTERS
def test_the_output_of_another_tool_has_no_usual_objective(adapter: Adapter) -> None:
    objective = adapter.metrics(_argv(adapter))[0].name
    shared = {"requests_per_second": ("ab-", "wrk-")}
    own = shared.get(objective, (f"{adapter.program}-",))

    for name in FILES:
        if not name.startswith(own):
            assert objective not in adapter.parse(_argv(adapter), captured(name)), name


def test_every_captured_file_belongs_to_a_tool() -> None:
    programs = tuple(f"{adapter.program}-" for adapter in adapters())

    assert len(FILES) > 40
    assert all(name.startswith(programs) for name in FILES)
