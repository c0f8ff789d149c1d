"""``tune`` and ``plan`` with a language model behind a real address, spoken to over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import CommandLine
from tests.llm.scripted_server import QUICKLY, Say, ScriptedServer, Status, scripted_server
from tests.strategist.scripted_model import decision, draft

SIMULATED = ("--target", "simulated")
QUICK = ("--searcher", "random", "--budget", "4", "--seed", "1", "--yes")
REQUEST = "optimize this system for a PostgreSQL database"
PLANS = ("It is PostgreSQL.", decision("postgresql-write", thought="Commits wait."), draft("vm.dirty_ratio", "made.up"))

Chosen = Callable[[ScriptedServer], None]


def say(*entries: Any) -> list[Say]:
    import json

    return [Say(entry if isinstance(entry, str) else json.dumps(entry)) for entry in entries]


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Chosen:
    """Chooses the model at a scripted server, as a user's environment does."""

    def choose(server: ScriptedServer) -> None:
        monkeypatch.setenv("KNOBCTL_LLM_BASE_URL", server.base_url)
        monkeypatch.setenv("KNOBCTL_MODEL", "scripted")

    return choose


def test_the_models_plan_runs_and_its_words_are_on_record(knobctl: CommandLine, chosen: Chosen) -> None:
    with scripted_server(say(*PLANS)) as server:
        chosen(server)
        done = knobctl("tune", REQUEST, *SIMULATED, *QUICK)
    assert done.code in (0, 3)
    for words in (
        "asking openai-compatible:scripted; -v shows what it thinks, Ctrl-C stops it",
        "openai-compatible:scripted: 3 answers, 45 tokens",
        "SIMULATED Plan: PostgreSQL (model:openai-compatible:scripted)",
        "The model: “Commits wait.”",
        "made.up: ",
    ):
        assert words in done.err
    assert "It is PostgreSQL." not in done.err
    with knobctl.store() as store:
        record = store.session("last")
        conversation = store.conversation(record.conversation)
    assert conversation.outcome == "plan by model:openai-compatible:scripted"
    assert conversation.sessions == (record.id,)
    assert [step.step for step in conversation.steps] == [
        "request", "thought", "request", "answer", "request", "answer",
    ]  # fmt: skip
    told = knobctl("report", "-v")
    assert "It is PostgreSQL." in told.out


def test_with_v_its_thoughts_are_shown(knobctl: CommandLine, chosen: Chosen) -> None:
    with scripted_server(say(*PLANS)) as server:
        chosen(server)
        done = knobctl("plan", REQUEST, *SIMULATED, "-v")
    assert "thought: It is PostgreSQL." in done.err
    assert "-v shows" not in done.err


def test_plan_as_json_names_the_model_and_what_was_dropped(knobctl: CommandLine, chosen: Chosen) -> None:
    with scripted_server(say(*PLANS)) as server:
        chosen(server)
        done = knobctl("plan", REQUEST, *SIMULATED, "--json")
    assert done.document["source"] == "model:openai-compatible:scripted"
    assert [action["param"] for action in done.document["plan"]["action_space"]] == ["vm.dirty_ratio"]
    assert done.document["dropped"][0][0] == "made.up"


def test_the_flag_stands_above_the_environment(knobctl: CommandLine, chosen: Chosen) -> None:
    with scripted_server(say(*PLANS)) as server:
        chosen(server)
        done = knobctl("plan", REQUEST, *SIMULATED, "--model", "openai-compatible:other", "--json")
    assert done.document["source"] == "model:openai-compatible:other"
    assert server.requests[0].body["model"] == "other"


def test_the_playbook_asks_nobody(knobctl: CommandLine, chosen: Chosen) -> None:
    with scripted_server([]) as server:
        chosen(server)
        done = knobctl("plan", REQUEST, *SIMULATED, "--strategist", "playbook", "--json")
    assert done.document["source"] == "playbook:postgresql-write"
    assert server.requests == []
    assert not (knobctl.state / "knobctl.db").exists()


