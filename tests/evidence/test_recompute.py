"""The verdict again, from the samples alone: the pipeline's own, and never a forged one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knobctl import pipeline
from knobctl.errors import Interrupted, StoreError
from knobctl.events import Event, MachineRestored, Trial, TrialDone
from knobctl.evidence import Bundle, Recomputed, bundle_of, read_bundle, recompute, write_bundle
from knobctl.evidence.bundle import EVENTS, PAIRS, RESULT, SESSION, TRIALS
from knobctl.measure import Verdict
from knobctl.plan import parse_plan
from knobctl.safety import Consent
from knobctl.stats import geometric_mean
from knobctl.store import Store
from knobctl.target.simulated import simulated_target
from tests.commands.plans import plan
from tests.evidence.conftest import SETTINGS
from tests.evidence.forging import changed_json, forge, members_of, zip_again


def about(recomputed: Recomputed) -> set[str]:
    """What the differences are about."""
    return {difference.partition(":")[0] for difference in recomputed.differences}


def with_trials(bundle: Bundle, change: Callable[[Trial], Trial], *kinds: str) -> Bundle:
    return replace(bundle, trials=tuple(change(trial) if trial.kind in kinds else trial for trial in bundle.trials))


def scored(trial: Trial, factor: float, **metrics: float) -> Trial:
    """The same trial with another score, printed as well."""
    assert trial.score is not None
    score = trial.score * factor
    name = next(iter(trial.metrics))
    return replace(trial, score=score, metrics={name: score, **metrics})


# --- it is the pipeline's own


def test_every_kind_of_session_is_reproduced(bundles: dict[str, Bundle]) -> None:
    verdicts = {}
    for name, bundle in bundles.items():
        recomputed = recompute(bundle)
        assert recomputed.differences == (), name
        assert recomputed.reproduced
        assert recomputed.runs == len(bundle.trials) == bundle.result.trials
        verdicts[name] = recomputed.result.verdict
        # How long a proof would take is in the words of the run alone.
        assert bundle.result.reason.startswith(recomputed.result.reason)
        assert replace(recomputed.result, reason="") == replace(bundle.result, reason="")
    assert verdicts["improved"] is Verdict.IMPROVED
    assert verdicts["no candidate"] is Verdict.NO_CHANGE
    assert verdicts["no change"] is Verdict.NO_CHANGE
    assert verdicts["worse"] is Verdict.WORSE
    assert verdicts["failed runs"] is Verdict.INCONCLUSIVE
    assert verdicts["nothing matters"] is not Verdict.IMPROVED


@pytest.mark.parametrize("kind", ["search", "verify-default", "verify-candidate"])
def test_a_session_that_was_cut_off_and_went_on(tmp_path: Path, improved: Bundle, kind: str) -> None:
    def cut(event: Event) -> None:
        if isinstance(event, TrialDone) and event.trial.kind == kind:
            raise Interrupted("a power cut")

    with Store(tmp_path / "knobctl.db") as store:
        target = simulated_target("file-write", seed=1)
        safe = pipeline.validate(plan("file-write"), target, Consent())
        with pytest.raises(Interrupted):
            pipeline.execute(safe, target, store, cut, SETTINGS)
        record = store.session("last")
        again = simulated_target("file-write", seed=1)
        safe = pipeline.validate(parse_plan(record.plan), again, Consent())
        pipeline.resume(record, safe, again, store, lambda event: None)
        bundle = bundle_of(store.session(record.id), store)
    recomputed = recompute(bundle)
    assert recomputed.differences == ()
    assert recomputed.result.improvement_interval == pytest.approx(improved.result.improvement_interval)


def test_it_stays_so_through_a_file(written: Path, improved: Bundle) -> None:
    recomputed = recompute(read_bundle(written))
    assert recomputed == recompute(improved)
    assert recomputed.result.best_config == improved.result.candidate_config != {}


def test_the_last_bits_of_a_float_do_not_matter(improved: Bundle) -> None:
    result = improved.result
    near = replace(result, improvement=result.improvement * (1 + 1e-12))
    assert recompute(replace(improved, result=near)).reproduced
    far = replace(result, improvement=result.improvement * (1 + 1e-6))
    assert about(recompute(replace(improved, result=far))) == {"improvement"}


# --- guardrails


@pytest.mark.parametrize(
    ("latency", "verdict", "outcome"),
    [(10.0, Verdict.IMPROVED, "held"), (20.0, Verdict.WORSE, "violated")],
)
def test_guardrails_are_judged_again(
    bundles: dict[str, Bundle], latency: float, verdict: Verdict, outcome: str
) -> None:
    """The simulated benchmark prints its objective alone; here it prints a latency, too."""
    guarded = bundles["guarded"]
    assert [one.metric for one in guarded.result.guardrails] == ["latency_average_ms"]
    changed = with_trials(guarded, lambda trial: scored(trial, 1.0, latency_average_ms=10.0), "verify-default")
    for factor in (0.9, 1.1):  # however much the candidate gains, its latency counts
        changed = with_trials(
            changed,
            lambda trial: scored(trial, 3.0 * factor, latency_average_ms=latency + trial.number / 1e4),  # noqa: B023
            "verify-candidate",
        )
        recomputed = recompute(changed)
        assert recomputed.result.verdict is verdict
        assert [one.outcome for one in recomputed.result.guardrails] == [outcome]
        assert "guardrails" in about(recomputed)


# --- forged results


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("no change", {"verdict": "IMPROVED"}),
        ("worse", {"verdict": "IMPROVED"}),
        ("failed runs", {"verdict": "IMPROVED", "improvement": 30.0}),
        ("improved", {"improvement": 55.5}),
        ("improved", {"improvement_interval": [50.0, 60.0]}),
        ("improved", {"improvement_interval": None}),
        ("improved", {"pairs": 40}),
        ("improved", {"best_config": {}}),
        ("improved", {"candidate_config": {"vm.swappiness": 1}}),
        ("improved", {"baseline_score": 1.0}),
        ("improved", {"best_score": 1e9}),
        ("improved", {"noise_percent": 0.01}),
        ("improved", {"smallest_percent": 0.01}),
        ("improved", {"direction": "minimize"}),
        ("improved", {"metric": "beauty"}),
        ("improved", {"simulated": False}),
        ("improved", {"target": "local"}),
        ("improved", {"trials": 1000}),
        ("improved", {"benchmark_seconds": 1.0}),
        ("improved", {"session_id": "another"}),
        ("improved", {"restored": False}),
        ("improved", {"workload_name": "mine"}),
    ],
)  # fmt: skip
def test_a_forged_result_with_good_hashes_is_found_out(
    bundles: dict[str, Bundle], tmp_path: Path, name: str, changes: Mapping[str, Any]
) -> None:
    path = tmp_path / "forged"
    write_bundle(bundles[name], path)
    forge(path, {RESULT: changed_json(members_of(path)[RESULT], **changes)})
    recomputed = recompute(read_bundle(path))
    assert not recomputed.reproduced
    assert about(recomputed) == set(changes)
    assert recomputed.result.verdict is bundles[name].result.verdict


def test_a_difference_says_both_sides(bundles: dict[str, Bundle]) -> None:
    worse = bundles["worse"]
    forged = replace(worse, result=replace(worse.result, verdict=Verdict.IMPROVED, pairs=40))
    assert recompute(forged).differences == (
        "verdict: IMPROVED is recorded, the samples give WORSE",
        f"pairs: 40 is recorded, the samples give {worse.result.pairs}",
    )


def test_forged_knobs_pairs_and_events(written: Path, improved: Bundle) -> None:
    members = members_of(written)
    knobs = json.loads(members[RESULT])["knobs"]
    knobs[0]["candidate"] = 1
    forge(written, {RESULT: changed_json(members[RESULT], knobs=knobs)})
    (said,) = recompute(read_bundle(written)).differences
    assert said.startswith("knobs: {") and "is recorded, the runs tried" in said
    lines = members[PAIRS].splitlines()
    forge(
        written,
        {RESULT: members[RESULT], PAIRS: changed_json(lines[0], percent=99.0) + b"\n" + b"\n".join(lines[1:]) + b"\n"},
    )
    (said,) = recompute(read_bundle(written)).differences
    assert said.startswith("pair 1: percent 99 is recorded, the samples give ")
    forge(written, {PAIRS: b""})
    assert recompute(read_bundle(written)).differences == (f"pairs: 0 are recorded, the samples give {len(lines)}",)
    events = tuple(event for event in improved.events if not isinstance(event, MachineRestored))
    assert about(recompute(replace(improved, events=events))) == {"success", "restored"}
    forge(written, {PAIRS: members[PAIRS], EVENTS: b""})
    assert {"success", "restored"} <= about(recompute(read_bundle(written)))


def test_forged_runs_contradict_the_result(improved: Bundle) -> None:
    faster = with_trials(improved, lambda trial: scored(trial, 1.5), "verify-candidate")
    assert {"improvement", "improvement_interval", "best_score", "pair 1"} <= about(recompute(faster))
    fewer = replace(improved, trials=improved.trials[:-2])
    assert {"trials", "pairs", "benchmark_seconds"} <= about(recompute(fewer))
    quieter = with_trials(improved, lambda trial: scored(trial, 1 + trial.number / 100), "baseline")
    assert {"noise_percent", "smallest_percent"} <= about(recompute(quieter))


def test_runs_that_cannot_have_been_are_named(improved: Bundle) -> None:
    (first, *_) = [trial for trial in improved.trials if trial.kind == "verify-default"]

    def change(**values: Any) -> Bundle:
        return replace(
            improved, trials=tuple(replace(one, **values) if one is first else one for one in improved.trials)
        )

    (name, printed) = next(iter(first.metrics.items()))
    said = recompute(change(metrics={name: 1.0})).differences
    assert said == (f"run {first.number}: its score is {printed!r}, and it printed 1.0",)
    said = recompute(change(configuration={"vm.swappiness": 1})).differences
    assert said == (f"run {first.number}: a run of the default had changed knobs",)
    last = improved.trials[-1] if improved.trials[-1].kind == "verify-candidate" else improved.trials[-2]
    other = tuple(replace(one, configuration={"vm.swappiness": 1}) if one is last else one for one in improved.trials)
    assert recompute(replace(improved, trials=other)).differences == (
        f"run {last.number}: it tried another candidate than the runs before it",
    )


@pytest.mark.parametrize("trials", [lambda all_of: (), lambda all_of: all_of[:2]])
def test_too_few_runs_give_no_result_at_all(improved: Bundle, trials: Callable[[Any], Any]) -> None:
    with pytest.raises(StoreError) as caught:
        recompute(replace(improved, trials=trials(improved.trials)))
    assert caught.value.message.startswith("the result does not follow from its samples: ")
    assert caught.value.hint == "Do not rely on this bundle."


@pytest.mark.parametrize("number", [1.5e308, -1.5e308, 5e-324, 0.0])
@pytest.mark.parametrize("name", ["score", "seconds", "started", "ended", "reward", "uncertainty", "iowait", "sample"])
@pytest.mark.parametrize("of", ["improved", "guarded"])
def test_numbers_that_nobody_measured_end_in_words(
    bundles: dict[str, Bundle], tmp_path: Path, of: str, name: str, number: float
) -> None:
    def change(trial: Trial) -> Trial:
        changes: dict[str, Any] = {
            "score": {"score": number, "metrics": dict.fromkeys(trial.metrics, number)},
            "iowait": {"machine": {**trial.machine, "iowait": number}},
            "sample": {"samples": tuple((second, number) for second, _ in trial.samples)},
        }.get(name, {name: number})
        return replace(trial, **changes)

    forged = replace(bundles[of], trials=tuple(map(change, bundles[of].trials)))
    path = tmp_path / "forged"
    write_bundle(forged, path)
    try:
        recompute(read_bundle(path))
    except StoreError as error:
        assert error.message.startswith("the result does not follow from its samples: ")
        assert error.hint == "Do not rely on this bundle."


def test_a_number_that_is_too_large_is_said_to_be(improved: Bundle) -> None:
    long = replace(improved, trials=tuple(replace(trial, seconds=1.5e308) for trial in improved.trials))
    with pytest.raises(StoreError) as caught:
        recompute(long)
    assert caught.value.message == (
        "the result does not follow from its samples: a number is too large to compute with"
    )


def test_a_plan_whose_metric_nobody_prints(improved: Bundle) -> None:
    plan = improved.plan.model_copy(update={"reward_metric": "beauty"})
    with pytest.raises(StoreError, match="the benchmark prints no 'beauty'"):
        recompute(replace(improved, plan=plan))
    plan = improved.plan.model_copy(update={"benchmark_command": "rm -rf / | cat"})
    with pytest.raises(StoreError, match="does not follow from its samples: benchmark_command: "):
        recompute(replace(improved, plan=plan))


def test_scores_are_those_of_the_runs(improved: Bundle) -> None:
    """By hand: the geometric means of the verification's runs."""
    result = recompute(improved).result
    for kind, score in (("verify-default", result.baseline_score), ("verify-candidate", result.best_score)):
        assert score == geometric_mean([trial.score for trial in improved.trials if trial.kind == kind and trial.score])


def test_a_changed_run_is_caught_by_its_hash_alone(written: Path) -> None:
    members = members_of(written)
    zip_again(written, members | {TRIALS: members[TRIALS].replace(b'"score":', b'"score": ', 1)})
    with pytest.raises(StoreError, match=r"trials.jsonl is not what the manifest says"):
        read_bundle(written)


def test_a_session_of_another_seed_is_still_the_same_result(written: Path) -> None:
    """What is only a setting is shown and proves nothing."""
    forge(written, {SESSION: changed_json(members_of(written)[SESSION], seed=99)})
    assert recompute(read_bundle(written)).reproduced
