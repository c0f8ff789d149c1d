"""A chosen model in, a :class:`~knobctl.llm.base.LanguageModel` that speaks to its provider out.

The one module that knows the providers' libraries, and therefore slow to import: import it inside the function that
needs it. Requests travel without a stream and one at a time; nothing is kept open between two of them.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

import anthropic
import httpx2
import openai
from pydantic_ai import messages, models
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRequestTimeout,
    ModelTimeoutError,
    UserError,
)
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from knobctl.errors import ModelError
from knobctl.llm.base import LanguageModel, Turn
from knobctl.llm.choice import COMPATIBLE, ModelChoice, is_loopback, is_own_server
from knobctl.llm.conversation import Call, Conversation, Message, Question, Reply
from knobctl.llm.failures import REPLY_BYTES, Failures
from knobctl.llm.waiting import TookTooLong, wait_for
from knobctl.target.text import clean, encodable

TEMPERATURE = 0.2
REASONING_TOKENS = 8000
"""What a model that always reasons may say beyond its answer: reasoning counts as output."""

SHORTEST_SECRET = 12
"""Characters of a key worth hiding: local servers are given words such as ``none``."""

RETRIES = 2
CONNECT_SECONDS = 10.0
NAME_SECONDS = 10.0
ADDRESSES = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
ANTHROPIC_VERSION = "2023-06-01"
"""The version of its interface, which every request in Anthropic's format names."""

SHOWN_SCHEMA = "\n\nReply with one JSON object and nothing else, without Markdown. It must follow this JSON Schema:\n"

_CONTEXT = re.compile(r"exceeds?.{0,40}\bcontext (size|length|window)", re.IGNORECASE)

Outcome = TypeVar("Outcome")


def open_model(choice: ModelChoice) -> LanguageModel:
    """A model that can be asked. Nothing is sent, unless the choice leaves it to the server which model it has.

    Raises:
        ModelError: The server was asked for its first model, and did not name one.
    """
    if not choice.name:
        choice = replace(choice, name=_first_model(choice))
    return Conversation(_ProviderLine(choice), choice.requests, choice.tokens)


class _Unreadable(openai.OpenAIError, anthropic.AnthropicError):
    """The reply may not be read. The libraries hand on an error of their own kind without a retry."""


class _Oversized(_Unreadable):
    """The reply is larger than it may be."""


class _SchemaRefused(Exception):
    """The server does not take a schema with the request."""


class _Network:
    """HTTP connections to one address: bounded in time and size, never redirected, with no header too many."""

    def __init__(self, choice: ModelChoice) -> None:
        self.address = choice.base_url or ADDRESSES[choice.provider]
        self._choice = choice

    def http(self) -> httpx2.AsyncClient:
        """A client for one request. This machine itself is never reached through a proxy."""
        return httpx2.AsyncClient(
            verify=_certificates(),
            headers={"Accept-Encoding": "identity"},
            follow_redirects=False,
            trust_env=not is_loopback(httpx2.URL(self.address).host),
            event_hooks={"request": [self._trim], "response": [_bound]},
        )

    def openai(self, http: httpx2.AsyncClient, retries: int = RETRIES) -> openai.AsyncOpenAI:
        """The library's client for OpenAI and for everything that speaks like it."""
        return openai.AsyncOpenAI(
            base_url=self.address, api_key=self._choice.key or "none", http_client=http, max_retries=retries,
            timeout=self._timeout,
        )  # fmt: skip

    def anthropic(self, http: httpx2.AsyncClient) -> anthropic.AsyncAnthropic:
        """The library's client for Anthropic."""
        return anthropic.AsyncAnthropic(
            base_url=self.address, api_key=self._choice.key, http_client=http, max_retries=RETRIES,
            timeout=self._timeout,
        )  # fmt: skip

    @property
    def _timeout(self) -> httpx2.Timeout:
        return httpx2.Timeout(self._choice.timeout, connect=min(CONNECT_SECONDS, self._choice.timeout))

    async def _trim(self, request: httpx2.Request) -> None:
        """Writes the headers anew: the libraries add what an environment holds for the provider's own server."""
        if is_own_server(self.address, self._choice.provider):
            return
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "knobctl", **self._login}
        if request.content:
            headers["Content-Type"] = "application/json"
        request.headers = httpx2.Request(request.method, request.url, headers=headers, content=request.content).headers

    @property
    def _login(self) -> dict[str, str]:
        key = self._choice.key
        if self._choice.provider == "anthropic":
            return {"Anthropic-Version": ANTHROPIC_VERSION, "X-Api-Key": key or ""}
        return {"Authorization": f"Bearer {key}"} if key is not None else {}


@cache
def _certificates() -> ssl.SSLContext:
    """The certificates to trust; read once, because reading them takes longer than a short request."""
    return httpx2.create_ssl_context()


