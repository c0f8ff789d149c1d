#!/usr/bin/env python3
"""Every kernel setting that knobctl could change: catalogue in, ``{path: text}`` out.

It reads the files by itself, without the agent, so that it can testify about the agent: the demonstration and the test
session take one look before and one after, and both must be the same.

    kernel_settings.py > before.json        all settings, as JSON
    kernel_settings.py --compare before.json    says what differs now; exit status 1 when something does
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from knobctl.knobs.files import catalogue

QUEUE_SETTINGS = "sys/block/*/queue/*"


def settings() -> dict[str, str]:
    """The text of every readable file behind a catalogue knob, and of every block-queue setting, by path."""
    found = {}
    for path in sorted(set(_paths())):
        try:
            found[str(path)] = path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue  # absent on this kernel, write-only, or not ours to read
    return found


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """One line per setting of ``before`` that is not the same in ``after``."""
    return [
        f"{path} was {text!r} and is {after.get(path, '(gone)')!r}"
        for path, text in before.items()
        if after.get(path) != text
    ]


def _paths() -> Iterator[Path]:
    root = Path("/")
    for knob in catalogue():
        yield from root.glob(knob.path.lstrip("/").replace("{disk}", "*"))
    for path in root.glob(QUEUE_SETTINGS):
        if path.is_file() and path.stat().st_mode & 0o200:
            yield path


def main() -> int:
    """Prints the settings, or compares them with a file of an earlier look."""
    parser = argparse.ArgumentParser(description="Prints the kernel settings that knobctl could change.")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="say what differs from this earlier output")
    arguments = parser.parse_args()
    now = settings()
    if arguments.compare is None:
        json.dump(now, sys.stdout, indent=1)
        print()
        return 0
    before = json.loads(arguments.compare.read_text(encoding="utf-8"))
    changed = differences(before, now)
    for line in changed:
        print(f"DIFFERENT: {line}")
    if not changed:
        print(f"kernel settings identical before and after ({len(before)} compared)")
    return 1 if changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
