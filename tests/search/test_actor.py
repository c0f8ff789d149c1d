"""PPO in a dream: it learns what there is to learn, and what it saves is a policy of stable-baselines3."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO

from knobctl.search.actor import Actor
from knobctl.search.imagined import Dream
from knobctl.search.process import Array
from knobctl.search.surrogate import Predicted
from tests.env.invented import env_for

SPACE = gymnasium.spaces.Box(0.0, 1.0, (5,), np.float32)
STARTS = np.array([[0.5, 0.5]])
SEEN = np.array([[0.2, 0.2, 0.2, 0.5, 0.5]])


def identity(points: Array) -> Predicted:
    """Best where both knobs stand at 0.9 and 0.1, in the manner of SB3's identity environments: one right answer."""
    gains = -0.2 * np.abs(points - np.array([0.9, 0.1])).sum(axis=1)
    return Predicted(np.ones(1), gains[None, :], np.zeros((1, len(points))), np.zeros((len(points), 3)))


def dream() -> Dream:
    return Dream(identity, lambda said: said.others + 0.2, np.ones(1), STARTS, 0.05, -9.0, 0.0)


def test_it_learns_the_right_answer() -> None:
    actor = Actor(SPACE, 2, seed=0)
    actor.learn(dream(), updates=1)
    before = np.abs(actor.propose(SEEN, 256) - [0.9, 0.1]).sum(axis=1).mean()
    actor.learn(dream(), updates=25)
    after = np.abs(actor.propose(SEEN, 256) - [0.9, 0.1]).sum(axis=1).mean()
    assert actor.updates == 26
    assert before > 0.6
    assert after < 0.4


def test_the_same_seed_learns_the_same() -> None:
    def proposals(seed: int) -> Array:
        actor = Actor(SPACE, 2, seed)
        actor.learn(dream(), updates=2)
        return actor.propose(SEEN, 8)

    assert (proposals(1) == proposals(1)).all()
    assert not (proposals(1) == proposals(2)).all()


def test_learning_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    actor = Actor(SPACE, 2, seed=0)
    actor.learn(dream(), updates=1)
    actor.learn(dream(), updates=1)
    assert list(tmp_path.iterdir()) == []


def test_its_policy_plays_the_real_environment(tmp_path: Path) -> None:
    env = env_for(knobs=3, total_timesteps=4)
    assert env.observation_space.shape is not None
    actor = Actor(env.observation_space, 3, seed=0)
    actor.save(tmp_path / "policy.zip")
    policy = PPO.load(tmp_path / "policy.zip", device="cpu")
    played = gymnasium.wrappers.RescaleAction(env, np.float32(-1.0), np.float32(1.0))
    observation, _ = played.reset()
    action, _ = policy.predict(observation)
    _, _, _, _, info = played.step(action)
    assert info["trial"].score is not None
