"""Asking a real server over HTTP, in both wire formats: thinking with tools, answers, what is sent, and limits."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Mapping
from typing import Any

import pytest

from knobctl.errors import Interrupted, ModelError, TargetError
from knobctl.llm.base import Rejected, Turn, Usage
from knobctl.llm.conversation import OBSERVATION_CHARACTERS, STEP_CHARACTERS
from tests.llm.scripted_server import QUICKLY, Call, Raw, Reply, Request, Say, Status, scripted_server
from tests.llm.talking import ANTHROPIC, COMPATIBLE, KEY, MODELS, SCHEMA, Listener, answer, connect, think, tool

GOOD = Say('{"knob": "vm.swappiness"}')


@pytest.fixture
def tell() -> Listener:
    return Listener()


# --- thinking


@pytest.mark.parametrize("model", [*MODELS, "openai:gpt-4o", "ollama:qwen3"])
def test_a_model_thinks_calls_and_observes(model: str, tell: Listener) -> None:
    script = [Call("list_knobs", {"like": "vm.*"}, text="Let me look."), Say("Swapping matters.", thought="Hm.")]
    with scripted_server(script) as server:
        assert think(connect(server, model), tell, tool()) == "Swapping matters."
    assert [
        (step.step, step.text.replace(": ", ":") if step.step == "call" else step.text, step.name)
        for step in tell.steps
    ] == [
        ("request", "What matters here?", ""),
        ("thought", "Let me look.", ""),
        ("call", '{"like":"vm.*"}', "list_knobs"),
        ("observation", "knobs like vm.*: vm.swappiness", "list_knobs"),
        ("thought", "Hm.", ""),
        ("thought", "Swapping matters.", ""),
    ]
    first, second = server.requests
    assert "You tune machines." in first.text
    assert "Lists knobs. Call it first." in json.dumps(first.body["tools"])
    assert "knobs like vm.*: vm.swappiness" in json.dumps(second.messages[-1])
    assert "response_format" not in first.body
    assert "output_config" not in first.body


@pytest.mark.parametrize("model", MODELS)
def test_half_a_character_in_a_reply_can_be_sent_back(model: str, tell: Listener) -> None:
    looks = Call("list_knobs", {"like": "vm\ud83d"}, text="Let \ud83d me look.")
    script = [looks, Say("Swap\ud83dping."), Say("No \ud83d JSON."), GOOD]
    with scripted_server(script) as server:
        connected = connect(server, model)
        assert think(connected, tell, tool()) == "Swap?ping."
        assert answer(connected, tell) == "vm.swappiness"
    assert "Let ? me look." in server.requests[1].text
    assert tell.texts("thought") == ["Let ? me look.", "Swap?ping."]


@pytest.mark.parametrize("model", MODELS)
def test_several_calls_at_once(model: str, tell: Listener) -> None:
    script = [(Call("list_knobs", {"like": "a"}), Call("list_knobs", {"like": "b"})), Say("Done.")]
    with scripted_server(script) as server:
        assert think(connect(server, model), tell, tool()) == "Done."
    assert tell.texts("observation") == ["knobs like a: vm.swappiness", "knobs like b: vm.swappiness"]
    assert "knobs like a" in server.requests[1].text
    assert "knobs like b" in server.requests[1].text


@pytest.mark.parametrize(
    ("call", "observed"),
    [
        (Call("lst_knobs", {}), "There is no tool 'lst_knobs'. There are: list_knobs."),
        (Call("list_knobs", {}), "The argument 'like' is missing. Call it again with like."),
        (Call("list_knobs", ""), "The argument 'like' is missing. Call it again with like."),
        (Call("list_knobs", '{"like": '), "The arguments are not JSON ("),
        (Call("list_knobs", "[1]"), "The arguments must be one JSON object. Call it again."),
    ],
)
def test_a_wrong_call_is_answered_with_what_is_wrong(call: Call, observed: str, tell: Listener) -> None:
    with scripted_server([call, Say("I see.")]) as server:
        assert think(connect(server), tell, tool()) == "I see."
    assert tell.texts("observation")[0].startswith(observed)
    assert observed[:30] in server.requests[1].messages[-1]["content"]
    sent_back = server.requests[1].messages[-2]["tool_calls"][0]["function"]["arguments"]
    assert isinstance(json.loads(sent_back), dict)


@pytest.mark.parametrize(
    ("error", "observed"),
    [(Rejected("no such pattern"), "no such pattern"), (TargetError("it is gone", "Look."), "it is gone Look.")],
)
def test_what_a_tool_raises_is_observed(error: Exception, observed: str, tell: Listener) -> None:
    def broken(arguments: Mapping[str, Any]) -> str:
        raise error

    with scripted_server([Call("list_knobs", {"like": "x"}), Say("I see.")]) as server:
        think(connect(server), tell, tool(broken))
    assert tell.texts("observation") == [observed]


@pytest.mark.parametrize("error", [Interrupted("SIGTERM"), KeyboardInterrupt(), ZeroDivisionError()])
def test_an_interruption_and_a_bug_in_a_tool_are_no_observation(error: BaseException, tell: Listener) -> None:
    def interrupted(arguments: Mapping[str, Any]) -> str:
        raise error

    with scripted_server([Call("list_knobs", {"like": "x"})]) as server, pytest.raises(type(error)):
        think(connect(server), tell, tool(interrupted))


def test_tools_and_steps_run_in_the_callers_thread(tell: Listener) -> None:
    threads: set[threading.Thread] = set()

    def here(arguments: Mapping[str, Any]) -> str:
        threads.add(threading.current_thread())
        return "seen"

    with scripted_server([Call("list_knobs", {"like": "x"}), Say("Done.")]) as server:
        before = threading.active_count()
        think(connect(server), tell, tool(here))
        assert "model-request" not in {thread.name for thread in threading.enumerate()}
        assert threading.active_count() <= before + 2  # the scripted server's own
    assert threads == {threading.current_thread()}


def test_a_model_that_calls_without_end_is_stopped(tell: Listener) -> None:
    with scripted_server(lambda request: Call("list_knobs", {"like": "x"}, text="Again.")) as server:
        assert think(connect(server), tell, tool()) == "\n\n".join(["Again."] * 6)
    assert len(server.requests) == 6
    assert tell.kinds[-1] == "rejected"
    assert tell.steps[-1].text.startswith("Thinking was stopped: tools called in 6 replies in a row.")


def test_a_model_that_calls_too_much_at_once_is_stopped(tell: Listener) -> None:
    many = tuple(Call("list_knobs", {"like": "x"}, text="All of them." if not n else "") for n in range(11))
    with scripted_server([many]) as server:
        assert think(connect(server), tell, tool()) == "All of them."
    assert tell.texts("observation") == []
    assert tell.steps[-1].text.startswith("Thinking was stopped: more than 10 tool calls.")


def test_thinking_may_end_without_words(tell: Listener) -> None:
    with scripted_server([Say("")]) as server:
        assert think(connect(server), tell) == ""


@pytest.mark.parametrize("model", MODELS)
def test_earlier_turns_are_sent_in_order(model: str, tell: Listener) -> None:
    history = (Turn("user", "Hello."), Turn("assistant", "Good day."))
    with scripted_server([Say("Yes.")]) as server:
        think(connect(server, model), tell, history=history)
    said = [message["role"] for message in server.requests[0].messages if message["role"] != "system"]
    assert said == ["user", "assistant", "user"]
    text = server.requests[0].text
    assert text.index("Hello.") < text.index("Good day.") < text.index("What matters here?")


@pytest.mark.parametrize("model", MODELS)
def test_no_password_that_somebody_typed_reaches_a_provider(model: str, tell: Listener) -> None:
    told = tool(lambda arguments: "past command: wrk -H 'Cookie: session=in-a-tool' http://localhost/")
    history = (Turn("user", "postgres://shop:in-history@db/shop"), Turn("assistant", "I see."))
    with scripted_server([Call("list_knobs", {"like": "x"}), Say("Yes.")]) as server:
        connect(server, model).think(
            "You tune machines.", "hey -H 'Authorization: Bearer in-the-prompt' http://localhost:8080/", tell=tell,
            tools=[told], history=history,
        )  # fmt: skip
    sent = [request.text for request in server.requests]
    assert len(sent) == 2 and "hey -H" in sent[0] and "past command" in sent[1]
    for secret in ("in-history", "in-the-prompt", "in-a-tool"):
        assert not any(secret in text for text in sent), secret


def test_reasoning_inside_the_text_is_a_thought(tell: Listener) -> None:
    with scripted_server([Say('<think>Hm, swap.</think>{"knob": "vm.swappiness"}')]) as server:
        assert answer(connect(server), tell) == "vm.swappiness"
    assert tell.texts("thought") == ["Hm, swap."]


def test_long_steps_and_observations_are_cut(tell: Listener) -> None:
    long = STEP_CHARACTERS + 5
    with scripted_server([Call("list_knobs", {"like": "x"}), Say("y" * long)]) as server:
        assert think(connect(server), tell, tool(lambda arguments: "z" * 7000)) == "y" * long
    assert tell.texts("thought") == ["y" * STEP_CHARACTERS + f"\n[cut here: {long} characters in all]"]
    observed = "z" * OBSERVATION_CHARACTERS + "\n[cut here: 7000 characters in all]"
    assert tell.texts("observation") == [observed]
    assert server.requests[1].messages[-1]["content"] == observed


# --- answers


@pytest.mark.parametrize("model", [*MODELS, "openai:gpt-4o", "ollama:qwen3"])
def test_an_answer_is_asked_with_a_schema_and_without_tools(model: str, tell: Listener) -> None:
    with scripted_server([GOOD]) as server:
        assert answer(connect(server, model), tell) == "vm.swappiness"
    assert tell.kinds == ["request", "answer"]
    body = server.requests[0].body
    assert "tools" not in body
    assert "tool_choice" not in body
    if model == ANTHROPIC:
        sent = body["output_config"]["format"]
    else:
        assert body["response_format"]["type"] == "json_schema"
        sent = body["response_format"]["json_schema"]
    assert sent["schema"] == SCHEMA


@pytest.mark.parametrize("model", MODELS)
def test_a_refused_answer_goes_back_to_the_model(model: str, tell: Listener) -> None:
    with scripted_server([Say("```json\nnonsense"), Say('{"knob": "swappiness"}'), GOOD]) as server:
        assert answer(connect(server, model), tell) == "vm.swappiness"
    assert tell.kinds == ["request", "answer", "rejected", "answer", "rejected", "answer"]
    assert tell.texts("answer")[0] == "```json\nnonsense"  # as it came
    last = server.requests[2].text
    assert last.index("nonsense") < last.index("no JSON object") < last.index("there is no knob 'swappiness'")


def test_after_the_last_attempt_the_error_holds_the_last_refusal(tell: Listener) -> None:
    script = [Say("{}"), Say('{"knob": "x"}')]
    last = "no usable answer in 2 attempts; the last problem: there is no knob 'x'"
    with scripted_server(script) as server, pytest.raises(ModelError, match=last):
        answer(connect(server), tell, attempts=2)
    assert tell.kinds[-2:] == ["rejected", "failed"]


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_that_was_cut_off_is_asked_for_again_shorter(model: str, tell: Listener) -> None:
    with scripted_server([Say('{"knob": "vm.', cut_off=True), GOOD]) as server:
        assert answer(connect(server, model), tell) == "vm.swappiness"
    assert "much shorter answer" in server.requests[1].text
    assert tell.texts("rejected") == ["The reply was too long and was cut off. Give a much shorter answer."]


@pytest.mark.parametrize("model", MODELS)
def test_an_empty_answer_is_asked_for_again(model: str, tell: Listener) -> None:
    with scripted_server([Say(""), Say(" \n"), GOOD]) as server:
        assert answer(connect(server, model), tell) == "vm.swappiness"
    assert tell.kinds == ["request", "rejected", "rejected", "answer"]
    assert [message["role"] for message in server.requests[2].messages][-2:] != ["user", "user"]
    assert "The reply was empty." in server.requests[2].text


def test_only_empty_answers_are_an_error(tell: Listener) -> None:
    with scripted_server([Say("")] * 3) as server, pytest.raises(ModelError, match="The reply was empty"):
        answer(connect(server), tell)


def without_schemas(request: Request) -> Reply:
    if "response_format" in request.body or "output_config" in request.body:
        return Status(400, {"error": {"message": "this server has no response_format"}})
    return GOOD


@pytest.mark.parametrize("model", MODELS)
def test_a_server_without_schemas_is_shown_the_schema_from_then_on(model: str, tell: Listener) -> None:
    with scripted_server(without_schemas) as server:
        connected = connect(server, model)
        assert answer(connected, tell) == answer(connected, tell) == "vm.swappiness"
    assert len(server.requests) == 3
    shown = json.dumps(json.dumps(SCHEMA))[1:-1]  # as text inside the request's own JSON
    for request in server.requests[1:]:
        assert shown in request.text
        assert "response_format" not in request.body
    assert "failed" not in tell.kinds


def test_a_grammar_that_a_server_cannot_build_is_left_out(tell: Listener) -> None:
    grammar = Status(500, {"error": {"message": "failed to parse grammar"}}, {"x-should-retry": "false"})
    with scripted_server([grammar, GOOD]) as server:
        assert answer(connect(server), tell) == "vm.swappiness"


def test_another_refusal_is_reported_and_schemas_are_tried_again(tell: Listener) -> None:
    refused = Status(400, {"error": {"message": "too many words"}})
    with scripted_server([refused, refused, GOOD]) as server:
        connected = connect(server)
        with pytest.raises(ModelError, match="too many words"):
            answer(connected, tell)
        assert answer(connected, tell) == "vm.swappiness"
    assert "response_format" in server.requests[2].body


def test_a_model_without_schemas_is_shown_one_at_once(tell: Listener) -> None:
    with scripted_server([GOOD]) as server:
        assert answer(connect(server, "ollama:gpt-oss:120b-cloud"), tell) == "vm.swappiness"
    assert "response_format" not in server.requests[0].body
    assert "It must follow this JSON Schema" in server.requests[0].text


# --- what else is sent


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        (COMPATIBLE, {"max_tokens": 2000, "temperature": 0.2}),
        ("ollama:qwen3", {"max_tokens": 2000, "temperature": 0.2}),
        ("openai:gpt-4o", {"max_completion_tokens": 2000, "temperature": 0.2}),
        ("openai:gpt-5", {"max_completion_tokens": 10000}),
        ("openai:o3", {"max_completion_tokens": 10000}),
        (ANTHROPIC, {"max_tokens": 2000, "temperature": 0.2}),
        ("anthropic:claude-opus-4-7", {"max_tokens": 2000}),
    ],
)
def test_settings_that_each_model_takes(model: str, limit: dict[str, Any], tell: Listener) -> None:
    with scripted_server([GOOD]) as server:
        answer(connect(server, model), tell)
    names = ("max_tokens", "max_completion_tokens", "temperature")
    assert {name: server.requests[0].body[name] for name in names if name in server.requests[0].body} == limit


@pytest.mark.parametrize("model", [COMPATIBLE, ANTHROPIC, "openai:gpt-4o"])
def test_the_key_goes_to_the_chosen_server(model: str, tell: Listener) -> None:
    with scripted_server([Say("Yes.")]) as server:
        think(connect(server, model), tell)
    assert KEY in " ".join(server.requests[0].headers.values())


@pytest.mark.parametrize("model", [*MODELS, "openai:gpt-4o", "ollama:qwen3", None])
def test_nothing_of_a_providers_environment_reaches_another_server(
    model: str | None, tell: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OLLAMA_API_KEY",
        "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN",
    ):  # fmt: skip
        monkeypatch.setenv(name, "of-somebody-else")
    for name in ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"):
        theirs = ("X-Corp-Token", "Authorization", "authorization", "X-API-KEY", "Host", "User-Agent", "Content-Type")
        monkeypatch.setenv(name, "\n".join(f"{each}: of-somebody-else" for each in theirs))
    with scripted_server([Say("Yes."), GOOD]) as server:
        asked = connect(server, model)
        think(asked, tell)
        answer(asked, tell)
    assert server.listings == (model is None)
    for request in server.requests:
        assert "of-somebody-else" not in " ".join(request.headers.values())
        needed = {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "user-agent"}
        known = {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "anthropic-version": "2023-06-01"}
        login = {"x-api-key", "anthropic-version"} if model == ANTHROPIC else {"authorization"}
        login = set() if model == "ollama:qwen3" else login
        more = {name: value for name, value in request.headers.items() if name not in needed}
        assert more == {name: known[name] for name in login}


def test_this_machine_is_not_reached_through_a_proxy(tell: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with scripted_server([Say("Yes.")]) as server:
        assert think(connect(server), tell) == "Yes."


# --- name, usage, limits


def test_a_model_without_a_name_is_the_servers_first(tell: Listener) -> None:
    with scripted_server([Say("Yes.")], models=("org/first", "second")) as server:
        model = connect(server, None)
        assert model.name == "openai-compatible:org/first"
        think(model, tell)
    assert server.listings == 1
    assert server.requests[0].body["model"] == "org/first"


def test_a_model_that_is_a_file_is_shown_without_its_folder(tell: Listener) -> None:
    with scripted_server([Say("Yes.")], models=("/home/somebody/models/small-q4.gguf",)) as server:
        model = connect(server, None)
        assert model.name == "openai-compatible:small-q4"
        think(model, tell)
    assert server.requests[0].body["model"] == "/home/somebody/models/small-q4.gguf"


@pytest.mark.parametrize("models", [(), ("",), ("a\x1b[31m",)])
def test_a_server_that_names_no_model(models: tuple[str, ...]) -> None:
    with scripted_server([], models=models) as server, pytest.raises(ModelError, match="names no model") as failure:
        connect(server, None)
    assert "--model" in failure.value.hint


def test_usage_adds_up(tell: Listener) -> None:
    with scripted_server([Say("One.", tokens=(100, 20)), Say("Two.", tokens=(30, 4))]) as server:
        model = connect(server)
        assert model.usage == Usage(0, 0, 0, None)
        think(model, tell)
        think(model, tell)
        assert model.usage == Usage(2, 130, 24, None)


@pytest.mark.parametrize("model", ["openai:gpt-4o", ANTHROPIC])
def test_known_prices_add_up(model: str, tell: Listener) -> None:
    with scripted_server([Say("One.", tokens=(1_000_000, 0))] * 2) as server:
        connected = connect(server, model, tokens=10_000_000)
        think(connected, tell)
        once = connected.usage.dollars
        think(connected, tell)
        assert once is not None
        assert once > 0
        assert connected.usage.dollars == pytest.approx(2 * once)


def test_an_unknown_price_is_unknown(tell: Listener) -> None:
    with scripted_server([Say("One.")]) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        model = connect(server, "openai:never-heard-of-it")
        think(model, tell)
    assert model.usage.dollars is None


def test_the_limit_of_requests(tell: Listener) -> None:
    with scripted_server([Say("One."), Status(400, "no")]) as server:
        model = connect(server, requests=2)
        think(model, tell)
        with pytest.raises(ModelError, match="refused the request"):
            think(model, tell)
        with pytest.raises(ModelError, match="the limit of 2 requests is used up") as failure:
            think(model, tell)
    assert failure.value.hint == "Raise it with [model] requests in config.toml."
    assert tell.steps[-1].step == "failed"


def test_the_limit_of_tokens(tell: Listener) -> None:
    with scripted_server([Say("One.", tokens=(90, 10))]) as server:
        model = connect(server, tokens=100)
        think(model, tell)
        with pytest.raises(ModelError, match="the limit of 100 tokens is used up") as failure:
            think(model, tell)
    assert failure.value.hint == "Raise it with [model] tokens in config.toml."


@pytest.mark.parametrize("model", MODELS)
def test_a_passing_failure_is_tried_again(model: str, tell: Listener) -> None:
    with scripted_server([Status(429, "slow", QUICKLY), Status(503, "down", QUICKLY), Say("Yes.")]) as server:
        assert think(connect(server, model), tell) == "Yes."
    assert tell.kinds == ["request", "thought"]


def test_a_body_that_holds_more_than_the_reply_needs_is_read(tell: Listener) -> None:
    reply = {
        "id": "1", "object": "chat.completion", "created": 1, "model": "m", "timings": {"prompt_ms": 1},
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
    }  # fmt: skip
    with scripted_server([Raw(json.dumps(reply).encode())]) as server:
        model = connect(server)
        assert think(model, tell) == "Yes."
    assert model.usage == Usage(1, 0, 0, None)