def test_a_model_that_fails_leaves_the_plan_to_the_playbook(knobctl: CommandLine, chosen: Chosen) -> None:
    with scripted_server([Status(401, {"error": {"message": "bad key"}}, QUICKLY)]) as server:
        chosen(server)
        done = knobctl("plan", REQUEST, *SIMULATED, "--json")
    assert done.code == 0
    assert done.document["source"] == "playbook:postgresql-write"
    assert "the built-in playbook made this one" in done.document["notes"][1]
    with knobctl.store() as store:
        assert store.conversation("last").outcome == "plan by playbook:postgresql-write"


def test_a_required_model_that_fails_is_an_error(knobctl: CommandLine, chosen: Chosen) -> None:
    with scripted_server([Status(401, {"error": {"message": "bad key"}}, QUICKLY)]) as server:
        chosen(server)
        done = knobctl("tune", REQUEST, *SIMULATED, *QUICK, "--strategist", "llm")
    assert done.code == 1
    assert "knobctl: a key is needed by " in done.err
    assert "hint: " in done.err
    with knobctl.store() as store:
        assert store.sessions() == ()
        assert store.conversation("last").outcome


def test_a_required_model_has_to_be_named(knobctl: CommandLine) -> None:
    done = knobctl("plan", REQUEST, *SIMULATED, "--strategist", "llm")
    assert done.code == 2
    assert "no language model was chosen" in done.err
    assert "--model provider:name" in done.err


def test_a_model_and_the_playbook_exclude_each_other(knobctl: CommandLine) -> None:
    done = knobctl("plan", REQUEST, *SIMULATED, "--strategist", "playbook", "--model", "ollama:x")
    assert done.code == 2
    assert "the playbook needs no model" in done.err


@pytest.mark.parametrize("strategist", ["auto", "llm"])
def test_a_provider_without_a_key(knobctl: CommandLine, strategist: str) -> None:
    done = knobctl("plan", REQUEST, *SIMULATED, "--model", "openai:gpt-4o", "--strategist", strategist)
    assert done.code == (0 if strategist == "auto" else 1)
    assert "there is no key for openai" in done.err
    assert "OPENAI_API_KEY" in done.err


@pytest.mark.parametrize("name", ["gpt-4o", "nobody:gpt-4o", "openai:", "a\x1b[31mb"])
def test_a_model_that_cannot_be_meant(knobctl: CommandLine, name: str) -> None:
    done = knobctl("plan", REQUEST, *SIMULATED, "--model", name)
    assert done.code == 2
    assert "provider:name" in done.err
    assert "\x1b" not in done.err


def test_a_question_is_no_optimization(knobctl: CommandLine, chosen: Chosen) -> None:
    with scripted_server(say("A question.", decision(intent="explain", thought="They wonder."))) as server:
        chosen(server)
        done = knobctl("tune", "how does swap work?", *SIMULATED, *QUICK)
    assert done.code == 2
    assert "the request asks for an explanation: They wonder." in done.err
    assert "knobctl chat" in done.err


def test_the_models_command_never_needs_consent_it_is_refused(knobctl: CommandLine, chosen: Chosen) -> None:
    bad = draft("vm.dirty_ratio", command="/bin/sh -c 'touch /tmp/x'")
    with scripted_server(say("x", decision("postgresql-write"), bad, bad, bad)) as server:
        chosen(server)
        done = knobctl("plan", REQUEST, *SIMULATED, "--json")
    assert done.document["plan"]["benchmark_command"].startswith("pgbench ")
    assert "/bin/sh" not in done.document["plan"]["benchmark_command"]


def test_without_a_place_for_the_record_nothing_is_asked(knobctl: CommandLine, chosen: Chosen, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with scripted_server([]) as server:
        chosen(server)
        done = knobctl("plan", REQUEST, *SIMULATED)
    assert done.code == 1
    assert server.requests == []
