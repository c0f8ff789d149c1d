"""The trials of a search in, the configuration worth proving out: the best by a model's mean, never the luckiest run.

What is expected is averaged over several answers to "which knobs matter, and how" that the trials leave open
(:class:`~knobctl.search.surrogate.Surrogate`), so a knob is not left out because one of two explanations is a little
more likely. What is offered is smaller than what was measured: a knob stays only when there is evidence for it, and
each knob that stays has its own share of the effect. Whether all of it is true is for the verification to say.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from knobctl.env.bench import DEFAULT_KINDS, SEARCH_KINDS
from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.knobs.space import Space
from knobctl.search.model import OTHER_KINDS, Configuration, Effect, Model, Observation, observe, scored
from knobctl.search.surrogate import Surrogate
from knobctl.stats import geometric_mean, log_ratio, percent

MEASURABLE = 0.25
"""Effects below this many standard deviations of the noise count as nothing.

A difference of 0.25 sd needs about 2 * (2.8 / 0.25)^2 = 250 pairs to be proven with the usual power of 80 %, far more
than any session has.
"""

EVIDENCE = 0.9
"""A knob stays when the model is this sure that it gains anything; with more, true knobs are lost before false ones."""

BEARABLE = 1.0
"""Knobs without evidence are dropped while the model's mean loses less than this many sd of the noise in all.

The smallest effect that eight pairs can prove is more than twice that.
"""

LESS_BEARABLE = (BEARABLE, BEARABLE / 2.0, 0.0)
"""The same for the parts that are tried one after the other when fresh runs say that the first one lost too much."""

WIDENING = 2.0
"""The intervals of shares are so many times as wide as the model's own: the incumbent was chosen by the same trials.
"""

_NORMAL_95 = 1.96


@dataclass(frozen=True)
class Share:
    """What is lost when one knob alone goes back to its default, in percent of the score that is left then.

    Attributes:
        percent: The model's mean.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    percent: float
    low: float
    high: float


@dataclass(frozen=True)
class Incumbent:
    """The configuration to verify.

    Attributes:
        configuration: Value of every knob that differs from the default, as it was measured.
        minimal: The part of it that matters, by the model: the rest is back at its default. Never empty.
        predicted_log_gain: The model's mean at ``configuration`` against the default, as log-ratio; above 0.
    """

    configuration: dict[str, Value]
    minimal: dict[str, Value]
    predicted_log_gain: float


def _anything(configuration: Configuration) -> bool:
    return True


def choose(
    trials: Sequence[Trial],
    space: Space,
    default: Configuration,
    direction: str,
    noise_sd: float,
    allowed: Callable[[Configuration], bool] = _anything,
) -> Incumbent | None:
    """The measured configuration that the model likes best.

    Only configurations with a whole run that was no accident are considered, and none that ever failed.

    Args:
        trials: Of the session; those of the search, the probe and those of the default configuration are used.
        space: The search space.
        default: The default configuration.
        direction: ``maximize`` or ``minimize``.
        noise_sd: Standard deviation of the log score between runs, from the preflight.
        allowed: Whether a complete configuration may be set: :attr:`Incumbent.minimal` is one for which this holds.

    Returns:
        The incumbent, or None when no configuration looks measurably better than the default.
    """
    observations = observe(trials, space, default, direction)
    if not observations or not scored(trials, SEARCH_KINDS):
        return None
    known, failed = _learned(space, default, observations, noise_sd), _failed(trials, space, default)
    best = _best(known, observations, failed)
    smaller = minimal(known, best, default, _settable(allowed, failed, space)) if best else {}
    if best is None or not smaller:
        return None
    return Incumbent(
        configuration=_changes(best, default),
        minimal=smaller,
        predicted_log_gain=known.effect(best).mean,
    )


def smaller_parts(
    whole: Configuration,
    trials: Sequence[Trial],
    space: Space,
    default: Configuration,
    direction: str,
    noise_sd: float,
    allowed: Callable[[Configuration], bool] = _anything,
    needed: Container[str] = (),
) -> list[dict[str, Value]]:
    """Parts of a configuration for which these trials give evidence, each with less left out than the one before.

    Knobs that are ``needed`` stay in any case; the other arguments are those of :func:`choose`.
    """
    model = _learned(space, default, observe(trials, space, default, direction), noise_sd)
    settable = _settable(allowed, _failed(trials, space, default), space)
    return [minimal(model, whole, default, settable, bearable, needed) for bearable in LESS_BEARABLE]


def shares_of(
    configuration: Configuration,
    trials: Sequence[Trial],
    space: Space,
    default: Configuration,
    direction: str,
    noise_sd: float,
) -> dict[str, Share]:
    """What each knob of a configuration contributes: what is lost when it alone goes back to its default.

    Where knobs act together, the shares do not add up to the whole.
    """
    if not configuration:
        return {}
    model = _learned(space, default, observe(trials, space, default, direction), noise_sd)
    effects = model.effects(configuration, [_without(configuration, (name,)) for name in configuration])
    return {name: _share(effect) for name, effect in zip(configuration, effects, strict=True)}


