"""JSON text in, JSON text out, never an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl import optimize_workload
from knobctl.errors import Interrupted
from knobctl.events import Event, SessionEnded, SessionStarted
from knobctl.knobs import Value
from knobctl.safety import Consent
from knobctl.settings import Settings
from knobctl.store import Store
from knobctl.target.base import HostFacts
from knobctl.target.simulated import SimulatedTarget, simulated_target
from tests.commands.plans import FIVE_KEYS
from tests.env.invented import Hill, bell, plan_for
from tests.test_rl_autotuner import OWN, SEVEN_KEYS

QUICK = Settings(searcher="random", budget=3, seed=1)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def call(document: dict[str, Any], **options: Any) -> dict[str, Any]:
    options = {"target": simulated_target(), "settings": QUICK, **options}
    answer: dict[str, Any] = json.loads(optimize_workload(json.dumps(document), **options))
    return answer


def test_a_plan_of_five_keys_runs() -> None:
    answer = call(FIVE_KEYS)
    assert set(answer) >= SEVEN_KEYS
    assert answer["success"] is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the plan is empty"),
        ("optimize it", "the plan is not JSON"),
        ("[]", "a plan is a JSON object, not []"),
        ('{"workload_name": "x"}', "missing key reward_metric"),
        (json.dumps({**FIVE_KEYS, "action_space": [{"param": "vm.nothing"}]}), "vm.nothing"),
        (json.dumps({**FIVE_KEYS, "reward_metric": "beauty"}), "beauty"),
    ],
)
def test_what_cannot_run_is_answered_with_a_reason_and_a_hint(text: str, words: str, state: Path) -> None:
    answer = json.loads(optimize_workload(text, target=simulated_target()))
    assert set(answer) == {"success", "error", "hint", "exit_code"}
    assert (answer["success"], answer["exit_code"]) == (False, 2)
    assert words in answer["error"]
    assert answer["hint"]
    assert not state.exists()


@given(st.text(max_size=60))
def test_no_text_is_an_exception(text: str) -> None:
    answer = json.loads(optimize_workload(text, target=simulated_target()))
    assert answer["success"] is False
    assert answer["exit_code"] == 2


def test_consent_is_the_callers_own_and_word_for_word() -> None:
    assert call(OWN)["exit_code"] == 2
    assert call(OWN, consent=Consent(command="./my-benchmark"))["exit_code"] == 2
    assert call(OWN, consent=Consent(command=OWN["benchmark_command"]))["success"]


def test_a_run_that_fails_is_answered_with_its_exit_code() -> None:
    hill = Hill(1, lambda configuration: None)
    answer = call(json.loads(plan_for(hill).to_json()), target=SimulatedTarget(hill))
    assert (answer["success"], answer["exit_code"]) == (False, 1)
    assert answer["error"].startswith("the benchmark fails at the default configuration: ")


INTERRUPTED = {
    "success": False, "error": "interrupted; the machine was restored", "hint": "", "exit_code": 130,
}  # fmt: skip


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), Interrupted("interrupted by SIGTERM")])
def test_an_interruption_is_answered(interruption: BaseException) -> None:
    def press(configuration: Mapping[str, Value]) -> float:
        raise interruption

    hill = Hill(1, press)
    target = SimulatedTarget(hill)
    before = target.probe()
    assert call(json.loads(plan_for(hill).to_json()), target=target) == INTERRUPTED
    assert target.probe() == before


class Pressed(SimulatedTarget):
    """A target that somebody interrupts before the run begins."""

    def facts(self) -> HostFacts:
        raise KeyboardInterrupt


def test_an_interruption_before_the_run_is_answered() -> None:
    assert call(FIVE_KEYS, target=Pressed(Hill(1, bell))) == INTERRUPTED


# --- what is no text


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "the plan is not JSON text but NoneType"),
        (json.dumps(FIVE_KEYS).encode(), "the plan is not JSON text but bytes"),
        (FIVE_KEYS, "the plan is not JSON text but dict"),
        ('{"workload_name": "\udcff"}', "the plan is not UTF-8 text"),
        (json.dumps({**FIVE_KEYS, "workload_name": "\ud800"}), "workload_name"),
        ("x" * 10_000_000, "the plan has 10000000 bytes, more than 1000000"),
        ("[" * 900_000, "the plan is nested too deeply"),
    ],
)
def test_what_is_no_plan_text_is_answered(config: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = optimize_workload(config, target=simulated_target())
    answer = json.loads(text)
    assert text.isascii() and len(text) < 2000
    assert words in answer["error"]
    assert (answer["success"], answer["exit_code"]) == (False, 2)
    assert answer["hint"]
    assert capsys.readouterr().err == "", "nothing of this is a defect"


# --- what the user approved


def test_the_approved_text_runs() -> None:
    assert call(FIVE_KEYS, approved=json.dumps(FIVE_KEYS))["success"] is True


@pytest.mark.parametrize(
    "approved",
    [
        "",
        json.dumps(FIVE_KEYS) + "\n",
        json.dumps(FIVE_KEYS, indent=2),
        json.dumps({**FIVE_KEYS, "workload_name": "PostgreSQL  OLTP"}),
        json.dumps(FIVE_KEYS).replace("O", "\N{GREEK CAPITAL LETTER OMICRON}", 1),
        json.dumps(FIVE_KEYS).encode(),
    ],
)
def test_any_other_text_than_the_approved_one_is_refused_before_it_is_read(approved: Any, state: Path) -> None:
    answer = call(FIVE_KEYS, approved=approved, target=Unexpected(Hill(1, bell)))
    assert answer == {
        "success": False,
        "error": "this is not the plan that was approved",
        "hint": "Run the approved text as it is, or show the user this one and ask again.",
        "exit_code": 2,
    }
    assert not state.exists()
    assert json.loads(optimize_workload("no plan at all", approved="x"))["error"] == answer["error"]


def test_an_approval_does_not_replace_the_validator() -> None:
    bad = {**FIVE_KEYS, "action_space": [{"param": "kernel.panic"}]}
    answer = call(bad, approved=json.dumps(bad))
    assert (answer["success"], answer["exit_code"]) == (False, 2)
    assert "kernel.panic" in answer["error"]


# --- for a caller that shows what happens


def test_events_words_and_conversation_reach_the_view_and_the_record(state: Path) -> None:
    with Store(state / "knobctl.db") as store:
        conversation = store.begin_conversation("make it fast", "m")
    events: list[Event] = []
    answer = call(FIVE_KEYS, emit=events.append, request="make it fast", conversation=conversation)
    assert isinstance(events[0], SessionStarted)
    assert events[0].session == answer["session_id"]
    assert events[-1] == SessionEnded(answer)
    with Store(state / "knobctl.db") as store:
        record = store.session(answer["session_id"])
        assert (record.request, record.conversation) == ("make it fast", conversation)
        assert store.conversation(conversation).sessions == (record.id,)


def test_a_number_that_json_does_not_have_is_null() -> None:
    runs = iter(range(1_000_000))

    def wild(configuration: Mapping[str, Value]) -> float:
        return 1e300 if next(runs) % 2 else 1e-300

    settings = Settings(searcher="random", budget=3, seed=1, force=True)
    text = optimize_workload(
        plan_for(Hill(1, wild)).to_json(), target=SimulatedTarget(Hill(1, wild)), settings=settings
    )
    answer = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert answer["noise_percent"] is None, "it is infinite"


class Unexpected(SimulatedTarget):
    """A target with a defect."""

    def facts(self) -> HostFacts:
        raise ZeroDivisionError("no such thing")


def test_a_defect_is_answered_and_its_traceback_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(FIVE_KEYS, target=Unexpected(Hill(1, bell)))
    assert answer == {
        "success": False, "error": "unexpected ZeroDivisionError: no such thing", "hint": "", "exit_code": 1,
    }  # fmt: skip
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert captured.out == ""
