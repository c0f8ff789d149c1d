"""``lab scaling``: what one more trial costs a searcher that knows many, on machines with many knobs."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path

import click

from knobctl.commands import options
from knobctl.commands.edge import answer, guarded, put, say
from knobctl.commands.lab_study import findings_document, show_findings
from knobctl.errors import UsageError


@click.command("scaling")
@click.option(
    "--searchers", default="sappo,tpe,gp,cmaes", show_default=True, metavar="LIST",
    help="Searchers, with commas between them; module:object for one of your own.",
)  # fmt: skip
@click.option("--knobs", default="6,12,24,48", show_default=True, metavar="LIST", help="Knobs of the machine, 3 to 48.")
@click.option("--trials", default="50,200,1000", show_default=True, metavar="LIST", help="Trials that are known.")
@click.option(
    "--page", "page_path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the tables as a Markdown page.",
)  # fmt: skip
@options.as_json
@guarded
def scaling_command(searchers: str, knobs: str, trials: str, page_path: Path | None, as_json: bool) -> int:
    """Measure processor time and memory of one more trial.

    The trials before it are known as earlier ones of the same search; to sappo also as those of earlier sessions.
    Each measurement has a process of its own. This takes some minutes, most of them for searchers whose model grows
    with every trial.
    """
    from knobctl.lab.scaling import findings, loads, measure_all, page
    from knobctl.lab.study_file import write_whole
    from knobctl.search.registry import OPTIONAL, SEARCHERS

    names = options.knob_list(searchers)
    if unknown := [name for name in names if ":" not in name and name not in SEARCHERS + OPTIONAL]:
        raise UsageError(f"unknown searcher {unknown[0]!r}", f"Known: {', '.join(SEARCHERS)}; or module:object.")
    wanted = loads(names, _numbers(knobs, "--knobs"), _numbers(trials, "--trials"))
    measured = {}
    for number, (load, cost) in enumerate(measure_all(wanted), 1):
        measured[load] = cost
        say(
            f"scaling: {number} of {len(wanted)}: {load.searcher}, {load.knobs} knobs, {load.trials} trials "
            f"{load.way}: {1000.0 * cost.cpu:.0f} ms"
        )
    found = findings(measured)
    if page_path is not None:
        words = ["knobctl", "lab", "scaling", "--searchers", searchers, "--knobs", knobs, "--trials", trials]
        write_whole(page_path, page(found, shlex.join(words)))
    if as_json:
        rows = [{**asdict(load), **asdict(cost)} for load, cost in measured.items()]
        put({"simulated": True, "rows": rows, **findings_document(found)})
    else:
        answer("SIMULATED: what one more trial costs")
        show_findings(found)
    return 0


def _numbers(text: str, option: str) -> list[int]:
    words = options.knob_list(text)
    if not words or not all(word.isascii() and word.isdigit() and 0 < int(word) <= 100_000 for word in words):
        raise UsageError(f"{option} {text!r} are no numbers", f"Write {option} 6,12, for example.")
    return [int(word) for word in words]
