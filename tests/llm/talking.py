"""What the tests of this room say to a model, and a place where its steps are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from knobctl.config import Config, ModelConfig
from knobctl.llm.base import LanguageModel, Rejected, Tool, Turn
from knobctl.llm.choice import choose_model
from knobctl.llm.client import open_model
from tests.llm.listener import Listener
from tests.llm.scripted_server import ScriptedServer

KEY = "sk-very-secret"
COMPATIBLE = "openai-compatible:scripted"
ANTHROPIC = "anthropic:claude-sonnet-4-6"
MODELS = (COMPATIBLE, ANTHROPIC)
SCHEMA = {
    "type": "object",
    "properties": {"knob": {"type": "string"}},
    "required": ["knob"],
    "additionalProperties": False,
}


def connect(server: ScriptedServer, model: str | None = COMPATIBLE, **limits: Any) -> LanguageModel:
    """A model at a scripted server, reached the way a user's command reaches one."""
    environ = {"KNOBCTL_LLM_BASE_URL": server.base_url}
    if model is None or not model.startswith("ollama"):
        environ["KNOBCTL_LLM_API_KEY"] = KEY
    choice = choose_model(model, environ, Config(ModelConfig(**limits)))
    assert choice is not None
    return open_model(choice)


def think(model: LanguageModel, tell: Listener, *tools: Tool, history: tuple[Turn, ...] = ()) -> str:
    return model.think("You tune machines.", "What matters here?", tell=tell, tools=tools, history=history)


def answer(model: LanguageModel, tell: Listener, **more: Any) -> str:
    return model.answer("You tune machines.", "Name a knob.", schema=SCHEMA, read=read, tell=tell, **more)


def read(text: str) -> str:
    """The knob in a reply; the only one that is taken is a sysctl."""
    try:
        knob = json.loads(text)["knob"]
    except (ValueError, KeyError, TypeError):
        raise Rejected(f"no JSON object with a knob: {text[:40]!r}") from None
    if "." not in knob:
        raise Rejected(f"there is no knob {knob!r}")
    return str(knob)


def tool(run: Any = None, name: str = "list_knobs") -> Tool:
    """A tool that needs a pattern."""

    def listed(arguments: Mapping[str, Any]) -> str:
        return f"knobs like {arguments['like']}: vm.swappiness"

    parameters = {"type": "object", "properties": {"like": {"type": "string"}}, "required": ["like"]}
    return Tool(name, "Lists knobs. Call it first.", parameters, run or listed)
