"""The catalogue's data files (TOML, one per kernel subsystem) in, a :class:`Catalogue` out."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Any

from knobctl.knobs.catalogue import Catalogue


@functools.cache
def records() -> dict[str, list[dict[str, Any]]]:
    """All tables of all data files, in file order: ``{"knob": [...], "coupling": [...]}``."""
    merged: dict[str, list[dict[str, Any]]] = {"knob": [], "coupling": []}
    folder = resources.files("knobctl.knobs") / "data"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            for key, tables in tomllib.loads(file.read_text(encoding="utf-8")).items():
                merged[key].extend(tables)
    return merged


@functools.cache
def catalogue() -> Catalogue:
    """The catalogue that ships with knobctl. Read once per process."""
    return Catalogue.from_records(records())
