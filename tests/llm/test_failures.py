"""Everything that can go wrong on the way to a model, and the words for it. Nothing hangs, nothing shows the key."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from knobctl.config import Config
from knobctl.errors import Interrupted, ModelError
from knobctl.llm.choice import choose_model
from knobctl.llm.client import open_model
from knobctl.llm.failures import MOST_WORDS
from tests.llm.scripted_server import (
    QUICKLY,
    Call,
    Drip,
    Drop,
    Hang,
    Huge,
    Raw,
    Refuse,
    Reply,
    Say,
    Status,
    scripted_server,
)
from tests.llm.talking import ANTHROPIC, COMPATIBLE, KEY, MODELS, Listener, answer, connect, think, tool

LONG_SECONDS = 60  # far more than a cancelled request may take, on a machine that is busy


@pytest.fixture
def tell() -> Listener:
    return Listener()


def failure(model: str, reply: Reply, tell: Listener, times: int = 1, **limits: float) -> ModelError:
    """What thinking fails with when the server gives this reply; told as the last step, and without the key."""
    with scripted_server([reply] * times) as server, pytest.raises(ModelError) as raised:
        think(connect(server, model, **limits), tell, tool())
    assert (tell.steps[-1].step, tell.steps[-1].text) == ("failed", raised.value.message)
    assert len(server.requests) == times
    everything = f"{raised.value!r} {raised.value.message} {raised.value.hint} {tell.steps}"
    assert KEY not in everything
    assert "\n" not in raised.value.message
    assert raised.value.hint
    assert raised.value.__cause__ is None
    return raised.value


def openai_error(message: str, code: str = "") -> dict[str, dict[str, str]]:
    return {"error": {"message": message, "code": code, "type": code}}


# --- what a server answers


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key(model: str, code: int, tell: Listener) -> None:
    error = failure(model, Status(code, openai_error(f"Incorrect API key: {KEY}")), tell)
    assert "the key was refused" in error.message
    assert "Incorrect API key: [the key]" in error.message
    assert ("ANTHROPIC_API_KEY" if model == ANTHROPIC else "KNOBCTL_LLM_API_KEY") in error.hint


def test_a_missing_key(tell: Listener) -> None:
    error = failure("ollama:qwen3", Status(401, "no"), tell)
    assert "a key is needed" in error.message
    assert "KNOBCTL_LLM_API_KEY" in error.hint


@pytest.mark.parametrize(
    ("model", "name", "hint"),
    [
        (COMPATIBLE, "scripted", "--model"),
        (ANTHROPIC, "claude-sonnet-4-6", "--model"),
        ("ollama:qwen3:8b", "qwen3:8b", "ollama pull qwen3:8b"),
    ],
)
def test_a_model_that_is_not_there(model: str, name: str, hint: str, tell: Listener) -> None:
    error = failure(model, Status(404, openai_error("not found")), tell)
    assert f"has no model {name!r} (404)" in error.message
    assert hint in error.hint


@pytest.mark.parametrize("model", MODELS)
def test_a_rate_limit_that_stays(model: str, tell: Listener) -> None:
    error = failure(model, Status(429, openai_error("Rate limit reached"), QUICKLY), tell, times=3)
    assert "asks to slow down (429): Rate limit reached" in error.message
    assert "Wait" in error.hint


def test_an_account_without_quota(tell: Listener) -> None:
    body = openai_error("You exceeded your current quota", "insufficient_quota")
    error = failure("openai:gpt-4o", Status(429, body, QUICKLY), tell, times=3)
    assert "the account at openai has no quota left" in error.message
    assert "payments" in error.hint


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("code", [500, 502, 503])
def test_a_server_that_fails(model: str, code: int, tell: Listener) -> None:
    error = failure(model, Status(code, openai_error("out of memory"), QUICKLY), tell, times=3)
    assert f"failed ({code}): out of memory" in error.message


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (COMPATIBLE, openai_error("maximum context length is 4096 tokens", "context_length_exceeded")),
        (COMPATIBLE, openai_error("the request exceeds the available context size (4096 tokens)")),
        ("ollama:qwen3", {"error": "input length exceeds context length"}),
        (ANTHROPIC, {"error": {"type": "invalid_request_error", "message": "prompt is too long: 300000 tokens"}}),
    ],
)
def test_a_context_window_that_is_too_small(model: str, body: object, tell: Listener) -> None:
    error = failure(model, Status(400, body), tell)
    assert "does not fit into the context window" in error.message
    assert "larger context window" in error.hint


@pytest.mark.parametrize("model", MODELS)
def test_a_request_that_is_refused_is_not_repeated(model: str, tell: Listener) -> None:
    assert (
        "refused the request (400): no tools here"
        in failure(model, Status(400, openai_error("no tools here")), tell).message
    )


@pytest.mark.parametrize("model", MODELS)
def test_a_redirection_is_not_followed(model: str, tell: Listener) -> None:
    error = failure(model, Status(307, "", {"Location": "http://127.0.0.1:9/elsewhere"}), tell)
    assert "points to another address (307)" in error.message


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": 3, "content": 3}',
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_reply_that_is_none(model: str, body: bytes, tell: Listener) -> None:
    error = failure(model, Raw(body), tell)
    assert "is not that of a language model" in error.message
    assert "Check the address." in error.hint


@pytest.mark.parametrize("model", MODELS)
def test_a_web_page(model: str, tell: Listener) -> None:
    error = failure(model, Raw(b"<html>Welcome</html>", {"Content-Type": "text/html"}), tell)
    assert "is not that of a language model" in error.message


def test_a_compressed_reply_is_not_unpacked(tell: Listener) -> None:
    error = failure(COMPATIBLE, Raw(b"\x1f\x8b", {"Content-Encoding": "gzip"}), tell)
    assert "compressed" in error.message


@pytest.mark.parametrize("model", MODELS)
def test_a_refusal_of_the_providers_filter(model: str, tell: Listener) -> None:
    assert "refused to answer" in failure(model, Refuse("Not that."), tell).message


@pytest.mark.parametrize("model", MODELS)
def test_a_reply_that_is_too_large(model: str, tell: Listener) -> None:
    assert "is larger than 2 MB and was not read" in failure(model, Huge(3), tell).message


def test_a_providers_words_are_cleaned_and_cut(tell: Listener) -> None:
    said = "\x1b[31mred\x1b[0m\r\n\u202eword " * 100
    error = failure(COMPATIBLE, Status(400, openai_error(said)), tell)
    words = error.message.split(": ", 1)[1]
    assert words.startswith("red word red word")
    assert words.isprintable()
    assert len(words) == MOST_WORDS


def test_an_answer_fails_with_the_same_words(tell: Listener) -> None:
    with scripted_server([Status(401, "no")]) as server, pytest.raises(ModelError, match="the key was refused"):
        answer(connect(server), tell)
    assert tell.kinds == ["request", "failed"]


# --- connections


def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def unreachable(address: str, tell: Listener, model: str = COMPATIBLE) -> ModelError:
    with scripted_server([]):  # allows requests
        choice = choose_model(model, {"KNOBCTL_LLM_BASE_URL": address}, Config())
        assert choice is not None
        with pytest.raises(ModelError) as raised:
            think(open_model(choice), tell)
    assert tell.steps[-1].text == raised.value.message
    return raised.value


def test_nothing_answers(tell: Listener) -> None:
    address = nobody()
    error = unreachable(address, tell, "ollama:qwen3")
    assert f"nothing answers at {address}: is the server running?" in error.message
    assert "ollama serve" in error.hint


def test_a_host_that_does_not_exist(tell: Listener) -> None:
    error = unreachable("http://no-such-host.invalid/v1", tell)
    assert "nothing answers at http://no-such-host.invalid/v1" in error.message


def test_a_server_that_speaks_no_tls(tell: Listener) -> None:
    with scripted_server([]) as server:
        error = unreachable(server.base_url.replace("http:", "https:"), tell)
    assert "nothing answers at https://127.0.0.1" in error.message


def test_nobody_to_ask_for_a_name() -> None:
    choice = choose_model(None, {"KNOBCTL_LLM_BASE_URL": nobody()}, Config())
    assert choice is not None
    with pytest.raises(ModelError, match=r"nothing answers at .*: is the server running"):
        open_model(choice)


@pytest.mark.parametrize("model", MODELS)
def test_a_server_that_dies_while_it_replies(model: str, tell: Listener) -> None:
    assert "broke off its reply" in failure(model, Drop(), tell, times=3).message


def test_a_connection_that_breaks_once_is_tried_again(tell: Listener) -> None:
    with scripted_server([Drop(), Say("Yes.")]) as server:
        assert think(connect(server), tell) == "Yes."


def test_requests_are_blocked_in_a_test_without_a_scripted_server(tell: Listener) -> None:
    choice = choose_model(COMPATIBLE, {"KNOBCTL_LLM_BASE_URL": nobody()}, Config())
    assert choice is not None
    with pytest.raises(ModelError, match="Model requests are not allowed"):
        think(open_model(choice), tell)


# --- time


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("reply", [Hang(), Drip()])
def test_a_request_ends_with_its_time(model: str, reply: Reply, tell: Listener) -> None:
    with scripted_server(lambda request: reply) as server, pytest.raises(ModelError) as raised:
        think(connect(server, model, timeout=0.4), tell)
    assert raised.value.message == f"no reply from {model} within 0.4 s"
    assert "[model] timeout" in raised.value.hint
    assert tell.steps[-1].step == "failed"


def test_a_long_pause_that_a_server_asks_for_ends_with_the_time(tell: Listener) -> None:
    slow = Status(429, "slow", {"Retry-After": "60"})
    with scripted_server([slow]) as server, pytest.raises(ModelError, match=r"no reply from .* within 0.5 s"):
        think(connect(server, timeout=0.5), tell)


# --- interruptions of the caller


@pytest.fixture
def terminated() -> Iterator[None]:
    """SIGUSR1 raises, the way knobctl's own handlers do."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted("interrupted by SIGUSR1")

    before = signal.signal(signal.SIGUSR1, stop)
    yield
    signal.signal(signal.SIGUSR1, before)


