"""Forged runs with a result that follows from them and good hashes: the record contradicts itself, and that is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knobctl.events import Trial, TrialStarted
from knobctl.evidence import Bundle, read_bundle, recompute, write_bundle
from knobctl.evidence.bundle import RESULT
from knobctl.measure import Verification
from knobctl.workload import MetricSpec
from tests.evidence.forging import changed_json, forge, members_of

Forger = Callable[[Bundle], tuple[Trial, ...]]


def of_kind(bundle: Bundle, kind: str) -> list[Trial]:
    return [trial for trial in bundle.trials if trial.kind == kind]


def losing(bundle: Bundle) -> list[tuple[Trial, Trial]]:
    """The pairs in which the candidate looks worse than it should."""
    both = zip(of_kind(bundle, "verify-default"), of_kind(bundle, "verify-candidate"), strict=True)
    return [pair for pair in both if (pair[1].score or 0.0) < 1.005 * (pair[0].score or 0.0)]


def following(bundle: Bundle) -> Bundle:
    """With pairs, announcements and a result that follow from the runs: what a careful forger makes."""
    result = bundle.result
    test = Verification(MetricSpec(result.metric, result.unit, "maximize"), pairs=bundle.pairs[0].of)
    defaults, candidates = of_kind(bundle, "verify-default"), of_kind(bundle, "verify-candidate")
    both = zip(defaults, candidates, strict=False)
    pairs = [test.add(default.score, candidate.score) for default, candidate in both]
    began = tuple(TrialStarted(trial.number, trial.kind, trial.configuration, 1, 1, 0.0) for trial in bundle.trials)
    others = tuple(event for event in bundle.events if not isinstance(event, TrialStarted))
    bundle = replace(bundle, pairs=tuple(filter(None, pairs)), events=(*began, *others))
    return replace(bundle, result=recompute(bundle).result)


def said_of(bundle: Bundle, tmp_path: Path) -> tuple[str, ...]:
    """What is said about it after it went through a file with good hashes."""
    path = tmp_path / "forged"
    write_bundle(bundle, path)
    recomputed = recompute(read_bundle(path))
    assert recomputed.reproduced == (not recomputed.differences)
    return recomputed.differences


def half_as_fast_again(bundle: Bundle) -> tuple[Trial, ...]:
    return tuple(
        replace(trial, score=(trial.score or 0.0) * 1.5, cut_short=True) if trial.kind == "verify-candidate" else trial
        for trial in bundle.trials
    )


def without_losing_scores(bundle: Bundle) -> tuple[Trial, ...]:
    lost = [default for default, _ in losing(bundle)[:1]]
    return tuple(replace(trial, score=None) if trial in lost else trial for trial in bundle.trials)


def failed_and_printed(bundle: Bundle) -> tuple[Trial, ...]:
    lost = [default for default, _ in losing(bundle)[:1]]
    return tuple(
        replace(trial, score=None, failure="every request failed") if trial in lost else trial
        for trial in bundle.trials
    )


def failed_with_a_score(bundle: Bundle) -> tuple[Trial, ...]:
    return (*bundle.trials[:-1], replace(bundle.trials[-1], failure="killed"))


def without_losing_pairs(bundle: Bundle) -> tuple[Trial, ...]:
    lost = [trial for pair in losing(bundle) for trial in pair]
    return tuple(trial for trial in bundle.trials if trial not in lost)


def without_losing_runs(bundle: Bundle) -> tuple[Trial, ...]:
    """One default and, of another pair, one candidate; and numbered again."""
    (default, _), (_, candidate) = losing(bundle)[0], losing(bundle)[2]
    kept = [trial for trial in bundle.trials if trial not in (default, candidate)]
    return tuple(replace(trial, number=number) for number, trial in enumerate(kept))


def losing_pairs_as(kind: str) -> Forger:
    def change(bundle: Bundle) -> tuple[Trial, ...]:
        lost = [trial for pair in losing(bundle) for trial in pair]
        return tuple(replace(trial, kind=kind) if trial in lost else trial for trial in bundle.trials)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (half_as_fast_again, "it was cut short, and no run is outside the search (verify-candidate)"),
        (without_losing_scores, "it has no score, and nothing says why"),
        (failed_and_printed, "it failed, and it printed "),
        (failed_with_a_score, "it has a score, and it failed: killed"),
        (without_losing_pairs, "it stands where run "),
        (without_losing_runs, "the run of its pair is not beside it"),
        (losing_pairs_as("run-off"), "it is no run of the verification (run-off), which had begun before it"),
        (losing_pairs_as("control"), "it is no run of the verification (control), which had begun before it"),
    ],
)
def test_forged_runs_whose_result_follows(
    bundles: Mapping[str, Bundle], tmp_path: Path, change: Forger, words: str
) -> None:
    honest = bundles["only verified"]
    forged = following(replace(honest, trials=change(honest)))
    said = said_of(forged, tmp_path)
    assert any(one.startswith("run ") and words in one for one in said), said


def test_a_run_that_began_as_something_else(bundles: Mapping[str, Bundle], tmp_path: Path) -> None:
    """The first pair of the verification, as one before it."""
    honest = bundles["only verified"]
    default, candidate = of_kind(honest, "verify-default")[0], of_kind(honest, "verify-candidate")[0]
    kinds = {default.number: "baseline", candidate.number: "probe"}
    trials = tuple(replace(trial, kind=kinds.get(trial.number, trial.kind)) for trial in honest.trials)
    forged = replace(following(replace(honest, trials=trials)), events=honest.events)
    first, second = sorted((default, candidate), key=lambda trial: trial.number)
    assert said_of(forged, tmp_path) == tuple(
        f"run {trial.number}: it is recorded as {kinds[trial.number]}, and began as {trial.kind}"
        for trial in (first, second)
    )
    events = tuple(event for event in honest.events if not isinstance(event, TrialStarted))
    said = said_of(replace(honest, events=events), tmp_path)
    assert said[0] == "run 0: it is recorded as warmup, and began as no run"


def test_pairs_after_the_verification_was_over(improved: Bundle, tmp_path: Path) -> None:
    """More of them would be measured until they say something else."""
    fresh = improved.trials[-2:]
    again = tuple(replace(trial, number=len(improved.trials) + place) for place, trial in enumerate(fresh))
    forged = replace(following(replace(improved, trials=improved.trials + again)), pairs=improved.pairs)
    assert said_of(forged, tmp_path) == (f"run {again[0].number}: the verification was over before it: proven",)


def test_a_run_that_was_cut_short_and_printed(bundles: Mapping[str, Bundle], tmp_path: Path) -> None:
    """An estimate of its score stands for no number that it printed."""
    honest = bundles["cut and run off"]
    (first, *_) = [trial for trial in honest.trials if trial.cut_short]
    assert {"run-off", "control"} <= {trial.kind for trial in honest.trials}
    forged = tuple(
        replace(trial, metrics={honest.result.metric: 1e9}) if trial is first else trial for trial in honest.trials
    )
    said = said_of(replace(honest, trials=forged), tmp_path)
    assert said == (f"run {first.number}: it was cut short, and it printed 1000000000.0",)


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"claimed_by_search": 500.0}, "claimed_by_search: 500 is recorded, the samples give "),
        ({"claimed_by_search": None}, "claimed_by_search: None is recorded, the samples give "),
        ({"best_reward": 1e6}, "best_reward: 1e+06 is recorded, the samples give "),
        ({"baseline_reward": 1.0}, "baseline_reward: 1 is recorded, the samples give "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["improved", "worse"])
def test_a_claim_and_a_reward_that_were_written_by_hand(
    bundles: Mapping[str, Bundle], tmp_path: Path, name: str, changes: Mapping[str, Any], about: str
) -> None:
    forged = replace(bundles[name], result=replace(bundles[name].result, **changes))
    (said,) = said_of(forged, tmp_path)
    assert said.startswith(about)


def test_what_was_found_is_what_the_session_began_with(written: Path, improved: Bundle) -> None:
    knobs = json.loads(members_of(written)[RESULT])["knobs"]
    name, found = knobs[0]["name"], knobs[0]["found"]
    knobs[0]["found"] = 77
    forge(written, {RESULT: changed_json(members_of(written)[RESULT], knobs=knobs)})
    assert recompute(read_bundle(written)).differences == (
        f"knobs: {name} is recorded as found with 77, and the session began with {found}",
    )
    for document in ({"found": {}}, {"found": "all of them"}):
        odd = replace(improved, session=replace(improved.session, settings=document))
        assert f"knobs: {name} is recorded as found with {found}, and the session began with None" in (
            recompute(odd).differences
        )
    old = replace(improved, session=replace(improved.session, settings={}))
    assert recompute(old).reproduced, "an earlier version did not keep them"
