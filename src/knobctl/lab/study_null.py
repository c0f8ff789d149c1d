"""Machines on which no knob matters: every gain that is claimed there is false.

Whole sessions first, with the searcher that exploits luck most. A search that sees nothing proposes nothing, so in a
second part a random configuration is verified in each session: there the proof stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from knobctl.lab.study_case import Case, Played
from knobctl.lab.study_figures import Check, Findings, Session, Share, Table, median_text, noises_of, of_part

SEARCH, PROOF = "search", "random"
MOST_FALSE, LEAST_COVERED = 2.5, 95.0
_CLAIM = 5.0


def cases(sessions: int, noises: Sequence[str], seed: int) -> list[Case]:
    """So many of each part under each noise."""
    numbers = range(seed, seed + sessions)
    return [
        Case(part, part, "null", noise, number) for part in (SEARCH, PROOF) for noise in noises for number in numbers
    ]


def findings(sessions: Sequence[Session]) -> Findings:
    """False claims, what the best score seen would have claimed, and how often the interval holds 0."""
    checks, whole, lucky, proof = [], [], [], []
    for noise in noises_of(sessions):
        searched = [played for _, played in of_part(sessions, SEARCH, noise)]
        began = [played for played in searched if not played.refused]
        false = Share(sum(played.improved for played in began), len(began))
        checks.append(_check(f"whole sessions, {noise}", false))
        proposed = Share(false.count, sum(played.pairs > 0 for played in began))
        whole.append(
            (noise, str(len(searched)), str(len(searched) - len(began)), *_verdicts(began), str(false), str(proposed))
        )
        seen = [(played.best_seen, played.announced) for played in began if played.best_seen is not None]
        lucky.append(
            (
                noise,
                median_text([best for best, _ in seen]),
                str(Share(sum(best > 0 for best, _ in seen), len(seen))),
                str(Share(sum(best > _CLAIM for best, _ in seen), len(seen))),
                str(Share(sum(best > (announced or 0.0) for best, announced in seen), len(seen))),
            )
        )
        random = [played for _, played in of_part(sessions, PROOF, noise)]
        verified = [played for played in random if not played.refused]
        claimed = Share(sum(played.improved for played in verified), len(verified))
        bounded = [played for played in verified if played.low is not None]
        covered = Share(sum(played.covers(0.0) for played in bounded), len(bounded))
        worse = Share(sum(played.ended == "WORSE" for played in verified), len(verified))
        checks.append(_check(f"a random configuration verified, {noise}", claimed))
        checks.append(
            Check(
                f"{noise}: the interval of a random configuration holds 0 in at least {LEAST_COVERED:g} %",
                str(covered),
                covered.at_least(LEAST_COVERED),
            )
        )
        proof.append(
            (noise, str(len(random)), str(len(random) - len(verified)), str(claimed), str(worse), str(covered))
        )
    return Findings(
        tuple(checks),
        (
            Table(
                "Whole sessions",
                ("noise", "sessions", "refused", "nothing proposed", "NO_CHANGE", "INCONCLUSIVE", "WORSE", "other",
                 "IMPROVED, which is false", "the same, of those with a candidate"),
                tuple(whole),
                "A refused session is one that the preflight did not let begin; shares are of those that began.",
            ),
            Table(
                "The same sessions, if the best score seen were compared with the mean of the default",
                ("noise", "claimed, median", "claims a gain", f"claims more than {_CLAIM:g} %",
                 "claims more than the announced smallest effect"),
                tuple(lucky),
            ),
            Table(
                "A random configuration verified",
                ("noise", "sessions", "refused", "IMPROVED, which is false", "WORSE, which is false",
                 "the interval holds 0"),
                tuple(proof),
            ),
        ),
    )  # fmt: skip


def _check(where: str, false: Share) -> Check:
    return Check(f"{where}: at most {MOST_FALSE:g} % false IMPROVED", str(false), false.at_most(MOST_FALSE))


def _verdicts(began: Sequence[Played]) -> tuple[str, ...]:
    proposed = [played for played in began if played.changes]
    counts = [sum(played.ended == word for played in proposed) for word in ("NO_CHANGE", "INCONCLUSIVE", "WORSE")]
    other = sum(played.ended not in ("NO_CHANGE", "INCONCLUSIVE", "WORSE", "IMPROVED") for played in began)
    nothing = len(began) - len(proposed) - other
    return str(nothing), *(str(count) for count in counts), str(other)
