"""A family and a seed in, a synthetic surface out: as many different machines of one kind as a study needs.

All invented. Knobs are real ones that may be tuned freely; which of them matter, where each is best and how wide its
peak is, is drawn. The gain at the optimum is exactly the one that was drawn or asked for.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from knobctl.errors import UsageError
from knobctl.knobs import Value
from knobctl.knobs.files import catalogue
from knobctl.target.pool import MORE, POOL, SWITCHES, WORDS
from knobctl.target.synthetic import (
    Axis,
    Choice,
    Cliff,
    Effect,
    Interaction,
    Peak,
    Rise,
    Special,
    SyntheticSurface,
    place,
)

OPTIMUM_GAINS = (0.12, 0.25, 0.45)
"""What there is to gain, as a share of the default's score, unless a family or a caller says otherwise."""

WIDE = "wide"
"""The family of which a name may say how many knobs it has."""

_READ_AHEAD = "block.read_ahead_kb"

Make = Callable[[np.random.Generator, Axis, float], Axis]


def _ends(axis: Axis) -> tuple[str, float, float, float]:
    """The knob's scale, and where its lowest value, its default and its highest value stand on it."""
    scale = catalogue()[axis.param].scale
    low, here, high = (place(int(value), scale) for value in (axis.low, axis.default, axis.high))
    return scale, low, here, high


def _peak(random: np.random.Generator, axis: Axis, gain: float) -> Axis:
    """Best at least a quarter of the range away from the default."""
    scale, low, here, high = _ends(axis)
    far = [where for where in random.uniform(low, high, 64).tolist() if abs(where - here) > (high - low) / 4]
    best = axis.value_at(far[0], scale)
    width = abs(place(best, scale) - here) / random.uniform(1.2, 2.2)
    return _with(axis, lambda height: Peak(best, width, height, scale), best, gain)


def _rise(random: np.random.Generator, axis: Axis, gain: float) -> Axis:
    """More is better, and saturates."""
    knee = math.exp(random.uniform(math.log1p(int(axis.default)), math.log1p(axis.high) - 0.7))
    return _with(axis, lambda height: Rise(knee, height), axis.high, gain)


def _cliff(random: np.random.Generator, axis: Axis, gain: float) -> Axis:
    """More is better up to an edge; beyond it half of the score is lost and more."""
    edge, drop = _upwards(random, axis), random.uniform(0.7, 1.2)
    return _with(axis, lambda height: Cliff(edge, height, drop), edge, gain)


def _upwards(random: np.random.Generator, axis: Axis) -> int:
    """A value well above the default and well below the upper end."""
    scale, _, here, high = _ends(axis)
    return axis.value_at(random.uniform(here + 0.4 * (high - here), here + 0.8 * (high - here)), scale)


def _switch(random: np.random.Generator, axis: Axis, gain: float) -> Axis:
    """The other one of two values."""
    return replace(axis, effect=Choice({1 - int(axis.default): gain}))


def _word(random: np.random.Generator, axis: Axis, gain: float) -> Axis:
    """One of several words is best, and another one as bad as that one is good."""
    others = [value for value in axis.values if value != axis.default]
    best, bad = random.permutation(len(others))[:2]
    return replace(axis, effect=Choice({others[best]: gain, others[bad]: -gain}))


def _special(random: np.random.Generator, axis: Axis, gain: float) -> Axis:
    """Off is best, and nothing beside it says so."""
    top = _peak(random, axis, gain / 3).effect
    assert top is not None
    gains: dict[Value, float] = {0: top.at(axis.default) + gain}
    return replace(axis, special=(0,), low=max(axis.low, 1), effect=Special(gains, top))


def _crash(random: np.random.Generator, axis: Axis, gain: float) -> Axis:
    """A rise that ends in a region where the benchmark fails."""
    first = _upwards(random, axis)
    risen = _with(axis, lambda height: Rise(float(first), height), first - 1, gain)
    return replace(risen, fails=(first, axis.high))


def _with(axis: Axis, effect: Callable[[float], Effect], best: int, gain: float) -> Axis:
    """The axis with an effect so high that the best value is better than the default by this gain."""
    unit = effect(1.0)
    return replace(axis, effect=effect(gain / (unit.at(best) - unit.at(axis.default))))


KINDS: Mapping[str, Make] = {
    "peak": _peak,
    "rise": _rise,
    "cliff": _cliff,
    "switch": _switch,
    "special": _special,
    "crash": _crash,
    "word": _word,
}
"""What one knob can do."""


def _has_range(axis: Axis) -> bool:
    return not axis.values


def _has_room(axis: Axis) -> bool:
    return _has_range(axis) and axis.high > 2.7 * int(axis.default)


_SUITS: Mapping[str, Callable[[Axis], bool]] = {
    "rise": _has_room,
    "cliff": _has_room,
    "crash": _has_room,
    "switch": lambda axis: axis.values == (0, 1),
    "word": lambda axis: len(axis.values) > 2,
    "special": lambda axis: axis.param == _READ_AHEAD,
}
"""Which knobs a kind of effect can be given to; any with a range when it is not listed."""


