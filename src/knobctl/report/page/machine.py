"""Machine metrics of every trial in, a strip for each of them over the time of the session out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from knobctl.events import Trial
from knobctl.report.page.drawing import Drawing, Size
from knobctl.report.page.frame import Figure, axis_x, drawn_twice
from knobctl.report.page.scale import Scale, label, scale_over, time_unit

_TITLE = "The machine over time"
_STRIPS = (
    ("cpu_utilization", "CPU in use"),
    ("iowait", "CPU waiting for a disk (iowait)"),
    ("steal", "CPU taken by other guests (steal)"),
    ("memory_pressure", "tasks waiting for memory (pressure)"),
    ("io_pressure", "tasks waiting for a disk (pressure)"),
)
_STRIP, _BELOW = 78.0, 44.0
_LEAST_CEILING = 5.0


def machine_figure(trials: Sequence[Trial]) -> Figure:
    """CPU, iowait, steal, and the pressure on memory and disks."""
    if not any(trial.machine for trial in trials):
        return Figure("machine", _TITLE, "", empty="No machine metrics are recorded.")
    caption = (
        "What the machine did during each run, in percent of the time. Steal and pressure that come and go by "
        "themselves are noise from outside, and make proofs expensive."
    )
    height = len(_STRIPS) * _STRIP + _BELOW + 6
    return drawn_twice("machine", _TITLE, caption, _Strips(trials).draw, heights=(height, height))


@dataclass(frozen=True)
class _Strips:
    trials: Sequence[Trial]

    def draw(self, key: str, size: Size) -> Drawing:
        told = ", ".join(name for _, name in _STRIPS)
        drawing = Drawing(key, size, _TITLE, f"{told}, in percent, for each of {len(self.trials)} runs")
        right = size.width - size.right
        divisor, unit = time_unit(max(trial.started for trial in self.trials))
        x = scale_over([trial.started / divisor for trial in self.trials], size.left, right)
        for place, (metric, name) in enumerate(_STRIPS):
            floor = (place + 1) * _STRIP
            self._strip(drawing, metric, name, floor, x, divisor)
        axis_x(drawing, x, len(_STRIPS) * _STRIP, f"{unit} since the session began", 8 if size.wide else 5)
        return drawing

    def _strip(self, drawing: Drawing, metric: str, name: str, floor: float, x: Scale, divisor: float) -> None:
        seen = [(trial, trial.machine[metric]) for trial in self.trials if metric in trial.machine]
        seen = [(trial, value) for trial, value in seen if math.isfinite(value)]
        drawing.words((x.start, floor - _STRIP + 19), name, "label")
        if not seen:
            drawing.words((x.start, floor - 24), "not recorded", "tick")
            return
        highest = max(value for _, value in seen)
        ceiling = 100.0 if highest > 50 else max(_LEAST_CEILING, 1.15 * highest)
        y = Scale(0.0, ceiling, floor, floor - _STRIP + 28)
        for tick in (0.0, max(y.ticks(2))):
            drawing.line((x.start, y.at(tick)), (x.end, y.at(tick)), "grid")
            drawing.words((x.start - 7, y.at(tick) + 4), f"{label(tick)} %", anchor="end")
        points = [(x.at(trial.started / divisor), y.at(value)) for trial, value in seen]
        drawing.area([(points[0][0], floor), *points, (points[-1][0], floor)], "under")
        drawing.curve(points, "level")
        for at, (trial, value) in zip(points, seen, strict=True):
            drawing.box((at[0] - 4, at[1] - 4), 8, 8, "touch", f"run {trial.number}, {trial.kind}: {value:.1f} %")
