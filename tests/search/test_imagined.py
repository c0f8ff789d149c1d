"""Imagined environments: their spaces, episodes and rewards."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from knobctl.search.imagined import BAD_PRICE, BAD_SHARE, HORIZON, LARGEST_REWARD, Dream, ImaginedEnvs
from knobctl.search.process import Array
from knobctl.search.surrogate import Predicted

KNOBS, METRICS, COUNT = 2, 3, 16
SPACE = gymnasium.spaces.Box(0.0, 1.0, (METRICS + KNOBS,), np.float32)


def say(points: Array) -> Predicted:
    """Two beliefs: the gain is the first knob's place, or half of it; nothing is uncertain."""
    means = np.stack([0.1 * points[:, 0], 0.05 * points[:, 0]])
    return Predicted(np.array([0.5, 0.5]), means, np.zeros_like(means), np.zeros((len(points), METRICS)))


DREAM = Dream(
    predict=say,
    metrics=lambda predicted: predicted.others + 0.25,
    shares=np.array([0.5, 0.5]),
    starts=np.array([[0.2, 0.8]]),
    unit=0.02,
    worst=-0.1,
    curiosity=0.0,
)


def dreaming(dream: Dream = DREAM) -> ImaginedEnvs:
    envs = ImaginedEnvs(SPACE, KNOBS, COUNT, np.random.default_rng(0))
    envs.show(dream)
    return envs


def rewards_at(place: float, dream: Dream = DREAM) -> Array:
    envs = dreaming(dream)
    envs.reset()
    _, rewards, _, _ = envs.step(np.full((COUNT, KNOBS), 2.0 * place - 1.0))
    return rewards


def test_spaces_are_those_of_the_real_environment() -> None:
    envs = dreaming()
    observations = envs.reset()
    assert isinstance(observations, np.ndarray)
    assert observations.shape == (COUNT, METRICS + KNOBS)
    assert envs.observation_space == SPACE
    assert observations[0] == pytest.approx([0.25, 0.25, 0.25, 0.2, 0.8])
    assert envs.action_space == gymnasium.spaces.Box(-1.0, 1.0, (KNOBS,), np.float32)


def test_an_action_is_a_configuration_and_its_reward_is_in_units_of_noise() -> None:
    assert set(np.round(rewards_at(0.8), 3)) == {4.0, 2.0}, "one for each belief"
    envs = dreaming()
    envs.reset()
    observations, _, _, _ = envs.step(np.tile([0.0, 1.0], (COUNT, 1)))
    assert isinstance(observations, np.ndarray)
    assert any(row == pytest.approx([0.25, 0.25, 0.25, 0.5, 1.0]) for row in observations)


def test_rewards_are_bounded_whatever_is_dreamt() -> None:
    assert rewards_at(1.0, replace(DREAM, unit=1e-9)).max() == LARGEST_REWARD


def test_not_knowing_is_worth_something_to_the_curious() -> None:
    def vague(points: Array) -> Predicted:
        return replace(say(points), sds=np.full((2, len(points)), 0.02))

    curious = rewards_at(0.0, replace(DREAM, predict=vague, curiosity=1.5)).mean()
    cautious = rewards_at(0.0, replace(DREAM, predict=vague, curiosity=-0.5)).mean()
    assert curious - cautious == pytest.approx(2.0, abs=0.01)


def test_a_probable_loss_costs_more_than_it_is() -> None:
    certain = replace(DREAM, worst=0.5)  # everything is bad
    assert rewards_at(0.5).mean() - rewards_at(0.5, certain).mean() == pytest.approx(BAD_PRICE * (1.0 - BAD_SHARE))


def test_episodes_are_short_and_begin_at_what_was_measured() -> None:
    envs = dreaming()
    envs.reset()
    lengths = np.zeros(COUNT, dtype=int)
    for _ in range(3 * HORIZON):
        observations, _, done, infos = envs.step(np.zeros((COUNT, KNOBS)))
        assert isinstance(observations, np.ndarray)
        lengths = np.where(done, 0, lengths + 1)
        assert lengths.max() < HORIZON
        for row in np.flatnonzero(done):
            assert observations[row, METRICS:] == pytest.approx([0.2, 0.8])
            assert infos[row]["terminal_observation"][METRICS:] == pytest.approx([0.5, 0.5])


def test_they_have_nothing_of_their_own_to_set() -> None:
    envs = dreaming()
    assert envs.env_is_wrapped(gymnasium.Wrapper) == [False] * COUNT
    with pytest.raises(NotImplementedError):
        envs.set_attr("anything", 1)
    with pytest.raises(NotImplementedError):
        envs.env_method("anything")
    envs.close()