def draw(
    seed: int,
    *,
    knobs: int = 8,
    active: int = 2,
    optimum_gain: float | None = None,
    kinds: Sequence[str] = ("peak", "rise"),
    interaction: bool = False,
    name: str = "",
) -> SyntheticSurface:
    """A surface with some knobs that matter and others that do not, in an order of its own.

    Args:
        seed: The same seed and arguments draw the same surface.
        knobs: How many knobs it has.
        active: How many of them matter.
        optimum_gain: What the optimum gains, as a share of the default's score; one of :data:`OPTIMUM_GAINS` when None.
        kinds: What the active knobs do, names of :data:`KINDS`, in turn.
        interaction: The first two active knobs matter only together; one alone is a loss.
        name: Its name; the default tells the seed.

    Raises:
        UsageError: There are not so many knobs, or no such kind.
    """
    _check(knobs, active, optimum_gain, kinds, interaction)
    random = np.random.default_rng((seed, zlib.crc32(name.encode())))
    drawn = float(random.choice(OPTIMUM_GAINS))
    total = math.log1p(drawn if optimum_gain is None else optimum_gain)
    ranges = POOL if knobs <= len(POOL) else POOL + MORE
    pool = [*(ranges[index] for index in random.permutation(len(ranges))), *SWITCHES, *WORDS]
    if "special" in kinds:
        pool.sort(key=lambda axis: axis.param == _READ_AHEAD)  # taken last by the others
    weights = random.uniform(0.5, 1.5, active)
    shares = (total * weights / weights.sum()).tolist() if active else []
    wanted = [kinds[index % len(kinds)] for index in range(active)]
    axes: list[Axis] = []
    pairs: tuple[Interaction, ...] = ()
    if interaction:
        axes, pairs = _together(random, pool, shares[0] + shares[1])
    for kind, share in list(zip(wanted, shares, strict=True))[len(axes) :]:
        axes.append(KINDS[kind](random, _take(pool, kind), share))
    axes += [_take(pool, "bystander") for _ in range(knobs - active)]
    smaller = random.random() < 0.25
    return SyntheticSurface(
        name=name or f"drawn:{seed}",
        metric="latency_ms" if smaller else "operations_per_second",
        direction="minimize" if smaller else "maximize",
        base=float(np.exp(random.uniform(math.log(5), math.log(50)) if smaller else random.uniform(6, 10))),
        axes=tuple(axes[index] for index in random.permutation(knobs)),
        interactions=pairs,
    )


def _check(knobs: int, active: int, optimum_gain: float | None, kinds: Sequence[str], interaction: bool) -> None:
    most = len(POOL + MORE)
    if not 0 <= active <= knobs or not 1 <= knobs <= most:
        raise UsageError(f"{active} active of {knobs} knobs", f"There are up to {most} knobs to draw from.")
    if interaction and active < 2:
        raise UsageError(f"an interaction of {active} active knobs", "It takes two.")
    if optimum_gain is not None and not 0 < optimum_gain < math.inf:
        raise UsageError(f"optimum_gain is {optimum_gain:g}", "It is a share above 0, such as 0.25.")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"unknown kind of effect {unknown[0]!r}", f"Known: {', '.join(KINDS)}.")
    if not kinds:
        raise UsageError("no kind of effect was given", f"Known: {', '.join(KINDS)}.")


def _take(pool: list[Axis], kind: str) -> Axis:
    """The next knob for this kind of effect, out of the pool.

    Raises:
        UsageError: None is left.
    """
    suits = _SUITS.get(kind, _has_range)
    for index, axis in enumerate(pool):
        if suits(axis):
            return pool.pop(index)
    raise UsageError(f"no knob is left that could be a {kind}", "Draw fewer knobs, or other kinds.")


def _together(random: np.random.Generator, pool: list[Axis], gain: float) -> tuple[list[Axis], tuple[Interaction, ...]]:
    """Two knobs that gain this only together: the bells are so narrow that at the default both degrees are small."""
    tops = [_peak(random, _take(pool, "peak"), 1.0) for _ in range(2)]
    left, right = tops[0].effect, tops[1].effect
    assert isinstance(left, Peak) and isinstance(right, Peak)
    bells = (replace(left, gain=1.0, width=left.width / 2.0), replace(right, gain=1.0, width=right.width / 2.0))
    unit = Interaction(tops[0].param, tops[1].param, bells, 1.0, -0.25)
    height = gain / (1.0 - unit.at(tops[0].default, tops[1].default))
    pair = replace(unit, together=height, alone=-0.25 * height)
    return [replace(axis, effect=None) for axis in tops], (pair,)


@dataclass(frozen=True)
class Family:
    """Surfaces of one kind.

    Attributes:
        summary: What they are, one line.
        make: Draws one, by its name and a seed.
    """

    summary: str
    make: Callable[[str, int], SyntheticSurface]


