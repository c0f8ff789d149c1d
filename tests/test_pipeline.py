"""The whole run on machines whose truth is known: what it finds, what it claims, and what it leaves behind."""

from __future__ import annotations

import json
import math
import resource
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from knobctl import pipeline
from knobctl.errors import (
    BenchmarkBroken,
    HealthStop,
    Interrupted,
    KnobChangedByOther,
    KnobctlError,
    PreflightRefused,
    RestoreIncomplete,
    StoreError,
    UsageError,
)
from knobctl.events import (
    CandidateChosen,
    Event,
    MachineRestored,
    MemoryRecalled,
    NoiseMeasured,
    Notice,
    PairMeasured,
    PhaseStarted,
    Progress,
    SessionEnded,
    SessionStarted,
    Trial,
    TrialDone,
    TrialStarted,
)
from knobctl.knobs import Value
from knobctl.measure import Verdict
from knobctl.plan import TuningPlan, plan_from
from knobctl.report.narration import Narrator
from knobctl.safety import Consent, SafePlan
from knobctl.settings import Settings
from knobctl.store import Result, Store
from knobctl.target.base import KnobRestore, RestoreReport
from knobctl.target.simulated import FACTS, SimulatedTarget, simulated_target
from tests.commands.plans import document, plan
from tests.env.invented import Hill, bell, number, plan_for

SPECIFIED = {
    "success", "workload_name", "best_reward", "best_config", "baseline_reward", "improvement", "total_episodes",
    "verdict", "improvement_interval", "metric", "direction", "baseline_score", "best_score", "candidate_config",
    "claimed_by_search", "trials", "benchmark_seconds", "session_id", "restored",
}  # fmt: skip
SEARCHED = ("search", "suggestion")
QUICK = Settings(searcher="random", seed=5, budget=8)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "knobctl.db") as opened:
        yield opened


@dataclass(frozen=True)
class Played:
    """A finished run: its result and everything that it emitted."""

    result: Result
    events: tuple[Event, ...]

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(event.trial for event in self.events if isinstance(event, TrialDone))

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def play(store: Store, target: SimulatedTarget, proposed: TuningPlan, settings: Settings = QUICK) -> Played:
    events: list[Event] = []
    safe = pipeline.validate(proposed, target, Consent())
    return Played(pipeline.execute(safe, target, store, events.append, settings, "make it fast"), tuple(events))


def fail(
    store: Store,
    target: SimulatedTarget,
    proposed: TuningPlan,
    kind: type[KnobctlError],
    settings: Settings = QUICK,
    emit: Callable[[Event], None] = lambda event: None,
) -> tuple[KnobctlError, list[Event]]:
    """A run that must end with this error and leave the machine as it was found."""
    before, events = texts(target), list[Event]()

    def read(event: Event) -> None:
        events.append(event)
        emit(event)

    safe = pipeline.validate(proposed, target, Consent())
    with pytest.raises(kind) as caught:
        pipeline.execute(safe, target, store, read, settings)
    assert type(caught.value) is kind
    assert texts(target) == before
    target.open("the next run gets the lock")
    target.close()
    return caught.value, events


def texts(target: SimulatedTarget) -> dict[str, str]:
    return {name: state.raw for name, state in target.probe().items()}


def counted(score: Callable[[int, Mapping[str, Value]], float | None]) -> Callable[[Mapping[str, Value]], float | None]:
    """A score that knows how many runs there were before it, from 0."""
    runs = iter(range(1_000_000))
    return lambda configuration: score(next(runs), configuration)


# --- what it finds


@pytest.mark.parametrize(
    ("surface", "searcher"),
    [("postgresql", "ppo"), ("postgresql", "tpe"), ("file-write", "random"), ("web", "tpe"), ("web", "random")],
)
def test_a_real_gain_is_proven_and_the_machine_is_as_it_was(store: Store, surface: str, searcher: str) -> None:
    target = simulated_target(surface, seed=1)
    before = texts(target)
    played = play(store, target, plan(surface, total_timesteps=24), Settings(searcher=searcher, seed=5))
    result = played.result
    assert result.verdict is Verdict.IMPROVED
    assert result.success and result.restored
    assert result.best_config == result.candidate_config != {}
    assert result.improvement_interval is not None
    assert 0 < result.improvement_interval[0] < result.improvement < result.improvement_interval[1]
    assert result.best_score is not None and result.baseline_score is not None
    assert result.best_score > result.baseline_score
    assert result.best_reward is not None and result.baseline_reward is not None
    assert result.best_reward > result.baseline_reward
    assert texts(target) == before
    (restored,) = played.of(MachineRestored)
    assert restored == MachineRestored(True, restored.knobs)  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(8))
