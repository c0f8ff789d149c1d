"""The pairs of a verification in; how the interval narrowed, and the search's claim beside the proof, out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from knobctl.events import PairMeasured
from knobctl.measure import Verdict
from knobctl.report.page.drawing import NARROW, WIDE, Drawing, Size
from knobctl.report.page.frame import Figure, Key, axis_x, axis_y, drawn_twice
from knobctl.report.page.scale import Scale, scale_over
from knobctl.report.wording import number, percent
from knobctl.stats import log_effect
from knobctl.stats import percent as percent_of
from knobctl.store import Result

_TITLE = "Verification, pair by pair"


def pairs_figure(pairs: Sequence[PairMeasured], nothing: str) -> Figure:
    """The pairs with the interval after each of them; ``nothing`` says why there are none."""
    if not pairs:
        return Figure("pairs", _TITLE, "", empty=nothing)
    caption = (
        "Each dot is one fresh pair of runs, candidate against as found. The shaded interval holds the true effect "
        "with 95 % certainty however often it is looked at; a gain is proven when all of it is above zero."
    )
    keys = [
        Key("circle", "proposed", "one pair"),
        Key("line", "best", "mean so far"),
        Key("band", "sure", "95 % interval after each pair"),
    ]
    return drawn_twice("pairs", _TITLE, caption, _Pairs(pairs).draw, keys)


def effect_figure(result: Result) -> Figure | None:
    """The interval of the pairs and the claim of the search on one axis; None when nothing was verified."""
    if not result.pairs:
        return None
    interval, proven = result.improvement_interval, _proven(result)
    ends = "no bounded interval" if interval is None else f"interval {percent(interval[0])} to {percent(interval[1])}"
    effect = f"{percent(result.improvement)} ({ends})"
    title, caption = "What fresh pairs estimate", f"Fresh pairs estimate {effect}: no effect on the score is proven."
    if proven:
        title, caption = "What is proven", f"Proven by fresh pairs: {effect}."
    if proven and result.verdict is Verdict.WORSE and result.improvement > 0:
        caption += " A guardrail is violated all the same."
    keys = [Key("circle", "proposed", "estimate of the pairs"), Key("band", "sure", "its 95 % interval")]
    if result.claimed_by_search is not None:
        title += ", and what the search alone would have claimed"
        caption += f" Claimed by the search: {percent(result.claimed_by_search)}, which is no evidence."
        keys.append(Key("diamond", "aside hollow", "claim of the search"))
    plot = _Effect(result, title)
    wide = plot.draw("effect-wide", replace(WIDE, height=96.0, left=20.0, right=20.0))
    narrow = plot.draw("effect-narrow", replace(NARROW, height=96.0, left=16.0, right=16.0))
    return Figure("effect", title, caption, wide, narrow, keys=tuple(keys))


def _proven(result: Result) -> bool:
    """Whether the pairs prove a sign of the effect."""
    low, high = result.improvement_interval or (-math.inf, math.inf)
    return (low > 0 or high < 0) and result.verdict is not Verdict.INCONCLUSIVE


@dataclass(frozen=True)
class _Pairs:
    pairs: Sequence[PairMeasured]

    def draw(self, key: str, size: Size) -> Drawing:
        drawing = Drawing(key, size, _TITLE, f"{len(self.pairs)} pairs with the interval after each")
        bottom, right = size.height - size.bottom, size.width - size.right
        planned = max([pair.of for pair in self.pairs] + [pair.pair for pair in self.pairs])
        x = Scale(0.5, planned + 0.5, size.left, right)
        measured = [pair.percent for pair in self.pairs]
        last = self.pairs[-1]
        bounds = [end for end in (last.low_percent, last.high_percent) if end is not None]
        middle = (min(measured) + max(measured)) / 2
        reach = 2.5 * max(max(measured) - min(measured), 1.0)
        ends = [
            min(max(end, middle - reach), middle + reach)
            for pair in self.pairs
            for end in (pair.low_percent, pair.high_percent)
            if end is not None
        ]
        y = scale_over([0.0, *measured, *bounds, *ends], bottom, size.top)
        axis_y(drawing, y, size.left, right, "candidate against as found (%)", 6, sign=True)
        axis_x(drawing, x, bottom, "pair", min(planned, 12 if size.wide else 6))
        known = [pair for pair in self.pairs if pair.low_percent is not None and pair.high_percent is not None]
        upper = [(x.at(pair.pair), y.at(pair.high_percent or 0.0)) for pair in known]
        lower = [(x.at(pair.pair), y.at(pair.low_percent or 0.0)) for pair in known]
        if len(known) > 1:
            drawing.area([*upper, *reversed(lower)], "sure")
        for high, low in zip(upper, lower, strict=True):
            drawing.line(high, low, "whisker")
            for at, height in (high, low):
                drawing.line((at - 5, height), (at + 5, height), "whisker")
        unknown = len(self.pairs) - len(known)
        if unknown:
            middle_of = (x.at(self.pairs[0].pair) + x.at(self.pairs[unknown - 1].pair)) / 2
            words = "no interval yet" if size.wide else "none yet"
            drawing.words((max(middle_of, size.left + 30), size.top + 4), words, "tick", "middle")
        drawing.line((size.left, y.at(0.0)), (right, y.at(0.0)), "zero")
        drawing.curve([(x.at(pair.pair), y.at(mean)) for pair, mean in self._means()], "best")
        for pair in self.pairs:
            tip = (
                f"pair {pair.pair}: {number(pair.default_score)} as found, {number(pair.candidate_score)} candidate: "
                f"{percent(pair.percent)}"
            )
            if pair.low_percent is not None and pair.high_percent is not None:
                tip += f"; interval {percent(pair.low_percent)} to {percent(pair.high_percent)}"
            drawing.mark((x.at(pair.pair), y.at(pair.percent)), "circle", "proposed", tip)
        return drawing

    def _means(self) -> list[tuple[PairMeasured, float]]:
        """After each pair the mean of the log-ratios so far, in percent."""
        total, means = 0.0, []
        for count, pair in enumerate(self.pairs, start=1):
            total += log_effect(max(pair.percent, -99.99))
            means.append((pair, percent_of(total / count)))
        return means


@dataclass(frozen=True)
class _Effect:
    result: Result
    title: str

    def draw(self, key: str, size: Size) -> Drawing:
        result = self.result
        drawing = Drawing(key, size, self.title, "One axis in percent with the interval, the estimate and the claim")
        interval, claim = result.improvement_interval, result.claimed_by_search
        values = [0.0, result.improvement, *(interval or ()), *(() if claim is None else (claim,))]
        x = scale_over([value for value in values if math.isfinite(value)], size.left, size.width - size.right)
        bottom, middle = size.height - size.bottom, 30.0
        axis_x(drawing, x, bottom, "change of the score (%), right is better", 8 if size.wide else 5, top=8)
        if interval is not None:
            low, high = x.at(interval[0]), x.at(interval[1])
            drawing.box((low, middle - 9), high - low, 18, "sure")
            drawing.line((low, middle - 9), (low, middle + 9), "whisker")
            drawing.line((high, middle - 9), (high, middle + 9), "whisker")
        drawing.line((x.at(0.0), 6), (x.at(0.0), bottom), "zero")
        if claim is not None:
            drawing.mark((x.at(claim), middle), "diamond", "aside hollow", f"claimed by the search: {percent(claim)}")
        at = (x.at(result.improvement), middle)
        drawing.mark(at, "circle", "proposed", f"estimate of the pairs: {percent(result.improvement)}")
        return drawing
