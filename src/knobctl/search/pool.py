"""Where to look next: good points and what a policy would do in, many candidates out, each with who proposed it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc  # type: ignore[import-untyped]

from knobctl.search.process import Array

LOCAL = 300
EVERYWHERE = 128
FROM_ACTOR = 256
"""How many candidates come from each proposer."""

STEP = 0.15
"""Standard deviation of a small step along one knob, whose range is 1."""

PROPOSERS = ("actor", "local", "everywhere", "back")


@dataclass(frozen=True)
class Pool:
    """Candidates.

    Attributes:
        points: Of the unit cube, one row each.
        proposers: Who proposed each, an index into :data:`PROPOSERS`.
    """

    points: Array
    proposers: Array


def make_pool(random: np.random.Generator, anchors: Array, default: Array, actor: Array) -> Pool:
    """Candidates around good points, from all over, and from the actor.

    Args:
        random: What is drawn is drawn from it.
        anchors: Good points that were measured, the best first.
        default: The point of the default configuration.
        actor: What the policy proposes; may have no rows.
    """
    knobs = len(default)
    local = _near(random, anchors, LOCAL)
    everywhere = qmc.Sobol(knobs, rng=random).random(EVERYWHERE)
    back = np.repeat(anchors[:1], knobs, axis=0)
    back[np.arange(knobs), np.arange(knobs)] = default
    parts = (actor.reshape(-1, knobs), local, everywhere, back)
    proposers = np.concatenate([np.full(len(part), index) for index, part in enumerate(parts)])
    return Pool(np.concatenate(parts), proposers)


def refined(random: np.random.Generator, points: Array, count: int) -> Array:
    """Small steps from each of these points, along one or two knobs."""
    return _near(random, points, count, far=0.0)


def _near(random: np.random.Generator, anchors: Array, count: int, far: float = 0.5) -> Array:
    """Points with one or two knobs of an anchor changed: a small step, or (with this probability) anywhere."""
    knobs = anchors.shape[1]
    # The better an anchor, the more often it is taken.
    ranks = np.minimum(random.geometric(0.5, size=count) - 1, len(anchors) - 1)
    points = anchors[ranks].copy()
    for _ in range(2):
        knob = random.integers(knobs, size=count)
        rows = np.arange(count)
        step = points[rows, knob] + STEP * random.standard_normal(count)
        points[rows, knob] = np.where(random.random(count) < far, random.random(count), step)
    return np.clip(points, 0.0, 1.0)