def interrupt(waiting: threading.Event, number: int) -> threading.Thread:
    """A thread that sends this process a signal as soon as the server waits."""

    def send() -> None:
        waiting.wait(LONG_SECONDS)
        time.sleep(0.05)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("reply", [Hang(), Drip()])
@pytest.mark.parametrize(("number", "error"), [(signal.SIGUSR1, Interrupted), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_ends_a_request_at_once(
    model: str, reply: Reply, number: int, error: type[BaseException], tell: Listener, terminated: None
) -> None:
    with scripted_server([reply]) as server:
        connected = connect(server, model, timeout=10 * LONG_SECONDS)
        sender = interrupt(server.waiting, number)
        begin = time.monotonic()
        with pytest.raises(error):
            think(connected, tell)
        assert time.monotonic() - begin < LONG_SECONDS
        sender.join()
        assert "model-request" not in {thread.name for thread in threading.enumerate()}
    assert tell.kinds == ["request"]


def test_an_interrupted_model_can_be_asked_again(tell: Listener, terminated: None) -> None:
    with scripted_server([Hang(), Call("list_knobs", {"like": "x"}), Say("Yes.")]) as server:
        model = connect(server)
        sender = interrupt(server.waiting, signal.SIGUSR1)
        with pytest.raises(Interrupted):
            think(model, tell)
        sender.join()
        assert think(model, tell, tool()) == "Yes."
