"""A finished session's record in, what it leaves to later ones out: fingerprint, trials, verdict, and no raw sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from knobctl.env.bench import DEFAULT_KINDS
from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.memory.fingerprint import Fingerprint, fingerprint_of
from knobctl.search.model import MOST_DEFAULTS, MOST_TRIALS, OTHER_KINDS, scored
from knobctl.store import SessionRecord, Store


@dataclass(frozen=True)
class Memory:
    """What a session leaves to later ones.

    Attributes:
        key: Key of the session.
        created: When it began (UTC, ISO 8601).
        version: The knobctl that made it.
        fingerprint: What it was about.
        found: Values of its knobs when it began: the default configuration of its time.
        trials: Its runs that can be learned from, in their order, without samples and metrics; those that failed are
            among them, without their reason.
        verdict: Its verdict.
        best: What it recommended: the verified change, or nothing.
        candidate: What it verified, whatever came out.
        improvement: Effect of the candidate in percent as the fresh pairs estimate it; None without pairs.
    """

    key: str
    created: str
    version: str
    fingerprint: Fingerprint
    found: Mapping[str, Value]
    trials: tuple[Trial, ...]
    verdict: str
    best: Mapping[str, Value]
    candidate: Mapping[str, Value]
    improvement: float | None


def memory_in(store: Store, key: str) -> Memory | None:
    """What the session with exactly this key left, in this record; None when that is nothing.

    Raises:
        UsageError: There is no such session.
        StoreError: The record cannot be read.
    """
    return memory_of(store.session(key), store.trials(key))


def memory_of(record: SessionRecord, trials: Sequence[Trial]) -> Memory | None:
    """What a session leaves; None when it is not finished, searched nothing, or does not know its default.

    Args:
        record: The session.
        trials: All of its trials.
    """
    result, found = record.result, record.settings.get("found")
    if result is None or record.status != "finished" or record.searcher == "none" or not isinstance(found, Mapping):
        return None
    fingerprint = fingerprint_of(
        str(json.loads(record.plan).get("benchmark_command", "")),
        result.metric,
        result.direction,
        record.target,
        record.simulated,
        record.facts,
        [trial.machine for trial in trials if trial.kind == "baseline" and trial.score is not None],
    )
    return Memory(
        key=record.id,
        created=record.created.isoformat(timespec="seconds"),
        version=record.version,
        fingerprint=fingerprint,
        found={**record.settings.get("fixed", {}), **found},
        trials=_worth_keeping(trials),
        verdict=str(result.verdict),
        best=dict(result.best_config),
        candidate=dict(result.candidate_config),
        improvement=result.improvement if result.pairs else None,
    )


def _worth_keeping(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The latest ones, as many as a model takes, and as many that failed."""
    failed = [trial for trial in trials if trial.kind in OTHER_KINDS and trial.score is None][-MOST_TRIALS:]
    defaults = [trial for trial, _ in scored(trials, DEFAULT_KINDS)][-MOST_DEFAULTS:]
    others = [trial for trial, _ in scored(trials, OTHER_KINDS)][-MOST_TRIALS:]
    return tuple(
        replace(trial, metrics={}, machine={}, samples=(), reward=None, failure="")
        for trial in sorted((*defaults, *others, *failed), key=lambda trial: trial.number)
    )
