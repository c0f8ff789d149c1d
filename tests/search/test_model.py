"""What the model makes of drift, accidents and uncertain runs, where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.search.model import (
    MOST_DEFAULTS,
    MOST_TRIALS,
    Effect,
    Model,
    Observation,
    observe,
    probability_above_zero,
)

NOISE = 0.02
SPACE = Space(tuple(Dimension(f"demo.k{index}", "integer", 0, 1000) for index in range(4)))
DEFAULT: dict[str, Value] = dict.fromkeys(SPACE.names, 100)


def gain(configuration: dict[str, Value]) -> float:
    value = configuration["demo.k0"]
    assert isinstance(value, int)
    return 0.2 * (value - 100) / 900


def session(seed: int, trials: int = 40, drift: float = 0.0) -> list[Observation]:
    """Random configurations and every eighth time the default, while the machine gets better by ``drift`` in all."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(-4, trials):
        other = number >= 0 and number % 8 != 7
        configuration = SPACE.decode([float(u) for u in random.random(4)]) if other else DEFAULT
        score = gain(configuration) + drift * number / trials + NOISE * random.standard_normal()
        found.append(Observation(configuration, score, 30.0 * number, 0.0, other))
    return found


def test_the_knob_that_matters_is_known_and_the_effect_is_near_the_truth() -> None:
    for seed in range(5):
        model = Model(SPACE, DEFAULT, session(seed), NOISE)
        assert "demo.k0" in model.active
        assert len(model.active) <= 2
        effect = model.effect({"demo.k0": 900})
        assert abs(effect.mean - gain({**DEFAULT, "demo.k0": 900})) < 4 * effect.sd
        assert effect.mean == pytest.approx(0.178, abs=1.5 * NOISE)
        assert effect.sure > 0.99


def test_effects_are_differences() -> None:
    model = Model(SPACE, DEFAULT, session(1), NOISE)
    there, back = model.effect({"demo.k0": 900}, {"demo.k0": 300}), model.effect({"demo.k0": 300}, {"demo.k0": 900})
    assert there.mean == pytest.approx(model.predict({"demo.k0": 900}) - model.predict({"demo.k0": 300}))
    assert there.mean == pytest.approx(-back.mean)
    assert there.sd == pytest.approx(back.sd)
    assert model.effect(DEFAULT) == Effect(0.0, 0.0, 0.0)
    assert model.predict({}) == 0.0


def test_what_was_never_tried_is_less_certain() -> None:
    near = [entry for entry in session(2) if not entry.eligible or gain(dict(entry.configuration)) < 0.1]
    model = Model(SPACE, DEFAULT, near, NOISE)
    assert model.effect({"demo.k0": 1000}).sd > 1.3 * model.effect({"demo.k0": 300}).sd


def test_certainty_of_an_effect() -> None:
    assert probability_above_zero(0.0, 1.0) == pytest.approx(0.5)
    assert probability_above_zero(1.96, 1.0) == pytest.approx(0.975, abs=1e-4)
    assert probability_above_zero(-1.0, 0.0) == 0.0
    assert probability_above_zero(1.0, 0.0) == 1.0


# --- drift


def test_drift_is_seen_and_is_nobodys_merit() -> None:
    seen, errors, steady = 0, [], 0
    for seed in range(5):
        model = Model(SPACE, DEFAULT, session(seed, drift=0.2), NOISE)
        seen += model.drift_sd > 0
        errors.append(model.predict({"demo.k0": 900}) - 0.178)
        steady += Model(SPACE, DEFAULT, session(seed), NOISE).drift_sd == 0
    assert seen >= 4
    assert steady >= 3
    assert abs(float(np.mean(errors))) < NOISE
    assert max(abs(error) for error in errors) < 0.07


def test_a_knob_that_grows_with_time_is_not_credited_with_the_drift() -> None:
    random = np.random.default_rng(1)
    found = []
    for number in range(48):
        other = number % 6 != 0
        configuration = {**DEFAULT, "demo.k1": 100 + 18 * number} if other else DEFAULT
        score = 0.004 * number + 0.5 * NOISE * random.standard_normal()
        found.append(Observation(configuration, score, 30.0 * number, 0.0, other))
    model = Model(SPACE, DEFAULT, found, 0.5 * NOISE)
    assert model.predict({"demo.k1": 900}) < 0.06  # The last ones are 0.19 better than the first.
    timeless = [Observation(entry.configuration, entry.gain) for entry in found]
    assert Model(SPACE, DEFAULT, timeless, 0.5 * NOISE).predict({"demo.k1": 900}) > 0.08


