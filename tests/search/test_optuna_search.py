"""Optuna's samplers: the contract, and that the ones with a model use it."""

from __future__ import annotations

from statistics import fmean

import optuna
import pytest

from knobctl.env import OSTuningEnv
from knobctl.safety import SafeSuggestion
from knobctl.search.registry import make_searcher
from knobctl.search.session import run_search
from tests.env.invented import bell, env_for
from tests.search.contract import SearcherContract


class TestTPEContract(SearcherContract):
    name = "tpe"


class TestRandomContract(SearcherContract):
    name = "random"


class TestCMAESContract(SearcherContract):
    name = "cmaes"


@pytest.mark.long  # its model takes half a second per trial
class TestGPContract(SearcherContract):
    name = "gp"


def scores(env: OSTuningEnv) -> list[float]:
    return [trial.score for trial in env.bench.trials if trial.kind == "search" and trial.score is not None]


@pytest.mark.parametrize("name", ["tpe", "cmaes", pytest.param("gp", marks=pytest.mark.long)])
def test_a_model_is_better_than_chance(name: str) -> None:
    def last_fifteen(searcher: str) -> float:
        env = env_for(bell, 2, noise=0.02, total_timesteps=45)
        run_search(env, make_searcher(searcher, env.plan.plan.training_config, seed=0))
        return fmean(scores(env)[-15:])

    assert last_fifteen(name) > last_fifteen("random") + 100


def test_suggestions_are_told_to_the_model() -> None:
    def first_choice(suggested: list[int]) -> object:
        env = env_for(bell, 1, total_timesteps=14)
        suggestions = [SafeSuggestion({"demo.k0": value}) for value in suggested]
        run_search(env, make_searcher("tpe", env.plan.plan.training_config, seed=4), suggestions)
        return next(trial.configuration for trial in env.bench.trials if trial.kind == "search")

    assert first_choice([650, 700, 710, 10, 20, 30, 40, 50]) != first_choice([10, 20, 30, 40, 50, 650, 60, 70])


def test_optunas_own_messages_are_silenced_and_back_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    verbosity = optuna.logging.get_verbosity()
    env = env_for(total_timesteps=5)
    run_search(env, make_searcher("cmaes", env.plan.plan.training_config))
    assert capsys.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity


def test_no_policy_means_no_count_of_updates() -> None:
    env = env_for(total_timesteps=2)
    assert run_search(env, make_searcher("random", env.plan.plan.training_config)).policy_updates is None
