"""JSON text in, JSON text out, never an exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl import optimize_workload
from knobctl.pipeline import Settings
from knobctl.safety import Consent
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


def test_an_interruption_is_answered() -> None:
    def press(configuration: object) -> float:
        raise KeyboardInterrupt

    hill = Hill(1, press)
    assert call(json.loads(plan_for(hill).to_json()), target=SimulatedTarget(hill))["exit_code"] == 130


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
