"""What a model said in, lines that are safe to show and never too many out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.events import StrategistStep
from knobctl.report.conversation_view import conversation_document, describe_conversation, step_lines
from knobctl.store import ConversationRecord

STEPS = (
    StrategistStep("request", "optimize for postgres"),
    StrategistStep("thought", "First the knobs.\n\nThen the plan."),
    StrategistStep("call", '{"filter": "vm.*"}', "list_knobs"),
    StrategistStep("observation", "vm.dirty_ratio\t20\nvm.swappiness\t60", "list_knobs"),
    StrategistStep("rejected", "unknown key rewardmetric"),
    StrategistStep("answer", '{"workload_name": "\x1b[31mPostgreSQL\x07"}'),
    StrategistStep("failed", "no reply in 60 s"),
    StrategistStep("user", "why?"),
    StrategistStep("reply", "Because."),
    StrategistStep("something\x1b[2J new", ""),
)


def record(*steps: StrategistStep, **changes: Any) -> ConversationRecord:
    values: dict[str, Any] = {
        "id": "c-20261122-184500-a1b2", "created": datetime(2026, 11, 22, tzinfo=UTC), "request": "",
        "model": "openai:x", "status": "closed", "outcome": "plan by model:openai:x", "sessions": (), "steps": steps,
    }  # fmt: skip
    return ConversationRecord(**{**values, **changes})


def test_a_conversation_reads_from_top_to_bottom() -> None:
    assert describe_conversation(record(*STEPS)).splitlines() == [
        "Conversation c-20261122-184500-a1b2 with openai:x: plan by model:openai:x",
        "  asked: optimize for postgres",
        "  thought: First the knobs.",
        "      Then the plan.",
        '  looks at: list_knobs {"filter": "vm.*"}',
        "  saw: vm.dirty_ratio  20",
        "      vm.swappiness   60",
        "  rejected: unknown key rewardmetric",
        '  answer: {"workload_name": "PostgreSQL"}',
        "  failed: no reply in 60 s",
        "  user: why?",
        "  reply: Because.",
        "  something new: (nothing)",
    ]


def test_one_that_did_not_end_and_one_without_words() -> None:
    assert describe_conversation(record(status="open", outcome="", model="")) == (
        "Conversation c-20261122-184500-a1b2: not ended\n  nothing was said"
    )


def test_the_document_is_whole_and_plain_json() -> None:
    long = StrategistStep("observation", "x" * 20_000, "list_knobs")
    document = conversation_document(record(STEPS[2], long))
    assert json.loads(json.dumps(document)) == {
        "id": "c-20261122-184500-a1b2",
        "model": "openai:x",
        "outcome": "plan by model:openai:x",
        "steps": [
            {"step": "call", "name": "list_knobs", "text": '{"filter": "vm.*"}'},
            {"step": "observation", "name": "list_knobs", "text": "x" * 20_000},
        ],
    }


def test_a_long_step_is_cut_and_says_how_long_it_is() -> None:
    text = "\n".join(f"line {number}" for number in range(100))
    assert step_lines(StrategistStep("observation", text), 3) == [
        "  saw: line 0",
        "      line 1",
        "      line 2",
        f"      ... ({len(text)} characters in all)",
    ]
    one_long_line = step_lines(StrategistStep("answer", "word " * 1_000_000), 3)
    assert len(one_long_line) == 4
    assert all(len(line) < 200 for line in one_long_line)
    assert one_long_line[-1] == "      ... (5,000,000 characters in all)"


def test_a_step_that_just_fits_is_whole() -> None:
    assert step_lines(StrategistStep("thought", "a\nb\nc\n"), 3) == ["  thought: a", "      b", "      c"]


@pytest.mark.parametrize("most", [1, 3, 24])
@given(step=st.text(max_size=60), text=st.text(), name=st.text(max_size=80))
def test_whatever_a_model_writes_is_bounded_and_printable(most: int, step: str, text: str, name: str) -> None:
    lines = step_lines(StrategistStep(step, text, name), most)
    assert 1 <= len(lines) <= most + 1
    assert all(len(line) < 260 and not any(mark in line for mark in "\x1b\x07\r\n\u202e\x9b") for line in lines)
