"""Output of real tools, captured in ``replay``; where each file comes from stands in ``replay/SOURCES.md``."""

from __future__ import annotations

from pathlib import Path

REPLAY = Path(__file__).parent / "replay"


def captured(name: str) -> str:
    return (REPLAY / f"{name}.txt").read_text()
