"""A language model that says what a test wrote down, served over real HTTP: a script in, recorded requests out.

It speaks the wire formats of OpenAI (``/v1/chat/completions``, ``/v1/models``) and Anthropic (``/v1/messages``)::

    with scripted_server([Call("list_knobs", {}), Say("Dirty pages matter.")]) as server:
        choice = choose_model("openai-compatible:scripted", {"KNOBCTL_LLM_BASE_URL": server.base_url}, Config())
        model = open_model(choice)
        ...
    assert server.requests[0].body["tools"]

Each request for words takes the next entry of the script. An entry is a :data:`Reply`, a tuple of :class:`Call` for
several calls at once, or a function of the request that returns one of these. One function in place of the script
answers every request. A script that is used up answers 500, and the test fails when the context closes, unless
``may_run_out`` allows it. The clients' libraries try again after 429, 5xx and broken connections, so a script needs
three of these in a row for an error to come through; ``QUICKLY`` are headers that keep their waits short.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

QUICKLY = {"retry-after-ms": "1"}


@dataclass(frozen=True)
class Say:
    """Words. ``thought`` is reasoning beside them; ``cut_off`` says that they were stopped by the token limit."""

    text: str
    thought: str = ""
    cut_off: bool = False
    tokens: tuple[int, int] = (10, 5)


@dataclass(frozen=True)
class Call:
    """A tool call. ``arguments`` as text is sent as it is, and may be broken; ``text`` is said beside it."""

    tool: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class Refuse:
    """The provider's filter stops the reply."""

    text: str = "I cannot help with that."


@dataclass(frozen=True)
class Status:
    """An HTTP error. A ``body`` that is no text is sent as JSON."""

    code: int
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Exactly these bytes as the body of a success."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass(frozen=True)
class Drop:
    """The connection ends after this many bytes of a reply that promised more."""

    after_bytes: int = 40


@dataclass(frozen=True)
class Drip:
    """An endless reply, one byte at a time."""

    seconds_between_bytes: float = 0.05


@dataclass(frozen=True)
class Hang:
    """The request is read and never answered."""


@dataclass(frozen=True)
class Huge:
    """A reply of this size."""

    megabytes: int = 3


@dataclass(frozen=True)
class Request:
    """One request for words, as it arrived. ``headers`` has lower-case names."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation as it was sent, in the wire's own form."""
        return list(self.body["messages"])

    @property
    def text(self) -> str:
        """Everything that was sent, as JSON text: good for ``in``."""
        return json.dumps(self.body, ensure_ascii=False)


Reply = Say | Call | tuple[Call, ...] | Refuse | Status | Raw | Drop | Drip | Hang | Huge
Entry = Reply | Callable[[Request], Reply]
Script = Sequence[Entry] | Callable[[Request], Reply]


