"""The plan's metrics in, the objective and the guardrails out, each with a direction that is known for certain."""

from __future__ import annotations

from collections.abc import Sequence

from knobctl.plan import TuningPlan
from knobctl.plan_text import shown
from knobctl.safety.findings import Findings
from knobctl.safety.safe_plan import Guardrail
from knobctl.workload import MetricSpec
from knobctl.workload.registry import find_metric

_WAY = {"maximize": "higher", "minimize": "lower"}


def objective_of(plan: TuningPlan, metrics: Sequence[MetricSpec], findings: Findings) -> MetricSpec | None:
    """The metric to improve; a problem when the benchmark prints no metric of this name or synonym.

    Args:
        plan: With ``metric_pattern``, the objective is what the pattern finds.
        metrics: What the benchmark prints; the pattern's metric comes first.
        findings: Where problems go.
    """
    if plan.metric_pattern is not None:
        return metrics[0]
    return _find("reward_metric", plan.reward_metric, plan.direction, metrics, findings)


def guardrails_of(
    plan: TuningPlan, objective: MetricSpec | None, metrics: Sequence[MetricSpec], findings: Findings
) -> tuple[Guardrail, ...]:
    """The metrics that must not get worse, each once, and none of them the objective."""
    guardrails: list[Guardrail] = []
    for number, spec in enumerate(plan.guardrails):
        place = f"guardrails.{number}.metric"
        metric = _find(place, spec.metric, spec.direction, metrics, findings)
        if metric is None:
            continue
        if metric == objective:
            findings.refuse(f"{place}: {metric.name} is the objective itself", "Remove it.")
        elif any(metric == guardrail.metric for guardrail in guardrails):
            findings.refuse(f"{place}: {metric.name} stands twice", "Keep one of them.")
        else:
            guardrails.append(Guardrail(metric, spec.tolerance_percent))
    return tuple(guardrails)


def _find(
    place: str, name: str, direction: str | None, metrics: Sequence[MetricSpec], findings: Findings
) -> MetricSpec | None:
    metric = find_metric(metrics, name)
    if metric is None:
        known = ", ".join(metric.name for metric in metrics)
        findings.refuse(f"{place}: the benchmark prints no {shown(name)}; it prints {known}", "Use one of these names.")
    elif direction is not None and direction != metric.direction:
        findings.refuse(
            f"{place}: {metric.name} is better when {_WAY[metric.direction]}, and the plan says {direction}",
            "Leave direction out: it is known for this metric.",
        )
        return None
    return metric
