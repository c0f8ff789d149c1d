"""What an agent (a language model, another program) may call: JSON text in, JSON text out, never an exception."""

from __future__ import annotations

import json
import traceback

from knobctl.errors import KnobctlError
from knobctl.pipeline import Settings
from knobctl.plan import parse_plan
from knobctl.rl_autotuner import run_plan
from knobctl.safety import Consent
from knobctl.target import Target


def optimize_workload(
    config_json: str,
    *,
    target: Target | None = None,
    settings: Settings | None = None,
    consent: Consent | None = None,
) -> str:
    """Runs a plan given as JSON text on this machine, and restores the machine.

    Args:
        config_json: A plan in the form of ``docs/plan.md``.
        target: Where to run it; this machine by default.
        settings: Searcher, budget, seed and so on.
        consent: The caller's own word for a command that knobctl does not know, or a knob that needs care.

    Returns:
        JSON text: the result document, or ``{"success": false, "error", "hint", "exit_code"}``.
    """
    try:
        result = run_plan(parse_plan(config_json), target, settings, consent)
    except KnobctlError as error:
        answer = {"success": False, "error": error.message, "hint": error.hint, "exit_code": error.exit_code}
    except Exception as error:  # noqa: BLE001 - this is an edge: the caller gets JSON whatever happened
        traceback.print_exc()
        answer = {"success": False, "error": f"unexpected {type(error).__name__}: {error}", "hint": "", "exit_code": 1}
    else:
        answer = result.to_dict()
    return json.dumps(answer)
