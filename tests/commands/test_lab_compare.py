"""``knobctl lab compare`` and ``knobctl lab scaling``."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from knobctl.commands.lab_compare import SPLITS
from knobctl.lab import compare_surfaces
from knobctl.lab.compare_file import CompareRecord, read_comparisons, write_comparisons
from knobctl.lab.compare_frozen import sources_hash
from knobctl.lab.study_file import this_machine
from tests.commands.conftest import CommandLine
from tests.lab.comparisons import case, played

WORDS = ("lab", "compare", "--surfaces", "1", "--seeds", "1", "--budget", "6")


def test_the_command_knows_both_halves() -> None:
    assert SPLITS == compare_surfaces.SPLITS


def test_a_file_is_gone_on_with_and_another_contender_joins_it(knobctl: CommandLine, tmp_path: Path) -> None:
    path, page = tmp_path / "numbers.json", tmp_path / "page.md"
    first = knobctl(*WORDS, "--searchers", "random", "-o", str(path), "--json")
    assert (first.document["simulated"], first.document["sessions"]) == (True, 1)
    # A mark in the session that is there shows that it is not played again.
    document = json.loads(path.read_text())
    columns = document["splits"]["development"]["columns"]
    document["splits"]["development"]["sessions"][0][columns.index("ended")] = "WORSE"
    document["splits"]["development"].update(date="2026-01-01", machine="64 cores")
    path.write_text(json.dumps(document))
    both = knobctl(*WORDS, "--searchers", "one-at-a-time", "-o", str(path), "--resume", "--page", str(page))
    assert both.out.splitlines()[0] == "SIMULATED comparison, machines for development: 2 sessions"
    assert "random against the others, in pairs" in both.out.splitlines()
    record = read_comparisons(path)["development"]
    assert [(each.contender, one.ended == "WORSE") for each, one in record.sessions.items()] == [
        ("random", True), ("one-at-a-time", False),
    ]  # fmt: skip
    assert record.command == (
        "knobctl lab compare --split development --searchers one-at-a-time --surfaces 1 --seeds 1 --budget 6"
    )
    assert (record.date, record.machine) == ("2026-01-01", f"64 cores; {this_machine()}")
    assert page.read_text().startswith("# Leaderboard of searchers\n\nWhat came of 2 sessions")
    knobctl(*WORDS, "--searchers", "one-at-a-time", "-o", str(path), "--resume")
    assert read_comparisons(path)["development"] == record, "nothing was played"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--searchers", "random,sac"), "unknown contender 'sac'"),
        (("--resume",), "--resume and --page need the file of -o"),
        (("--page", "x.md"), "--resume and --page need the file of -o"),
    ],
)
def test_what_makes_no_sense_is_refused(knobctl: CommandLine, words: tuple[str, ...], error: str) -> None:
    done = knobctl(*WORDS, *words, "--json")
    assert done.code == 2
    assert error in done.document["error"]


@pytest.mark.parametrize(
    ("sources", "error"),
    [
        ("0" * 64, "with the searchers 000000000000"),
        (sources_hash(), "the file holds sessions with --noise vm and --budget 60"),
    ],
)
def test_sessions_of_another_kind_are_not_mixed_in(
    knobctl: CommandLine, tmp_path: Path, sources: str, error: str
) -> None:
    path = tmp_path / "numbers.json"
    before = CompareRecord("knobctl", metadata.version("knobctl"), sources, "2026-01-01", "2 cores", {case(): played()})
    write_comparisons(path, {"development": before})
    done = knobctl(*WORDS, "--searchers", "random", "-o", str(path), "--resume", "--json")
    assert done.code == 2
    assert error in done.document["error"]
    assert read_comparisons(path) == {"development": before}


@pytest.mark.long  # a new process loads everything anew
def test_scaling_measures_each_load(knobctl: CommandLine, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    words = ("--searchers", "random", "--knobs", "3", "--trials", "5", "--page", str(page), "--json")
    done = knobctl("lab", "scaling", *words)
    assert done.code == 0
    (row,) = done.document["rows"]
    assert (row["searcher"], row["knobs"], row["trials"], row["way"]) == ("random", 3, 5, "played")
    assert row["cpu"] > 0
    assert "`knobctl lab scaling --searchers random --knobs 3 --trials 5`" in page.read_text()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--searchers", "sac"), "unknown searcher 'sac'"),
        (("--knobs", "six"), "--knobs 'six' are no numbers"),
        (("--trials", ""), "--trials '' are no numbers"),
    ],
)
def test_a_scaling_that_makes_no_sense_is_refused(knobctl: CommandLine, words: tuple[str, ...], error: str) -> None:
    done = knobctl("lab", "scaling", *words, "--json")
    assert done.code == 2
    assert error in done.document["error"]