class ScriptedServer:
    """A running server.

    Attributes:
        base_url: For OpenAI's format, with ``/v1``; it serves Anthropic's clients too.
        requests: Every request for words so far.
        listings: How often the models were asked for.
        models: What it says that it has.
        waiting: Set while a reply hangs or drips: a test that interrupts waits for this first.
    """

    def __init__(self, script: Script, models: Sequence[str]) -> None:
        self.requests: list[Request] = []
        self.listings = 0
        self.models = tuple(models)
        self.waiting = threading.Event()
        self.closing = threading.Event()
        self.unanswered = 0
        self._script = script
        self._lock = threading.Lock()
        self._taken = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = False  # so that closing waits for every handler
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.base_url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends what hangs and drips, then waits for all threads."""
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def next_reply(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            if callable(self._script):
                entry: Entry = self._script
            elif self._taken < len(self._script):
                entry = self._script[self._taken]
                self._taken += 1
            else:
                self.unanswered += 1
                return Status(500, "the script is used up", {"x-should-retry": "false"})
        return entry(request) if callable(entry) else entry


@contextlib.contextmanager
def scripted_server(
    script: Script, *, models: Sequence[str] = ("scripted",), may_run_out: bool = False
) -> Iterator[ScriptedServer]:
    """Serves a script on 127.0.0.1 while the context is open, and allows requests to models meanwhile.

    Args:
        script: What the model says, in order; or one function for every request.
        models: The names at ``/v1/models``.
        may_run_out: A request after the last entry is no failure of the test.

    Raises:
        AssertionError: When the context closes: there were more requests than entries.
    """
    from pydantic_ai.models import override_allow_model_requests

    server = ScriptedServer(script, models)
    server.start()
    try:
        with override_allow_model_requests(True):
            yield server
    finally:
        server.close()
    if server.unanswered and not may_run_out:
        raise AssertionError(f"the script was used up: {server.unanswered} more requests came than it has entries")


# --- the wire


def _handler_of(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_GET(self) -> None:
            server.listings += 1
            listed = [{"id": name, "object": "model", "created": 0, "owned_by": "test"} for name in server.models]
            self._send(200, json.dumps({"object": "list", "data": listed}).encode(), {})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with contextlib.suppress(ConnectionError, TimeoutError):
                request = Request(self.path, headers, json.loads(content))
                self._play(server.next_reply(request), request.body.get("model", ""))

        def _play(self, reply: Reply, model: str) -> None:
            if isinstance(reply, Status):
                body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
                self._send(reply.code, body.encode(), reply.headers)
            elif isinstance(reply, Raw):
                self._send(200, reply.body, reply.headers)
            elif isinstance(reply, Drop):
                self._head(200, {"Content-Length": "100000"})
                self.wfile.write(b"{" + b" " * (reply.after_bytes - 1))
            elif isinstance(reply, Hang):
                server.waiting.set()
                server.closing.wait()
                self.close_connection = True
            elif isinstance(reply, Drip):
                self._head(200, {})
                server.waiting.set()
                while not server.closing.wait(reply.seconds_between_bytes):
                    self.wfile.write(b" ")
            elif isinstance(reply, Huge):
                self._head(200, {"Content-Length": str(reply.megabytes * 1_000_000)})
                for _ in range(reply.megabytes * 10):
                    self.wfile.write(b" " * 100_000)
            else:
                dialect = _anthropic if self.path.endswith("/messages") else _openai
                self._send(200, json.dumps({**dialect(reply), "model": model}).encode(), {})

        def _send(self, code: int, body: bytes, headers: Mapping[str, str]) -> None:
            self._head(code, {"Content-Length": str(len(body)), **headers})
            self.wfile.write(body)

        def _head(self, code: int, headers: Mapping[str, str]) -> None:
            self.send_response(code)
            for name, value in {"Content-Type": "application/json", **headers, "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = True

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler


def _calls_of(reply: Say | Call | tuple[Call, ...] | Refuse) -> tuple[Call, ...]:
    if isinstance(reply, Call):
        return (reply,)
    return reply if isinstance(reply, tuple) else ()


def _words_of(reply: Say | Call | tuple[Call, ...] | Refuse) -> str:
    return " ".join(call.text for call in reply if call.text) if isinstance(reply, tuple) else reply.text


def _tokens_of(reply: Say | Call | tuple[Call, ...] | Refuse) -> tuple[int, int]:
    return reply.tokens if isinstance(reply, Say) else (10, 5)


def _openai(reply: Say | Call | tuple[Call, ...] | Refuse) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": _words_of(reply) or None}
    finish = "stop"
    if isinstance(reply, Refuse):
        message = {"role": "assistant", "content": None, "refusal": reply.text}
    if isinstance(reply, Say) and reply.thought:
        message["reasoning_content"] = reply.thought
    if isinstance(reply, Say) and reply.cut_off:
        finish = "length"
    if calls := _calls_of(reply):
        finish = "tool_calls"
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {
                    "name": call.tool,
                    "arguments": call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments),
                },
            }
            for number, call in enumerate(calls)
        ]
    asked, said = _tokens_of(reply)
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
    }  # fmt: skip


def _anthropic(reply: Say | Call | tuple[Call, ...] | Refuse) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    stop = "end_turn"
    if isinstance(reply, Say) and reply.thought:
        content.append({"type": "thinking", "thinking": reply.thought, "signature": "sig"})
    if words := _words_of(reply):
        content.append({"type": "text", "text": words})
    if isinstance(reply, Refuse):
        stop = "refusal"
    if isinstance(reply, Say) and reply.cut_off:
        stop = "max_tokens"
    for number, call in enumerate(_calls_of(reply)):
        stop = "tool_use"
        arguments = json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
        content.append({"type": "tool_use", "id": f"toolu_{number}", "name": call.tool, "input": arguments})
    asked, said = _tokens_of(reply)
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "content": content,
        "stop_reason": stop, "stop_sequence": None, "usage": {"input_tokens": asked, "output_tokens": said},
    }  # fmt: skip
