"""What is written about a campaign: every fault has a line, and what was not restored stands at the top."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults import report
from tests.faults.playing import Outcome
from tests.faults.registry import SINGLE

OUTCOMES = [
    Outcome("kill-main", 1, "program", True, False, 0.5, 1.0),
    Outcome("kill-main", 2, "command", True, False, 0.1, 0.2),
    Outcome("kill-main", 3, "program", True, False, None, 0.3),
    Outcome("kill-main", 4, "program", False, False, None, 0.0),
    Outcome("kill-agent", 5, "program", True, False, 0.2, 0.4, ("the lock is held",), ("main program: open",)),
    Outcome("kill-main+full-disk", 6, "program", True, False, 0.7, 0.8),
]


def test_times_are_of_runs_in_which_something_was_changed() -> None:
    line = report.row(SINGLE["kill-main"], OUTCOMES[:4])
    assert (line.runs, line.restored, line.without_effect) == (3, 3, 1)
    assert (line.median, line.longest, line.gone) == (0.3, 0.5, 1.0)


def test_a_run_that_was_not_restored_is_counted_and_named() -> None:
    page = report.page(OUTCOMES, "the command")
    assert report.summary(OUTCOMES) == "4 of 5 runs left nothing behind; 1 found nothing to strike"
    assert "**4 of 5 runs left nothing behind.**\n\n* `kill-agent`, seed 5: the lock is held" in page
    assert (
        "| `kill-agent` | `kill -9` of the agent | watcher, from the journal | 1 | 0 | 0.20 s | 0.20 s | 0.40 s |"
        in page
    )


def test_every_fault_has_a_line_and_a_pair_counts_for_both() -> None:
    page = report.page(OUTCOMES, "the command")
    assert all(f"| `{name}` |" in page for name in SINGLE)
    assert "| `full-disk` | 1 | 1 | 0.70 s | 0.70 s |" in page
    assert "| `kill-main` | 1 | 1 | 0.70 s | 0.70 s |" in page
    assert "1 of 1 runs with two different faults" in page


def test_page_and_figures_are_written_together(tmp_path: Path) -> None:
    report.write(tmp_path, OUTCOMES, 500, 9)
    figures = json.loads((tmp_path / "faults.json").read_text())
    assert figures["command"] == "scripts/fault_campaign.py --runs 500 --seed 9"
    assert [run["seed"] for run in figures["not_restored"]] == [5]
    assert figures["single"][0]["median"] == 0.3
    assert figures["command"] in (tmp_path / "faults.md").read_text()


def test_a_campaign_goes_on_where_its_record_stops(tmp_path: Path) -> None:
    record = report.Record(tmp_path / "record")
    assert record.outcomes() == []
    for outcome in OUTCOMES:
        record.add(outcome)
    assert record.outcomes() == OUTCOMES
    assert report.Record(None).outcomes() == []
