"""The order in which a sweep measures its configurations: numbers of knobs and of runs in, a :class:`Design` out.

Every tenth run is the default configuration again; the others walk through a scrambled Sobol sequence (I. M. Sobol',
"On the distribution of points in a cube and the approximate evaluation of integrals", 1967); 15 % of the points are
measured twice more, at random places later on. So noise and drift can be told from effects, and a sweep that ends early
has still looked everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc  # type: ignore[import-untyped]

from knobctl.lab.sweep import DEFAULT, POINT, REPEAT

DEFAULT_EVERY = 10
"""Every so many runs the default configuration is measured again."""

REPEATED = 0.15
"""Share of the points that are measured more than once."""

EXTRA_REPEATS = 2
"""How often a point is measured again when it is."""


@dataclass(frozen=True)
class Visit:
    """One place of the design: what a run is for, and which point it measures (-1 for the default configuration)."""

    role: str
    point: int


@dataclass(frozen=True)
class Design:
    """Which configurations are measured, in which order.

    Attributes:
        visits: One per run.
        points: Vectors in the unit cube, by number.
    """

    visits: tuple[Visit, ...]
    points: tuple[tuple[float, ...], ...]


def design(dimensions: int, runs: int, seed: int) -> Design:
    """The design of a sweep. Same arguments, same design.

    Args:
        dimensions: Number of knobs.
        runs: Runs in all, warm-ups not counted.
        seed: Of the scrambling, of which points are repeated and of when.
    """
    defaults = len(range(0, runs, DEFAULT_EVERY))
    repeated = int((runs - defaults) * REPEATED / (1 + EXTRA_REPEATS * REPEATED))
    count = runs - defaults - EXTRA_REPEATS * repeated
    random = np.random.default_rng(seed)
    sobol = qmc.Sobol(max(dimensions, 1), rng=random).random_base2(max(count - 1, 0).bit_length())
    points = tuple(tuple(float(u) for u in row) for row in sobol[:count])
    keyed = [(float(point), Visit(POINT, point)) for point in range(count)]
    for point in random.choice(count, repeated, replace=False) if repeated else ():
        later = random.uniform(point + 1, count, EXTRA_REPEATS)
        keyed += [(float(moment), Visit(REPEAT, int(point))) for moment in later]
    others = [visit for _, visit in sorted(keyed, key=lambda pair: (pair[0], pair[1].role, pair[1].point))]
    rest = iter(others)
    visits = tuple(Visit(DEFAULT, -1) if place % DEFAULT_EVERY == 0 else next(rest) for place in range(runs))
    return Design(visits, points)
