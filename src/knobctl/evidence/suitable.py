"""A bundle and a machine in; in which ways this machine is another one, and whether it can measure again, out."""

from __future__ import annotations

from collections.abc import Mapping

from knobctl.errors import UsageError
from knobctl.evidence.bundle import Bundle
from knobctl.knobs import Value
from knobctl.target import HostFacts, Target

_COMPARED = (
    ("kernel", "kernel"), ("architecture", "architecture"), ("cpu_model", "processor"), ("cores", "cores"),
    ("memory_bytes", "memory in bytes"), ("virtualization", "virtualization"), ("disk_kind", "kind of disk"),
)  # fmt: skip


def differing_facts(there: HostFacts, here: HostFacts) -> tuple[str, ...]:
    """In which ways two machines differ, one clause each."""
    return tuple(
        f"{words}: {getattr(there, name) or 'unknown'} there, {getattr(here, name) or 'unknown'} here"
        for name, words in _COMPARED
        if getattr(there, name) != getattr(here, name)
    )


def differing_values(bundle: Bundle, target: Target) -> tuple[str, ...]:
    """Which knobs of the candidate are found with another value here, one clause each.

    Raises:
        UsageError: As :func:`require_suitable`.
    """
    here = _found(bundle, target)
    return tuple(
        f"{knob.name}: {knob.found} there, {here[knob.name]} here"
        for knob in bundle.result.knobs
        if knob.name in here and knob.found != here[knob.name]
    )


def require_suitable(bundle: Bundle, target: Target) -> None:
    """Makes sure that the candidate of a bundle can be tried on a target at all. Looks, and changes nothing.

    Raises:
        UsageError: There is no candidate; it was measured on another kind of target; or a knob of it cannot be tuned
            here.
    """
    if not bundle.result.candidate_config:
        raise UsageError(
            f"session {bundle.session.id} has no candidate to measure again", "Nothing was proposed, so nothing can be."
        )
    if bundle.session.target != target.name:
        raise UsageError(
            f"session {bundle.session.id} was measured on {bundle.session.target}, not on {target.name}",
            f"Add --target {bundle.session.target}.",
        )
    _found(bundle, target)


def _found(bundle: Bundle, target: Target) -> Mapping[str, Value]:
    """The values that the candidate's knobs have here."""
    found: dict[str, Value] = {}
    for name in bundle.result.candidate_config:
        if target.catalogue.find(name) is None:
            raise UsageError(f"{name} is no knob that this knobctl knows", "Read the bundle with the knobctl it names.")
        state = target.probe([name])[name]
        if not state.present or not state.writable or state.value is None:
            why = state.reason or ("cannot be written here" if state.present else "absent in this kernel")
            raise UsageError(f"{name} cannot be tuned on this machine: {why}", "Measure it on a machine that has it.")
        found[name] = state.value
    return found
