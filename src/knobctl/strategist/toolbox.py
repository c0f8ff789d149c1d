"""What a model may look at while it thinks: the machine, the knobs, the workloads, past sessions. Nothing changes.

The answers come from records that were read before the model was asked, so no argument of a call reaches a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from knobctl.knobs import Catalogue, KnobState
from knobctl.llm.base import Rejected, Tool
from knobctl.strategist.knob_table import areas, explain, in_area, table
from knobctl.strategist.prompt import machine_lines, workload_names
from knobctl.target import HostFacts

Past = Callable[[str], str]
"""Words to look for (may be empty) to what earlier sessions of this machine found, as text."""

_NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}


def toolbox(
    facts: HostFacts,
    states: Mapping[str, KnobState],
    catalogue: Catalogue,
    past: Past,
    looked_at: Callable[[str], None] = lambda name: None,
) -> tuple[Tool, ...]:
    """The tools for one machine.

    Args:
        facts: What the machine is.
        states: How each knob stands on it.
        catalogue: The knobs.
        past: Finds past sessions.
        looked_at: Called with the name of every tunable knob that the model was shown.
    """

    def list_knobs(arguments: Mapping[str, Any]) -> str:
        area = _text(arguments, "area")
        found = in_area(area, catalogue, states)
        if not found:
            known = ", ".join(f"{name} ({count})" for name, count in areas(catalogue, states).items())
            raise Rejected(f"There is no area {area[:40]!r}. Areas with the number of their knobs: {known}.")
        for knob in found:
            looked_at(knob.name)
        return "\n".join(table(found, facts, states))

    def explain_knob(arguments: Mapping[str, Any]) -> str:
        name = _text(arguments, "name")
        text, knob = explain(name, facts, states, catalogue)
        if knob is not None:
            looked_at(knob)
        return text

    return (
        Tool(
            "describe_host",
            "The machine: kernel, CPUs, memory, swap, disk, virtualization.",
            _NOTHING,
            lambda arguments: "\n".join(machine_lines(facts)),
        ),
        Tool(
            "list_knobs",
            "The kernel knobs of one area that can be tuned here: name, safe range, current value, meaning. "
            f"Areas: {', '.join(areas(catalogue, states))}.",
            _argument("area", "One of the areas, such as vm."),
            list_knobs,
        ),
        Tool(
            "explain_knob",
            "Everything about one kernel knob: what it does, why it matters, its range and value here.",
            _argument("name", "Name of the knob, such as vm.dirty_ratio."),
            explain_knob,
        ),
        Tool(
            "list_workloads",
            "The workloads that can be tuned for, with the benchmark command and the objective of each.",
            _NOTHING,
            lambda arguments: "\n".join(workload_names(facts)),
        ),
        Tool(
            "past_sessions",
            "What earlier tuning runs on this machine found: workload, verdict, verified change.",
            _argument("words", "Words of the workload to look for; empty for the latest runs."),
            lambda arguments: past(_text(arguments, "words")) or "There is no past session.",
        ),
    )


def _argument(name: str, description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": description}},
        "required": [name],
        "additionalProperties": False,
    }


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name, "")
    if not isinstance(value, str):
        raise Rejected(f"{name} is text, not {type(value).__name__}.")
    return value.strip()[:200]
