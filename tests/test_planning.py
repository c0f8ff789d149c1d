from __future__ import annotations

from pathlib import Path

from knobctl import planning
from knobctl.llm.base import LanguageModel, Usage
from knobctl.store import Store
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


def test_the_doubles_fit_the_contract() -> None:
    model, _ = scripted("x", decision("cpu"), draft("vm.swappiness"))
    checked: LanguageModel = model
    assert checked.think("a", "b", tell=Listener()) == "x"
