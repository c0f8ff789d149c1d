"""What a real model said to twenty requests, played again: the same words make the same plans.

``scripts/try_strategist.py --record tests/replay/strategist`` records anew. The model was one with 1.5 billion
parameters, which makes real mistakes.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from knobctl.knobs import KnobState
from knobctl.knobs.files import catalogue
from knobctl.safety import SafetyValidator
from knobctl.strategist import TuningRequest
from knobctl.strategist.model_strategist import ModelStrategist
from knobctl.target import HostFacts
from tests.llm.listener import Listener
from tests.llm.scripted_server import Raw, Status, scripted_server
from tests.llm.talking import connect

FOLDER = Path(__file__).parent.parent / "replay" / "strategist"
RECORDS = sorted(FOLDER.glob("[0-9]*.json"))


@cache
def machine() -> tuple[HostFacts, dict[str, KnobState]]:
    """The machine on which the words were recorded."""
    document = json.loads((FOLDER / "machine.json").read_text(encoding="utf-8"))
    facts = HostFacts(**{**document["facts"], "tuners": tuple(document["facts"]["tuners"])})
    return facts, {
        name: KnobState(**{**state, "paths": tuple(state["paths"]), "choices": tuple(state["choices"])})
        for name, state in document["states"].items()
    }


def reply(exchange: dict[str, Any]) -> Raw | Status:
    if exchange["status"] == 200:
        return Raw(json.dumps(exchange["reply"]).encode())
    return Status(exchange["status"], exchange["reply"])


def test_there_are_twenty() -> None:
    assert len(RECORDS) == 20


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_same_words_make_the_same_plan(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    expected = record["outcome"]
    facts, states = machine()
    with scripted_server([reply(exchange) for exchange in record["exchanges"]]) as server:
        strategist = ModelStrategist(connect(server), tell=Listener())
        proposal = strategist.propose(TuningRequest(expected["request"]), facts, states, catalogue())
    SafetyValidator(catalogue(), facts, states).validate(proposal.plan)
    assert proposal.source.partition(":")[0] == expected["source"].partition(":")[0]
    assert proposal.plan.benchmark_command == expected["command"]
    assert [action.param for action in proposal.plan.action_space] == expected["knobs"]
    assert [what for what, _ in proposal.dropped] == expected["dropped"]
