"""The JSON object that a language model answered in, a plan that passes the validator out; or what to tell the model.

What has exactly one meaning is repaired, what knobctl does not tune is dropped and reported, and for the rest the model
is asked again. What the user typed stands above everything that a model says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pydantic import ValidationError

from knobctl.errors import ConsentMissing, PlanError
from knobctl.knobs import Value
from knobctl.llm.base import Rejected
from knobctl.plan import ActionSpec, RewardSpec, Suggestion, TrainingConfig, TuningPlan, parse_direction, plan_from
from knobctl.plan_text import shown
from knobctl.safety import Consent, SafetyValidator
from knobctl.strategist import actions
from knobctl.strategist.brief import Brief
from knobctl.strategist.command import parse_command
from knobctl.strategist.files import PlaybookKnob
from knobctl.strategist.playbook import Measured, measure, state_space, title_of, training
from knobctl.strategist.repair_command import repair_command
from knobctl.strategist.repair_knobs import MOST_ENTRIES, RepairedKnobs, entries, find_knob, repair_knobs, value_for
from knobctl.strategist.repair_values import percentage, whole
from knobctl.strategist.reply import PLAN_KEYS, REASONING, by_meaning, one_line, plan_key, squashed
from knobctl.target.metrics import find_machine_metric
from knobctl.workload import MetricSpec
from knobctl.workload.registry import adapter_for, find_metric

BUDGET = (8, 60)
"""Trials that a model may ask for."""

_TOLERANCE = 5.0
"""Percent of a guardrail that a model adds without saying how much worse its metric may get."""

_MOST_NAMED = 8
_MOST_SUGGESTIONS = 3  # Half of what a search of the usual 24 trials plays, so that the playbook's have the rest.
_MOST_LISTED = 20
_MOST_REPORTED = 40
_SENTENCES, _SENTENCE, _TITLE, _SHORT = 3, 300, 80, 60

_METRIC = {"metric": ("metric", "name", "reward_metric", "metric_name", "key", "param")}
_GUARDRAIL = {**_METRIC, "tolerance": ("tolerance_percent", "tolerance", "max_regression_percent", "threshold_percent")}
_SUGGESTION = {
    "configuration": ("configuration", "config", "settings", "values", "parameters", "params", "knobs"),
    "reason": ("reason", "why", "description", "rationale", "explanation"),
}
_TIMESTEPS = {"total_timesteps": ("total_timesteps", "timesteps", "total_steps")}
_THEIRS = ("metricpattern", "resetcommand")
_TABLE = "Choose knobs from the table of knobs, by exactly the names in it."


@dataclass(frozen=True)
class Repaired:
    """A plan made from a model's answer. It passes the validator on the machine that it was made for.

    Attributes:
        plan: The plan.
        why: The model's own reasons, cleaned: untrusted words.
        dropped: (what the model wrote, why it is not used).
        notes: What was changed and people should know, one sentence each.
    """

    plan: TuningPlan
    why: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def repair(document: Mapping[str, Any], brief: Brief, *, last: bool = False) -> Repaired:
    """The plan that a model's answer means.

    Args:
        document: What the model answered; any JSON object.
        brief: The request, the workload that was decided on, and the machine.
        last: There is no further attempt: keep good knobs, with the workload's own command, metric and ranges in place
            of such that would be rejected.

    Raises:
        Rejected: The answer cannot be used; the message tells the model what to do differently.
        UsageError: An option that the user typed cannot be satisfied.
    """
    found, rest = by_meaning(document, PLAN_KEYS)
    dropped: list[tuple[str, str]] = []
    notes: list[str] = []
    if "action_space" not in found:
        flat = {key: document[key] for key in rest if re.search(r"[./]", key) and find_knob(key, brief.catalogue)[0]}
        found["action_space"], rest = flat or None, tuple(key for key in rest if key not in flat)
    command = repair_command(_said_command(found), brief, last=last)
    notes += command.notes
    measured = _measured(found, command.text, brief, last, notes)
    knobs = _knobs(found["action_space"], brief)
    dropped += [*knobs.dropped, *_leftovers(rest)]
    notes += knobs.notes
    said_title = found.get("workload_name")
    said_title = said_title.get("name") if isinstance(said_title, Mapping) else said_title
    typed = parse_command(brief.request.command) if brief.request.command is not None else ()
    plan = plan_from(
        {
            "workload_name": (one_line(said_title, _TITLE) if isinstance(said_title, str) else "")
            or title_of(brief.playbook, typed),
            "reward_metric": measured.objective.name,
            "benchmark_command": command.text,
            "action_space": [spec.model_dump(exclude_defaults=True) for spec in knobs.specs],
            "state_space": _state_space(found.get("state_space"), brief, dropped),
            "training_config": _training(found.get("training_config"), brief, notes),
            "direction": measured.direction,
            "guardrails": measured.guardrails,
            "reward": _reward(found.get("reward"), notes),
            "suggestions": [
                each.model_dump() for each in _suggestions(found.get("suggestions"), knobs, brief, dropped)
            ],
            "metric_pattern": brief.request.metric_pattern,
        }
    )
    return Repaired(
        plan=_validated(plan, brief, last, notes),
        why=_why(document[key] for key in rest if squashed(key) in REASONING),
        dropped=tuple(dict.fromkeys(dropped))[:_MOST_REPORTED],
        notes=tuple(dict.fromkeys(notes))[:_MOST_REPORTED],
    )


def _said_command(found: Mapping[str, Any]) -> Any:
    """The command, which some models put into an object about the workload."""
    workload = found.get("workload_name")
    beside = workload.get("command") if isinstance(workload, Mapping) else None
    return found.get("benchmark_command", beside)


def _leftovers(keys: Sequence[str]) -> list[tuple[str, str]]:
    left = [key for key in keys if squashed(key) not in REASONING and squashed(key) not in ("schema", "")]
    named = []
    for key in left[:_MOST_LISTED]:
        if squashed(key) in _THEIRS:
            why = "comes from you alone, never from a model"
        elif meaning := plan_key(key):
            why = f"another key says {meaning} already"
        else:
            why = "is no part of a plan"
        named.append((one_line(key, _SHORT) or "a key without a name", why))
    return named


def _why(said: Iterable[Any]) -> tuple[str, ...]:
    """A model's reasons, sentence by sentence."""
    texts = [text for each in said for text in (each if isinstance(each, list) else [each]) if isinstance(text, str)]
    sentences = [part for text in texts for part in re.split(r"(?<=[.!?])\s+|(?<=[。！？])", one_line(text, 5000))]
    return tuple(one_line(sentence, _SENTENCE) for sentence in sentences if sentence.strip())[:_SENTENCES]


