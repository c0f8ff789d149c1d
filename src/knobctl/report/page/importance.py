"""How much each knob mattered in, one bar for each out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from knobctl.report.page.drawing import Drawing, Size
from knobctl.report.page.frame import Figure, axis_x, drawn_twice
from knobctl.report.page.scale import Scale
from knobctl.report.page.text import shortened

_TITLE = "Importance of the knobs"
_ROW_WIDE, _ROW_NARROW = 26.0, 38.0
_BELOW = 48.0


def importance_figure(importance: Mapping[str, float], nothing: str) -> Figure:
    """The knobs, the most important first; ``nothing`` says why there are no figures."""
    if not importance:
        return Figure("importance", _TITLE, "", empty=nothing)
    ranked = sorted(importance.items(), key=lambda one: -one[1])
    caption = (
        "The share of each knob in the differences that the search saw, all together 100 %. It is an estimate from "
        "few noisy runs: it tells where to look, not what is proven."
    )
    rows = len(ranked)
    heights = (rows * _ROW_WIDE + _BELOW + 8, rows * _ROW_NARROW + _BELOW + 8)
    return drawn_twice("importance", _TITLE, caption, _Bars(ranked).draw, heights=heights)


@dataclass(frozen=True)
class _Bars:
    ranked: list[tuple[str, float]]

    def draw(self, key: str, size: Size) -> Drawing:
        drawing = Drawing(key, size, _TITLE, ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.ranked))
        left = 290.0 if size.wide else 8.0
        row = _ROW_WIDE if size.wide else _ROW_NARROW
        most = max(0.01, *(share for _, share in self.ranked))
        x = Scale(0.0, 100.0 * most, left, size.width - 56)
        bottom = size.height - _BELOW
        axis_x(drawing, x, bottom, "share (%)", 6, top=4)
        for place, (name, share) in enumerate(self.ranked):
            top = 6 + place * row
            if size.wide:
                drawing.words((left - 10, top + 15), shortened(name, 44), "label", "end")
                corner = (left, top + 3)
            else:
                drawing.words((left, top + 12), shortened(name, 48), "label")
                corner = (left, top + 17)
            width = x.at(100.0 * share) - left
            drawing.box(corner, width, 16, "bar", f"{name}: {100 * share:.1f} %")
            drawing.words((corner[0] + width + 6, corner[1] + 13), f"{100 * share:.0f} %", "label")
        return drawing
