"""Sessions of a comparison in, figures with their 95 % intervals out.

Scores are interquartile means: the mean of the middle half, which a few lucky or failed sessions do not move. Their
intervals come from a bootstrap stratified by machine: sessions of a machine are drawn again among themselves, so they
say what other luck would have given on the same machines (R. Agarwal et al., "Deep reinforcement learning at the edge
of the statistical precipice", 2021). Differences of two contenders are paired: same machine, same luck. There whole
machines are drawn again, so the interval says what other machines would have given too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import trim_mean, wilcoxon  # type: ignore[import-untyped]

from knobctl.lab.compare_case import Case, Played

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Of values along the second axis, for every row."""

RESAMPLES = 1000

_QUARTER = 0.25


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: The figure; infinite for a time that never comes, not a number when nothing is known.
        low: Lower end; not a number when there is nothing to draw again.
        high: Upper end; as the lower one.
    """

    value: float
    low: float
    high: float

    @property
    def reach(self) -> tuple[float, float]:
        """Both ends; the figure itself where they are not known."""
        return (self.value, self.value) if math.isnan(self.low) else (self.low, self.high)

    def text(self, form: str = ".2f") -> str:
        """With its interval, where that is known."""
        if math.isnan(self.value):
            return "-"
        if math.isnan(self.low):
            return format(self.value, form) if math.isfinite(self.value) else "never"
        value, low, high = (format(end, form) if math.isfinite(end) else "never" for end in self._ends())
        return f"{value} ({low} to {high})"

    def _ends(self) -> tuple[float, float, float]:
        return self.value, self.low, self.high


def interquartile_mean(values: Array) -> Array:
    """The mean of the middle half."""
    return np.asarray(trim_mean(values, _QUARTER, axis=1))


def plain_mean(values: Array) -> Array:
    """The arithmetic mean."""
    return np.asarray(values.mean(axis=1))


def expected_time(values: Array) -> Array:
    """Expected time until arrival (ERT) of sessions given as (time, 1 when it arrived and 0 otherwise).

    All time that was spent, by sessions that never arrived too, over the number of arrivals: what it takes when a
    session that does not arrive is followed by another one (N. Hansen et al., "COCO: a platform for comparing
    continuous optimizers in a black-box setting", 2021).
    """
    spent, arrived = values[..., 0].sum(axis=1), values[..., 1].sum(axis=1)
    return np.asarray(np.divide(spent, arrived, out=np.full_like(spent, np.inf), where=arrived > 0))


def estimate(strata: Sequence[Array], statistic: Statistic) -> Estimate:
    """A statistic of all values, and its interval when each stratum is drawn again; the same values give the same.

    Args:
        strata: Values, or rows of values.
        statistic: Of all of them.
    """
    kept = [np.asarray(stratum, dtype=float) for stratum in strata if len(stratum)]
    if not kept:
        return Estimate(math.nan, math.nan, math.nan)
    value = float(statistic(np.concatenate(kept)[None])[0])
    if max(map(len, kept)) < 2:
        return Estimate(value, math.nan, math.nan)
    random = np.random.default_rng(0)
    drawn = [stratum[random.integers(len(stratum), size=(RESAMPLES, len(stratum)))] for stratum in kept]
    low, high = np.quantile(statistic(np.concatenate(drawn, axis=1)), (0.025, 0.975), method="inverted_cdf").tolist()
    return Estimate(value, low, high)


class Board:
    """Sessions of several contenders on the same machines.

    Args:
        sessions: In any order.

    Attributes:
        contenders: Their names, in the order in which they come.
        surfaces: Names of the machines on which there is something to gain.
        budget: Trials of the search.
    """

    def __init__(self, sessions: Sequence[tuple[Case, Played]]) -> None:
        self.contenders = tuple(dict.fromkeys(case.contender for case, _ in sessions))
        self.surfaces = tuple(dict.fromkeys(case.surface for case, played in sessions if played.gainful))
        self.budget = min((case.budget for case, _ in sessions), default=0)
        self._by_place = {(case.contender, case.surface, case.number): played for case, played in sessions}
        self._numbers = sorted({case.number for case, _ in sessions})

    def of(self, contender: str) -> list[Played]:
        """All sessions of a contender, those without anything to gain too."""
        return [played for (name, _, _), played in self._by_place.items() if name == contender]

    def score(self, contender: str, value: Callable[[Played], float], statistic: Statistic) -> Estimate:
        """A statistic over all sessions with something to gain."""
        return estimate(self.strata(contender, value), statistic)

    def strata(self, contender: str, value: Callable[[Played], float | tuple[float, ...]]) -> list[Array]:
        """A value of every session with something to gain, one array per machine."""
        return [
            np.array([value(self._by_place[place]) for place in self._places(contender, surface)], dtype=float)
            for surface in self.surfaces
        ]

    def difference(self, left: str, right: str, value: Callable[[Played], float]) -> Estimate:
        """Mean difference of two contenders in pairs of sessions, each machine counted once."""
        return estimate([np.array(self.differences(left, right, value))], plain_mean)

    def differences(self, left: str, right: str, value: Callable[[Played], float]) -> list[float]:
        """The same for each machine: the mean over its pairs."""
        return [mine - theirs for mine, theirs in self._both(left, right, lambda played: (value(played),), plain=True)]

    def ratio(self, left: str, right: str, values: Callable[[Played], tuple[float, float]]) -> Estimate:
        """Of two contenders' ratios of sums: time over arrivals, or bad trials over trials; machines drawn again."""
        rows = np.array(list(self._both(left, right, values)), dtype=float).reshape(-1, 4)

        def ratio(drawn: Array) -> Array:
            mine, my_count, theirs, their_count = np.moveaxis(drawn.sum(axis=1), 1, 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray((mine / my_count) / (theirs / their_count))

        return estimate([rows], ratio)

    def surprise(self, left: str, right: str, value: Callable[[Played], float]) -> float:
        """p-value of Wilcoxon's signed-rank test over the machines: how likely such differences are between equals."""
        differences = self.differences(left, right, value)
        if not any(differences):
            return 1.0
        return float(wilcoxon(differences).pvalue)

    def _both(
        self, left: str, right: str, values: Callable[[Played], tuple[float, ...]], plain: bool = False
    ) -> list[tuple[float, ...]]:
        """Per machine, the sums (or means) of both contenders over the sessions that both played."""
        rows = []
        for surface in self.surfaces:
            pairs = [
                (*values(self._by_place[left, surface, number]), *values(self._by_place[right, surface, number]))
                for number in self._numbers
                if {(left, surface, number), (right, surface, number)} <= self._by_place.keys()
            ]
            if pairs:
                sums = np.sum(pairs, axis=0) / (len(pairs) if plain else 1.0)
                rows.append(tuple(sums.tolist()))
        return rows

    def _places(self, contender: str, surface: str) -> list[tuple[str, str, int]]:
        places = [(contender, surface, number) for number in self._numbers]
        return [place for place in places if place in self._by_place]


def holm(surprises: Sequence[float]) -> list[float]:
    """p-values of several questions asked at once, each so much larger that one false answer among all stays rare
    (S. Holm, "A simple sequentially rejective multiple test procedure", 1979)."""
    order = np.argsort(surprises, kind="stable").tolist()
    adjusted, largest = [1.0] * len(surprises), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(surprises) - rank) * surprises[index]))
        adjusted[index] = largest
    return adjusted
