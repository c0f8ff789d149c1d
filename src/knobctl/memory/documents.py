"""A memory in, a JSON document out, and the other way round with every value checked: documents come from anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.knobs.files import catalogue
from knobctl.memory.fingerprint import LARGEST, LONGEST, Fingerprint
from knobctl.memory.left import Memory
from knobctl.plan import KnobValue, Line
from knobctl.plan_text import shown
from knobctl.search.model import MOST_DEFAULTS, MOST_TRIALS

MOST_KNOBS = 200
"""Values of one configuration."""

_KEPT = ("number", "kind", "configuration", "score", "started", "cut_short", "uncertainty")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\+00:00|Z)")


def _moment(text: str) -> str:
    if not _DAY.fullmatch(text):
        raise ValueError("is no moment in UTC")
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")


Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
Label = Annotated[Line, Field(max_length=LONGEST)]
Name = Annotated[Line, Field(min_length=1, max_length=LONGEST)]
Moment = Annotated[str, AfterValidator(_moment)]
Amount = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Score = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]
Percent = Annotated[float, Field(gt=-100, le=1e9, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Bytes = Annotated[int, Field(ge=0, le=2**60)]
Configuration = Annotated[dict[Name, KnobValue], Field(max_length=MOST_KNOBS)]
Verdict = Literal["IMPROVED", "NO_CHANGE", "WORSE", "INCONCLUSIVE"]
Kind = Literal["baseline", "control", "canary", "search", "suggestion", "probe", "run-off"]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Fingerprint(_Closed):
    program: Label
    metric: Name
    direction: Literal["maximize", "minimize"]
    machine: Label = ""
    options: Annotated[list[Name], Field(max_length=MOST_KNOBS)] = []
    numbers: Annotated[dict[Name, Amount], Field(max_length=MOST_KNOBS)] = {}
    kernel: Label = ""
    architecture: Label = ""
    processor: Label = ""
    cores: Count = 0
    memory_bytes: Bytes = 0
    virtualization: Label = ""
    disk_kind: Label = ""
    load: Annotated[dict[Name, Amount], Field(max_length=MOST_KNOBS)] = {}

    def record(self) -> Fingerprint:
        return Fingerprint(**{**dict(self), "options": tuple(self.options)})


class _Trial(_Closed):
    number: Count
    kind: Kind
    configuration: Configuration
    score: Score | None
    started: Amount
    cut_short: bool
    uncertainty: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]

    def record(self) -> Trial:
        return Trial(
            **dict(self), metrics={}, machine={}, samples=(), seconds=0.0, reward=None, failure="", ended=self.started
        )


class _Memory(_Closed):
    key: Key
    created: Moment
    version: Label
    fingerprint: _Fingerprint
    found: Configuration
    trials: Annotated[list[_Trial], Field(max_length=2 * MOST_TRIALS + MOST_DEFAULTS)]
    verdict: Verdict
    best: Configuration
    candidate: Configuration
    improvement: Percent | None

    def record(self) -> Memory:
        return Memory(
            **{
                **dict(self),
                "fingerprint": self.fingerprint.record(),
                "trials": tuple(trial.record() for trial in self.trials),
            }
        )


def memory_document(memory: Memory) -> dict[str, Any]:
    """A memory as plain JSON types."""
    return {
        **{name: getattr(memory, name) for name in _Memory.model_fields},
        "fingerprint": fingerprint_document(memory.fingerprint),
        "found": dict(memory.found),
        "best": dict(memory.best),
        "candidate": dict(memory.candidate),
        "trials": [
            {**{name: getattr(trial, name) for name in _KEPT}, "configuration": dict(trial.configuration)}
            for trial in memory.trials
        ],
    }


def fingerprint_document(fingerprint: Fingerprint) -> dict[str, Any]:
    """A fingerprint as plain JSON types."""
    return {**asdict(fingerprint), "options": list(fingerprint.options)}


def fingerprint_from(document: Mapping[str, Any]) -> Fingerprint:
    """The fingerprint of a document of this record."""
    return _Fingerprint.model_validate(document).record()


def memory_from(document: Mapping[str, Any]) -> Memory:
    """The memory of a document of this record."""
    return _Memory.model_validate(document).record()


def memory_from_text(text: bytes) -> Memory:
    """The memory in a line of a file that may come from anywhere.

    Raises:
        ValueError: It is none; the message says which part of it, and why.
    """
    try:
        memory = _Memory.model_validate_json(text).record()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) if str(part).isalnum() else shown(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}" if place else "is no JSON object") from None
    named = {name for each in _configurations(memory) for name in each}
    unknown = sorted(name for name in named if catalogue().find(name) is None)
    if unknown and not memory.fingerprint.simulated:
        raise ValueError(f"{shown(unknown[0])} is no knob that this knobctl knows")
    if not {name for trial in memory.trials for name in trial.configuration} <= memory.found.keys():
        raise ValueError("it turned a knob of which it does not know the value that was found")
    return memory


def _configurations(memory: Memory) -> tuple[Mapping[str, Value], ...]:
    return (memory.found, memory.best, memory.candidate, *(trial.configuration for trial in memory.trials))