def _knobs(raw: Any, brief: Brief) -> RepairedKnobs:
    request = brief.request
    if request.knobs:
        chosen = actions.from_names(request.knobs, brief.facts, brief.states, brief.catalogue)
        return RepairedKnobs(chosen.specs, {}, chosen.dropped, chosen.notes)
    knobs = repair_knobs(raw, brief)
    if knobs.specs:
        return knobs
    if not knobs.dropped:
        example = '{"param": "vm.dirty_ratio", "min": 5, "max": 80}'
        raise Rejected(f"The plan names no knobs: action_space has to be a list such as [{example}]. {_TABLE}")
    reasons = "; ".join(f"{what}: {why}" for what, why in knobs.dropped[:_MOST_NAMED])
    more = len(knobs.dropped) - _MOST_NAMED
    raise Rejected(
        f"No knob of action_space can be used: {reasons}{f'; and {more} more' if more > 0 else ''}. {_TABLE}"
    )


def _measured(found: Mapping[str, Any], command: str, brief: Brief, last: bool, notes: list[str]) -> Measured:
    """Objective and direction: the user's, else the model's as far as the command prints it; and all guardrails."""
    request, words = brief.request, parse_command(command)
    usual = measure(words, request, brief.playbook)
    printed = adapter_for(words, request.metric_pattern, request.metric, usual.direction).metrics(words)
    objective = usual.objective
    if request.metric is None and request.metric_pattern is None:
        objective = _objective(found.get("reward_metric"), usual.objective, printed, last, notes)
    said = parse_direction(found.get("direction"))
    if usual.direction is None and said in ("maximize", "minimize") and said != objective.direction:
        better = "higher" if objective.direction == "maximize" else "lower"
        notes.append(f"The model's direction, {said}, is not used: {objective.name} is better when {better}.")
    own = {each["metric"]: each["tolerance_percent"] for each in usual.guardrails if each["metric"] != objective.name}
    return Measured(objective, usual.direction, _guardrails(found.get("guardrails"), own, objective, printed, notes))