def test_where_nothing_matters_nothing_is_claimed(store: Store, seed: int) -> None:
    target = simulated_target("null", seed=seed)
    result = play(store, target, plan("null", total_timesteps=16), Settings(searcher="random", seed=seed)).result
    assert result.verdict is not Verdict.IMPROVED
    assert result.best_config == {}
    assert result.best_score == result.baseline_score
    assert result.best_reward == result.baseline_reward
    assert result.claimed_by_search is not None and result.claimed_by_search > 0, "the luckiest of 16 noisy runs"


@pytest.mark.parametrize(("surface", "seed"), [("postgresql", 7), ("null", 8)])
def test_the_headline_is_computed_from_the_fresh_pairs_alone(store: Store, surface: str, seed: int) -> None:
    played = play(store, simulated_target(surface, seed=seed), plan(surface), Settings(searcher="random", seed=5))
    pairs = store.pairs(played.result.session_id)
    assert len(pairs) == played.result.pairs >= 5
    verified = [trial.score or 0.0 for trial in played.trials if trial.kind.startswith("verify-")]
    assert sorted(verified) == sorted(score for pair in pairs for score in (pair.default_score, pair.candidate_score))
    ratios = [math.log(pair.candidate_score / pair.default_score) for pair in pairs]
    assert played.result.improvement == pytest.approx(100 * (math.exp(sum(ratios) / len(ratios)) - 1))
    assert played.result.improvement_interval == (pairs[-1].low_percent, pairs[-1].high_percent)
    assert played.result.claimed_by_search != pytest.approx(played.result.improvement)


def test_the_result_is_a_document_with_every_key(store: Store) -> None:
    result = play(store, simulated_target("null"), plan("null")).result
    assert set(result.to_dict()) >= SPECIFIED
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert (result.simulated, result.target, result.searcher) == (True, "simulated:null", "random")


def test_a_lower_score_that_is_better_is_found_too(store: Store) -> None:
    hill = Hill(1, lambda configuration: 1e6 / bell(configuration))
    proposed = plan_from({**json.loads(plan_for(hill).to_json()), "reward_metric": "latency_average_ms"})
    result = play(store, SimulatedTarget(hill, noise=0.01), proposed, Settings(searcher="tpe", seed=1)).result
    assert result.direction == "minimize"
    assert result.verdict is Verdict.IMPROVED
    assert result.best_score is not None and result.baseline_score is not None
    assert result.best_score < result.baseline_score


# --- how many runs


@pytest.mark.parametrize("searcher", ["ppo", "tpe", "random"])
@pytest.mark.parametrize("n_steps", [2, 8, 2048])
def test_the_budget_is_used_up_and_never_exceeded(store: Store, n_steps: int, searcher: str) -> None:
    record = document("postgresql", total_timesteps=9, n_steps=n_steps, max_steps_per_episode=4)
    record["suggestions"] = [
        {"configuration": {"vm.dirty_ratio": 40}},
        {"configuration": {"vm.dirty_background_ratio": 5}},
    ]
    played = play(store, simulated_target(), plan_from(record), Settings(searcher=searcher, seed=5))
    assert [trial.kind for trial in played.trials if trial.kind in SEARCHED] == ["suggestion"] * 2 + ["search"] * 7
    assert played.result.total_episodes == 3, "of at most four trials each"
    assert played.result.policy_updates == ({2: 3, 8: 0, 2048: 0}[n_steps] if searcher == "ppo" else None)
    (chosen,) = played.of(CandidateChosen)
    assert isinstance(chosen, CandidateChosen)
    assert chosen.policy_updates == played.result.policy_updates
    assert played.result.trials == len(played.trials)


def test_a_policy_that_never_learned_is_named(store: Store) -> None:
    played = play(
        store, simulated_target(), plan("postgresql", n_steps=2048), Settings(searcher="ppo", seed=1, budget=6)
    )
    note = (
        "PPO could not make a single update in 6 trials: one update needs n_steps = 2048. Every configuration was "
        "drawn from the untrained policy."
    )
    assert played.result.policy_updates == 0
    assert note in played.result.notes
    assert Notice(note) in played.events


