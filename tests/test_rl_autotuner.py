"""A plan file in, a result out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knobctl import run_rl_optimization
from knobctl.errors import BenchmarkBroken, ConsentMissing, PlanError
from knobctl.rl_autotuner import run_plan
from knobctl.safety import Consent
from knobctl.settings import Settings
from knobctl.store import Store
from knobctl.target.simulated import SimulatedTarget, simulated_target
from tests.commands.plans import FIVE_KEYS, plan, plan_file
from tests.env.invented import Hill, plan_for

SEVEN_KEYS = {
    "success", "workload_name", "best_reward", "best_config", "baseline_reward", "improvement", "total_episodes",
}  # fmt: skip
OWN = {
    **FIVE_KEYS,
    "benchmark_command": "./my-benchmark --fast",
    "metric_pattern": "score: ([0-9]+)",
    "reward_metric": "score",
    "direction": "maximize",
}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_plan_of_five_keys_runs(tmp_path: Path, state: Path) -> None:
    result = run_rl_optimization(
        plan_file(tmp_path, FIVE_KEYS), target=simulated_target(seed=1), settings=Settings(searcher="ppo", seed=1)
    )
    assert set(result) >= SEVEN_KEYS
    assert result["success"] and result["restored"] and result["simulated"]
    assert result["workload_name"] == "PostgreSQL OLTP"
    assert result["total_episodes"] == 4, "40 trials in episodes of 10"
    assert result["policy_updates"] == 5, "40 trials in rollouts of 8"
    assert json.loads(json.dumps(result)) == result
    with Store(state / "knobctl.db") as store:
        record = store.session(result["session_id"])
        assert (record.status, record.searcher, record.request) == ("finished", "ppo", "")
        assert sum(trial.kind == "search" for trial in store.trials(record.id)) == 40


def test_settings_choose_searcher_and_budget(tmp_path: Path) -> None:
    settings = Settings(searcher="random", budget=3, seed=1)
    result = run_rl_optimization(str(plan_file(tmp_path, FIVE_KEYS)), target=simulated_target(), settings=settings)
    assert (result["searcher"], result["policy_updates"]) == ("random", None)


def test_a_plan_that_cannot_be_read_is_an_error_and_nothing_is_stored(tmp_path: Path, state: Path) -> None:
    with pytest.raises(PlanError, match=r"cannot read the plan .*nowhere\.json: No such file or directory"):
        run_rl_optimization(tmp_path / "nowhere.json", target=simulated_target())
    with pytest.raises(PlanError, match=r"unknown key rewardmetric; did you mean reward_metric\?"):
        run_rl_optimization(plan_file(tmp_path, {**FIVE_KEYS, "rewardmetric": "x"}), target=simulated_target())
    assert not state.exists()


def test_a_command_of_the_plans_own_needs_the_callers_word(tmp_path: Path, state: Path) -> None:
    path = plan_file(tmp_path, OWN)
    settings = Settings(searcher="random", budget=2, seed=1)
    with pytest.raises(ConsentMissing):
        run_rl_optimization(path, target=simulated_target(), settings=settings)
    with pytest.raises(ConsentMissing):
        run_rl_optimization(
            path, target=simulated_target(), settings=settings, consent=Consent(command="./my-benchmark")
        )
    assert not state.exists()
    consent = Consent(command="./my-benchmark --fast")
    assert run_rl_optimization(path, target=simulated_target(), settings=settings, consent=consent)["success"]


def test_the_target_is_closed_whatever_happens() -> None:
    target = SimulatedTarget(Hill(1, lambda configuration: None))
    with pytest.raises(BenchmarkBroken):
        run_plan(plan_for(Hill(1, lambda configuration: None)), target)
    target.open("again")
    target.close()


def test_a_plan_that_was_read_already_gives_a_typed_result() -> None:
    result = run_plan(plan("null"), simulated_target("null"), Settings(searcher="random", budget=2, seed=0))
    assert result.metric == "events_per_second"
