"""The phases of a run, each on its own: the run-off, how time is shared out, and what a run is expected to cost."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from knobctl.env.environment import CONTROL_EVERY
from knobctl.errors import Interrupted, PreflightRefused, StoreError
from knobctl.events import Event, NoiseMeasured, PhaseStarted, Trial, TrialDone
from knobctl.knobs import Value
from knobctl.measure.runoff import loses
from knobctl.plan import plan_from
from knobctl.safety import Consent, SafetyValidator
from knobctl.schedule import (
    BASELINE_RUNS,
    LEAST_PAIRS,
    PROBE_RUNS,
    RUNOFF_ROUNDS,
    RUNOFF_RUNS,
    WARMUP_RUNS,
    Schedule,
)
from knobctl.search.incumbent import Incumbent
from knobctl.target import Command, CommandOutcome
from knobctl.target.simulated import SimulatedTarget, simulated_target
from knobctl.tuning import Tuning
from tests.commands.plans import plan
from tests.env.invented import Hill, Score, bell, number, plan_for


def nothing() -> None:
    """All is well."""


class Rehearsal:
    """A tuning on an open simulated target, and what it emits."""

    def __init__(self, score: Score, knobs: int = 1, *, noise: float = 0.0, seed: int = 0, budget: int = 12,
                 seconds: float | None = None, pairs: int = 12,
                 check: Callable[[], None] | None = None) -> None:  # fmt: skip
        hill = Hill(knobs, score)
        self.target = SimulatedTarget(hill, noise=noise, seed=seed)
        safe = SafetyValidator(self.target.catalogue, self.target.facts(), self.target.probe()).validate(plan_for(hill))
        self.events: list[Event] = []
        self.tuning = Tuning(safe, self.target, self.events.append, check or nothing, seed=seed, budget=budget,
                             seconds=seconds, pairs=pairs, force=False)  # fmt: skip
        self.target.open("rehearsal")

    def trials(self, *kinds: str) -> list[Trial]:
        done = [event.trial for event in self.events if isinstance(event, TrialDone)]
        return [trial for trial in done if trial.kind in kinds]

    def phases(self) -> dict[str, PhaseStarted]:
        return {event.phase: event for event in self.events if isinstance(event, PhaseStarted)}


# --- two candidates compete to be verified


def first_alone(configuration: Mapping[str, Value]) -> float:
    return 1000.0 + 3.0 * number(configuration)


def runoffs(
    score: Score, seeds: range, noise: float
) -> list[tuple[dict[str, Value], dict[str, Value], Mapping[str, Value]]]:
    """(smaller, whole, chosen) of every run-off that took place."""
    found = []
    for seed in seeds:
        rehearsal = Rehearsal(score, 4, noise=noise, seed=seed)
        rehearsal.tuning.prepare()
        noise_found = rehearsal.tuning.preflight()
        margin = math.log1p(noise_found.margin_percent / 100.0)
        chosen = rehearsal.tuning.search("random").configuration
        trials = rehearsal.trials("run-off")
        if not trials:
            continue
        whole = dict(trials[1].configuration)
        scores = defaultdict[str, tuple[list[float], list[float]]](lambda: ([], []))  # each part with its own rounds
        rounds = [trials[number : number + 4] for number in range(0, len(trials), 4)]
        assert 1 <= len(rounds) <= RUNOFF_ROUNDS
        texts: list[str] = []
        assert rehearsal.phases()["run-off"].runs == 2 * RUNOFF_RUNS == len(rounds[-1])
        for part in rounds:
            small = dict(part[0].configuration)
            assert [dict(trial.configuration) for trial in part] == [small, whole, whole, small]
            assert small.items() < whole.items()
            question = f"{len(small)} of {len(whole)} changes, or all of them?"
            texts.append(f"still {question}" if str(small) in scores else question)
            both = scores[str(small)]
            for trial in part:
                both[dict(trial.configuration) == whole].append(trial.score or 0.0)
            last = len(rounds) == RUNOFF_ROUNDS and part is rounds[-1]
            lost = loses(*both, "maximize", noise_found.upper_sd, margin, decide=last)
            assert (lost is False) == (chosen == small and part is rounds[-1])
        phases = [event for event in rehearsal.events if isinstance(event, PhaseStarted)]
        assert [phase.text for phase in phases if phase.phase == "run-off"] == texts
        assert chosen in (whole, small)
        found.append((dict(trials[0].configuration), whole, chosen))
    return found


def test_the_smaller_change_is_taken_unless_it_measurably_loses() -> None:
    idle = runoffs(first_alone, range(12), noise=0.02)
    assert sum(chosen == small for small, _, chosen in idle) >= 0.7 * len(idle) > 0, "three of four knobs do nothing"
    needed = runoffs(bell, range(6), noise=0.02)
    larger = [len(chosen) > len(small) for small, _, chosen in needed]
    assert sum(larger) >= 0.8 * len(needed) > 0, "all four matter"


@pytest.mark.parametrize("expected", [0.001, 0.11, 50.0])
def test_half_of_the_gain_matters_however_little_could_be_proven(
    expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: dict[str, Value] = {"demo.k0": 500, "demo.k1": 500}
    chosen = Incumbent(whole, {"demo.k0": 500}, predicted_log_gain=expected)
    margins: list[float] = []

    def answer(*given: Any, **rest: Any) -> bool:
        margins.append(given[4])
        return False

    monkeypatch.setattr("knobctl.tuning.choose", lambda *given: chosen)
    monkeypatch.setattr("knobctl.tuning.loses", answer)
    rehearsal = Rehearsal(bell, 2, noise=0.05, seed=1)
    rehearsal.tuning.prepare()
    noise = rehearsal.tuning.preflight()
    provable = math.log1p(noise.margin_percent / 100.0)
    assert rehearsal.tuning.search("random").configuration == {"demo.k0": 500}
    assert margins == [pytest.approx(min(provable, max(expected / 2, noise.upper_sd)))]
    assert noise.upper_sd < 0.11 / 2 < provable, "each of the three decides once"


def test_a_knob_that_does_nothing_is_left_out_of_the_candidate() -> None:
    rehearsal = Rehearsal(first_alone, 3, noise=0.01, seed=2, budget=16)
    rehearsal.tuning.prepare()
    rehearsal.tuning.preflight()
    assert list(rehearsal.tuning.search("random").configuration) == ["demo.k0"]


def test_a_smaller_change_that_crashes_loses_the_run_off() -> None:
    def only_together(configuration: Mapping[str, Value]) -> float | None:
        together = [number(configuration, name) > 0 for name in configuration]
        return 1000.0 + number(configuration) if all(together) or not any(together) else None

    rehearsal = Rehearsal(only_together, 2, noise=0.01, seed=2, budget=16)
    rehearsal.tuning.prepare()
    rehearsal.tuning.preflight()
    chosen = rehearsal.tuning.search("random").configuration
    failed = [trial for trial in rehearsal.trials("run-off") if trial.score is None]
    assert [set(trial.configuration) for trial in failed] == [{"demo.k0"}] * RUNOFF_RUNS
    assert set(chosen) == {"demo.k0", "demo.k1"}


# --- phases and their cost


def test_phases_announce_their_runs() -> None:
    rehearsal = Rehearsal(bell, noise=0.02, seed=1, budget=20)
    rehearsal.tuning.prepare()
    rehearsal.tuning.preflight()
    found = rehearsal.tuning.search("random")
    assert rehearsal.tuning.verify(found.configuration).pairs <= 12
    phases = rehearsal.phases()
    assert (phases["prepare"].runs, phases["preflight"].runs) == (0, WARMUP_RUNS + BASELINE_RUNS + PROBE_RUNS)
    assert phases["search"].runs == 20 + 20 // CONTROL_EVERY
    assert phases["search"].text == "random tries up to 20 configurations"
    assert (phases["verify"].runs, phases["verify"].text) == (24, "up to 12 fresh pairs, default against candidate")
    assert phases["prepare"].seconds_left > phases["search"].seconds_left > phases["verify"].seconds_left > 0


def test_the_estimate_counts_every_run() -> None:
    target = simulated_target()
    safe = SafetyValidator(target.catalogue, target.facts(), target.probe()).validate(plan("postgresql"))
    runs, seconds = Tuning.estimate(safe, budget=24, pairs=12)
    assert runs == (1 + 5 + 1) + (24 + 3) + 8 * 4 + 24
    assert seconds == runs * (5 + 1), "pgbench -T 5, and a second around it"


def test_a_command_of_unknown_length_is_estimated_too() -> None:
    text = "./my-benchmark"
    proposed = plan_from(
        {
            "workload_name": "mine",
            "reward_metric": "score",
            "benchmark_command": text,
            "metric_pattern": "score: ([0-9]+)",
            "direction": "maximize",
            "action_space": [{"param": "vm.swappiness"}],
            "state_space": [],
        }
    )
    target = simulated_target()
    validator = SafetyValidator(target.catalogue, target.facts(), target.probe(), Consent(command=text))
    runs, seconds = Tuning.estimate(validator.validate(proposed), budget=8, pairs=5)
    assert seconds > runs


@pytest.mark.parametrize(("seconds", "pairs"), [(130.0, LEAST_PAIRS), (270.0, 7), (2000.0, 12)])
def test_time_for_the_verification_is_kept_before_the_search(seconds: float, pairs: int) -> None:
    rehearsal = Rehearsal(bell, noise=0.002, seed=1, budget=1000, seconds=seconds)
    rehearsal.tuning.prepare()
    noise = rehearsal.tuning.preflight()
    assert noise.pairs == pairs, "two fifths of the time after 42 s of preflight, at 12 s a pair"
    rehearsal.tuning.search("random")
    left = seconds - rehearsal.target.clock.monotonic()
    assert left >= 2 * pairs * rehearsal.target.run_seconds


def test_a_verification_ends_with_the_time() -> None:
    rehearsal = Rehearsal(lambda configuration: 1000.0, noise=0.005, seed=3, seconds=150.0)
    rehearsal.tuning.prepare()
    rehearsal.tuning.preflight()
    rehearsal.target.clock.sleep(150.0 - rehearsal.target.clock.monotonic() - 37.0)
    judgement = rehearsal.tuning.verify({"demo.k0": 5})
    assert judgement.pairs == 3
    assert rehearsal.target.clock.monotonic() <= 150.0


# --- edges


def test_cleaning_up_before_anything_was_prepared_does_nothing() -> None:
    Rehearsal(bell).tuning.cleanup()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Interrupted("interrupted by SIGTERM")])
def test_an_interruption_while_the_idle_machine_is_looked_at_ends_the_run(
    stop: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(command: Command) -> CommandOutcome:
        raise stop

    rehearsal = Rehearsal(bell)
    monkeypatch.setattr(rehearsal.target, "run", interrupted)
    with pytest.raises(type(stop)):
        rehearsal.tuning.prepare()


@pytest.mark.parametrize(
    ("budget", "asked", "seconds", "announced", "allowed"),
    [
        (24, None, None, 20, None),
        (24, None, 36_000.0, 20, None),
        (24, 60, None, 60, 60),
        (24, 60, 1500.0, 60, 50),
        (0, 20, 600.0, 20, 20),
        (0, 60, 600.0, 60, 50),
    ],
)
def test_a_verification_has_no_more_pairs_than_announced_and_those_that_the_time_is_for(
    budget: int, asked: int | None, seconds: float | None, announced: int, allowed: int | None
) -> None:
    schedule = Schedule(budget, asked, seconds, lambda: 0.0)
    schedule.cost = 6.0
    assert schedule.pairs == announced
    assert schedule.affordable_pairs() == 20
    assert schedule.asked_pairs() == allowed
    assert not schedule.tight


def test_a_record_that_cannot_be_written_stops_the_run_between_trials() -> None:
    def check() -> None:
        if len(rehearsal.trials("warmup", "baseline")) == 3:
            raise StoreError("no space left to write the record")

    rehearsal = Rehearsal(bell, check=check)
    rehearsal.tuning.prepare()
    with pytest.raises(StoreError):
        rehearsal.tuning.preflight()
    assert len(rehearsal.trials("warmup", "baseline")) == 3


def test_noise_that_drowns_everything_is_refused_before_the_search() -> None:
    rehearsal = Rehearsal(bell, noise=2.0, seed=1)
    rehearsal.tuning.prepare()
    with pytest.raises(PreflightRefused):
        rehearsal.tuning.preflight()
    assert len(rehearsal.trials("warmup", "baseline")) == 1 + BASELINE_RUNS
    assert not any(isinstance(event, NoiseMeasured) for event in rehearsal.events)