def test_the_settings_budget_wins_over_the_plans(store: Store) -> None:
    played = play(store, simulated_target(), plan("postgresql", total_timesteps=30), replace(QUICK, budget=3))
    assert sum(trial.kind in SEARCHED for trial in played.trials) == 3
    assert store.session(played.result.session_id).budget == 3


def test_the_default_is_measured_again_throughout_the_search(store: Store) -> None:
    played = play(store, simulated_target(), plan("postgresql", total_timesteps=25), replace(QUICK, budget=None))
    kinds = [trial.kind for trial in played.trials if trial.kind in (*SEARCHED, "control")]
    assert [place for place, kind in enumerate(kinds) if kind == "control"] == [8, 17, 26]


# --- what it emits and records


def test_events_come_in_order(store: Store) -> None:
    played = play(store, simulated_target(seed=1), plan("postgresql"), Settings(searcher="random", seed=5))
    events = [event for event in played.events if not isinstance(event, Notice)]
    assert isinstance(events[0], SessionStarted)
    assert isinstance(events[-1], SessionEnded)
    phases = [event.phase for event in events if isinstance(event, PhaseStarted)]
    assert [phase for phase in phases if phase != "run-off"] == ["prepare", "preflight", "search", "verify", "restore"]
    assert isinstance(events[-3], PhaseStarted) and isinstance(events[-2], MachineRestored)
    kinds = [type(event) for event in events if isinstance(event, (NoiseMeasured, CandidateChosen, PairMeasured))]
    assert kinds == [NoiseMeasured, CandidateChosen] + [PairMeasured] * played.result.pairs
    assert events[-1] == SessionEnded(played.result.to_dict())


def test_trials_are_numbered_announced_and_followed(store: Store) -> None:
    played = play(store, simulated_target(), plan("postgresql"))
    stream = [event for event in played.events if isinstance(event, (TrialStarted, Progress, TrialDone))]
    number = 0
    while stream:
        started = stream.pop(0)
        assert isinstance(started, TrialStarted)
        fractions = []
        while isinstance(stream[0], Progress):
            fractions.append(stream.pop(0).fraction)  # type: ignore[union-attr]
        done = stream.pop(0)
        assert isinstance(done, TrialDone)
        assert (started.number, started.trial_kind) == (number, done.trial.kind)
        assert started.configuration == done.trial.configuration
        assert 1 <= started.position == done.position <= max(1, started.of)
        assert fractions == sorted(fractions) and fractions[-1] == 1.0
        number += 1
    assert number == played.result.trials
    assert [trial.kind for trial in played.trials[:7]] == [
        "warmup", "baseline", "baseline", "probe", "baseline", "baseline", "baseline",
    ]  # fmt: skip
    changing = {*SEARCHED, "probe", "run-off", "verify-candidate"}
    assert all((trial.configuration == {}) == (trial.kind not in changing) for trial in played.trials)
    assert [trial.reward is not None for trial in played.trials] == [trial.kind in SEARCHED for trial in played.trials]


def test_the_time_left_shrinks_to_nothing(store: Store) -> None:
    played = play(store, simulated_target("null"), plan("null"), replace(QUICK, pairs=12))
    left = [event.seconds_left for event in played.events if isinstance(event, TrialDone)]
    assert all(seconds >= 0 for seconds in left)
    assert left[0] > left[-1]
    assert left[-1] <= 12 * 2 * 7, "no more than the pairs that an early stop saved"


def test_the_session_can_be_read_back(store: Store) -> None:
    played = play(store, simulated_target(), plan("postgresql"))
    record = store.session(played.result.session_id)
    assert (record.status, record.reason, record.request) == ("finished", "", "make it fast")
    assert (record.seed, record.searcher, record.budget, record.trials) == (5, "random", 8, played.result.trials)
    assert record.simulated and record.target == "simulated:postgresql"
    assert record.result == played.result
    assert store.trials(record.id) == played.trials
    stored = [event for event in store.events(record.id) if not isinstance(event, TrialStarted)]
    saved = (SessionStarted, PhaseStarted, NoiseMeasured, MemoryRecalled, CandidateChosen, MachineRestored, Notice)
    assert stored == [event for event in played.events if isinstance(event, saved)]


