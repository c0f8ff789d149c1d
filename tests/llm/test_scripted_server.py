"""The scripted model itself: a script that is too short fails the test, and what hangs ends with the context."""

from __future__ import annotations

import threading
import time

import pytest

from knobctl.errors import ModelError
from tests.llm.scripted_server import Drip, Hang, Reply, Request, Say, scripted_server
from tests.llm.talking import Listener, connect, think


def test_a_script_that_is_used_up_fails_the_test() -> None:
    told = Listener()
    with pytest.raises(AssertionError, match="used up: 1 more requests"), scripted_server([]) as server:
        with pytest.raises(ModelError, match="the script is used up"):
            think(connect(server), told)
        assert len(server.requests) == 1  # without a second attempt


def test_a_script_may_be_allowed_to_run_out() -> None:
    with scripted_server([], may_run_out=True) as server, pytest.raises(ModelError, match="the script is used up"):
        think(connect(server), Listener())


def test_an_error_of_the_test_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), scripted_server([]) as server:
        with pytest.raises(ModelError):
            think(connect(server), Listener())
        raise ZeroDivisionError


def test_an_entry_may_be_a_function_of_the_request() -> None:
    def polite(request: Request) -> Reply:
        return Say(f"You said: {request.messages[-1]['content']}")

    with scripted_server([polite]) as server:
        assert think(connect(server), Listener()) == "You said: What matters here?"


@pytest.mark.parametrize("reply", [Hang(), Drip()])
def test_what_hangs_ends_with_the_context(reply: Reply) -> None:
    def ask() -> None:
        with pytest.raises(ModelError):
            think(model, Listener())

    with scripted_server(lambda request: reply) as server:
        model = connect(server, timeout=60)
        client = threading.Thread(target=ask)
        client.start()
        assert server.waiting.wait(30)
        begin = time.monotonic()
    assert time.monotonic() - begin < 30
    client.join(60)
    assert not client.is_alive()
