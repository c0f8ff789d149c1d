"""OSTuningEnv: spaces, rewards, controls and canaries, how episodes end, and the budget."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import numpy as np
import pytest

from knobctl.env import Baseline, OSTuningEnv, make_env
from knobctl.errors import BenchmarkBroken, HealthStop, KnobChangedByOther, SafetyStop
from knobctl.events import Event, Trial, TrialDone
from knobctl.knobs import Value
from knobctl.target.simulated import SimulatedTarget
from tests.env.invented import env_for, number

SHORT = "available memory 212 MiB is below 492 MiB"


def at(*places: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.array(places, dtype=np.float32)


def kinds(env: OSTuningEnv) -> list[str]:
    return [trial.kind for trial in env.bench.trials]


def fails_above_500(configuration: Mapping[str, Value]) -> float | None:
    return None if number(configuration) > 500 else 1000.0 - number(configuration)


def flat(configuration: Mapping[str, Value]) -> float:
    return 1000.0


# --- spaces


def test_actions_and_observations_are_in_the_unit_cube() -> None:
    env = env_for(knobs=3)
    assert env.action_space == gymnasium.spaces.Box(0.0, 1.0, (3,), np.float32)
    assert env.observation_space == gymnasium.spaces.Box(0.0, 1.0, (5,), np.float32)


def test_an_observation_is_the_machine_and_the_knobs() -> None:
    env = env_for(knobs=2)
    observation, info = env.reset(seed=0)
    assert info == {}
    baseline = env.bench.trials[0].machine
    assert observation.dtype == np.float32
    assert observation == pytest.approx(
        [baseline["cpu_utilization"] / 100, baseline["iowait"] / 100, 0.0, 0.0], abs=1e-6
    )
    observation, _, _, _, info = env.step(at(0.25, 0.75))
    machine = info["trial"].machine
    assert observation == pytest.approx([machine["cpu_utilization"] / 100, machine["iowait"] / 100, 0.25, 0.75])
    assert observation in env.observation_space


def test_a_found_value_that_the_plan_does_not_explore_has_a_place_too() -> None:
    env = env_for(flat)
    assert env.places({"demo.k0": 5000}) == (1.0,)


# --- rewards


def test_a_better_score_has_a_better_reward() -> None:
    env = env_for()
    env.reset()
    _, worse, _, _, info_worse = env.step(at(0.3))
    _, better, _, _, info_better = env.step(at(0.7))
    assert float(better) > float(worse) > 100.0 * 0.9
    assert info_better["trial"].score == pytest.approx(2000.0)
    assert info_better["trial"].reward == better
    assert -5.0 <= info_worse["learning_reward"] < info_better["learning_reward"] == 5.0


def test_the_default_has_a_learning_reward_of_nothing() -> None:
    env = env_for(flat)
    env.reset()
    _, reward, _, _, info = env.step(at(0.0))
    assert info["learning_reward"] == 0.0
    assert float(reward) == pytest.approx(0.5 * 100 + 0.5 * (100 - info["trial"].machine["iowait"]))


def test_a_gain_far_above_the_noise_is_still_told_from_a_larger_one() -> None:
    def steep(configuration: Mapping[str, Value]) -> float:
        return 1000.0 + 10.0 * number(configuration)

    env = env_for(steep)
    env.reset()
    env.step(at(1.0))
    signals = [env.step(at(place))[4]["learning_reward"] for place in (0.2, 0.4, 0.6)]
    assert 0.0 < signals[0] < signals[1] < signals[2] < 5.0


def test_the_baseline_of_a_preflight_is_used_and_not_measured_again() -> None:
    env = env_for(flat, options={"baseline": Baseline(500.0, {"cpu_utilization": 40.0}, noise=0.1)})
    observation, _ = env.reset()
    assert observation[0] == pytest.approx(0.4)
    assert kinds(env) == []
    _, _, _, _, info = env.step(at(0.5))
    assert info["learning_reward"] == pytest.approx(5.0)
    assert float(info["trial"].reward) == pytest.approx(0.5 * 200 + 50, abs=5)


# --- failures


def test_a_failed_trial_is_worse_than_the_worst_and_the_default_is_looked_at() -> None:
    env = env_for(fails_above_500)
    env.reset()
    _, worst, _, _, _ = env.step(at(0.5))
    observation, reward, terminated, _, info = env.step(at(0.9))
    assert info["trial"].score is None
    assert info["trial"].failure == "the simulated benchmark failed: its score is None"
    assert info["learning_reward"] == -5.0
    assert np.isfinite(float(reward))
    assert float(reward) < float(worst)
    assert not terminated
    assert observation in env.observation_space
    assert kinds(env) == ["baseline", "search", "search", "canary"]


def test_more_than_three_failures_in_a_row_end_the_episode() -> None:
    env = env_for(fails_above_500)
    env.reset()
    ends = [env.step(at(0.9))[2] for _ in range(4)]
    assert ends == [False, False, False, True]
    env.reset()
    ends = [env.step(at(place))[2] for place in (0.9, 0.9, 0.9, 0.1, 0.9)]
    assert ends == [False] * 5


def test_a_benchmark_that_fails_at_the_default_too_is_broken() -> None:
    broken = [False]

    def score(configuration: Mapping[str, Value]) -> float | None:
        broken[0] = broken[0] or number(configuration) > 500
        return None if broken[0] else 1000.0

    env = env_for(score)
    env.reset()
    env.step(at(0.2))
    with pytest.raises(BenchmarkBroken, match="fails at the default configuration too: the simulated") as caught:
        env.step(at(0.9))
    assert "pgbench -c 8 -j 2 -T 5 testdb" in caught.value.hint
    assert kinds(env) == ["baseline", "search", "search", "canary"]


def test_a_baseline_that_fails_is_tried_twice() -> None:
    env = env_for(lambda configuration: None)
    with pytest.raises(BenchmarkBroken):
        env.reset()
    assert kinds(env) == ["baseline", "canary"]


def test_a_guard_that_trips_ends_the_episode_and_says_why() -> None:
    def score(configuration: Mapping[str, Value]) -> float:
        if number(configuration) > 500:
            raise SafetyStop("memory ran out")
        return 1000.0

    env = env_for(score)
    env.reset()
    _, reward, terminated, _, info = env.step(at(0.9))
    assert terminated
    assert str(info["safety_stop"]) == "memory ran out"
    assert info["trial"].failure == "memory ran out"
    assert np.isfinite(float(reward))
    assert kinds(env) == ["baseline", "search"]


def in_trouble_above_500(configuration: Mapping[str, Value]) -> float:
    if number(configuration) > 500:
        raise HealthStop(SHORT)
    return 1000.0


def test_one_trip_of_the_health_guard_is_a_failed_trial_and_the_next_goes_on() -> None:
    env = env_for(in_trouble_above_500)
    env.reset()
    _, fine, _, _, _ = env.step(at(0.5))
    observation, reward, terminated, _, info = env.step(at(0.9))
    assert not terminated
    assert "safety_stop" not in info
    assert info["trial"].failure == SHORT
    assert info["learning_reward"] == -5.0
    assert float(reward) < float(fine)
    assert observation[-1] == 0.0, "the knobs are back already"
    assert kinds(env) == ["baseline", "search", "search", "canary"]
    assert env.step(at(0.2))[4]["trial"].score == 1000.0


def test_the_third_trip_ends_the_episode_and_the_session() -> None:
    env = env_for(in_trouble_above_500)
    env.reset()
    ends = []
    for place in (0.9, 0.1, 0.8, 0.7):
        _, _, terminated, _, info = env.step(at(place))
        ends.append(terminated)
    assert ends == [False, False, False, True]
    stop = info["safety_stop"]
    assert isinstance(stop, HealthStop)
    assert stop.message == f"the health guard tripped 3 times; the last time: {SHORT}"
    assert info["trial"] is env.bench.trials[-1]
    assert info["trial"].configuration == {"demo.k0": 700}
    assert kinds(env)[-1] == "search", "nothing more is measured"
    assert env.bench.target.probe(["demo.k0"])["demo.k0"].value == 0
    measured = len(env.bench.trials)
    with pytest.raises(HealthStop) as caught:
        env.reset()
    assert caught.value is stop
    with pytest.raises(HealthStop):
        env.step(at(0.1))
    assert len(env.bench.trials) == measured
    env.close()


def test_a_trip_at_the_default_after_a_trip_blames_no_configuration() -> None:
    trouble = [False]

    def score(configuration: Mapping[str, Value]) -> float:
        trouble[0] = trouble[0] or number(configuration) > 500
        return 1000.0 if not trouble[0] else in_trouble_above_500({"demo.k0": 501})

    env = env_for(score)
    env.reset()
    _, _, terminated, _, info = env.step(at(0.9))
    assert terminated
    assert str(info["safety_stop"]) == f"the health guard tripped at the default configuration: {SHORT}"
    assert info["trial"].configuration == {"demo.k0": 900}
    assert kinds(env) == ["baseline", "search", "canary"]


def test_a_session_that_ends_while_the_default_is_measured_again_ends_the_step() -> None:
    left = [9]

    def score(configuration: Mapping[str, Value]) -> float:
        left[0] -= 1
        return 1000.0 if left[0] >= 0 else in_trouble_above_500({"demo.k0": 501})

    env = env_for(score, max_steps_per_episode=100)
    env.reset()
    for _ in range(8):
        assert not env.step(at(0.5))[2]
    observation, _, terminated, truncated, info = env.step(at(0.5))
    assert (terminated, truncated) == (True, False)
    assert observation in env.observation_space
    assert set(info) == {"safety_stop"}
    assert (env.played, kinds(env)[-2:]) == (8, ["control", "canary"])


def test_somebody_else_at_the_knobs_stops_everything() -> None:
    env = env_for()
    env.reset()
    env.step(at(0.5))
    assert isinstance(env.bench.target, SimulatedTarget)
    env.bench.target.change_from_outside("demo.k0", 123)
    with pytest.raises(KnobChangedByOther, match="holds 123, but this run left 500 there"):
        env.step(at(0.6))


# --- episodes, controls, budget


def test_an_episode_is_truncated_at_its_step_limit() -> None:
    env = env_for(max_steps_per_episode=3)
    env.reset()
    assert [env.step(at(0.5))[3] for _ in range(3)] == [False, False, True]
    env.reset()
    env.reset()
    assert env.episodes == 1
    assert env.step(at(0.5))[3] is False
    assert env.episodes == 2


def test_the_default_is_measured_again_throughout_the_search() -> None:
    env = env_for(total_timesteps=20, max_steps_per_episode=100)
    env.reset()
    for _ in range(20):
        env.step(at(0.5))
    assert kinds(env) == ["baseline", *["search"] * 8, "control", *["search"] * 8, "control", *["search"] * 4]
    controls = [trial for trial in env.bench.trials if trial.kind == "control"]
    assert all(trial.configuration == {} and trial.score == pytest.approx(1000, rel=0.02) for trial in controls)


def test_a_step_beyond_the_budget_measures_nothing() -> None:
    env = env_for(total_timesteps=2)
    env.reset()
    env.step(at(0.2))
    observation, reward, terminated, truncated, _ = env.step(at(0.7))
    assert (terminated, truncated) == (False, True)
    again = env.step(at(0.1))
    assert np.array_equal(again[0], observation)
    assert again[1:] == (reward, False, True, {"budget_spent": True})
    env.reset()
    assert env.step(at(0.1))[4] == {"budget_spent": True}
    assert kinds(env) == ["baseline", "search", "search"]
    assert env.played == 2


def test_reset_goes_back_to_the_default_and_runs_no_benchmark() -> None:
    env = env_for()
    first, _ = env.reset(seed=1)
    env.step(at(0.5))
    second, _ = env.reset(seed=1)
    assert np.array_equal(first, second)
    assert env.bench.target.probe(["demo.k0"])["demo.k0"].value == 0
    assert kinds(env) == ["baseline", "search"]


def test_a_step_before_reset_is_refused() -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        env_for().step(at(0.5))


def test_a_configuration_can_be_played_in_place_of_an_action() -> None:
    env = env_for()
    env.reset()
    info = env.try_configuration({"demo.k0": 321}, "suggestion")[4]
    assert info["trial"].kind == "suggestion"
    assert info["trial"].configuration == {"demo.k0": 321}
    assert env.played == 1


def test_every_trial_is_emitted_whoever_plays() -> None:
    events: list[Event] = []
    env = env_for(options={"emit": events.append}, total_timesteps=9)
    env.reset()
    for _ in range(9):
        env.step(at(0.4))
    recorded: list[Trial] = [event.trial for event in events if isinstance(event, TrialDone)]
    assert recorded == list(env.bench.trials)
    assert [trial.number for trial in recorded] == list(range(11))
    positions = [event.position for event in events if isinstance(event, TrialDone) and event.trial.kind == "search"]
    assert positions == list(range(1, 10))


def test_couplings_hold_in_what_is_set() -> None:
    env = make_env(
        {
            "workload_name": "w",
            "reward_metric": "transactions_per_second",
            "benchmark_command": "pgbench -T 5 testdb",
            "action_space": [
                {"param": "vm.dirty_background_ratio", "min": 1, "max": 50},
                {"param": "vm.dirty_ratio", "min": 5, "max": 80},
            ],
            "state_space": [],
        }
    )
    env.reset()
    configuration = {**env.plan.default, **env.step(at(1.0, 0.0))[4]["trial"].configuration}
    assert number(configuration, "vm.dirty_background_ratio") < number(configuration, "vm.dirty_ratio")
    env.close()
