"""Counts and differences in, shares and means with their intervals out; and the tables and checks made of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest  # type: ignore[import-untyped]

from knobctl.lab.study_case import Case, Played

Session = tuple[Case, Played]

_RESAMPLES = 10_000
_NOTHING = "-"


@dataclass(frozen=True)
class Check:
    """A promise, and whether the study found it kept.

    Attributes:
        promise: What should hold.
        found: What was found, with its interval.
        met: Whether the estimate keeps the promise; None when there was nothing to judge.
    """

    promise: str
    found: str
    met: bool | None

    @property
    def word(self) -> str:
        """One word for people."""
        return {True: "met", False: "NOT MET", None: "not judged"}[self.met]


@dataclass(frozen=True)
class Table:
    """Rows of text under their heads.

    Attributes:
        title: What it shows.
        heads: One word or two per column.
        rows: As many cells as there are heads.
        note: What to know when reading it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Findings:
    """What a study found."""

    checks: tuple[Check, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Share:
    """So many of so many, with the 95 % interval of Clopper and Pearson, which covers at least that often.

    Attributes:
        count: How many.
        of: Of how many.
    """

    count: int
    of: int

    @property
    def percent(self) -> float | None:
        """The share in percent; None of nothing."""
        return 100.0 * self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends in percent; everything when nothing is known."""
        if not self.of:
            return 0.0, 100.0
        found = binomtest(self.count, self.of).proportion_ci(0.95, method="exact")
        return 100.0 * float(found.low), 100.0 * float(found.high)

    def at_most(self, percent: float) -> bool | None:
        """Whether it is; None of nothing."""
        return None if self.percent is None else self.percent <= percent

    def at_least(self, percent: float) -> bool | None:
        """Whether it is; None of nothing."""
        return None if self.percent is None else self.percent >= percent

    def __str__(self) -> str:
        if self.percent is None:
            return _NOTHING
        low, high = self.interval
        return f"{self.count} of {self.of}: {self.percent:.1f} % ({low:.1f} to {high:.1f})"


@dataclass(frozen=True)
class Average:
    """A mean with its 95 % interval: percentiles of the means of resampled values (bootstrap).

    Attributes:
        mean: The mean; None without values.
        low: Lower end.
        high: Upper end.
        of: How many values.
    """

    mean: float | None
    low: float
    high: float
    of: int

    @classmethod
    def over(cls, values: Sequence[float]) -> Average:
        """Of these values; the same values give the same interval."""
        if not values:
            return cls(None, 0.0, 0.0, 0)
        array = np.asarray(values, dtype=float)
        random = np.random.default_rng(len(values))
        means = array[random.integers(len(array), size=(_RESAMPLES, len(array)))].mean(axis=1)
        low, high = np.quantile(means, (0.025, 0.975)).tolist()
        return cls(float(array.mean()), low, high, len(values))

    def text(self, unit: str = "%", places: int = 1) -> str:
        """With its interval."""
        if self.mean is None:
            return _NOTHING
        return f"{self.mean:+.{places}f} {unit} ({self.low:+.{places}f} to {self.high:+.{places}f})"


def median_text(values: Sequence[float], unit: str = "%") -> str:
    """The median with its unit; a dash of nothing."""
    return f"{statistics.median(values):+.1f} {unit}" if values else _NOTHING


def noises_of(sessions: Sequence[Session]) -> list[str]:
    """The noises that occur, in the order in which they do."""
    return list(dict.fromkeys(case.noise for case, _ in sessions))


def of_part(sessions: Sequence[Session], part: str, noise: str | None = None) -> list[Session]:
    """Those of one part of a study, under one noise or all."""
    return [(case, played) for case, played in sessions if case.part == part and noise in (None, case.noise)]
