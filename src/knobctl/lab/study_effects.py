"""Machines on which knobs matter, with gains from nearly nothing to a lot: is the interval right, and the proof sure?

Whole sessions, whose candidates gain what the search found; and verifications of the best configuration of machines
that gain about as much as the announced smallest effect, because that is where the promise is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from knobctl.lab.study_case import SHAPES, Case, Played, gains, spread_of
from knobctl.lab.study_figures import Check, Findings, Session, Share, Table, noises_of, of_part

SEARCH, PROOF = "search", "best"
PARTS = {SEARCH: "whole sessions", PROOF: "chosen gains"}
LEAST_COVERED, LEAST_POWER, SURE_RATIO = 95.0, 90.0, 1.5
LOWEST_GAIN, HIGHEST_GAIN = 0.02, 0.60
BINS = ((0.0, 0.5), (0.5, 1.0), (1.0, 1.5), (1.5, 2.0), (2.0, math.inf))
"""Of the true effect over the announced smallest one."""

_LOWEST_NOISES, _HIGHEST_NOISES = 0.7, 5.0


def cases(sessions: int, noises: Sequence[str], seed: int) -> list[Case]:
    """So many of each part under each noise."""
    found = [
        Case(SEARCH, SEARCH, SHAPES[number % len(SHAPES)], noise, seed + number, gain=gain)
        for noise in noises
        for number, gain in enumerate(gains(sessions, LOWEST_GAIN, HIGHEST_GAIN))
    ]
    for noise in noises:
        spread = spread_of(noise)
        chosen = gains(sessions, _LOWEST_NOISES * spread, _HIGHEST_NOISES * spread)
        found += [Case(PROOF, PROOF, "single", noise, seed + number, gain=gain) for number, gain in enumerate(chosen)]
    return found


def findings(sessions: Sequence[Session]) -> Findings:
    """Coverage, power, and how often a session as a whole ends well."""
    checks: list[Check] = []
    coverage, power, ended = [], [], []
    for noise in noises_of(sessions):
        for part, words in PARTS.items():
            all_of_part = [played for _, played in of_part(sessions, part, noise)]
            verified = judged(all_of_part)
            share, improved = covered(verified), covered([played for played in verified if played.improved])
            checks.append(
                Check(
                    f"{noise}, {words}: the interval holds the true effect in at least {LEAST_COVERED:g} %",
                    str(share),
                    share.at_least(LEAST_COVERED),
                )
            )
            refused = sum(played.refused for played in all_of_part)
            coverage.append((noise, words, str(len(all_of_part)), str(refused), str(share), str(improved)))
            powers = [proven(verified, low, high) for low, high in BINS]
            sure = proven(verified, SURE_RATIO, math.inf)
            checks.append(
                Check(
                    f"{noise}, {words}: IMPROVED in at least {LEAST_POWER:g} % from {SURE_RATIO:g} times the "
                    "announced smallest effect on",
                    str(sure),
                    sure.at_least(LEAST_POWER),
                )
            )
            power.append((noise, words, *(str(share) for share in powers), str(sure)))
        began = [played for _, played in of_part(sessions, SEARCH, noise) if not played.refused]
        ended.append((noise, *(str(_ended_well(began, low, high)) for low, high in BINS)))
    spans = tuple(_span(low, high) for low, high in BINS)
    return Findings(
        tuple(checks),
        (
            Table(
                "Coverage of the final 95 % interval",
                ("noise", "part", "sessions", "refused", "holds the true effect", "the same, of those IMPROVED"),
                tuple(coverage),
                "Of the sessions with a candidate, a known truth and a bounded interval.",
            ),
            Table(
                "IMPROVED, by the candidate's true effect over the announced smallest effect",
                ("noise", "part", *spans, f"{SURE_RATIO:g} and more"),
                tuple(power),
                "The proof alone: of candidates that were verified.",
            ),
            Table(
                "IMPROVED, by what there was to gain over the announced smallest effect",
                ("noise", *spans),
                tuple(ended),
                "Search and proof together: of all whole sessions that began, by the gain of the best configuration.",
            ),
        ),
    )


def judged(played: Sequence[Played]) -> list[Played]:
    """Those with a candidate that was verified, a known truth and an announcement."""
    return [one for one in played if one.pairs and one.true is not None and one.announced is not None]


def covered(verified: Sequence[Played]) -> Share:
    """How often a bounded final interval holds the truth."""
    bounded = [one for one in verified if one.low is not None and one.true is not None]
    return Share(sum(one.covers(one.true or 0.0) for one in bounded), len(bounded))


def proven(verified: Sequence[Played], low: float, high: float) -> Share:
    """How often the verdict is IMPROVED where the true effect is between so many and so many announced ones."""
    within = [one for one in verified if low <= ratio(one.true, one) < high]
    return Share(sum(one.improved for one in within), len(within))


def ratio(percent: float | None, played: Played) -> float:
    """An effect over the announced smallest one; not a number when either is unknown."""
    return percent / played.announced if percent is not None and played.announced else math.nan


def _ended_well(began: Sequence[Played], low: float, high: float) -> Share:
    within = [one for one in began if low <= ratio(one.optimum, one) < high]
    return Share(sum(one.improved for one in within), len(within))


def _span(low: float, high: float) -> str:
    return f"{low:g} and more" if math.isinf(high) else f"{low:g} to {high:g}"
