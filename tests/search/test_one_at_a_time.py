"""One knob at a time: the contract, and the order of things."""

from __future__ import annotations

from statistics import fmean

import pytest

from knobctl.env import OSTuningEnv
from knobctl.search.one_at_a_time import HIGH, LOW, SCATTER, OneAtATimeSearcher
from knobctl.search.registry import make_searcher
from knobctl.search.session import run_search
from tests.env.invented import bell, env_for
from tests.search.contract import SearcherContract


class TestOneAtATimeContract(SearcherContract):
    name = "one-at-a-time"


def played(env: OSTuningEnv, seed: int = 0) -> list[dict[str, float]]:
    """Where the knobs that differ from the default were put, trial by trial, as parts of their range."""
    run_search(env, OneAtATimeSearcher(seed))
    searched = [trial for trial in env.bench.trials if trial.kind == "search"]
    return [{name: int(value) / 1000 for name, value in trial.configuration.items()} for trial in searched]


def test_each_knob_is_tried_low_and_high_alone_and_then_the_best_of_each_together() -> None:
    trials = played(env_for(bell, 3, total_timesteps=7))
    assert all(len(trial) == 1 for trial in trials[:6])
    names = [next(iter(trial)) for trial in trials[:6]]
    assert names[0::2] == names[1::2] and len(set(names)) == 3
    for low, high in zip(trials[0:6:2], trials[1:6:2], strict=True):
        assert next(iter(low.values())) == pytest.approx(LOW, abs=SCATTER + 0.01)
        assert next(iter(high.values())) == pytest.approx(HIGH, abs=SCATTER + 0.01)
    # The bell is at 0.7 for each knob, so high is better than low, and both are better than 0.
    assert trials[6] == {name: value for trial in trials[1:6:2] for name, value in trial.items()}


def test_what_does_not_gain_is_left_as_it_was_found() -> None:
    trials = played(env_for(lambda configuration: 1000.0 - int(configuration["demo.k0"]) / 2, 1, total_timesteps=3))
    assert trials[2] == {}


def test_the_order_is_drawn_with_the_seed() -> None:
    orders = {
        tuple(next(iter(trial)) for trial in played(env_for(bell, 4, total_timesteps=8), seed)) for seed in range(6)
    }
    assert len(orders) > 2


def test_it_goes_on_to_better_neighbours() -> None:
    env = env_for(bell, 2, total_timesteps=45)
    run_search(env, make_searcher("one-at-a-time", env.plan.plan.training_config, seed=1))
    scores = [trial.score for trial in env.bench.trials if trial.kind == "search" and trial.score is not None]
    assert max(scores) > 1990  # of 2000 that are possible
    assert fmean(scores[-15:]) > fmean(scores[:5])
