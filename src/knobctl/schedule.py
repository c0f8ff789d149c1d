"""How the runs and the time of a session are shared among its phases: budget and noise in, counts and deadlines out."""

from __future__ import annotations

from collections.abc import Callable

from knobctl.env.environment import CONTROL_EVERY
from knobctl.measure.sharing import MOST_PAIRS

WARMUP_RUNS = 1

BASELINE_RUNS = 5
"""Counted runs of the default configuration before the search."""

PROBE_RUNS = 1
"""Runs of something very different among them, to see whether one run colours the next."""

PROBE_BUDGET = 8
"""A search of fewer trials is too small to spend a run on a probe."""

RUNOFF_RUNS = 2
"""Runs of each candidate at a time when two of them compete to be verified."""

RUNOFF_ROUNDS = 8
"""At most so many times in all."""

LEAST_PAIRS = 5
"""Fewer pairs prove nothing: the interval has no bounds yet."""

VERIFY_SHARE = 0.4
"""Part of the time left after the preflight that is kept for the verification, when there is a limit and a search."""

RESET_SECONDS = 1.0
"""A guess at what a trial costs besides its benchmark, until it is known."""


class Schedule:
    """Counts the runs of a session and guesses when it will be over.

    Args:
        budget: Trials of the search; 0 when only a known candidate is verified.
        pairs: Most pairs of the verification; None to let the noise decide.
        seconds: For everything together; None for no limit.
        elapsed: Seconds since the session began.

    Attributes:
        pairs: Most pairs of the verification, as far as it is known.
        cost: Seconds of one run with everything around it.
    """

    def __init__(self, budget: int, pairs: int | None, seconds: float | None, elapsed: Callable[[], float]) -> None:
        self.budget = budget
        self.pairs = MOST_PAIRS if pairs is None else pairs
        self.cost = 0.0
        self._asked = pairs
        self._seconds = seconds
        self._elapsed = elapsed
        self._planned = 0

    @property
    def probes(self) -> int:
        """Probes of the preflight."""
        return PROBE_RUNS if not 0 < self.budget < PROBE_BUDGET else 0

    @property
    def preflight_runs(self) -> int:
        """Runs of the preflight."""
        return WARMUP_RUNS + BASELINE_RUNS + self.probes

    @property
    def search_runs(self) -> int:
        """Runs of the search, the default's among them."""
        return self.budget + self.budget // CONTROL_EVERY

    @property
    def all_runs(self) -> int:
        """Runs of the whole session at most."""
        return self.preflight_runs + self.search_runs + 2 * RUNOFF_RUNS * RUNOFF_ROUNDS + 2 * self.pairs

    @property
    def left(self) -> float | None:
        """Seconds until the limit; None without one."""
        return None if self._seconds is None else max(0.0, self._seconds - self._elapsed())

    def affordable_pairs(self) -> int:
        """Most pairs that were announced and that the time left is for, after the preflight."""
        return self._within_the_time(MOST_PAIRS)

    def asked_pairs(self) -> int | None:
        """Pairs that were asked for, as far as the time allows; None when the noise may decide."""
        return None if self._asked is None else self._within_the_time(self._asked)

    def _within_the_time(self, pairs: int) -> int:
        if self.left is None or self.cost <= 0.0:
            return pairs
        share = VERIFY_SHARE if self.budget else 1.0
        return min(pairs, max(LEAST_PAIRS, int(self.left * share / (2 * self.cost))))

    @property
    def tight(self) -> bool:
        """The time left hardly suffices for a search."""
        return self.budget > 0 and self.left is not None and self.left < (2 * self.pairs + 2) * self.cost

    def search_seconds(self) -> float | None:
        """Seconds that the search may still take; None without a limit."""
        if self.left is None:
            return None
        return self.left - (2 * self.pairs + 2 * RUNOFF_RUNS + 1) * self.cost

    @property
    def runoff_fits(self) -> bool:
        """Another round of a run-off leaves time for the verification."""
        return self.left is None or self.left >= (2 * self.pairs + 2 * RUNOFF_RUNS) * self.cost

    def enter(self, phase: str, runs: int, done: int) -> None:
        """Notes which phase begins, with so many runs, after so many runs of the session."""
        after = {
            "prepare": self.preflight_runs + self.search_runs + 2 * self.pairs,
            "preflight": self.search_runs + 2 * self.pairs,
            "search": 2 * self.pairs,
            "run-off": 2 * self.pairs,
        }.get(phase, 0)
        self._planned = done + runs + after

    def seconds_left(self, done: int) -> float:
        """Estimate until the end of the session, after so many runs."""
        estimate = max(0, self._planned - done) * self.cost
        return estimate if self.left is None else min(estimate, self.left)

    @property
    def out_of_time(self) -> bool:
        """No further pair fits in."""
        return self.left is not None and self.left < 2 * self.cost
