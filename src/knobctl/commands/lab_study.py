"""``lab study``: play hundreds of sessions on machines whose truth is known, and count."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from knobctl.commands import options
from knobctl.commands.edge import answer, guarded, put, say
from knobctl.errors import UsageError
from knobctl.report.wording import duration
from knobctl.target.noise import NOISES

if TYPE_CHECKING:
    from knobctl.lab.study_figures import Findings
    from knobctl.lab.study_file import StudyRecord

NAMES = ("null", "effects", "minimal", "cutting", "suggestions")
ALL = "all"

_SAVE_SECONDS = 20.0


@click.command("study")
@click.argument("name", type=click.Choice((*NAMES, ALL)))
@click.option(
    "--sessions",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Sessions of each part under each noise, or pairs of them; as many as the study wants when left out.",
)
@click.option("--noise", metavar="LIST", help="Noises, with commas between them; those of the study when left out.")
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that share the work."
)
@click.option("--seed", type=click.IntRange(0, 2**30), help="Of the first session; each further one has the next.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
    help="A JSON file for the numbers of every session; other studies in it stay.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Keep the sessions that the file holds already, and play the others.")
@click.option(
    "--page", type=click.Path(dir_okay=False, path_type=Path),
    help="Write what all studies of the file show as a Markdown page, with its plot beside it.",
)  # fmt: skip
@options.as_json
@guarded
def study_command(name: str, as_json: bool, **given: Any) -> int:
    """Find out whether the numbers of knobctl can be trusted.

    \b
    null         how often a gain is claimed where there is none
    effects      whether the interval holds the truth, and a real gain is proven
    minimal      whether the change is small, and what making it small costs
    cutting      what cutting runs short saves, and what it costs
    suggestions  what a good suggestion gives, and what a bad one costs
    all          one after the other

    Sessions are played on simulated machines, in virtual time. A whole study takes some minutes of processor time.
    """
    from knobctl.lab.study_file import read_studies, write_studies

    output, page = given["output"], given["page"]
    if (given["resume"] or page) and output is None:
        raise UsageError("--resume and --page need the file of -o", "Add -o FILE.json.")
    studies = read_studies(output) if output else {}
    reported = {}
    for one in NAMES if name == ALL else (name,):

        def save(record: StudyRecord, name: str = one) -> None:
            studies[name] = record
            if output:
                write_studies(output, studies)

        record = _play(one, given, _start(one, given, studies.get(one)), save)
        findings = _findings(one, record)
        reported[one] = findings_document(findings)
        if not as_json:
            answer(f"SIMULATED study {one}: {_title(one)}")
            show_findings(findings)
    if page:
        from knobctl.lab.study_page import write_page

        write_page(page, read_studies(output), output.name)  # of the numbers as they are rounded there
    if as_json:
        put({"simulated": True, "studies": reported})
    return 0


def _start(name: str, given: Mapping[str, Any], before: StudyRecord | None) -> StudyRecord:
    """The record to fill: the one before, when that is to go on."""
    from knobctl.lab.study_file import StudyRecord, this_machine

    version = metadata.version("knobctl")
    words = ["knobctl", "lab", "study", name]
    for option in ("sessions", "noise", "seed"):
        words += [f"--{option}", str(given[option])] if given[option] is not None else []
    today = datetime.now(UTC).date().isoformat()
    record = StudyRecord(shlex.join(words), version, today, this_machine())
    if not given["resume"] or before is None:
        return record
    if before.version != version:
        raise UsageError(
            f"the study {name} was played by knobctl {before.version}, and this is {version}", "Leave --resume out."
        )
    return record.with_sessions(before.sessions)


def _play(name: str, given: Mapping[str, Any], record: StudyRecord, save: Callable[[StudyRecord], None]) -> StudyRecord:
    """The whole record, with just the sessions that were asked for; saved now and then, and at the end."""
    from knobctl.lab.studies import SEED, STUDIES, missing, play_all

    study = STUDIES[name]
    noises = _noises(given["noise"]) or study.noises
    cases = study.cases(given["sessions"] or study.sessions, noises, SEED if given["seed"] is None else given["seed"])
    wanted = set(cases)
    known = {case: played for case, played in record.sessions.items() if case in wanted}
    left = missing(cases, known)
    began = saved = time.monotonic()
    for number, (case, played) in enumerate(play_all(left, given["jobs"]), 1):
        known[case] = played
        now = time.monotonic()
        if now - saved > _SAVE_SECONDS:
            saved = now
            to_come = duration((now - began) / number * (len(left) - number))
            say(f"{name}: {number} of {len(left)} sessions, {to_come} left")
            save(record.with_sessions(known))
    whole = record.with_sessions({case: known[case] for case in cases})
    save(whole)
    return whole


def _noises(text: str | None) -> tuple[str, ...]:
    names = tuple(word.strip() for word in text.split(",")) if text else ()
    if unknown := [name for name in names if name not in NOISES]:
        raise UsageError(f"unknown noise {unknown[0]!r}", f"Known: {', '.join(NOISES)}.")
    return names


def _findings(name: str, record: StudyRecord) -> Findings:
    from knobctl.lab.studies import STUDIES

    return STUDIES[name].findings(list(record.sessions.items()))


def findings_document(findings: Findings) -> dict[str, Any]:
    """Checks and tables in plain JSON types."""
    return {
        "checks": [{"promise": one.promise, "found": one.found, "met": one.met} for one in findings.checks],
        "tables": [
            {"title": table.title, "rows": [dict(zip(table.heads, row, strict=True)) for row in table.rows]}
            for table in findings.tables
        ],
    }


def _title(name: str) -> str:
    from knobctl.lab.studies import STUDIES

    return STUDIES[name].title


def show_findings(findings: Findings) -> None:
    """Tables, then checks, on standard output."""
    for table in findings.tables:
        answer(f"\n{table.title}")
        rows = [table.heads, *table.rows]
        if len(rows) > 2:
            widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
            for row in rows:
                answer("  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        else:
            for head, *cells in zip(*rows, strict=True):
                answer(f"  {head}: {'   '.join(cells)}")
        if table.note:
            answer(f"  {table.note}")
    answer("")
    for check in findings.checks:
        answer(f"{check.word:<10}  {check.promise}: {check.found}")
    answer("")
