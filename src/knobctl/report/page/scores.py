"""Every trial of a session in, its score over time out: with the baseline's band, the best so far, and the failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from knobctl.events import NoiseMeasured, Trial
from knobctl.report.page.drawing import Drawing, Size
from knobctl.report.page.frame import Figure, Key, axis_x, axis_y, drawn_twice
from knobctl.report.page.scale import Scale, scale_over, time_unit, usual
from knobctl.report.page.text import shortened
from knobctl.report.wording import assignments, better, score
from knobctl.stats import geometric_mean, sd

AS_FOUND = ("baseline", "control", "canary", "verify-default")
"""Kinds of trials that measure the configuration as found and count."""

SEARCHED = ("search", "suggestion")
"""Kinds of trials that the search learns from."""

_TITLE = "Scores over time"
_MARKS = {
    "warmup": ("circle", "aside hollow"),
    "probe": ("square", "aside hollow"),
    "search": ("circle", "tried"),
    "suggestion": ("triangle", "tried"),
    "run-off": ("square", "proposed hollow"),
    "verify-candidate": ("square", "proposed"),
}
_PHASES = {"warmup": "preflight", "baseline": "preflight", "probe": "preflight", "run-off": "run-off"}
_KEYS = (
    (AS_FOUND, Key("diamond", "found", "as found")),
    (("warmup", "probe"), Key("circle", "aside hollow", "warm-up or probe, not counted")),
    (("suggestion",), Key("triangle", "tried", "first guess")),
    (("search",), Key("circle", "tried", "search")),
    (("run-off",), Key("square", "proposed hollow", "run-off")),
    (("verify-candidate",), Key("square", "proposed", "candidate, verified")),
)


@dataclass(frozen=True)
class Baseline:
    """The default configuration's runs: their mean, and the band that one standard deviation makes around it."""

    mean: float
    low: float
    high: float


def baseline_of(trials: Sequence[Trial], noise: NoiseMeasured | None) -> Baseline | None:
    """From the preflight, or from the default's runs where it did not come that far; None without any."""
    if noise is not None:
        factor = 1.0 + noise.noise_percent / 100.0
        return Baseline(noise.baseline, noise.baseline / factor, noise.baseline * factor)
    scores = [trial.score for trial in trials if trial.kind in AS_FOUND and trial.score is not None]
    mean = geometric_mean(scores)
    if mean is None:
        return None
    spread = sd(scores) or 0.0
    return Baseline(mean, mean - spread, mean + spread)


def scores_figure(trials: Sequence[Trial], baseline: Baseline | None, metric: str, unit: str, direction: str) -> Figure:
    """The score of every trial over the time of the session."""
    if not trials:
        return Figure("scores", _TITLE, "", empty="No trial is recorded.")
    caption = (
        f"Each mark is one run ({better(direction)}). The band is the machine as found, one standard deviation to each "
        "side; the dashed line joins its runs, so a slope in it is drift. The stepped line is the best single run so "
        "far, which is partly luck."
    )
    kinds = {trial.kind for trial in trials}
    keys = [key for group, key in _KEYS if kinds.intersection(group)]
    if any(trial.cut_short for trial in trials):
        keys.append(Key("down", "lost", "cut short, estimated"))
    if any(trial.score is None for trial in trials):
        keys.append(Key("cross", "lost", "failed, no score"))
    if baseline is not None:
        keys.append(Key("band", "band", "baseline ± noise"))
    if any(trial.kind in SEARCHED for trial in trials):
        keys.append(Key("line", "best", "best so far, unverified"))
    plot = _Plot(trials, baseline, f"{metric} ({unit})" if unit else metric, unit, direction)
    return drawn_twice("scores", _TITLE, caption, plot.draw, keys, heights=(380.0, 320.0))


