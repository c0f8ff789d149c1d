"""``knobctl lab study``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knobctl.commands.lab_study import NAMES
from knobctl.lab.studies import STUDIES
from knobctl.lab.study_file import read_studies
from tests.commands.conftest import CommandLine


def test_the_command_knows_every_study() -> None:
    assert tuple(STUDIES) == NAMES


def test_a_study_prints_its_tables_and_checks(knobctl: CommandLine) -> None:
    done = knobctl("lab", "study", "null", "--sessions", "1", "--noise", "quiet")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "SIMULATED study null: How often is a gain claimed where there is none?"
    assert "  nothing proposed: 1" in lines
    assert "met         whole sessions, quiet: at most 2.5 % false IMPROVED: 0 of 1: 0.0 % (0.0 to 97.5)" in lines


def test_a_file_keeps_every_session_and_is_gone_on_with(knobctl: CommandLine, tmp_path: Path) -> None:
    path, page = tmp_path / "numbers.json", tmp_path / "page.md"
    words = ("lab", "study", "minimal", "--noise", "quiet", "--seed", "7", "-o", str(path))
    first = knobctl(*words, "--sessions", "1", "--json")
    assert first.document["simulated"]
    assert [check["met"] for check in first.document["studies"]["minimal"]["checks"]] == [True, True]
    ((case, _),) = read_studies(path)["minimal"].sessions.items()
    assert (case.seed, case.noise, case.family) == (7, "quiet", "few")
    # A mark in the session that is there shows that it is not played again.
    path.write_text(path.read_text().replace('"NO_CHANGE"', '"IMPROVED"').replace('"IMPROVED"', '"WORSE"'))
    knobctl(*words, "--sessions", "2", "--resume", "--page", str(page), "--json")
    study = read_studies(path)["minimal"]
    assert study.command == "knobctl lab study minimal --sessions 2 --noise quiet --seed 7"
    assert [played.ended for played in study.sessions.values()] == ["WORSE", "IMPROVED"]
    assert page.read_text().startswith("# Can the numbers be trusted?\n\nWhat came of 2 sessions")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--noise", "quiet,loud"), "unknown noise 'loud'"),
        (("--resume",), "--resume and --page need the file of -o"),
        (("--page", "x.md"), "--resume and --page need the file of -o"),
    ],
)
def test_what_makes_no_sense_is_refused(knobctl: CommandLine, words: tuple[str, ...], error: str) -> None:
    done = knobctl("lab", "study", "null", "--sessions", "1", *words, "--json")
    assert done.code == 2
    assert error in done.document["error"]


def test_sessions_of_another_version_are_not_mixed_in(knobctl: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    words = ("lab", "study", "minimal", "--noise", "quiet", "--sessions", "1", "-o", str(path), "--json")
    knobctl(*words)
    document = json.loads(path.read_text())
    document["studies"]["minimal"]["version"] = "0.0.1"
    path.write_text(json.dumps(document))
    done = knobctl(*words, "--resume")
    assert done.code == 2
    assert "the study minimal was played by knobctl 0.0.1" in done.document["error"]
