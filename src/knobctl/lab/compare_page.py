"""Comparisons that were played in, the leaderboard out: a page and its plots, all computed from the sessions."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from pathlib import Path

from knobctl.errors import StoreError
from knobctl.lab import compare_tables as tables
from knobctl.lab.compare_case import LEAST_GAIN, NEAR, steps
from knobctl.lab.compare_contenders import CONTENDERS, RELATED, UNRELATED
from knobctl.lab.compare_figures import Board, Estimate, estimate, expected_time, interquartile_mean, plain_mean
from knobctl.lab.compare_file import CompareRecord
from knobctl.lab.compare_memory import BUDGET, SEARCHER, SESSIONS
from knobctl.lab.compare_plot import Curve, curves, dots
from knobctl.lab.compare_surfaces import LOCKED, SPLITS, family_of
from knobctl.lab.study_figures import Findings, Table
from knobctl.lab.study_page import markdown
from knobctl.stats import percent

_HEAD = """# {title}

What came of {sessions} sessions on simulated machines whose truth is known. The page is generated from
[the numbers of every session]({numbers}) by `knobctl lab compare`; each section names the command by which the same
version plays its sessions again: to the last figure on the same processor; another one rounds differently, and then the
sessions of searchers that compute much go other ways.

Every session is a whole run of knobctl: preflight, search, run-off, verification, verdict. Contenders meet the same
machines, the same noise and the same luck, and have the same budget. What each would have offered earlier is computed
from its own trials until then, chosen in the same way for all; what its own users would have taken, the best score
seen, stands beside it. A gain is the true one, as a share of what is possible on the machine: 1 is the optimum, 0 the
default, and losing more than there is to gain counts as -1. Machines on which less than {least:.0f} % is possible have
no such share; only false claims are counted there.

The machines come in two halves. On those for **development** the searchers were developed and their constants chosen.
The **locked** ones are played only by searchers that were frozen before: the command refuses as soon as one of their
sources differs from what was frozen.

Intervals hold 95 %. Those of single scores say what other luck would have given on the same machines; those of
differences and ratios say what other machines of these kinds would have given. A check that somebody is *not behind*
looks at the lower end of the interval, every other one at the estimate.
{memories}
**What was not tested here:** real benchmarks, whose shapes and noise may be of another kind; budgets and runs of other
lengths; suggestions, which every session here begins without{memory}.

| contender | what it is |
| --- | --- |
{contenders}
"""

_MEMORIES = f"""
Memories were made on other machines that look the same, by {SESSIONS} sessions of `{SEARCHER}` with {BUDGET} trials
each. For `{RELATED}` the same knobs matter there, more or less so and best a little elsewhere; for `{UNRELATED}`
others of them matter, or are best elsewhere. A recorded machine has no such relatives, and there nothing is remembered.
"""

_TITLES = {
    "by-trials": "What is offered after so many trials, as a share of what is possible",
    "by-time": "The same over benchmark time, in whole runs",
    "arrival": f"Benchmark time until {NEAR:.0%} of what is possible is offered, in whole runs, expected",
    "bad": "Bad trials of the search, percent",
    "cpu": "Processor time per trial, milliseconds",
}


def write_page(path: Path, records: Mapping[str, CompareRecord], numbers: str, plots: Path | None = None) -> None:
    """Writes the page and its plots.

    Args:
        path: Of the page.
        records: By split.
        numbers: Name of the file with the numbers of every session, for a link.
        plots: A folder for the plots; beside the page when None.

    Raises:
        StoreError: It cannot be written.
    """
    folder = plots or path.parent
    write_plots(folder, records)
    try:
        link = Path(os.path.relpath(folder, path.parent)).as_posix()
        path.write_text(page(records, numbers, "" if link == "." else f"{link}/"), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}", "Give another file.") from None


def write_plots(folder: Path, records: Mapping[str, CompareRecord]) -> None:
    """Writes the plots of every split.

    Raises:
        StoreError: They cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for split, record in records.items():
            for name, drawing in drawings(record).items():
                (folder / plot_name(split, name)).write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the plots cannot be written: {error}", "Give another folder.") from None


def plot_name(split: str, name: str) -> str:
    """Name of the file of a plot."""
    return f"leaderboard-{split}-{name}.svg"


