"""Rules between knobs: those that concern a search, and the values of the knobs on their other side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from knobctl.knobs import Catalogue, Coupling, KnobState, Value
from knobctl.safety.findings import Findings
from knobctl.safety.safe_plan import TunedKnob

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def concerned(
    catalogue: Catalogue, knobs: Sequence[TunedKnob], states: Mapping[str, KnobState], findings: Findings
) -> tuple[tuple[Coupling, ...], dict[str, Value]]:
    """The couplings with at least one tuned side, and the found value of every side that is not tuned.

    A side that is not in force has nothing to say: its file is absent, it holds a special value (0 for off), or the
    machine uses its twin. A coupling that no allowed value can satisfy is a problem.
    """
    tuned = {knob.knob.name: knob for knob in knobs}
    couplings: list[Coupling] = []
    fixed: dict[str, Value] = {}
    for coupling in catalogue.couplings:
        others = [name for name in (coupling.left, coupling.right) if name not in tuned]
        if len(others) == 2 or not all(_in_force(catalogue, name, states) for name in others):
            continue
        values = {name: _int(states[name].value) for name in others}
        if _refuse_impossible(coupling, tuned, values, findings):
            continue
        couplings.append(coupling)
        fixed.update(values)
    return tuple(couplings), fixed


def _in_force(catalogue: Catalogue, name: str, states: Mapping[str, KnobState]) -> bool:
    knob, state = catalogue[name], states.get(name)
    if state is None or not state.present or not isinstance(state.value, int) or state.value in knob.special:
        return False
    twin = states.get(knob.twin) if knob.twin else None
    return twin is None or not twin.value


def _refuse_impossible(
    coupling: Coupling, tuned: Mapping[str, TunedKnob], fixed: Mapping[str, int], findings: Findings
) -> bool:
    left, right = coupling.left, coupling.right
    smallest = fixed[left] if left in fixed else tuned[left].dimension.at_least(_SMALLEST)
    largest = fixed[right] if right in fixed else tuned[right].dimension.at_most(_LARGEST)
    if smallest is None or largest is None or coupling.holds(smallest, largest):
        return False
    relation = "below" if coupling.kind == "below" else "at most"
    other = next(iter(fixed), "")
    where = f"; {other} is {fixed[other]} and not tuned" if other else ""
    findings.refuse(
        f"{left} has to be {relation} {right}, and no value from {smallest} up is{where}",
        f"Add {other} to action_space, or move the range." if other else "Make the two ranges overlap.",
    )
    return True


def _int(value: Value | None) -> int:
    assert isinstance(value, int), "only integers in force take part"
    return value
