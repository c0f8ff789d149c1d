"""A plan about to be searched and a record in, the nearest earlier sessions in the words of that plan out.

Nothing that is remembered is a claim: its recommendation is at most tried, and its trials are at most a first guess of
a model that the present trials correct.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from knobctl.errors import KnobctlError, UsageError
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.measure import Verdict
from knobctl.memory.documents import fingerprint_from, memory_from
from knobctl.memory.fingerprint import Fingerprint, fingerprint_of
from knobctl.memory.left import Memory, memory_in
from knobctl.memory.likeness import Likeness, compare
from knobctl.search.model import Observation, observe
from knobctl.search.remembered import Remembered
from knobctl.store import FinishedSession, ImportedMemory, Store

MOST_SESSIONS = 10
"""So many sessions are remembered at most."""

MOST_OBSERVATIONS = 800
"""And so many of their trials altogether, shared equally."""

LEAST_LIKENESS = 0.1
"""A session that is less like the present one is left alone."""

_MOST_READ = 40
"""Trials of so many sessions are read at most: some turn out to share no knob."""


@dataclass(frozen=True)
class Similar:
    """One session that is remembered.

    Attributes:
        remembered: As the searcher reads it.
        likeness: How alike the two are, and in what they differ.
        created: When it began (UTC, ISO 8601).
        origin: SHA-256 of the file that it was imported in; empty for a session of this record.
    """

    remembered: Remembered
    likeness: Likeness
    created: str
    origin: str


@dataclass(frozen=True)
class Recollection:
    """What a session with this plan would remember.

    Attributes:
        sessions: The nearest first.
        looked_at: Sessions that measured the same metric.
        unlike: How many of these are too little alike.
        useless: How many of these are alike, and have nothing to say about the knobs of the plan.
    """

    sessions: tuple[Similar, ...] = ()
    looked_at: int = 0
    unlike: int = 0
    useless: int = 0


@dataclass(frozen=True)
class _Candidate:
    key: str
    created: str
    origin: str
    likeness: Likeness


def recall(
    store: Store, space: Space, default: Mapping[str, Value], here: Fingerprint, keys: Sequence[str] | None = None
) -> tuple[Remembered, ...]:
    """What a search begins with; the same record, the same plan and the same baseline give the same.

    Args:
        store: The record.
        space: The search space.
        default: The default configuration of the present session.
        here: Its fingerprint.
        keys: Exactly these sessions, in this order, whatever else is similar by now; None to choose them.

    Raises:
        UsageError: One of the sessions that were asked for is not there any more.
        StoreError: The record cannot be read.
    """
    if keys is None:
        return tuple(similar.remembered for similar in look(store, space, default, here).sessions)
    require(store, keys)
    by_key = {candidate.key: candidate for candidate in _named(store, here, keys)}
    chosen = [_similar(store, space, default, by_key[key]) for key in keys if key in by_key]
    return tuple(similar.remembered for similar in _thinned([each for each in chosen if each is not None]))


def require(store: Store, keys: Sequence[str]) -> None:
    """Makes sure that what a session began with is still there.

    Raises:
        UsageError: One of these sessions is not.
        StoreError: The record cannot be read.
    """
    there = {session.key for session in store.memories.finished_named(keys)}
    there |= {memory.key for memory in store.memories.imported_named(keys)}
    gone = [key for key in keys if key not in there]
    if gone:
        raise UsageError(
            f"the session began with what session {gone[0]} had left, which is not in the record any more",
            "Import it again (`knobctl memory import FILE`), or start a new session.",
        )


def look(store: Store, space: Space, default: Mapping[str, Value], here: Fingerprint) -> Recollection:
    """What a session would remember, and what it would pass over. The arguments are those of :func:`recall`.

    Raises:
        StoreError: The record cannot be read.
    """
    candidates = list(_candidates(store, here))
    alike = [each for each in candidates if each.likeness.value >= LEAST_LIKENESS]
    alike.sort(key=lambda each: each.created, reverse=True)  # the record's own order stays within a second
    alike.sort(key=lambda each: -each.likeness.value)
    chosen: list[Similar] = []
    useless = 0
    for candidate in alike[:_MOST_READ]:
        similar = _similar(store, space, default, candidate)
        if similar is None or not (similar.remembered.best or _teaches(similar.remembered)):
            useless += 1
        else:
            chosen.append(similar)
        if len(chosen) == MOST_SESSIONS:
            break
    return Recollection(tuple(_thinned(chosen)), len(candidates), len(candidates) - len(alike), useless)


def translated(
    memory: Memory, space: Space, default: Mapping[str, Value], direction: str
) -> tuple[tuple[Observation, ...], dict[str, Value], tuple[dict[str, Value], ...]]:
    """The trials of a memory as observations of the present space, its recommendation, and where its runs failed.

    A knob of the present space that the session did not turn had the value that was found then, where the record knows
    it, and is taken to have had the present default where it does not. A trial that turned a knob outside of the space,
    or that ran with a value that the space does not have, is left out: what it would have given inside, nobody knows.
    A recommendation is only a guess to be tried, so its numbers are moved to the nearest ones that may be tried.

    Args:
        memory: Of an earlier session.
        space: The present search space.
        default: The present default configuration.
        direction: Of the objective.
    """
    then = {name: memory.found.get(name, default[name]) for name in space.names}
    names = set(space.names)
    inside = [trial for trial in memory.trials if names.issuperset(trial.configuration)]
    observed = observe(inside, space, then, direction)
    if memory.improvement is not None and memory.candidate and names.issuperset(memory.candidate) and observed:
        observed.append(Observation({**then, **memory.candidate}, _gain(memory), max(each.time for each in observed)))
    kept = tuple(each for each in observed if _fits(each.configuration, space, default))
    failed = [{**then, **trial.configuration} for trial in inside if trial.score is None]
    failures = tuple(each for each in failed if _fits(each, space, default))
    return kept, _recommended(memory, space, default), failures


def _candidates(store: Store, here: Fingerprint) -> Iterator[_Candidate]:
    """Every session that measured the same with the same program on a machine of the same kind."""
    for session in store.memories.finished(here.metric, here.simulated):
        yield from _judged(session, here)
    for memory in store.memories.imported(here.metric, here.simulated):
        yield from _judged(memory, here)


def _named(store: Store, here: Fingerprint, keys: Sequence[str]) -> Iterator[_Candidate]:
    for session in store.memories.finished_named(keys):
        yield from _judged(session, here)
    for memory in store.memories.imported_named(keys):
        yield from _judged(memory, here)


def _judged(each: FinishedSession | ImportedMemory, here: Fingerprint) -> Iterator[_Candidate]:
    origin = each.origin if isinstance(each, ImportedMemory) else ""
    likeness = compare(fingerprint_in(each), here, same_record=not origin)
    if likeness is not None:
        yield _Candidate(each.key, each.created, origin, likeness)


def fingerprint_in(row: FinishedSession | ImportedMemory) -> Fingerprint:
    """The fingerprint of a session of this record, or of an imported memory."""
    if isinstance(row, ImportedMemory):
        return fingerprint_from(json.loads(row.fingerprint))
    return fingerprint_of(row.command, row.metric, row.direction, row.target, row.simulated, row.facts, row.machine)


def memory_named(store: Store, key: str) -> Memory | None:
    """What the session with this key left, in this record or imported; None when that is nothing.

    Raises:
        StoreError: The record cannot be read.
    """
    imported = store.memories.imported_named([key])
    if imported:
        return memory_from(json.loads(imported[0].body))
    try:
        return memory_in(store, key)
    except (KnobctlError, KeyError, TypeError, ValueError):
        return None  # made by a version that kept less, or changed by hand: it teaches nothing


def _similar(store: Store, space: Space, default: Mapping[str, Value], candidate: _Candidate) -> Similar | None:
    memory = memory_named(store, candidate.key)
    if memory is None:
        return None
    observations, best, failures = translated(memory, space, default, memory.fingerprint.direction)
    remembered = Remembered(
        candidate.key, candidate.likeness.value, observations, best, memory.verdict, candidate.likeness.why,
        _gain(memory), failures,
    )  # fmt: skip
    return Similar(remembered, candidate.likeness, candidate.created, candidate.origin)


def _teaches(remembered: Remembered) -> bool:
    """It has something to say about more than its own default."""
    if remembered.failures:
        return True
    configurations = [dict(observation.configuration) for observation in remembered.observations]
    return any(configuration != configurations[0] for configuration in configurations)


def _thinned(chosen: Sequence[Similar]) -> list[Similar]:
    """Each with its share of the observations, evenly spread over its time."""
    share = MOST_OBSERVATIONS // max(len(chosen), 1)
    return [
        replace(each, remembered=replace(each.remembered, observations=_spread(each.remembered.observations, share)))
        for each in chosen
    ]


def _spread(observations: Sequence[Observation], most: int) -> tuple[Observation, ...]:
    """So many, evenly; the last one, which luck has not chosen, is always among them."""
    count = len(observations)
    if count <= most:
        return tuple(observations)
    return tuple(observations[count - 1 - index * count // most] for index in reversed(range(most)))


def _gain(memory: Memory) -> float:
    """Log-ratio of what its fresh pairs said of its candidate; 0 when there were none."""
    return 0.0 if memory.improvement is None else math.log1p(max(memory.improvement, -99.0) / 100.0)


def _fits(configuration: Mapping[str, Value], space: Space, default: Mapping[str, Value]) -> bool:
    return all(
        dimension.contains(configuration[dimension.name]) or configuration[dimension.name] == default[dimension.name]
        for dimension in space.dimensions
    )


def _recommended(memory: Memory, space: Space, default: Mapping[str, Value]) -> dict[str, Value]:
    recommended = memory.best if memory.verdict == Verdict.IMPROVED else memory.candidate
    if memory.verdict == Verdict.WORSE:
        return {}
    nearest = {
        each.name: _nearest(each, recommended[each.name]) for each in space.dimensions if each.name in recommended
    }
    return {name: value for name, value in nearest.items() if value is not None and value != default[name]}


def _nearest(dimension: Dimension, value: Value) -> Value | None:
    """The value itself, or the nearest number that may be tried; None for a word that may not."""
    if dimension.contains(value):
        return value
    try:
        return dimension.decode(dimension.encode(value))
    except ValueError:
        return None
