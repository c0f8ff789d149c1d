"""The flagship: the contract of all searchers, what it finds, what it avoids, and what it says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from stable_baselines3 import PPO

from knobctl.env import OSTuningEnv
from knobctl.knobs import Value
from knobctl.search.actor import UPDATES
from knobctl.search.base import SearchSummary
from knobctl.search.model import Observation
from knobctl.search.registry import make_searcher
from knobctl.search.remembered import Remembered, first_guesses
from knobctl.search.sappo import FEWEST_TRIALS, PRETRAINING, SAPPOSearcher
from knobctl.search.session import run_search
from tests.env.invented import bell, env_for, number
from tests.search.contract import SearcherContract


class TestSAPPOContract(SearcherContract):
    name = "sappo"

    def play(self, env: OSTuningEnv, seed: int = 0) -> SearchSummary:
        """Without the actor, which costs most of the time and has tests of its own."""
        return run_search(env, SAPPOSearcher(seed, actor=False))


def one_matters(configuration: Mapping[str, Value]) -> float:
    return bell({"demo.k0": configuration["demo.k0"]})


def played(env: OSTuningEnv, seed: int = 0, **options: object) -> SearchSummary:
    return run_search(env, SAPPOSearcher(seed, **options))  # type: ignore[arg-type]


def tried(env: OSTuningEnv) -> list[dict[str, Value]]:
    return [{**env.plan.default, **t.configuration} for t in env.bench.trials if t.kind == "search"]


def test_it_finds_the_one_knob_of_six_that_matters() -> None:
    for seed in range(2):
        env = env_for(one_matters, 6, noise=0.03, seed=seed, total_timesteps=18)
        played(env, seed, actor=False)
        late = [one_matters(configuration) for configuration in tried(env)[-8:]]
        assert np.median(late) > 1700, "of 2000; 1000 as found"


def test_ppo_takes_part_and_says_how_often(tmp_path: Path) -> None:
    env = env_for(one_matters, 3, noise=0.02, total_timesteps=16)
    summary = played(env, policy_path=tmp_path / "policy.zip")
    assert summary.policy_updates is not None and summary.policy_updates > 0
    assert any(
        note.startswith("PPO proposed ") and "trials that were chosen by the model" in note for note in summary.notes
    )
    policy = PPO.load(tmp_path / "policy.zip", device="cpu")
    action, _ = policy.predict(env.reset()[0])
    assert action.shape == (3,)


def test_without_the_actor_there_is_nothing_to_say_about_it() -> None:
    env = env_for(one_matters, 3, noise=0.02, total_timesteps=12)
    summary = played(env, actor=False)
    assert summary.policy_updates is None
    assert summary.notes == ()


def test_nothing_is_dreamt_where_nothing_can_be_predicted() -> None:
    env = env_for(lambda configuration: 1000.0, 3, noise=0.05, total_timesteps=16)
    summary = played(env)
    assert summary.policy_updates == 0
    assert summary.notes == ("PPO had no part in it: the model of the score never predicted well enough to learn from",)


def test_too_few_trials_are_told_straight() -> None:
    env = env_for(one_matters, 3, total_timesteps=FEWEST_TRIALS - 1)
    summary = played(env)
    assert summary.notes == (
        "11 trials are too few to learn from (fewer than 12): first guesses, then one knob at a time",
    )
    first = tried(env)[0]
    assert [name for name, value in first.items() if value != env.plan.default[name]] == ["demo.k0"]
    assert max(one_matters(configuration) for configuration in tried(env)) > 1300


def test_what_always_fails_is_soon_avoided() -> None:
    def fails(configuration: Mapping[str, Value]) -> float | None:
        return None if number(configuration, "demo.k1") > 300 else one_matters(configuration)

    env = env_for(fails, 4, noise=0.02, total_timesteps=24)
    played(env, actor=False)
    assert sum(number(configuration, "demo.k1") > 300 for configuration in tried(env)[-10:]) <= 2


def test_what_is_bad_is_rarely_tried_again() -> None:
    def half_is_bad(configuration: Mapping[str, Value]) -> float:
        return one_matters(configuration) * (0.5 if number(configuration, "demo.k1") > 400 else 1.0)

    env = env_for(half_is_bad, 4, noise=0.02, total_timesteps=24)
    played(env, actor=False)
    assert sum(number(configuration, "demo.k1") > 400 for configuration in tried(env)[-10:]) <= 2


def remembered_session() -> Remembered:
    random = np.random.default_rng(0)
    past = env_for(one_matters, 6, total_timesteps=1)
    observations = []
    for moment in range(30):
        configuration = past.plan.decode(random.random(6).tolist())
        gain = float(np.log(one_matters(configuration) / one_matters(past.plan.default)))
        observations.append(Observation(configuration, gain, 30.0 * moment))
    return Remembered("20260101-000000-aaaa", 1.0, tuple(observations), why="the same machine")


def test_a_session_that_fits_is_used_from_the_first_trial_on_by_the_policy_too() -> None:
    env = env_for(one_matters, 6, noise=0.03, total_timesteps=12)
    updates = played(env, remembered=(remembered_session(),)).policy_updates
    assert np.mean([one_matters(configuration) for configuration in tried(env)[:4]]) > 1600
    assert updates == PRETRAINING + 11 * UPDATES, "in every trial, the first one too"


def test_where_earlier_sessions_failed_is_avoided() -> None:
    def fails(configuration: Mapping[str, Value]) -> float | None:
        return None if number(configuration, "demo.k1") > 500 else one_matters(configuration)

    random = np.random.default_rng(1)
    space = env_for(one_matters, 4, total_timesteps=1)
    tries = [space.plan.decode(random.random(4).tolist()) for _ in range(40)]
    failures = tuple(each for each in tries if fails(each) is None)
    fine = tuple(Observation(each, 0.0) for each in tries if fails(each) is not None)
    counts = []
    for past in ((), (Remembered("20260101-000000-aaaa", 1.0, fine, failures=failures),)):
        env = env_for(fails, 4, noise=0.02, total_timesteps=12)
        played(env, actor=False, remembered=past)
        counts.append(sum(number(configuration, "demo.k1") > 500 for configuration in tried(env)))
    alone, warned = counts
    assert warned < alone and warned <= 2, counts


def test_after_guesses_that_gained_nothing_it_begins_as_without_a_memory() -> None:
    def another(configuration: Mapping[str, Value]) -> float:
        return bell({"demo.k0": configuration["demo.k3"]})

    past = remembered_session()
    liked = max(past.observations, key=lambda each: each.gain)
    best = {"demo.k0": liked.configuration["demo.k0"]}
    proven = replace(liked, configuration={**env_for(another, 6).plan.default, **best})
    past = replace(past, best=best, observations=(*past.observations, proven))
    found = []
    for truth, memory in ((one_matters, (past,)), (another, (past,)), (another, ())):
        env = env_for(truth, 6, noise=0.03, total_timesteps=20)
        guesses = first_guesses((past,), env.plan)
        run_search(env, SAPPOSearcher(0, actor=False, remembered=memory), (), guesses=guesses)
        assert [trial.kind for trial in env.bench.trials[1:3]] == ["suggestion", "search"]
        found.append(tried(env))
    trusted, misled, without = found
    assert np.ptp([number(configuration, "demo.k0") for configuration in trusted[:3]]) < 300
    assert misled == without, "forgotten altogether"


def test_settings_of_the_plan_that_it_does_not_use_are_named() -> None:
    env = env_for(one_matters, 1, total_timesteps=2, n_steps=64, clip_range=0.5)
    searcher = make_searcher("sappo", env.plan.plan.training_config)
    note = "sappo has settings of its own: n_steps, clip_range of the plan are for --searcher ppo"
    assert note in run_search(env, searcher).notes
    shorter = env_for(one_matters, 1, total_timesteps=2, n_steps=2)
    searcher = make_searcher("sappo", shorter.plan.plan.training_config)
    assert not any("settings of its own" in each for each in run_search(shorter, searcher).notes)
