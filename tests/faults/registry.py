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
    """Why two faults make no sense together, or go beyond what is promised; empty when they do neither."""
    for one, other in ((first, second), (second, first)):
        if one.kills and one.kills <= other.kills:
            return "both kill the same process"
        if one.damages_journal and other.kills >= GUARDS:
            return "of the three copies (journal, agent, watcher) none is left whole"
        if one.traces and other.stops_agent:
            return "a tracer and a stop of the same process are in each other's way"
        if one.patience is not None and "watcher" in other.kills:
            return "the agent stands still, and the watcher that would notice is dead"
    if first.disk and second.disk:
        return "each needs a disk of its own for the journal"
    if first.traces and second.traces:
        return "a process has one tracer"
    if not set(first.doors) & set(second.doors):
        return "they need different main programs"
    return ""


def pairs() -> list[tuple[str, str]]:
    """Names of all pairs that can be made here, each once."""
    able = [fault for fault in SINGLE.values() if not fault.obstacle and fault.name not in PENDING]
    return [
        (one.name, other.name) for one, other in itertools.combinations(able, 2) if not obstacle_to_pair(one, other)
    ]


def left_out_pairs() -> dict[str, int]:
    """How many pairs are left out, by reason."""
    reasons = [obstacle_to_pair(one, other) for one, other in itertools.combinations(SINGLE.values(), 2)]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons)) if reason}


def named(name: str) -> list[Fault]:
    """One fault, or the two of ``ONE+OTHER``.

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
            doors=tuple(door for door in first.doors if door in other.doors),
            disk=first.disk or other.disk,
            patience=other.patience if first.patience is None else first.patience,
            knobs=tuple(dict.fromkeys((*first.knobs, *other.knobs))),
            longer=first.longer or other.longer,
            completes=False,
        )
    return first
