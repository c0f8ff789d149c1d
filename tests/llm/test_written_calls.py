"""Small models write a tool call out as words: read when it can mean nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from knobctl.llm.base import Tool, Turn
from tests.llm.talking import Listener
from tests.strategist.scripted_model import scripted

CALL = json.dumps({"name": "list_knobs", "arguments": {"area": "vm"}})


def look(*script: str) -> tuple[str, Listener, list[Mapping[str, Any]], list[Any]]:
    seen: list[Mapping[str, Any]] = []

    def run(arguments: Mapping[str, Any]) -> str:
        seen.append(arguments)
        return "vm.swappiness"

    model, line = scripted(*script)
    tell = Listener()
    tool = Tool("list_knobs", "Lists.", {"type": "object", "required": ["area"]}, run)
    return model.think("Think.", "Why?", tell=tell, tools=(tool,)), tell, seen, line.questions


@pytest.mark.parametrize(
    "text", [CALL, f"```json\n{CALL}\n```", f"```\n{CALL}```", f"<tool_call>\n{CALL}\n</tool_call>", f"  {CALL}\n"]
)
def test_a_call_that_was_written_out_is_made(text: str) -> None:
    said, tell, seen, questions = look(text, "Swappiness.")
    assert said == "Swappiness."
    assert seen == [{"area": "vm"}]
    assert tell.kinds == ["request", "thought", "call", "observation", "thought"]
    assert questions[1].messages[-1] == Turn("user", "list_knobs returned:\nvm.swappiness")


@pytest.mark.parametrize(
    "text",
    [
        f"I could say {CALL}",
        f"{CALL} {CALL}",
        '{"name": "run_shell", "arguments": {"area": "vm"}}',
        '{"name": "list_knobs"}',
        '{"name": ["list_knobs"], "arguments": {}}',
        '{"name": "list_knobs", "arguments": {}, "then": "rm"}',
        "{" * 2000 + "}" * 2000,
        "```json\n{not json}\n```",
    ],
)
def test_everything_else_stays_words(text: str) -> None:
    said, _, seen, _ = look(text)
    assert said == text
    assert seen == []


def test_a_loop_of_written_calls_ends() -> None:
    _, tell, seen, _ = look(*[CALL] * 20)
    assert len(seen) == 1
    assert len(tell.texts("call")) == 6
    assert set(tell.texts("observation")[1:]) == {
        "You have made this very call already, and seen what it returns. Answer in words now."
    }
    assert "stopped" in tell.texts("rejected")[0]
