"""The name of a study in, its sessions and what they show out: whether the numbers of knobctl can be trusted.

A study plays hundreds of whole sessions on simulated machines whose truth is known, and counts. It says nothing about
how likely such machines are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from knobctl.lab import study_cutting, study_effects, study_minimal, study_null, study_suggestions
from knobctl.lab.study_case import Case, Played, play
from knobctl.lab.study_figures import Findings, Session
from knobctl.lab.study_jobs import play_each

SEED = 20_000
"""Of the first session of every part; each further one has the next."""


@dataclass(frozen=True)
class Study:
    """A question with a way to answer it.

    Attributes:
        title: The question.
        sessions: Sessions of each part under each noise, when nothing else is said; pairs of sessions where two are
            compared.
        noises: Names of the noises, when nothing else is said.
        cases: What to play, for so many sessions under these noises from this seed on.
        findings: What the sessions show.
    """

    title: str
    sessions: int
    noises: tuple[str, ...]
    cases: Callable[[int, Sequence[str], int], list[Case]]
    findings: Callable[[Sequence[Session]], Findings]


STUDIES: Mapping[str, Study] = {
    "null": Study(
        "How often is a gain claimed where there is none?", 400, ("quiet", "vm", "hostile"),
        study_null.cases, study_null.findings,
    ),
    "effects": Study(
        "Does the interval hold the truth, and is a real gain proven?", 200, ("quiet", "vm", "hostile"),
        study_effects.cases, study_effects.findings,
    ),
    "minimal": Study(
        "Is the change small, and does making it small cost anything?", 200, ("quiet", "vm"),
        study_minimal.cases, study_minimal.findings,
    ),
    "cutting": Study(
        "What does cutting runs short save, and what does it cost?", 180, ("vm",),
        study_cutting.cases, study_cutting.findings,
    ),
    "suggestions": Study(
        "What does a good suggestion give, and what does a bad one cost?", 60, ("quiet", "vm"),
        study_suggestions.cases, study_suggestions.findings,
    ),
}  # fmt: skip
"""By name."""


def play_all(cases: Sequence[Case], jobs: int = 1) -> Iterator[Session]:
    """Plays cases, and gives each with what came of it, in order.

    Args:
        cases: In any order.
        jobs: Processes that share them.
    """
    return play_each(play, cases, jobs)


def missing(cases: Sequence[Case], sessions: Mapping[Case, Played]) -> list[Case]:
    """Those that were not played."""
    return [case for case in cases if case not in sessions]
