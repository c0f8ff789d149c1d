from __future__ import annotations

from pathlib import Path

import pytest

from knobctl import planning
from knobctl.errors import RequestNotUnderstood
from knobctl.llm.base import LanguageModel, Usage
from knobctl.store import Store
from knobctl.strategist import TuningRequest
from knobctl.target.simulated import simulated_target
from tests.llm.listener import Listener
from tests.strategist.scripted_model import decision, draft, scripted


class Priced:
    """A model that was used."""

    name = "test:priced"

    def __init__(self, usage: Usage) -> None:
        self.usage = usage


def test_what_a_model_has_cost_in_one_line() -> None:
    def told(usage: Usage) -> str:
        model: LanguageModel = Priced(usage)  # type: ignore[assignment]
        return planning.describe_usage(model)

    assert told(Usage(3, 4000, 210, None)) == "test:priced: 3 answers, 4,210 tokens"
    assert told(Usage(1, 10, 2, 0.01234)) == "test:priced: 1 answer, 12 tokens, about $0.0123 at list price"


def test_past_sessions_of_nobody(tmp_path: Path) -> None:
    with Store(tmp_path / "knobctl.db") as store:
        assert planning.past_sessions(store, "") == ""
        assert planning.past_sessions(store, "nginx") == ""


def test_half_a_character_in_a_reply_is_no_reason_to_fail(tmp_path: Path) -> None:
    reply = '{"thought": "\\ud83d it is a question", "intent": "explain", "workload": "none"}'
    model, _ = scripted("hm \ud83d", reply)
    target = simulated_target("", seed=1)
    with Store(tmp_path / "knobctl.db") as store:
        with pytest.raises(RequestNotUnderstood) as refusal:
            planning.plan(TuningRequest("please do the thing"), target, store, model, Listener())
        assert refusal.value.message == "the request asks for an explanation: it is a question"
        assert store.conversation("last").outcome == refusal.value.message


def test_the_doubles_fit_the_contract() -> None:
    model, _ = scripted("x", decision("cpu"), draft("vm.swappiness"))
    checked: LanguageModel = model
    assert checked.think("a", "b", tell=Listener()) == "x"
