"""The network goes away at the worst moment: the run goes on with the playbook, says so once, and never hangs."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile import invariants
from tests.hostile.case import KEY, REQUEST, Case
from tests.hostile.driving import VERBS
from tests.hostile.world import Outcome, World, speaking
from tests.llm.scripted_server import Reply, Request, Say, ScriptedServer, scripted_server

SERVER = Path(__file__).parent / "dying_server.py"
FALLEN_BACK = "the built-in playbook made this one."


@dataclass
class Address:
    """Where a model is said to be. It stands in for the scripted server of a case."""

    base_url: str
    requests: list[Request] = field(default_factory=list)

    @classmethod
    def at(cls, port: int) -> Address:
        return cls(f"http://127.0.0.1:{port}/v1")


@contextmanager
def dying(whole: int, how: str) -> Iterator[Address]:
    """A server that answers so many requests, then dies in the middle of a reply or between two of them."""
    process = subprocess.Popen([sys.executable, "-S", str(SERVER), str(whole), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Address.at(int(process.stdout.readline()))
        assert process.wait(timeout=30) == (-9 if how == "middle" else 0)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def tune(world: World, model: ScriptedServer | Address, *options: str) -> Outcome:
    from pydantic_ai.models import override_allow_model_requests

    before = world.files()
    quiet = [option for option in VERBS["tune"] if option != "-v"]
    with override_allow_model_requests(True):
        outcome = world.knobctl("tune", REQUEST, *quiet, *options, "--json", model=model)  # type: ignore[arg-type]
    port = int(model.base_url.rpartition(":")[2].removesuffix("/v1"))
    invariants.nothing_ran(outcome.seen)
    invariants.nothing_was_written(outcome.seen, world, before)
    invariants.only_the_model_was_called(outcome.seen, port)
    invariants.is_plain(outcome)
    invariants.ends_well(outcome)
    invariants.holds_no_key(world.database)
    return outcome


def went_on(outcome: Outcome, because: str) -> None:
    """The whole run was made with the playbook's plan, and one line says why."""
    assert outcome.code == 3, outcome.text
    assert outcome.document["success"] is True
    lines = outcome.err.decode().splitlines()
    warnings = [line for line in lines if line.startswith("warning:")]
    assert len(warnings) == 1, outcome.text
    assert warnings[0].startswith("warning: the language model gave no reply: ")
    assert because in warnings[0]
    assert len([line for line in lines if FALLEN_BACK in line and because in line]) == 1, outcome.text
    assert "(playbook:postgresql-write)" in outcome.err.decode()
    conversation = outcome.conversations[0]
    assert conversation.outcome == "plan by playbook:postgresql-write"
    assert [because in step.text for step in conversation.steps if step.step == "failed"] == [True]
    assert conversation.sessions == (outcome.document["session_id"],)


def test_connection_refused(world: World) -> None:
    world.limit(20.0)
    went_on(tune(world, Address.at(closed_port())), "nothing answers at http://127.0.0.1")


def test_killed_in_the_middle_of_a_reply(world: World) -> None:
    world.limit(20.0)
    with dying(1, "middle") as address:
        # The library tries again, and finds nobody there any more.
        went_on(tune(world, address), f"{address.base_url}")


def test_gone_between_two_requests(world: World) -> None:
    world.limit(20.0)
    with dying(1, "between") as address:
        outcome = tune(world, address)
    went_on(outcome, "nothing answers at http://127.0.0.1")
    kinds = [step.step for step in outcome.conversations[0].steps]
    assert kinds == ["request", "thought", "request", "failed"], "what was said before it went is kept"


def test_gone_between_two_requests_when_only_a_model_may_plan(world: World) -> None:
    world.limit(20.0)
    with dying(1, "between") as address:
        outcome = tune(world, address, "--strategist", "llm")
    assert outcome.code == 1
    assert "nothing answers at" in outcome.document["error"]
    assert outcome.document["hint"] == "Check the address and the network."
    with world.store() as store:
        assert store.sessions() == (), "nothing was run"


def test_slow_but_alive(world: World) -> None:
    world.limit(20.0)
    case = Case("slow", "server", "")
    with speaking(case, world.canary) as (fast, _):
        script = fast.next_reply

        def slowly(request: Request) -> Reply:
            time.sleep(0.2)
            return script(request)

        with scripted_server(slowly) as server:
            outcome = tune(world, server)
    assert outcome.code == 3
    assert "(model:openai-compatible:scripted)" in outcome.err.decode()
    assert "warning:" not in outcome.err.decode()


def test_slower_than_allowed(world: World) -> None:
    world.limit(0.5)
    awake = threading.Event()

    def asleep(request: Request) -> Reply:
        awake.wait(20)
        return Say("At last.")

    with scripted_server(asleep) as server:
        outcome = tune(world, server)
        awake.set()
    went_on(outcome, "no reply from openai-compatible:scripted within 0.5 s")


def test_accepts_and_says_nothing(world: World) -> None:
    world.limit(0.5)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        outcome = tune(world, Address.at(listening.getsockname()[1]))
    went_on(outcome, "within 0.5 s")


def test_speaks_another_protocol(world: World) -> None:
    world.limit(20.0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)

        def greet() -> None:
            for _ in range(3):
                connection, _address = listening.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"220 \x1b[31mmail.example ESMTP \x07\r\n" * 3)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        outcome = tune(world, Address.at(listening.getsockname()[1]))
    went_on(outcome, "http://127.0.0.1")


def test_the_key_is_sent_to_the_model_alone(world: World) -> None:
    world.limit(20.0)
    with speaking(Case("plain", "server", ""), world.canary) as (server, _):
        tune(world, server)
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    assert not any(KEY in request.text for request in server.requests)
