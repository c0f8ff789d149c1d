"""One search from its first trial to its last: an environment and a searcher in, a :class:`SearchSummary` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from knobctl.env import OSTuningEnv
from knobctl.safety import SafeSuggestion
from knobctl.search.base import BudgetedEnv, Searcher, SearchOver, SearchSummary


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
        suggestions: Configurations to try first, which count in the budget; the plan's when None.
        deadline: No trial starts after so many seconds of the session.

    Raises:
        SafetyStop: A guard of the target tripped; the trial is recorded.
        KnobctlError: As :meth:`OSTuningEnv.try_configuration`.
    """
    budgeted = BudgetedEnv(env, deadline)
    summary = SearchSummary()
    try:
        budgeted.reset()
        for suggestion in env.plan.suggestions if suggestions is None else suggestions:
            _, _, terminated, truncated, _ = budgeted.suggest(suggestion.configuration)
            if terminated or truncated:
                budgeted.reset()
        summary = searcher.play(budgeted)
    except SearchOver:
        pass  # Most searchers let it through; PPO catches it to count its updates.
    if budgeted.over == "deadline":
        note = f"the time ran out after {env.played} of {env.budget} trials"
        summary = replace(summary, notes=(*summary.notes, note))
    return summary
