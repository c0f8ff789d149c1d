"""One search from its first trial to its last: an environment and a searcher in, a :class:`SearchSummary` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from knobctl.env import OSTuningEnv
from knobctl.knobs import Value
from knobctl.safety import SafeSuggestion
from knobctl.safety.suggested import most_played
from knobctl.search.base import BudgetedEnv, Searcher, SearchOver, SearchSummary
from knobctl.search.remembered import Guess, misled

MOST_FAILED = 2
"""Suggestions that may fail before the rest is left out: two trips of the health guard leave a session alive."""


def run_search(
    env: OSTuningEnv,
    searcher: Searcher,
    suggestions: Sequence[SafeSuggestion] | None = None,
    deadline: float | None = None,
    guesses: Sequence[Guess] = (),
) -> SearchSummary:
    """Plays the guesses, the suggestions and then the searcher, within the environment's budget.

    Args:
        env: With the budget that it keeps.
        searcher: Who plays.
        suggestions: Configurations to try first, the most trusted one first, which count in the budget; the plan's when
            None. Only the first ones are tried when there are many, as :func:`~knobctl.safety.suggested.most_played`
            says, each configuration once.
        deadline: No trial starts after so many seconds of the session.
        guesses: What earlier sessions recommend, tried before the suggestions and counted among them. After one that
            does not fit (:func:`~knobctl.search.remembered.misled`) the others are left out.

    Raises:
        SafetyStop: A guard of the target tripped; the trial is recorded.
        KnobctlError: As :meth:`OSTuningEnv.try_configuration`.
    """
    budgeted = BudgetedEnv(env, deadline)
    summary, left_out = SearchSummary(), ""
    try:
        budgeted.reset()
        left_out = _play(guesses, env.plan.suggestions if suggestions is None else suggestions, budgeted)
        summary = searcher.play(budgeted)
    except SearchOver:
        pass  # Most searchers let it through; PPO catches it to count its updates.
    notes = [left_out] if left_out else []
    if budgeted.over == "deadline":
        notes.append(f"the time ran out after {env.played} of {env.budget} trials")
    return replace(summary, notes=(*summary.notes, *notes))


def _play(guesses: Sequence[Guess], suggestions: Sequence[SafeSuggestion], env: BudgetedEnv) -> str:
    """Tries them. Returns what was left out, and why, for people; empty when nothing was."""
    plan, most = env.tuning.plan, most_played(env.tuning.budget)
    different: list[tuple[dict[str, Value], bool]] = []
    wanted = [*(guess.configuration for guess in guesses), *(each.configuration for each in suggestions)]
    for number, configuration in enumerate(wanted):
        complete = plan.repair(configuration)
        if plan.changed(complete) and complete not in [other for other, _ in different]:
            different.append((complete, number < len(guesses)))
    left = list(different)
    played, failed, passed_over = 0, 0, 0
    while left:
        if played == most:
            return f"{len(left)} of {len(different)} suggestions were left out: they have a quarter of the budget"
        if failed == MOST_FAILED:
            return f"{len(left)} of {len(different)} suggestions were left out: {failed} others made the benchmark fail"
        configuration, guessed = left.pop(0)
        _, _, terminated, truncated, info = env.suggest(configuration)
        played, failed = played + 1, failed + (info["trial"].score is None)
        if guessed and misled(guesses, env.tuning):
            passed_over = sum(each for _, each in left)
            left = [(other, each) for other, each in left if not each]
        if terminated or truncated:
            env.reset()
    if passed_over:
        words = f"{passed_over} of {sum(guess for _, guess in different)} recommendations of earlier sessions"
        return f"{words} were left out: one before them gained too little here"
    return ""