def test_the_same_seed_gives_the_same_result(store: Store) -> None:
    def once(seed: int) -> dict[str, Any]:
        settings = Settings(searcher="tpe", seed=seed, budget=10, memory=False)
        return play(store, simulated_target(seed=9), plan("postgresql"), settings).result.to_dict()

    first, second, other = once(4), once(4), once(5)
    assert first.pop("session_id") != second.pop("session_id")
    assert first == second
    assert first["candidate_config"] != other["candidate_config"]


def test_without_a_seed_one_is_drawn_and_recorded(store: Store) -> None:
    results = [play(store, simulated_target(), plan("null"), replace(QUICK, seed=None)).result for _ in range(2)]
    seeds = [store.session(result.session_id).seed for result in results]
    assert seeds[0] != seeds[1]


# --- time


@pytest.mark.parametrize("seconds", [200, 330])
def test_a_time_budget_is_for_everything_together(store: Store, seconds: float) -> None:
    settings = Settings(searcher="random", seed=5, seconds=seconds, force=True)
    played = play(store, simulated_target("null", seed=2), plan("null", total_timesteps=1000), settings)
    assert played.result.seconds <= seconds
    assert played.result.seconds > seconds / 2
    count = sum(trial.kind in SEARCHED for trial in played.trials)
    assert f"the time ran out after {count} of 1000 trials" in played.result.notes
    noise = played.of(NoiseMeasured)[0]
    assert isinstance(noise, NoiseMeasured)
    assert 5 <= noise.pairs <= 20
    assert all(event.seconds_left <= seconds for event in played.events if isinstance(event, TrialStarted))


def test_a_time_budget_that_is_used_up_before_the_search_proves_nothing(store: Store) -> None:
    played = play(store, simulated_target(), plan("postgresql"), replace(QUICK, seconds=10.0, force=True))
    assert played.result.verdict is Verdict.INCONCLUSIVE
    assert played.result.reason == "no configuration was tried, so nothing is known"
    assert "the time left (0 s) hardly suffices for a search: a run takes 6 s" in played.result.notes
    assert "the time ran out after 0 of 8 trials" in played.result.notes


# --- verifying an earlier session again


def again(store: Store, target: SimulatedTarget, earlier: Result, proposed: TuningPlan) -> Played:
    events: list[Event] = []
    safe = pipeline.validate(proposed, target, Consent())
    record = store.session(earlier.session_id)
    return Played(pipeline.verify_again(record, safe, target, store, events.append, QUICK), tuple(events))


def test_a_candidate_is_verified_again_as_a_session_of_its_own(store: Store) -> None:
    earlier = play(store, simulated_target("file-write", seed=1), plan("file-write")).result
    played = again(store, simulated_target("file-write", seed=2), earlier, plan("file-write"))
    result = played.result
    assert result.session_id != earlier.session_id
    assert result.candidate_config == earlier.candidate_config
    assert result.verdict is Verdict.IMPROVED
    kinds = {"warmup", "baseline", "probe", "verify-default", "verify-candidate"}
    assert {trial.kind for trial in played.trials} == kinds
    probe = next(trial for trial in played.trials if trial.kind == "probe")
    assert probe.configuration == result.candidate_config, "the candidate itself shows what it leaves behind"
    assert (result.searcher, result.total_episodes, result.claimed_by_search, result.policy_updates) == (
        "none", 0, None, None,
    )  # fmt: skip
    assert store.session(result.session_id).request == f"verify {earlier.session_id}"


def test_a_session_without_a_candidate_has_nothing_to_verify(store: Store) -> None:
    earlier = play(store, simulated_target(), plan("postgresql"), replace(QUICK, seconds=10.0, force=True)).result
    with pytest.raises(UsageError, match=f"session {earlier.session_id} has no candidate to verify") as caught:
        again(store, simulated_target(), earlier, plan("postgresql"))
    assert caught.value.hint == "Choose another one from `knobctl sessions`."
    assert len(store.sessions()) == 1


def test_a_session_is_verified_where_it_was_made(store: Store) -> None:
    earlier = play(store, simulated_target("file-write"), plan("file-write")).result
    with pytest.raises(UsageError, match="was made on simulated:file-write, not on simulated:postgresql") as caught:
        again(store, simulated_target("postgresql"), earlier, plan("postgresql"))
    assert caught.value.hint == "Add --target simulated:file-write."
    assert len(store.sessions()) == 1


