"""A machine in, ten earlier sessions out: on machines that are much like it, or on others that only look so."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping

from knobctl.errors import BenchmarkBroken, SafetyStop
from knobctl.lab.session import LabSession, named_surface, run_session
from knobctl.target.relatives import related, unrelated
from knobctl.target.synthetic import SyntheticSurface

SESSIONS = 10
BUDGET = 25
SEARCHER = "tpe"
"""How each of them was played."""

_FIRST_SEED = 700_000

KINDS: Mapping[str, Callable[[SyntheticSurface, int], SyntheticSurface]] = {"related": related, "unrelated": unrelated}
"""What the machines of the earlier sessions were like."""


@functools.lru_cache(maxsize=4)  # sessions on one machine follow each other
def earlier(surface: str, kind: str, noise: str) -> tuple[LabSession, ...]:
    """Earlier sessions, each on a machine of its own; none for a machine that was recorded, which has no relatives.

    Args:
        surface: Name of the machine that the next session is played on.
        kind: One of :data:`KINDS`.
        noise: Name of the noise.
    """
    here = named_surface(surface)
    if not isinstance(here, SyntheticSurface):
        return ()
    sessions = []
    for number in range(SESSIONS):
        with contextlib.suppress(BenchmarkBroken, SafetyStop):  # such a session leaves nothing
            sessions.append(run_session(KINDS[kind](here, number), noise, SEARCHER, BUDGET, _FIRST_SEED + number))
    return tuple(sessions)
