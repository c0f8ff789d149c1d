"""Effects of knobs in, a surface with a known optimum out. Everything here is invented.

An effect is what one knob adds to the log score at a value. Each names the values at which it can be best, so that the
optimum of a surface is found by looking at a few values, and is exact.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from knobctl.knobs import Value


class Effect(Protocol):
    """What one knob does."""

    def at(self, value: Value) -> float:
        """Contribution to the log score."""
        ...

    def bests(self) -> tuple[Value, ...]:
        """Values at which it may be best, besides both ends of any range."""
        ...


def place(value: int, scale: str) -> float:
    """Where a value stands on its scale."""
    return math.log1p(max(value, 0)) if scale == "log" else float(value)


@dataclass(frozen=True)
class Peak:
    """Best at one value, falling off on both sides.

    Attributes:
        best: The value at the top.
        width: Standard deviation of the bell, in units of its scale.
        gain: Height in log score.
        scale: ``log`` for a bell over ``ln(1 + value)``, ``linear`` for one over the value.
    """

    best: int
    width: float
    gain: float
    scale: str = "log"

    def at(self, value: Value) -> float:
        """Contribution to the log score; 0 for a word."""
        if isinstance(value, str):
            return 0.0
        distance = (place(value, self.scale) - place(self.best, self.scale)) / self.width
        return self.gain * math.exp(-0.5 * distance**2)

    def bests(self) -> tuple[Value, ...]:
        """The top."""
        return (self.best,)


@dataclass(frozen=True)
class Rise:
    """More is better until it saturates: ``gain * (1 - exp(-value / knee))``."""

    knee: float
    gain: float

    def at(self, value: Value) -> float:
        """Contribution to the log score; 0 for a word."""
        if isinstance(value, str):
            return 0.0
        return self.gain * (1.0 - math.exp(-max(value, 0) / self.knee))

    def bests(self) -> tuple[Value, ...]:
        """The end of the range alone."""
        return ()


@dataclass(frozen=True)
class Cliff:
    """More is better up to an edge, and bad beyond it.

    Attributes:
        edge: The last good value, at which it is best.
        gain: Contribution at the edge; it rises to this from 0 with ``ln(1 + value)``.
        drop: Lost beyond the edge: the contribution there is ``-drop``.
    """

    edge: int
    gain: float
    drop: float

    def at(self, value: Value) -> float:
        """Contribution to the log score; 0 for a word."""
        if isinstance(value, str):
            return 0.0
        if value > self.edge:
            return -self.drop
        return self.gain * math.log1p(max(value, 0)) / math.log1p(self.edge)

    def bests(self) -> tuple[Value, ...]:
        """The edge."""
        return (self.edge,)


@dataclass(frozen=True)
class Choice:
    """Each value has a contribution of its own; others contribute nothing."""

    gains: Mapping[Value, float]

    def at(self, value: Value) -> float:
        """Contribution to the log score."""
        return self.gains.get(value, 0.0)

    def bests(self) -> tuple[Value, ...]:
        """The values that it knows."""
        return tuple(self.gains)


@dataclass(frozen=True)
class Special:
    """Values with a meaning of their own (0 = off) beside an ordinary scale.

    Attributes:
        gains: Contribution of each special value.
        otherwise: What the other values do.
    """

    gains: Mapping[Value, float]
    otherwise: Effect

    def at(self, value: Value) -> float:
        """Contribution to the log score."""
        return self.gains[value] if value in self.gains else self.otherwise.at(value)

    def bests(self) -> tuple[Value, ...]:
        """The special values, and the best of the others."""
        return (*self.gains, *self.otherwise.bests())


@dataclass(frozen=True)
class Axis:
    """One knob of a synthetic surface: the value it is found with, what may be tried, and what it does.

    Attributes:
        param: Name of the knob.
        default: The value that it is found with.
        effect: What it does; None for nothing.
        low: Smallest value to try.
        high: Largest value to try.
        values: The only values to try, in place of a range.
        special: Values to try besides the range.
        fails: First and last value at which the benchmark fails; the values beside them are good ones.
    """

    param: str
    default: Value
    effect: Effect | None
    low: int = 0
    high: int = 0
    values: tuple[Value, ...] = ()
    special: tuple[int, ...] = ()
    fails: tuple[int, int] | None = None

    def to_action(self) -> dict[str, Any]:
        """The knob as in a plan."""
        if self.values:
            return {"param": self.param, "values": list(self.values)}
        special = {"special": list(self.special)} if self.special else {}
        return {"param": self.param, "min": self.low, "max": self.high, **special}

    def value_at(self, where: float, scale: str) -> int:
        """The value that stands there on the scale (see :func:`place`), or the nearest one in the range."""
        return min(max(round(math.expm1(where) if scale == "log" else where), self.low), self.high)

    def allows(self, value: Value) -> bool:
        """Whether a plan over the surface's action space may try it."""
        if self.values:
            return value in self.values
        return isinstance(value, int) and (self.low <= value <= self.high or value in self.special)

    def crashes(self, value: Value) -> bool:
        """Whether the benchmark fails at it."""
        return self.fails is not None and isinstance(value, int) and self.fails[0] <= value <= self.fails[1]

    def candidates(self, more: Sequence[Value] = ()) -> list[Value]:
        """Values among which its best one is: the default, the ends, the effect's, and these, where it allows them."""
        ends: tuple[Value, ...] = self.values or (self.low, self.high, *self.special)
        beside = (self.fails[0] - 1, self.fails[1] + 1) if self.fails else ()
        wanted = (self.default, *ends, *(self.effect.bests() if self.effect else ()), *beside, *more)
        known = dict.fromkeys(value for value in wanted if value == self.default or self.allows(value))
        return [value for value in known if not self.crashes(value)]


