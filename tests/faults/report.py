"""Outcomes in; a summary line, the page ``docs/faults.md`` and ``docs/faults.json`` out."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults import registry
from tests.faults.fault import Fault
from tests.faults.playing import Outcome
from tests.faults.registry import JOINT

_PAGE = """# Faults

What became of {runs} runs of knobctl on a real kernel, each with a fault, or two of them, at a random moment. The page
is generated, with [the figures](faults.json), by

```text
{command}
```

on a machine with {cores} cores and Linux {kernel}.

**{restored} of {runs} runs left nothing behind.**{failed}

Before every run the machine is put into a random allowed state, for instance with `vm.dirty_bytes` in use. The run
tunes a random handful of real knobs with benchmarks of a tenth of a second; one run in five is `knobctl run`, the
others are a small main program on the same agent. After it, every kernel file of the catalogue has to hold the same
bytes as before; no process (main program, watcher, agent, benchmark, server) may be left; the lock has to be free; no
journal and no work folder may exist.

*Restored after* is the time from the fault, or from the next start where that has to help, until every kernel file was
back, over the runs in which one was changed at that moment. *All gone after* is the longest time until the last process
had ended too. Where a run goes on after the fault, both include the rest of the run.

## Single faults

{singles}

## Pairs

{pairs_restored} of {pairs} runs with two different faults, one up to 0.3 s after the other, left nothing behind.
{kinds} of the {possible} ordered pairs that make sense were drawn. Restored after: median {pair_median}, at most
{pair_longest}.

{in_pairs}

Ordered pairs that are left out, and why:

{left_out}

## What cannot be made on a running kernel

A reboot in the middle of a run, and a knob that vanishes (a disk or a module that is taken away), are tested on a
made-up machine.{obstacles}

A run is repeated, as far as chance allows, with its fault and its seed:
`scripts/fault_campaign.py --only FAULT --seed N --runs 1 -v`.
"""


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds."""

    fault: str
    description: str
    follows: str
    runs: int
    restored: int
    without_effect: int
    longest: float | None
    median: float | None
    gone: float | None


class Record:
    """A file with one line per outcome, so that a campaign can be played in pieces.

    Args:
        path: The file, or None to keep nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def outcomes(self) -> list[Outcome]:
        """What was played already."""
        if self._path is None or not self._path.exists():
            return []
        entries = [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]
        return [
            Outcome(**{**entry, "problems": tuple(entry["problems"]), "details": tuple(entry["details"])})
            for entry in entries
        ]

    def add(self, outcome: Outcome) -> None:
        """Keeps one more."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as out:
                out.write(json.dumps(asdict(outcome)) + "\n")


def row(fault: Fault, outcomes: Sequence[Outcome]) -> Row:
    """What became of the runs with this fault."""
    counted = [outcome for outcome in outcomes if outcome.struck or not outcome.restored]
    times = [outcome.restored_seconds for outcome in counted if outcome.restored_seconds is not None]
    return Row(
        fault.name, fault.description, fault.follows, len(counted), sum(outcome.restored for outcome in counted),
        len(outcomes) - len(counted), max(times, default=None), statistics.median(times) if times else None,
        max((outcome.gone_seconds for outcome in counted), default=None),
    )  # fmt: skip


def summary(outcomes: Sequence[Outcome]) -> str:
    """Everything in one line."""
    failed = [outcome for outcome in outcomes if not outcome.restored]
    struck = sum(outcome.struck or not outcome.restored for outcome in outcomes)
    return f"{struck - len(failed)} of {struck} runs left nothing behind" + (
        f"; {len(outcomes) - struck} found nothing to strike" if struck < len(outcomes) else ""
    )


def write(folder: Path, outcomes: Sequence[Outcome], planned: int, seed: int) -> None:
    """Writes the page and the figures into a folder."""
    command = f"scripts/fault_campaign.py --runs {planned} --seed {seed}"
    (folder / "faults.md").write_text(page(outcomes, command), encoding="utf-8")
    document = {
        "command": command,
        "machine": {"cores": os.cpu_count(), "kernel": platform.release()},
        "single": [asdict(line) for line in _single_rows(outcomes)],
        "in_pairs": [asdict(line) for line in _pair_rows(outcomes)],
        "not_restored": [asdict(outcome) for outcome in outcomes if not outcome.restored],
    }
    (folder / "faults.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def page(outcomes: Sequence[Outcome], command: str) -> str:
    """The page as Markdown."""
    counted = [outcome for outcome in outcomes if outcome.struck or not outcome.restored]
    failed = [outcome for outcome in counted if not outcome.restored]
    pairs = [outcome for outcome in counted if JOINT in outcome.fault]
    times = [outcome.restored_seconds for outcome in pairs if outcome.restored_seconds is not None]
    obstacles = [fault for fault in registry.SINGLE.values() if fault.obstacle or fault.name in registry.PENDING]
    return _PAGE.format(
        runs=len(counted),
        restored=len(counted) - len(failed),
        failed="".join(f"\n\n* `{one.fault}`, seed {one.seed}: {_cell('; '.join(one.problems))}" for one in failed),
        command=command,
        cores=os.cpu_count(),
        kernel=platform.release(),
        singles=_table(
            ("fault", "what happens", "who restores", "runs", "restored", "restored after: median", "longest",
             "all gone after"),
            [
                (f"`{line.fault}`", line.description, line.follows, line.runs, line.restored, _seconds(line.median),
                 _seconds(line.longest), _seconds(line.gone))
                for line in _single_rows(outcomes)
            ],
        ),
        pairs=len(pairs),
        pairs_restored=sum(outcome.restored for outcome in pairs),
        kinds=len({outcome.fault for outcome in pairs}),
        possible=len(registry.pairs()),
        pair_median=_seconds(statistics.median(times) if times else None),
        pair_longest=_seconds(max(times, default=None)),
        in_pairs=_table(
            ("one of the two", "runs", "restored", "restored after: median", "longest"),
            [
                (f"`{line.fault}`", line.runs, line.restored, _seconds(line.median), _seconds(line.longest))
                for line in _pair_rows(outcomes)
            ],
        ),
        left_out=_table(("why", "pairs"), list(registry.left_out_pairs().items())),
        obstacles="".join(f" `{fault.name}` was not made: {fault.obstacle or 'pending'}." for fault in obstacles),
    )  # fmt: skip


def _single_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    return [
        row(fault, [outcome for outcome in outcomes if outcome.fault == fault.name])
        for fault in registry.SINGLE.values()
    ]


def _pair_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    pairs = [(outcome, outcome.fault.split(JOINT)) for outcome in outcomes if JOINT in outcome.fault]
    return [
        row(fault, [outcome for outcome, names in pairs if fault.name in names]) for fault in registry.SINGLE.values()
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(str(cell)) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
