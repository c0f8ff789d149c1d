"""Sessions of comparisons that were never played, with the gains that a test chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from knobctl.lab.compare_case import Case, Played, steps

BUDGET = 60


def case(contender: str = "sappo", surface: int | str = 0, number: int = 0, budget: int = BUDGET) -> Case:
    name = f"family:few:{surface}" if isinstance(surface, int) else surface
    return Case(contender, name, "vm", number, budget)


def played(share: float = 0.8, optimum: float = 0.2, budget: int = BUDGET, **more: Any) -> Played:
    """A session that always offers this share of what is possible; half of its trials lose a fifth."""
    grid, gain = len(steps(budget)), round(share * optimum, 3)
    usual: dict[str, Any] = {
        "ended": "IMPROVED",
        "gains": (0.1, -0.2) * (budget // 2),
        "times": (1.0, 0.5) * (budget // 2),
        "cut": tuple(range(1, budget, 2)),
        "by_trials": (gain,) * grid,
        "by_time": (gain,) * grid,
        "own": (gain,) * grid,
        "claimed": 0.3,
        "time": 50.0,
        "candidate": gain,
        "recommended": gain,
        "pairs": 8,
        "cpu": 6.0,
    }
    return Played(optimum=optimum, **{**usual, **more})


def sessions(shares: dict[str, Sequence[float]], numbers: int = 2, **more: Any) -> list[tuple[Case, Played]]:
    """For each contender: what it offers on one machine after the other."""
    return [
        (case(name, surface, number), played(share, **more))
        for name, each in shares.items()
        for surface, share in enumerate(each)
        for number in range(numbers)
    ]
