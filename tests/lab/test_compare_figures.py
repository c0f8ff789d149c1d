"""What is said about a comparison: figures with intervals, checks, tables, drawings, the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import trim_mean  # type: ignore[import-untyped]

from knobctl.errors import StoreError
from knobctl.lab.compare_case import FIRST_LOOK, Played, steps
from knobctl.lab.compare_figures import Board, Estimate, estimate, expected_time, holm, interquartile_mean, plain_mean
from knobctl.lab.compare_file import CompareRecord
from knobctl.lab.compare_page import drawings, page, plot_name, write_page
from knobctl.lab.compare_plot import Curve, curves, dots
from knobctl.lab.compare_tables import checks, findings, looks
from tests.lab.comparisons import BUDGET, case, played, sessions

SVG = "{http://www.w3.org/2000/svg}"


def last(one: Played) -> float:
    return one.share(one.by_trials[-1])


# --- figures


def test_an_interquartile_mean_is_that_of_the_middle_half() -> None:
    values = [0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 900.0]
    found = estimate([np.array(values)], interquartile_mean)
    assert found.value == trim_mean(values, 0.25) == 2.0
    assert found.low < 2.0 < found.high
    assert estimate([np.array(values)], interquartile_mean) == found


def test_luck_is_drawn_again_on_each_machine_and_not_the_machines() -> None:
    apart = estimate([np.array([0.0, 0.0]), np.array([1.0, 1.0])], plain_mean)
    together = estimate([np.array([0.0, 0.0, 1.0, 1.0])], plain_mean)
    assert (apart.low, apart.value, apart.high) == (0.5, 0.5, 0.5)
    assert together.low < 0.5 < together.high


def test_nothing_is_known_of_nothing() -> None:
    assert math.isnan(estimate([], plain_mean).value)
    assert estimate([np.array([])], plain_mean).text() == "-"


def test_one_value_has_no_interval() -> None:
    found = estimate([np.array([0.5]), np.array([0.7])], plain_mean)
    assert (found.value, found.reach, found.text()) == (0.6, (0.6, 0.6), "0.60")
    board = Board(sessions({"a": [0.5], "b": [0.4]}))
    assert board.difference("a", "b", last).text("+.2f") == "+0.10"
    assert not any(met([*sessions({"sappo": [0.9]}), *sessions({"gp": [0.1]})]).values())


def test_expected_time_counts_what_those_spent_that_never_arrived() -> None:
    found = estimate([np.array([(10.0, 1.0), (20.0, 1.0), (60.0, 0.0)])], expected_time)
    assert found.value == 45.0
    never = estimate([np.array([(60.0, 0.0)] * 3)], expected_time)
    assert never.text() == "never (never to never)"


def test_differences_are_paired_and_every_machine_counts_once() -> None:
    left = sessions({"a": [0.5, 0.9]})
    right = [*sessions({"b": [0.4, 0.5]}), (case("b", 0, 9), played(-1.0))]
    board = Board([*left, *right])
    assert board.differences("a", "b", last) == pytest.approx([0.1, 0.4])
    assert board.difference("a", "b", last).value == pytest.approx(0.25)
    assert board.difference("b", "a", last).value == pytest.approx(-0.25)
    assert board.score("b", last, plain_mean).value == pytest.approx((0.4 + 0.4 - 1.0 + 0.5 + 0.5) / 5)


def test_ratios_are_of_sums_over_pairs() -> None:
    left = sessions({"a": [0.5, 0.5]}, trials_needed=10, time_needed=8.0)
    right = sessions({"b": [0.5, 0.5]}, trials_needed=20, time_needed=16.0)
    found = Board([*left, *right]).ratio("a", "b", lambda one: (one.time_needed or one.time, 1.0))
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    never = Board([*left, *sessions({"b": [0.5, 0.5]})])
    assert never.ratio("a", "b", lambda one: (1.0, float(one.time_needed is not None))).value == 0.0


def test_a_surprise_is_small_when_all_machines_say_the_same() -> None:
    board = Board(sessions({"a": [0.5 + index / 100 for index in range(12)], "b": [0.4] * 12, "c": [0.4] * 12}))
    assert board.surprise("a", "b", last) < 0.001
    assert board.surprise("b", "c", last) == 1.0


def test_holm_makes_the_smallest_so_many_times_as_large() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_machines_without_anything_to_gain_have_no_share() -> None:
    nothing = (case("a", "family:null:0"), played(0.0, optimum=0.0, ended="IMPROVED"))
    board = Board([*sessions({"a": [0.5]}), nothing])
    assert board.surfaces == ("family:few:0",)
    assert len(board.of("a")) == 3


# --- checks and tables


def met(pairs: Sequence[tuple[object, Played]]) -> dict[str, bool | None]:
    return {check.promise: check.met for check in checks(Board(pairs))}  # type: ignore[arg-type]


def test_without_the_flagship_nothing_is_promised() -> None:
    assert met(sessions({"tpe": [0.5], "random": [0.1]})) == {}


def test_the_flagship_is_measured_against_vanilla_ppo() -> None:
    ahead = met([*sessions({"sappo": [0.8] * 3}, gains=(0.1,) * 60), *sessions({"ppo-8": [0.6] * 3})])
    assert list(ahead.values()) == [True, True]
    behind = met(sessions({"sappo": [0.65] * 3, "ppo-8": [0.6] * 3}))
    assert list(behind.values()) == [False, False]


def test_the_flagship_is_measured_against_its_best_peer() -> None:
    quick = sessions({"sappo": [0.8] * 3}, time_needed=20.0, trials_needed=20)
    slow = sessions({"tpe": [0.7] * 3, "gp": [0.82] * 3}, time_needed=40.0, trials_needed=40)
    found = met([*quick, *slow])
    assert [value for promise, value in found.items() if "not behind" in promise] == [True, True, True]
    assert [value for promise, value in found.items() if "better than all" in promise] == [False]
    assert [value for promise, value in found.items() if "benchmark time" in promise] == [True]
    behind = met([*sessions({"sappo": [0.7] * 3}), *slow])
    assert list(behind.values()) == [False] * 5


def test_a_memory_has_to_help_at_once_and_must_not_mislead() -> None:
    good = met(sessions({"sappo": [0.6] * 3, "sappo-related": [0.8] * 3, "sappo-unrelated": [0.58] * 3}))
    assert list(good.values()) == [True] * len(good)
    assert "sappo-related offers at least 0.75 of what is possible after 4 trials" in good
    assert sum("sappo-unrelated is not behind sappo" in promise for promise in good) == 7, "also at the first look"
    bad = met(sessions({"sappo": [0.6] * 3, "sappo-related": [0.7] * 3, "sappo-unrelated": [0.5] * 3}))
    assert list(bad.values()) == [False] * len(bad)
    unsure = met(sessions({"sappo": [0.6] * 3, "sappo-unrelated": [0.45, 0.6, 0.74]}))
    assert not any(unsure.values()), "0.003 behind by the estimate, and 0.15 are not ruled out"


def test_the_first_look_is_shown_where_there_is_a_memory() -> None:
    assert looks(Board(sessions({"sappo": [0.6]})))[0] == 10
    assert looks(Board(sessions({"sappo": [0.6], "sappo-related": [0.6]})))[0] == FIRST_LOOK


def words(pairs: Sequence[tuple[object, Played]], title: str) -> dict[str, dict[str, str]]:
    tables = findings(pairs).tables  # type: ignore[arg-type]
    table = next(table for table in tables if table.title.startswith(title))
    return {row[0]: dict(zip(table.heads, row, strict=True)) for row in table.rows}


def test_tables_say_what_was_offered_and_what_it_cost() -> None:
    one = sessions({"sappo": [0.8, 0.8], "sappo-no-actor": [0.7, 0.7]}, own=(0.1,) * len(steps(BUDGET)))
    false = [(case("sappo", f"family:null:{seed}"), played(0.0, optimum=0.0)) for seed in range(4)]
    pairs = [*one, *false]
    assert words(pairs, "What is offered")["sappo"]["25"] == "0.80 (0.80 to 0.80)"
    assert words(pairs, "The same after equal")["sappo-no-actor"]["40 runs"] == "0.70 (0.70 to 0.70)"
    costs = words(pairs, "What the search")["sappo"]
    assert (costs["all"], costs["cut short, percent"], costs["CPU per trial"]) == (
        "50.0 (50.0 to 50.0)", "50.0 (50.0 to 50.0)", "100 ms",
    )  # fmt: skip
    own = words(pairs, "As its own users")["sappo"]
    assert own["60"] == "0.50 (0.50 to 0.50)"
    assert own["claims too much, percentage points"] == f"{100 * (math.exp(0.3) - math.exp(0.1)):+.1f}"
    end = words(pairs, "At the end")["sappo"]
    assert end["IMPROVED, which is false"].startswith("0 of 4")
    assert end["the same, nothing to gain"].startswith("4 of 4")
    assert words(pairs, "sappo against")["sappo - sappo-no-actor"]["60"] == "+0.10 (+0.10 to +0.10)"
    assert words(pairs, "By family")["few"] == {"family": "few", "sappo": "0.80", "sappo-no-actor": "0.70"}
    assert words(pairs, "Until 95%")["sappo"]["time in whole runs, expected"] == "never (never to never)"


def test_a_difference_on_all_machines_gets_a_star() -> None:
    pairs = sessions({"sappo": [0.5 + index / 100 for index in range(12)], "random": [0.4] * 12})
    assert words(pairs, "sappo against")["sappo - random"]["60"].endswith(" *")


def test_only_what_was_played_is_looked_at() -> None:
    short = [(case("a", budget=15), played(budget=15))]
    assert looks(Board(short)) == [10, 15]
    assert looks(Board([])) == []
    assert findings([]).checks == ()


# --- drawings and the page


def record(pairs: Sequence[tuple[object, Played]]) -> CompareRecord:
    return CompareRecord("knobctl lab compare", "0.1", "abcdef" * 10, "2026-01-01", "2 cores", dict(pairs))  # type: ignore[arg-type]


def texts(drawing: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


def test_every_contender_has_a_line_and_its_name() -> None:
    lines = [Curve(f"<{name}>", ((5, Estimate(0.2, 0.1, 0.3)), (60, Estimate(0.9, 0.8, 1.0)))) for name in range(14)]
    drawing = curves("title", "trials", lines)
    assert {f"<{name}>" for name in range(14)} <= set(texts(drawing))
    assert drawing.count('class="curve') == 14
    names = [
        float(element.get("y", ""))
        for element in ElementTree.fromstring(drawing).iter(f"{SVG}text")
        if (element.text or "").startswith("<")
    ]
    assert all(below - above >= 14.9 for above, below in zip(sorted(names), sorted(names)[1:], strict=False))


def test_dots_say_their_figures_and_bear_what_never_comes() -> None:
    figures = [
        ("a", Estimate(20.0, 10.0, 40.0)),
        ("b", Estimate(math.inf, 50.0, math.inf)),
        ("c", Estimate(*[math.nan] * 3)),
    ]
    drawing = dots("time", figures, logarithmic=True)
    assert {"20 (10 to 40)", "never (50 to never)", "-"} <= set(texts(drawing))
    assert drawing.count("<circle") == 1
    assert "nan" not in drawing and "inf" not in drawing


def test_the_page_has_both_halves_with_checks_tables_and_plots(tmp_path: Path) -> None:
    pairs = [*sessions({"sappo": [0.8] * 3, "tpe": [0.5] * 3}), (case("mine:A", 0), played(0.1))]
    records = {"development": record(pairs), "locked": record(pairs[:4])}
    write_page(tmp_path / "page.md", records, "numbers.json", tmp_path / "plots")
    text = (tmp_path / "page.md").read_text()
    for line in (
        "What came of 17 sessions on simulated machines",
        "[the numbers of every session](numbers.json)",
        "| `sappo` | PPO trained in a surrogate, the surrogate chooses |",
        "| `mine:A` | a searcher of somebody's own |",
        "## Machines: development\n\n`knobctl lab compare`: 13 sessions, 2026-01-01, knobctl 0.1, 2 cores. 3 machines",
        "The searchers were frozen as `abcdefabcdef`.",
        "| sappo is better than all of tpe somewhere | after 15, 25, 45 trials | met |",
        "](plots/leaderboard-locked-by-time.svg)",
    ):
        assert line in text
    for split in records:
        for name in drawings(records[split]):
            ElementTree.parse(tmp_path / "plots" / plot_name(split, name))
    assert text.count(".svg)") == len(list((tmp_path / "plots").iterdir())) == 10


def test_a_page_about_memories_says_what_they_are() -> None:
    without = page({"locked": record(sessions({"sappo": [0.5], "tpe": [0.5]}))}, "numbers.json")
    remembering = page({"locked": record(sessions({"sappo": [0.5], "sappo-related": [0.8]}))}, "numbers.json")
    assert without.startswith("# Leaderboard of searchers\n")
    assert "as without memories of earlier ones" in without and "Memories were made" not in without
    assert remembering.startswith("# What the search gains by a memory\n")
    assert "by 10 sessions of `tpe` with 25 trials\neach" in remembering
    assert "as without memories" not in remembering


def test_plots_stand_beside_the_page_when_nobody_says_where(tmp_path: Path) -> None:
    write_page(tmp_path / "page.md", {"development": record(sessions({"tpe": [0.5]}))}, "numbers.json")
    assert "](leaderboard-development-by-trials.svg)" in (tmp_path / "page.md").read_text()
    assert (tmp_path / plot_name("development", "bad")).is_file()


def test_a_comparison_on_machines_without_anything_to_gain_has_no_plots() -> None:
    nothing = record([(case("tpe", "family:null:0"), played(0.0, optimum=0.0))])
    assert drawings(nothing) == {}
    assert ".svg" not in page({"development": nothing}, "numbers.json")


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_page(tmp_path / "file" / "page.md", {}, "numbers.json", tmp_path)
    with pytest.raises(StoreError, match="the plots cannot be written"):
        write_page(tmp_path / "page.md", {}, "numbers.json", tmp_path / "file")
