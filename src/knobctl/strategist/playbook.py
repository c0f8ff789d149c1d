"""The strategist without a language model: words choose a playbook, which is fitted to the machine and the options."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from knobctl.errors import UsageError
from knobctl.knobs import Catalogue, KnobState
from knobctl.plan import Direction, TrainingConfig, parse_direction, plan_from
from knobctl.strategist import actions
from knobctl.strategist.base import Proposal, TuningRequest
from knobctl.strategist.choice import choose
from knobctl.strategist.command import given, parse_command, render
from knobctl.strategist.files import Playbook
from knobctl.strategist.request import Hints, read_request
from knobctl.target import HostFacts
from knobctl.target.metrics import DEFAULT_STATE, find_machine_metric
from knobctl.workload import MetricSpec
from knobctl.workload.registry import adapter_for, find_metric


class PlaybookStrategist:
    """Chooses among the playbooks that ship with knobctl. Deterministic, needs no network, changes nothing."""

    def propose(
        self, request: TuningRequest, facts: HostFacts, states: Mapping[str, KnobState], catalogue: Catalogue
    ) -> Proposal:
        """A plan from the playbook that the words or the command choose.

        Raises:
            RequestNotUnderstood: Neither the words nor the options say which workload is meant.
            UsageError: The request is too long, or an option cannot be used as given.
        """
        hints = read_request(request.text)
        typed = () if request.command is None else parse_command(request.command)
        choice = choose(hints, typed, bool(request.knobs))
        playbook = choice.playbook
        if playbook is not None and not typed:
            command = render(playbook, hints, facts)
        else:
            command = given(request.command or "", hints)
        measured = measure(shlex.split(command.text), request, playbook)
        if playbook is not None and not request.knobs:
            chosen = actions.from_playbook(playbook, facts, states, catalogue)
        else:
            chosen = actions.from_names(request.knobs, facts, states, catalogue)
        suggestions = actions.suggestions(playbook, chosen.specs, states) if playbook else ()
        document: dict[str, Any] = {
            "workload_name": title_of(playbook, typed),
            "reward_metric": measured.objective.name,
            "benchmark_command": command.text,
            "action_space": [spec.model_dump(exclude_defaults=True) for spec in chosen.specs],
            "state_space": state_space(playbook),
            "training_config": training(playbook, request),
            "direction": measured.direction,
            "guardrails": measured.guardrails,
            "suggestions": [suggestion.model_dump() for suggestion in suggestions],
            "metric_pattern": request.metric_pattern,
        }
        return Proposal(
            plan=plan_from(document),
            source=f"playbook:{playbook.name if playbook else 'custom'}",
            why=(*choice.why, *command.why),
            dropped=chosen.dropped,
            notes=(*choice.notes, *hints.notes, *command.notes, *chosen.notes, *_about(playbook, hints, bool(typed))),
        )


@dataclass(frozen=True)
class Measured:
    """What is read from a benchmark.

    Attributes:
        objective: The metric to improve.
        direction: The user's own; None when they gave none.
        guardrails: As a plan holds them: the playbook's, as far as the benchmark prints them.
    """

    objective: MetricSpec
    direction: Direction | None
    guardrails: list[dict[str, Any]]


def measure(argv: Sequence[str], request: TuningRequest, playbook: Playbook | None) -> Measured:
    """What is read from the benchmark: the user's metric, else the playbook's where it fits, else the tool's own.

    Raises:
        UsageError: Nothing knows the command, or it does not print the user's metric.
    """
    direction = _direction(request.direction)
    adapter = adapter_for(argv, request.metric_pattern, request.metric, direction)
    printed = adapter.metrics(argv)
    if request.metric is not None:
        objective = find_metric(printed, request.metric)
        if objective is None:
            known = ", ".join(spec.name for spec in printed)
            raise UsageError(
                f"{argv[0][:80]} prints no {request.metric[:80]!r}; it prints {known}",
                "Use one of these names, or say how to find yours with --metric-pattern.",
            )
    else:
        wanted = find_metric(printed, playbook.metric) if playbook and request.metric_pattern is None else None
        objective = wanted or printed[0]
    guardrails = [
        {"metric": guardrail.metric, "tolerance_percent": guardrail.tolerance_percent}
        for guardrail in (playbook.guardrails if playbook else ())
        if guardrail.metric != objective.name and any(spec.name == guardrail.metric for spec in printed)
    ]
    return Measured(objective, direction, guardrails)


def _direction(said: str | None) -> Direction | None:
    if said is None:
        return None
    direction: Any = parse_direction(said)
    if direction == "maximize":
        return "maximize"
    if direction == "minimize":
        return "minimize"
    raise UsageError(f"{said[:80]!r} is no direction", "Say maximize or minimize.")


def title_of(playbook: Playbook | None, typed: Sequence[str]) -> str:
    """A plan's ``workload_name``: the playbook's title, and the program of the command that the user typed."""
    program = PurePosixPath(typed[0]).name[:80] if typed else ""
    if playbook is None:
        return f"{program} (your own command)"
    if program and program != playbook.program:
        return f"{program}, with the knobs for: {playbook.title}"
    return playbook.title


def state_space(playbook: Playbook | None) -> list[dict[str, str]]:
    """The machine metrics that the agent observes, as a plan holds them: the playbook's, else the usual ones."""
    metrics = [find_machine_metric(name) for name in (playbook.state if playbook else DEFAULT_STATE)]
    return [{"metric": metric.name, "source": metric.source} for metric in metrics if metric is not None]


def training(playbook: Playbook | None, request: TuningRequest) -> dict[str, Any]:
    """The playbook's training settings within the budget: two PPO updates fit wherever the budget allows it."""
    defaults = playbook.training if playbook else TrainingConfig()
    settings = defaults.model_dump(exclude_unset=True)
    budget = defaults.total_timesteps if request.budget is None else request.budget
    settings["total_timesteps"] = budget
    settings["n_steps"] = max(2, min(defaults.n_steps, budget // 3))
    settings["max_steps_per_episode"] = max(1, min(defaults.max_steps_per_episode, budget))
    if request.seed is not None:
        settings["seed"] = request.seed
    return settings


def _about(playbook: Playbook | None, hints: Hints, typed: bool) -> Iterator[str]:
    """What people should know about the workload itself."""
    if playbook is None:
        return
    if playbook.throwaway and not typed and hints.url is None and hints.host is None and hints.port is None:
        yield playbook.throwaway
    if playbook.note:
        yield playbook.note
