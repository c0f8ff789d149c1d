"""A bundle in, the result that its raw samples give out, and every place where the recorded one says something else.

The same functions decide here as in a run. What a run only chose (how many pairs it allowed, say) is taken from the
record; whatever follows from samples is computed from them and from the plan, and from nothing else.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from knobctl.env.bench import DEFAULT_KINDS, SEARCH_KINDS
from knobctl.errors import KnobctlError, StoreError
from knobctl.events import MachineRestored, NoiseMeasured, PairMeasured, Trial, TrialStarted
from knobctl.evidence.bundle import Bundle
from knobctl.knobs import Value
from knobctl.measure import GuardrailJudgement, Judgement, Noise, Verdict, Verification, assess
from knobctl.plan import TuningPlan
from knobctl.reward import reward_of_runs
from knobctl.safety.command import words_of
from knobctl.safety.findings import Findings
from knobctl.safety.objective import guardrails_of, objective_of
from knobctl.safety.safe_plan import Guardrail
from knobctl.search.incumbent import claimed_percent
from knobctl.stats import geometric_mean
from knobctl.store import Result
from knobctl.store.result import verdict_of
from knobctl.workload import MetricSpec
from knobctl.workload.registry import adapter_for

NOT_FOLLOWING = "the result does not follow from its samples"

_SAME = 1e-9
"""Relative: the last bits of a logarithm differ from one machine's library to another's."""

_PREFLIGHT = ("warmup", "baseline", "probe")
_FRESH = _DEFAULT, _CANDIDATE = ("verify-default", "verify-candidate")
_WORDS = ("reason", "notes", "total_episodes", "policy_updates", "seconds", "importance", "seconds_saved", "knobs")
"""What does not follow from samples alone: words, and how the search went about it."""


@dataclass(frozen=True)
class Recomputed:
    """What the samples of a bundle say.

    Attributes:
        result: The recorded result with everything in place that follows from the samples.
        runs: Raw runs in the bundle.
        differences: Where the record says something else, one sentence each; none when it was reproduced.
    """

    result: Result
    runs: int
    differences: tuple[str, ...]

    @property
    def reproduced(self) -> bool:
        """The recorded result is the one that follows from the samples."""
        return not self.differences


def recompute(bundle: Bundle) -> Recomputed:
    """Computes verdict, effect, interval, scores and noise again from the raw runs.

    Raises:
        StoreError: The samples give no result at all: runs of the default are missing, the plan names no metric, or a
            number is too large to compute with.
    """
    try:
        objective, guardrails = _measured(bundle.plan)
        noise = _noise(bundle)
        candidate = _candidate(bundle.trials)
        judged = _judged(bundle, objective, guardrails, noise) if candidate else _Judged()
        result = _result(bundle, objective, noise, candidate, judged.judgement)
    except KnobctlError as error:
        raise StoreError(f"{NOT_FOLLOWING}: {error.message}", "Do not rely on this bundle.") from None
    except ArithmeticError:
        why = "a number is too large to compute with"
        raise StoreError(f"{NOT_FOLLOWING}: {why}", "Do not rely on this bundle.") from None
    differences = [
        *_about_the_order(bundle),
        *_about_scores(bundle.trials, objective.name),
        *_about_configurations(bundle.trials, candidate),
        *judged.too_many,
        *_about_pairs(bundle.pairs, judged.pairs),
        *_about_the_change(bundle, candidate),
        *_about_fields(bundle.result, result),
    ]
    return Recomputed(result, len(bundle.trials), tuple(differences))


def _measured(plan: TuningPlan) -> tuple[MetricSpec, tuple[Guardrail, ...]]:
    """The objective and the guardrails, as the plan and the benchmark's adapter define them.

    Raises:
        KnobctlError: The benchmark prints no such metric.
    """
    findings = Findings()
    words = words_of("benchmark_command", plan.benchmark_command, findings)
    findings.stop_if_any()
    adapter = adapter_for(words, plan.metric_pattern, plan.reward_metric, plan.direction)
    metrics = adapter.metrics(words)
    objective = objective_of(plan, metrics, findings)
    guardrails = guardrails_of(plan, objective, metrics, findings)
    findings.stop_if_any()
    assert objective is not None, "a metric that is unknown is a problem"
    return objective, guardrails


def _noise(bundle: Bundle) -> Noise:
    """The noise of the runs before the search.

    Raises:
        KnobctlError: There are too few of them.
    """
    trials = tuple(itertools.takewhile(lambda trial: trial.kind in _PREFLIGHT, bundle.trials))
    seconds = geometric_mean([trial.seconds for trial in trials if trial.seconds > 0]) or 0.0
    return assess(trials, seconds, _allowed_pairs(bundle), force=True)


def _allowed_pairs(bundle: Bundle) -> int:
    """How many pairs the run allowed itself: not a measurement, but the margin depends on it."""
    announced = [event.pairs for event in bundle.events if isinstance(event, NoiseMeasured)]
    return max(1, announced[-1] if announced else len(_of_kind(bundle.trials, _CANDIDATE)))


def _candidate(trials: Sequence[Trial]) -> Mapping[str, Value]:
    """What the verification ran against the default; empty when it ran nothing."""
    tried = _of_kind(trials, _CANDIDATE)
    return tried[0].configuration if tried else {}


@dataclass(frozen=True)
class _Judged:
    """What the verification comes to, pair by pair until its test stops.

    Attributes:
        judgement: What is proven; None without a verification.
        pairs: The pairs with the interval after each.
        too_many: That there are runs after it stopped, in words; empty when there are none.
    """

    judgement: Judgement | None = None
    pairs: tuple[PairMeasured, ...] = ()
    too_many: tuple[str, ...] = ()


def _judged(bundle: Bundle, objective: MetricSpec, guardrails: Sequence[Guardrail], noise: Noise) -> _Judged:
    test = Verification(objective, guardrails, pairs=noise.pairs, margin_percent=noise.margin_percent)
    measured: list[PairMeasured | None] = []
    too_many: tuple[str, ...] = ()
    defaults, candidates = _of_kind(bundle.trials, _DEFAULT), _of_kind(bundle.trials, _CANDIDATE)
    for default, candidate in zip(defaults, candidates, strict=False):
        if test.stop:
            first = min(default.number, candidate.number)
            too_many = (f"run {first}: the verification was over before it: {test.stop}",)
            break
        measured.append(
            test.add(
                default.score,
                candidate.score,
                default_metrics=default.metrics,
                candidate_metrics=candidate.metrics,
            )
        )
    return _Judged(test.judgement(), tuple(pair for pair in measured if pair is not None), too_many)


def _result(
    bundle: Bundle,
    objective: MetricSpec,
    noise: Noise,
    candidate: Mapping[str, Value],
    judgement: Judgement | None,
) -> Result:
    session, trials = bundle.session, bundle.trials
    direction, spec = objective.direction, bundle.plan.reward
    verdict, reason = verdict_of(judgement, candidate, trials)
    improved = verdict is Verdict.IMPROVED
    reward = reward_of_runs(_of_kind(trials, "baseline"), noise.baseline, noise.baseline, direction, spec)
    scores = (judgement.candidate_score, judgement.default_score) if judgement else (None, None)
    verified = reward_of_runs(_of_kind(trials, _CANDIDATE), *scores, direction, spec)
    baseline = judgement.default_score if judgement else None
    baseline = noise.baseline if baseline is None else baseline
    interval = None
    if judgement and judgement.low_percent is not None and judgement.high_percent is not None:
        interval = (judgement.low_percent, judgement.high_percent)
    restored = [event.complete for event in bundle.events if isinstance(event, MachineRestored)][-1:] == [True]
    return replace(
        bundle.result,
        success=restored,
        restored=restored,
        workload_name=bundle.plan.workload_name,
        best_reward=verified if improved else reward,
        baseline_reward=reward,
        verdict=verdict,
        reason=reason,
        improvement=(judgement.percent or 0.0) if judgement else 0.0,
        improvement_interval=interval,
        pairs=judgement.pairs if judgement else 0,
        guardrails=judgement.guardrails if judgement else (),
        metric=objective.name,
        unit=objective.unit,
        direction=direction,
        baseline_score=baseline,
        best_score=judgement.candidate_score if judgement and improved else baseline,
        candidate_config=candidate,
        best_config=candidate if improved else {},
        claimed_by_search=claimed_percent(trials, direction),
        trials=len(trials),
        cut_short=sum(trial.cut_short for trial in trials),
        benchmark_seconds=math.fsum(trial.seconds for trial in trials),
        noise_percent=noise.noise_percent,
        smallest_percent=noise.smallest_percent if math.isfinite(noise.smallest_percent) else None,
        session_id=session.id,
        simulated=session.simulated or bundle.facts.simulated,
        target=session.target,
        searcher=session.searcher,
    )


def _about_the_order(bundle: Bundle) -> list[str]:
    """Runs that are missing, stand where they cannot have been, or began as something else."""
    said = []
    for place, trial in enumerate(bundle.trials):
        if trial.number != place:
            said.append(f"run {trial.number}: it stands where run {place} has to be")
            break
    begun = {event.number: event.trial_kind for event in bundle.events if isinstance(event, TrialStarted)}
    said += [
        f"run {trial.number}: it is recorded as {trial.kind}, and began as {begun.get(trial.number, 'no run')}"
        for trial in bundle.trials
        if begun.get(trial.number) != trial.kind
    ]
    after = list(itertools.dropwhile(lambda trial: trial.kind not in _FRESH, bundle.trials))
    fresh = [trial for trial in after if trial.kind in _FRESH]
    said += [
        f"run {trial.number}: it is no run of the verification ({trial.kind}), which had begun before it"
        for trial in after
        if trial.kind not in _FRESH
    ]
    for default, candidate in itertools.zip_longest(fresh[::2], fresh[1::2]):
        if candidate is None or default.kind == candidate.kind:
            said.append(f"run {default.number}: the run of its pair is not beside it")
            break
    return said


def _about_scores(trials: Sequence[Trial], metric: str) -> list[str]:
    """Scores that are not what their run printed."""
    return [f"run {trial.number}: {problem}" for trial in trials if (problem := _score_problem(trial, metric))]


def _score_problem(trial: Trial, metric: str) -> str:
    printed = trial.metrics.get(metric)
    if trial.cut_short and trial.kind not in SEARCH_KINDS:
        return f"it was cut short, and no run is outside the search ({trial.kind})"
    if trial.cut_short:
        return "" if printed is None else f"it was cut short, and it printed {printed!r}"
    if trial.score is not None and not _same(trial.score, printed):
        return f"its score is {trial.score!r}, and it printed {printed!r}"
    if trial.score is not None:
        return f"it has a score, and it failed: {trial.failure}" if trial.failure else ""
    if not trial.failure:
        return "it has no score, and nothing says why"
    return f"it failed, and it printed {printed!r}" if printed is not None and printed > 0 else ""


def _about_configurations(trials: Sequence[Trial], candidate: Mapping[str, Value]) -> list[str]:
    """Runs of something else than their kind says."""
    return [
        *(
            f"run {trial.number}: it tried another candidate than the runs before it"
            for trial in _of_kind(trials, _CANDIDATE)
            if dict(trial.configuration) != dict(candidate)
        ),
        *(
            f"run {trial.number}: a run of the default had changed knobs"
            for trial in trials
            if trial.kind in (*DEFAULT_KINDS, _DEFAULT) and trial.configuration
        ),
    ]


def _about_pairs(recorded: Sequence[PairMeasured], given: Sequence[PairMeasured]) -> list[str]:
    if len(recorded) != len(given):
        return [f"pairs: {len(recorded)} are recorded, the samples give {len(given)}"]
    return [
        f"pair {one.pair}: {field.name} {_shown(getattr(one, field.name))} is recorded, "
        f"the samples give {_shown(getattr(other, field.name))}"
        for one, other in zip(recorded, given, strict=True)
        for field in fields(PairMeasured)
        if not _same(getattr(one, field.name), getattr(other, field.name))
    ]


def _about_the_change(bundle: Bundle, candidate: Mapping[str, Value]) -> list[str]:
    knobs = bundle.result.knobs
    listed = {knob.name: knob.candidate for knob in knobs}
    said = []
    if listed != dict(candidate):
        said.append(f"knobs: {_shown(listed)} is recorded, the runs tried {_shown(dict(candidate))}")
    found = (
        bundle.session.settings.get("found") if bundle.session.settings else {knob.name: knob.found for knob in knobs}
    )
    begun = found if isinstance(found, Mapping) else {}
    return said + [
        f"knobs: {knob.name} is recorded as found with {knob.found}, and the session began with {begun.get(knob.name)}"
        for knob in knobs
        if begun.get(knob.name) != knob.found
    ]


def _about_fields(recorded: Result, given: Result) -> list[str]:
    return [
        f"{field.name}: {_shown(getattr(recorded, field.name))} is recorded, "
        f"the samples give {_shown(getattr(given, field.name))}"
        for field in fields(Result)
        if field.name not in _WORDS and not _same(getattr(recorded, field.name), getattr(given, field.name))
    ]


def _same(one: Any, other: Any) -> bool:
    """Whether two values of a record are the same, but for the last bits of a float."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=_SAME, abs_tol=_SAME)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return dict(one) == dict(other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, GuardrailJudgement) and isinstance(other, GuardrailJudgement):
        names = [field.name for field in fields(GuardrailJudgement) if field.name not in _WORDS]
        return all(_same(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_shown, value))})"
    if isinstance(value, GuardrailJudgement):
        return f"{value.metric} {value.outcome} at {_shown(value.percent)}"
    return str(value)


def _of_kind(trials: Sequence[Trial], kind: str) -> list[Trial]:
    return [trial for trial in trials if trial.kind == kind]
