"""``lab record`` and ``lab sweep`` on simulated machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knobctl.lab.sweep import read_sweep
from tests.commands.conftest import CommandLine, Done
from tests.commands.plans import FIVE_KEYS, document, plan_file

SIMULATED = ("--target", "simulated:file-write")


@pytest.fixture
def plan(tmp_path: Path) -> str:
    return str(plan_file(tmp_path, {**document("file-write"), "reward_metric": "written_mib_per_second"}))


@pytest.fixture
def record(knobctl: CommandLine, plan: str, tmp_path: Path) -> Done:
    return knobctl("lab", "record", plan, "-o", str(tmp_path / "a.jsonl.gz"), "--runs", "60", *SIMULATED, "--yes")


# --- record


def test_record_shows_the_plan_every_run_and_the_restore(record: Done, tmp_path: Path) -> None:
    assert record.code == 0
    assert record.out == ""
    for words in (
        "SIMULATED Plan: the file-write surface (plan.json)",
        "  trials   a sweep of 60 runs, 4 min and more; nothing is searched or proven",
        "SIMULATED sweep: one configuration after the other, 60 runs",
        "SIMULATED   60/60 search: ",
        "SIMULATED restore: putting every knob back",
        f"60 of 60 runs are in {tmp_path}/a.jsonl.gz",
    ):
        assert words in record.err
    assert read_sweep(tmp_path / "a.jsonl.gz").complete


def test_the_command_in_the_file_names_no_folder_and_makes_the_same_runs(
    record: Done, knobctl: CommandLine, plan: str, tmp_path: Path
) -> None:
    command = read_sweep(tmp_path / "a.jsonl.gz").header.command
    assert command == "knobctl lab record plan.json -o a.jsonl.gz --runs 60 --seed 1 --target simulated:file-write"
    again = str(tmp_path / "again.jsonl.gz")
    knobctl("lab", "record", plan, "-o", again, "--runs", "60", "--seed", "1", *SIMULATED, "--yes", "-q")
    assert read_sweep(Path(again)).runs == read_sweep(tmp_path / "a.jsonl.gz").runs


def test_a_recording_in_parts(knobctl: CommandLine, plan: str, tmp_path: Path) -> None:
    words = ("lab", "record", plan, "-o", str(tmp_path / "b.jsonl"), "--runs", "30", *SIMULATED)
    first = knobctl(*words, "--yes", "--json", "--minutes", "2")
    assert first.code == 0
    assert not first.document["complete"]
    assert 10 < first.document["runs"] < 30
    assert "give the same command again to go on" in first.err
    second = knobctl(*words, "--yes", "--json", "-q")
    assert second.document == {
        "file": str(tmp_path / "b.jsonl"), "runs": 30, "of": 30, "measured": 30 - first.document["runs"],
        "complete": True,
    }  # fmt: skip


def test_waiting_for_calm_is_part_of_the_command(knobctl: CommandLine, plan: str, tmp_path: Path) -> None:
    words = ("--runs", "3", "--calm", "25", "--minutes", "9", *SIMULATED, "--yes")
    assert knobctl("lab", "record", plan, "-o", str(tmp_path / "a.jsonl"), *words).code == 0
    assert " --seed 1 --calm 25 --target " in read_sweep(tmp_path / "a.jsonl").header.command


def test_nothing_is_measured_without_a_yes(knobctl: CommandLine, plan: str, tmp_path: Path) -> None:
    done = knobctl("lab", "record", plan, "-o", str(tmp_path / "a.jsonl"), *SIMULATED)
    assert done.code == 2
    assert "a confirmation is needed" in done.err
    assert not (tmp_path / "a.jsonl").exists()


def test_a_dry_run_measures_nothing(knobctl: CommandLine, plan: str, tmp_path: Path) -> None:
    done = knobctl("lab", "record", plan, "-o", str(tmp_path / "a.jsonl"), *SIMULATED, "--dry-run", "--json")
    assert done.code == 0
    assert done.document == {"dry_run": True, "runs": 300, "seconds": 1200.0}
    assert "dry run: nothing was touched" in done.err
    assert not (tmp_path / "a.jsonl").exists()


def test_a_command_of_its_own_needs_consent_to_exactly_its_text(knobctl: CommandLine, tmp_path: Path) -> None:
    own = {
        **FIVE_KEYS, "benchmark_command": "./mine --fast", "metric_pattern": "score: ([0-9]+)",
        "reward_metric": "score", "direction": "maximize",
    }  # fmt: skip
    words = ("lab", "record", str(plan_file(tmp_path, own)), "-o", str(tmp_path / "a.jsonl"), "--runs", "3")
    refused = knobctl(*words, "--target", "simulated", "--yes")
    assert refused.code == 2
    assert "./mine" in refused.err
    other = knobctl(*words, "--target", "simulated", "--yes", "--command", "./mine --slow")
    assert other.code == 2
    assert "--command is not the plan's command: ./mine --fast" in other.err
    assert knobctl(*words, "--target", "simulated", "--yes", "--command", "./mine --fast").code == 0


def test_another_sweep_in_the_file_is_refused(record: Done, knobctl: CommandLine, plan: str, tmp_path: Path) -> None:
    words = ("--runs", "60", "--seed", "2", *SIMULATED, "--yes", "--json")
    done = knobctl("lab", "record", plan, "-o", str(tmp_path / "a.jsonl.gz"), *words)
    assert done.code == 2
    assert "holds another sweep: its seed is different" in done.document["error"]


# --- sweep


def test_sweep_says_what_was_measured_and_what_the_surface_is(
    record: Done, knobctl: CommandLine, tmp_path: Path
) -> None:
    done = knobctl("lab", "sweep", str(tmp_path / "a.jsonl.gz"))
    assert done.code == 0
    assert done.err == ""
    lines = done.out.splitlines()
    assert lines[0].startswith("SIMULATED sweep a: written_mib_per_second of sysbench fileio")
    assert lines[1].startswith("  60 of 60 runs, 0 failed, in 1 part(s), 5 min")
    assert lines[3].startswith("  made by: knobctl lab record plan.json")
    assert lines[5].startswith("  noise of a run about ")
    assert lines[6].startswith("the surface: 43 configurations; R² 0.")
    effects = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[7:10]}
    assert effects["vm.dirty_expire_centisecs"] == "no measurable effect"
    assert effects["vm.dirty_ratio"].startswith("+0.0 % to +")
    assert lines[10].startswith("best of the surface: vm.dirty")


def test_sweep_as_json_holds_the_same(record: Done, knobctl: CommandLine, tmp_path: Path) -> None:
    found = knobctl("lab", "sweep", str(tmp_path / "a.jsonl.gz"), "--json").document
    assert (found["runs"], found["failed"], found["parts"], found["simulated"]) == (60, 0, 1, True)
    assert found["default_score"] == pytest.approx(3800.0, rel=0.03)
    assert set(found["active"]) == {"vm.dirty_ratio", "vm.dirty_background_ratio"} == set(found["best"])
    assert found["best_percent"] > 100.0
    assert found["fit"]["r_squared"] > 0.7
    assert 0.5 < found["noise_percent"] < 6.0


def test_sweep_lists_those_that_come_with_knobctl(knobctl: CommandLine) -> None:
    names = knobctl("lab", "sweep").out.split()
    assert knobctl("lab", "sweep", "--json").document == {"sweeps": names}
    assert "sysbench-seqwr" in names


def test_sweep_of_nothing(knobctl: CommandLine, tmp_path: Path) -> None:
    done = knobctl("lab", "sweep", "nowhere")
    assert done.code == 2
    assert "there is no sweep 'nowhere'" in done.err
    (tmp_path / "a.jsonl").write_text(json.dumps({"walk": 1}) + "\n")
    assert "'walk' is none of header, part, run" in knobctl("lab", "sweep", str(tmp_path / "a.jsonl")).err


def test_a_machine_that_behaves_like_a_sweep(record: Done, knobctl: CommandLine, plan: str, tmp_path: Path) -> None:
    target = f"simulated:sweep:{tmp_path}/a.jsonl.gz"
    words = ("--searcher", "random", "--budget", "12", "--seed", "1", "--yes", "--json")
    done = knobctl("run", plan, "--target", target, *words)
    assert done.document["simulated"]
    assert done.document["verdict"] == "IMPROVED"
    assert done.document["improvement"] > 50.0
