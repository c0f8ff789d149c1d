"""What the user said themselves, as opposed to what a plan file or a language model wrote."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Consent:
    """What the user typed or confirmed word for word. ``--yes`` alone is none of it.

    Attributes:
        command: The benchmark command that they typed; only exactly this text is approved.
        knobs: Names of knobs that they typed. A pattern such as ``vm.*`` names no knob.
        reset_command: The reset command that they typed or confirmed.
    """

    command: str | None = None
    knobs: frozenset[str] = frozenset()
    reset_command: str | None = None
