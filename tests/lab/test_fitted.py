"""Surfaces fitted to sweeps of machines whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knobctl.errors import UsageError
from knobctl.lab.design import design
from knobctl.lab.fitted import fitted_surface, shipped_surface, sweep_target
from knobctl.lab.fitting import SMOOTHINGS, Points
from knobctl.lab.sweep import Sweep, read_sweep
from knobctl.target.noise import NoiseModel
from tests.lab.sweeps import RUN_SECONDS, Indifferent, Machine, Slow, machine, recorded, recording, safe_plan

TRUTH = Machine()
NOISE = 0.02


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return recorded(tmp_path_factory.mktemp("sweep") / "machine.jsonl.gz", runs=200, noise=NOISE)


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "small.jsonl.gz"
    recording(path, machine(), runs=60)
    return path


# --- the mean


def test_the_knobs_that_matter_are_found_and_no_other(sweep: Sweep) -> None:
    surface = fitted_surface(sweep)
    assert surface.active == ("vm.dirty_ratio", "block.scheduler")
    assert (surface.name, surface.metric, surface.direction) == ("machine", TRUTH.metric, "maximize")
    assert surface.base == pytest.approx(3000.0, rel=0.02)


def test_the_surface_is_close_to_the_truth_where_it_was_not_measured(sweep: Sweep) -> None:
    surface, plan = fitted_surface(sweep), safe_plan(machine())
    fresh = [plan.decode(point) for point in design(4, 100, seed=99).points]
    errors = [surface.gain(configuration) - TRUTH.gain(configuration) for configuration in fresh]
    assert math.sqrt(np.mean(np.square(errors))) < NOISE
    assert surface.gain({}) == 0.0
    assert surface.score({}) == surface.base


def test_the_fit_says_how_good_it_is(sweep: Sweep) -> None:
    fit = fitted_surface(sweep).fit
    assert fit.r_squared is not None
    assert fit.ceiling is not None
    assert 0.95 < fit.r_squared < 1.0
    assert 0.95 < fit.ceiling < 1.0
    assert fit.repeated == 21  # 20 points and the default
    assert fit.points == 141


def test_the_optimum_is_the_best_of_the_space(sweep: Sweep) -> None:
    surface = fitted_surface(sweep)
    best, gain = surface.optimum()
    assert best["block.scheduler"] == "none"
    assert int(best["vm.dirty_ratio"]) > 55
    assert set(best) == {"block.scheduler", "vm.dirty_ratio"}  # what does not matter stays as found
    assert gain == surface.gain(best) == pytest.approx(0.3, abs=0.05)
    plan = safe_plan(machine())
    others = [surface.gain(plan.decode(point)) for point in design(4, 300, seed=5).points]
    assert max(others) <= gain
    assert surface.optimum() == (best, gain)


def test_the_effect_of_each_knob(sweep: Sweep) -> None:
    ratio, scheduler = fitted_surface(sweep).effects()
    assert (ratio.knob, scheduler.knob, scheduler.best) == ("vm.dirty_ratio", "block.scheduler", "none")
    assert ratio.worst_percent == pytest.approx(-28.0, abs=5)  # dirty_ratio 2: exp(-0.332)
    assert scheduler.best_percent == pytest.approx(10.5, abs=3)


def test_less_is_better(tmp_path: Path) -> None:
    surface = fitted_surface(recorded(tmp_path / "slow.jsonl", Slow(), runs=200, noise=NOISE))
    best, gain = surface.optimum()
    score = surface.score(best)
    assert score is not None
    assert gain == pytest.approx(0.3, abs=0.05)
    assert score == pytest.approx(surface.base * math.exp(-gain))


def test_where_no_knob_matters_the_surface_is_flat(tmp_path: Path) -> None:
    surface = fitted_surface(recorded(tmp_path / "flat.jsonl", Indifferent(), runs=200))
    assert surface.active == ()
    assert surface.optimum() == ({}, 0.0)
    assert surface.effects() == ()
    assert surface.score({"vm.dirty_ratio": 80, "vm.swappiness": 0}) == surface.base
    assert surface.fit.r_squared is not None
    assert surface.fit.r_squared <= 0.0


def test_nothing_is_better_or_worse_than_what_was_recorded(sweep: Sweep) -> None:
    surface = fitted_surface(sweep)
    recorded_gains = [surface.gain(sweep.configuration(run)) for run in sweep.counted]
    extremes = [
        surface.gain({"vm.dirty_ratio": ratio, "block.scheduler": word, "vm.dirty_background_ratio": other})
        for ratio in (-100, 0, 2, 80, 10**9)
        for word in ("none", "kyber")
        for other in (1, 60)
    ]
    assert min(recorded_gains) <= min(extremes)
    assert max(extremes) <= max(recorded_gains)


def test_a_word_that_was_never_recorded_has_no_score(sweep: Sweep) -> None:
    surface = fitted_surface(sweep)
    assert surface.score({"block.scheduler": "bfq"}) is None
    with pytest.raises(ValueError, match="'bfq' is none of mq-deadline, none, kyber"):
        surface.gain({"block.scheduler": "bfq"})


def test_the_error_of_leaving_one_out_is_that_of_a_fit_without_it(sweep_file: Path) -> None:
    data = Points.of(read_sweep(sweep_file))
    active = ("vm.dirty_ratio", "block.scheduler")
    errors, smoothing = data.errors(active)
    assert smoothing in SMOOTHINGS
    for index in (0, 7, 23):
        kept = np.arange(len(data.means)) != index
        others = replace(
            data,
            configurations=tuple(np.array(data.configurations, dtype=object)[kept]),
            counts=data.counts[kept],
            means=data.means[kept],
        )
        predicted = others.spline(active, smoothing)(data.features(active)[[index]])[0]
        assert errors[index] == pytest.approx(data.means[index] - predicted, abs=1e-9)


def test_what_a_whole_part_has_in_common_is_no_effect(sweep: Sweep) -> None:
    half = len(sweep.runs) // 2
    moved = tuple(
        replace(run, part=1, score=None if run.score is None else 1.3 * run.score) if place >= half else run
        for place, run in enumerate(sweep.runs)
    )
    parts = (sweep.parts[0], replace(sweep.parts[0], number=1, offset=1000.0))
    shifted = fitted_surface(replace(sweep, parts=parts, runs=moved))
    whole = fitted_surface(sweep)
    assert shifted.active == whole.active
    assert shifted.optimum()[1] == pytest.approx(whole.optimum()[1], abs=0.02)


def test_a_few_runs_that_went_wrong_do_not_bend_the_surface(sweep: Sweep) -> None:
    damaged = tuple(
        replace(run, score=run.score / 4 if place % 17 == 5 and run.score else run.score)
        for place, run in enumerate(sweep.runs)
    )
    surface = fitted_surface(replace(sweep, runs=damaged))
    assert surface.active == fitted_surface(sweep).active
    assert surface.optimum()[1] == pytest.approx(0.3, abs=0.06)
    assert surface.base == pytest.approx(3000.0, rel=0.03)


def test_a_sweep_that_is_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the sweep few has 12 configurations with a score, and a surface needs") as no:
        fitted_surface(recorded(tmp_path / "few.jsonl", runs=15))
    assert "goes on where it stopped" in no.value.hint


# --- the noise


def test_the_noise_is_that_of_the_machine(tmp_path: Path) -> None:
    model = NoiseModel(between=0.05, within=0.09, outliers=0.06, outlier_spread=1.0)
    noise = fitted_surface(recorded(tmp_path / "noisy.jsonl", noise=model, runs=300)).noise
    assert noise.between == pytest.approx(0.05, abs=0.015)
    assert noise.within == pytest.approx(0.09, abs=0.01)
    assert noise.outliers == pytest.approx(0.05, abs=0.03)
    assert noise.outlier_spread > 0.3
    assert noise.drift < 0.025
    assert noise.correlation == 0.0  # three seconds say nothing about that


def test_drift_is_told_from_noise(tmp_path: Path) -> None:
    model = NoiseModel(between=0.01, within=0.01, drift=0.08, drift_seconds=150.0)
    noise = fitted_surface(recorded(tmp_path / "drifting.jsonl", noise=model, runs=300)).noise
    assert noise.drift == pytest.approx(0.08, abs=0.035)
    assert noise.between < 0.03
    assert 60.0 <= noise.drift_seconds < 600.0


def test_a_still_machine_has_no_noise(tmp_path: Path) -> None:
    assert fitted_surface(recorded(tmp_path / "still.jsonl", noise=0.0)).noise.spread(RUN_SECONDS) < 1e-6


# --- as a machine


def test_the_surface_is_a_machine_with_its_own_noise_and_facts(sweep_file: Path) -> None:
    target = sweep_target(str(sweep_file), seed=3)
    surface = shipped_surface(str(sweep_file))
    assert target.facts().simulated
    assert target.run_seconds == RUN_SECONDS
    assert target.noise == surface.noise
    assert [tuned.found for tuned in safe_plan(target).knobs] == list(Machine().default().values())
    assert safe_plan(target).space == read_sweep(sweep_file).header.space
    again = recorded(sweep_file.with_name("again.jsonl"), surface, noise=surface.noise)
    scores = [run.score for run in again.counted if run.role == "default" and run.score]
    assert np.mean(scores) == pytest.approx(surface.base, rel=0.05)


def test_there_is_no_machine_for_a_sweep_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="there is no sweep 'nowhere'"):
        sweep_target("nowhere")