@dataclass(frozen=True)
class Interaction:
    """Two knobs that matter together: each value is near its best one by some degree from 0 to 1.

    Attributes:
        left: Name of a knob.
        right: Name of the other one.
        bells: The degrees: a peak of height 1 for each of the two.
        together: Contribution when both are at their best.
        alone: Contribution when one is at its best and the other far away; negative for a trap.
    """

    left: str
    right: str
    bells: tuple[Peak, Peak]
    together: float
    alone: float = 0.0

    def at(self, left: Value, right: Value) -> float:
        """Contribution to the log score. Between 0, ``alone`` and ``together``, so its best is one of them."""
        a, b = self.bells[0].at(left), self.bells[1].at(right)
        return self.together * a * b + self.alone * (a * (1.0 - b) + b * (1.0 - a))


@dataclass(frozen=True)
class SyntheticSurface:
    """A sum of effects on the log score. Invented, not measured.

    Knobs that it does not know have no effect; knobs that a configuration leaves out have their default.

    Attributes:
        name: For ``--target simulated:NAME``.
        metric: Name of the score.
        direction: ``maximize`` or ``minimize``.
        base: Score of the default configuration.
        axes: Its knobs.
        interactions: What pairs of them do besides. A knob stands in one of them at most, and has no effect of its
            own, or one that is best at the same value.
        carry_over: Share of the previous configuration's effect that is still there when the next run begins.
        carry_over_seconds: It decays with this time constant.
        wear: Lost log score per run since the last reset of the workload.
        reset_holds: A reset of the workload brings the wear back; otherwise nothing does.
    """

    name: str
    metric: str
    direction: str
    base: float
    axes: tuple[Axis, ...]
    interactions: tuple[Interaction, ...] = ()
    carry_over: float = 0.0
    carry_over_seconds: float = 20.0
    wear: float = 0.0
    reset_holds: bool = True

    @property
    def action_space(self) -> tuple[dict[str, Any], ...]:
        """The knobs worth tuning, as in a plan."""
        return tuple(axis.to_action() for axis in self.axes)

    def default(self) -> dict[str, Value]:
        """The values that the simulated machine is found with."""
        return {axis.param: axis.default for axis in self.axes}

    def gain(self, configuration: Mapping[str, Value]) -> float:
        """The truth: log of how many times better than the default configuration this one is; -inf where it fails."""
        default = self.default()
        values = {**default, **configuration}
        if any(axis.crashes(values[axis.param]) for axis in self.axes):
            return -math.inf
        return sum(
            axis.effect.at(values[axis.param]) - axis.effect.at(axis.default)
            for axis in self.axes
            if axis.effect is not None
        ) + sum(
            pair.at(values[pair.left], values[pair.right]) - pair.at(default[pair.left], default[pair.right])
            for pair in self.interactions
        )

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        """The score without noise; None where the benchmark fails."""
        gain = self.gain(configuration)
        if gain == -math.inf:
            return None
        return self.base * math.exp(gain if self.direction == "maximize" else -gain)

    def optimum(self) -> tuple[dict[str, Value], float]:
        """The best configuration of the action space, without the knobs that may stay as they are, and its gain."""
        best: dict[str, Value] = {}
        for group in self._groups():
            names = [axis.param for axis in group]
            several = itertools.product(*(axis.candidates(self._met(axis.param)) for axis in group))
            # The default comes first among equals, so a knob that does nothing keeps it.
            values = max(several, key=lambda values: self.gain(dict(zip(names, values, strict=True))))
            best |= zip(names, values, strict=True)
        default = self.default()
        changed = {name: value for name, value in best.items() if value != default[name]}
        return changed, self.gain(changed)

    def _met(self, name: str) -> list[Value]:
        """The values of a knob at which its interaction is at its best."""
        pairs = [(pair.left, pair.bells[0].best) for pair in self.interactions]
        pairs += [(pair.right, pair.bells[1].best) for pair in self.interactions]
        return [best for param, best in pairs if param == name]

    def _groups(self) -> list[list[Axis]]:
        """The knobs, those of an interaction together."""
        partner = {pair.left: pair.right for pair in self.interactions}
        by_name = {axis.param: axis for axis in self.axes}
        seconds = set(partner.values())
        return [
            [axis, by_name[partner[axis.param]]] if axis.param in partner else [axis]
            for axis in self.axes
            if axis.param not in seconds
        ]
