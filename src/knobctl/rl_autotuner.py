"""A plan file in, a result out: the whole run as one function call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from knobctl import pipeline
from knobctl.events import Event, EventSink
from knobctl.plan import TuningPlan, load_plan
from knobctl.safety import Consent
from knobctl.settings import Settings
from knobctl.store import Result, Store
from knobctl.target import Target


def run_rl_optimization(
    config_path: str | Path,
    *,
    target: Target | None = None,
    settings: Settings | None = None,
    consent: Consent | None = None,
) -> dict[str, Any]:
    """Runs the plan in a file on this machine and restores the machine.

    Args:
        config_path: A JSON file in the form of ``docs/plan.md``.
        target: Where to run it; this machine by default.
        settings: Searcher, budget, seed and so on.
        consent: The caller's own word for a command that knobctl does not know, or a knob that needs care.

    Returns:
        The result document: ``success``, ``workload_name``, ``best_reward``, ``best_config``, ``baseline_reward``,
        ``improvement``, ``total_episodes``, ``verdict`` and more (``docs/result.md``).

    Raises:
        KnobctlError: The plan may not run, or the run could not be finished; the machine is as it was, unless it is
            :class:`~knobctl.errors.RestoreIncomplete`.
    """
    return run_plan(load_plan(config_path), target, settings, consent).to_dict()


def run_plan(
    plan: TuningPlan,
    target: Target | None = None,
    settings: Settings | None = None,
    consent: Consent | None = None,
    *,
    emit: EventSink | None = None,
    request: str = "",
    conversation: str = "",
) -> Result:
    """As :func:`run_rl_optimization`, for a plan that was read already.

    Args:
        plan: What to run.
        target: As there.
        settings: As there.
        consent: As there.
        emit: Is told every event as it comes; nobody by default.
        request: The user's words, for the record.
        conversation: Key of the conversation that led to the plan, for the record.
    """
    if target is None:
        from knobctl.target.local import LocalTarget

        target = LocalTarget()
    safe = pipeline.validate(plan, target, consent or Consent())
    try:
        with Store() as store:
            return pipeline.execute(safe, target, store, emit or _nobody, settings or Settings(), request, conversation)
    finally:
        target.close()


def _nobody(event: Event) -> None:
    """Shows nothing."""
