"""Everything that a finished run knows in, the result out: one typed record that is also the JSON document.

No headline comes from the search. What it would have claimed stands in ``claimed_by_search``; everything that says
"better" comes from the verification's fresh pairs, and a configuration is recommended only when they prove it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from knobctl.errors import StoreError
from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.measure.preflight import Noise
from knobctl.measure.verdict import GuardrailJudgement, Judgement, Verdict
from knobctl.safety.safe_plan import SafePlan, TunedKnob

if TYPE_CHECKING:
    from knobctl.search.incumbent import Share

_NEW_CONFIGURATIONS = ("search", "suggestion")


@dataclass(frozen=True)
class KnobChange:
    """One knob of the candidate.

    Attributes:
        name: Canonical name.
        found: Value that the machine had.
        candidate: Value that the candidate gives it.
        unit: Unit of both; empty for choices and counts.
        why: Why it matters, from the catalogue.
        share_percent: Its own part of the effect: what is lost when it alone goes back, as the model of the search
            estimates it; None when the candidate did not come from a search.
        share_interval: Both ends of the 95 % interval of that estimate.
    """

    name: str
    found: Value
    candidate: Value
    unit: str
    why: str
    share_percent: float | None = None
    share_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        success: The run came to its end and the machine is as it was found.
        workload_name: From the plan.
        best_reward: Reward of what is recommended: the candidate's when it is verified, else the baseline's. None
            when there was no search.
        best_config: What is recommended: the candidate when the verdict is ``IMPROVED``, else empty.
        baseline_reward: Reward of the default configuration; None when there was no search.
        improvement: Effect of the candidate in percent as the verification estimates it, positive is better; 0 when
            nothing was verified. A claim only together with the verdict ``IMPROVED``.
        total_episodes: Episodes of the search.
        verdict: What the fresh pairs prove.
        reason: Why it is this verdict, for people.
        improvement_interval: Both ends of the interval, in percent; None while it is unbounded.
        metric: The objective.
        unit: Its unit.
        direction: ``maximize`` or ``minimize``.
        baseline_score: Geometric mean of the default, from the verification, or from the preflight without one.
        best_score: Geometric mean of what is recommended, from the verification.
        candidate_config: What was verified, whatever the verdict; only what differs from what was found.
        claimed_by_search: Percent that the search alone would have claimed.
        trials: Benchmark runs of the whole session.
        benchmark_seconds: Seconds spent in them.
        session_id: Key of the record.
        restored: Every knob has the value that was found.
        simulated: Nothing here was measured on a real machine.
        target: Name of the target.
        searcher: Name of the searcher.
        pairs: Pairs that the verdict rests on.
        noise_percent: Noise between runs of one configuration.
        smallest_percent: The smallest gain that the budget could prove.
        policy_updates: Updates of the policy that the search could afford; None for a searcher without a policy.
        seconds: Length of the whole run.
        guardrails: What the pairs say about the metrics that must not get worse.
        knobs: The candidate knob by knob.
        importance: How much each tuned knob mattered in the search, from 0 to 1, together 1; empty when there were too
            few trials to tell.
        cut_short: Trials that were ended early because they very likely did not come near the best one.
        seconds_saved: Benchmark seconds that this saved.
        notes: What people should know.
    """

    success: bool
    workload_name: str
    best_reward: float | None
    best_config: Mapping[str, Value]
    baseline_reward: float | None
    improvement: float
    total_episodes: int
    verdict: Verdict
    reason: str
    improvement_interval: tuple[float, float] | None
    metric: str
    unit: str
    direction: str
    baseline_score: float | None
    best_score: float | None
    candidate_config: Mapping[str, Value]
    claimed_by_search: float | None
    trials: int
    benchmark_seconds: float
    session_id: str
    restored: bool
    simulated: bool
    target: str
    searcher: str
    pairs: int
    noise_percent: float | None
    smallest_percent: float | None
    policy_updates: int | None
    seconds: float
    guardrails: tuple[GuardrailJudgement, ...] = ()
    knobs: tuple[KnobChange, ...] = ()
    importance: Mapping[str, float] = field(default_factory=dict)
    cut_short: int = 0
    seconds_saved: float = 0.0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The result document: plain JSON types, no number that JSON does not have."""
        document: dict[str, Any] = _plain(asdict(self))
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Result:
        """The result of a document; keys that a later version added are left out, newer ones have their default.

        Raises:
            StoreError: A key is missing or has another type.
        """
        try:
            required = {one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING}
            values = {name: document[name] for name in cls.__dataclass_fields__ if name in document or name in required}
            interval = values["improvement_interval"]
            values["improvement_interval"] = None if interval is None else (float(interval[0]), float(interval[1]))
            values["verdict"] = Verdict(values["verdict"])
            judged = values.get("guardrails", ())
            values["guardrails"] = tuple(GuardrailJudgement(**known(GuardrailJudgement, one)) for one in judged)
            values["knobs"] = tuple(_change(one) for one in values.get("knobs", ()))
            values["notes"] = tuple(values.get("notes", ()))
            return cls(**values)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise StoreError(f"the result document is not complete: {error!r}", "Run the session again.") from None


def known(kind: type, document: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a document that a record of this kind has; what another version knew is left out."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in document.items() if name in names}


def _change(document: Mapping[str, Any]) -> KnobChange:
    interval = document.get("share_interval")
    ends = None if interval is None else (interval[0], interval[1])
    return KnobChange(**{**known(KnobChange, document), "share_interval": ends})


def conclude(
    plan: SafePlan,
    *,
    session_id: str,
    target: str,
    simulated: bool,
    searcher: str,
    trials: Sequence[Trial],
    seconds: float,
    restored: bool,
    noise: Noise | None = None,
    candidate: Mapping[str, Value] | None = None,
    claimed_percent: float | None = None,
    judgement: Judgement | None = None,
    baseline_reward: float | None = None,
    candidate_reward: float | None = None,
    total_episodes: int = 0,
    policy_updates: int | None = None,
    shares: Mapping[str, Share] | None = None,
    importance: Mapping[str, float] | None = None,
    run_seconds: float = 0.0,
    notes: Sequence[str] = (),
) -> Result:
    """Draws up the result of a run.

    Args:
        plan: What was run.
        session_id: Key of the record.
        target: Name of the target.
        simulated: Whether the target is a simulation.
        searcher: Name of the searcher.
        trials: Every trial of the session, the verification's too.
        seconds: Length of the whole run.
        restored: Whether every knob is back.
        noise: From the preflight.
        candidate: What the search proposes; only what differs from the default configuration counts.
        claimed_percent: What the search alone would claim for it.
        judgement: What the verification found; None when there was none.
        baseline_reward: Reward of the default configuration.
        candidate_reward: Reward of the candidate.
        total_episodes: Episodes of the search.
        policy_updates: Updates of the policy.
        shares: What each knob of the candidate contributes, by the model of the search.
        importance: How much each knob mattered over all trials.
        run_seconds: Length of a whole run, for what cutting short saved.
        notes: What people should know.
    """
    changed = plan.changed(candidate or {})
    cut = [trial for trial in trials if trial.cut_short]
    verdict, reason = verdict_of(judgement, changed, trials)
    improved = verdict is Verdict.IMPROVED
    baseline = judgement.default_score if judgement else None
    if baseline is None and noise is not None:
        baseline = noise.baseline
    interval = None
    if judgement and judgement.low_percent is not None and judgement.high_percent is not None:
        interval = (judgement.low_percent, judgement.high_percent)
    return Result(
        success=restored,
        workload_name=plan.plan.workload_name,
        best_reward=candidate_reward if improved else baseline_reward,
        best_config=changed if improved else {},
        baseline_reward=baseline_reward,
        improvement=(judgement.percent or 0.0) if judgement else 0.0,
        total_episodes=total_episodes,
        verdict=verdict,
        reason=reason,
        improvement_interval=interval,
        metric=plan.objective.name,
        unit=plan.objective.unit,
        direction=plan.objective.direction,
        baseline_score=baseline,
        best_score=judgement.candidate_score if judgement and improved else baseline,
        candidate_config=changed,
        claimed_by_search=claimed_percent,
        trials=len(trials),
        benchmark_seconds=math.fsum(trial.seconds for trial in trials),
        session_id=session_id,
        restored=restored,
        simulated=simulated,
        target=target,
        searcher=searcher,
        pairs=judgement.pairs if judgement else 0,
        noise_percent=noise.noise_percent if noise else None,
        smallest_percent=noise.smallest_percent if noise else None,
        policy_updates=policy_updates,
        seconds=seconds,
        guardrails=judgement.guardrails if judgement else (),
        knobs=tuple(
            _knob_change(tuned, changed[tuned.knob.name], (shares or {}).get(tuned.knob.name))
            for tuned in plan.knobs
            if tuned.knob.name in changed
        ),
        importance=dict(importance or {}),
        cut_short=len(cut),
        seconds_saved=math.fsum(max(0.0, run_seconds - trial.seconds) for trial in cut),
        notes=tuple(notes),
    )


def _knob_change(tuned: TunedKnob, value: Value, share: Share | None) -> KnobChange:
    knob = tuned.knob
    change = KnobChange(knob.name, tuned.found, value, knob.unit, knob.why)
    if share is None:
        return change
    return replace(change, share_percent=share.percent, share_interval=(share.low, share.high))


def verdict_of(
    judgement: Judgement | None, changed: Mapping[str, Value], trials: Sequence[Trial]
) -> tuple[Verdict, str]:
    """The verdict of a session and its reason.

    Args:
        judgement: What the verification found; None when there was none.
        changed: The candidate; only what differs from the default configuration.
        trials: Every trial of the session.
    """
    if not changed:
        tried = [trial for trial in trials if trial.kind in _NEW_CONFIGURATIONS]
        if not tried:
            return Verdict.INCONCLUSIVE, "no configuration was tried, so nothing is known"
        if all(trial.score is None for trial in tried):
            return Verdict.INCONCLUSIVE, f"none of the {len(tried)} configurations that were tried gave a score"
        return Verdict.NO_CHANGE, "the search proposes nothing but what was found"
    if judgement is None:
        return Verdict.INCONCLUSIVE, "the candidate was not verified, so nothing is proven"
    return judgement.verdict, judgement.reason


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Verdict):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
