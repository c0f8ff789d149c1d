"""What the beliefs say, where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.search.model import Effect, Model, Observation
from knobctl.search.process import Array
from knobctl.search.surrogate import Memory, Predicted, State, Surrogate

NOISE = 0.02
SPACE = Space(tuple(Dimension(f"demo.k{index}", "integer", 0, 1000) for index in range(6)))
DEFAULT: dict[str, Value] = dict.fromkeys(SPACE.names, 100)


def bell(point: Array, top: float = 0.7) -> float:
    return 0.3 * math.exp(-0.5 * ((point[0] - top) / 0.2) ** 2)


ORIGIN = np.full(6, 0.1)


def seen(count: int, seed: int, top: float = 0.7) -> list[Observation]:
    random = np.random.default_rng(seed)
    points = random.random((count, 6))
    found = [Observation(DEFAULT, NOISE * random.standard_normal(), 0.0, 0.0, False) for _ in range(5)]
    for number, point in enumerate(points, 1):
        configuration = SPACE.decode([float(u) for u in point])
        gain = bell(point, top) - bell(ORIGIN, top) + NOISE * random.standard_normal()
        found.append(Observation(configuration, gain, 30.0 * number))
    return found


def surrogate(count: int, seed: int = 0, memories: tuple[Memory, ...] = (), top: float = 0.7) -> Surrogate:
    model = Model(SPACE, DEFAULT, seen(count, seed, top), NOISE)
    return Surrogate(model, model.encoding.coordinates([DEFAULT]), np.random.default_rng(seed), None, memories)


def line(knob: int, count: int = 11) -> Array:
    points = np.tile(ORIGIN, (count, 1))
    points[:, knob] = np.linspace(0, 1, count)
    return points


def test_with_enough_trials_the_truth_is_believed() -> None:
    for seed in range(3):
        predicted = surrogate(40, seed).predict(line(0))
        truth = np.array([bell(point) - bell(ORIGIN) for point in line(0)])
        assert np.abs(predicted.mean - truth).max() < 4 * NOISE
        assert int(np.argmax(predicted.mean)) in (6, 7, 8)
        assert np.abs(surrogate(40, seed).predict(line(3)).mean).max() < 2 * NOISE, "a bystander"


def test_an_effect_is_that_of_the_mixture_of_all_beliefs() -> None:
    found = surrogate(12, 1)
    there, here = {"demo.k0": 700}, {"demo.k0": 300, "demo.k3": 900}
    effect = found.effect(there, here)
    points = found.model.encoding.coordinates([{**DEFAULT, **there}, {**DEFAULT, **here}])
    assert effect.mean == pytest.approx(float(np.diff(found.predict(points).mean[::-1])[0]))
    assert effect.mean == pytest.approx(-found.effect(here, there).mean)
    alone = found.predict(points[:1])
    assert found.effect(there).mean == pytest.approx(float(alone.mean[0]))
    assert found.effect(there).sd == pytest.approx(float(alone.sd[0]))
    assert found.effect(there).sure == pytest.approx(1.0 - float(alone.below(0.0)[0]), abs=1e-6)
    assert found.effect(DEFAULT) == Effect(0.0, 0.0, 0.0)


def test_the_less_is_known_the_less_is_believed() -> None:
    few, many = surrogate(6).predict(line(0)).sd, surrogate(40).predict(line(0)).sd
    assert few.mean() > 1.5 * many.mean()
    assert few[1] == pytest.approx(0.0, abs=1e-6), "nothing changed, nothing gained"


def test_a_knob_that_explains_little_is_not_forgotten() -> None:
    assert surrogate(8).predict(line(3)).sd.max() > 0.0


def test_beliefs_add_up() -> None:
    found = surrogate(12)
    assert found.shares.sum() == pytest.approx(1.0)
    assert found.predict(line(0)).means.shape == (len(found.shares), 11)
    assert found.trusted == 0.0


def test_the_chain_goes_on_where_it_stood() -> None:
    first = surrogate(12)
    model = first.model
    origin = model.encoding.coordinates([DEFAULT])
    start = State({1: 0.4, 2: 0.4, 3: 0.4})
    assert not set(model.lengths) & set(start.lengths)
    stood = Surrogate(model, origin, np.random.default_rng(3), start, steps=1)
    assert len(set(stood.state.lengths) & set(start.lengths)) >= 2, "one step changes one knob"


# --- earlier sessions


def test_a_memory_that_fits_is_trusted_and_one_that_misleads_is_not() -> None:
    right = Memory(Model(SPACE, DEFAULT, seen(40, 7), NOISE), 1.0)
    wrong = Memory(Model(SPACE, DEFAULT, seen(40, 8, top=0.05), NOISE), 1.0)
    at_once = surrogate(1, 1, (right,))
    assert at_once.trusted > 0.4
    assert int(np.argmax(at_once.predict(line(0)).mean)) in (6, 7, 8), "with a single trial"
    misled = surrogate(25, 2, (wrong,))
    assert misled.trusted < 0.6, "less than before any trial"
    assert int(np.argmax(misled.predict(line(0)).mean)) in (6, 7, 8)
    both = surrogate(12, 3, (wrong, right))
    assert int(np.argmax(both.predict(line(0)).mean)) in (6, 7, 8)


# --- other quantities


def test_other_quantities_are_predicted_with_the_score() -> None:
    observations = seen(40, 4)
    model = Model(SPACE, DEFAULT, observations, NOISE)
    busy = np.array([[0.5 * entry.gain, 0.0] for entry in observations])
    origin = model.encoding.coordinates([DEFAULT])
    found = Surrogate(model, origin, np.random.default_rng(0), others=busy).predict(line(0))
    assert found.others.shape == (11, 2)
    assert found.others[:, 0] == pytest.approx(0.5 * found.mean, abs=NOISE)
    assert found.others[:, 1] == pytest.approx(0.0)


# --- what is made of it


def test_expected_improvement_is_that_of_the_formula() -> None:
    said = Predicted(np.array([0.5, 0.5]), np.array([[0.1, 0.0], [0.1, 0.2]]), np.full((2, 2), 0.1), np.zeros((2, 0)))
    draws = np.random.default_rng(0).standard_normal(400_000)
    for column in range(2):
        means, best = said.means[:, column], (0.05, 0.1)
        gains = [np.maximum(mean + 0.1 * draws - top, 0.0).mean() for mean, top in zip(means, best, strict=True)]
        expected = float(np.mean(gains))
        assert math.exp(said.log_improvement(np.array(best), 0.0)[column]) == pytest.approx(expected, rel=0.02)
        noisy = math.exp(said.log_improvement(np.array(best), 0.1)[column])
        assert noisy == pytest.approx(expected * (1.0 - 1.0 / math.sqrt(2.0)), rel=0.02), "a run teaches half of it"


def test_what_a_run_would_hardly_teach_is_worth_little() -> None:
    """A sure small gain is worth more than an unsure one without noise, and less when runs are noisy."""
    said = Predicted(np.array([1.0]), np.array([[0.03, 0.0]]), np.array([[0.001, 0.06]]), np.zeros((2, 0)))
    assert np.diff(said.log_improvement(np.array([0.0]), 0.0)) < 0.0
    assert np.diff(said.log_improvement(np.array([0.0]), 0.05)) > 0.0


def test_a_doubt_looks_again_at_what_all_beliefs_leave_out() -> None:
    model = Model(SPACE, DEFAULT, seen(40, 0), NOISE)
    origin = model.encoding.coordinates([DEFAULT])
    sure, doubting = (Surrogate(model, origin, np.random.default_rng(0), doubt=doubt) for doubt in (0.0, 0.15))
    assert doubting.shares.sum() == pytest.approx(1.0)
    assert doubting.shares[-1] == pytest.approx(0.15)
    assert sure.predict(line(3)).sd.max() < 0.7 * doubting.predict(line(3)).sd.max()
    assert np.abs(doubting.predict(line(0)).mean - sure.predict(line(0)).mean).max() < 2 * NOISE


def test_risk_is_a_probability() -> None:
    said = Predicted(np.array([0.75, 0.25]), np.array([[0.0], [-1.0]]), np.full((2, 1), 0.1), np.zeros((2, 0)))
    assert said.below(-0.1)[0] == pytest.approx(0.75 * 0.1587 + 0.25, abs=1e-3)
    assert said.mean[0] == pytest.approx(-0.25)
    assert said.sd[0] == pytest.approx(math.sqrt(0.01 + 0.75 * 0.25**2 + 0.25 * 0.75**2))
