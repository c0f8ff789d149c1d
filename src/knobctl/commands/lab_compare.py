"""``lab compare``: searchers side by side on machines whose truth is known."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from knobctl.commands import options
from knobctl.commands.edge import answer, guarded, put, say
from knobctl.commands.lab_study import findings_document, show_findings
from knobctl.errors import Interrupted, UsageError
from knobctl.report.wording import duration
from knobctl.target.noise import NOISES

if TYPE_CHECKING:
    from knobctl.lab.compare_case import Case
    from knobctl.lab.compare_file import CompareRecord

SPLITS = ("development", "locked")

_SAVE_SECONDS = 20.0
_SEEDS, _BUDGET, _NOISE = 6, 60, "vm"


@click.command("compare")
@click.option(
    "--split", type=click.Choice(SPLITS), default=SPLITS[0], show_default=True,
    help="Which machines: those for development, or those that stay locked until the searchers are frozen.",
)  # fmt: skip
@click.option(
    "--searchers", metavar="LIST",
    help="Contenders, with commas between them; when left out, all that are installed and remember nothing.",
)  # fmt: skip
@click.option(
    "--surfaces", type=click.IntRange(1, 10_000), metavar="N",
    help="Machines; 39 that are drawn and those that were recorded when left out.",
)  # fmt: skip
@click.option(
    "--seeds", type=click.IntRange(1, 1000), default=_SEEDS, show_default=True, metavar="N",
    help="Sessions of each contender on each machine, each with luck of its own.",
)  # fmt: skip
@click.option(
    "--budget", type=click.IntRange(5, 1000), default=_BUDGET, show_default=True, metavar="N",
    help="Trials of the search.",
)  # fmt: skip
@click.option(
    "--noise", type=click.Choice(tuple(NOISES)), default=_NOISE, show_default=True,
    help="How the drawn machines misbehave; recorded ones do it in their own way.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that share the work."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
    help="A JSON file for the numbers of every session; the other half of the machines stays in it.",
)  # fmt: skip
@click.option(
    "--resume", is_flag=True,
    help="Keep the sessions that the file holds already, those of other contenders too, and play what is missing.",
)  # fmt: skip
@click.option(
    "--page", type=click.Path(dir_okay=False, path_type=Path),
    help="Write what the file shows as a Markdown page, with its plots.",
)  # fmt: skip
@click.option(
    "--plots", type=click.Path(file_okay=False, path_type=Path), help="A folder for the plots; beside the page."
)
@click.option("--freeze", is_flag=True, help="Freeze the searchers as they are, for the locked machines, and stop.")
@options.as_json
@guarded
def compare_command(as_json: bool, freeze: bool, **given: Any) -> int:
    """Compare searchers: same machines, same noise, same luck, same budget, same verification.

    \b
    sappo, sappo-no-actor   the default searcher, with and without its policy
    ppo-8, ppo-2048         PPO on the real runs, and as stable-baselines3 has it
    tpe, gp, cmaes          Optuna's samplers
    smac                    SMAC3, where it is installed
    random, one-at-a-time   the controls
    sappo-related           sappo that remembers ten sessions on machines of the
                            same kind; only when named, as the next one
    sappo-unrelated         sappo that remembers ten sessions which mislead it
    module:object           one of your own; object(seed) makes it

    Sessions are played on simulated machines, in virtual time. Whoever is interrupted keeps what was played.
    """
    if freeze:
        return _freeze(as_json)
    from knobctl.lab.compare_file import read_comparisons, write_comparisons
    from knobctl.lab.compare_page import write_page, write_plots
    from knobctl.lab.compare_tables import findings

    output, page, split = given["output"], given["page"], given["split"]
    if (given["resume"] or page) and output is None:
        raise UsageError("--resume and --page need the file of -o", "Add -o FILE.json.")
    records = read_comparisons(output) if output else {}
    record, cases = _start(given, records.get(split))

    def save(filled: CompareRecord) -> None:
        records[split] = filled
        if output:
            write_comparisons(output, records)

    record = _play(record, cases, given["jobs"], save)
    found = findings(list(record.sessions.items()))
    if page:
        write_page(page, read_comparisons(output), output.name, given["plots"])  # as they are rounded there
    elif given["plots"]:
        write_plots(given["plots"], {split: record})
    if as_json:
        put({"simulated": True, "split": split, "sessions": len(record.sessions), **findings_document(found)})
    else:
        answer(f"SIMULATED comparison, machines for {split}: {len(record.sessions)} sessions")
        show_findings(found)
    return 0


def _freeze(as_json: bool) -> int:
    from knobctl.lab.compare_frozen import freeze, frozen_path

    frozen = freeze()
    if as_json:
        put({"sha256": frozen.sha256, "version": frozen.version, "date": frozen.date})
    else:
        answer(f"frozen: {frozen.sha256}, in {frozen_path()}")
    return 0


def _start(given: Mapping[str, Any], before: CompareRecord | None) -> tuple[CompareRecord, list[Case]]:
    """The record to fill, and the cases to play: those of one machine together, so that what is cut off is fair."""
    from knobctl.lab.compare_case import Case
    from knobctl.lab.compare_contenders import contenders, usual
    from knobctl.lab.compare_file import CompareRecord
    from knobctl.lab.compare_frozen import require_frozen, sources_hash
    from knobctl.lab.compare_surfaces import LOCKED, surfaces_of
    from knobctl.lab.study_file import this_machine

    split, noise, budget = given["split"], given["noise"], given["budget"]
    if split == LOCKED:
        require_frozen()
    named = [word.strip() for word in (given["searchers"] or "").split(",") if word.strip()]
    names = [each.name for each in contenders(named or usual())]
    cases = [
        Case(name, surface, noise, number, budget)
        for surface in surfaces_of(split, given["surfaces"])
        for number in range(given["seeds"])
        for name in names
    ]
    today = datetime.now(UTC).date().isoformat()
    record = CompareRecord(_words(given), metadata.version("knobctl"), sources_hash(), today, this_machine())
    if not given["resume"] or before is None:
        return record, cases
    if (before.version, before.sources) != (record.version, record.sources):
        raise UsageError(
            f"the sessions of the file were played by knobctl {before.version} with the searchers "
            f"{before.sources[:12]}, and these are {record.version} and {record.sources[:12]}",
            "Leave --resume out to play everything again.",
        )
    if other := [case for case in before.sessions if (case.noise, case.budget) != (noise, budget)]:
        raise UsageError(
            f"the file holds sessions with --noise {other[0].noise} and --budget {other[0].budget}",
            "Give the same, or another file.",
        )
    plays = any(case not in before.sessions for case in cases)
    machines = dict.fromkeys([*before.machine.split("; "), *([record.machine] if plays else [])])
    return replace(record, date=before.date, machine="; ".join(machines), sessions=before.sessions), cases


def _words(given: Mapping[str, Any]) -> str:
    """The command that plays the same again."""
    words = ["knobctl", "lab", "compare", "--split", given["split"]]
    usual = {"searchers": None, "surfaces": None, "seeds": _SEEDS, "budget": _BUDGET, "noise": _NOISE}
    for option, value in usual.items():
        if given[option] != value:
            words += [f"--{option}", str(given[option])]
    return shlex.join(words)


def _play(
    record: CompareRecord, cases: Sequence[Case], jobs: int, save: Callable[[CompareRecord], None]
) -> CompareRecord:
    """The record with these cases too; saved now and then, at the end, and when it is interrupted."""
    from knobctl.lab.compare_case import play
    from knobctl.lab.study_jobs import play_each

    known = dict(record.sessions)
    left = [case for case in cases if case not in known]
    began = saved = time.monotonic()
    try:
        for number, (case, played) in enumerate(play_each(play, left, jobs), 1):
            known[case] = played
            now = time.monotonic()
            if now - saved > _SAVE_SECONDS:
                saved = now
                to_come = duration((now - began) / number * (len(left) - number))
                say(f"compare: {number} of {len(left)} sessions, {to_come} left")
                save(record.with_sessions(known))
    except Interrupted:
        say(f"compare: {len(known)} sessions are kept; the same command with --resume goes on")
        raise
    finally:
        save(record.with_sessions(known))
    return record.with_sessions(known)