async def _bound(response: httpx2.Response) -> None:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _Unreadable("the reply is compressed, though this was not asked for")
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > REPLY_BYTES:
                raise _Oversized("too large")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _ProviderLine:
    """A :class:`~knobctl.llm.conversation.Line` to one model."""

    def __init__(self, choice: ModelChoice) -> None:
        self._choice = choice
        self._network = _Network(choice)
        self._failures = _failures(choice, self._network.address)
        self._takes_schemas = True

    @property
    def name(self) -> str:
        return self._failures.label

    def ask(self, question: Question) -> Reply:
        if question.schema is not None and self._takes_schemas:
            try:
                return self._send(question, enforced=True)
            except _SchemaRefused:
                reply = self._send(question, enforced=False)
                self._takes_schemas = False
                return reply
        return self._send(question, enforced=False)

    def _send(self, question: Question, *, enforced: bool) -> Reply:
        async def request() -> Reply:
            try:
                async with self._network.http() as http:
                    model = self._model(http)
                    if enforced and not model.profile.get("supports_json_schema_output", False):
                        raise _SchemaRefused
                    response = await model_request(
                        model,
                        _history(question, shown=question.schema is not None and not enforced),
                        model_settings=self._settings(model, question.most_tokens),
                        model_request_parameters=_parameters(question, enforced),
                    )
            except (ModelHTTPError, UserError) as error:
                if enforced and _refuses_schemas(error):
                    raise _SchemaRefused from None
                raise
            return self._reply(_encodable(response))

        return _outcome(request, self._choice.timeout, self._failures)

    def _model(self, http: httpx2.AsyncClient) -> models.Model[Any]:
        name = self._choice.name
        if self._choice.provider == "anthropic":
            return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=self._network.anthropic(http)))
        client = self._network.openai(http)
        if self._choice.provider == "ollama":
            return OllamaModel(name, provider=OllamaProvider(openai_client=client))
        if self._choice.provider == "openai":
            return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))
        return OpenAIChatModel(name, provider=OpenAICompatibleProvider(COMPATIBLE, openai_client=client))

    def _settings(self, model: models.Model[Any], most_tokens: int) -> ModelSettings:
        """Settings that this model takes: those that reason refuse a temperature, and reason at the cost of words."""
        profile: Any = model.profile
        settings = ModelSettings(framing_announcement="never")  # about system messages that we never send
        if not profile.get("openai_supports_reasoning") and not profile.get("anthropic_disallows_sampling_settings"):
            settings["temperature"] = TEMPERATURE
        if profile.get("thinking_enabled_by_default") or profile.get("thinking_always_enabled"):
            most_tokens += REASONING_TOKENS
        if self._choice.provider in ("openai", "anthropic"):
            settings["max_tokens"] = most_tokens
        else:
            settings["extra_body"] = {"max_tokens": most_tokens}  # the name that every local server knows
        return settings

    def _reply(self, response: messages.ModelResponse) -> Reply:
        if response.finish_reason == "content_filter":
            details = response.provider_details or {}
            raise self._failures.filtered(str(details.get("refusal") or ""))
        parts = response.parts
        calls = [part for part in parts if isinstance(part, messages.ToolCallPart)]
        return Reply(
            text=self._kept("".join(part.content for part in parts if isinstance(part, messages.TextPart))),
            thoughts=tuple(
                self._kept(part.content)
                for part in parts
                if isinstance(part, messages.ThinkingPart) and part.content.strip()
            ),
            calls=tuple(
                Call(part.tool_call_id, self._kept(encodable(part.tool_name)), self._kept(str(part.args)))
                for part in calls
            ),
            cut_off=response.finish_reason == "length",
            input_tokens=response.usage.input_tokens,
            output_tokens=response.usage.output_tokens,
            dollars=self._dollars(response),
            original=response,
        )

    def _kept(self, said: str) -> str:
        """A model's words as they may be shown and kept: a server that repeats its key cannot put it on record."""
        key = self._choice.key or ""
        return said.replace(key, "[the key]") if len(key) >= SHORTEST_SECRET else said

    def _dollars(self, response: messages.ModelResponse) -> float | None:
        if self._choice.provider not in ADDRESSES:
            return None
        try:
            return float(response.cost().total_price)
        except (LookupError, ValueError, AssertionError):
            return None


def _encodable(response: messages.ModelResponse) -> messages.ModelResponse:
    """A response that can be sent back: without halves of characters, and with arguments as text."""
    parts: list[messages.ModelResponsePart] = []
    for part in response.parts:
        if isinstance(part, messages.TextPart | messages.ThinkingPart):
            part = replace(part, content=encodable(part.content))
        elif isinstance(part, messages.ToolCallPart):
            said = part.args if isinstance(part.args, str) else json.dumps(part.args or {}, ensure_ascii=False)
            part = replace(part, args=encodable(said))
        parts.append(part)
    return replace(response, parts=parts)


def _outcome(work: Callable[[], Coroutine[Any, Any, Outcome]], seconds: float, failures: Failures) -> Outcome:
    """What a request came to. Its errors are explained in its own thread: an error of the caller's stays as it is."""

    async def explained() -> Outcome | ModelError | _SchemaRefused:
        try:
            return await work()
        except (ModelError, _SchemaRefused) as error:
            return error
        except Exception as error:  # noqa: BLE001 - the edge to libraries and servers that may raise anything
            return _explained(error, failures)

    try:
        outcome = wait_for(explained, seconds)
    except TookTooLong:
        raise failures.timed_out() from None
    if isinstance(outcome, (ModelError, _SchemaRefused)):
        raise outcome
    return outcome