# --- accidents and uncertain runs


@pytest.mark.parametrize("size", [0.3, -0.3, 2.0])
def test_an_accident_is_recognised_and_changes_little(size: float) -> None:
    found = session(3)
    at = next(index for index, entry in enumerate(found) if entry.eligible and gain(dict(entry.configuration)) > 0.1)
    broken = list(found)
    broken[at] = Observation(found[at].configuration, found[at].gain + size, found[at].time)
    model = Model(SPACE, DEFAULT, broken, NOISE)
    assert model.outliers[at]
    assert model.outliers.sum() <= 2
    assert model.predict({"demo.k0": 900}) == pytest.approx(0.178, abs=2 * NOISE)


def test_without_accidents_hardly_any_are_seen() -> None:
    assert sum(int(Model(SPACE, DEFAULT, session(seed), NOISE).outliers.sum()) for seed in range(5)) <= 3


def test_a_good_region_is_no_accident() -> None:
    found = session(4)
    found += [
        Observation({**DEFAULT, "demo.k3": value}, 0.3 + 0.01 * (index % 2), 1300.0 + 30 * index)
        for index, value in enumerate((690, 695, 700, 705, 710))
    ]
    model = Model(SPACE, DEFAULT, found, NOISE)
    assert not model.outliers[-5:].any()
    assert model.predict({"demo.k3": 700}) > 0.2


def test_an_estimate_counts_for_less_than_a_whole_run() -> None:
    def predicted(uncertainty: float) -> float:
        wrong = [Observation({**DEFAULT, "demo.k0": 500}, 0.0, 1200.0, uncertainty)]
        return Model(SPACE, DEFAULT, session(5) + wrong, NOISE).predict({"demo.k0": 500})

    believed, doubted, without = predicted(0.0), predicted(0.2), predicted(1e6)
    assert believed < doubted
    assert doubted == pytest.approx(without, abs=0.005)


def test_a_noise_that_was_measured_wrongly_is_mended() -> None:
    model = Model(SPACE, DEFAULT, session(6), 2 * NOISE)
    assert model.noise_sd < 2 * NOISE
    assert Model(SPACE, DEFAULT, session(6), 0.5 * NOISE).noise_sd > 0.5 * NOISE


# --- from the record


def trial(number: int, kind: str, score: float | None, **known: float) -> Trial:
    configuration = {} if kind in ("baseline", "control", "warmup") else {"demo.k0": 900}
    return Trial(
        number, kind, configuration, score, {}, {}, (), 30.0, None, "", 30.0 * number,
        cut_short=bool(known.get("cut_short")), uncertainty=known.get("uncertainty", 0.0),
    )  # fmt: skip


def test_what_the_model_learns_from() -> None:
    record = [
        trial(0, "warmup", 1.0), trial(1, "baseline", 100.0), trial(2, "probe", 120.0), trial(3, "search", None),
        trial(4, "search", 50.0, cut_short=True, uncertainty=0.1), trial(5, "control", 100.0),
        trial(6, "run-off", 130.0), trial(7, "verify-default", 99.0),
    ]  # fmt: skip
    probe, cut, runoff, *defaults = observe(record, SPACE, DEFAULT, "minimize")
    assert probe == Observation({**DEFAULT, "demo.k0": 900}, pytest.approx(-math.log(1.2)), 60.0, 0.0, True)
    assert cut == Observation({**DEFAULT, "demo.k0": 900}, pytest.approx(math.log(2)), 120.0, 0.1, False)
    assert runoff == Observation({**DEFAULT, "demo.k0": 900}, pytest.approx(-math.log(1.3)), 180.0, 0.0, True)
    assert [entry.time for entry in defaults] == [30.0, 150.0]
    assert [entry.configuration for entry in defaults] == [DEFAULT, DEFAULT]
    assert not any(entry.eligible for entry in defaults)


def test_the_latest_ones_count() -> None:
    record = [trial(n, "control" if n % 2 else "search", 100.0) for n in range(1000)]
    found = observe(record, SPACE, DEFAULT, "maximize")
    assert len(found) == MOST_TRIALS + MOST_DEFAULTS
    assert found[-1].time == 30.0 * 999


def test_the_default_alone_is_nothing_to_learn_from() -> None:
    assert observe([trial(1, "baseline", 100.0)], SPACE, DEFAULT, "maximize") == []
    assert observe([trial(1, "search", 100.0)], SPACE, DEFAULT, "maximize") == []
