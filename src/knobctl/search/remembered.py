"""What earlier sessions of a similar kind have to say to a search, as a searcher reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from knobctl.env import OSTuningEnv
from knobctl.knobs import Value
from knobctl.safety import SafePlan
from knobctl.search.model import Observation
from knobctl.stats import log_ratio

MOST_GUESSES = 3
"""Recommendations of earlier sessions that are tried first, at most."""

FITTING = 0.5
"""A recommendation fits a machine where it gains more than this part of what it gained on its own."""

MOST_WARNINGS = 40
"""Failed runs of earlier sessions that a search knows, at most, and as many that did not fail."""

HEARSAY = 0.1
"""Standard deviation on top, of what earlier sessions say about failures; 1 is a failure."""


@dataclass(frozen=True)
class Remembered:
    """One earlier session, put into the words of the present one.

    Only knobs of the present search space are in it, with values that the space allows. A trial that turned other
    knobs as well is not among its observations.

    Attributes:
        session: Its key.
        likeness: How much like the present one it is, above 0 and at most 1.
        observations: Its trials as complete configurations, each with its log-ratio to the default of its own time.
            That default is among them (not eligible) unless the present space does not have its values; it may differ
            from the present one, so that only differences within one session mean something. Last comes the effect
            of its candidate as the fresh pairs of its verification estimate it, where the space has the candidate.
        best: What it recommended in the end, as far as the present space has it; empty for nothing.
        verdict: Its verdict, ``IMPROVED`` for one.
        why: Why it counts as similar, one sentence for people.
        gain: What the recommendation gained there, as log-ratio, by fresh pairs; 0 when that is not known.
        failures: Complete configurations at which its runs failed.
    """

    session: str
    likeness: float
    observations: tuple[Observation, ...] = ()
    best: Mapping[str, Value] = field(default_factory=dict)
    verdict: str = ""
    why: str = ""
    gain: float = 0.0
    failures: tuple[Mapping[str, Value], ...] = ()


def warnings_of(remembered: Sequence[Remembered]) -> list[Observation]:
    """Where runs of earlier sessions failed (gain -1), and where those of the same sessions did not (gain 0)."""
    failing = [past for past in remembered if past.failures]
    failed = [each for past in failing for each in past.failures]
    fine = [each.configuration for past in failing for each in past.observations]
    return [
        Observation(configuration, gain, uncertainty=HEARSAY)
        for gain, configurations in ((-1.0, failed), (0.0, fine))
        for configuration in configurations[:: len(configurations) // MOST_WARNINGS + 1]
    ]


@dataclass(frozen=True)
class Guess:
    """What an earlier session recommended.

    Attributes:
        configuration: What it changes, repaired.
        expected: What it gained there, as log-ratio; 0 when that is not known, or it gained nothing.
    """

    configuration: Mapping[str, Value]
    expected: float = 0.0


def first_guesses(remembered: Sequence[Remembered], plan: SafePlan) -> tuple[Guess, ...]:
    """What the most similar sessions recommended, each configuration once."""
    found: list[Guess] = []
    for past in remembered:
        changed = plan.changed(plan.repair(past.best))
        if changed and changed not in [guess.configuration for guess in found]:
            found.append(Guess(changed, max(past.gain, 0.0)))
    return tuple(found[:MOST_GUESSES])


def misled(guesses: Sequence[Guess], env: OSTuningEnv) -> bool:
    """Whether one of them was tried here and does not fit: this machine is another one, or the workload is."""
    if env.baseline is None:
        return False
    for trial in env.bench.trials:
        changed = env.plan.changed({**env.plan.default, **trial.configuration})
        for guess in guesses:
            if trial.kind == "suggestion" and changed == guess.configuration:
                direction = env.plan.objective.direction
                gain = None if trial.score is None else log_ratio(env.baseline.score, trial.score, direction)
                if gain is None or gain <= FITTING * guess.expected:
                    return True
    return False
