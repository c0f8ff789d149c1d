"""run_search and BudgetedEnv, with searchers that do as they are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from knobctl.errors import BenchmarkBroken
from knobctl.knobs import Value
from knobctl.safety import SafeSuggestion
from knobctl.search.base import BudgetedEnv, Played, SearchOver, SearchSummary
from knobctl.search.remembered import Guess
from knobctl.search.session import run_search
from tests.env.invented import bell, env_for, number


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


def suggested(*values: int) -> list[SafeSuggestion]:
    return [SafeSuggestion({"demo.k0": value}) for value in values]


def test_suggestions_have_a_quarter_of_the_budget() -> None:
    env, searcher = env_for(total_timesteps=8), Scripted((0.5,))
    summary = run_search(env, searcher, suggested(100, 200, 300, 400))
    assert [played.action for played in searcher.before] == [(0.1,), (0.2,)]
    assert summary == SearchSummary(2, ("done", "2 of 4 suggestions were left out: they have a quarter of the budget"))


def test_one_suggestion_is_tried_in_the_smallest_budget() -> None:
    env = env_for(total_timesteps=1)
    summary = run_search(env, Scripted((0.5,)), suggested(100, 200))
    assert [trial.kind for trial in env.bench.trials] == ["baseline", "suggestion"]
    assert summary.notes == ("1 of 2 suggestions were left out: they have a quarter of the budget",)


def test_each_configuration_is_suggested_once_and_the_default_never() -> None:
    env, searcher = env_for(total_timesteps=8), Scripted((0.5,))
    assert run_search(env, searcher, suggested(100, 0, 100, 200, 100)).notes == ("done",)
    assert [played.action for played in searcher.before] == [(0.1,), (0.2,)]


def test_what_earlier_sessions_recommend_is_tried_first_and_not_twice() -> None:
    env, searcher = env_for(total_timesteps=16), Scripted((0.5,))
    run_search(env, searcher, suggested(100, 600), guesses=[Guess({"demo.k0": 600}), Guess({"demo.k0": 700})])
    assert [played.action for played in searcher.before] == [(0.6,), (0.7,), (0.1,)]


@pytest.mark.parametrize("expected", [0.0, 0.15])
def test_after_one_that_does_not_fit_the_other_recommendations_are_left_out(expected: float) -> None:
    def worse_below_500(configuration: Mapping[str, Value]) -> float:
        return 1100.0 if number(configuration) > 500 else 1000.0 if number(configuration) == 0 else 900.0

    for guesses, tried in (((600, 200, 300, 700), (0.6, 0.2, 0.1)), ((200, 600), (0.2, 0.1))):
        env, searcher = env_for(worse_below_500, total_timesteps=24), Scripted((0.5,))
        recommended = [Guess({"demo.k0": value}, expected) for value in guesses]
        summary = run_search(env, searcher, suggested(100), guesses=recommended)
        assert [played.action for played in searcher.before] == [(each,) for each in tried]
        left = len(guesses) + 1 - len(tried)
        assert summary.notes[-1] == (
            f"{left} of {len(guesses)} recommendations of earlier sessions were left out: "
            "one before them gained too little here"
        )


def test_after_two_suggestions_that_failed_the_others_are_left_out() -> None:
    def score(configuration: Mapping[str, Value]) -> float | None:
        return None if number(configuration) > 500 else bell(configuration)

    env, searcher = env_for(score, total_timesteps=40), Scripted((0.1,))
    summary = run_search(env, searcher, suggested(600, 100, 700, 200, 800))
    assert [played.action for played in searcher.before] == [(0.6,), (0.1,), (0.7,)]
    assert summary.notes == ("done", "2 of 5 suggestions were left out: 2 others made the benchmark fail")


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
