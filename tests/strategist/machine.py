"""Machines for the strategist: facts and knob states that come in through the front door, no kernel involved."""

from __future__ import annotations

from dataclasses import dataclass, replace

from knobctl.knobs import Catalogue, KnobState, Value
from knobctl.knobs.files import catalogue
from knobctl.strategist import PlaybookStrategist, Proposal, TuningRequest
from knobctl.target import HostFacts

GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """What a strategist is told about a machine, and the strategist to ask about it."""

    facts: HostFacts
    states: dict[str, KnobState]
    catalogue: Catalogue

    def propose(self, text: str = "", **options: object) -> Proposal:
        request = TuningRequest(text, **options)  # type: ignore[arg-type]
        return PlaybookStrategist().propose(request, self.facts, self.states, self.catalogue)

    def with_state(self, name: str, **changes: object) -> Machine:
        """The same machine with one knob in another state."""
        changed = replace(self.states[name], **changes)  # type: ignore[arg-type]
        return replace(self, states={**self.states, name: changed})

    def without(self, *names: str) -> Machine:
        """The same machine with a kernel that does not have these knobs."""
        return replace(self, states={name: state for name, state in self.states.items() if name not in names})


def machine_of(*, memory_gib: int = 24, cores: int = 2, swap_gib: int = 0) -> Machine:
    """A machine whose kernel has every knob, at the catalogue's default."""
    facts = HostFacts(
        kernel="6.18.0",
        architecture="x86_64",
        distribution="Debian GNU/Linux 12",
        cpu_model="Some CPU",
        cores=cores,
        memory_bytes=memory_gib * GIB,
        swap_bytes=swap_gib * GIB,
        virtualization="kvm",
        disk="vda",
        disk_kind="solid-state",
    )
    knobs = catalogue()
    states = {}
    for knob in knobs:
        value: Value | None = knob.default
        if value is None and knob.risk != "forbidden":
            value = knob.choices[0] if knob.kind == "choice" else knob.range_on(facts.quantities)[0]
        states[knob.name] = KnobState(knob.name, True, True, value, str(value), (knob.path,), knob.choices)
    return Machine(facts, states, knobs)
