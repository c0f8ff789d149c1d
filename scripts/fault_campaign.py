#!/usr/bin/env python3
"""Hundreds of runs on the real kernel, each with a fault or two at a random moment: none may leave anything behind.

    make test-faults                            500 runs; writes docs/faults.md and docs/faults.json
    scripts/fault_campaign.py --list            the faults
    scripts/fault_campaign.py --only kill-agent --seed 7 --runs 1 -v          one run again
    scripts/fault_campaign.py --only kill-agent+full-disk --runs 5            a pair of faults

After every run each kernel file of the catalogue must hold the bytes that it held before, no process may be left, the
lock must be free, and neither journal nor work folder may exist. Exit status 1 when a run was not restored.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.faults import campaign, registry, report  # noqa: E402  # the project's folder has to be found first

RUNS = 500
SEED = 1


def main() -> int:
    """Plays, prints and writes. Returns the exit status."""
    options = _options()
    if options.list:
        for fault in registry.SINGLE.values():
            print(f"{fault.name:28} {fault.description}{f' ({fault.obstacle})' if fault.obstacle else ''}")
        return 0
    if os.geteuid() != 0:
        print("fault_campaign.py: setting kernel knobs needs root", file=sys.stderr)
        return 77
    try:
        items = (
            campaign.only(options.only, options.runs or 1, options.seed)
            if options.only
            else campaign.planned(options.runs or RUNS, options.seed)
        )
    except ValueError as error:
        print(f"fault_campaign.py: {error}", file=sys.stderr)
        return 2
    record = report.Record(options.record)
    done = record.outcomes()
    items = items[len(done) :]
    began = time.monotonic()
    tell = print if options.verbose else _say_nothing
    for outcome in campaign.played(items, tell):
        done.append(outcome)
        record.add(outcome)
        for text in (*outcome.problems, *(outcome.details if options.verbose else ())):
            print(f"{outcome.fault} --seed {outcome.seed}: {text}", flush=True)
        if options.minutes and time.monotonic() - began > options.minutes * 60:
            break
    print(report.summary(done))
    if not options.only:
        report.write(ROOT / "docs", done, options.runs or RUNS, options.seed)
    return 0 if all(outcome.restored for outcome in done) else 1


def _say_nothing(text: str) -> None:
    """A run that is restored needs no words."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Breaks real runs at random moments, and looks what is left of them.")
    parser.add_argument("--runs", type=int, help=f"how many runs ({RUNS}), or how many of each with --only (1)")
    parser.add_argument("--seed", type=int, default=SEED, help="source of every random choice")
    parser.add_argument("--only", action="append", metavar="FAULT", help="this fault, or FIRST+SECOND; can be repeated")
    parser.add_argument("--list", action="store_true", help="name the faults")
    parser.add_argument("--record", type=Path, help="keep every run in this file, and go on where it stops")
    parser.add_argument("--minutes", type=float, help="stop after this time")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for every run, and details of failures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
