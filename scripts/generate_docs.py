#!/usr/bin/env python3
"""The reference pages that the program itself knows best: command line and catalogue in, docs/*.md out.

generate_docs.py                write docs/commands.md and docs/knobs.md
generate_docs.py knobs          write one of them
generate_docs.py --check        write nothing; exit status 1 and a diff when a page is not up to date
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from knobctl.knobs import Coupling, Knob
from knobctl.knobs.files import catalogue

DOCS = Path(__file__).parent.parent / "docs"
COLUMNS = "100"
EFFECTS = {
    "hot": "at once",
    "warm": "on new connections, or with the next writeback",
    "cold": "after a restart of the workload",
}
RISKS = {
    "safe": "tuned freely inside the range",
    "caution": "only when you name it",
    "forbidden": "never, whoever asks",
}


def commands_page() -> str:
    """The help of every command, as the installed program prints it."""
    top = _help()
    parts = [
        "# Commands\n\n"
        "Generated from `knobctl --help`; do not edit it by hand. What the words mean is in the "
        "[glossary](glossary.md), what may be tuned in the [knob reference](knobs.md).\n",
        f"## knobctl\n\n```text\n{top}```\n",
    ]
    for name in _command_names(top):
        shown = _help(name)
        parts.append(f"## knobctl {name}\n\n```text\n{shown}```\n")
        parts += [f"### knobctl {name} {part}\n\n```text\n{_help(name, part)}```\n" for part in _command_names(shown)]
    return "\n".join(parts)


def _help(*command: str) -> str:
    environment = {**os.environ, "COLUMNS": COLUMNS, "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    program = Path(sys.executable).with_name("knobctl")
    shown = subprocess.run(
        [program, *command, "--help"], env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return "\n".join(line.rstrip() for line in shown.strip("\n").splitlines()) + "\n"


def _command_names(shown: str) -> list[str]:
    """The commands that a help page lists; none for a command that has no others below it."""
    listing = shown.partition("\nCommands:\n")[2]
    return re.findall(r"^  ([a-z][a-z-]*)(?:  |$)", listing, re.MULTILINE)


def knobs_page() -> str:
    """The catalogue as a table of contents and one section per knob."""
    knobs = list(catalogue())
    lines = [
        "# Knobs",
        "",
        "Generated from the catalogue that ships with knobctl; do not edit it by hand. `knobctl knobs` shows the "
        "values on your machine and what can be tuned there, `knobctl knobs NAME` explains one.",
        "",
        f"{len(knobs)} knobs. A range is what knobctl may write; it can be narrower than what the kernel takes.",
        "",
        "| word | a change acts |",
        "| --- | --- |",
        *(f"| {word} | {meaning} |" for word, meaning in EFFECTS.items()),
        "",
        "| risk | tuned |",
        "| --- | --- |",
        *(f"| {word} | {meaning} |" for word, meaning in RISKS.items()),
        "",
        "| knob | range | acts | risk | what it is |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {_link(knob.name)} | {_cell(_range(knob))} | {knob.effect} | {knob.risk} | {_cell(knob.summary)} |"
            for knob in knobs
        ),
        "",
    ]
    for knob in knobs:
        lines += _section(knob, catalogue().couplings)
    return "\n".join(lines)


def _section(knob: Knob, couplings: Sequence[Coupling]) -> Iterator[str]:
    yield f'<a id="{_anchor(knob.name)}"></a>'
    yield f"## `{knob.name}`"
    yield ""
    yield f"{_sentence(knob.summary)} {_sentence(knob.why)}"
    yield ""
    yield f"* File: `{knob.path}`" + ("" if knob.field is None else f", field {knob.field + 1}")
    yield f"* Range: {_range(knob)}" + (f", scale {knob.scale}" if knob.kind == "integer" else "")
    if knob.special:
        yield f"* Special values: {', '.join(str(value) for value in knob.special)}"
    if knob.default is not None:
        yield f"* Kernel's usual value: {knob.default}"
    yield f"* Acts {EFFECTS[knob.effect]} ({knob.effect})"
    yield f"* Risk: {knob.risk}" + (f": {_prose(knob.risk_reason)}" if knob.risk_reason else "")
    if knob.twin:
        yield f"* The same setting as {_link(knob.twin)}: writing one sets the other to 0"
    if knob.affects:
        yield f"* The kernel changes with it: {', '.join(_link(name) for name in knob.affects)}"
    for coupling in couplings:
        if knob.name in (coupling.left, coupling.right):
            relation = "below" if coupling.kind == "below" else "at most"
            yield f"* {_link(coupling.left)} stays {relation} {_link(coupling.right)}: {_prose(coupling.reason)}"
    if knob.since or knob.until:
        yield f"* Kernels: {f'since {knob.since}' if knob.since else ''}{' ' if knob.since and knob.until else ''}" + (
            f"gone in {knob.until}" if knob.until else ""
        )
    if knob.aliases:
        yield f"* Also understood: {', '.join(f'`{alias}`' for alias in knob.aliases)}"
    yield f"* Source: {_prose(knob.source)}"
    yield ""


def _range(knob: Knob) -> str:
    if knob.choices:
        return ", ".join(f"`{choice}`" for choice in knob.choices)
    if knob.minimum is None or knob.maximum is None:
        return "none"
    return f"{knob.minimum.describe()} to {knob.maximum.describe()}" + (f" {knob.unit}" if knob.unit else "")


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _link(name: str) -> str:
    return f"[`{name}`](#{_anchor(name)})"


def _sentence(text: str) -> str:
    text = _prose(text.strip())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _prose(text: str) -> str:
    """Text whose underscores, brackets and stars mean themselves; newlines become spaces."""
    return re.sub(r"([\[\]_*<])", r"\\\1", " ".join(text.split()))


def _cell(text: str) -> str:
    escaped = text if "`" in text else _prose(text)
    return escaped.replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {"commands": commands_page, "knobs": knobs_page}


def main() -> int:
    """Writes or checks the pages that were asked for, all by default."""
    parser = argparse.ArgumentParser(description="Writes the reference pages that the program itself knows best.")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"one of {', '.join(PAGES)}; all by default")
    parser.add_argument("--check", action="store_true", help="write nothing, only say whether they are up to date")
    parser.add_argument("--folder", type=Path, default=DOCS, help="where the pages are; docs by default")
    arguments = parser.parse_args()
    unknown = set(arguments.pages) - set(PAGES)
    if unknown:
        parser.error(f"there is no page {', '.join(sorted(unknown))}; there are {', '.join(PAGES)}")
    stale = False
    for name in arguments.pages or PAGES:
        path = arguments.folder / f"{name}.md"
        fresh = PAGES[name]()
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if fresh == old:
            continue
        if arguments.check:
            stale = True
            sys.stdout.writelines(
                difflib.unified_diff(old.splitlines(True), fresh.splitlines(True), str(path), "generated", n=1)
            )
            print(f"{path.name} is not what the program says; run scripts/generate_docs.py", file=sys.stderr)
        else:
            path.write_text(fresh, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
