"""Two scales in, axes with units and readable ticks out; and what a figure on the page is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from knobctl.report.page.drawing import NARROW, WIDE, Drawing, Size, sign
from knobctl.report.page.scale import Scale, label

_CHARACTER = 6.4
_GAP = 8.0

Draw = Callable[[str, Size], Drawing]


@dataclass(frozen=True)
class Key:
    """One entry of a legend: the sign, and what it stands for."""

    shape: str
    style: str
    text: str

    @property
    def sign(self) -> Markup:
        """The sign as a little drawing."""
        return sign(self.shape, self.style)


@dataclass(frozen=True)
class Figure:
    """One figure of the page.

    Attributes:
        key: Its identifier.
        title: Its heading.
        caption: One sentence that says what is to be seen.
        wide: For a desk and for paper.
        narrow: The same for a telephone.
        tiles: Small multiples, in place of the two.
        keys: Its legend.
        empty: Why nothing is drawn; empty when something is.
    """

    key: str
    title: str
    caption: str
    wide: Drawing | None = None
    narrow: Drawing | None = None
    tiles: tuple[Drawing, ...] = ()
    keys: tuple[Key, ...] = ()
    empty: str = ""


def drawn_twice(
    key: str,
    title: str,
    caption: str,
    draw: Draw,
    keys: Sequence[Key] = (),
    *,
    heights: tuple[float, float] | None = None,
) -> Figure:
    """A figure that is drawn for a desk and for a telephone, so that its words are readable on both."""
    wide, narrow = WIDE, NARROW
    if heights is not None:
        wide, narrow = replace(WIDE, height=heights[0]), replace(NARROW, height=heights[1])
    return Figure(key, title, caption, draw(f"{key}-wide", wide), draw(f"{key}-narrow", narrow), keys=tuple(keys))


def readable(scale: Scale, most: int) -> list[float]:
    """The ticks of a level scale, without those whose label would run into the one before."""
    kept: list[float] = []
    for tick in scale.ticks(most):
        room = _CHARACTER * (len(label(tick)) + len(label(kept[-1]))) / 2 + _GAP if kept else 0.0
        if not kept or scale.at(tick) - scale.at(kept[-1]) >= room:
            kept.append(tick)
    return kept


def axis_x(drawing: Drawing, scale: Scale, bottom: float, title: str, most: int, *, top: float | None = None) -> None:
    """Ticks below ``bottom`` with the title under them; grid lines up to ``top`` when it is given."""
    for tick in readable(scale, most):
        x = scale.at(tick)
        if top is not None:
            drawing.line((x, top), (x, bottom), "grid")
        drawing.line((x, bottom), (x, bottom + 4), "axis")
        drawing.words((x, bottom + 17), label(tick), anchor="middle")
    drawing.line((scale.start, bottom), (scale.end, bottom), "axis")
    if title:
        drawing.words(((scale.start + scale.end) / 2, bottom + 35), title, "name", "middle")


def axis_y(
    drawing: Drawing, scale: Scale, left: float, right: float, title: str, most: int, *, sign: bool = False
) -> None:
    """Ticks left of ``left`` with grid lines to ``right``, and the title above, where it can be read straight."""
    for tick in scale.ticks(most):
        y = scale.at(tick)
        drawing.line((left, y), (right, y), "grid")
        text = label(tick)
        drawing.words((left - 7, y + 4), f"+{text}" if sign and tick > 0 else text, anchor="end")
    if title:
        drawing.words((2, 13), title, "name")