@dataclass(frozen=True)
class _Plot:
    trials: Sequence[Trial]
    baseline: Baseline | None
    name: str
    unit: str
    direction: str

    def draw(self, key: str, size: Size) -> Drawing:
        drawing = Drawing(key, size, _TITLE, f"{len(self.trials)} runs, {self.name} over the time of the session")
        top, bottom = size.top + 14, size.height - size.bottom
        right = size.width - size.right
        divisor, unit = time_unit(max(trial.started for trial in self.trials))
        x = scale_over([trial.started / divisor for trial in self.trials], size.left, right)
        y = scale_over(self._values(), bottom - 14, top + 6)
        self._phases(drawing, x, divisor, top, bottom)
        axis_y(drawing, y, size.left, right, self.name, 6)
        axis_x(drawing, x, bottom, f"{unit} since the session began", 8 if size.wide else 5)
        if self.baseline is not None:
            low, high = y.at(self.baseline.low), y.at(self.baseline.high)
            drawing.box((size.left, high), right - size.left, low - high, "band")
            middle = y.at(self.baseline.mean)
            drawing.line((size.left, middle), (right, middle), "middle")
        found = [trial for trial in self.trials if trial.kind in AS_FOUND and trial.score is not None]
        drawing.curve([(x.at(t.started / divisor), y.at(t.score or 0.0)) for t in found], "drift")
        best = [(x.at(at / divisor), y.at(value)) for at, value in self._best()]
        drawing.curve(list(_steps(best)), "best")
        for trial in self.trials:
            self._mark(drawing, trial, x.at(trial.started / divisor), y, bottom)
        return drawing

    def _values(self) -> list[float]:
        """What the axis must hold: all that is not far out, and in any case the baseline and its runs."""
        values = usual([trial.score for trial in self.trials if trial.score is not None])
        values += [trial.score for trial in self.trials if trial.score is not None and trial.kind in AS_FOUND]
        return [*values, self.baseline.low, self.baseline.high] if self.baseline else values

    def _best(self) -> Iterator[tuple[float, float]]:
        sign = 1.0 if self.direction == "maximize" else -1.0
        best: float | None = None
        searched = [trial for trial in self.trials if trial.kind in SEARCHED]
        for trial in searched:
            if trial.score is not None and not trial.cut_short and (best is None or sign * (trial.score - best) > 0):
                best = trial.score
                yield trial.started, best
        if best is not None:
            yield searched[-1].started, best

    def _mark(self, drawing: Drawing, trial: Trial, at: float, y: Scale, bottom: float) -> None:
        what = shortened(assignments(trial.configuration), 300)
        if trial.score is None:
            tip = f"run {trial.number}, {trial.kind}: failed, {shortened(trial.failure, 200)}. {what}"
            drawing.mark((at, bottom - 6), "cross", "lost", tip)
            return
        shape, style = _MARKS.get(trial.kind, ("diamond", "found"))
        told = score(trial.score, self.unit)
        if trial.cut_short:
            shape, style, told = "down", "lost", f"about {told}, cut short"
        elif not y.shows(trial.score):
            told = f"{told}, beyond this scale"
        drawing.mark((at, y.at(trial.score)), shape, style, f"run {trial.number}, {trial.kind}: {told}. {what}")
        if not y.shows(trial.score) and drawing.size.wide:
            inward = 14 if trial.score > y.high else -9
            drawing.words((at, y.at(trial.score) + inward), score(trial.score, ""), "tick", "middle")

    def _phases(self, drawing: Drawing, x: Scale, divisor: float, top: float, bottom: float) -> None:
        named = [(_phase(trial.kind), trial.started / divisor) for trial in self.trials]
        groups = [(phase, [at for _, at in group]) for phase, group in groupby(named, key=lambda one: one[0])]
        for place, (phase, times) in enumerate(groups):
            before = groups[place - 1][1][-1] if place else x.low
            after = groups[place + 1][1][0] if place + 1 < len(groups) else x.high
            start = x.at((before + times[0]) / 2) if place else x.start
            end = x.at((times[-1] + after) / 2) if place + 1 < len(groups) else x.end
            if place:
                drawing.line((start, top - 10), (start, bottom), "phase")
            if end - start > 7 * len(phase):
                drawing.words(((start + end) / 2, top - 4), phase, "tick", "middle")


def _phase(kind: str) -> str:
    return "verify" if kind.startswith("verify") else _PHASES.get(kind, "search")


def _steps(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    before: float | None = None
    for x, y in points:
        if before is not None:
            yield x, before
        yield x, y
        before = y


def relative(value: float, baseline: Baseline | None, direction: str) -> float | None:
    """A score in percent of the baseline, positive is better; None where there is no ratio."""
    if baseline is None or value <= 0 or baseline.mean <= 0:
        return None
    ratio = value / baseline.mean if direction == "maximize" else baseline.mean / value
    return 100.0 * (ratio - 1.0)
