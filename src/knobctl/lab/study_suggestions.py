"""The same sessions with a good suggestion, a bad one, many bad ones, and none: true gain against that without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from knobctl.lab.study_case import Case, Played
from knobctl.lab.study_figures import Average, Check, Findings, Session, Share, Table, noises_of
from knobctl.stats import log_effect

PART = "search"
FAMILIES = ("few", "many", "cliff", "crash", "single")
"""Not ``wounded``: on a machine that was found at its worst, nothing that could be suggested is bad."""

TASKS = ("good", "bad", "crowd")
TITLES = {
    "good": "a good one: every second knob that matters, at its best",
    "bad": "a bad one: every knob that matters at its worst",
    "crowd": "such bad ones in all the places that there are: 10 of 40 trials",
}
MOST_LOST = {"bad": 3.0, "crowd": 10.0}
"""Percent of the gain that was possible; a crowd takes a quarter of the trials."""


@dataclass(frozen=True)
class Pair:
    """A session with suggestions, and the same one without.

    Attributes:
        case: What was played with suggestions.
        suggested: What came of it.
        alone: What came of the session without.
    """

    case: Case
    suggested: Played
    alone: Played

    @property
    def gained(self) -> float:
        """Gain of the candidate with suggestions less that without, in log score, times 100."""
        return 100.0 * (_gain(self.suggested) - _gain(self.alone))

    @property
    def gained_share(self) -> float:
        """The same in percent of what there was to gain."""
        return self.gained / log_effect(self.possible)

    @property
    def possible(self) -> float:
        """What there was to gain, percent; a session that an error ended does not know it."""
        return max(self.suggested.optimum, self.alone.optimum)

    @property
    def agrees(self) -> bool:
        """Both ended with the same verdict."""
        return self.suggested.ended == self.alone.ended


def cases(sessions: int, noises: Sequence[str], seed: int) -> list[Case]:
    """So many sessions under each noise, each without suggestions and with each kind of them."""
    found = []
    for noise in noises:
        for number in range(sessions):
            alone = Case(PART, PART, FAMILIES[number % len(FAMILIES)], noise, seed + number)
            found += [alone, *(replace(alone, task=task) for task in TASKS)]
    return found


def pairs_of(sessions: Sequence[Session], task: str, noise: str) -> list[Pair]:
    """Sessions that were played with these suggestions and without, under this noise, and began both times."""
    known = dict(sessions)
    pairs = []
    for case, played in sessions:
        alone = known.get(replace(case, task=PART))
        if (case.task, case.noise) == (task, noise) and alone is not None and not (played.refused or alone.refused):
            pairs.append(Pair(case, played, alone))
    return [pair for pair in pairs if pair.possible > 0]


def findings(sessions: Sequence[Session]) -> Findings:
    """What was gained and lost, by noise and kind of suggestion."""
    checks: list[Check] = []
    rows, by_family = [], []
    for noise in noises_of(sessions):
        for task in TASKS:
            pairs = pairs_of(sessions, task, noise)
            share = Average.over([pair.gained_share for pair in pairs])
            checks.append(_check(noise, task, share))
            rows.append(_row(noise, TITLES[task], pairs))
            by_family += [_row(noise, f"{task}, {name}", [one for one in pairs if one.case.family == name])
                          for name in FAMILIES]  # fmt: skip
    heads = ("noise", "suggestions", "pairs", "same verdict", "gain of the candidate", "in percent of the possible")
    note = (
        "The gain is the true one, as a difference of log scores times 100, about percent; a session without a "
        "candidate, or whose candidate makes the benchmark fail, gains 0. After two suggestions at which the benchmark "
        "fails, the others are left out."
    )
    return Findings(
        tuple(checks),
        (
            Table("The same sessions with suggestions, against without", heads, tuple(rows), note),
            Table("The same by family", heads, tuple(by_family)),
        ),
    )


def _check(noise: str, task: str, share: Average) -> Check:
    found = f"{share.text()}, {share.of} pairs"
    if task == "good":
        return Check(f"{noise}: a good suggestion helps", found, None if share.mean is None else share.mean > 0.0)
    most = MOST_LOST[task]
    who = "a bad suggestion costs" if task == "bad" else "ten bad suggestions cost"
    promise = f"{noise}: {who} less than {most:g} % of the gain that was possible"
    return Check(promise, found, None if share.mean is None else share.mean > -most)


def _row(noise: str, group: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
    return (
        noise,
        group,
        str(len(pairs)),
        str(Share(sum(pair.agrees for pair in pairs), len(pairs))),
        Average.over([pair.gained for pair in pairs]).text(""),
        Average.over([pair.gained_share for pair in pairs]).text(),
    )


def _gain(played: Played) -> float:
    return 0.0 if played.true is None else log_effect(played.true)
