"""Studies that were played in, the page about them out, with everything on it computed from their sessions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from knobctl.errors import StoreError
from knobctl.lab.studies import STUDIES
from knobctl.lab.study_case import BUDGET
from knobctl.lab.study_effects import judged
from knobctl.lab.study_figures import Findings, Table
from knobctl.lab.study_file import StudyRecord
from knobctl.lab.study_plot import drawing

_HEAD = """# Can the numbers be trusted?

What came of {sessions} sessions of knobctl on simulated machines, whose truth is known. The page is generated from
[the numbers of every session]({numbers}) by `make studies`; each section names its command and its date, and shows
what the code of that moment gave. Until 0.1.0 is released the model of the search and the run-off go on changing, and a
section may be older than they are; the same code plays the same sessions again, with the same figures.

**{met} of {judged} checks are met.**{broken}

Every session is played by the same code as a real one: preflight, {budget} trials of search, run-off, verification,
verdict. Time is virtual, a run takes 30 s of it. Shares stand with the interval of Clopper and Pearson, means with one
from resampling, both of 95 %. A check looks at the estimate; whether its whole interval says the same is there to see.

Three noises were invented after real machines: `quiet` (runs vary by 2 %, a machine of one's own), `vm` (5 %, with
drift, rare bad times and outliers) and `hostile` (12 %, a shared machine with bad neighbours). The machines are
invented too: which knobs matter, where they are best and how much there is to gain is drawn for each session
(`knobctl lab surfaces` lists the families). A session has the same luck under every noise, only more or less of it, so
the rows of a table do not confirm each other.

The searcher is `tpe`, which follows a lucky run most readily; for cutting short, `tpe` and `random` in turn.

**What was not tested here:** real benchmarks, whose noise may be of another kind; budgets other than {budget} trials
and runs other than 30 s; other searchers, the default one among them; guardrails; machines on which one run colours
the next; effects that change while they are measured. The constants of the search's early end were chosen on other
seeds.
"""
_PLOT = """
![Announced smallest effect, true effect and verdict of every verified candidate]({plot})

Each mark is a verified candidate of either part, under all noises. Above the dashed line the promise is that nearly
every one is proven (a filled circle). Effects below 0.5 % stand on the lower edge.
"""


def write_page(path: Path, studies: Mapping[str, StudyRecord], numbers: str) -> None:
    """Writes the page, and the drawing beside it.

    Args:
        path: Of the page.
        studies: By name.
        numbers: Name of the file with the numbers of every session, for a link.

    Raises:
        StoreError: It cannot be written.
    """
    plot = plot_path(path)
    try:
        path.write_text(page(studies, numbers, plot.name), encoding="utf-8")
        if "effects" in studies:
            plot.write_text(plot_of(studies["effects"]), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}", "Give another file.") from None


def plot_path(page_path: Path) -> Path:
    """Where the drawing of a page is."""
    return page_path.with_name(f"{page_path.stem}-effects.svg")


def plot_of(study: StudyRecord) -> str:
    """The drawing of the verified sessions."""
    return drawing(judged(list(study.sessions.values())))


def page(studies: Mapping[str, StudyRecord], numbers: str, plot: str) -> str:
    """The page as Markdown."""
    found = {name: STUDIES[name].findings(list(studies[name].sessions.items())) for name in STUDIES if name in studies}
    checks = [check for findings in found.values() for check in findings.checks if check.met is not None]
    broken = [check for check in checks if not check.met]
    head = _HEAD.format(
        sessions=sum(len(study.sessions) for study in studies.values()),
        numbers=numbers,
        met=len(checks) - len(broken),
        judged=len(checks),
        broken=" Not met:\n" + "".join(f"\n* {one.promise}: {one.found}" for one in broken) if broken else "",
        budget=BUDGET,
    )
    sections = [_section(name, studies[name], findings, plot) for name, findings in found.items()]
    return "\n".join([head, *sections])


def _section(name: str, study: StudyRecord, findings: Findings, plot: str) -> str:
    rows = tuple((check.promise, check.found, check.word) for check in findings.checks)
    parts = [
        f"## {STUDIES[name].title}\n",
        f"`{study.command}`: {len(study.sessions)} sessions, {study.date}, knobctl {study.version}, {study.machine}.\n",
        markdown(Table("", ("check", "found", ""), rows)),
        *(_PLOT.format(plot=plot) for _ in findings.tables[:1] if name == "effects"),
        *(f"**{table.title}**\n\n{markdown(table)}" for table in findings.tables),
    ]
    return "\n".join(parts)


def markdown(table: Table) -> str:
    """A table of a page, with its note below."""
    lines = [table.heads, ["---"] * len(table.heads), *table.rows]
    text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return text + (f"\n\n{table.note}\n" if table.note else "\n")
