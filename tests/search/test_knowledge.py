"""What is known before a trial: where runs fail, and whether the surrogate is good enough to be dreamt in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from knobctl.env import OSTuningEnv
from knobctl.knobs import Value
from knobctl.search.knowledge import GATE_TRIALS, Knowledge
from knobctl.search.model import MOST_TRIALS, Observation, observe
from knobctl.search.remembered import HEARSAY
from tests.env.invented import bell, env_for, number

KNOBS = 6


def knowledge(env: OSTuningEnv, warnings: Sequence[Observation] = ()) -> Knowledge:
    plan = env.plan
    observations = observe(env.bench.trials, plan.space, plan.default, plan.objective.direction)
    return Knowledge(env, observations, 0.03, np.random.default_rng(0), warnings=warnings)


def played(
    count: int, failing: Sequence[int] = (), noise: float = 0.03, repeat: int = 1
) -> tuple[OSTuningEnv, np.ndarray]:
    """An environment after so many random trials; those with these numbers failed, all of them at the last one."""
    points = np.random.default_rng(3).random((count, KNOBS))
    bad = [env_for(bell, KNOBS, total_timesteps=1).plan.decode(points[index].tolist()) for index in failing]

    def score(configuration: Mapping[str, Value]) -> float | None:
        failed = any(all(configuration[name] == each[name] for name in configuration) for each in bad)
        return None if failed else 1000.0 + 0.5 * number(configuration)

    env = env_for(score, KNOBS, noise=noise, total_timesteps=10 * count)
    env.reset()
    for index, point in enumerate(points):
        for _ in range(repeat if index in failing else 1):
            env.step(point.astype(np.float32))
    return env, points


def chance(found: Knowledge, points: np.ndarray) -> np.ndarray:
    """Probability that runs work there."""
    assert found._failing is not None
    coordinates = found.at(points)
    predicted = found.surrogate.predict(coordinates)
    return np.exp(found._log_allowed(coordinates, predicted))


@pytest.mark.parametrize(("count", "failing"), [(6, [5]), (24, [12]), (24, [5, 12]), (24, [3, 9, 20])])
def test_one_failure_says_that_the_next_one_there_is_likely(count: int, failing: list[int]) -> None:
    env, points = played(count, failing)
    found = knowledge(env)
    works = chance(found, points)
    assert works[failing].max() < 0.35, "where it failed"
    near = np.clip(points[failing] + 0.02, 0.0, 1.0)
    assert chance(found, near).max() < 0.4, "beside it"
    others = np.delete(works, failing)
    assert np.median(others) > 0.9 and others.min() > 0.6, "where it worked"


def test_failures_of_earlier_sessions_count_until_ones_own_runs_say_otherwise() -> None:
    env, points = played(12)

    def told(where: np.ndarray) -> list[Observation]:
        fine = np.random.default_rng(9).random((9, KNOBS)).tolist()
        labels = [(each, -1.0) for each in where.tolist()] + [(each, 0.0) for each in fine]
        return [Observation(env.plan.decode(each), gain, uncertainty=HEARSAY) for each, gain in labels]

    elsewhere = np.random.default_rng(8).random((2, KNOBS))
    assert chance(knowledge(env, told(elsewhere)), elsewhere).max() < 0.5
    assert chance(knowledge(env, told(points[:2])), points[:2]).min() > 0.8, "it worked here"


def test_failures_cost_no_more_with_many_trials() -> None:
    env, points = played(MOST_TRIALS + 30, [4])
    found = knowledge(env)
    assert found._failing is not None and len(found._failing._points) == MOST_TRIALS + 1
    failed = found.surrogate.model.encoding.coordinates([env.plan.decode(points[4].tolist())])
    assert (found._failing._points == failed).all(axis=1).sum() == 1, "the oldest failure is still known"


def test_the_gate_opens_when_the_surrogate_predicts() -> None:
    def steep(configuration: Mapping[str, Value]) -> float:
        return 1000.0 + number(configuration)

    def gate(score: object, trials: int, noise: float) -> bool:
        env = env_for(score, 3, noise=noise, total_timesteps=60)  # type: ignore[arg-type]
        env.reset()
        for point in np.random.default_rng(1).random((trials, 3)):
            env.step(point.astype(np.float32))
        return knowledge(env).gate

    assert gate(steep, 24, 0.02)
    assert not gate(steep, GATE_TRIALS - 2, 0.02), "too few"
    assert not gate(lambda configuration: 1000.0, 24, 0.05), "nothing to predict"
