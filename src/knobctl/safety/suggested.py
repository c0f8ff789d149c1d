"""The plan's suggestions in, configurations inside the search space out; what does not fit is dropped.

A suggestion is no more than a trial that is played early. Who made it decides nothing: searcher and model see its score
like any other, and it has to prove itself like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from knobctl.knobs import Catalogue, Coupling, Value
from knobctl.plan import Suggestion
from knobctl.plan_text import shown
from knobctl.safety.findings import Findings
from knobctl.safety.limits import as_number
from knobctl.safety.safe_plan import SafeSuggestion, TunedKnob, repaired

SHARE = 4
"""One trial in so many of the budget is a suggestion, at most."""


def most_played(budget: int) -> int:
    """So many suggestions are played in a search with this budget, however many there are; never less than one."""
    return max(1, budget // SHARE)


def usable(
    suggestions: Sequence[Suggestion],
    catalogue: Catalogue,
    knobs: Sequence[TunedKnob],
    couplings: Sequence[Coupling],
    fixed: Mapping[str, Value],
    findings: Findings,
) -> tuple[SafeSuggestion, ...]:
    """The suggestions that can be tried, repaired; each holds the knobs that differ from the default configuration.

    Several that are the same after the repair are one, with the reasons of all.
    """
    default = {knob.knob.name: knob.found for knob in knobs}
    kept: list[SafeSuggestion] = []
    for number, suggestion in enumerate(suggestions, 1):
        configuration, obstacle = _resolve(suggestion, catalogue, knobs)
        if not obstacle:
            complete = repaired({**default, **configuration}, knobs, couplings, fixed)
            changed = {name: value for name, value in complete.items() if value != default[name]}
            same = next((index for index, other in enumerate(kept) if other.configuration == changed), None)
            if not changed:
                obstacle = "it is the default configuration"
            elif same is None:
                kept.append(SafeSuggestion(changed, suggestion.reason))
            elif suggestion.reason not in kept[same].reason:
                kept[same] = replace(kept[same], reason=f"{kept[same].reason} {suggestion.reason}".strip())
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
