"""The progress within the runs of a verification in, the usual course of both configurations out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from knobctl.events import Trial
from knobctl.report.page.drawing import Drawing, Size
from knobctl.report.page.frame import Figure, Key, axis_x, axis_y, drawn_twice
from knobctl.report.page.scale import scale_over, usual

_TITLE = "Within a run"
_ARMS = (("verify-default", "found"), ("verify-candidate", "proposed"))
_MOST_POINTS = 120


@dataclass(frozen=True)
class _Moment:
    second: float
    low: float
    middle: float
    high: float


def within_figure(trials: Sequence[Trial], name: str) -> Figure:
    """Default against candidate, second by second: the median of the runs and the middle half of them.

    Args:
        trials: All of them; those of the verification count.
        name: Metric with its unit.
    """
    verified = [trial for trial in trials if trial.kind.startswith("verify") and trial.score is not None]
    if not verified:
        return Figure("within", _TITLE, "", empty="There are no runs of a verification.")
    courses = {style: _course([trial for trial in verified if trial.kind == kind]) for kind, style in _ARMS}
    if not any(courses.values()):
        return Figure("within", _TITLE, "", empty="This benchmark printed no progress while it ran.")
    caption = (
        "The score as it was printed during the runs of the verification: the line is the median of the runs, the band "
        "the middle half of them. A long rise at the beginning is warm-up; dips that "
        "come back are checkpoints or the like."
    )
    keys = [
        Key("line", "course found", "as found"),
        Key("line", "course proposed", "candidate"),
        Key("band", "around found", "middle half of the runs"),
    ]
    return drawn_twice("within", _TITLE, caption, _Courses(courses, name).draw, keys)


@dataclass(frozen=True)
class _Courses:
    courses: dict[str, list[_Moment]]
    name: str

    def draw(self, key: str, size: Size) -> Drawing:
        drawing = Drawing(key, size, _TITLE, f"{self.name} over the seconds of a run, as found and candidate")
        moments = [moment for course in self.courses.values() for moment in course]
        bottom, right = size.height - size.bottom, size.width - size.right
        x = scale_over([moment.second for moment in moments], size.left, right)
        values = usual([end for moment in moments for end in (moment.low, moment.high)])
        y = scale_over([*values, *(moment.middle for moment in moments)], bottom, size.top)
        axis_y(drawing, y, size.left, right, self.name, 6)
        axis_x(drawing, x, bottom, "seconds since the run began", 8 if size.wide else 5)
        for style, course in self.courses.items():
            upper = [(x.at(moment.second), y.at(moment.high)) for moment in course]
            lower = [(x.at(moment.second), y.at(moment.low)) for moment in course]
            if len(course) > 1:
                drawing.area([*upper, *reversed(lower)], f"around {style}")
        for style, course in self.courses.items():
            drawing.curve([(x.at(moment.second), y.at(moment.middle)) for moment in course], f"course {style}")
        return drawing


def _course(trials: Sequence[Trial]) -> list[_Moment]:
    samples = [(at, value) for trial in trials for at, value in trial.samples if math.isfinite(at + value)]
    if not samples:
        return []
    longest = max(at for at, _ in samples)
    width = max(1.0, longest / _MOST_POINTS)
    bins: dict[int, list[float]] = {}
    for at, value in samples:
        bins.setdefault(round(at / width), []).append(value)
    return [_moment(place * width, values) for place, values in sorted(bins.items())]


def _moment(second: float, values: list[float]) -> _Moment:
    if len(values) == 1:
        return _Moment(second, values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return _Moment(second, low, middle, high)
