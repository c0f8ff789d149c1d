"""The trials of a search in, how much each knob decided about being among the good ones out.

PED-ANOVA (Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
Subspaces", IJCAI 2023, arXiv:2304.10255) as Optuna computes it: how far the values among the best trials are
distributed differently from those among all trials. It looks at every trial; the shares of the candidate's knobs
(:mod:`knobctl.search.incumbent`) say what each is worth in the one change that is offered.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from knobctl.env.bench import SEARCH_KINDS
from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.search.model import Configuration, scored

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST_TRIALS = 10
"""With fewer trials there is nothing to tell."""

BEST = 0.25
"""Part of the trials that are the good ones; Optuna's tenth would be four of forty."""

FEWEST_BEST = 5
"""At least so many are the good ones: what fewer have in common is mostly chance."""


def importance(
    trials: Sequence[Trial], space: Space, direction: str, default: Configuration | None = None
) -> dict[str, float]:
    """How much each knob decided about being among the best trials of the search.

    Failed trials and runs of the default are left out; a run that was cut short counts with its estimate.

    Args:
        trials: Of the session.
        space: The search space.
        direction: ``maximize`` or ``minimize``.
        default: The default configuration: the values of the knobs that a trial does not name. Without it, a trial
            tells nothing about these.

    Returns:
        A part of 1 for each knob, the largest first; they add up to 1. Empty with fewer than :data:`FEWEST_TRIALS`
        trials with a score, or when these do not tell the knobs apart.
    """
    searched = scored(trials, SEARCH_KINDS)
    if len(searched) < FEWEST_TRIALS:
        return {}
    configurations = [{**(default or {}), **trial.configuration} for trial, _ in searched]
    parts = _parts(configurations, [score for _, score in searched], space, direction)
    whole = sum(parts.values())
    if not whole > 0.0:
        return {}
    ordered = sorted(space.names, key=lambda name: -parts.get(name, 0.0))
    return {name: parts.get(name, 0.0) / whole for name in ordered}


def _parts(
    configurations: Sequence[Configuration], scores: Sequence[float], space: Space, direction: str
) -> dict[str, float]:
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.study import StudyDirection

    # A knob that always had the same value would be given a part too: the prior weighs more among fewer trials.
    varied = [name for name in space.names if len({c[name] for c in configurations if name in c}) > 1]
    if not varied:
        return {}
    scales = {dimension.name: _scale(dimension, configurations) for dimension in space.dimensions}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental; few trials in one part; all the same score
            study = optuna.create_study(direction=StudyDirection[direction.upper()])
            for configuration, score in zip(configurations, scores, strict=True):
                here = [dimension for dimension in space.dimensions if dimension.name in configuration]
                params = {dimension.name: _point(dimension, configuration[dimension.name]) for dimension in here}
                distributions = {name: scales[name] for name in params}
                study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=score))
            best = max(BEST, FEWEST_BEST / len(scores))
            return PedAnovaImportanceEvaluator(target_quantile=best).evaluate(study, params=varied)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _scale(dimension: Dimension, configurations: Sequence[Configuration]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if _numeric(dimension):
        return FloatDistribution(0.0, 1.0)
    tried = [configuration[dimension.name] for configuration in configurations if dimension.name in configuration]
    return CategoricalDistribution(tuple(dict.fromkeys((*dimension.values, *tried))))


def _point(dimension: Dimension, value: Value) -> Value | float:
    return dimension.encode(value) if _numeric(dimension) else value


def _numeric(dimension: Dimension) -> bool:
    return dimension.kind == "integer" and all(isinstance(value, int) for value in dimension.values)
