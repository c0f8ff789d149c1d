"""The trials of a search in, one small plot for each knob out: its value against what the score was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knobctl.events import Trial
from knobctl.knobs import Catalogue, Value
from knobctl.plan import ActionSpec
from knobctl.report.page.drawing import Drawing, Size
from knobctl.report.page.frame import Figure, Key, axis_y, readable
from knobctl.report.page.scale import Scale, label, scale_over, usual
from knobctl.report.page.scores import Baseline, relative
from knobctl.report.page.text import shortened
from knobctl.report.wording import percent

_TITLE = "Knob by knob"
_TILE = Size(292.0, 214.0, left=48.0, right=10.0, top=40.0, bottom=42.0)
_COLUMN = 42.0
_KINDS = ("search", "suggestion", "run-off")
_MOST_COLUMNS = 7
_CHARACTER = 6.6


@dataclass(frozen=True)
class TunedKnob:
    """What a tile has to know about a knob.

    Attributes:
        name: Canonical name.
        unit: Of its values; may be empty.
        log: Whether steps are ratios.
        found: The value that the machine had; None when the record does not say.
        proposed: The candidate's value; None when it leaves the knob alone.
        words: All of its values are words or few numbers: a column for each, in this order.
        special: Numbers with a meaning of their own, beside the scale.
    """

    name: str
    unit: str = ""
    log: bool = False
    found: Value | None = None
    proposed: Value | None = None
    words: tuple[Value, ...] = ()
    special: tuple[Value, ...] = ()


def tuned_knobs(
    actions: Sequence[ActionSpec],
    catalogue: Catalogue,
    trials: Sequence[Trial],
    found: Mapping[str, Value],
    proposed: Mapping[str, Value],
) -> tuple[TunedKnob, ...]:
    """The knobs of a plan, and those that a trial has turned, each with how its axis should look."""
    named = {catalogue[action.param].name if action.param in catalogue else action.param: action for action in actions}
    turned = dict.fromkeys(name for trial in trials for name in trial.configuration)
    known = []
    for name in dict.fromkeys([*named, *turned]):
        action = named.get(name)
        knob = catalogue.find(name)
        words: tuple[Value, ...] = action.values or () if action else ()
        if not words and knob is not None and knob.kind == "choice":
            words = knob.choices
        special: tuple[Value, ...] = (*(action.special if action else ()), *(knob.special if knob else ()))
        scale = (action.scale if action else None) or (knob.scale if knob else "linear")
        known.append(
            TunedKnob(
                name, knob.unit if knob else "", scale == "log", found.get(name), proposed.get(name), words,
                tuple(dict.fromkeys(special)),
            )
        )  # fmt: skip
    return tuple(known)


def slices_figure(
    knobs: Sequence[TunedKnob], trials: Sequence[Trial], baseline: Baseline | None, direction: str
) -> Figure:
    """All tiles, on one scale of scores."""
    tried = [(trial, relative(trial.score, baseline, direction)) for trial in trials if trial.score is not None]
    runs = [(trial, effect) for trial, effect in tried if effect is not None and trial.kind in _KINDS]
    if not runs:
        return Figure("slices", _TITLE, "", empty="The search has no run with a score that could be compared.")
    caption = (
        "Every run of the search once in each plot, by the value that it gave the knob; height is the score against "
        "the machine as found. A knob that matters shows a slope or a step; a cloud without a shape does not. A mark "
        "on an edge lies beyond the scale."
    )
    keys = [Key("circle", "tried", "one run"), Key("line", "proposes", "proposed value")]
    if any(trial.cut_short for trial, _ in runs):
        keys.append(Key("down", "lost", "cut short, estimated"))
    heights = usual([effect for _, effect in runs])
    y = scale_over([0.0, *heights], _TILE.height - _TILE.bottom, _TILE.top)
    tiles = [_Tile(knob, runs, y).draw(f"slice-{place}") for place, knob in enumerate(knobs)]
    return Figure("slices", _TITLE, caption, tiles=tuple(tiles), keys=tuple(keys))


def _column(value: Value | None) -> str:
    """What stands under a column; None is the value found, whatever it was."""
    if value is None:
        return "found"
    return label(value) if isinstance(value, int) else shortened(value, 14)


@dataclass(frozen=True)
class _Tile:
    knob: TunedKnob
    runs: Sequence[tuple[Trial, float]]
    y: Scale

    def draw(self, key: str) -> Drawing:
        knob, size = self.knob, _TILE
        bottom, right = size.height - size.bottom, size.width - size.right
        drawing = Drawing(key, size, knob.name, f"score against as found for the values of {knob.name}")
        drawing.words((2, 14), shortened(knob.name, 42), "label")
        drawing.words((2, 29), "against as found (%)", "tick")
        axis_y(drawing, self.y, size.left, right, "", 4, sign=True)
        drawing.line((size.left, self.y.at(0.0)), (right, self.y.at(0.0)), "zero")
        columns, scale = self._places(size.left, right)
        room = (right - size.left) / max(1, len(columns))
        crowded = scale is None and any(_CHARACTER * len(_column(value)) > room for value in columns)
        for place, (value, x) in enumerate(columns.items()):
            drawing.line((x, bottom), (x, bottom + 4), "axis")
            drawing.words((x, bottom + (30 if crowded and place % 2 else 17)), _column(value), anchor="middle")
        if scale is None:
            drawing.line((size.left, bottom), (right, bottom), "axis")
        else:
            for tick in readable(scale, 5):
                drawing.line((scale.at(tick), bottom), (scale.at(tick), bottom + 4), "axis")
                drawing.words((scale.at(tick), bottom + 17), label(tick), anchor="middle")
            drawing.line((scale.start, bottom), (scale.end, bottom), "axis")
        unit = f"{knob.unit}{', log scale' if scale is not None and scale.log else ''}".removeprefix(", ")
        drawing.words((right, bottom + 34), unit, "tick", "end")
        if knob.proposed is not None:
            at = self._at(knob.proposed, columns, scale)
            if at is not None:
                drawing.line((at, size.top), (at, bottom), "proposes")
        for trial, effect in self.runs:
            self._mark(drawing, trial, effect, columns, scale)
        return drawing

    def _mark(
        self, drawing: Drawing, trial: Trial, effect: float, columns: Mapping[Value | None, float], scale: Scale | None
    ) -> None:
        value = self._value(trial)
        at = self._at(value, columns, scale)
        if at is None:
            return
        if at in columns.values():
            at += (trial.number % 5 - 2) * 2.6  # runs of one column beside each other
        shape, style = ("down", "lost") if trial.cut_short else ("circle", "tried")
        told = "as found" if value is None else str(value)
        tip = f"run {trial.number}: {self.knob.name} {told}: {percent(effect)}"
        drawing.mark((at, self.y.at(effect)), shape, style, tip)

    def _value(self, trial: Trial) -> Value | None:
        return trial.configuration.get(self.knob.name, self.knob.found)

    def _places(self, left: float, right: float) -> tuple[dict[Value | None, float], Scale | None]:
        """Columns (None is the value found, whatever it was) from the left, and the scale on the rest, if any."""
        values = [self._value(trial) for trial, _ in self.runs]
        numbers = [value for value in values if isinstance(value, int)]
        unknown: list[Value | None] = [None] if None in values else []
        words = self._words(values)
        if words or not numbers:
            columns = [*unknown, *words]
            step = (right - left) / max(1, len(columns))
            return {value: left + step * (place + 0.5) for place, value in enumerate(columns)}, None
        aside = [value for value in self.knob.special if value in numbers and self._stands_aside(value, numbers)]
        columns = [*unknown, *aside]
        scaled = [value for value in numbers if value not in aside]
        if isinstance(self.knob.proposed, int) and self.knob.proposed not in aside:
            scaled.append(self.knob.proposed)
        start = left + _COLUMN * len(columns)
        places = {value: left + _COLUMN * (place + 0.5) for place, value in enumerate(columns)}
        return places, scale_over(scaled, start + 6, right, log=self.knob.log and min(scaled, default=0) > 0)

    def _words(self, values: Sequence[Value | None]) -> list[Value]:
        """Values that get a column each: words, and numbers where there are no more than on and off."""
        seen = [value for value in dict.fromkeys(values) if value is not None]
        proposed = [] if self.knob.proposed is None else [self.knob.proposed]
        words = list(dict.fromkeys([*self.knob.words, *proposed, *seen]))
        if any(isinstance(value, str) for value in seen) or self.knob.words:
            return [word for word in words if word in seen or len(words) <= _MOST_COLUMNS]
        return sorted(words, key=lambda value: int(value)) if len(words) <= 2 else []

    @staticmethod
    def _stands_aside(value: Value, numbers: Sequence[int]) -> bool:
        rest = [number for number in numbers if number != value]
        return isinstance(value, int) and bool(rest) and (value <= 0 or not min(rest) <= value <= max(rest))

    @staticmethod
    def _at(value: Value | None, columns: Mapping[Value | None, float], scale: Scale | None) -> float | None:
        if value in columns:
            return columns[value]
        return scale.at(value) if scale is not None and isinstance(value, int) else None
