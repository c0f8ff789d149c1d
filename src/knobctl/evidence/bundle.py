"""A recorded session in, its bundle as one typed record out; and what the members of the file are called.

The file is a zip whose members are stored as they are: nothing in it is ever unpacked, and no byte of it depends on a
compressor or on the time of writing. Every member is JSON, or JSON in lines, so that it can be read without knobctl.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from knobctl.errors import UsageError
from knobctl.events import Event, PairMeasured, Trial
from knobctl.plan import TuningPlan, parse_plan
from knobctl.plan_text import MAX_PLAN_BYTES
from knobctl.store import Result, SessionRecord, Store
from knobctl.target import HostFacts

FORMAT = 1
"""Counts up whenever an older knobctl could misread a newer file."""

SUFFIX = ".knobctl.zip"

MANIFEST, PLAN, RESULT, FACTS, SESSION = "manifest.json", "plan.json", "result.json", "facts.json", "session.json"
TRIALS, PAIRS, EVENTS, README = "trials.jsonl", "pairs.jsonl", "events.jsonl", "README.txt"

LIMITS: Mapping[str, int] = {
    README: 100_000,
    EVENTS: 16_000_000,
    FACTS: 100_000,
    MANIFEST: 100_000,
    PAIRS: 1_000_000,
    PLAN: MAX_PLAN_BYTES,
    RESULT: 2_000_000,
    SESSION: 1_000_000,
    TRIALS: 32_000_000,
}
"""Every member that a bundle has, with the most bytes that it may have."""

KINDS: Mapping[str, type[Event]] = {cls.kind: cls for cls in Event.__subclasses__()}
"""The events, by the names that they have in the file."""

_LIBRARIES = ("knobctl", "numpy", "torch", "stable-baselines3", "gymnasium", "optuna")


@dataclass(frozen=True)
class Member:
    """One member of the file as the manifest lists it.

    Attributes:
        name: Its name.
        bytes: Its size.
        sha256: Its SHA-256, in hexadecimal digits.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What the file is and what it holds.

    Attributes:
        format: Version of the file format.
        session: Key of the session.
        created: When the session began (UTC).
        knobctl: The knobctl that measured.
        written_with: Versions of Python, knobctl and the learning libraries where the file was written.
        members: Every other member.
        fingerprint: SHA-256 over the manifest itself without this line, in hexadecimal digits. Two bundles with the
            same fingerprint are the same.
    """

    format: int
    session: str
    created: str
    knobctl: str
    written_with: Mapping[str, str]
    members: tuple[Member, ...]
    fingerprint: str


@dataclass(frozen=True)
class SessionDocument:
    """How the session was run.

    Attributes:
        id: Key of the record.
        created: When it began (UTC).
        request: The user's words, without keys and passwords; empty when a plan file was run.
        workload: Name of the workload.
        target: Name of the target.
        simulated: Nothing was measured on a real machine.
        searcher: Name of the searcher; ``none`` when a candidate was only verified again.
        budget: Trials of the search.
        seed: Seed of everything that was drawn.
        version: The knobctl that measured.
        commands: What was run: what came before each trial if anything did, and the benchmark.
        settings: What else was given, and the value that every tuned knob was found with, in plain JSON types.
    """

    id: str
    created: str
    request: str
    workload: str
    target: str
    simulated: bool
    searcher: str
    budget: int
    seed: int
    version: str
    commands: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """All evidence of one finished session.

    Attributes:
        session: How it was run.
        plan: What was asked for; keys and passwords in its commands are masked.
        facts: The machine.
        trials: Every benchmark run with everything that it printed, in their order.
        pairs: Every pair of the verification with the interval after it.
        events: Everything else that happened, in its order.
        result: What was concluded.
        written_with: Versions where the bundle was written.
        fingerprint: Of the file that it was read from, as its manifest has it; empty without one.
    """

    session: SessionDocument
    plan: TuningPlan
    facts: HostFacts
    trials: tuple[Trial, ...]
    pairs: tuple[PairMeasured, ...]
    events: tuple[Event, ...]
    result: Result
    written_with: Mapping[str, str]
    fingerprint: str = field(default="", compare=False)


def bundle_of(record: SessionRecord, store: Store) -> Bundle:
    """The evidence of a session.

    Raises:
        UsageError: The session has no result, so there is nothing to prove.
        StoreError: The record cannot be read.
    """
    if record.result is None:
        raise UsageError(
            f"session {record.id} is {record.status} and has no result, so there is nothing to prove",
            "Choose a finished one from `knobctl sessions`.",
        )
    plan = parse_plan(record.plan)
    return Bundle(
        session=SessionDocument(
            id=record.id,
            created=record.created.isoformat(),
            request=record.request,
            workload=record.workload,
            target=record.target,
            simulated=record.simulated,
            searcher=record.searcher,
            budget=record.budget,
            seed=record.seed,
            version=record.version,
            commands=tuple(filter(None, (plan.reset_command, plan.benchmark_command))),
            settings=record.settings,
        ),
        plan=plan,
        facts=record.facts,
        trials=store.trials(record.id),
        pairs=store.pairs(record.id),
        events=store.events(record.id),
        result=record.result,
        written_with=_versions(),
    )


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in _LIBRARIES}
