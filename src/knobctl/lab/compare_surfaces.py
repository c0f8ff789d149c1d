"""A split in, the names of its machines out: some to develop searchers on, and others that stay locked until they are
frozen.

No machine is in both. A round has one machine of each family and one more of mixed kinds; the machines fitted to
recorded sweeps follow the first round.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from knobctl.lab.sweep import shipped_sweeps

DEVELOPMENT, LOCKED = "development", "locked"
SPLITS = (DEVELOPMENT, LOCKED)

FIRST_SEED = {DEVELOPMENT: 1000, LOCKED: 5000}
"""Of the machines that are drawn; those of a family count on from there."""

ROUND = (
    "few", "mixed", "cliff", "many", "interaction", "special", "null", "crash", "mixed", "single", "wide", "carry-over",
    "wounded",
)  # fmt: skip
"""Families, in the order in which machines are drawn from them."""

ROUNDS = 3
"""When nobody says how many machines."""

DEVELOPMENT_SWEEPS = ("sysbench-seqwr",)
"""Recorded machines that were looked at while searchers were developed; all others are locked."""


def surfaces_of(split: str, number: int | None = None) -> tuple[str, ...]:
    """Names of machines, as :func:`~knobctl.lab.session.named_surface` knows them.

    Args:
        split: One of :data:`SPLITS`.
        number: How many; :data:`ROUNDS` rounds and all recorded ones when None.
    """
    sweeps = [f"sweep:{name}" for name in shipped_sweeps() if (name in DEVELOPMENT_SWEEPS) == (split == DEVELOPMENT)]
    wanted = ROUNDS * len(ROUND) + len(sweeps) if number is None else number
    drawn = _drawn(FIRST_SEED[split])
    first = list(itertools.islice(drawn, len(ROUND)))
    return tuple(itertools.islice(itertools.chain(first, sweeps, drawn), wanted))


def family_of(surface: str) -> str:
    """The family that a machine is drawn from, or ``sweep``."""
    kind, _, rest = surface.partition(":")
    return rest.partition(":")[0] if kind == "family" else kind


def _drawn(first_seed: int) -> Iterator[str]:
    seeds = {family: itertools.count(first_seed) for family in ROUND}
    for family in itertools.cycle(ROUND):
        yield f"family:{family}:{next(seeds[family])}"