def test_a_candidate_that_is_in_force_already_cannot_be_compared(store: Store) -> None:
    earlier = play(store, simulated_target("file-write"), plan("file-write")).result
    target = simulated_target("file-write")
    for name, value in earlier.candidate_config.items():
        target.change_from_outside(name, value)
    with pytest.raises(UsageError, match="the candidate is what the machine has now"):
        again(store, target, earlier, plan("file-write"))
    assert store.session("last").id == earlier.session_id


def proven(candidate: dict[str, Value], *found: tuple[str, Value]) -> tuple[SimulatedTarget, SafePlan]:
    """A machine on which these values are found now, and the plan of one knob for it that the candidate came from."""
    target = simulated_target("file-write", seed=4)
    for name, value in found:
        target.change_from_outside(name, value)
    actions = [action for action in document("file-write")["action_space"] if action["param"] in candidate]
    return target, pipeline.validate(plan_from({**document("file-write"), "action_space": actions}), target, Consent())


@pytest.mark.parametrize("now", [70, 50])
def test_a_candidate_that_a_coupling_would_move_is_not_measured_as_something_else(store: Store, now: int) -> None:
    candidate: dict[str, Value] = {"vm.dirty_ratio": 40}
    target, safe = proven(candidate, ("vm.dirty_background_ratio", 49), ("vm.dirty_ratio", now))
    with pytest.raises(UsageError) as caught:
        pipeline.verify_candidate(candidate, "x", safe, target, store, lambda event: None, QUICK)
    assert caught.value.message == (
        "the candidate cannot be tried as it is: vm.dirty_background_ratio (49) has to be below vm.dirty_ratio (40)"
    )
    assert caught.value.hint == "Set vm.dirty_background_ratio back to what it was then, or tune anew."
    assert store.sessions() == ()


def test_a_candidate_that_breaks_a_coupling_by_itself_is_refused(store: Store) -> None:
    candidate: dict[str, Value] = {"vm.dirty_ratio": 10, "vm.dirty_background_ratio": 20}
    target, safe = proven(candidate)
    with pytest.raises(
        UsageError, match=r"vm\.dirty_background_ratio \(20\) has to be below vm\.dirty_ratio"
    ) as caught:
        pipeline.verify_candidate(candidate, "x", safe, target, store, lambda event: None, QUICK)
    assert caught.value.hint == "Tune anew."
    assert store.sessions() == ()


def test_a_candidate_outside_of_what_the_plan_tries_is_refused(store: Store) -> None:
    candidate: dict[str, Value] = {"vm.dirty_ratio": 40, "vm.dirty_expire_centisecs": 7000}
    target, safe = proven(candidate)
    with pytest.raises(UsageError) as caught:
        pipeline.verify_candidate(candidate, "x", safe, target, store, lambda event: None, QUICK)
    assert caught.value.message == "the candidate sets vm.dirty_expire_centisecs to 7000, which may not be tried here"
    assert caught.value.hint == "Tune anew."
    assert store.sessions() == ()


def test_a_value_that_was_found_is_no_change_wherever_it_lies(store: Store) -> None:
    candidate: dict[str, Value] = {"vm.dirty_ratio": 40, "vm.dirty_expire_centisecs": 7000}
    target, safe = proven(candidate, ("vm.dirty_expire_centisecs", 7000))
    result = pipeline.verify_candidate(candidate, "x", safe, target, store, lambda event: None, QUICK)
    assert result.candidate_config == {"vm.dirty_ratio": 40}


# --- what must not be started


@pytest.mark.parametrize(
    ("tuners", "words", "hint"),
    [
        (
            ("tuned",),
            "tuned is running and sets demo.k0, as this plan does",
            "Pause it for the run (`systemctl stop tuned` before and `systemctl start tuned` after it), "
            "or go on with --force.",
        ),
        (
            ("A-Tune", "bpftune", "tuned"),
            "A-Tune is running and sets demo.k0; tuned is running and sets demo.k0, as this plan does",
            "Pause it for the run (`systemctl stop atuned` before and `systemctl start atuned` after it; "
            "`systemctl stop tuned` before and `systemctl start tuned` after it), or go on with --force.",
        ),
        (
            ("a tuner of old",),
            "a tuner of old is running and sets demo.k0, as this plan does",
            "Pause it for the run (stop its service), or go on with --force.",
        ),
    ],
)
def test_a_tuner_that_owns_a_knob_of_the_plan_stops_the_run_before_it_begins(
    store: Store, tuners: tuple[str, ...], words: str, hint: str
) -> None:
    target = SimulatedTarget(Hill(1, bell), facts=replace(FACTS, tuners=tuners))
    error, events = fail(store, target, plan_for(Hill(1, bell)), PreflightRefused)
    assert error.exit_code == 6
    assert error.message == words
    assert error.hint == hint
    assert events == []
    assert store.sessions() == ()