def _failures(choice: ModelChoice, address: str) -> Failures:
    # A server that was started with a file names its model by the whole path, which is nobody else's business.
    name = choice.name.rpartition("/")[2].removesuffix(".gguf") if choice.name.startswith("/") else choice.name
    label = clean(f"{choice.provider}:{name}").replace("\n", " ").replace("\t", " ")
    return Failures(label, choice.provider, address, choice.key, choice.timeout)


def _first_model(choice: ModelChoice) -> str:
    """The name of the first model that the server lists."""
    network = _Network(choice)
    seconds = min(NAME_SECONDS, choice.timeout)
    failures = replace(_failures(choice, network.address), label=network.address, timeout=seconds)

    async def request() -> str:
        async with network.http() as http:
            listed = await network.openai(http, retries=0).models.list()
            names = [model.id for model in listed.data]
        name = names[0] if names else ""
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ModelError(f"{network.address} names no model that it has", "Name one with --model.")
        return name

    return _outcome(request, seconds, failures)


def _parameters(question: Question, enforced: bool) -> models.ModelRequestParameters:
    if enforced and question.schema is not None:
        return models.ModelRequestParameters(
            output_mode="native", output_object=OutputObjectDefinition(dict(question.schema), name="answer")
        )
    return models.ModelRequestParameters(
        function_tools=[
            ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=dict(tool.parameters))
            for tool in question.tools
        ]
    )


def _history(question: Question, *, shown: bool) -> list[messages.ModelMessage]:
    """The conversation in the library's records; the instructions belong to its last request."""
    history = [_record(message) for message in question.messages]
    last = history[-1]
    assert isinstance(last, messages.ModelRequest)
    last.instructions = question.instructions + (SHOWN_SCHEMA + json.dumps(question.schema) if shown else "")
    return history


def _record(message: Message) -> messages.ModelMessage:
    if isinstance(message, Reply):
        assert isinstance(message.original, messages.ModelResponse)
        return message.original
    if isinstance(message, Turn):
        if message.role == "assistant":
            return messages.ModelResponse(parts=[messages.TextPart(message.text)])
        return messages.ModelRequest(parts=[messages.UserPromptPart(message.text)])
    return messages.ModelRequest(
        parts=[
            messages.ToolReturnPart(tool_name=each.call.tool, content=each.text, tool_call_id=each.call.identity)
            for each in message
        ]
    )


def _refuses_schemas(error: ModelHTTPError | UserError) -> bool:
    """Whether a request may succeed without its schema: some servers know none, or not every kind of schema."""
    if isinstance(error, UserError):
        return True
    if isinstance(error, ModelQuotaExceededError) or _exceeds_context(error):
        return False
    return error.status_code in (400, 422, 501) or (error.status_code >= 500 and "grammar" in _said(error).lower())


def _exceeds_context(error: Exception) -> bool:
    """Whether the conversation is too long for the model: local servers say so in words of their own."""
    return isinstance(error, ModelContextWindowExceededError) or (
        isinstance(error, ModelHTTPError) and error.status_code in (400, 413) and bool(_CONTEXT.search(_said(error)))
    )


def _explained(error: Exception, failures: Failures) -> ModelError:
    """The one clear error for whatever the libraries raised."""
    said = _said(error)
    if isinstance(error, _Oversized):
        return failures.too_large()
    if _exceeds_context(error):
        return failures.context_exceeded(said)
    if isinstance(error, ModelQuotaExceededError):
        return failures.quota_exceeded(said)
    if (status := _status(error)) is not None:
        return failures.status(status, said)
    if isinstance(error, (ModelConnectionError, openai.APIConnectionError)):
        cause = _cause(error)
        if isinstance(cause, (httpx2.ConnectError, httpx2.ConnectTimeout)):
            return failures.unreachable(str(cause))
        if isinstance(error, (ModelTimeoutError, openai.APITimeoutError)):
            return failures.timed_out()
        return failures.broken_off(str(cause))
    if isinstance(error, ModelRequestTimeout):
        return failures.timed_out()
    if isinstance(error, (AgentRunError, openai.OpenAIError, anthropic.AnthropicError)):
        return failures.garbled(said)
    return failures.garbled(f"{type(error).__name__}: {said}")


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind an error, if it has one that is no success."""
    while error is not None:
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and status >= 300:
            return status
        error = error.__cause__
    return None


def _cause(error: BaseException) -> BaseException:
    """The first error of the connection itself below the libraries' own ones."""
    while error.__cause__ is not None and not isinstance(error, httpx2.HTTPError):
        error = error.__cause__
    return error


def _said(error: Exception) -> str:
    """The provider's own words, where it sent some."""
    body = getattr(error, "body", None)
    for _ in range(2):
        if isinstance(body, dict):
            body = body.get("error") or body.get("message") or body.get("detail") or body
    if isinstance(body, dict):
        body = body.get("message") or json.dumps(body, default=str)
    return str(body) if body else str(error)
