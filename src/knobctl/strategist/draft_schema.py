"""The knobs on offer in, the JSON Schema that a provider may hold a model's plan to out.

Looser than a plan: what every plan has anyway is filled in by code. No ``pattern``: some servers then drop the whole
schema without a word (llama.cpp issue 19051).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from knobctl.knobs import Knob, KnobState
from knobctl.strategist.actions import offered

MOST_KNOBS = 8
_TEXT = {"type": "string"}


def draft_schema(knobs: Sequence[Knob], states: Mapping[str, KnobState], metrics: Sequence[str]) -> dict[str, Any]:
    """The schema.

    Args:
        knobs: On offer; any name goes when there are none.
        states: How they stand on the machine.
        metrics: What the benchmark prints; any name goes when that is not known.
    """
    integers = [knob.name for knob in knobs if knob.kind == "integer"]
    choices = [knob for knob in knobs if knob.kind == "choice"]
    entries = []
    if integers or not knobs:
        param = {"type": "string", "enum": integers} if integers else _TEXT
        entries.append(_object(param=param, min={"type": "integer"}, max={"type": "integer"}, description=_TEXT))
    for knob in choices:
        values = {"type": "array", "items": {"type": "string", "enum": list(offered(knob, states.get(knob.name)))}}
        entries.append(_object(param={"type": "string", "enum": [knob.name]}, values=values, description=_TEXT))
    entry = entries[0] if len(entries) == 1 else {"anyOf": entries}
    schema = _object(
        thought=_TEXT,
        workload_name=_TEXT,
        benchmark_command=_TEXT,
        reward_metric={"type": "string", "enum": list(metrics)} if metrics else _TEXT,
        action_space={"type": "array", "items": entry, "minItems": 1, "maxItems": MOST_KNOBS},
    )
    return {"title": "TuningPlan", **schema}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
