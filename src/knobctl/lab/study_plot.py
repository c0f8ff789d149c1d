"""Verified sessions in, one drawing out: the announced smallest effect, the true effect, and the verdict of each.

A file of its own for a page, in colours that can be read on light and on dark paper; every verdict has its own mark
too, so nothing depends on colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from knobctl.lab.study_case import Played

WIDTH, HEIGHT = 760, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 40, 52
_ACROSS, _UP = (2.0, 55.0), (0.5, 90.0)
_ACROSS_TICKS, _UP_TICKS = (2, 3, 5, 10, 20, 30, 50), (0.5, 1, 2, 5, 10, 20, 50)
_MARKS = {
    "IMPROVED": ("proven", "h0"),
    "INCONCLUSIVE": ("open", "m0-3.4l3.4 3.4l-3.4 3.4l-3.4-3.4z"),
    "NO_CHANGE": ("calm", "m-2.8-2.8l5.6 5.6m0-5.6l-5.6 5.6"),
    "WORSE": ("worse", "m-3.4-2.6h6.8l-3.4 6z"),
}
_STYLE = """
text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #40474e; }
.paper { fill: #ffffff; } .grid { stroke: #e3e6e8; } .line { stroke: #40474e; stroke-width: 1.3; }
.dashed { stroke-dasharray: 6 4; } path { fill: none; stroke-width: 1.5; }
.proven { stroke: #0072b2; stroke-width: 5.4; stroke-linecap: round; stroke-opacity: .62; }
.open { stroke: #b35900; } .calm { stroke: #66707a; } .worse { stroke: #a13d7d; }
@media (prefers-color-scheme: dark) {
  text { fill: #d5dbdf; } .paper { fill: #14181b; } .grid { stroke: #2c353b; } .line { stroke: #c9d1d6; }
  .proven { stroke: #56b4e9; } .open { stroke: #f0924a; } .calm { stroke: #9aa5ae; } .worse { stroke: #dd8fc0; }
}
"""


def drawing(verified: Sequence[Played]) -> str:
    """An SVG document. Both axes are logarithmic; effects below or above the axis stand at its end."""
    known = [one for one in verified if one.announced is not None and one.true is not None]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-labelledby="title desc">',
        '<title id="title">Announced smallest effect and true effect, by verdict</title>',
        f'<desc id="desc">{escape(_described(known))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        *(_line((tick, _UP[0]), (tick, _UP[1]), "grid") for tick in _ACROSS_TICKS),
        *(_line((_ACROSS[0], tick), (_ACROSS[1], tick), "grid") for tick in _UP_TICKS),
        *(_text(_x(tick), HEIGHT - _BOTTOM + 18, f"{tick:g} %", "middle") for tick in _ACROSS_TICKS),
        *(_text(_LEFT - 7, _y(tick) + 4, f"{tick:g} %", "end") for tick in _UP_TICKS),
        _text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 12, "announced smallest effect", "middle"),
        f'<text transform="translate(15 {(_TOP + HEIGHT - _BOTTOM) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        "true effect of the candidate</text>",
    ]
    parts += [
        f'<path class="{style}" d="{_path([one for one in known if one.ended == verdict], mark)}"/>'
        for verdict, (style, mark) in _MARKS.items()
    ]
    parts += [_line((_ACROSS[0], _ACROSS[0]), (_ACROSS[1], _ACROSS[1]), "line")]
    parts += [_line((_ACROSS[0], 1.5 * _ACROSS[0]), (_ACROSS[1], 1.5 * _ACROSS[1]), "line dashed")]
    parts += [_text(WIDTH - _RIGHT - 4, _y(_ACROSS[1]) + 18, "as announced", "end")]
    parts += [_text(WIDTH - _RIGHT - 70, _y(1.5 * _ACROSS[1]) - 2, "1.5 times that", "end")]
    return "\n".join([*parts, *_legend(known), "</svg>", ""])


def _legend(known: Sequence[Played]) -> list[str]:
    parts, left = [], float(_LEFT)
    for verdict, (style, mark) in _MARKS.items():
        words = f"{verdict} ({sum(one.ended == verdict for one in known)})"
        parts.append(f'<path class="{style}" d="M{left + 5:.0f} {_TOP - 19}{mark}"/>')
        parts.append(_text(left + 15, _TOP - 15, words, "start"))
        left += 40 + 8.2 * len(words)
    return parts


def _path(played: Sequence[Played], mark: str) -> str:
    return "".join(f"M{_x(one.announced or 0.0):.1f} {_y(one.true or 0.0):.1f}{mark}" for one in played)


def _x(percent: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * _place(percent, _ACROSS)


def _y(percent: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * _place(percent, _UP)


def _place(percent: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return math.log(min(max(percent, low), high) / low) / math.log(high / low)


def _line(start: tuple[float, float], end: tuple[float, float], style: str) -> str:
    return (
        f'<line class="{style}" x1="{_x(start[0]):.1f}" y1="{_y(start[1]):.1f}" x2="{_x(end[0]):.1f}" '
        f'y2="{_y(end[1]):.1f}"/>'
    )


def _text(left: float, top: float, words: str, anchor: str) -> str:
    return f'<text x="{left:.0f}" y="{top:.0f}" text-anchor="{anchor}">{escape(words)}</text>'


def _described(known: Sequence[Played]) -> str:
    counts = ", ".join(f"{sum(one.ended == verdict for one in known)} {verdict}" for verdict in _MARKS)
    return f"{len(known)} verified candidates: {counts}."
