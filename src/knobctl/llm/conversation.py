"""Instructions, words and tools in, a model's last words or its checked answer out: the two ways to ask a model.

:class:`Conversation` holds the loop of thinking, tools and observations (ReAct), the answer that is asked for again
until it can be used, and every limit. How a single request travels is the business of a :class:`Line`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from knobctl.errors import KnobctlError, ModelError
from knobctl.events import EventSink, StrategistStep
from knobctl.llm.base import ATTEMPTS, Rejected, Result, Tool, Turn, Usage
from knobctl.masking import mask_secrets
from knobctl.target.text import encodable

THINK_REQUESTS = 6
THINK_CALLS = 10
THINK_TOKENS = 1000
ANSWER_TOKENS = 2000
STEP_CHARACTERS = 20_000
OBSERVATION_CHARACTERS = 6000
NAME_CHARACTERS = 80

_SEEN = "You have made this very call already, and seen what it returns. Answer in words now."
_WRITTEN_CALL = re.compile(r"(?:<tool_call>|```(?:json)?)?\s*(\{.{1,2000}\})\s*(?:</tool_call>|```)?", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """A tool that the model wants to use. ``arguments`` is JSON as the model wrote it: it may be anything."""

    identity: str
    tool: str
    arguments: str


@dataclass(frozen=True)
class Observation:
    """What a call returned."""

    call: Call
    text: str


@dataclass(frozen=True)
class Reply:
    """What a model said to one request.

    Attributes:
        text: Its words; may be empty.
        thoughts: Its reasoning, where the provider shows it.
        calls: The tools that it wants to use.
        cut_off: It was stopped because it said too much.
        input_tokens: As the provider counts them; 0 when it does not say.
        output_tokens: The same for what it wrote.
        dollars: What it cost; None when the price is not known.
        original: The provider library's own record, to be handed back to the line.
    """

    text: str
    thoughts: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    cut_off: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = None
    original: object = None


Message = Turn | Reply | tuple[Observation, ...]


@dataclass(frozen=True)
class Question:
    """One request to a model.

    Attributes:
        instructions: What it is told before the conversation.
        messages: The conversation, oldest first.
        most_tokens: How much it may say.
        tools: What it may call.
        schema: JSON Schema that its reply has to follow; None for plain words.
    """

    instructions: str
    messages: tuple[Message, ...]
    most_tokens: int
    tools: tuple[Tool, ...] = ()
    schema: Mapping[str, Any] | None = None


class Line(Protocol):
    """The way to one model."""

    @property
    def name(self) -> str:
        """Provider and model."""
        ...

    def ask(self, question: Question) -> Reply:
        """Sends one request and waits. Raises ``ModelError`` when there is no reply that can be understood."""
        ...


class Conversation:
    """A :class:`~knobctl.llm.base.LanguageModel` on the other end of a line.

    Args:
        line: The way to it.
        requests: Most requests over the life of this object.
        tokens: Most tokens over the life of this object, in both directions.
    """

    def __init__(self, line: Line, requests: int, tokens: int) -> None:
        self._line = line
        self._most_requests = requests
        self._most_tokens = tokens
        self._asked = 0
        self._usage = Usage()

    @property
    def name(self) -> str:
        """Provider and model, such as ``ollama:qwen2.5-coder``; without control characters."""
        return self._line.name

    @property
    def usage(self) -> Usage:
        """What all calls so far have cost."""
        return self._usage

    def think(
        self,
        instructions: str,
        prompt: str,
        *,
        tell: EventSink,
        tools: Sequence[Tool] = (),
        history: Sequence[Turn] = (),
    ) -> str:
        """Lets the model think, call tools and observe until it answers in words; as the contract says."""
        _tell(tell, "request", prompt)
        messages: list[Message] = [*history, Turn("user", prompt)]
        said: list[str] = []
        calls_left, seen = THINK_CALLS, set[tuple[str, str]]()
        for _ in range(THINK_REQUESTS):
            reply = self._ask(Question(instructions, tuple(messages), THINK_TOKENS, tuple(tools)), tell)
            text = reply.text.strip()
            if text:
                _tell(tell, "thought", text)
                said.append(text)
            if not reply.calls:
                call = _written_call(text, tools)
                if call is None:
                    return text
                messages += [reply, Turn("user", f"{call.tool} returned:\n{_observe(call, tools, seen, tell)}")]
                continue
            if len(reply.calls) > calls_left:
                return _stopped(f"more than {THINK_CALLS} tool calls", said, tell)
            calls_left -= len(reply.calls)
            messages += [reply, tuple(Observation(call, _observe(call, tools, seen, tell)) for call in reply.calls)]
        return _stopped(f"tools called in {THINK_REQUESTS} replies in a row", said, tell)

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
        """Asks for one JSON object, without tools, until ``read`` takes it; as the contract says."""
        _tell(tell, "request", prompt)
        messages: list[Message] = [*history, Turn("user", prompt)]
        problem = ""
        for _ in range(attempts):
            reply = self._ask(Question(instructions, tuple(messages), ANSWER_TOKENS, schema=schema), tell)
            for call in reply.calls[:THINK_CALLS]:  # none was offered, and none is run
                _tell(tell, "call", call.arguments, call.tool[:NAME_CHARACTERS])
            if reply.text.strip():
                _tell(tell, "answer", reply.text)
                try:
                    if reply.cut_off:
                        raise Rejected("The reply was too long and was cut off. Give a much shorter answer.")
                    return read(reply.text)
                except Rejected as rejection:
                    problem = str(rejection)
                messages += [reply, Turn("user", problem)]
            else:
                problem = "The reply was empty. Reply with the JSON object, and keep it short."
                messages[-1] = Turn("user", f"{_words_of(messages[-1])}\n\n{problem}")
            _tell(tell, "rejected", problem)
        raise _told(
            ModelError(
                f"{self.name} gave no usable answer in {attempts} attempts; the last problem: {_cut(problem, 300)}",
                "Choose a more capable model, or --strategist playbook.",
            ),
            tell,
        )

    def _ask(self, question: Question, tell: EventSink) -> Reply:
        """One request within the limits, without keys and passwords; its cost is counted and its reasoning told."""
        try:
            self._check_limits()
            self._asked += 1
            reply = self._line.ask(replace(question, messages=tuple(_masked(each) for each in question.messages)))
        except ModelError as error:
            raise _told(error, tell) from None
        self._usage = _with(self._usage, reply)
        for thought in reply.thoughts:
            _tell(tell, "thought", thought)
        return reply

    def _check_limits(self) -> None:
        if self._asked >= self._most_requests:
            raise ModelError(
                f"the limit of {self._most_requests} requests is used up",
                "Raise it with [model] requests in config.toml.",
            )
        if self._usage.input_tokens + self._usage.output_tokens >= self._most_tokens:
            raise ModelError(
                f"the limit of {self._most_tokens} tokens is used up", "Raise it with [model] tokens in config.toml."
            )


def _written_call(text: str, tools: Sequence[Tool]) -> Call | None:
    """The tool call that a small model wrote out as its words, in the form that its template asks for it."""
    written = _WRITTEN_CALL.fullmatch(text.strip())
    try:
        document = json.loads(written[1]) if written else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or set(document) != {"name", "arguments"}:
        return None
    known = any(tool.name == document["name"] for tool in tools)
    return Call("", document["name"], json.dumps(document["arguments"])) if known else None


def _observe(call: Call, tools: Sequence[Tool], seen: set[tuple[str, str]], tell: EventSink) -> str:
    """Runs a tool. What is wrong with the call is what the model observes; so is that it was made before."""
    _tell(tell, "call", call.arguments, call.tool[:NAME_CHARACTERS])
    made = (call.tool, call.arguments.strip())
    text = _SEEN if made in seen else _cut(encodable(_outcome(call, tools)), OBSERVATION_CHARACTERS)
    seen.add(made)
    _tell(tell, "observation", text, call.tool[:NAME_CHARACTERS])
    return text


def _outcome(call: Call, tools: Sequence[Tool]) -> str:
    tool = next((each for each in tools if each.name == call.tool), None)
    if tool is None:
        known = ", ".join(each.name for each in tools) or "none"
        return f"There is no tool {call.tool[:NAME_CHARACTERS]!r}. There are: {known}."
    try:
        arguments = json.loads(call.arguments.strip() or "{}")
    except (ValueError, RecursionError) as error:
        return f"The arguments are not JSON ({str(error)[:200]}). Call it again with one JSON object."
    if not isinstance(arguments, dict):
        return "The arguments must be one JSON object. Call it again."
    if missing := [name for name in tool.parameters.get("required", ()) if name not in arguments]:
        return f"The argument {missing[0]!r} is missing. Call it again with {', '.join(missing)}."
    try:
        return tool.run(arguments)
    except Rejected as rejection:
        return str(rejection)
    except KnobctlError as error:
        return f"{error.message} {error.hint}".strip()


def _stopped(why: str, said: Sequence[str], tell: EventSink) -> str:
    _tell(tell, "rejected", f"Thinking was stopped: {why}. What was said so far is kept.")
    return "\n\n".join(said)


def _masked(message: Message) -> Message:
    """A message as it may leave this machine; the model's own words are what it said."""
    if isinstance(message, Turn):
        return replace(message, text=encodable(mask_secrets(message.text)))
    if isinstance(message, Reply):
        return message
    return tuple(replace(each, text=mask_secrets(each.text)) for each in message)


def _words_of(message: Message) -> str:
    return message.text if isinstance(message, Turn) else ""


def _told(error: ModelError, tell: EventSink) -> ModelError:
    _tell(tell, "failed", error.message)
    return error


def _tell(tell: EventSink, step: str, text: str, name: str = "") -> None:
    tell(StrategistStep(step, _cut(text, STEP_CHARACTERS), name))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}\n[cut here: {len(text)} characters in all]"


def _with(usage: Usage, reply: Reply) -> Usage:
    """The usage after one more reply; one unknown price makes the sum unknown."""
    known = reply.dollars is not None and (usage.dollars is not None or not usage.requests)
    return Usage(
        usage.requests + 1,
        usage.input_tokens + reply.input_tokens,
        usage.output_tokens + reply.output_tokens,
        (usage.dollars or 0.0) + (reply.dollars or 0.0) if known else None,
    )
