"""What an agent (a language model, another program) may call: JSON text in, JSON text out, never an exception."""

from __future__ import annotations

import contextlib
import json
import traceback

from knobctl.errors import Interrupted, KnobctlError, PlanError, UsageError
from knobctl.events import EventSink
from knobctl.masking import mask_document, mask_secrets
from knobctl.plan import TuningPlan, parse_plan
from knobctl.rl_autotuner import run_plan
from knobctl.safety import Consent
from knobctl.settings import Settings
from knobctl.target import Target


def optimize_workload(
    config_json: str,
    *,
    target: Target | None = None,
    settings: Settings | None = None,
    consent: Consent | None = None,
    approved: str | None = None,
    emit: EventSink | None = None,
    request: str = "",
    conversation: str = "",
) -> str:
    """Runs a plan given as JSON text on this machine, and restores the machine.

    A model may write ``config_json``. Every keyword belongs to the caller, and none of them may come from the model:
    ``consent`` and ``approved`` are the user's own word.

    Args:
        config_json: A plan in the form of ``docs/plan.md``.
        target: Where to run it; this machine by default.
        settings: Searcher, budget, seed and so on.
        consent: The user's own word for a command that knobctl does not know, or a knob that needs care.
        approved: The exact text of the plan that the user saw and approved. When it is given, any other text is
            refused before it is read, so that what was shown is what runs.
        emit: Is told every event of the run as it comes.
        request: The user's words, for the record.
        conversation: Key of the conversation that led to the plan, for the record.

    Returns:
        JSON text: the result document, or ``{"success": false, "error", "hint", "exit_code"}``.
    """
    try:
        plan = _read(config_json, approved)
        result = run_plan(plan, target, settings, consent, emit=emit, request=request, conversation=conversation)
        return json.dumps(mask_document(result.to_dict()), allow_nan=False)
    except (Interrupted, KeyboardInterrupt):
        return _refusal("interrupted; the machine was restored", "", Interrupted.exit_code)
    except KnobctlError as error:
        return _refusal(error.message, error.hint, error.exit_code)
    except Exception as error:  # noqa: BLE001 - this is an edge: the caller gets JSON whatever happened
        with contextlib.suppress(OSError, ValueError):  # standard error may be closed
            traceback.print_exc()
        return _refusal(f"unexpected {type(error).__name__}: {error}", "", 1)


def _read(config_json: object, approved: str | None) -> TuningPlan:
    if not isinstance(config_json, str):
        raise PlanError(f"the plan is not JSON text but {type(config_json).__name__}", "Give the plan as one string.")
    if approved is not None and config_json != approved:
        raise UsageError(
            "this is not the plan that was approved",
            "Run the approved text as it is, or show the user this one and ask again.",
        )
    try:
        config_json.encode("utf-8")
    except UnicodeEncodeError:
        raise PlanError("the plan is not UTF-8 text", "Leave out what stands for half a character.") from None
    return parse_plan(config_json)


def _refusal(error: str, hint: str, exit_code: int) -> str:
    return json.dumps(
        {"success": False, "error": mask_secrets(error), "hint": mask_secrets(hint), "exit_code": exit_code}
    )
