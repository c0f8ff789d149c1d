"""Reading a sweep file: what was written comes back, and what is damaged is refused with the line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knobctl.errors import StoreError, UsageError
from knobctl.lab import sweep as module
from knobctl.lab.sweep import Sweep, line_of, open_sweep, parse_sweep, read_sweep, shipped_sweeps
from knobctl.plan import parse_plan
from tests.lab.sweeps import recorded

Document = dict[str, Any]
LINES = 62  # header, part, warm-up, and runs up to this one


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return recorded(tmp_path_factory.mktemp("sweep") / "machine.jsonl.gz")


@pytest.fixture(scope="module")
def lines(sweep: Sweep) -> list[Document]:
    records = [sweep.header, *sweep.parts, *sweep.runs]
    return [json.loads(line_of(record)) for record in records]


def text(lines: list[Document]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_what_was_written_comes_back(sweep: Sweep, lines: list[Document], tmp_path: Path) -> None:
    assert sweep.name == "machine"
    assert parse_sweep(text(lines), "machine.jsonl") == sweep
    assert parse_sweep(gzip.compress(text(lines)), "machine.jsonl.gz") == sweep
    (tmp_path / "machine.jsonl").write_bytes(text(lines))
    assert open_sweep(str(tmp_path / "machine.jsonl")) == sweep


def test_a_sweep_that_was_cut_off_reads_up_to_its_last_complete_line(sweep: Sweep, lines: list[Document]) -> None:
    whole = text(lines)
    assert parse_sweep(whole[:-1], "machine").runs == sweep.runs[:-1]
    cut = parse_sweep(gzip.compress(whole)[:-300], "machine")
    assert 0 < len(cut.runs) < len(sweep.runs)
    assert cut.runs == sweep.runs[: len(cut.runs)]
    assert not cut.complete


def test_several_compressed_members_are_one_file(sweep: Sweep, lines: list[Document]) -> None:
    assert parse_sweep(gzip.compress(text(lines[:9])) + gzip.compress(text(lines[9:])), "machine") == sweep


def run_with(**changed: Any) -> Callable[[list[Document]], None]:
    def change(lines: list[Document]) -> None:
        lines[5]["run"].update(changed)

    return change


def header_with(**changed: Any) -> Callable[[list[Document]], None]:
    def change(lines: list[Document]) -> None:
        lines[0]["header"].update(changed)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines.pop(0), "line 1: the header is missing"),
        (lambda lines: lines.insert(3, lines[0]), "line 4: a second header"),
        (lambda lines: lines.pop(1), "line 2: a run of part 0 after 0 parts"),
        (lambda lines: lines.insert(4, lines[1]), "line 5: part 0 after 1 parts"),
        (lambda lines: lines.insert(4, {"walk": {}}), "line 5: 'walk' is none of header, part, run"),
        (lambda lines: lines.insert(4, {}), "line 5: an object with one key is expected"),
        (lambda lines: lines.insert(4, [1]), "line 5: an object with one key is expected"),
        (lambda lines: lines.append(lines[5]), "place 2 stands twice"),
        (header_with(format=2), "line 1: format 2, and this knobctl reads 1"),
        (header_with(extra=1), "line 1: header: extra: "),
        (header_with(runs="many"), "line 1: header: runs: "),
        (header_with(dimensions=[{"name": "vm.x", "low": 5, "high": 1}]), "low 5 is above high 1"),
        (run_with(place=60), "line 6: place 60 in a design of 60 runs"),
        (run_with(place=-1), "line 6: place -1 for a run whose role is point"),
        (run_with(part=1), "line 6: a run of part 1 after 1 parts"),
        (run_with(role="guess"), "line 6: role 'guess' is none of warmup, default, point, repeat"),
        (run_with(score=-1.0), "line 6: -1.0 is no score"),
        (run_with(score=float("nan")), "line 6: nan is no score"),
        (run_with(score=None), "line 6: a run has either a score or a failure"),
        (run_with(failure="it broke"), "line 6: a run has either a score or a failure"),
        (run_with(configuration={"vm.other": 1}), "line 6: vm.other is no knob of this sweep"),
        (run_with(configuration={"vm.swappiness": 101}), "line 6: vm.swappiness = 101 is outside of what is explored"),
        (run_with(configuration={"vm.swappiness": True}), "line 6: run: configuration.vm.swappiness"),
    ],
)
def test_a_damaged_line_is_named(lines: list[Document], change: Callable[[list[Document]], None], words: str) -> None:
    damaged: list[Document] = json.loads(json.dumps(lines))
    change(damaged)
    with pytest.raises(StoreError) as failure:
        parse_sweep(text(damaged), "a.jsonl")
    assert failure.value.message.startswith("a.jsonl is no sweep: line ")
    assert words in failure.value.message
    assert failure.value.hint == "Record it anew."


@pytest.mark.parametrize("data", [b"", b"{", b'{"header": {}}'])
def test_a_file_without_a_complete_line_is_no_sweep(data: bytes) -> None:
    with pytest.raises(StoreError, match=r"a\.jsonl is no sweep: it has no complete line") as failure:
        parse_sweep(data, "a.jsonl")
    assert failure.value.hint == "Record it with `knobctl lab record`."


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(StoreError, match="is no sweep: line 1"):
        parse_sweep(b"[" * 200_000 + b"\n", "a.jsonl")


def test_damaged_compression_is_refused(lines: list[Document]) -> None:
    packed = bytearray(gzip.compress(text(lines)))
    packed[20:40] = bytes(20)
    with pytest.raises(StoreError, match="is damaged"):
        parse_sweep(bytes(packed), "a.jsonl.gz")


def test_a_file_that_grows_without_bound_is_refused() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(bytes(module.MAX_BYTES + 1)) + packer.flush()
    assert len(bomb) < 100_000
    with pytest.raises(StoreError, match="holds more than 64000000 bytes"):
        parse_sweep(bomb, "a.jsonl.gz")


def test_a_sweep_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"cannot read the sweep nowhere\.jsonl: No such file"):
        read_sweep(Path("nowhere.jsonl"))
    with pytest.raises(UsageError, match="there is no sweep 'nowhere'") as failure:
        open_sweep("nowhere")
    assert "the path of a file made by `knobctl lab record`" in failure.value.hint


# --- the sweeps that come with knobctl


def test_three_sweeps_come_with_knobctl() -> None:
    assert set(shipped_sweeps()) >= {"sysbench-seqwr", "pgbench-write", "ab-nginx"}


@pytest.mark.parametrize("name", shipped_sweeps())
def test_a_shipped_sweep_is_real_and_large_enough(name: str) -> None:
    sweep = open_sweep(name)
    assert sweep.name == name
    assert not sweep.header.simulated
    assert sweep.header.target == "local"
    assert len(sweep.counted) >= 200
    assert sum(run.score is None for run in sweep.counted) < 0.1 * len(sweep.counted)
    assert sum(run.role == "default" for run in sweep.counted) >= 20
    assert sum(run.role == "repeat" for run in sweep.counted) >= 40


@pytest.mark.parametrize("name", shipped_sweeps())
def test_a_shipped_sweep_says_how_it_was_made(name: str) -> None:
    header = open_sweep(name).header
    assert header.command.startswith(f"knobctl lab record {name}.json -o {name}.jsonl.gz --runs {header.runs}")
    shipped = Path(module.__file__).parent / "data" / f"{name}.json"
    assert parse_plan(header.plan) == parse_plan(shipped.read_text())
    assert header.facts.boot_id == ""
