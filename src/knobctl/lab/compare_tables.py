"""Sessions of a comparison in, the tables and checks of the leaderboard out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np

from knobctl.lab.compare_case import FIRST_LOOK, NEAR, Case, Played, steps
from knobctl.lab.compare_contenders import ABLATED, FLAGSHIP, PEERS, RELATED, UNRELATED, VANILLA
from knobctl.lab.compare_figures import Board, estimate, expected_time, holm, interquartile_mean, plain_mean
from knobctl.lab.compare_surfaces import family_of
from knobctl.lab.study_figures import Check, Findings, Share, Table
from knobctl.stats import percent

LOOKS = (10, 15, 25, 40, 45, 60)
"""Trials after which contenders are compared."""

PEER_LOOKS = (15, 25, 45)
"""Trials after which the flagship must not be behind its peers."""

VANILLA_LOOK, VANILLA_LEAD, VANILLA_BAD = 40, 0.10, 0.5
MARGIN, PEER_TIME = 0.03, 0.7
REMEMBERED = 0.75
"""What a memory of related machines has to give at the first look."""

SIGNIFICANT = 0.05

_NOTHING = "-"


def findings(sessions: Sequence[tuple[Case, Played]]) -> Findings:
    """What the sessions of one split show."""
    board = Board(sessions)
    tables = [_by_trials(board), _by_time(board), _arrivals(board), _costs(board), _own(board), _verified(board)]
    reference = FLAGSHIP if FLAGSHIP in board.contenders else next(iter(board.contenders), "")
    if len(board.contenders) > 1:
        tables.append(_paired(board, reference))
    tables.append(_families(sessions, board))
    return Findings(tuple(checks(board)), tuple(tables))


def checks(board: Board) -> list[Check]:
    """What is expected of the flagship; nothing without it."""
    if FLAGSHIP not in board.contenders:
        return []
    found = [check for name in VANILLA if name in board.contenders for check in _against_vanilla(board, name)]
    peers = [name for name in PEERS if name in board.contenders]
    return found + (_against_peers(board, peers) if peers else []) + _with_memory(board)


def looks(board: Board, wanted: Sequence[int] | None = None) -> list[int]:
    """Those of them that the sessions have; those of :data:`LOOKS` when None, and the first one where it tells much."""
    known = steps(board.budget) if board.budget else ()
    if wanted is None:
        wanted = LOOKS if {RELATED, UNRELATED}.isdisjoint(board.contenders) else (FIRST_LOOK, *LOOKS)
    return [look for look in wanted if look in known]


def offered(board: Board, trials: int) -> Callable[[Played], float]:
    """What is offered after so many trials, as a share of what is possible."""
    place = steps(board.budget).index(trials)
    return lambda played: played.share(played.by_trials[place])


def offered_in_time(board: Board, runs: int) -> Callable[[Played], float]:
    """What is offered after as long as so many whole runs take."""
    place = steps(board.budget).index(runs)
    return lambda played: played.share(played.by_time[place])


def own_best(board: Board, trials: int) -> Callable[[Played], float]:
    """The best score seen after so many trials, taken as it is."""
    place = steps(board.budget).index(trials)
    return lambda played: played.share(played.own[place])


def trials_until_near(played: Played) -> tuple[float, float]:
    """Trials until it arrived, or all; and whether it did."""
    needed = played.trials_needed
    return (float(len(played.gains)), 0.0) if needed is None else (float(needed), 1.0)


def time_until_near(played: Played) -> tuple[float, float]:
    """The same in the time of whole runs."""
    return (played.time, 0.0) if played.time_needed is None else (played.time_needed, 1.0)


def bad_trials(trials: int) -> Callable[[Played], tuple[float, float]]:
    """How many of so many first trials were bad, and of how many."""
    return lambda played: (played.bad(trials) * len(played.gains[:trials]), float(len(played.gains[:trials])))


def _against_vanilla(board: Board, name: str) -> list[Check]:
    found = []
    for look in looks(board, (VANILLA_LOOK,)):
        lead = board.difference(FLAGSHIP, name, offered(board, look))
        bad = board.ratio(FLAGSHIP, name, bad_trials(look))
        found += [
            Check(
                f"{FLAGSHIP} is ahead of {name} by at least {VANILLA_LEAD:.2f} after {look} trials",
                lead.text("+.2f"),
                lead.value >= VANILLA_LEAD,
            ),
            Check(
                f"{FLAGSHIP} has at most {VANILLA_BAD:g} times as many bad trials as {name} among the first {look}",
                f"{bad.text()} times",
                bad.value <= VANILLA_BAD,
            ),
        ]
    return found


def _against_peers(board: Board, peers: Sequence[str]) -> list[Check]:
    words = ", ".join(peers)
    found, better = [], []
    for look in looks(board, PEER_LOOKS):
        leads = {name: board.difference(FLAGSHIP, name, offered(board, look)) for name in peers}
        worst = min(leads, key=lambda name: leads[name].low)
        found.append(
            Check(
                f"{FLAGSHIP} is not behind any of {words} by more than {MARGIN:.2f} after {look} trials",
                f"{leads[worst].text('+.2f')} against {worst}",
                leads[worst].low >= -MARGIN,
            )
        )
        better += [look] * (leads[worst].low > 0.0)
    found.append(
        Check(
            f"{FLAGSHIP} is better than all of {words} somewhere",
            f"after {', '.join(map(str, better))} trials" if better else "nowhere for sure",
            bool(better),
        )
    )
    times = {name: estimate(board.strata(name, time_until_near), expected_time).value for name in peers}
    fastest = min(times, key=lambda name: times[name])
    ratio = board.ratio(FLAGSHIP, fastest, time_until_near)
    found.append(
        Check(
            f"{FLAGSHIP} takes at most {PEER_TIME:g} times the benchmark time of its fastest peer to {NEAR:.0%} of "
            "what is possible",
            f"{ratio.text()} times that of {fastest}",
            ratio.value <= PEER_TIME,
        )
    )
    return found


def _with_memory(board: Board) -> list[Check]:
    found = []
    if RELATED in board.contenders:
        for look in looks(board, (FIRST_LOOK,)):
            share = board.score(RELATED, offered(board, look), interquartile_mean)
            promise = f"{RELATED} offers at least {REMEMBERED:g} of what is possible after {look} trials"
            found.append(Check(promise, share.text(), share.value >= REMEMBERED))
    if UNRELATED in board.contenders:
        for look in looks(board):
            lead = board.difference(UNRELATED, FLAGSHIP, offered(board, look))
            promise = f"{UNRELATED} is not behind {FLAGSHIP} by more than {MARGIN:.2f} after {look} trials"
            found.append(Check(promise, lead.text("+.2f"), lead.low >= -MARGIN))
    return found


def _by_trials(board: Board) -> Table:
    rows = [
        (name, *(board.score(name, offered(board, look), interquartile_mean).text() for look in looks(board)))
        for name in board.contenders
    ]
    return Table(
        "What is offered after so many trials",
        ("contender", *(str(look) for look in looks(board))),
        tuple(rows),
        "True gain as a share of what is possible on the machine, interquartile mean. What is offered is chosen in "
        "the same way for everybody: by the model that chooses in every run of knobctl.",
    )


def _by_time(board: Board) -> Table:
    rows = [
        (name, *(board.score(name, offered_in_time(board, look), interquartile_mean).text() for look in looks(board)))
        for name in board.contenders
    ]
    return Table(
        "The same after equal benchmark time",
        ("contender", *(f"{look} runs" for look in looks(board))),
        tuple(rows),
        "Time is counted in whole runs: hopeless ones are cut short, and the default is measured in between.",
    )


def _arrivals(board: Board) -> Table:
    rows = []
    for name in board.contenders:
        arrived = [played.trials_needed is not None for played in board.of(name) if played.gainful]
        rows.append(
            (
                name,
                str(Share(sum(arrived), len(arrived))),
                estimate(board.strata(name, trials_until_near), expected_time).text(".0f"),
                estimate(board.strata(name, time_until_near), expected_time).text(".0f"),
            )
        )
    return Table(
        f"Until {NEAR:.0%} of what is possible is offered",
        ("contender", "sessions that arrived", "trials, expected", "time in whole runs, expected"),
        tuple(rows),
        "Expected: all that was spent, by sessions that never arrived too, over the number of those that did.",
    )


def _costs(board: Board) -> Table:
    rows = []
    for name in board.contenders:
        sessions = [played for played in board.of(name) if played.gains]
        cpu = statistics.median(played.cpu / len(played.gains) for played in sessions) if sessions else 0.0
        first = board.score(name, lambda played: 100.0 * played.bad(VANILLA_LOOK), plain_mean)
        every = board.score(name, lambda played: 100.0 * played.bad(len(played.gains)), plain_mean)
        cut = board.score(
            name, lambda played: 100.0 * len(played.cut) / len(played.gains) if played.gains else 0.0, plain_mean
        )
        rows.append((name, first.text(".1f"), every.text(".1f"), cut.text(".1f"), f"{1000.0 * cpu:.0f} ms"))
    return Table(
        "What the search costs",
        ("contender", f"bad trials in percent, first {VANILLA_LOOK}", "all", "cut short, percent", "CPU per trial"),
        tuple(rows),
        "A bad trial is truly more than 10 % worse than the default, or fails. CPU is the median session's, with all "
        "that knobctl does itself and the simulation of the machine, over its trials.",
    )


def _own(board: Board) -> Table:
    rows = []
    for name in board.contenders:
        claims = [
            percent(played.claimed) - percent(played.share(played.own[-1]) * played.optimum)
            for played in board.of(name)
            if played.gainful and played.claimed is not None and played.own
        ]
        rows.append(
            (
                name,
                *(board.score(name, own_best(board, look), interquartile_mean).text() for look in looks(board)),
                f"{statistics.median(claims):+.1f}" if claims else _NOTHING,
            )
        )
    return Table(
        "As its own users would read it: the best score seen",
        ("contender", *(str(look) for look in looks(board)), "claims too much, percentage points"),
        tuple(rows),
        "True gain of the configuration with the best raw score, as a share of what is possible; and by how much that "
        "score, against the mean of the default's runs, says more than is true, at the median.",
    )


def _verified(board: Board) -> Table:
    rows = []
    for name in board.contenders:
        gainful = [played for played in board.of(name) if played.gainful]
        null = [played for played in board.of(name) if not played.gainful]
        rows.append(
            (
                name,
                str(Share(sum(played.improved for played in gainful), len(gainful))),
                board.score(name, lambda played: played.share(played.recommended), interquartile_mean).text(),
                str(Share(sum(played.false_claim for played in gainful), len(gainful))),
                str(Share(sum(played.improved and played.false_claim for played in null), len(null))),
            )
        )
    return Table(
        "At the end, after run-off and verification",
        ("contender", "IMPROVED", "recommended: true gain", "IMPROVED, which is false", "the same, nothing to gain"),
        tuple(rows),
        "What is not proven is not recommended, and counts as 0.",
    )


def _paired(board: Board, reference: str) -> Table:
    others = [name for name in board.contenders if name != reference]
    cells: dict[str, list[str]] = {name: [] for name in others}
    for look in looks(board):
        value = offered(board, look)
        surprises = holm([board.surprise(reference, name, value) for name in others])
        for name, surprise in zip(others, surprises, strict=True):
            mark = " *" if surprise < SIGNIFICANT else ""
            cells[name].append(board.difference(reference, name, value).text("+.2f") + mark)
    rows = [(f"{reference} - {name}", *cells[name]) for name in others]
    ablated = "" if ABLATED not in others else f" {reference} - {ABLATED} is what PPO adds."
    return Table(
        f"{reference} against the others, in pairs",
        ("difference", *(str(look) for look in looks(board))),
        tuple(rows),
        "Mean difference of what is offered, same machine and same luck; positive: the first is better. A star: "
        "Wilcoxon's signed-rank test over the machines says that they differ (5 %, Holm's correction for all rows of "
        f"a column).{ablated}",
    )


def _families(sessions: Sequence[tuple[Case, Played]], board: Board) -> Table:
    last = looks(board, (45,)) or [steps(board.budget)[-1]]
    value = offered(board, last[0])
    families = list(dict.fromkeys(family_of(surface) for surface in board.surfaces))
    by_family: dict[tuple[str, str], list[float]] = {}
    for case, played in sessions:
        if played.gainful:
            by_family.setdefault((family_of(case.surface), case.contender), []).append(value(played))
    rows = [(family, *(_middle(by_family.get((family, name), [])) for name in board.contenders)) for family in families]
    return Table(
        f"By family of machines, after {last[0]} trials",
        ("family", *board.contenders),
        tuple(rows),
        "Interquartile means without intervals: a family has few machines.",
    )


def _middle(values: Sequence[float]) -> str:
    return f"{interquartile_mean(np.array([values]))[0]:.2f}" if values else _NOTHING
