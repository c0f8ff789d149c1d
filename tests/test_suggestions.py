"""A suggestion can do no more harm than the trial that it costs: whole runs with bad ones, beside the same without."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from knobctl import pipeline
from knobctl.errors import HealthStop
from knobctl.events import Event, Trial, TrialDone
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.measure import Verdict
from knobctl.plan import plan_from
from knobctl.safety import Consent, SafePlan
from knobctl.search.model import Model, Observation
from knobctl.settings import Settings
from knobctl.store import Result, Store
from knobctl.target.simulated import SimulatedTarget
from tests.env.invented import Hill, Score, bell, number, plan_for

BUDGET = 16
BAD = 1000
"""Value of demo.k0 at which something bad happens; 700 is the best."""


class Played:
    """A run on a hill with these suggestions, which remembers nothing; budget, seed and noise are the same for all."""

    def __init__(self, folder: Path, score: Score, suggestions: Sequence[Mapping[str, Any]]) -> None:
        hill = Hill(2, score)
        document = json.loads(plan_for(hill, total_timesteps=BUDGET).to_json())
        document["suggestions"] = [{"configuration": each} for each in suggestions]
        target = SimulatedTarget(hill, noise=0.01, seed=3)
        before = {name: state.raw for name, state in target.probe().items()}
        self.trials: list[Trial] = []
        self.safe: SafePlan = pipeline.validate(plan_from(document), target, Consent())
        settings = Settings(searcher="tpe", seed=5, memory=False)
        with Store(folder / "knobctl.db") as store:
            self.result: Result = pipeline.execute(self.safe, target, store, self._note, settings)
        assert {name: state.raw for name, state in target.probe().items()} == before
        assert self.result.restored

    def _note(self, event: Event) -> None:
        if isinstance(event, TrialDone):
            self.trials.append(event.trial)

    def of(self, *kinds: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.kind in kinds]

    @property
    def true(self) -> float:
        """What the candidate is worth, as a ratio to the default."""
        default = {"demo.k0": 0, "demo.k1": 0}
        return bell({**default, **self.result.candidate_config}) / bell(default)


def crash(configuration: Mapping[str, Value]) -> float | None:
    return None


def trip(configuration: Mapping[str, Value]) -> float:
    raise HealthStop("memory ran out")


def crawl(configuration: Mapping[str, Value]) -> float:
    return 0.001 * bell(configuration)


def bad_at_the_end(what: Score) -> Score:
    return lambda configuration: what(configuration) if number(configuration) == BAD else bell(configuration)


@pytest.mark.parametrize("what", [crash, trip, crawl])
def test_a_bad_suggestion_costs_its_trial_and_nothing_else(tmp_path: Path, what: Score) -> None:
    score = bad_at_the_end(what)
    alone, told = Played(tmp_path, score, ()), Played(tmp_path, score, [{"demo.k0": BAD}])
    (suggestion,) = told.of("suggestion")
    assert suggestion.configuration == {"demo.k0": BAD}
    assert (suggestion.score is None) == (what is not crawl)
    assert len(told.of("search")) == BUDGET - 1
    assert len(alone.of("search")) == BUDGET
    assert told.result.verdict is alone.result.verdict is Verdict.IMPROVED
    assert told.result.candidate_config.get("demo.k0") != BAD
    assert min(told.true, alone.true) > 1.8
    assert told.true / alone.true > 0.95


@pytest.mark.parametrize(
    ("suggestion", "why"),
    [
        ({"demo.k0": BAD + 1}, "demo.k0=1001 is outside of what is explored"),
        ({"demo.k0": -1}, "demo.k0=-1 is outside of what is explored"),
        ({"demo.k0": "fast"}, "demo.k0='fast' is outside of what is explored"),
        ({"demo.k0": 700, "kernel.randomize_va_space": 0}, "'kernel.randomize_va_space' is not tuned here"),
        ({"vm.dirty_ratio": 40}, "'vm.dirty_ratio' is not tuned here"),
        ({"no.such.knob": 1}, "'no.such.knob' is not tuned here"),
        ({"demo.k0": 0}, "it is the default configuration"),
    ],
)
def test_what_cannot_be_tried_costs_nothing_at_all(tmp_path: Path, suggestion: dict[str, Value], why: str) -> None:
    hill = Hill(2, bell)
    document = json.loads(plan_for(hill).to_json())
    document["suggestions"] = [{"configuration": suggestion}]
    safe = pipeline.validate(plan_from(document), SimulatedTarget(hill), Consent())
    assert safe.suggestions == ()
    assert safe.dropped == (("suggestion 1", why),)


def test_a_run_with_a_suggestion_that_cannot_be_tried_is_the_run_without(tmp_path: Path) -> None:
    alone, told = Played(tmp_path, bell, ()), Played(tmp_path, bell, [{"demo.k0": BAD + 1}, {"demo.k1": 0}])
    assert [(one.kind, one.configuration, one.score) for one in told.trials] == [
        (one.kind, one.configuration, one.score) for one in alone.trials
    ]
    assert told.result.candidate_config == alone.result.candidate_config


@pytest.mark.parametrize("what", [crash, trip, crawl])
def test_many_bad_suggestions_leave_the_search_most_of_its_budget(tmp_path: Path, what: Score) -> None:
    def score(configuration: Mapping[str, Value]) -> float | None:
        bad = number(configuration) > 980 and number(configuration, "demo.k1") == 0
        return what(configuration) if bad else bell(configuration)

    told = Played(tmp_path, score, [{"demo.k0": 1000 - step} for step in range(20)])
    failing = what is not crawl
    assert len(told.of("suggestion")) == (2 if failing else BUDGET // 4)
    assert len(told.of("suggestion", "search")) == BUDGET
    assert told.result.verdict is Verdict.IMPROVED
    assert told.true > 1.6
    reason = "2 others made the benchmark fail" if failing else "they have a quarter of the budget"
    assert f"{18 if failing else 16} of 20 suggestions were left out: {reason}" in told.result.notes


def test_a_good_suggestion_has_to_prove_itself_like_any_other(tmp_path: Path) -> None:
    told = Played(tmp_path, bell, [{"demo.k0": 700, "demo.k1": 700}])
    assert told.result.verdict is Verdict.IMPROVED
    assert told.true == pytest.approx(2.0, abs=0.05)
    assert len(told.of("verify-candidate")) >= 4


def model(bad: float) -> Callable[[int], float]:
    """The gain that a model expects at a value after ten ordinary trials and one suggestion that was so bad."""
    space = Space((Dimension("demo.k0", "integer", 0, 1000),))
    ordinary = [0.5 - abs(value - 700) / 1400 for value in range(0, 1000, 100)]
    trials = [*zip(range(0, 1000, 100), ordinary, strict=True), (BAD, bad)]
    observations = [Observation({"demo.k0": value}, gain, float(at)) for at, (value, gain) in enumerate(trials)]
    learned = Model(space, {"demo.k0": 0}, observations, 0.02)
    return lambda value: learned.predict({"demo.k0": value})


def test_how_bad_a_suggestion_was_teaches_nothing_about_the_good_ones() -> None:
    bad, terrible = model(-1.0), model(-9.0)
    places = range(0, 1001, 50)
    assert [terrible(value) for value in places] == pytest.approx([bad(value) for value in places])
    assert max(places, key=terrible) in range(600, 801)
