"""What is asked of a language model (:class:`LanguageModel`), and the records that go in and come out.

Everything that a model returns is untrusted text. Every request, thought, tool call, observation and refusal is told
to the caller as a :class:`~knobctl.events.StrategistStep`, so that views and the record hold all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from knobctl.events import EventSink

Result = TypeVar("Result")

ATTEMPTS = 3
"""How often a model may try to give an answer that can be used."""


class Rejected(Exception):
    """A model's answer cannot be used. The message goes back to the model, and says what to do differently."""


@dataclass(frozen=True)
class Tool:
    """Something that a model may look at while it thinks. It changes nothing.

    Attributes:
        name: Such as ``list_knobs``.
        description: For the model: what it returns and when to call it.
        parameters: JSON Schema of the arguments, an object.
        run: Arguments to text. They come from the model, so it trusts none of them; ``Rejected`` becomes the
            observation.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Turn:
    """One earlier turn of a conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class Usage:
    """What a model has cost so far.

    Attributes:
        requests: Requests that it answered.
        input_tokens: As the provider counts them; 0 when it does not say.
        output_tokens: The same for what it wrote.
        dollars: US dollars at list price; None when the price is not known.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = None


class LanguageModel(Protocol):
    """A language model with limits: on seconds, on requests and tokens of all calls together, on the size of a reply.

    ``tell`` and the tools are called in the caller's thread. A signal or Ctrl-C in the caller's thread ends the
    request at once.
    """

    @property
    def name(self) -> str:
        """Provider and model, such as ``ollama:qwen2.5-coder``; without control characters."""
        ...

    @property
    def usage(self) -> Usage:
        """What all calls so far have cost."""
        ...

    def think(
        self,
        instructions: str,
        prompt: str,
        *,
        tell: EventSink,
        tools: Sequence[Tool] = (),
        history: Sequence[Turn] = (),
    ) -> str:
        """Lets the model think, call tools and observe (ReAct) until it answers in words.

        A model that calls tools without end is stopped, and what it has said so far is returned.

        Returns:
            Its last words; may be empty.

        Raises:
            ModelError: It could not be reached, refused, took too long, or a limit is used up.
        """
        ...

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
        """Asks for one JSON object, without tools, until ``read`` takes it.

        The schema is enforced by providers that can; others are shown it. ``read`` gets the reply's raw text either
        way, checks it, and raises :class:`Rejected` with a message for the model.

        Raises:
            ModelError: As :meth:`think`; or no attempt was taken: the message holds the last refusal.
        """
        ...
