"""A synthetic machine and a seed in; another one out that is much like it, or one on which its lessons are wrong.

What earlier sessions left is worth something on the first, and misleads on the second: memory is tested on both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from knobctl.knobs import Value
from knobctl.knobs.files import catalogue
from knobctl.target.families import KINDS
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

HEIGHT_SPREAD = 0.25
"""Standard deviation of the log of how much larger an effect is on a relative."""

SHIFT = 0.05
"""Standard deviation of how far away it is best, where the knob's range is 1."""

_LEAST_WIDTH = 3
"""Values that a range needs before somewhere else in it can be best."""


def related(surface: SyntheticSurface, seed: int) -> SyntheticSurface:
    """The same knobs matter, each in the same way, but more or less so and best a little elsewhere.

    It is another day, another version of the server, another machine of the same kind.
    """
    random = np.random.default_rng((seed, 17))
    moved = {axis.param: _moved(random, axis) for axis in surface.axes}
    return replace(
        surface,
        name=f"{surface.name}~{seed}",
        base=surface.base * math.exp(HEIGHT_SPREAD * random.standard_normal()),
        axes=tuple(moved.values()),
        interactions=tuple(_pair(random, each, moved) for each in surface.interactions),
    )


def unrelated(surface: SyntheticSurface, seed: int) -> SyntheticSurface:
    """The same knobs with as much to gain, but others of them matter, or are best elsewhere."""
    random = np.random.default_rng((seed, 19))
    matter = [axis.param for axis in surface.axes if axis.effect is not None]
    matter += [name for pair in surface.interactions for name in (pair.left, pair.right)]
    bare = [replace(axis, effect=None, fails=None) for axis in surface.axes]
    wide = [axis for axis in bare if not axis.values and axis.high - axis.low >= _LEAST_WIDTH]
    others = [axis for axis in wide if axis.param not in matter] or wide
    chosen = random.permutation(len(others))[: max(1, min(len(matter), 2))].tolist()
    gain = surface.optimum()[1] / len(chosen)
    drawn = {others[index].param: KINDS["peak"](random, others[index], gain) for index in chosen}
    axes = tuple(drawn.get(axis.param, axis) for axis in bare)
    return replace(surface, name=f"{surface.name}!{seed}", axes=axes, interactions=())


def _moved(random: np.random.Generator, axis: Axis) -> Axis:
    effect = None if axis.effect is None else _changed(random, axis, axis.effect)
    if axis.fails is None:
        return replace(axis, effect=effect)
    first = max(_elsewhere(random, axis, axis.fails[0]), int(axis.default) + 1)
    return replace(axis, effect=effect, fails=(min(first, axis.fails[1]), axis.fails[1]))


def _changed(random: np.random.Generator, axis: Axis, effect: Effect) -> Effect:
    factor = math.exp(HEIGHT_SPREAD * random.standard_normal())
    if isinstance(effect, Peak):
        return replace(effect, best=_elsewhere(random, axis, effect.best, effect.scale), gain=effect.gain * factor)
    if isinstance(effect, Rise):
        knee = effect.knee * math.exp(HEIGHT_SPREAD * random.standard_normal())
        return replace(effect, knee=knee, gain=effect.gain * factor)
    if isinstance(effect, Cliff):
        edge = max(_elsewhere(random, axis, effect.edge), int(axis.default) + 1)
        return replace(effect, edge=edge, gain=effect.gain * factor)
    if isinstance(effect, Choice):
        return Choice(_scaled(effect.gains, factor))
    assert isinstance(effect, Special)
    return Special(_scaled(effect.gains, factor), _changed(random, axis, effect.otherwise))


def _scaled(gains: Mapping[Value, float], factor: float) -> dict[Value, float]:
    return {value: gain * factor for value, gain in gains.items()}


def _pair(random: np.random.Generator, pair: Interaction, axes: Mapping[str, Axis]) -> Interaction:
    factor = math.exp(HEIGHT_SPREAD * random.standard_normal())
    left, right = (
        replace(bell, best=_elsewhere(random, axes[name], bell.best, bell.scale))
        for name, bell in zip((pair.left, pair.right), pair.bells, strict=True)
    )
    return replace(pair, bells=(left, right), together=pair.together * factor, alone=pair.alone * factor)


def _elsewhere(random: np.random.Generator, axis: Axis, value: int, scale: str = "") -> int:
    """A value near this one, inside the range."""
    scale = scale or catalogue()[axis.param].scale
    low, here, high = (place(each, scale) for each in (axis.low, value, axis.high))
    return axis.value_at(here + SHIFT * (high - low) * random.standard_normal(), scale)
