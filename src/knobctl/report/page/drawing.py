"""Shapes and words in, one inline SVG element out: well-formed, without a colour or a font of its own.

How things look is the style sheet's to say, by the class of each shape. Coordinates are the drawing's own: pixels at
its natural width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

from knobctl.report.page.text import safe

Point = tuple[float, float]

_NAMESPACE = "http://www.w3.org/2000/svg"
_RADIUS = 4.2


@dataclass(frozen=True)
class Size:
    """Width and height of a drawing, and the margins around its plot area."""

    width: float
    height: float
    left: float = 62.0
    right: float = 14.0
    top: float = 26.0
    bottom: float = 44.0

    @property
    def wide(self) -> bool:
        """Whether there is room for labels beside things; on a telephone they stand above or are left out."""
        return self.width > 500


WIDE = Size(880.0, 340.0)
NARROW = Size(340.0, 280.0, left=54.0, right=10.0)


class Drawing:
    """One SVG element under construction. Jinja inserts it as it is."""

    def __init__(self, key: str, size: Size, title: str, description: str) -> None:
        """Starts empty.

        Args:
            key: Unique on the page; the identifiers of title and description begin with it.
            size: Only width and height are used.
            title: What it shows, for those who cannot see it.
            description: What is to be seen in it.
        """
        self.size = size
        self._root = ElementTree.Element(
            "svg",
            {
                "xmlns": _NAMESPACE,
                "viewBox": f"0 0 {_number(size.width)} {_number(size.height)}",
                "width": _number(size.width),
                "height": _number(size.height),
                "role": "img",
                "aria-labelledby": f"{key}-title {key}-desc",
            },
        )
        self._add(self._root, "title", {"id": f"{key}-title"}, title)
        self._add(self._root, "desc", {"id": f"{key}-desc"}, description)

    def __html__(self) -> str:
        return ElementTree.tostring(self._root, encoding="unicode")

    def line(self, start: Point, end: Point, style: str) -> None:
        """A straight line."""
        (x1, y1), (x2, y2) = start, end
        places = {"x1": _number(x1), "y1": _number(y1), "x2": _number(x2), "y2": _number(y2)}
        self._add(self._root, "line", {**places, "class": style})

    def curve(self, points: Sequence[Point], style: str) -> None:
        """A line through points."""
        self._add(self._root, "polyline", {"points": _points(points), "class": style})

    def area(self, points: Sequence[Point], style: str) -> None:
        """A filled shape."""
        self._add(self._root, "polygon", {"points": _points(points), "class": style})

    def box(self, corner: Point, width: float, height: float, style: str, tip: str = "") -> None:
        """A rectangle whose upper left corner is given."""
        places = {"x": _number(corner[0]), "y": _number(corner[1])}
        extent = {"width": _number(max(0.0, width)), "height": _number(max(0.0, height))}
        self._tip(self._add(self._root, "rect", {**places, **extent, "class": style}), tip)

    def words(self, at: Point, text: str, style: str = "tick", anchor: str = "start") -> None:
        """Text whose base line begins, has its middle or ends (``start``, ``middle``, ``end``) at a point."""
        places = {"x": _number(at[0]), "y": _number(at[1])}
        self._add(self._root, "text", {**places, "class": style, "text-anchor": anchor}, text)

    def mark(self, at: Point, shape: str, style: str, tip: str = "") -> None:
        """A small sign that tells what it stands for when it is pointed at.

        Args:
            at: Its middle.
            shape: ``circle``, ``diamond``, ``square``, ``triangle``, ``down``, ``cross``, ``plus``.
            style: Its class; ``hollow`` among it draws the outline only.
            tip: What it tells.
        """
        element = self._add(self._root, "path", {"d": _outline(at, shape), "class": f"mark {style}"})
        self._tip(element, tip)

    def _tip(self, element: ElementTree.Element, tip: str) -> None:
        if tip:
            self._add(element, "title", {}, tip)

    @staticmethod
    def _add(parent: ElementTree.Element, tag: str, attributes: dict[str, str], text: str = "") -> ElementTree.Element:
        element = ElementTree.SubElement(parent, tag, attributes)
        element.text = safe(text) or None
        return element


def sign(shape: str, style: str) -> Markup:
    """One mark alone, for a legend."""
    root = ElementTree.Element(
        "svg",
        {"xmlns": _NAMESPACE, "viewBox": "0 0 12 12", "width": "12", "height": "12", "aria-hidden": "true"},
    )
    if shape == "line":
        ElementTree.SubElement(root, "line", {"x1": "0", "y1": "6", "x2": "12", "y2": "6", "class": style})
    elif shape == "band":
        ElementTree.SubElement(root, "rect", {"x": "0", "y": "2", "width": "12", "height": "8", "class": style})
    else:
        ElementTree.SubElement(root, "path", {"d": _outline((6.0, 6.0), shape), "class": f"mark {style}"})
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree escapes


def _outline(at: Point, shape: str) -> str:
    x, y, r = at[0], at[1], _RADIUS
    if shape == "circle":
        arc = f"a{_number(r)} {_number(r)} 0 1 1"
        return f"M{_number(x - r)} {_number(y)}{arc} {_number(2 * r)} 0{arc} {_number(-2 * r)} 0Z"
    if shape in ("cross", "plus"):
        d = r * (0.8 if shape == "cross" else 0.0)
        strokes = [((x - d, y - d), (x + d, y + d)), ((x - d, y + d), (x + d, y - d))]
        if shape == "plus":
            strokes = [((x - r, y), (x + r, y)), ((x, y - r), (x, y + r))]
        return "".join(f"M{_pair(start)}L{_pair(end)}" for start, end in strokes)
    corners = {
        "diamond": ((0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)),
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": ((0.0, -1.2), (1.15, 0.85), (-1.15, 0.85)),
        "down": ((0.0, 1.2), (1.15, -0.85), (-1.15, -0.85)),
    }[shape]
    return "M" + "L".join(_pair((x + r * dx, y + r * dy)) for dx, dy in corners) + "Z"


def _points(points: Sequence[Point]) -> str:
    return " ".join(_pair(point, ",") for point in points)


def _pair(point: Point, between: str = " ") -> str:
    return f"{_number(point[0])}{between}{_number(point[1])}"


def _number(value: float) -> str:
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