def test_few_of_the_knobs_that_a_tuner_owns_are_named(store: Store) -> None:
    surface = simulated_target("postgresql").surface
    target = SimulatedTarget(surface, facts=replace(FACTS, tuners=("tuned",)))
    error, _ = fail(store, target, plan("postgresql"), PreflightRefused)
    assert " more, as this plan does" in error.message


@pytest.mark.parametrize("tuners", [("bpftune",), ("ksmtuned", "TLP"), ("irqbalance",)])
def test_a_tuner_that_owns_no_knob_of_the_plan_is_no_obstacle(store: Store, tuners: tuple[str, ...]) -> None:
    target = SimulatedTarget(Hill(1, bell), facts=replace(FACTS, tuners=tuners))
    assert play(store, target, plan_for(Hill(1, bell))).result.restored


def test_force_goes_on_beside_another_tuner(store: Store) -> None:
    target = SimulatedTarget(Hill(1, bell), facts=replace(FACTS, tuners=("tuned",)))
    assert play(store, target, plan_for(Hill(1, bell)), replace(QUICK, force=True)).result.restored


def test_hopeless_noise_is_refused_and_can_be_forced(store: Store) -> None:
    proposed = plan_for(Hill(1, bell))
    error, _ = fail(store, SimulatedTarget(Hill(1, bell), noise=1.5, seed=1), proposed, PreflightRefused)
    assert error.exit_code == 6
    assert "pairs prove nothing below" in error.message
    assert store.session("last").status == "failed"
    assert store.session("last").reason == error.message
    forced = play(store, SimulatedTarget(Hill(1, bell), noise=1.5, seed=1), proposed, replace(QUICK, force=True))
    assert any("pairs prove nothing below" in note for note in forced.result.notes)


# --- what can go wrong on the way


def test_a_benchmark_that_always_fails_is_broken_not_the_configuration(store: Store) -> None:
    hill = Hill(1, lambda configuration: None)
    error, events = fail(store, SimulatedTarget(hill), plan_for(hill), BenchmarkBroken)
    assert error.message == (
        "the benchmark fails at the default configuration: the simulated benchmark failed: its score is None"
    )
    assert error.hint == "Run it by hand and see what it says: pgbench -c 8 -j 2 -T 5 testdb"
    record = store.session("last")
    assert (record.status, record.reason, record.trials, record.result) == ("failed", error.message, 1, None)
    assert isinstance(events[-1], MachineRestored)


def test_a_machine_that_fails_away_from_its_default_is_searched_to_the_end(store: Store) -> None:
    hill = Hill(1, lambda configuration: 1000.0 if number(configuration) == 0 else None)
    played = play(store, SimulatedTarget(hill, noise=0.01), plan_for(hill))
    kinds = [trial.kind for trial in played.trials if trial.kind in (*SEARCHED, "canary")]
    assert kinds == ["search", "canary"] * 8, "a broken benchmark is told from a bad configuration"
    assert played.result.verdict is Verdict.INCONCLUSIVE
    assert played.result.reason == "none of the 8 configurations that were tried gave a score"
    assert played.result.claimed_by_search is None


def test_configurations_that_crash_do_not_hide_those_that_are_good(store: Store) -> None:
    hill = Hill(1, lambda configuration: bell(configuration) if number(configuration) < 800 else None)
    played = play(store, SimulatedTarget(hill, noise=0.01), plan_for(hill), Settings(searcher="random", seed=3))
    failed = [trial for trial in played.trials if trial.kind == "search" and trial.score is None]
    assert failed
    assert all(trial.failure == "the simulated benchmark failed: its score is None" for trial in failed)
    worked = [trial.reward or 0.0 for trial in played.trials if trial.kind == "search" and trial.score is not None]
    assert all(trial.reward is not None and trial.reward < min(worked) for trial in failed)
    assert played.result.verdict is Verdict.IMPROVED
    assert number(played.result.best_config) < 800