def _objective(raw: Any, usual: MetricSpec, printed: Sequence[MetricSpec], last: bool, notes: list[str]) -> MetricSpec:
    if isinstance(raw, Mapping):
        raw = by_meaning(raw, _METRIC)[0].get("metric")
    if raw is None:
        return usual
    name = raw[:_TITLE].strip() if isinstance(raw, str) else ""
    metric = find_metric(printed, name) or find_metric(printed, re.sub(r"\s*\([^()]*\)\s*$", "", name))
    if metric is not None:
        return metric
    known = ", ".join(each.name for each in printed)
    problem = f"reward_metric {shown(raw)} is not printed by the benchmark command; it prints {known}."
    if not last:
        raise Rejected(f"{problem} Use one of these names.")
    notes.append(f"The objective is {usual.name}: the model's {problem}")
    return usual


def _guardrails(
    raw: Any, own: Mapping[str, float], objective: MetricSpec, printed: Sequence[MetricSpec], notes: list[str]
) -> list[dict[str, Any]]:
    """The workload's own guardrails, with those that a model adds and as narrow as it wants them; never wider."""
    if isinstance(raw, Mapping):
        one = "metric" in by_meaning(raw, _METRIC)[0]
        raw = [raw] if one else [{"metric": name, "tolerance": tolerance} for name, tolerance in raw.items()]
    kept = dict(own)
    for each in raw[:_MOST_LISTED] if isinstance(raw, list) else ():
        fields = by_meaning(each, _GUARDRAIL)[0] if isinstance(each, Mapping) else {"metric": each}
        said, limit = fields.get("metric"), fields.get("tolerance")
        metric = find_metric(printed, said) if isinstance(said, str) else None
        tolerance = percentage(limit)
        if metric is None:
            notes.append(f"Guardrail {shown(said)} is not used: the benchmark does not print it.")
        elif metric.name == objective.name:
            notes.append(f"Guardrail {metric.name} is not used: it is the objective itself.")
        elif metric.name not in kept:
            kept[metric.name] = _TOLERANCE if tolerance is None else tolerance
        elif tolerance is not None and tolerance <= kept[metric.name]:
            kept[metric.name] = tolerance
        elif limit is not None:
            wanted = f"{shown(limit)} is not used as its tolerance: {kept[metric.name]:g} % stays"
            notes.append(f"Guardrail {metric.name}: {wanted}.")
    return [{"metric": name, "tolerance_percent": tolerance} for name, tolerance in kept.items()]


def _state_space(raw: Any, brief: Brief, dropped: list[tuple[str, str]]) -> list[dict[str, str]]:
    if isinstance(raw, str):
        raw = raw.split(",")
    if isinstance(raw, Mapping):
        raw = [raw] if "metric" in by_meaning(raw, _METRIC)[0] else list(raw)
    kept: dict[str, str] = {}
    for each in raw[:_MOST_LISTED] if isinstance(raw, list) else ():
        said = by_meaning(each, _METRIC)[0].get("metric") if isinstance(each, Mapping) else each
        metric = find_machine_metric(said) if isinstance(said, str) else None
        if metric is not None:
            kept.setdefault(metric.name, metric.source)
        else:
            words = one_line(said if isinstance(said, str) else shown(said), _SHORT)
            dropped.append((f"state_space: {words}", "is no machine metric that knobctl samples"))
    return [{"metric": name, "source": source} for name, source in kept.items()] or state_space(brief.playbook)


def _training(raw: Any, brief: Brief, notes: list[str]) -> dict[str, Any]:
    """The workload's own settings for the user's budget, else for the model's where it is sensible."""
    said: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    asked = by_meaning(said, _TIMESTEPS)[0].get("total_timesteps")
    budget = whole(asked, "")
    sensible = budget is not None and BUDGET[0] <= budget <= BUDGET[1]
    request = brief.request
    if request.budget is None and sensible:
        request = replace(request, budget=budget)
    settings = training(brief.playbook, request)
    known = {squashed(name) for name in (*TrainingConfig.model_fields, *_TIMESTEPS["total_timesteps"])}
    strange = [f"{one_line(key, _SHORT)} {shown(said[key])}" for key in said if squashed(key) not in known]
    strange += [f"{key} {shown(said[key])}" for key in said if squashed(key) == "algorithm" and _is_other(said[key])]
    if request.budget is None and asked is not None:
        strange.append(f"total_timesteps {shown(asked)}, where {settings['total_timesteps']} trials are usual")
    if strange:
        notes.append(f"Training settings of the model that are not used: {'; '.join(strange[:4])}.")
    return settings


def _is_other(algorithm: Any) -> bool:
    return not (isinstance(algorithm, str) and algorithm.strip().upper() == "PPO")


def _reward(raw: Any, notes: list[str]) -> dict[str, Any]:
    if raw is None:
        return {}
    try:
        return RewardSpec.model_validate(raw).model_dump(exclude_defaults=True)
    except ValidationError:
        notes.append(f"The model's reward {shown(raw)} is not used: the usual weights are.")
        return {}


