"""The plan's action space in, tuned knobs out: names resolved, risk and range checked, absent knobs dropped.

A range is never clipped silently. What a plan asks for and the machine does not have is dropped with its reason; what
a plan asks for and the catalogue does not allow is a problem.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from knobctl.knobs import Catalogue, Knob, KnobState, UnknownKnob, Value
from knobctl.knobs.space import LARGEST, Dimension
from knobctl.plan import ActionSpec
from knobctl.plan_text import shown
from knobctl.safety.findings import Findings
from knobctl.safety.safe_plan import TunedKnob


class Limits:
    """The catalogue, as it applies on one machine and to one user."""

    def __init__(
        self,
        catalogue: Catalogue,
        quantities: Mapping[str, int],
        states: Mapping[str, KnobState],
        named: Collection[str],
    ) -> None:
        self._catalogue = catalogue
        self._quantities = quantities
        self._states = states
        found = (catalogue.find(name) for name in named)
        self._named = {knob.name for knob in found if knob is not None}

    def tuned(self, specs: Sequence[ActionSpec], findings: Findings) -> tuple[TunedKnob, ...]:
        """The knobs that can be tuned here, in the plan's order."""
        knobs: dict[str, ActionSpec] = {}
        for spec in specs:
            knob = self.resolve(spec.param, findings)
            if knob is None or not self._permitted(knob, findings):
                continue
            if knob.name in knobs:
                findings.refuse(f"{knob.name} stands twice in action_space", "Keep one of the entries.")
                continue
            knobs[knob.name] = spec
        self._refuse_twins(knobs, findings)
        tuned = [self._tuned_knob(self._catalogue[name], spec, findings) for name, spec in knobs.items()]
        return tuple(knob for knob in tuned if knob is not None)

    def resolve(self, name: str, findings: Findings) -> Knob | None:
        """The knob of this name, alias or path; a problem when there is none."""
        try:
            return self._catalogue[name]
        except UnknownKnob as unknown:
            names = [each for each in unknown.suggestions if self._catalogue[each].risk != "forbidden"]
            close = f"; did you mean {' or '.join(names)}?" if names else ""
            hint = "`knobctl knobs` lists all of them."
            if not name.isascii():
                hint = f"It holds letters that only look like the usual ones: {name!a}. {hint}"
            findings.refuse(f"unknown knob {shown(name)}{close}", hint)
            return None

    def _permitted(self, knob: Knob, findings: Findings) -> bool:
        if knob.risk == "forbidden":
            findings.refuse(f"{knob.name} is never tuned: {knob.risk_reason}", "Remove it from the plan.")
            return False
        if knob.risk == "caution" and knob.name not in self._named:
            findings.refuse(
                f"{knob.name} is tuned only when you name it yourself: {knob.risk_reason}",
                f"Name it if you mean it: --knobs {knob.name}",
            )
            return False
        return True

    def _refuse_twins(self, names: Collection[str], findings: Findings) -> None:
        for name in names:
            twin = self._catalogue[name].twin
            if twin in names and name < twin:
                findings.refuse(
                    f"{name} and {twin} are two faces of one setting: writing one zeroes the other",
                    f"Keep one of them: {name} or {twin}.",
                )

    def _tuned_knob(self, knob: Knob, spec: ActionSpec, findings: Findings) -> TunedKnob | None:
        asked = self._choice(knob, spec, findings) if knob.kind == "choice" else self._integer(knob, spec, findings)
        if asked is None:
            return None
        state = self._states.get(knob.name)
        obstacle = _obstacle(knob, state)
        if state is None or state.value is None or obstacle:
            findings.drop(knob.name, obstacle)
            return None
        dimension = _offered(asked, state, findings) if knob.kind == "choice" else asked
        if dimension.size < 2:
            findings.drop(knob.name, f"only one value to try: {dimension.decode(0.5)}")
            return None
        self._note(knob, dimension, state.value, findings)
        return TunedKnob(knob, dimension, state.value)

    def _integer(self, knob: Knob, spec: ActionSpec, findings: Findings) -> Dimension | None:
        low, high = knob.range_on(self._quantities)
        allowed = _allowed(knob, low, high)
        if spec.type in ("choice", "categorical") and spec.values is None:
            findings.refuse(f"{knob.name} is an integer, not a {spec.type}", "Give values, or min and max.")
            return None
        strange = [value for value in spec.special if value not in knob.special]
        if strange:
            known = ", ".join(str(value) for value in knob.special) or "none"
            findings.refuse(f"{knob.name}: {strange[0]} is no special value (known: {known})", "Leave special out.")
            return None
        special = tuple(dict.fromkeys(spec.special))
        if spec.values is not None:
            values = [as_number(value) for value in spec.values]
            wrong = [value for value in values if not knob.allows(value, self._quantities)]
            if wrong:
                findings.refuse(f"{knob.name}: {shown(wrong[0])} is not allowed here: {allowed}", _EXPLAIN % knob.name)
                return None
            numbers = sorted({value for value in values if isinstance(value, int)})
            return Dimension(knob.name, "integer", scale=spec.scale or knob.scale, values=tuple(numbers))
        smallest = low if spec.min is None else spec.min
        largest = high if spec.max is None else spec.max
        if smallest < low or largest > high or smallest > largest:
            inside = (max(low, smallest), min(high, largest))
            findings.refuse(
                f"{knob.name}: {smallest} to {largest} is not inside what is allowed here: {allowed}",
                f"Use min {inside[0]} and max {inside[1]}." if inside[0] < inside[1] else "Leave min and max out.",
            )
            return None
        if largest - smallest > LARGEST:
            findings.refuse(
                f"{knob.name}: {smallest} to {largest} is too wide to search", "Give a narrower min and max."
            )
            return None
        return Dimension(knob.name, "integer", smallest, largest, spec.scale or knob.scale, special=special)

    def _choice(self, knob: Knob, spec: ActionSpec, findings: Findings) -> Dimension | None:
        choices = ", ".join(knob.choices)
        if spec.min is not None or spec.max is not None or spec.special:
            findings.refuse(f"{knob.name} is a choice of {choices}", "Give values in place of min, max and special.")
            return None
        if spec.type in ("int", "integer", "float"):
            findings.refuse(f"{knob.name} is a choice of {choices}, no {spec.type}", "Leave type out.")
            return None
        wanted = [str(value) for value in spec.values or knob.choices]
        wrong = [word for word in wanted if word not in knob.choices]
        if wrong:
            findings.refuse(f"{knob.name}: {shown(wrong[0])} is none of {choices}", _EXPLAIN % knob.name)
            return None
        return Dimension(knob.name, "choice", values=tuple(dict.fromkeys(wanted)))

    def _note(self, knob: Knob, dimension: Dimension, found: Value, findings: Findings) -> None:
        twin = self._states.get(knob.twin) if knob.twin else None
        if twin is not None and twin.value:
            findings.notes.append(
                f"This machine uses {knob.twin} ({twin.value}) in place of {knob.name}; "
                f"it is put back exactly afterwards."
            )
        elif not dimension.contains(found):
            findings.notes.append(f"{knob.name} is {found} now, outside of what is explored.")
        if knob.effect == "cold":
            findings.notes.append(f"{knob.name} acts only after a restart of the workload.")


