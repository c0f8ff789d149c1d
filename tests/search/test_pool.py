"""Who proposes what."""

from __future__ import annotations

import numpy as np

from knobctl.search.pool import EVERYWHERE, LOCAL, PROPOSERS, make_pool, refined

ANCHORS = np.array([[0.5, 0.5, 0.5, 0.5], [0.9, 0.9, 0.9, 0.9]])
DEFAULT = np.zeros(4)


def test_everybody_proposes_inside_the_cube() -> None:
    actor = np.full((5, 4), 0.25)
    pool = make_pool(np.random.default_rng(0), ANCHORS, DEFAULT, actor)
    assert pool.points.shape == (5 + LOCAL + EVERYWHERE + 4, 4)
    assert pool.points.min() >= 0 and pool.points.max() <= 1
    assert (pool.points[pool.proposers == PROPOSERS.index("actor")] == actor).all()


def test_local_ones_change_one_or_two_knobs_mostly_of_the_best() -> None:
    pool = make_pool(np.random.default_rng(0), ANCHORS, DEFAULT, np.zeros((0, 4)))
    local = pool.points[pool.proposers == PROPOSERS.index("local")]
    changed = np.stack([(local != anchor).sum(axis=1) for anchor in ANCHORS]).min(axis=0)
    assert set(changed) <= {0, 1, 2}
    assert ((local == ANCHORS[0]).sum(axis=1) >= 2).mean() > 0.4


def test_one_knob_at_a_time_goes_back() -> None:
    pool = make_pool(np.random.default_rng(0), ANCHORS, DEFAULT, np.zeros((0, 4)))
    back = pool.points[pool.proposers == PROPOSERS.index("back")]
    assert back.tolist() == [[0.0 if row == column else 0.5 for column in range(4)] for row in range(4)]


def test_refined_ones_are_near() -> None:
    points = refined(np.random.default_rng(0), ANCHORS[:1], 200)
    assert (points != ANCHORS[0]).sum(axis=1).max() <= 2
    assert np.median(np.abs(points - ANCHORS[0]).max(axis=1)) < 0.25
