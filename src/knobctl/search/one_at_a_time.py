"""One knob at a time, as a careful person would do it by hand: the control for everything that is cleverer.

Each knob alone, once low and once high, the others as they were found; then the best of each together; then the
neighbours of the best so far, knob by knob, in steps that become smaller while nothing is better (a compass search:
Kolda, Lewis and Torczon, "Optimization by Direct Search", 2003, section 3). Every score is believed as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from knobctl.reward import penalty, reward
from knobctl.search.base import BudgetedEnv, SearchSummary

LOW, HIGH = 0.15, 0.85
"""Where in its range a knob is tried at first."""

SCATTER = 0.1
"""How far from there, drawn with the seed."""

FIRST_STEP, LAST_STEP = 0.2, 0.02
"""Parts of a range; after the last one, the first one again."""

Places = tuple[float, ...]


class OneAtATimeSearcher:
    """Plays one knob after the other.

    Args:
        seed: The same seed plays the same search.
        in_order: The knobs come in the order of the plan, and not in one that is drawn.
    """

    name = "one-at-a-time"

    def __init__(self, seed: int = 0, *, in_order: bool = False) -> None:
        self._seed = seed
        self._in_order = in_order

    def play(self, env: BudgetedEnv) -> SearchSummary:
        """Plays until the environment ends the search."""
        random = np.random.default_rng(self._seed)
        default = env.tuning.places(env.tuning.plan.default)
        order = list(range(len(default))) if self._in_order else random.permutation(len(default)).tolist()
        best_of_each = list(default)
        for knob in order:
            best = _reward_of_default(env)
            for centre in (LOW, HIGH):
                place = centre + SCATTER * float(random.uniform(-1.0, 1.0))
                found = _try(env, _moved(default, knob, place))
                if found > best:
                    best, best_of_each[knob] = found, place
        _try(env, tuple(best_of_each))
        self._refine(env, order, random)
        return SearchSummary()

    def _refine(self, env: BudgetedEnv, order: Sequence[int], random: np.random.Generator) -> None:
        """Goes from the best trial to a better neighbour, for ever: the environment ends it."""
        top = max(env.played, key=lambda played: played.reward)
        here, best, step = top.action, top.reward, FIRST_STEP
        while True:
            better = False
            for knob in order:
                for way in random.permutation((-1.0, 1.0)).tolist():
                    there = _moved(here, knob, here[knob] + way * step * float(random.uniform(0.8, 1.2)))
                    if there == here:
                        continue  # at the end of the range
                    found = _try(env, there)
                    if found > best:
                        here, best, better = there, found, True
                        break
            if not better:
                step = step / 2.0 if step > LAST_STEP else FIRST_STEP


def _moved(places: Places, knob: int, place: float) -> Places:
    """These places with another one for a knob, kept in its range."""
    moved = list(places)
    moved[knob] = min(max(place, 0.0), 1.0)
    return tuple(moved)


def _try(env: BudgetedEnv, places: Places) -> float:
    _, found, terminated, truncated, _ = env.step(np.array(places, dtype=np.float32))
    if terminated or truncated:
        env.reset()
    return float(found)


def _reward_of_default(env: BudgetedEnv) -> float:
    """What the default configuration would get, from its runs before the search."""
    baseline, plan = env.tuning.baseline, env.tuning.plan
    if baseline is None:
        return -math.inf
    score = baseline.score
    return reward(score, score, plan.objective.direction, penalty(baseline.machine, 0.0), plan.plan.reward)