def _suggestions(
    raw: Any, knobs: RepairedKnobs, brief: Brief, dropped: list[tuple[str, str]]
) -> tuple[Suggestion, ...]:
    """The model's configurations that lie in the action space and change something, then the playbook's.

    A model may have left out what matters most; where both say the same, both reasons are kept.
    """
    specs = {spec.param: spec for spec in knobs.specs}
    kept: list[Suggestion] = []

    def keep(pairs: Mapping[str, Value], reason: str) -> None:
        changed = any(brief.states[name].value != value for name, value in pairs.items())
        if changed and len(kept) < _MOST_SUGGESTIONS and all(pairs != each.configuration for each in kept):
            kept.append(Suggestion(configuration=dict(pairs), reason=reason))

    for each in _listed_suggestions(raw, brief):
        fields, _ = by_meaning(each, _SUGGESTION)
        said = fields.get("reason")
        plain = {key: value for key, value in each.items() if squashed(key) not in _SUGGESTION["reason"]}
        pairs: dict[str, Value] = {}
        for name, entry in islice(entries(fields.get("configuration", plain), brief.catalogue), MOST_ENTRIES):
            _add(name, entry.get("value"), specs, brief, pairs, dropped)
        words = one_line(said, _SENTENCE) if isinstance(said, str) else ""
        keep(pairs, f"The model: “{words}”" if words else "The model's own.")
    together: dict[str, Value] = {}
    for name, value in knobs.recommended.items():
        _add(name, value, specs, brief, together, dropped)
    keep(together, "The values that the model recommends.")
    more = actions.suggestions(brief.playbook, knobs.specs, brief.states) if brief.playbook else ()
    return (*kept, *more)


def _listed_suggestions(raw: Any, brief: Brief) -> list[Mapping[str, Any]]:
    if isinstance(raw, Mapping):
        named = raw and all(
            isinstance(each, Mapping) and not find_knob(key, brief.catalogue)[0] for key, each in raw.items()
        )
        several = named and "configuration" not in by_meaning(raw, _SUGGESTION)[0]
        raw = list(raw.values()) if several else [raw]
    return [each for each in raw[:_MOST_LISTED] if isinstance(each, Mapping)] if isinstance(raw, list) else []


def _add(
    name: str,
    raw: Any,
    specs: Mapping[str, ActionSpec],
    brief: Brief,
    pairs: dict[str, Value],
    dropped: list[tuple[str, str]],
) -> None:
    """Adds one value of a suggestion, or says why not."""
    knob, _ = find_knob(name, brief.catalogue)
    what = one_line(f"suggestion {knob.name if knob else name}={raw if isinstance(raw, str) else shown(raw)}", _SHORT)
    if knob is None or knob.name not in specs:
        dropped.append((what, "is not among the knobs of the plan"))
        return
    value = value_for(knob, raw, brief)
    if value is None or not actions.inside(specs[knob.name], value):
        dropped.append((what, "is outside of what is explored"))
    else:
        pairs.setdefault(knob.name, value)


def _validated(plan: TuningPlan, brief: Brief, last: bool, notes: list[str]) -> TuningPlan:
    """The plan, which passes the validator: with the whole safe ranges when its own fail on the last attempt.

    Raises:
        Rejected: It does not pass; the message is the validator's.
    """
    request = brief.request
    typed = (word.strip() for entry in request.knobs for word in entry.split(","))
    named = frozenset(word for word in typed if word and not any(mark in word for mark in "*?"))
    # Code made this command from the user's words, or they typed it. Whether they have to confirm it is asked when it
    # is to run.
    consent = Consent(command=brief.command, knobs=named)
    validator = SafetyValidator(brief.catalogue, brief.facts, brief.states, consent)
    try:
        validator.validate(plan)
    except (PlanError, ConsentMissing) as error:
        wide = plan.model_copy(update={"action_space": tuple(_wide(spec, brief) for spec in plan.action_space)})
        if last and wide != plan:
            notes.append(f"The model's ranges are not used, all that is safe is explored: {error.message}.")
            return _validated(wide, brief, False, notes)
        raise Rejected(f"{error.message}. {error.hint}".strip()) from None
    return plan


def _wide(spec: ActionSpec, brief: Brief) -> ActionSpec:
    knob = brief.catalogue[spec.param]
    return actions.spec_of(knob, PlaybookKnob(knob.name, spec.description), brief.facts, brief.states)
