"""Machines on which two knobs of ten matter: how many are changed in the end, and what is lost by changing fewer."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from knobctl.lab.study_case import Case, Played
from knobctl.lab.study_figures import Check, Findings, Session, Share, Table, median_text, noises_of, of_part
from knobctl.stats import log_effect, percent

PART = "search"
MOST_CHANGES, LEAST_SMALL = 3, 90.0


def cases(sessions: int, noises: Sequence[str], seed: int) -> list[Case]:
    """So many under each noise."""
    numbers = range(seed, seed + sessions)
    return [Case(PART, PART, "few", noise, number) for noise in noises for number in numbers]


def findings(sessions: Sequence[Session]) -> Findings:
    """How many knobs are changed, and what was lost against the incumbent as it was measured."""
    checks: list[Check] = []
    sizes, losses = [], []
    for noise in noises_of(sessions):
        everything = [played for _, played in of_part(sessions, PART, noise)]
        changed = [played for played in everything if played.changes]
        small = Share(sum(played.changes <= MOST_CHANGES for played in changed), len(changed))
        known = [(loss, played) for played in changed if (loss := lost(played)) is not None]
        bearable = Share(sum(loss <= (played.announced or 0.0) for loss, played in known), len(known))
        checks += [
            Check(
                f"{noise}: at most {MOST_CHANGES} knobs changed in at least {LEAST_SMALL:g} %",
                str(small),
                small.at_least(LEAST_SMALL),
            ),
            Check(
                f"{noise}: never loses more than the announced smallest effect",
                str(bearable),
                bearable.at_least(100.0),
            ),
        ]
        counts = [sum(played.changes == number for played in changed) for number in (1, 2, 3, 4, 5)]
        more = sum(played.changes > len(counts) for played in changed)
        sizes.append(
            (noise, str(len(everything)), str(len(everything) - len(changed)), *map(str, counts), str(more), str(small),
             _average([played.whole_changes for played in changed]), _average([one.idle_changes for one in changed]))
        )  # fmt: skip
        values = [loss for loss, _ in known]
        losses.append(
            (noise, median_text(values), f"{max(values):+.1f} %" if values else "-", str(bearable),
             median_text([played.true for played in changed if played.true is not None]),
             median_text([played.optimum for played in changed]))
        )  # fmt: skip
    return Findings(
        tuple(checks),
        (
            Table(
                "Knobs changed in the end, of ten of which two matter",
                ("noise", "sessions", "no candidate", "1", "2", "3", "4", "5", "6 and more", "at most 3",
                 "mean before it was made smaller", "mean of those without any effect"),
                tuple(sizes),
                "Shares are of the sessions with a candidate.",
            ),
            Table(
                "True effect lost by making the change smaller",
                ("noise", "lost, median", "lost, most", "not more than the announced smallest effect",
                 "candidate gains, median", "best possible, median"),
                tuple(losses),
            ),
        ),
    )  # fmt: skip


def lost(played: Played) -> float | None:
    """What the incumbent with all its changes truly gains over the candidate, percent; None when one of them fails."""
    if played.true is None or played.whole_true is None:
        return None
    return percent(log_effect(played.whole_true) - log_effect(played.true))


def _average(values: Sequence[int]) -> str:
    return f"{statistics.fmean(values):.1f}" if values else "-"
