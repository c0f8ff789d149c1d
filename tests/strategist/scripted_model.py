"""A language model that says what a test wrote down, without a network: the real loop on a scripted line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from knobctl.errors import ModelError
from knobctl.llm.conversation import Call, Conversation, Question, Reply

Entry = str | dict[str, Any] | Call | Reply | BaseException
"""Words, a document that is said as JSON, a tool call, a whole reply, or an error in its place."""


class ScriptedLine:
    """Takes the next entry of the script for each question, and keeps the questions."""

    def __init__(self, script: Sequence[Entry]) -> None:
        self._script = list(script)
        self.questions: list[Question] = []

    @property
    def name(self) -> str:
        return "test:scripted"

    def ask(self, question: Question) -> Reply:
        self.questions.append(question)
        if not self._script:
            raise ModelError("the script is used up")
        entry = self._script.pop(0)
        match entry:
            case BaseException():
                raise entry
            case Reply():
                return entry
            case Call():
                return Reply("", calls=(entry,))
            case str():
                return Reply(entry)
        return Reply(json.dumps(entry, ensure_ascii=False))

    @property
    def left(self) -> int:
        return len(self._script)


def call(tool: str, **arguments: Any) -> Call:
    return Call("1", tool, json.dumps(arguments))


def scripted(*script: Entry) -> tuple[Conversation, ScriptedLine]:
    """A model with this script, and its line."""
    line = ScriptedLine(script)
    return Conversation(line, requests=50, tokens=1_000_000), line


def decision(workload: str = "none", intent: str = "optimize", thought: str = "It is plain.") -> dict[str, Any]:
    return {"thought": thought, "intent": intent, "workload": workload}


def draft(*knobs: str, command: str = "pgbench -c 8 -j 2 -T 5 -P 1 bench", **more: Any) -> dict[str, Any]:
    entries = [{"param": knob, "min": 5, "max": 60, "description": "It matters."} for knob in knobs]
    return {
        "thought": "Writers wait for the disk.",
        "workload_name": "PostgreSQL",
        "benchmark_command": command,
        "reward_metric": "transactions_per_second",
        "action_space": entries,
        **more,
    }
