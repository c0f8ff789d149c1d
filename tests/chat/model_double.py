"""A language model that says what a script says, tells its steps like a real one, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from knobctl.errors import ModelError
from knobctl.events import Event, EventSink, StrategistStep
from knobctl.llm.base import ATTEMPTS, Rejected, Tool, Turn, Usage

Result = TypeVar("Result")


@dataclass(frozen=True)
class Looks:
    """A reply for which the model calls tools first: (name, arguments), and then these words."""

    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    words: str


@dataclass(frozen=True)
class Asked:
    """One call."""

    instructions: str
    prompt: str
    tools: tuple[str, ...]
    history: tuple[Turn, ...]


class ModelDouble:
    """Each call takes the next entry of the script: words, a look at tools with words, or an error to raise.

    A script that is used up raises ``ModelError``, as a model does that cannot be reached any more.
    """

    name = "double:scripted"

    def __init__(self, *script: str | Looks | BaseException) -> None:
        self._script = list(script)
        self.asked: list[Asked] = []

    @property
    def usage(self) -> Usage:
        return Usage(requests=len(self.asked))

    @property
    def left(self) -> int:
        """Entries of the script that nobody has asked for yet."""
        return len(self._script)

    def think(
        self,
        instructions: str,
        prompt: str,
        *,
        tell: EventSink,
        tools: Sequence[Tool] = (),
        history: Sequence[Turn] = (),
    ) -> str:
        words = self._next(instructions, prompt, tell, tools, history)
        tell(StrategistStep("thought", words))
        return words

    def answer(
        self,
        instructions: str,
        prompt: str,
        *,
        schema: Mapping[str, Any],
        read: Callable[[str], Result],
        tell: EventSink,
        history: Sequence[Turn] = (),
        attempts: int = ATTEMPTS,
    ) -> Result:
        refusal = "no reply"
        for _ in range(attempts):
            reply = self._next(instructions, prompt, tell, (), history)
            tell(StrategistStep("answer", reply))
            try:
                return read(reply)
            except Rejected as rejected:
                refusal = str(rejected)
                tell(StrategistStep("rejected", refusal))
        raise ModelError(f"{self.name} gave no answer that can be used: {refusal}", "Try another model.")

    def _next(
        self, instructions: str, prompt: str, tell: EventSink, tools: Sequence[Tool], history: Sequence[Turn]
    ) -> str:
        self.asked.append(Asked(instructions, prompt, tuple(tool.name for tool in tools), tuple(history)))
        tell(StrategistStep("request", prompt))
        entry = self._script.pop(0) if self._script else ModelError(f"{self.name} cannot be reached", "Start it.")
        if isinstance(entry, BaseException):
            if isinstance(entry, ModelError):
                tell(StrategistStep("failed", entry.message))
            raise entry
        if isinstance(entry, str):
            return entry
        by_name = {tool.name: tool for tool in tools}
        for name, arguments in entry.calls:
            tell(StrategistStep("call", repr(dict(arguments)), name))
            try:
                seen = by_name[name].run(arguments)
            except Rejected as rejected:
                seen = str(rejected)
            tell(StrategistStep("observation", seen, name))
        return entry.words


class Steps:
    """An event sink that keeps the steps."""

    def __init__(self) -> None:
        self.told: list[StrategistStep] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, StrategistStep)
        self.told.append(event)

    def of(self, step: str) -> list[str]:
        """The words of all steps of a kind."""
        return [told.text for told in self.told if told.step == step]