def drawings(record: CompareRecord) -> dict[str, str]:
    """The plots of one split by name; none when there was nothing to gain."""
    board = Board(list(record.sessions.items()))
    if not board.surfaces:
        return {}
    grid = steps(board.budget)
    lines = {
        "by-trials": [
            Curve(
                name,
                tuple((look, board.score(name, tables.offered(board, look), interquartile_mean)) for look in grid),
            )
            for name in board.contenders
        ],
        "by-time": [
            Curve(
                name,
                tuple(
                    (look, board.score(name, tables.offered_in_time(board, look), interquartile_mean)) for look in grid
                ),
            )
            for name in board.contenders
        ],
    }
    arrival = [(name, estimate(board.strata(name, tables.time_until_near), expected_time)) for name in board.contenders]
    bad = [
        (name, board.score(name, lambda played: 100.0 * played.bad(len(played.gains)), plain_mean))
        for name in board.contenders
    ]
    return {
        "by-trials": curves(_TITLES["by-trials"], "trials of the search", lines["by-trials"]),
        "by-time": curves(_TITLES["by-time"], "benchmark time in whole runs", lines["by-time"]),
        "arrival": dots(_TITLES["arrival"], arrival, logarithmic=True),
        "bad": dots(_TITLES["bad"], bad, ".1f"),
        "cpu": dots(_TITLES["cpu"], [(name, _cpu(board, name)) for name in board.contenders], logarithmic=True),
    }


def page(records: Mapping[str, CompareRecord], numbers: str, folder: str = "") -> str:
    """The page as Markdown.

    Args:
        records: By split.
        numbers: Name of the file with the numbers.
        folder: Of the plots, as seen from the page; with a slash at its end, or empty.
    """
    played = {split: records[split] for split in SPLITS if split in records}
    names = dict.fromkeys(case.contender for record in played.values() for case in record.sessions)
    remembering = bool(names.keys() & {RELATED, UNRELATED})
    head = _HEAD.format(
        title="What the search gains by a memory" if remembering else "Leaderboard of searchers",
        sessions=sum(len(record.sessions) for record in played.values()),
        numbers=numbers,
        least=percent(LEAST_GAIN),
        contenders="\n".join(f"| `{name}` | {_summary(name)} |" for name in names),
        memories=_MEMORIES if remembering else "",
        memory="" if remembering else ", as without memories of earlier ones",
    )
    return "\n".join([head, *(_section(split, record, folder) for split, record in played.items())])


def _section(split: str, record: CompareRecord, folder: str) -> str:
    sessions = list(record.sessions.items())
    found, gainful = tables.findings(sessions), len(Board(sessions).surfaces)
    surfaces = dict.fromkeys(case.surface for case, _ in sessions)
    families = dict.fromkeys(family_of(surface) for surface in surfaces)
    counted = ", ".join(f"{sum(family_of(each) == name for each in surfaces)} {name}" for name in families)
    frozen = f"The searchers were frozen as `{record.sources[:12]}`. " if split == LOCKED else ""
    parts = [
        f"## Machines: {split}\n",
        f"`{record.command}`: {len(sessions)} sessions, {record.date}, knobctl {record.version}, {record.machine}. "
        f"{frozen}{len(surfaces)} machines: {counted}; {gainful} of them have something to gain.\n",
        _checks(found),
        *(f"![{_TITLES[name]}]({folder}{plot_name(split, name)})\n" for name in (_TITLES if gainful else ())),
        *(f"**{table.title}**\n\n{markdown(table)}" for table in found.tables),
    ]
    return "\n".join(part for part in parts if part)


def _checks(found: Findings) -> str:
    rows = tuple((check.promise, check.found, check.word) for check in found.checks)
    return markdown(Table("", ("check", "found", ""), rows)) if rows else ""


def _cpu(board: Board, name: str) -> Estimate:
    """The median session's, with the middle half of the sessions in place of an interval."""
    costs = [1000.0 * played.cpu / len(played.gains) for played in board.of(name) if played.gains]
    if len(costs) < 2:
        return Estimate(*(costs or [float("nan")]) * 3)
    low, middle, high = statistics.quantiles(costs, n=4)
    return Estimate(middle, low, high)


def _summary(name: str) -> str:
    return CONTENDERS[name].summary if name in CONTENDERS else "a searcher of somebody's own"
