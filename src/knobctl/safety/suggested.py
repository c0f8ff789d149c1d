"""The plan's suggestions in, configurations inside the search space out; what does not fit is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from knobctl.knobs import Catalogue, Coupling, Value
from knobctl.plan import Suggestion
from knobctl.plan_text import shown
from knobctl.safety.findings import Findings
from knobctl.safety.limits import as_number
from knobctl.safety.safe_plan import SafeSuggestion, TunedKnob, repaired


def usable(
    suggestions: Sequence[Suggestion],
    catalogue: Catalogue,
    knobs: Sequence[TunedKnob],
    couplings: Sequence[Coupling],
    fixed: Mapping[str, Value],
    findings: Findings,
) -> tuple[SafeSuggestion, ...]:
    """The suggestions that can be tried, repaired; each holds the knobs that differ from the default configuration."""
    default = {knob.knob.name: knob.found for knob in knobs}
    kept: list[SafeSuggestion] = []
    for number, suggestion in enumerate(suggestions, 1):
        configuration, obstacle = _resolve(suggestion, catalogue, knobs)
        if not obstacle:
            complete = repaired({**default, **configuration}, knobs, couplings, fixed)
            changed = {name: value for name, value in complete.items() if value != default[name]}
            if not changed:
                obstacle = "it is the default configuration"
            elif any(changed == other.configuration for other in kept):
                obstacle = "it is the same as an earlier one"
            else:
                kept.append(SafeSuggestion(changed, suggestion.reason))
        if obstacle:
            findings.drop(f"suggestion {number}", obstacle)
    return tuple(kept)


def _resolve(suggestion: Suggestion, catalogue: Catalogue, knobs: Sequence[TunedKnob]) -> tuple[dict[str, Value], str]:
    dimensions = {knob.knob.name: knob.dimension for knob in knobs}
    configuration: dict[str, Value] = {}
    for name, raw in suggestion.configuration.items():
        knob = catalogue.find(name)
        if knob is None or knob.name not in dimensions:
            return {}, f"{shown(name)} is not tuned here"
        value = as_number(raw) if knob.kind == "integer" else str(raw)
        if not dimensions[knob.name].contains(value):
            return {}, f"{knob.name}={shown(value)} is outside of what is explored"
        configuration[knob.name] = value
    return configuration, ""
