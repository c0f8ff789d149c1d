"""Whole sessions beside the truth: what is claimed holds, the same seed plays the same session, nothing is left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knobctl.errors import PreflightRefused, UsageError
from knobctl.knobs import Value
from knobctl.lab import LabSession, NoiseModel, named_surface, run_session
from knobctl.measure import Verdict
from knobctl.target.surfaces import SURFACES


class Mine:
    """Anybody's surface: knobs of its own, less is better, and no more than five names."""

    metric, direction = "seconds_per_build", "minimize"
    action_space = (
        {"param": "my.level", "min": 0, "max": 100},
        {"param": "vm/swappiness", "min": 0, "max": 100},
    )

    def default(self) -> dict[str, Value]:
        return {"my.level": 0, "vm/swappiness": 60}

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        level = configuration["my.level"]
        assert isinstance(level, int)
        return 100.0 - 0.5 * level


def without_times(session: LabSession) -> dict[str, Any]:
    document = session.to_dict()
    for name in ("cpu_seconds", "session_id"):
        document.pop(name, None)
        document["result"].pop(name, None)
    return document


def test_a_real_gain_is_proven_and_the_truth_stands_beside_it() -> None:
    session = run_session(SURFACES["file-write"], "quiet", "random", 16, 1)
    assert session.result.verdict is Verdict.IMPROVED
    assert session.result.restored
    assert session.optimum_percent == pytest.approx(206, abs=1)
    assert session.true_percent is not None and session.optimum_percent is not None
    assert 50 < session.true_percent <= session.optimum_percent
    interval = session.result.improvement_interval
    assert interval is not None and interval[0] < session.true_percent < interval[1]
    assert session.truth_of_best_config == session.true_percent
    assert session.announced_percent == session.result.smallest_percent
    assert session.best_seen_percent == session.result.claimed_by_search
    assert (session.surface, session.noise, session.searcher, session.seed) == ("file-write", "quiet", "random", 1)
    assert session.budget == sum(trial.kind == "search" for trial in session.trials) == 16
    assert len(session.trials) == session.result.trials
    assert 0 < session.search_seconds < session.result.benchmark_seconds
    assert session.cpu_seconds > 0


def test_where_nothing_matters_the_truth_is_nothing_and_the_search_claims_much() -> None:
    session = run_session(SURFACES["null"], "vm", "random", 16, 2)
    assert session.result.verdict is not Verdict.IMPROVED
    assert (session.true_percent, session.truth_of_best_config, session.optimum_percent) == (0.0, 0.0, 0.0)
    assert session.best_seen_percent is not None and session.best_seen_percent > 2.0


def test_the_same_seed_plays_the_same_session_and_leaves_nothing() -> None:
    folders = {Path("/dev/shm"), Path(tempfile.gettempdir())}

    def play(seed: int) -> dict[str, Any]:
        return without_times(run_session(named_surface("family:few:1"), "hostile", "tpe", 12, seed))

    first = play(3)
    assert play(3) == first
    assert play(4) != first
    assert not [path for folder in folders if folder.is_dir() for path in folder.glob(f"knobctl-lab-{os.getpid()}-*")]


def test_searchers_meet_the_same_noise() -> None:
    def defaults(searcher: str) -> list[float | None]:
        trials = run_session(SURFACES["null"], "quiet", searcher, 8, 5).trials
        return [trial.score for trial in trials if trial.kind in ("warmup", "baseline")]

    assert defaults("random") == defaults("tpe")


def test_anybodys_surface_is_played_by_its_own_rules() -> None:
    session = run_session(Mine(), 0.01, "tpe", 16, 1, pairs=6)
    assert session.surface == "Mine"
    assert session.noise == "custom"
    assert session.optimum_percent is None, "it does not know"
    assert session.result.direction == "minimize"
    assert session.result.verdict is Verdict.IMPROVED
    level = session.result.candidate_config["my.level"]
    assert isinstance(level, int)
    assert session.true_percent == pytest.approx(100.0 * (100.0 / (100.0 - 0.5 * level) - 1.0))


def test_a_surface_may_bring_its_own_noise() -> None:
    class Noisy(Mine):
        noise = NoiseModel(between=0.001)

    with pytest.raises(UsageError, match="the surface brings no noise of its own"):
        run_session(Mine(), "own", "random", 8)
    session = run_session(Noisy(), "own", "random", 8)
    assert session.noise == "own"
    assert session.result.noise_percent is not None and session.result.noise_percent < 1.0


def test_the_preflight_may_refuse_when_it_is_not_overruled() -> None:
    with pytest.raises(PreflightRefused):
        run_session(SURFACES["null"], 1.5, "random", 8, 1, force=False)


def test_what_makes_no_sense_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown noise 'loud'"):
        run_session(SURFACES["null"], "loud")
    with pytest.raises(UsageError, match="unknown searcher 'luck'"):
        run_session(SURFACES["null"], "vm", "luck")
    with pytest.raises(UsageError, match="unknown simulated machine 'nothing'"):
        named_surface("nothing")
    with pytest.raises(UsageError, match="there is no sweep 'nothing'"):
        named_surface("sweep:nothing")


def test_a_session_leaves_something_and_a_later_one_begins_with_it() -> None:
    first = run_session(SURFACES["file-write"], "quiet", "random", 8, 1, pairs=5)
    assert first.leaves is not None
    assert "leaves" not in first.to_dict()
    assert first.result.best_config
    other = replace(SURFACES["file-write"], name="somebody-elses")
    second = run_session(other, "quiet", "random", 1, 2, pairs=5, memory=[first, first])
    tried = [trial.configuration for trial in second.trials if trial.kind == "suggestion"]
    assert tried == [first.result.best_config], "also on a surface of another name, and each recommendation once"
    alone = run_session(other, "quiet", "random", 1, 2, pairs=5)
    assert [trial.kind for trial in alone.trials].count("suggestion") == 0


def test_a_session_without_a_search_leaves_nothing() -> None:
    verified = run_session(SURFACES["file-write"], "quiet", "none", 1, 1, pairs=5, candidate={"vm.dirty_ratio": 30})
    assert verified.leaves is None
