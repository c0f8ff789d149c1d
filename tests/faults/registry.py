"""All faults by name, and which two of them can happen in one run."""

from __future__ import annotations

import itertools
from dataclasses import replace

from tests.faults import breaking, killing, meddling
from tests.faults.fault import Fault

PENDING: frozenset[str] = frozenset()
"""Faults whose defence is not built yet; they are not part of a campaign, and can be asked for by name."""

SINGLE = {fault.name: fault for fault in (*killing.FAULTS, *breaking.FAULTS, *meddling.FAULTS)}
GUARDS = {"agent", "watcher"}
JOINT = "+"


def obstacle_to_pair(first: Fault, second: Fault) -> str:
    """Why the second fault right after the first makes no sense, or goes beyond what is promised; else empty."""
    if second.needs in first.kills:
        return "the second one finds its process dead"
    if first.ends_run and second.wants_run:
        return "the second one needs a run that goes on"
    for one, other in ((first, second), (second, first)):
        if one.kills and one.kills <= other.kills:
            return "both kill the same process"
        if one.damages_journal and other.kills >= GUARDS:
            return "of the three copies (journal, agent, watcher) none is left whole"
        if one.traces and other.stops_agent:
            return "a tracer and a stop of the same process are in each other's way"
        if one.patience is not None and "watcher" in other.kills:
            return "the agent stands still, and the watcher that would notice is dead"
        if one.disk == "ext4" and other.damages_journal:
            return "nothing can be changed any more on a read-only disk"
    if first.disk and second.disk:
        return "each needs a disk of its own for the journal"
    if first.traces and second.traces:
        return "a process has one tracer"
    return "" if _doors(first, second) else "they need different main programs"


def pairs() -> list[tuple[str, str]]:
    """Names of all pairs that can be made here, in the order in which they strike."""
    able = [fault for fault in SINGLE.values() if not fault.obstacle and fault.name not in PENDING]
    return [(one.name, two.name) for one, two in itertools.permutations(able, 2) if not obstacle_to_pair(one, two)]


def left_out_pairs() -> dict[str, int]:
    """How many pairs are left out, by reason."""
    reasons = [obstacle_to_pair(one, two) for one, two in itertools.permutations(SINGLE.values(), 2)]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons)) if reason}


def named(name: str) -> list[Fault]:
    """One fault, or the two of ``FIRST+SECOND``.

    Raises:
        ValueError: There is no such fault, or the pair makes no sense.
    """
    unknown = [part for part in name.split(JOINT) if part not in SINGLE]
    if unknown:
        raise ValueError(f"no fault is called {', '.join(unknown)}; there are: {', '.join(SINGLE)}")
    faults = [SINGLE[part] for part in name.split(JOINT)]
    if len(faults) > 2 or len({fault.name for fault in faults}) < len(faults):
        raise ValueError(f"{name}: a pair is two different faults")
    if len(faults) == 2 and (reason := obstacle_to_pair(*faults)):
        raise ValueError(f"{name} cannot be made: {reason}")
    return faults


def joined(faults: list[Fault]) -> Fault:
    """What a run must be like for all of these faults."""
    first, *others = faults
    for other in others:
        first = replace(
            first,
            doors=_doors(first, other),
            disk=first.disk or other.disk,
            patience=other.patience if first.patience is None else first.patience,
            knobs=tuple(dict.fromkeys((*first.knobs, *other.knobs))),
            longer=first.longer or other.longer,
            completes=False,
        )
    return first


def _doors(first: Fault, second: Fault) -> tuple[str, ...]:
    doors = tuple(door for door in first.doors if door in second.doors)
    if first.needs == second.needs == "main" and first.ends_run:
        # The small main program is gone at once; the real one listens to the signal.
        return tuple(door for door in doors if door == "command")
    return doors
