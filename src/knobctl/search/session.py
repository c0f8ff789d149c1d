"""One search from its first trial to its last: an environment and a searcher in, a :class:`SearchSummary` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from knobctl.env import OSTuningEnv
from knobctl.safety import SafeSuggestion
from knobctl.safety.suggested import most_played
from knobctl.search.base import BudgetedEnv, Searcher, SearchOver, SearchSummary

MOST_FAILED = 2
"""Suggestions that may fail before the rest is left out: two trips of the health guard leave a session alive."""


def run_search(
    env: OSTuningEnv,
    searcher: Searcher,
    suggestions: Sequence[SafeSuggestion] | None = None,
    deadline: float | None = None,
) -> SearchSummary:
    """Plays the suggestions and then the searcher, within the environment's budget.

    Args:
        env: With the budget that it keeps.
        searcher: Who plays.
        suggestions: Configurations to try first, the most trusted one first, which count in the budget; the plan's when
            None. Only the first ones are tried when there are many, as :func:`~knobctl.safety.suggested.most_played`
            says, each configuration once.
        deadline: No trial starts after so many seconds of the session.

    Raises:
        SafetyStop: A guard of the target tripped; the trial is recorded.
        KnobctlError: As :meth:`OSTuningEnv.try_configuration`.
    """
    budgeted = BudgetedEnv(env, deadline)
    summary, left_out = SearchSummary(), ""
    try:
        budgeted.reset()
        left_out = _play(env.plan.suggestions if suggestions is None else suggestions, budgeted)
        summary = searcher.play(budgeted)
    except SearchOver:
        pass  # Most searchers let it through; PPO catches it to count its updates.
    notes = [left_out] if left_out else []
    if budgeted.over == "deadline":
        notes.append(f"the time ran out after {env.played} of {env.budget} trials")
    return replace(summary, notes=(*summary.notes, *notes))


def _play(suggestions: Sequence[SafeSuggestion], env: BudgetedEnv) -> str:
    """Tries suggestions. Returns what was left out, and why, for people; empty when nothing was."""
    plan, most = env.tuning.plan, most_played(env.tuning.budget)
    different = [complete for each in suggestions if plan.changed(complete := plan.repair(each.configuration))]
    different = [complete for number, complete in enumerate(different) if complete not in different[:number]]
    failed = 0
    for number, complete in enumerate(different):
        left = f"{len(different) - number} of {len(different)} suggestions were left out: "
        if number == most:
            return f"{left}they have a quarter of the budget"
        if failed == MOST_FAILED:
            return f"{left}{failed} others made the benchmark fail"
        _, _, terminated, truncated, info = env.suggest(complete)
        failed += info["trial"].score is None
        if terminated or truncated:
            env.reset()
    return ""