class Effects(Protocol):
    """What tells effects: a model, or several beliefs."""

    @property
    def noise_sd(self) -> float:
        """Standard deviation of the log score between runs."""
        ...

    def effects(self, configuration: Configuration, references: Sequence[Configuration]) -> list[Effect]:
        """What a configuration gives against each of several others."""
        ...


def _learned(space: Space, default: Configuration, observations: Sequence[Observation], noise_sd: float) -> Surrogate:
    """What the trials say, averaged over what they leave open; the same trials say the same."""
    model = Model(space, default, observations, noise_sd)
    return Surrogate(model, model.at({}), np.random.default_rng(0))


def _best(
    known: Surrogate, observations: Sequence[Observation], failed: Sequence[Configuration]
) -> Configuration | None:
    """The measured configuration from which most is expected, when that is anything measurable."""
    measured = [
        observation.configuration
        for observation, outlier in zip(observations, known.model.outliers, strict=True)
        if observation.eligible and not outlier and observation.configuration not in failed
    ]
    if not measured:
        return None
    means = known.predict(known.model.encoding.coordinates(measured)).mean
    best = int(np.argmax(means))
    return measured[best] if means[best] >= MEASURABLE * known.noise_sd else None


def _changes(configuration: Configuration, default: Configuration) -> dict[str, Value]:
    return {name: value for name, value in configuration.items() if value != default[name]}


def _failed(trials: Sequence[Trial], space: Space, default: Configuration) -> list[dict[str, Value]]:
    return [
        {name: trial.configuration.get(name, default[name]) for name in space.names}
        for trial in trials
        if trial.kind in OTHER_KINDS and trial.score is None
    ]


def _settable(
    allowed: Callable[[Configuration], bool], failed: Sequence[Configuration], space: Space
) -> Callable[[Configuration], bool]:
    """Whether a complete configuration is allowed and has never failed."""
    return lambda complete: allowed(complete) and {name: complete[name] for name in space.names} not in failed


def minimal(
    model: Effects,
    configuration: Configuration,
    default: Configuration,
    allowed: Callable[[Configuration], bool] = _anything,
    bearable: float = BEARABLE,
    needed: Container[str] = (),
) -> dict[str, Value]:
    """The part of a configuration for which there is evidence.

    Knobs go back to their default, the one that costs least first, as long as that loses less than :data:`MEASURABLE`
    times the noise in all, or there is no :data:`EVIDENCE` against it and it loses less than ``bearable`` times the
    noise in all. Knobs that may only be set together go together.

    Args:
        model: Of the session.
        configuration: Values of knobs.
        default: The default configuration.
        allowed: Whether a complete configuration may be set; others are passed over.
        bearable: What may be lost without evidence, in sd of the noise.
        needed: Names of knobs that stay in any case.
    """
    kept = _changes(configuration, default)
    whole = dict(kept)
    while kept:
        possible = [
            smaller
            for smaller in _smaller(kept, default, allowed)
            if not any(name in needed for name in kept.keys() - smaller.keys())
        ]
        if not possible:
            break
        in_all, by_step = model.effects(whole, possible), model.effects(kept, possible)
        options: list[tuple[float, dict[str, Value]]] = []
        for smaller, all_lost, step in zip(possible, in_all, by_step, strict=True):
            lost = all_lost.mean / model.noise_sd
            if lost < MEASURABLE or (step.sure < EVIDENCE and lost < bearable):
                options.append((step.mean, smaller))
        if not options:
            break
        kept = min(options, key=lambda option: option[0])[1]
    return kept


def claimed_percent(trials: Sequence[Trial], direction: str) -> float | None:
    """The best raw score of the search against the mean of the default runs, in percent: luck included.

    None without a default run or without a trial of the search that did not fail.
    """
    baseline = geometric_mean([score for _, score in scored(trials, DEFAULT_KINDS)])
    if baseline is None:
        return None
    gains = [log_ratio(baseline, score, direction) for _, score in scored(trials, SEARCH_KINDS)]
    return max((percent(gain) for gain in gains if gain is not None), default=None)


def _smaller(
    kept: Configuration, default: Configuration, allowed: Callable[[Configuration], bool]
) -> list[dict[str, Value]]:
    """Without one knob; without two, where one of them cannot go alone."""
    single = {name: _without(kept, (name,)) for name in kept}
    free = [name for name, smaller in single.items() if allowed({**default, **smaller})]
    pairs = [
        _without(kept, pair) for pair in itertools.combinations(kept, 2) if not (pair[0] in free and pair[1] in free)
    ]
    return [single[name] for name in free] + [pair for pair in pairs if allowed({**default, **pair})]


def _without(configuration: Configuration, names: Iterable[str]) -> dict[str, Value]:
    return {name: value for name, value in configuration.items() if name not in names}


def _share(effect: Effect) -> Share:
    reach = _NORMAL_95 * WIDENING * effect.sd
    return Share(percent(effect.mean), percent(effect.mean - reach), percent(effect.mean + reach))
