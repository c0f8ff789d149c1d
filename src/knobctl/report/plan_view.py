"""A safe plan in, what a person should read before they say yes out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from knobctl.report.wording import SIMULATED, assignments, better, columns, duration, one_line
from knobctl.safety.safe_plan import SafePlan, TunedKnob
from knobctl.safety.suggested import most_played


def describe_plan(
    plan: SafePlan,
    source: str = "",
    why: Sequence[str] = (),
    dropped: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    *,
    runs: int = 0,
    seconds: float = 0.0,
    simulated: bool = False,
    effort: str = "",
) -> str:
    """The plan in words, without a trailing newline.

    Args:
        plan: What may run.
        source: Where it comes from, such as ``playbook:postgresql-write``.
        why: Why this plan, one sentence each.
        dropped: (what, why) of what the strategist left out; what the validator dropped is added.
        notes: From the strategist; the validator's are added.
        runs: Benchmark runs in all, preflight and verification included; 0 when not known yet.
        seconds: How long they take; 0 when not known yet.
        simulated: Nothing of it will touch a real machine.
        effort: What is said of the trials, for a plan that is not searched; the budget by default.
    """
    objective = plan.objective
    origin = f" ({one_line(source, 80)})" if source else ""
    label = f"{SIMULATED} " if simulated else ""
    lines = [
        f"{label}Plan: {one_line(plan.plan.workload_name)}{origin}",
        *[f"  {one_line(sentence)}" for sentence in why],
        f"  command  {one_line(plan.command.text, 4000)}",
        f"  metric   {one_line(objective.name, 100)} ({_unit(objective.unit)}{better(objective.direction)})",
    ]
    if plan.command.reset_argv:
        lines.append(f"  reset    {one_line(shlex.join(plan.command.reset_argv), 4000)} (before each trial)")
    for guardrail in plan.guardrails:
        tolerance = f"at most {guardrail.tolerance_percent:g} % worse"
        lines.append(f"  guard    {one_line(guardrail.metric.name, 100)}, {tolerance}")
    lines.append(f"  trials   {effort or _effort(plan, runs, seconds)}")
    lines += ["", f"{label}Knobs that will be tried ({len(plan.knobs)}); every one is put back in the end:"]
    lines += columns(
        ["knob", "found", "range", "unit", "effect", "risk", "what it is"], [_row(one) for one in plan.knobs]
    )
    lines += _list(
        f"First guesses{_played(plan)}:",
        [f"{assignments(guess.configuration)}{_because(guess.reason)}" for guess in plan.suggestions],
    )
    left_out = dict.fromkeys((*dropped, *plan.dropped))
    lines += _list("Left out:", [f"{one_line(what, 120)}: {one_line(reason)}" for what, reason in left_out])
    lines += _list("Notes:", [one_line(note) for note in dict.fromkeys((*notes, *plan.notes))])
    return "\n".join(lines)


def _row(tuned: TunedKnob) -> list[str]:
    knob, dimension = tuned.knob, tuned.dimension
    if dimension.values:
        span = ", ".join(str(value) for value in dimension.values)
    else:
        span = f"{dimension.low} .. {dimension.high}"
        if dimension.scale == "log":
            span += " (log)"
        if dimension.special:
            span += f", or {', '.join(str(value) for value in dimension.special)}"
    return [
        knob.name,
        one_line(str(tuned.found), 60),
        one_line(span, 120),
        knob.unit,
        knob.effect,
        knob.risk,
        knob.summary,
    ]


def _effort(plan: SafePlan, runs: int, seconds: float) -> str:
    budget = f"{plan.plan.training_config.total_timesteps} of the search, preflight and verification on top"
    if not runs:
        return budget
    return f"{budget}: {runs} runs" + (f", about {duration(seconds)}" if seconds else "")


def _played(plan: SafePlan) -> str:
    """How many of the suggestions are tried, when these are not all."""
    most = most_played(plan.plan.training_config.total_timesteps)
    if most >= len(plan.suggestions):
        return ""
    return f"; the first {most} of them are tried" if most > 1 else "; the first of them is tried"


def _unit(unit: str) -> str:
    return f"{one_line(unit, 40)}, " if unit else ""


def _because(reason: str) -> str:
    return f" ({one_line(reason)})" if reason else ""


def _list(title: str, entries: Sequence[str]) -> list[str]:
    return ["", title, *[f"  - {entry}" for entry in entries]] if entries else []
