"""run_search and BudgetedEnv, with searchers that do as they are told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from knobctl.errors import BenchmarkBroken
from knobctl.safety import SafeSuggestion
from knobctl.search.base import BudgetedEnv, Played, SearchOver, SearchSummary
from knobctl.search.session import run_search
from tests.env.invented import env_for


@dataclass
class Scripted:
    """Plays fixed actions and then ends by itself."""

    actions: tuple[float, ...]
    name = "scripted"

    def play(self, env: BudgetedEnv) -> SearchSummary:
        self.before = env.played
        for action in self.actions:
            env.step(np.array([action], dtype=np.float32))
        return SearchSummary(policy_updates=2, notes=("done",))


def test_a_searcher_may_end_before_the_budget() -> None:
    env = env_for(total_timesteps=5)
    assert run_search(env, Scripted((0.1, 0.2))) == SearchSummary(2, ("done",))
    assert env.played == 2


def test_a_searcher_that_does_not_catch_the_end_is_summarised_for() -> None:
    env = env_for(total_timesteps=2)
    assert run_search(env, Scripted((0.1, 0.2, 0.3, 0.4))) == SearchSummary()
    assert env.played == 2


def test_the_searcher_sees_what_was_suggested() -> None:
    env = env_for(total_timesteps=5)
    searcher = Scripted((0.5,))
    run_search(env, searcher, [SafeSuggestion({"demo.k0": 250}, "half of it")])
    assert [played.action for played in searcher.before] == [(0.25,)]
    assert searcher.before[0].reward == env.bench.trials[1].reward


def test_more_suggestions_than_the_budget_end_the_search() -> None:
    env = env_for(total_timesteps=3)
    summary = run_search(env, Scripted((0.5,)), [SafeSuggestion({"demo.k0": value}) for value in (1, 2, 3, 4)])
    assert env.played == 3
    assert summary == SearchSummary()


def test_without_suggestions_of_its_own_the_plans_are_played() -> None:
    env = env_for(total_timesteps=3)
    assert env.plan.suggestions == ()
    run_search(env, Scripted((0.5,)))
    assert [trial.kind for trial in env.bench.trials] == ["baseline", "search"]


def test_the_wrapper_raises_in_place_of_a_trial_beyond_the_budget() -> None:
    budgeted = BudgetedEnv(env_for(total_timesteps=1))
    budgeted.reset()
    budgeted.step(np.array([0.5], dtype=np.float32))
    assert budgeted.over == ""
    for _ in range(2):
        with pytest.raises(SearchOver):
            budgeted.step(np.array([0.5], dtype=np.float32))
    assert budgeted.over == "budget"
    assert len(budgeted.played) == 1
    assert isinstance(budgeted.played[0], Played)


def test_a_broken_benchmark_is_not_swallowed() -> None:
    with pytest.raises(BenchmarkBroken):
        run_search(env_for(lambda configuration: None), Scripted((0.5,)))


def test_time_that_is_over_before_the_search_means_no_trial() -> None:
    env = env_for(total_timesteps=4)
    summary = run_search(env, Scripted((0.5,)), deadline=0.0)
    assert env.played == 0
    assert summary.notes == ("the time ran out after 0 of 4 trials",)