def _wounded(name: str, seed: int) -> SyntheticSurface:
    """Rises whose default stands at the bottom: the machine can be three times as fast."""
    gain = float(np.random.default_rng((seed, 7)).uniform(1.0, 2.5))
    surface = draw(seed, knobs=6, active=2, optimum_gain=gain, kinds=("rise",), name=name)
    axes = tuple(axis if axis.effect is None else _lowest(axis) for axis in surface.axes)
    return _scaled(replace(surface, axes=axes), math.log1p(gain))


def _lowest(axis: Axis) -> Axis:
    return replace(axis, default=axis.low)


def _scaled(surface: SyntheticSurface, total: float) -> SyntheticSurface:
    """The surface with all its rises so much higher that its optimum gains this, in log score."""
    factor = total / surface.optimum()[1]
    axes = tuple(
        replace(axis, effect=replace(axis.effect, gain=axis.effect.gain * factor))
        if isinstance(axis.effect, (Peak, Rise))
        else axis
        for axis in surface.axes
    )
    return replace(surface, axes=axes)


def _carry_over(name: str, seed: int) -> SyntheticSurface:
    return replace(draw(seed, knobs=8, active=2, name=name), carry_over=0.5, carry_over_seconds=20.0)


def _mixed(name: str, seed: int) -> SyntheticSurface:
    """Knobs of several kinds; on every second machine two of them gain only together."""
    random = np.random.default_rng((seed, 11))
    active = int(random.integers(2, 6))
    kinds = random.permutation(tuple(KINDS))[:active].tolist()
    return draw(
        seed, knobs=int(random.integers(6, 25)), active=active, kinds=kinds, interaction=seed % 2 == 1, name=name
    )


def wide(seed: int, knobs: int) -> SyntheticSurface:
    """A machine with so many knobs (3 to 48), 3 of which matter.

    Raises:
        UsageError: There are not so many knobs.
    """
    return _wide(f"family:{WIDE}:{seed}:{knobs}", seed, knobs)


def _wide(name: str, seed: int, knobs: int = 24) -> SyntheticSurface:
    return draw(seed, knobs=knobs, active=3, name=name)


FAMILIES: Mapping[str, Family] = {
    "null": Family("8 knobs, none of which matters", lambda name, seed: draw(seed, knobs=8, active=0, name=name)),
    "single": Family("1 of 8 knobs matters", lambda name, seed: draw(seed, knobs=8, active=1, name=name)),
    "few": Family("2 of 10 knobs matter", lambda name, seed: draw(seed, knobs=10, active=2, name=name)),
    "many": Family(
        "8 of 10 knobs matter, each a little",
        lambda name, seed: draw(seed, knobs=10, active=8, kinds=("peak", "rise", "switch"), name=name),
    ),
    "cliff": Family(
        "the best value stands at the edge of a cliff; 2 of 8 knobs matter",
        lambda name, seed: draw(seed, knobs=8, active=2, kinds=("cliff", "peak"), name=name),
    ),
    "interaction": Family(
        "two knobs gain only together, and one alone loses; a third one matters by itself",
        lambda name, seed: draw(seed, knobs=8, active=3, interaction=True, name=name),
    ),
    "special": Family(
        "off (0) is best, and nothing beside it says so; 2 of 8 knobs matter",
        lambda name, seed: draw(seed, knobs=8, active=2, kinds=("special", "peak"), name=name),
    ),
    "crash": Family(
        "the benchmark fails not far beyond the best value; 2 of 8 knobs matter",
        lambda name, seed: draw(seed, knobs=8, active=2, kinds=("crash", "peak"), name=name),
    ),
    "carry-over": Family("2 of 8 knobs matter, and half of the last run's effect leaks into the next", _carry_over),
    "wounded": Family("the default is terrible: two to three and a half times the score is possible", _wounded),
    "mixed": Family(
        "2 to 5 of 6 to 24 knobs matter, each in a way of its own: peaks, words, off, cliffs, crashes, two together",
        _mixed,
    ),
    WIDE: Family("3 of 24 knobs matter; wide:SEED:KNOBS has as many knobs as that says, up to 48", _wide),
}
"""By name. Each seed draws another machine of the family."""


def family_by_name(name: str) -> SyntheticSurface:
    """A surface by the name of its family and a seed: ``few:3``; seed 0 when it is left out.

    ``wide:3:48`` has 48 knobs.

    Raises:
        UsageError: There is no such family, or the seed is none.
    """
    family, separator, rest = name.partition(":")
    if family not in FAMILIES:
        raise UsageError(f"unknown family of surfaces {family!r}", f"Known: {', '.join(FAMILIES)}.")
    seed, several, knobs = rest.partition(":") if family == WIDE else (rest, "", "")
    if separator and not (_is_number(seed) and (not several or _is_number(knobs))):
        raise UsageError(f"{rest!r} is no seed of a family", f"Write family:{family}:3, for example.")
    if several:
        return wide(int(seed), int(knobs))
    return FAMILIES[family].make(f"family:{family}:{int(seed or 0)}", int(seed or 0))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
