"""What every searcher does. A searcher's test class inherits from :class:`SearcherContract` and names it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import pytest

from knobctl.env import OSTuningEnv
from knobctl.errors import SafetyStop
from knobctl.knobs import Value
from knobctl.safety import SafeSuggestion
from knobctl.search.base import BudgetedEnv, SearchOver, SearchSummary
from knobctl.search.registry import make_searcher
from knobctl.search.session import run_search
from tests.env.invented import bell, env_for, number


def fails_often(configuration: Mapping[str, Value]) -> float | None:
    return None if number(configuration) > 400 else 1000.0 + number(configuration)


class Watched(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Remembers every action that reaches the environment."""

    def __init__(self, env: OSTuningEnv) -> None:
        super().__init__(env)
        self.actions: list[np.ndarray] = []  # type: ignore[type-arg]

    def step(self, action: Any) -> Any:
        self.actions.append(np.array(action))
        return super().step(action)


class SearcherContract:
    """Inherit, name the class ``Test...``, and set :attr:`name`."""

    name: str

    def play(self, env: OSTuningEnv, seed: int = 0) -> SearchSummary:
        return run_search(env, make_searcher(self.name, env.plan.plan.training_config, seed))

    def test_it_has_the_name_under_which_it_is_known(self) -> None:
        env = env_for()
        assert make_searcher(self.name, env.plan.plan.training_config).name == self.name

    @pytest.mark.parametrize("budget", [1, 13])
    def test_it_plays_the_budget_and_never_more(self, budget: int) -> None:
        env = env_for(total_timesteps=budget)
        self.play(env)
        assert env.played == budget
        assert sum(trial.kind == "search" for trial in env.bench.trials) == budget

    @pytest.mark.parametrize("knobs", [1, 20])
    def test_all_actions_are_in_the_box(self, knobs: int) -> None:
        env = env_for(knobs=knobs, total_timesteps=12, noise=0.05)
        budgeted = BudgetedEnv(env)
        watched = Watched(env)
        budgeted.env = watched
        budgeted.reset()
        with contextlib.suppress(SearchOver):
            make_searcher(self.name, env.plan.plan.training_config, seed=1).play(budgeted)
        assert len(watched.actions) == 12
        assert all(env.action_space.contains(action) for action in watched.actions)
        assert len({action.tobytes() for action in watched.actions}) > 6

    def test_same_seed_same_search(self) -> None:
        def configurations(seed: int) -> list[Mapping[str, Value]]:
            env = env_for(knobs=3, total_timesteps=14, noise=0.05, n_steps=4)
            self.play(env, seed)
            return [trial.configuration for trial in env.bench.trials]

        assert configurations(5) == configurations(5)
        assert configurations(5) != configurations(6)

    def test_it_lives_with_failures(self) -> None:
        env = env_for(fails_often, knobs=2, total_timesteps=16, n_steps=4)
        self.play(env)
        searched = [trial for trial in env.bench.trials if trial.kind == "search"]
        failed = [trial for trial in searched if trial.score is None]
        assert len(searched) == 16
        assert 0 < len(failed) < 16
        assert sum(trial.kind == "canary" for trial in env.bench.trials) == len(failed)

    def test_the_time_may_run_out_at_any_trial(self) -> None:
        env = env_for(total_timesteps=20, n_steps=4)
        env.reset()
        # A trial takes six virtual seconds: three begin before the deadline.
        summary = run_search(
            env,
            make_searcher(self.name, env.plan.plan.training_config),
            deadline=env.bench.elapsed + 13,
        )
        assert env.played == 3
        assert "the time ran out after 3 of 20 trials" in summary.notes

    def test_a_safety_stop_reaches_the_caller(self) -> None:
        def score(configuration: Mapping[str, Value]) -> float:
            if number(configuration) > 0:
                raise SafetyStop("memory ran out")
            return 1000.0

        env = env_for(score)
        with pytest.raises(SafetyStop, match="memory ran out"):
            self.play(env)
        assert env.played == 1

    def test_suggestions_are_played_first(self) -> None:
        env = env_for(bell, total_timesteps=8)
        suggestions = [SafeSuggestion({"demo.k0": 700}), SafeSuggestion({"demo.k0": 600})]
        run_search(env, make_searcher(self.name, env.plan.plan.training_config), suggestions)
        tried = [trial for trial in env.bench.trials if trial.kind != "baseline"]
        assert [trial.kind for trial in tried] == ["suggestion"] * 2 + ["search"] * 6
        assert [trial.configuration["demo.k0"] for trial in tried[:2]] == [700, 600]
