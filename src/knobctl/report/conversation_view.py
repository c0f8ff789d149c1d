"""What was said in a conversation with a language model in, lines for people out: safe to show, and never too many."""

from __future__ import annotations

import textwrap
from typing import Any

from knobctl.events import StrategistStep
from knobctl.report.wording import one_line
from knobctl.store import ConversationRecord
from knobctl.target.text import clean

LINES_OF_A_STEP = 24
"""Lines of one step that a report shows; ``--json`` has them all."""

_WIDTH = 160
_NAMES = {
    "request": "asked",
    "thought": "thought",
    "call": "looks at",
    "observation": "saw",
    "answer": "answer",
    "rejected": "rejected",
    "failed": "failed",
    "user": "user",
    "reply": "reply",
}


def describe_conversation(record: ConversationRecord) -> str:
    """The whole conversation, each step as a block of its own, without a trailing newline."""
    model = f" with {one_line(record.model, 80)}" if record.model else ""
    outcome = one_line(record.outcome) if record.status == "closed" else "not ended"
    lines = [f"Conversation {one_line(record.id)}{model}: {outcome}"]
    for step in record.steps:
        lines += step_lines(step, LINES_OF_A_STEP)
    if not record.steps:
        lines.append("  nothing was said")
    return "\n".join(lines)


def conversation_document(record: ConversationRecord) -> dict[str, Any]:
    """The same as plain JSON types, whole."""
    return {
        "id": record.id,
        "model": record.model,
        "outcome": record.outcome,
        "steps": [{"step": step.step, "name": step.name, "text": step.text} for step in record.steps],
    }


def step_lines(step: StrategistStep, most: int, indent: str = "  ") -> list[str]:
    """One step: its first line behind its name, the others below it.

    Args:
        step: As it was told; nothing in it is trusted.
        most: Lines of the text that are shown; empty ones are left out.
        indent: Stands in front of every line.
    """
    name = _NAMES.get(step.step, one_line(step.step, 40))
    text = f"{one_line(step.name, 60)} {step.text}" if step.name and step.step == "call" else step.text
    # Cut first: what is cleaned and split here may be megabytes long, and only its beginning is shown.
    beginning = clean(text[: 4 * most * _WIDTH])
    found = [part for line in beginning.splitlines() for part in textwrap.wrap(line, _WIDTH, break_on_hyphens=False)]
    shown = found[:most] or ["(nothing)"]
    lines = [f"{indent}{name}: {shown[0]}", *[f"{indent}    {line}" for line in shown[1:]]]
    if len(found) > most or len(text) > 4 * most * _WIDTH:
        lines.append(f"{indent}    ... ({len(text):,} characters in all)")
    return lines
