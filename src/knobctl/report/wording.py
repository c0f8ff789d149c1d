"""Numbers, times, configurations and foreign text in, short text for people out. The same everywhere."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from knobctl.knobs import Value
from knobctl.masking import mask_secrets
from knobctl.target.base import WORKDIR
from knobctl.target.text import clean

SIMULATED = "SIMULATED"
"""Stands in front of everything that was not measured on a real machine."""


def one_line(text: str, limit: int = 400) -> str:
    """Foreign text on one line, without control characters, keys and passwords, at most ``limit`` characters long."""
    line = " ".join(mask_secrets(clean(text)).split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def apply_words(session: str, workdir: str = "") -> list[str]:
    """What is typed after ``knobctl`` to make a session's change permanent; it goes to the disk that was measured.

    Args:
        session: Its id.
        workdir: Where its work folder was; empty when that is not known.
    """
    return ["apply", one_line(session), *(["--workdir", workdir] if workdir not in ("", WORKDIR) else [])]


def apply_line(session: str, workdir: str = "") -> str:
    """The same for a shell, on one line."""
    return one_line(shlex.join(["knobctl", *apply_words(session, workdir)]), 2000)


def percent(value: float | None) -> str:
    """``+8.1 %``; ``unknown`` for what could not be computed."""
    if value is None or not math.isfinite(value):
        return "unknown"
    return f"{value:+,.0f} %" if abs(value) >= 100 else f"{value:+.1f} %"


def number(value: float | None) -> str:
    """Four digits that matter, with separators: ``10,731``, ``412.3``, ``1.234``; ``none`` for a missing one."""
    if value is None:
        return "none"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < 0.001:
        return f"{value:.3g}"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def score(value: float | None, unit: str) -> str:
    """A number with its unit."""
    return f"{number(value)} {one_line(unit, 40)}".rstrip()


def duration(seconds: float) -> str:
    """``45 s``, ``3 min 20 s``, ``12 min``, ``1 h 5 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if whole < 600:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def assignments(configuration: Mapping[str, Value]) -> str:
    """``vm.dirty_ratio=40 thp.enabled=always``; ``default`` when nothing differs from what was found."""
    return " ".join(f"{one_line(name, 80)}={one_line(str(value), 80)}" for name, value in configuration.items()) or (
        "default"
    )


def better(direction: str) -> str:
    """``higher is better`` or ``lower is better``."""
    return "higher is better" if direction == "maximize" else "lower is better"


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Lines of a table, the last column as long as it likes, so that no value is ever cut."""
    table = [list(header), *[list(row) for row in rows]]
    widths = [max(cell_len(row[place]) for row in table) for place in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        return (indent + "  ".join(padded)).rstrip()

    return [line(row) for row in table]
