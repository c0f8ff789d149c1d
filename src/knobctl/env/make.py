"""A plan in any form and the name of a target in, an environment out: what ``gymnasium.make`` calls."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knobctl.env.bench import Bench
from knobctl.env.environment import Baseline, OSTuningEnv
from knobctl.errors import KnobChangedByOther, UsageError
from knobctl.events import EventSink
from knobctl.plan import TuningPlan, load_plan, plan_from
from knobctl.safety import Consent, SafePlan, SafetyValidator
from knobctl.target import Target
from knobctl.target.simulated import simulated_target
from knobctl.workload.opening import open_workload


def make_env(
    plan: str | Path | Mapping[str, Any] | TuningPlan | SafePlan,
    target: str | Target = "simulated",
    *,
    consent: Consent | None = None,
    baseline: Baseline | None = None,
    budget: int | None = None,
    noise: float = 0.03,
    seed: int = 0,
    emit: EventSink | None = None,
) -> OSTuningEnv:
    """An environment that opens its target and prepares its workload at the first ``reset``.

    Nothing is touched before that, and ``close`` restores the machine and gives the target back. It raises
    :class:`~knobctl.errors.RestoreIncomplete` when a knob is not back, and so does a first ``reset`` that fails.

    Args:
        plan: Path of a plan file, the decoded JSON, a plan, or a plan that was validated already.
        target: ``simulated``, ``simulated:NAME``, ``simulated:module:object``, ``local``, or a target that is not open.
        consent: What the user typed themselves, for commands and knobs that need it. A simulated target runs no
            command, so there whatever the plan says is taken to be consented to.
        baseline: The default configuration as measured before; measured at the first reset when None.
        budget: Trials of the search; the plan's ``total_timesteps`` when None.
        noise: Standard deviation of the log score of a simulated target made here.
        seed: Of that noise.
        emit: Reader of the events.

    Raises:
        PlanError: The plan is malformed or breaks a rule.
        ConsentMissing: The plan holds a command that its user has to approve.
        UsageError: There is no such target.
        ToolMissing: A program that the workload needs is not installed.
    """
    machine = _target(target, noise, seed) if isinstance(target, str) else target
    safe = plan if isinstance(plan, SafePlan) else _validated(plan, machine, consent)
    workload = open_workload(
        safe.command.adapter,
        safe.command.argv,
        machine,
        safe.objective.name,
        safe.command.reset_argv,
        safe.command.timeout,
    )
    workload.check()

    def cleanup() -> None:
        workload.cleanup()
        machine.close().require_complete()

    def prepare() -> None:
        with contextlib.ExitStack() as stack:
            machine.open(f"gymnasium-{uuid.uuid4().hex[:12]}", [tuned.knob.name for tuned in safe.knobs])
            stack.callback(cleanup)
            refuse_other_defaults(safe, machine)
            workload.prepare()
            stack.pop_all()

    bench = Bench(safe, machine, workload, *(() if emit is None else (emit,)))
    return OSTuningEnv(bench, baseline=baseline, budget=budget, prepare=prepare, cleanup=cleanup)


def _validated(plan: str | Path | Mapping[str, Any] | TuningPlan, target: Target, consent: Consent | None) -> SafePlan:
    if isinstance(plan, str | Path):
        plan = load_plan(plan)
    elif not isinstance(plan, TuningPlan):
        plan = plan_from(dict(plan))
    if consent is None and target.simulated:
        named = frozenset(action.param for action in plan.action_space)
        consent = Consent(plan.benchmark_command, named, plan.reset_command)
    return SafetyValidator(target.catalogue, target.facts(), target.probe(), consent).validate(plan)


def refuse_other_defaults(plan: SafePlan, target: Target) -> None:
    """Makes sure that an open target still has the default configuration that the plan was validated with.

    Opening a target may finish what an interrupted run left, and between a plan and its yes an administrator may change
    something.

    Raises:
        KnobChangedByOther: A tuned knob has another value now.
    """
    states = target.probe([tuned.knob.name for tuned in plan.knobs])
    for tuned in plan.knobs:
        value = states[tuned.knob.name].value
        if value != tuned.found:
            raise KnobChangedByOther(
                f"{tuned.knob.name} is {value} now, and was {tuned.found} when the plan was validated",
                "Start again; the plan will be made for what the machine has now.",
            )


def _target(name: str, noise: float, seed: int) -> Target:
    kind, _, surface = name.partition(":")
    if kind == "simulated":
        return simulated_target(surface, noise=noise, seed=seed)
    if name == "local":
        from knobctl.target.local import LocalTarget

        return LocalTarget()
    raise UsageError(f"unknown target {name!r}", "Known: local, simulated, simulated:NAME, simulated:module:object.")
