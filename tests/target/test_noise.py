"""The noise of simulated machines has the size that it announces, and the same question has the same answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from knobctl.errors import UsageError
from knobctl.target.noise import NOISES, NoiseModel, Weather, noise_model

RUN = 30
PAUSE = 1


def log_scores(model: NoiseModel, seed: int, runs: int, seconds: int = RUN) -> list[float]:
    """Log scores of runs one after the other, as a target computes them."""
    weather = Weather(model, seed)
    logs = []
    for run in range(runs):
        luck, began = weather.luck(run, seconds, 0), run * (seconds + PAUSE)
        values = [
            math.exp(luck.shift + deviation + weather.at(began + second) + weather.settling(second))
            for second, deviation in enumerate(luck.samples, 1)
        ]
        logs.append(math.log(sum(values) / len(values)))
    return logs


@pytest.mark.parametrize(("name", "percent"), [("still", 0.0), ("quiet", 2.0), ("vm", 5.0), ("hostile", 12.0)])
def test_a_noise_has_the_spread_that_it_announces(name: str, percent: float) -> None:
    model = NOISES[name]
    assert 100.0 * model.spread(RUN) == pytest.approx(percent, rel=0.05)
    logs = [score for seed in range(40) for score in log_scores(model, seed, 25)]
    assert np.std(logs) == pytest.approx(model.spread(RUN), rel=0.15, abs=1e-12)


def test_a_longer_run_averages_the_noise_within_it_and_not_that_between_runs() -> None:
    model = NoiseModel(between=0.02, within=0.1, correlation=0.5)
    for seconds in (10, 90):
        expected = math.sqrt(0.02**2 + 0.1**2 * 3.0 / seconds)
        assert np.std(log_scores(model, 1, 1500, seconds)) == pytest.approx(expected, rel=0.08)
        assert model.spread(seconds) == pytest.approx(expected)


def test_neighbouring_seconds_correlate() -> None:
    weather = Weather(NoiseModel(within=0.1, correlation=0.7), 1)
    samples = np.array([weather.luck(run, RUN, 0).samples for run in range(300)])
    assert np.std(samples) == pytest.approx(0.1, rel=0.05)
    assert np.corrcoef(samples[:, :-1].ravel(), samples[:, 1:].ravel())[0, 1] == pytest.approx(0.7, abs=0.03)


def test_drift_wanders_slowly_and_stays_in_its_bounds() -> None:
    model = NoiseModel(drift=0.05, drift_seconds=600.0)
    moments = np.array([[Weather(model, seed).at(second) for second in (0, 60, 600, 6000)] for seed in range(400)])
    assert moments.std(axis=0) == pytest.approx([0.05] * 4, rel=0.12)
    correlation = np.corrcoef(moments.T)[0]
    assert correlation[1] == pytest.approx(math.exp(-0.1), abs=0.05)
    assert correlation[2] == pytest.approx(math.exp(-1.0), abs=0.12)
    assert correlation[3] == pytest.approx(0.0, abs=0.12)


def test_bad_times_come_as_often_and_last_as_long_as_announced() -> None:
    model = NoiseModel(regimes_per_hour=0.5, regime_depth=-0.2)
    weather = Weather(model, 1)
    times = [time for hour in range(1000) for time in weather.bad_times(hour)]
    assert len(times) == pytest.approx(500, rel=0.15)
    assert all(300.0 <= end - start <= 1200.0 for start, end in times)
    start, end = times[0]
    assert [weather.at(second) for second in (start - 1, start + 1, end - 1)] == [0.0, -0.2, -0.2]
    across = next((start, end) for start, end in times if start // 3600 != (end - 1) // 3600)
    assert weather.at(across[1] - 1) == -0.2, "a bad time goes on in the next hour"


def test_outliers_are_slow() -> None:
    weather = Weather(NoiseModel(outliers=0.1, outlier_spread=0.3), 1)
    shifts = np.array([weather.luck(run, 1, 0).shift for run in range(2000)])
    assert (shifts <= 0).all()
    assert (shifts < 0).mean() == pytest.approx(0.1, abs=0.02)
    assert math.sqrt((shifts[shifts < 0] ** 2).mean()) == pytest.approx(0.3, rel=0.15)


def test_a_run_starts_slowly() -> None:
    weather = Weather(NoiseModel(settling_seconds=5.0), 1)
    begins, settled = weather.settling(0.0), weather.settling(5.0)
    assert (math.exp(begins), math.exp(settled)) == pytest.approx((0.6, 0.99))
    assert Weather(NoiseModel(), 1).settling(0.0) == 0.0


def test_the_same_question_has_the_same_answer_whatever_was_asked_before() -> None:
    asked, fresh = Weather(NOISES["hostile"], 3), Weather(NOISES["hostile"], 3)
    for moment in (90_000.0, 10.0, 40_000.0):
        asked.at(moment)
    assert [asked.at(moment) for moment in range(0, 50_000, 500)] == [
        fresh.at(moment) for moment in range(0, 50_000, 500)
    ]
    assert asked.luck(7, 30, 3) == fresh.luck(7, 30, 3) != fresh.luck(8, 30, 3)
    assert fresh.luck(7, 60, 3).samples[:30] == fresh.luck(7, 30, 3).samples
    assert Weather(NOISES["hostile"], 4).luck(7, 30, 3) != fresh.luck(7, 30, 3)


def test_a_number_is_the_noise_between_runs_and_within_them() -> None:
    assert noise_model(0.04) == NoiseModel(between=0.04, within=0.04)
    assert noise_model("vm") is NOISES["vm"]
    assert noise_model(NOISES["vm"]) is NOISES["vm"]
    with pytest.raises(UsageError, match="unknown noise 'loud'") as caught:
        noise_model("loud")
    assert caught.value.hint == "Known: still, quiet, vm, hostile."


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"between": -0.1}, "noise: between is -0.1"),
        ({"drift": math.nan}, "noise: drift is nan"),
        ({"correlation": 1.0}, "noise: correlation is 1"),
        ({"outliers": 1.5}, "noise: outliers is 1.5"),
        ({"drift_seconds": 0.0}, "noise: drift_seconds is 0"),
        ({"regime_seconds": (600.0, 300.0)}, "noise: regime_seconds is 600 to 300"),
        ({"regime_seconds": (300.0, 7200.0)}, "noise: regime_seconds is 300 to 7200"),
    ],
)
def test_a_noise_that_makes_no_sense_is_refused(numbers: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NoiseModel(**numbers)  # type: ignore[arg-type]