def test_a_benchmark_that_breaks_during_the_search_ends_it(store: Store) -> None:
    hill = Hill(1, counted(lambda run, configuration: bell(configuration) if run < 8 else None))
    error, _ = fail(store, SimulatedTarget(hill, noise=0.01), plan_for(hill), BenchmarkBroken)
    assert error.message.startswith("the benchmark fails at the default configuration too: the simulated benchmark")
    assert store.session("last").trials == 10, "eight that worked, the one that failed, and the second look"


def test_a_machine_in_trouble_ends_the_run_restored_and_recorded(store: Store) -> None:
    short = "available memory 212 MiB is below 492 MiB"

    def guarded(configuration: Mapping[str, Value]) -> float:
        if number(configuration) > 100:
            raise HealthStop(short)
        return 1000.0 + number(configuration)

    hill = Hill(1, guarded)
    error, events = fail(store, SimulatedTarget(hill, noise=0.01), plan_for(hill), HealthStop)
    assert error.exit_code == 4
    assert error.message == f"the health guard tripped 3 times; the last time: {short}"
    assert events[-1] == MachineRestored(True, 1)
    record = store.session("last")
    assert (record.status, record.reason) == ("failed", error.message)
    trials = store.trials(record.id)
    assert [trial.failure for trial in trials if trial.score is None] == [short] * 3
    assert trials[-1].failure == short, "the trial that ends the run is in the record too"
    told = [line.text for event in events for line in Narrator().lines(event) if "FAILED" in line.text]
    assert len(told) == 3
    assert all(f"FAILED: {short}" in line for line in told)


def test_a_machine_that_is_in_trouble_by_itself_is_not_tuned(store: Store) -> None:
    def guarded(configuration: Mapping[str, Value]) -> float:
        raise HealthStop("312 MiB free in /var/tmp is below 512 MiB")

    hill = Hill(1, guarded)
    error, _ = fail(store, SimulatedTarget(hill), plan_for(hill), HealthStop)
    assert error.message.endswith("tripped at the default configuration: 312 MiB free in /var/tmp is below 512 MiB")
    assert store.session("last").trials == 1


@pytest.mark.parametrize("run", [0, 3, 7, 14])
def test_an_interruption_restores_and_is_recorded(store: Store, run: int) -> None:
    def press(number_of_run: int, configuration: Mapping[str, Value]) -> float:
        if number_of_run == run:
            raise KeyboardInterrupt
        return bell(configuration)

    hill = Hill(1, counted(press))
    error, events = fail(store, SimulatedTarget(hill, noise=0.01), plan_for(hill), Interrupted)
    assert error.exit_code == 130
    assert error.message == "interrupted; the machine was restored"
    record = store.session("last")
    assert (record.status, record.reason, record.trials) == ("interrupted", error.message, run)
    assert isinstance(events[-1], MachineRestored)


def test_a_signal_is_recorded_by_its_name(store: Store) -> None:
    def stop(run: int, configuration: Mapping[str, Value]) -> float:
        if run == 7:
            raise Interrupted("interrupted by SIGTERM")
        return bell(configuration)

    hill = Hill(1, counted(stop))
    fail(store, SimulatedTarget(hill, noise=0.01), plan_for(hill), Interrupted)
    assert (store.session("last").status, store.session("last").reason) == ("interrupted", "interrupted by SIGTERM")


def test_somebody_elses_change_stops_the_run_and_stays(store: Store) -> None:
    target = SimulatedTarget(Hill(2, bell), noise=0.01)
    seen: list[Event] = []

    def administrator(event: Event) -> None:
        seen.append(event)
        if isinstance(event, TrialDone) and event.trial.number == 8:
            target.change_from_outside("demo.k0", 123)

    safe = pipeline.validate(plan_for(Hill(2, bell)), target, Consent())
    with pytest.raises(KnobChangedByOther, match="/proc/sys/demo/k0 ") as caught:
        pipeline.execute(safe, target, store, administrator, QUICK)
    assert caught.value.exit_code == 4
    assert texts(target)["demo.k0"] == "123"
    assert texts(target)["demo.k1"] == "0"
    assert seen[-1] == MachineRestored(True, 2, drifted=("/proc/sys/demo/k0",))
    assert (store.session("last").status, store.session("last").reason) == ("failed", caught.value.message)


