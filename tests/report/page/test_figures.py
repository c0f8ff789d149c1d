"""Records in, marks in the right places out."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from knobctl.knobs.files import catalogue
from knobctl.measure import Verdict
from knobctl.plan import ActionSpec
from knobctl.report.page.drawing import Drawing
from knobctl.report.page.importance import importance_figure
from knobctl.report.page.machine import machine_figure
from knobctl.report.page.scores import Baseline, baseline_of, relative, scores_figure
from knobctl.report.page.slices import slices_figure, tuned_knobs
from knobctl.report.page.verification import effect_figure, pairs_figure
from knobctl.report.page.within import within_figure
from tests.report.page import recorded

SVG = "{http://www.w3.org/2000/svg}"
BASELINE = Baseline(3900.0, 3782.0, 4021.0)


def drawn(drawing: Drawing | None) -> ElementTree.Element:
    assert drawing is not None
    return ElementTree.fromstring(drawing.__html__())


def of(root: ElementTree.Element, tag: str, style: str) -> list[ElementTree.Element]:
    wanted = set(style.split())
    return [one for one in root.iter(SVG + tag) if wanted <= set((one.get("class") or "").split())]


def tips(root: ElementTree.Element, style: str) -> list[str]:
    return [one.findtext(SVG + "title") or "" for one in of(root, "path", style)]


def place(mark: ElementTree.Element) -> tuple[float, float]:
    found = re.match(r"M([\d.-]+) ([\d.-]+)", mark.get("d") or "")
    assert found
    return float(found[1]), float(found[2])


def inside(root: ElementTree.Element) -> bool:
    width, height = float(root.get("width") or 0), float(root.get("height") or 0)
    numbers = [(float(one.get("x") or 0), float(one.get("y") or 0)) for one in root.iter(SVG + "text")]
    numbers += [place(one) for one in of(root, "path", "mark")]
    return all(-1 <= x <= width + 1 and -1 <= y <= height + 1 for x, y in numbers)


# --- scores


def test_every_trial_has_a_mark_of_its_kind() -> None:
    trials = recorded.trials_of_a_run()
    figure = scores_figure(trials, BASELINE, "tps", "1/s", "maximize")
    for drawing in (figure.wide, figure.narrow):
        root = drawn(drawing)
        assert len(of(root, "path", "mark")) == len(trials)
        assert len(of(root, "path", "found")) == 6 + 2 + 8, "baseline, canary and control, verification"
        assert len(of(root, "path", "lost")) == 2, "one failed, one cut short"
        assert inside(root)
    told = tips(drawn(figure.wide), "lost")
    assert told[0].startswith("run 13, search: failed, exit code 1. ")
    assert told[1].startswith("run 18, search: about 200.0 1/s, cut short. ")
    assert [key.text for key in figure.keys] == [
        "as found", "warm-up or probe, not counted", "first guess", "search", "run-off", "candidate, verified",
        "cut short, estimated", "failed, no score", "baseline ± noise", "best so far, unverified",
    ]  # fmt: skip


@pytest.mark.parametrize(("direction", "best"), [("maximize", 4400.0), ("minimize", 3500.0)])
def test_the_best_so_far_goes_the_better_way(direction: str, best: float) -> None:
    scores = [4000.0, 4400.0, 3500.0, 4100.0]
    trials = [recorded.trial(number, "search", score) for number, score in enumerate(scores)]
    root = drawn(scores_figure(trials, None, "tps", "", direction).wide)
    (line,) = of(root, "polyline", "best")
    last = float((line.get("points") or "").split()[-1].split(",")[1])
    marks = {score: place(mark)[1] for score, mark in zip(scores, of(root, "path", "tried"), strict=True)}
    assert last == pytest.approx(marks[best], abs=0.11)


def test_a_run_that_was_cut_short_is_never_the_best() -> None:
    trials = [recorded.trial(0, "search", 4000.0), recorded.trial(1, "search", 9000.0, cut_short=True)]
    root = drawn(scores_figure(trials, None, "tps", "", "maximize").wide)
    (line,) = of(root, "polyline", "best")
    heights = {point.split(",")[1] for point in (line.get("points") or "").split()}
    assert len(heights) == 1


def test_one_far_out_run_does_not_flatten_the_others() -> None:
    trials = [recorded.trial(number, "search", 4000.0 + 10 * number) for number in range(12)]
    root = drawn(scores_figure([*trials, recorded.trial(12, "search", 200.0)], None, "tps", "", "maximize").wide)
    heights = [place(mark)[1] for mark in of(root, "path", "tried")]
    assert max(heights[:12]) - min(heights[:12]) > 150
    assert tips(root, "tried")[12] == "run 12, search: 200.0, beyond this scale. default"


def test_the_band_is_the_noise_of_the_preflight_or_of_the_runs() -> None:
    assert baseline_of([], recorded.NOISE) == Baseline(3900.0, 3900.0 / 1.031, 3900.0 * 1.031)
    runs = [
        recorded.trial(0, "warmup", 100.0),
        recorded.trial(1, "baseline", 90.0),
        recorded.trial(2, "baseline", 110.0),
    ]
    found = baseline_of(runs, None)
    assert (
        found is not None
        and found.mean == pytest.approx(99.5, abs=0.1)
        and found.high - found.mean == pytest.approx(14.14, abs=0.01)
    )
    assert baseline_of([recorded.trial(0, "search", 90.0)], None) is None


def test_relative_is_positive_for_better() -> None:
    assert relative(4095.0, BASELINE, "maximize") == pytest.approx(5.0)
    assert relative(1950.0, BASELINE, "minimize") == pytest.approx(100.0)
    assert relative(0.0, BASELINE, "minimize") is None and relative(1.0, None, "maximize") is None


# --- verification


def test_pairs_have_the_interval_after_each_of_them() -> None:
    pairs = recorded.pairs_of(recorded.trials_of_a_run())
    root = drawn(pairs_figure(pairs, "").wide)
    known = [pair for pair in pairs if pair.low_percent is not None]
    assert 0 < len(known) < len(pairs)
    assert len(of(root, "path", "proposed")) == len(pairs)
    assert len(of(root, "line", "whisker")) == 3 * len(known), "a line and two ends"
    (shade,) = of(root, "polygon", "sure")
    assert len((shade.get("points") or "").split()) == 2 * len(known)
    assert "no interval yet" in [one.text for one in root.iter(SVG + "text")]
    assert "; interval +" in tips(root, "proposed")[-1] and "interval" not in tips(root, "proposed")[0]
    assert inside(root)


def test_no_pairs_say_why() -> None:
    assert pairs_figure((), "Nothing was verified.").empty == "Nothing was verified."


def test_proof_and_claim_stand_on_one_axis() -> None:
    figure = effect_figure(recorded.result())
    assert figure is not None
    root = drawn(figure.wide)
    (verified,), (claim,) = of(root, "path", "proposed"), of(root, "path", "aside")
    (shade,) = of(root, "rect", "sure")
    start = float(shade.get("x") or 0)
    end = start + float(shade.get("width") or 0)
    assert start < place(verified)[0] < end < place(claim)[0]
    assert figure.caption == (
        "Proven by fresh pairs: +8.1 % (interval +5.2 % to +11.0 %). Claimed by the search: +13.4 %, which is no "
        "evidence."
    )
    assert figure.title == "What is proven, and what the search alone would have claimed"
    assert effect_figure(recorded.result(pairs=0)) is None
    unbounded = effect_figure(recorded.result(improvement_interval=None, claimed_by_search=None))
    assert unbounded is not None and "Claimed" not in unbounded.caption
    assert unbounded.caption == "Fresh pairs estimate +8.1 % (no bounded interval): no effect on the score is proven."
    assert unbounded.title == "What fresh pairs estimate"


@pytest.mark.parametrize(
    ("verdict", "interval", "title", "caption"),
    [
        (Verdict.INCONCLUSIVE, (-26.2, 71.1), "What fresh pairs estimate",
         "Fresh pairs estimate +8.1 % (interval -26.2 % to +71.1 %): no effect on the score is proven."),
        (Verdict.INCONCLUSIVE, (5.2, 11.0), "What fresh pairs estimate",
         "Fresh pairs estimate +8.1 % (interval +5.2 % to +11.0 %): no effect on the score is proven."),
        (Verdict.NO_CHANGE, (-2.0, 1.5), "What fresh pairs estimate",
         "Fresh pairs estimate +8.1 % (interval -2.0 % to +1.5 %): no effect on the score is proven."),
        (Verdict.WORSE, (-4.0, 20.0), "What fresh pairs estimate",
         "Fresh pairs estimate +8.1 % (interval -4.0 % to +20.0 %): no effect on the score is proven."),
        (Verdict.WORSE, (5.2, 11.0), "What is proven",
         "Proven by fresh pairs: +8.1 % (interval +5.2 % to +11.0 %). A guardrail is violated all the same."),
        (Verdict.WORSE, (-11.0, -5.2), "What is proven",
         "Proven by fresh pairs: -8.1 % (interval -11.0 % to -5.2 %)."),
    ],
)  # fmt: skip
def test_proven_is_only_what_the_verdict_allows(
    verdict: Verdict, interval: tuple[float, float], title: str, caption: str
) -> None:
    improvement = -8.1 if interval[1] < 0 else 8.1
    result = recorded.result(verdict=verdict, improvement_interval=interval, improvement=improvement)
    figure = effect_figure(result)
    assert figure is not None
    assert figure.caption == f"{caption} Claimed by the search: +13.4 %, which is no evidence."
    assert figure.title == f"{title}, and what the search alone would have claimed"


# --- importance, slices


def test_bars_are_as_long_as_the_shares_and_the_longest_is_first() -> None:
    root = drawn(importance_figure({"vm.swappiness": 0.2, "vm.dirty_ratio": 0.8}, "").wide)
    bars = [(one.findtext(SVG + "title"), float(one.get("width") or 0)) for one in of(root, "rect", "bar")]
    assert [title for title, _ in bars] == ["vm.dirty_ratio: 80.0 %", "vm.swappiness: 20.0 %"]
    assert bars[0][1] == pytest.approx(4 * bars[1][1], rel=0.01)
    assert importance_figure({}, "too few runs").empty == "too few runs"


def test_each_knob_has_an_axis_of_its_own() -> None:
    trials = recorded.trials_of_a_run()
    actions = (
        ActionSpec(param="vm.dirty_ratio", min=5, max=80),
        ActionSpec(param="net.ipv4.tcp_wmem", min=65536, max=16777216, scale="log"),
        ActionSpec(param="thp.enabled"),
        ActionSpec(param="block.wbt_lat_usec", min=1000, max=500000, special=(0,)),
        ActionSpec(param="my.own", min=1, max=9),
    )
    knobs = tuned_knobs(
        actions, catalogue(), trials, {"vm.dirty_ratio": 20}, {"vm.dirty_ratio": 70, "thp.enabled": "always"}
    )
    assert [knob.name for knob in knobs] == [
        "vm.dirty_ratio", "net.ipv4.tcp_wmem[max]", "thp.enabled", "block.wbt_lat_usec", "my.own",
        "vm.dirty_background_ratio",
    ]  # fmt: skip
    assert [knob.log for knob in knobs[:2]] == [False, True]
    figure = slices_figure(knobs, trials, BASELINE, "maximize")
    tiles = [drawn(tile) for tile in figure.tiles]
    words = [[one.text for one in tile.iter(SVG + "text")] for tile in tiles]
    assert all(inside(tile) for tile in tiles)
    assert "found" not in words[0], "the value found is known and has its place on the axis"
    assert words[1][-1] == "bytes, log scale" and "found" in words[1]
    assert {"always", "never", "found"} <= set(words[2])
    assert "0" in words[3] and "microseconds, log scale" in words[3]
    assert words[4][-1] == "found" or "found" in words[4], "nobody turned it"
    assert [len(of(tile, "line", "proposes")) for tile in tiles[:3]] == [1, 0, 1]
    runs = [one for one in trials if one.kind in ("search", "suggestion", "run-off") and one.score is not None]
    assert {len(of(tile, "path", "mark")) for tile in tiles} == {len(runs)}, "every run once in each tile"


def test_a_log_axis_gives_equal_ratios_equal_room() -> None:
    values = [1000, 10_000, 100_000]
    trials = [recorded.trial(n, "search", 4000.0, {"block.wbt_lat_usec": value}) for n, value in enumerate(values)]
    knobs = tuned_knobs((ActionSpec(param="block.wbt_lat_usec", scale="log"),), catalogue(), trials, {}, {})
    marks = [
        place(one)[0] for one in of(drawn(slices_figure(knobs, trials, BASELINE, "maximize").tiles[0]), "path", "tried")
    ]
    assert marks[1] - marks[0] == pytest.approx(marks[2] - marks[1], abs=0.3)


def test_without_a_search_there_are_no_slices() -> None:
    nothing = slices_figure((), [recorded.trial(0, "baseline", 3900.0)], BASELINE, "maximize")
    assert nothing.empty == "The search has no run with a score that could be compared."


# --- machine, within a run


def test_the_machine_has_a_strip_for_each_metric() -> None:
    figure = machine_figure(recorded.trials_of_a_run())
    words = [one.text for one in drawn(figure.wide).iter(SVG + "text")]
    for strip in ("CPU in use", "CPU waiting for a disk (iowait)", "CPU taken by other guests (steal)"):
        assert strip in words
    assert words.count("not recorded") == 1, "memory pressure"
    assert machine_figure([replace(recorded.trial(0, "baseline", 1.0), machine={})]).empty


def test_the_course_of_a_run_is_the_median_of_the_runs() -> None:
    def run(number: int, kind: str, level: float) -> object:
        return replace(recorded.trial(number, kind, level), samples=tuple((float(at), level) for at in range(1, 6)))

    trials = [run(n, "verify-default", level) for n, level in enumerate((100.0, 110.0, 180.0))]
    trials += [run(n, "verify-candidate", 140.0) for n in (3, 4, 5)]
    root = drawn(within_figure(trials, "tps (1/s)").wide)  # type: ignore[arg-type]
    (found,), (candidate,) = of(root, "polyline", "course found"), of(root, "polyline", "course proposed")
    heights = [float((one.get("points") or "").split()[0].split(",")[1]) for one in (found, candidate)]
    assert heights[0] > heights[1], "110 is drawn below 140, whatever the mean says"
    assert len((found.get("points") or "").split()) == 5


def test_runs_that_print_nothing_while_they_run_say_so() -> None:
    silent = replace(recorded.trial(0, "verify-default", 1.0), samples=())
    assert within_figure([silent], "tps").empty == "This benchmark printed no progress while it ran."
    assert within_figure([], "tps").empty == "There are no runs of a verification."
