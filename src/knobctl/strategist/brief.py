"""All that code knows about a request before a language model plans, in one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from knobctl.knobs import Catalogue, KnobState
from knobctl.strategist.base import TuningRequest
from knobctl.strategist.files import Playbook
from knobctl.strategist.request import Hints
from knobctl.target import HostFacts


@dataclass(frozen=True)
class Brief:
    """A request, the workload that was decided on for it, and the machine.

    Attributes:
        request: What is wanted, with the options that the user typed; those stand above everything that a model says.
        hints: What was read from its words.
        playbook: The workload that was decided on; None when the user's own command is none that a playbook knows.
        command: The benchmark command for this request: the user's own where one was typed, else the workload's.
        facts: What the machine is.
        states: How each knob stands on it, by canonical name; a knob that is missing here counts as absent.
        catalogue: The knobs that may be proposed.
    """

    request: TuningRequest
    hints: Hints
    playbook: Playbook | None
    command: str
    facts: HostFacts
    states: Mapping[str, KnobState]
    catalogue: Catalogue
