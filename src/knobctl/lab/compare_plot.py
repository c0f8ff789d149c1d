"""Figures of a comparison in, drawings out: what is offered over trials and over time, and dots with their intervals.

Files of their own for a page, in colours that can be read on light and on dark paper; every contender's name stands at
the end of its line, so nothing depends on colour.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from knobctl.lab.compare_figures import Estimate

WIDTH, HEIGHT = 820, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 150, 40, 52
_ROW, _NAMES = 30, 150
_LINE = 15.0
_DASHES = ("", "7 4", "2 3", "9 3 2 3")
_COLOURS = ("b", "o", "g", "p", "k", "s")
_STYLE = """
text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #40474e; } .head { font-weight: 600; }
.paper { fill: #ffffff; } .grid { stroke: #e3e6e8; } .band { stroke: none; fill-opacity: .13; }
.curve { fill: none; stroke-width: 2; } .bar { stroke-width: 2.4; }
.b { stroke: #0072b2; } .o { stroke: #b35900; } .g { stroke: #00785a; } .p { stroke: #a13d7d; } .k { stroke: #59626b; }
.s { stroke: #7a6a00; } .fb { fill: #0072b2; } .fo { fill: #b35900; } .fg { fill: #00785a; } .fp { fill: #a13d7d; }
.fk { fill: #59626b; } .fs { fill: #7a6a00; }
@media (prefers-color-scheme: dark) {
  text { fill: #d5dbdf; } .paper { fill: #14181b; } .grid { stroke: #2c353b; }
  .b { stroke: #56b4e9; } .o { stroke: #f0924a; } .g { stroke: #3cc79d; } .p { stroke: #dd8fc0; }
  .k { stroke: #a7b1b9; } .s { stroke: #d8c74a; }
  .fb { fill: #56b4e9; } .fo { fill: #f0924a; } .fg { fill: #3cc79d; } .fp { fill: #dd8fc0; }
  .fk { fill: #a7b1b9; } .fs { fill: #d8c74a; }
}
"""


@dataclass(frozen=True)
class Curve:
    """A contender's line.

    Attributes:
        name: Of the contender.
        points: (place, figure) from left to right.
    """

    name: str
    points: tuple[tuple[float, Estimate], ...]


def curves(title: str, across: str, lines: Sequence[Curve]) -> str:
    """An SVG document with a line for each contender, and the interval of the first one as a band."""
    places = [place for line in lines for place, _ in line.points]
    values = [end for line in lines for _, figure in line.points for end in (figure.value, figure.reach[0])]
    first, last = min(places, default=0.0), max(places, default=1.0)
    low, high = math.floor(10.0 * min([0.0, *values])) / 10.0, 1.0

    def x(place: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (place - first) / max(last - first, 1e-9)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (min(value, high) - low) / (high - low)

    parts = _begin(title, f"{title}: {', '.join(_said(line) for line in lines)}.", HEIGHT)
    for tenth in range(round(10 * low), 11, 2):
        parts.append(_line(x(first), y(tenth / 10), x(last), y(tenth / 10), "grid"))
        parts.append(_text(_LEFT - 7, y(tenth / 10) + 4, f"{tenth / 10:.1f}", "end"))
    parts += [_text(x(place), HEIGHT - _BOTTOM + 18, f"{place:g}", "middle") for place in dict.fromkeys(places)]
    parts.append(_text((x(first) + x(last)) / 2, HEIGHT - 12, across, "middle"))
    for line in lines[:1]:
        there = [f"{x(place):.1f} {y(figure.reach[0]):.1f}" for place, figure in line.points]
        back = [f"{x(place):.1f} {y(figure.reach[1]):.1f}" for place, figure in reversed(line.points)]
        parts.append(f'<path class="band f{_COLOURS[0]}" d="M{"L".join([*there, *back])}z"/>')
    heights = _apart([y(line.points[-1][1].value) for line in lines])
    for number, line in enumerate(lines):
        path = "L".join(f"{x(place):.1f} {y(figure.value):.1f}" for place, figure in line.points)
        dashes = _DASHES[(number // len(_COLOURS) + (number > 0)) % len(_DASHES)]
        parts.append(f'<path class="curve {_colour(number)}" stroke-dasharray="{dashes or "none"}" d="M{path}"/>')
        parts.append(_text(x(last) + 8, heights[number] + 4, line.name, "start", f"f{_colour(number)}"))
    return "\n".join([*parts, "</svg>", ""])


def dots(title: str, figures: Sequence[tuple[str, Estimate]], form: str = ".0f", logarithmic: bool = False) -> str:
    """An SVG document with a row for each contender: its figure as a dot, its interval as a bar."""
    known = [end for _, figure in figures for end in (figure.value, *figure.reach) if math.isfinite(end)]
    above = [end for end in known if end > 0.0] or [1.0]
    low, high = (min(above) * 0.8 if logarithmic else min([0.0, *known])), max(above) * 1.1
    height = _TOP + _ROW * len(figures) + 16

    def x(value: float) -> float:
        inside = min(max(value, low), high)
        place = math.log(inside / low) / math.log(high / low) if logarithmic else (inside - low) / (high - low)
        return _NAMES + (WIDTH - _NAMES - _RIGHT) * place

    parts = _begin(title, f"{title}: {', '.join(f'{name} {figure.text(form)}' for name, figure in figures)}.", height)
    for number, (name, figure) in enumerate(figures):
        y = _TOP + _ROW * (number + 0.5)
        parts.append(_line(_NAMES, y, WIDTH - _RIGHT, y, "grid"))
        parts.append(_text(_NAMES - 10, y + 4, name, "end"))
        parts.append(_text(WIDTH - _RIGHT + 8, y + 4, figure.text(form), "start"))
        if math.isnan(figure.value):
            continue
        colour = _colour(number)
        parts.append(_line(x(figure.reach[0]), y, x(figure.reach[1]), y, f"bar {colour}"))
        if math.isfinite(figure.value):
            parts.append(f'<circle class="f{colour}" cx="{x(figure.value):.1f}" cy="{y:.1f}" r="5"/>')
    return "\n".join([*parts, "</svg>", ""])


def _said(line: Curve) -> str:
    return f"{line.name} {line.points[-1][1].value:.2f}" if line.points else line.name


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _apart(heights: Sequence[float]) -> list[float]:
    """The heights of labels, moved so that none stands on another."""
    moved = list(heights)
    order = sorted(range(len(moved)), key=lambda index: heights[index])
    for above, below in itertools.pairwise(order):
        moved[below] = max(moved[below], moved[above] + _LINE)
    too_low = max([0.0, *(height - (HEIGHT - _BOTTOM) for height in moved)])
    return [height - too_low for height in moved]


def _begin(title: str, description: str, height: float) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(description)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height:.0f}"/>',
        _text(_LEFT, 22, title, "start", "head"),
    ]


def _line(left: float, top: float, right: float, bottom: float, style: str) -> str:
    return f'<line class="{style}" x1="{left:.1f}" y1="{top:.1f}" x2="{right:.1f}" y2="{bottom:.1f}"/>'


def _text(left: float, top: float, words: str, anchor: str, style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
