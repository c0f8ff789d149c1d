"""Studies: what they play, what they count, what they keep, and what the published page says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from knobctl.errors import StoreError
from knobctl.lab import study_cutting, study_effects, study_minimal, study_null, study_suggestions
from knobctl.lab.studies import SEED, STUDIES, missing, play_all
from knobctl.lab.study_case import (
    SHAPES,
    Case,
    Played,
    gains,
    play,
    random_configuration,
    suggestions_of,
    surface_of,
)
from knobctl.lab.study_figures import Average, Findings, Session, Share
from knobctl.lab.study_file import StudyRecord, read_studies, write_studies
from knobctl.lab.study_page import page, plot_of, plot_path, write_page
from knobctl.stats import log_effect

DOCS = Path(__file__).resolve().parents[2] / "docs"


def case(task: str = "search", family: str = "null", noise: str = "quiet", seed: int = 1, **more: object) -> Case:
    return replace(Case(task, task, family, noise, seed), **more)  # type: ignore[arg-type]


def verified(ended: str, true: float, low: float, high: float, announced: float = 4.0) -> Played:
    return Played(ended, 5, low, high, true, true, optimum=true, announced=announced, best_seen=9.0, changes=1)


def words(findings: Findings, title: str) -> list[dict[str, str]]:
    table = next(table for table in findings.tables if table.title.startswith(title))
    return [dict(zip(table.heads, row, strict=True)) for row in table.rows]


def met(findings: Findings) -> list[bool | None]:
    return [check.met for check in findings.checks]


# --- cases


def test_a_case_is_played_with_its_truth_and_always_the_same() -> None:
    one = case("best", "single", seed=3, gain=0.3)
    played = play(one)
    assert (played.ended, played.changes, played.idle_changes) == ("IMPROVED", 1, 0)
    assert played.true == pytest.approx(30.0)
    assert played.optimum == pytest.approx(30.0)
    assert played.low is not None and played.high is not None and played.low < 30.0 < played.high
    assert play(one) == played


def test_a_random_configuration_of_a_machine_that_does_not_care_is_worth_nothing() -> None:
    one = case("random", seed=5)
    configuration = random_configuration(surface_of(one), 5)
    assert len(configuration) == 8
    assert random_configuration(surface_of(one), 6) != configuration
    played = play(one)
    assert (played.true, played.improved, played.search_seconds) == (0.0, False, 0.0)
    assert played.pairs >= 4 and played.covers(0.0)


def test_a_session_that_may_not_begin_is_an_outcome() -> None:
    refused = [play(case("random", noise="hostile", seed=seed)).refused for seed in (20_000, 20_001, 20_002)]
    assert sum(refused) == 1


def test_cutting_short_can_be_left_out() -> None:
    short, whole = play(case(family="wounded", searcher="random")), play(
        case(family="wounded", searcher="random", cut_short=False)
    )  # fmt: skip
    assert (whole.cut, short.cut > 0) == (0, True)
    assert short.search_seconds < whole.search_seconds


def test_gains_are_spread_evenly_whatever_their_number() -> None:
    for number in (10, 101):
        found = gains(number, 0.02, 0.6)
        assert len(set(found)) == number
        assert min(found) >= 0.02
        assert max(found) <= 0.6
        assert abs(sum(gain < (0.02 * 0.6) ** 0.5 for gain in found) - number / 2) <= 1


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_plays_so_many_of_each_part_and_no_case_twice(name: str) -> None:
    cases = STUDIES[name].cases(12, ("quiet", "vm"), SEED)
    each = {"minimal": 1, "suggestions": 4}.get(name, 2)
    assert len(cases) == len(set(cases)) == 12 * 2 * each
    assert {one.noise for one in cases} == {"quiet", "vm"}
    assert min(one.seed for one in cases) == SEED
    assert all(surface_of(one).axes for one in cases)


def test_effects_are_drawn_with_the_gain_that_was_asked_for() -> None:
    cases = study_effects.cases(10, ("vm",), 1)
    assert {one.family for one in cases if one.part == study_effects.SEARCH} == set(SHAPES)
    for one in cases[:5]:
        assert one.gain is not None
        assert surface_of(one).optimum()[1] == pytest.approx(log_effect(100.0 * one.gain), rel=0.01)


def test_cases_are_played_in_order_and_once() -> None:
    cases = [case("best", "single", seed=seed, gain=0.1) for seed in range(3)]
    played = list(play_all(cases))
    assert [one for one, _ in played] == cases
    assert missing(cases, dict(played[:2])) == cases[2:]


@pytest.mark.long
def test_several_processes_play_the_same() -> None:
    cases = [case("best", "single", seed=seed, gain=0.1) for seed in range(3)]
    assert list(play_all(cases, jobs=2)) == list(play_all(cases))


# --- counting


def test_a_share_has_the_interval_of_clopper_and_pearson() -> None:
    low, high = Share(10, 400).interval
    assert (low, high) == (pytest.approx(1.206, abs=0.001), pytest.approx(4.549, abs=0.001))
    assert str(Share(10, 400)) == "10 of 400: 2.5 % (1.2 to 4.5)"
    assert (Share(10, 400).at_most(2.5), Share(11, 400).at_most(2.5)) == (True, False)
    assert str(Share(0, 0)) == "-"
    assert (Share(0, 0).at_most(1), Share(0, 0).at_least(1), Share(0, 0).interval) == (None, None, (0.0, 100.0))


def test_an_average_has_an_interval_that_shrinks() -> None:
    few, many = Average.over([1.0, 3.0] * 5), Average.over([1.0, 3.0] * 50)
    assert few.mean == many.mean == 2.0
    assert few.low < many.low < 2.0 < many.high < few.high
    assert Average.over([1.0, 3.0] * 5) == few
    assert Average.over([]).text() == "-"


def test_null_counts_false_claims_among_those_that_began() -> None:
    claim, calm = verified("IMPROVED", 0.0, 1.0, 5.0), verified("NO_CHANGE", 0.0, -1.0, 2.0)
    nothing = Played("NO_CHANGE", announced=4.0, best_seen=3.0)
    outcomes = [claim, calm, nothing, Played("PreflightRefused"), Played("SafetyStop")]
    sessions = [(case(seed=seed), played) for seed, played in enumerate(outcomes)]
    sessions += [(case("random", seed=seed), calm) for seed in range(40)]
    findings = study_null.findings(sessions)
    assert words(findings, "Whole")[0] == {
        "noise": "quiet", "sessions": "5", "refused": "1", "nothing proposed": "1", "NO_CHANGE": "1",
        "INCONCLUSIVE": "0", "WORSE": "0", "other": "1", "IMPROVED, which is false": str(Share(1, 4)),
        "the same, of those with a candidate": str(Share(1, 2)),
    }  # fmt: skip
    seen = words(findings, "The same sessions")[0]
    assert seen["claimed, median"] == "+9.0 %"
    assert seen["claims more than 5 %"] == seen["claims more than the announced smallest effect"] == str(Share(2, 3))
    assert words(findings, "A random")[0]["the interval holds 0"] == str(Share(40, 40))
    assert met(findings) == [False, True, True]


def test_effects_count_coverage_and_power_by_ratio() -> None:
    sessions: list[Session] = [
        (case(seed=1), verified("IMPROVED", 10.0, 8.0, 12.0)),
        (case(seed=2), verified("INCONCLUSIVE", 7.0, -1.0, 6.0)),
        (case(seed=3), verified("NO_CHANGE", 1.0, -1.0, 2.0)),
        (case(seed=4), Played("NO_CHANGE", announced=4.0, optimum=8.5)),
        (case(seed=5), Played("PreflightRefused")),
        (case(seed=6), replace(verified("INCONCLUSIVE", 7.0, 0.0, 0.0), low=None, high=None)),
        (case(seed=7), replace(verified("INCONCLUSIVE", 0.0, -1.0, 1.0), true=None)),
    ]
    findings = study_effects.findings(sessions)
    coverage = words(findings, "Coverage")[0]
    assert (coverage["holds the true effect"], coverage["refused"]) == (str(Share(2, 3)), "1")
    assert coverage["the same, of those IMPROVED"] == str(Share(1, 1))
    power = words(findings, "IMPROVED, by the candidate's")[0]
    assert [power[span] for span in ("0 to 0.5", "0.5 to 1", "1.5 to 2", "2 and more", "1.5 and more")] == [
        str(share) for share in (Share(0, 1), Share(0, 0), Share(0, 2), Share(1, 1), Share(1, 3))
    ]
    assert words(findings, "IMPROVED, by what")[0]["2 and more"] == str(Share(1, 2))
    assert met(findings) == [False, False, None, None]


def test_minimal_counts_knobs_and_what_was_lost() -> None:
    small = Played("IMPROVED", true=20.0, whole_true=20.5, optimum=25.0, announced=4.0, changes=2, whole_changes=9)
    large = replace(small, true=10.0, changes=6, idle_changes=4)
    sessions: list[Session] = [(case(seed=1), small), (case(seed=2), large), (case(seed=3), Played("NO_CHANGE"))]
    findings = study_minimal.findings(sessions)
    sizes = words(findings, "Knobs")[0]
    assert [sizes[head] for head in ("no candidate", "1", "2", "6 and more")] == ["1", "0", "1", "1"]
    assert sizes["at most 3"] == str(Share(1, 2))
    assert sizes["mean of those without any effect"] == "2.0"
    assert study_minimal.lost(large) == pytest.approx(100 * (1.205 / 1.10 - 1))
    assert study_minimal.lost(replace(small, true=None)) is None
    assert words(findings, "True effect")[0]["lost, most"] == "+9.5 %"
    assert met(findings) == [False, False]
    assert met(study_minimal.findings(sessions[:1])) == [True, True]


def both_ways(seconds: float, true: float | None) -> list[Session]:
    whole = Played("IMPROVED", true=20.0, optimum=25.0, changes=1, search_seconds=1000.0)
    one = case(family="few")
    return [(one, replace(whole, true=true, search_seconds=seconds)), (replace(one, cut_short=False), whole)]


@pytest.mark.parametrize(
    ("seconds", "true", "kept"),
    [
        (750.0, 20.0, [True, True]),
        (850.0, 20.0, [False, True]),
        (750.0, 18.0, [True, False]),
        (750.0, None, [True, False]),
    ],
)
def test_cutting_compares_the_same_sessions(seconds: float, true: float | None, kept: Sequence[bool]) -> None:
    sessions = both_ways(seconds, true)
    findings = study_cutting.findings(sessions)
    assert met(findings) == kept
    assert words(findings, "The same")[0]["search time saved"].startswith(f"{100 - seconds / 10:+.1f} % (")
    assert study_cutting.pairs_of(sessions[:1]) == []


def told(task: str, true: float | None, ended: str = "IMPROVED", **more: object) -> list[Session]:
    alone = case(family="few")
    played = Played("IMPROVED", true=20.0, optimum=25.0, changes=1)
    return [(alone, played), (replace(alone, task=task), replace(played, true=true, ended=ended, **more))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "true", "kept"),
    [
        ("good", 22.0, True), ("good", 20.0, False), ("bad", 19.9, True), ("bad", 19.0, False), ("bad", None, False),
        ("crowd", 18.5, True), ("crowd", 17.0, False),
    ],
)  # fmt: skip
def test_suggestions_are_compared_with_the_same_session_without(task: str, true: float | None, kept: bool) -> None:
    findings = study_suggestions.findings(told(task, true))
    assert dict(zip(study_suggestions.TASKS, met(findings), strict=True)) == {
        name: kept if name == task else None for name in study_suggestions.TASKS
    }
    (row,) = [row for row in words(findings, "The same sessions") if row["pairs"] == "1"]
    share = 100 * (log_effect(true or 0.0) - log_effect(20.0)) / log_effect(25.0)
    assert row["in percent of the possible"].startswith(f"{share:+.1f} % (")
    assert row["same verdict"] == str(Share(1, 1))


def test_a_session_that_a_suggestion_ended_counts_and_one_that_never_began_does_not() -> None:
    ended = told("bad", 0.0, "SafetyStop", optimum=0.0)
    (pair,) = study_suggestions.pairs_of(ended, "bad", "quiet")
    assert pair.gained_share == pytest.approx(-100 * log_effect(20.0) / log_effect(25.0))
    assert not pair.agrees
    assert study_suggestions.pairs_of(told("bad", 0.0, "PreflightRefused"), "bad", "quiet") == []


def test_bad_suggestions_are_bad_and_good_ones_are_good() -> None:
    for family in study_suggestions.FAMILIES:
        surface = surface_of(case(family=family, seed=4))
        good, bad, crowd = (suggestions_of(surface, task, 4) for task in study_suggestions.TASKS)
        best = surface.optimum()[1]
        assert best >= surface.gain(good[0]) > best / 5
        assert all(surface.gain(each) < 0.0 for each in (*bad, *crowd))
        assert (len(bad), len(crowd), len({tuple(each.values()) for each in crowd})) == (1, 10, 10)
    assert suggestions_of(surface, "search", 4) == suggestions_of(surface, "random", 4) == []


def test_suggestions_of_a_case_are_played() -> None:
    one = case(family="single", searcher="random")
    assert play(replace(one, task="bad")) != play(one)


# --- the file and the page


def record(sessions: Sequence[Session]) -> StudyRecord:
    return StudyRecord("knobctl lab study effects", "0.1", "2026-01-01", "2 cores", dict(sessions))


def test_a_file_holds_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    assert read_studies(path) == {}
    studies = {"null": record([(case(), Played("NO_CHANGE"))]), "cutting": record(both_ways(750.0, None))}
    write_studies(path, studies)
    assert read_studies(path) == studies
    assert [one.name for one in tmp_path.iterdir()] == ["numbers.json"]


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    write_studies(path, {"null": record([(case(), Played("NO_CHANGE"))])})
    document = json.loads(path.read_text())
    document["studies"]["null"]["sessions"][0].append(1)
    for text, problem in (
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        ('{"format": 9}', "format 9, and this version reads 1"),
        (json.dumps(document), "a session has 23 numbers instead of 22"),
        (json.dumps(document).replace('"cut"', '"cuts"'), "its columns are those of another version"),
    ):
        path.write_text(text)
        with pytest.raises(StoreError, match=problem):
            read_studies(path)
    with pytest.raises(StoreError, match="cannot be written"):
        write_studies(tmp_path / "no" / "folder.json", {})


def test_the_page_says_what_was_not_met_and_draws_every_verdict(tmp_path: Path) -> None:
    sessions: list[Session] = [
        (case(seed=seed), verified(ended, 3.0 * seed, -1.0, 9.0))
        for seed, ended in enumerate(("IMPROVED", "INCONCLUSIVE", "NO_CHANGE", "WORSE"))
    ]
    write_page(tmp_path / "page.md", {"effects": record(sessions)}, "numbers.json")
    text = (tmp_path / "page.md").read_text()
    for line in (
        "What came of 4 sessions of knobctl on simulated machines",
        "[the numbers of every session](numbers.json)",
        "**1 of 2 checks are met.** Not met:\n\n* quiet, whole sessions: IMPROVED in at least 90 %",
        "## Does the interval hold the truth, and is a real gain proven?",
        "`knobctl lab study effects`: 4 sessions, 2026-01-01, knobctl 0.1, 2 cores.",
        "](page-effects.svg)",
    ):
        assert line in text
    root = ElementTree.parse(tmp_path / "page-effects.svg").getroot()
    desc = root.find("{http://www.w3.org/2000/svg}desc")
    assert desc is not None
    assert desc.text == "4 verified candidates: 1 IMPROVED, 1 INCONCLUSIVE, 1 NO_CHANGE, 1 WORSE."


def test_the_published_page_is_what_its_numbers_say() -> None:
    path = DOCS / "honesty.md"
    studies = read_studies(DOCS / "honesty.json")
    assert set(studies) == set(STUDIES)
    plot = plot_path(path)
    assert path.read_text(encoding="utf-8") == page(studies, "honesty.json", plot.name)
    assert plot.read_text(encoding="utf-8") == plot_of(studies["effects"])
