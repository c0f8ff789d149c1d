"""What the store hands out: sessions and conversations as frozen records, and the one that a person means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from knobctl.errors import StoreError, UsageError
from knobctl.events import Event, StrategistStep
from knobctl.store.result import Result, known
from knobctl.target import HostFacts


@dataclass(frozen=True)
class SessionRecord:
    """One session as the store holds it.

    Attributes:
        id: Key.
        created: When it began (UTC).
        request: The user's words; empty when a plan file was run.
        workload: Name of the workload.
        plan: The plan as JSON, as :func:`knobctl.plan.parse_plan` reads it.
        facts: The machine.
        target: Name of the target.
        simulated: Whether the target was a simulation.
        searcher: Name of the searcher.
        budget: Trials of the search.
        seed: Seed of everything that is drawn.
        version: The knobctl that made it.
        status: ``running``, ``finished``, ``interrupted`` or ``failed``. A session whose process is gone without
            having said how it ended reads as ``interrupted``.
        reason: Why it failed or was interrupted, or why the result of a finished one cannot be read; may be empty.
        trials: How many trials are recorded.
        result: The result; None unless it is finished and can be read.
        conversation: Key of the conversation that it began in; empty without one.
        settings: What else is needed to go on with it; empty in a record of an earlier version.
    """

    id: str
    created: datetime
    request: str
    workload: str
    plan: str
    facts: HostFacts
    target: str
    simulated: bool
    searcher: str
    budget: int
    seed: int
    version: str
    status: str
    reason: str
    trials: int
    result: Result | None
    conversation: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ConversationRecord:
    """One exchange with a language model, or one chat, as the store holds it.

    Attributes:
        id: Key.
        created: When it began (UTC).
        request: The words that it began with, keys and passwords masked.
        model: Provider and model; empty without one.
        status: ``open`` or ``closed``. A conversation whose process was killed stays open.
        outcome: What it came to, such as ``plan by model:...``; empty while it is open.
        sessions: Keys of the sessions that began in it, in their order.
        steps: Everything that was said and done, in its order; keys and passwords masked, long texts cut.
    """

    id: str
    created: datetime
    request: str
    model: str
    status: str
    outcome: str
    sessions: tuple[str, ...]
    steps: tuple[StrategistStep, ...]


def facts_from(document: Mapping[str, Any]) -> HostFacts:
    """The machine of a record; what another version knew and this one does not is left out."""
    return HostFacts(**{**known(HostFacts, document), "tuners": tuple(document["tuners"])})


def result_from(text: str | None) -> tuple[Result | None, str]:
    """The result of a session, if it has one; and why it cannot be read, which concerns no other session."""
    try:
        return Result.from_dict(json.loads(text)) if text else None, ""
    except (StoreError, ValueError) as error:
        return None, f"its result cannot be read: {error}"


def event_from(kind: type[Event], text: str) -> Event:
    """An event of a record; what another version knew and this one does not is left out.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        values = known(kind, json.loads(text))
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except (AttributeError, TypeError, ValueError) as error:
        raise StoreError(f"the record holds an event ({kind.kind}) that cannot be read: {error}") from None


Record = TypeVar("Record", SessionRecord, ConversationRecord)


def the_one(found: Sequence[Record], reference: str, word: str, path: Path, hint: str) -> Record:
    """The record that a reference means, among all whose keys begin with it.

    Args:
        found: These records.
        reference: What the user typed.
        word: What such a record is called.
        path: Where it was looked for.
        hint: Where all of them can be seen.

    Raises:
        UsageError: There is none, or more than one and none that is called exactly so.
    """
    exact = [record for record in found if record.id == reference]
    if not found:
        raise UsageError(f"there is no {word} {reference!r} in {path}", hint)
    if len(found) > 1 and not exact:
        matches = ", ".join(record.id for record in found[:4])
        raise UsageError(f"{len(found)} {word}s begin with {reference!r}: {matches}", "Give more of its digits.")
    return (exact or list(found))[0]
