"""Configurations in, coordinates out in which near means alike: what every model of the score measures distances in.

A value of a range stands at its place in the range, from 0 to 1. A special value, or a word, is an atom: it has no
distance to any other value, because 0 that means "off" is no neighbour of 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space

Array = NDArray[np.float64]

_FIRST_ATOM = 2.0  # Coordinates from here on are atoms; those of a range end at 1.


class Encoding:
    """The coordinates of one space.

    Args:
        space: The search space.
        default: The default configuration, which may hold values outside the space.
    """

    def __init__(self, space: Space, default: Mapping[str, Value]) -> None:
        self._axes = [_Axis(dimension, default[dimension.name]) for dimension in space.dimensions]

    def coordinates(self, configurations: Sequence[Mapping[str, Value]]) -> Array:
        """One row for each complete configuration, one column for each knob."""
        return np.array(
            [[axis.coordinate(configuration[axis.name]) for axis in self._axes] for configuration in configurations]
        ).reshape(len(configurations), len(self._axes))

    def at(self, points: Array) -> Array:
        """The coordinates of points of the unit cube, one row each; integers are not rounded."""
        return np.stack([axis.at(points[:, index]) for index, axis in enumerate(self._axes)], axis=1)

    @staticmethod
    def distances(rows: Array, columns: Array) -> Array:
        """Distances in one knob: a row for each coordinate of the first ones, a column for each of the others.

        NaN where two values differ and one of them is an atom.
        """
        left, right = rows[:, None], columns[None, :]
        isolated = ((left >= _FIRST_ATOM) | (right >= _FIRST_ATOM)) & (left != right)
        return np.asarray(np.where(isolated, np.nan, np.abs(left - right)))


class _Axis:
    """One knob."""

    def __init__(self, dimension: Dimension, default: Value) -> None:
        self.name = dimension.name
        self._dimension = dimension
        words = not all(isinstance(value, int) for value in (default, *dimension.values))
        atoms: tuple[Value, ...] = dimension.values if words else dimension.special
        self._codes = {value: _FIRST_ATOM + index for index, value in enumerate(atoms)}
        if words:
            self._codes.setdefault(default, _FIRST_ATOM + len(self._codes))
        self._words = words
        self._from = dimension.special_end

    def coordinate(self, value: Value) -> float:
        code = self._codes.get(value)
        if code is not None:
            return code
        if self._words:  # A word of an earlier time that cannot be chosen any more.
            return self._codes.setdefault(value, _FIRST_ATOM + len(self._codes))
        return (self._dimension.encode(value) - self._from) / (1.0 - self._from)

    def at(self, points: Array) -> Array:
        values = self._dimension.values
        points = np.clip(points, 0.0, 1.0)
        if values:
            index = np.minimum((points * len(values)).astype(int), len(values) - 1)
            table = np.array([self.coordinate(value) for value in values])
            return np.asarray(table[index])
        if not self._codes:
            return np.asarray(points)
        atoms = len(self._codes)
        index = np.minimum((points / self._from * atoms).astype(int), atoms - 1)
        along = (points - self._from) / (1.0 - self._from)
        return np.asarray(np.where(points < self._from, _FIRST_ATOM + index, along))