_INTEGER = re.compile(r"-?[0-9]{1,19}")
_EXPLAIN = "`knobctl knobs %s` explains it."


def _obstacle(knob: Knob, state: KnobState | None) -> str:
    """Why the knob cannot be tuned on this machine; empty when it can."""
    if state is None or not state.present:
        return (state.reason if state else "") or "absent in this kernel"
    if not state.writable:
        return state.reason or "cannot be written here"
    if knob.kind == "integer" and not isinstance(state.value, int):
        return f"its value here is no integer: {shown(state.raw)}"
    if knob.kind == "choice" and state.value not in knob.choices:
        return f"its value here, {shown(state.value)}, is not in the catalogue"
    return ""


def _offered(asked: Dimension, state: KnobState, findings: Findings) -> Dimension:
    """The choices that this kernel offers, and always the one that was found: it is the default configuration."""
    missing = [value for value in asked.values if state.choices and value not in state.choices]
    for value in missing:
        findings.drop(f"{asked.name}={value}", "not offered by this kernel")
    values = [value for value in asked.values if value not in missing]
    if state.value is not None and state.value not in values:
        values.append(state.value)
    return Dimension(asked.name, "choice", values=tuple(values))


def as_number(value: Value) -> Value:
    """A number that a model wrote as a word, as a number; anything else unchanged."""
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else value


def _allowed(knob: Knob, low: int, high: int) -> str:
    unit = f" {knob.unit}" if knob.unit else ""
    special = f", or {' or '.join(str(value) for value in knob.special)}" if knob.special else ""
    return f"{low} to {high}{unit}{special}"