class Stuck(SimulatedTarget):
    """A machine that refuses to take one value back."""

    def close(self) -> RestoreReport:
        super().close()
        stuck = KnobRestore("/proc/sys/demo/k0", "failed", "0", "700", "Device or resource busy (EBUSY)")
        return RestoreReport((stuck, KnobRestore("/proc/sys/demo/k1", "held", "0", "0")))


@pytest.mark.parametrize("broken_at", [None, 7])
def test_a_knob_that_is_not_back_is_what_is_said_whatever_else_happened(store: Store, broken_at: int | None) -> None:
    hill = Hill(2, counted(lambda run, configuration: None if run == broken_at else bell(configuration)))
    error, events = fail(store, Stuck(hill, noise=0.01), plan_for(hill), RestoreIncomplete)
    assert error.exit_code == 5
    assert error.message == "1 kernel setting(s) could not be put back"
    assert error.hint == "Paste as root: sysctl -w demo.k0=0"
    assert events[-1] == MachineRestored(False, 2, left=("sysctl -w demo.k0=0",))
    assert store.session("last").status == "failed"


@pytest.mark.parametrize("full_at", [5, 12])
def test_a_record_that_cannot_be_written_ends_the_run(store: Store, full_at: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(run: int, configuration: Mapping[str, Value]) -> float:
        if run == full_at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
        return bell(configuration)

    hill = Hill(1, counted(fill_the_disk))
    try:
        error, events = fail(store, SimulatedTarget(hill, noise=0.01), plan_for(hill), StoreError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.exit_code == 1
    assert f"the record {store.path}" in error.message
    assert "KNOBCTL_STATE_DIR" in error.hint
    assert isinstance(events[-1], MachineRestored)
    assert len(store.trials(store.session("last").id)) == full_at, "everything up to then can be read"
    played = sum(isinstance(event, TrialDone) for event in events)
    assert played == full_at + 1, "in the search too, not at its end"


def test_a_session_knows_the_conversation_that_it_began_in(store: Store) -> None:
    target = simulated_target("postgresql", seed=1)
    conversation, later = store.begin_conversation("make it fast", "m"), store.begin_conversation("again", "m")
    safe = pipeline.validate(plan("postgresql", total_timesteps=24), target, Consent())
    settings = Settings(searcher="random", seed=5)
    first = pipeline.execute(safe, target, store, lambda event: None, settings, "make it fast", conversation)
    record = store.session(first.session_id)
    assert (record.conversation, record.request) == (conversation, "make it fast")
    again = pipeline.verify_again(record, safe, target, store, lambda event: None, settings, later)
    assert store.session(again.session_id).conversation == later
    alone = pipeline.verify_again(record, safe, target, store, lambda event: None, settings)
    assert store.session(alone.session_id).conversation == ""
    assert store.conversation(conversation).sessions == (first.session_id,)


# --- what a person is told before the run


def test_the_estimate_is_never_exceeded_and_is_capped_by_the_time(store: Store) -> None:
    target = simulated_target("null", seed=2)
    safe = pipeline.validate(plan("null", total_timesteps=20), target, Consent())
    runs, seconds = pipeline.estimate(safe, Settings(pairs=12))
    assert runs == (1 + 5 + 1) + (20 + 2) + 8 * 4 + 24
    assert seconds == runs * (3 + 1), "sysbench --time=3, and a second around it"
    assert pipeline.estimate(safe, Settings(pairs=12, seconds=60.0)) == (runs, 60.0)
    assert pipeline.estimate(safe, Settings(pairs=5, budget=8))[0] == (1 + 5 + 1) + (8 + 1) + 8 * 4 + 10
    assert pipeline.estimate(safe, Settings(budget=6))[0] == (1 + 5) + 6 + 8 * 4 + 40, "no probe, and the noise decides"
    result = pipeline.execute(safe, target, store, lambda event: None, Settings(searcher="random", seed=2, pairs=12))
    assert result.trials <= runs


def test_a_plan_that_breaks_a_rule_never_reaches_the_machine() -> None:
    record = {**document("postgresql"), "action_space": [{"param": "vm.swappiness", "min": 0, "max": 10**6}]}
    with pytest.raises(UsageError, match=r"vm\.swappiness: 0 to 1000000 is not inside what is allowed here"):
        pipeline.validate(plan_from(record), simulated_target(), Consent())
