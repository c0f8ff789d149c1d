"""What a fault is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.runs import DOORS
from tests.faults.scene import Scene

Strike = Callable[[Scene], float | None]
"""Strikes. Returns the moment (``time.monotonic``), or None when there was nothing to strike."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: On the command line and in the table.
        description: What happens.
        follows: What must come of it: who restores.
        strike: Does it.
        doors: Where it can be done.
        disk: The private disk that it needs: ``tmpfs``, ``ext4`` or none.
        needs: The process that it strikes.
        kills: Processes that do not live any more afterwards.
        ends_run: The run ends at once.
        wants_run: It can only strike a run that goes on.
        damages_journal: What the journal says is partly lost.
        traces: Traces the agent.
        stops_agent: The agent stands still for a while, or for good.
        knobs: The run has to tune these, where this machine has them.
        patience: The agent's patience must be short, in seconds.
        longer: The run must be long, because the fault takes a second or two.
        completes: The run is not disturbed at all and ends as if nothing had happened.
        obstacle: Why it cannot be made here; empty when it can.
    """

    name: str
    description: str
    follows: str
    strike: Strike
    doors: tuple[str, ...] = DOORS
    disk: str = ""
    needs: str = "agent"
    kills: frozenset[str] = field(default_factory=frozenset)
    ends_run: bool = False
    wants_run: bool = False
    damages_journal: bool = False
    traces: bool = False
    stops_agent: bool = False
    knobs: tuple[str, ...] = ()
    patience: float | None = None
    longer: bool = False
    completes: bool = False
    obstacle: str = ""
