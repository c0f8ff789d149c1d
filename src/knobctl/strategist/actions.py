"""Which knobs are turned and how far: a playbook's list or the user's own in, the plan's action space out.

A knob that this machine does not have, cannot write or cannot feel is left out with a reason. A range never leaves the
catalogue's safe range on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knobctl.errors import UsageError
from knobctl.knobs import Catalogue, Knob, KnobState, UnknownKnob
from knobctl.plan import ActionSpec, Suggestion
from knobctl.strategist.files import Playbook, PlaybookKnob
from knobctl.target import HostFacts

_NEEDS_SWAP = ("vm.swappiness", "vm.page-cluster", "swap.vma_ra_enabled")


@dataclass(frozen=True)
class Actions:
    """The action space of a plan.

    Attributes:
        specs: One entry per knob, in order.
        dropped: (knob, why) of what was left out.
        notes: What people should know, one sentence each.
    """

    specs: tuple[ActionSpec, ...]
    dropped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def from_playbook(
    playbook: Playbook, facts: HostFacts, states: Mapping[str, KnobState], catalogue: Catalogue
) -> Actions:
    """The playbook's knobs, as far as they can be tuned here.

    Raises:
        UsageError: None of them can.
    """
    specs, dropped = [], []
    for entry in playbook.knobs:
        knob = catalogue.find(entry.name)
        if knob is None or knob.risk != "safe":
            dropped.append((entry.name, "the catalogue does not offer it for free tuning"))
        elif reason := useless(knob, facts, states):
            dropped.append((knob.name, reason))
        else:
            specs.append(spec_of(knob, entry, facts, states))
    if not specs:
        raise UsageError(
            f"none of the {len(dropped)} knobs of playbook {playbook.name} can be tuned on this machine: "
            + "; ".join(f"{name}: {reason}" for name, reason in dropped[:3]),
            "`knobctl knobs` shows what can be tuned here; name knobs of your own with --knobs.",
        )
    return Actions(tuple(specs), tuple(dropped))


def from_names(
    patterns: Sequence[str], facts: HostFacts, states: Mapping[str, KnobState], catalogue: Catalogue
) -> Actions:
    """Exactly the knobs that the user named. A pattern stands for the safe ones that can be tuned here.

    Raises:
        UsageError: A name is unknown or forbidden, a knob that was named cannot be tuned here, a pattern matches
            nothing, or two names are faces of one setting.
    """
    chosen: dict[str, Knob] = {}
    named: set[str] = set()
    dropped: dict[str, str] = {}
    for pattern in (word.strip() for entry in patterns for word in entry.split(",") if word.strip()):
        if any(mark in pattern for mark in "*?"):
            if (exact := catalogue.find(pattern)) is None:
                _expand(pattern.lower(), facts, states, catalogue, chosen, dropped)
                continue
            pattern = exact.name
        knob = _named(pattern, states, catalogue)
        chosen[knob.name] = knob
        named.add(knob.name)
    one_face(chosen, named, states, dropped)
    if not chosen:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(dropped.items())[:3])
        raise UsageError(
            f"no knob that can be tuned freely here matches {', '.join(patterns)!r}"
            + (f" ({reasons})" if reasons else ""),
            "`knobctl knobs` lists the knobs.",
        )
    notes = [
        f"{name}: {reason}." for name in chosen if name in named and (reason := without_effect(chosen[name], facts))
    ]
    notes += [
        f"{knob.name} is tuned because you named it: {knob.risk_reason}" for knob in chosen.values() if knob.risk_reason
    ]
    specs = tuple(spec_of(knob, PlaybookKnob(knob.name, knob.why), facts, states) for knob in chosen.values())
    return Actions(specs, tuple((name, why) for name, why in dropped.items() if name not in chosen), tuple(notes))


def suggestions(
    playbook: Playbook, specs: Sequence[ActionSpec], states: Mapping[str, KnobState]
) -> tuple[Suggestion, ...]:
    """The playbook's suggestions, as far as they lie inside the action space and would change something."""
    by_name = {spec.param: spec for spec in specs}
    kept: list[Suggestion] = []
    for suggestion in playbook.suggestions:
        configuration = {
            name: value
            for name, value in suggestion.configuration.items()
            if name in by_name and inside(by_name[name], value)
        }
        changes = any(states[name].value != value for name, value in configuration.items())
        if changes and all(configuration != earlier.configuration for earlier in kept):
            reason = f"Playbook {playbook.name}: {suggestion.reason} Source: {suggestion.source}."
            kept.append(Suggestion(configuration=configuration, reason=reason))
    return tuple(kept)


def _named(name: str, states: Mapping[str, KnobState], catalogue: Catalogue) -> Knob:
    try:
        knob = catalogue[name]
    except UnknownKnob as error:
        close = f"Did you mean {', '.join(error.suggestions)}? " if error.suggestions else ""
        raise UsageError(f"unknown knob {name[:80]!r}", f"{close}`knobctl knobs` lists the knobs.") from None
    if knob.risk == "forbidden":
        raise UsageError(
            f"{knob.name} is never tuned: {knob.risk_reason}", "Leave it out; `knobctl knobs` lists what can be tuned."
        )
    state = states.get(knob.name)
    if reason := _untunable(knob, state):
        raise UsageError(f"{knob.name} cannot be tuned on this machine: {reason}", "Leave it out of --knobs.")
    return knob


def _expand(
    pattern: str,
    facts: HostFacts,
    states: Mapping[str, KnobState],
    catalogue: Catalogue,
    chosen: dict[str, Knob],
    dropped: dict[str, str],
) -> None:
    for knob in catalogue.matching(pattern):
        if knob.risk == "forbidden":
            continue
        if knob.risk == "caution":
            dropped.setdefault(knob.name, f"tuned only when it is named exactly: {knob.risk_reason}")
        elif reason := useless(knob, facts, states):
            dropped.setdefault(knob.name, reason)
        else:
            chosen.setdefault(knob.name, knob)


def one_face(
    chosen: dict[str, Knob], named: set[str], states: Mapping[str, KnobState], dropped: dict[str, str]
) -> None:
    """Leaves one of each pair of twins in ``chosen``: the one that was named, else the one that is in force here.

    Raises:
        UsageError: Both were named.
    """
    for knob in tuple(chosen.values()):
        if knob.name not in chosen or knob.twin not in chosen:
            continue
        if knob.name in named and knob.twin in named:
            raise UsageError(
                f"{knob.name} and {knob.twin} are two faces of one setting: writing one sets the other to 0",
                "Name one of them.",
            )
        in_force = bool(states[knob.name].value)
        away = knob.twin if knob.name in named or (in_force and knob.twin not in named) else knob.name
        del chosen[away]
        dropped[away] = "the other face of a setting that is tuned already"


def _untunable(knob: Knob, state: KnobState | None) -> str:
    if state is None or not state.present:
        return (state.reason if state else "") or "this kernel does not have it"
    if not state.writable:
        return state.reason or "it cannot be written here"
    if knob.kind == "choice" and len(offered(knob, state)) < 2:
        return f"the kernel offers nothing but {state.value}"
    return ""


def without_effect(knob: Knob, facts: HostFacts) -> str:
    """Why a knob that can be tuned changes nothing on this machine; empty when it may change something."""
    if knob.name in _NEEDS_SWAP and not facts.swap_bytes:
        return "this machine has no swap, so it changes nothing"
    return ""


def useless(knob: Knob, facts: HostFacts, states: Mapping[str, KnobState]) -> str:
    """Why it is no use to tune a knob on this machine; empty when there is no reason."""
    return _untunable(knob, states.get(knob.name)) or without_effect(knob, facts)


def offered(knob: Knob, state: KnobState | None) -> tuple[str, ...]:
    """The choices of a knob that this kernel offers; all that the catalogue has when nothing is known of it."""
    there = state.choices if state is not None else ()
    return tuple(choice for choice in knob.choices if not there or choice in there)


def spec_of(knob: Knob, entry: PlaybookKnob, facts: HostFacts, states: Mapping[str, KnobState]) -> ActionSpec:
    """An entry of the action space: what is wanted of the knob, inside what is safe and offered here."""
    if knob.kind == "choice":
        choices = offered(knob, states[knob.name])
        wanted = tuple(choice for choice in choices if choice in entry.values)
        return ActionSpec(param=knob.name, values=wanted if len(wanted) > 1 else choices, description=entry.why)
    safe_low, safe_high = knob.range_on(facts.quantities)
    low = max(safe_low, entry.min if entry.min is not None else safe_low)
    high = min(safe_high, entry.max if entry.max is not None else safe_high)
    if low > high:
        low, high = safe_low, safe_high
    return ActionSpec(param=knob.name, min=low, max=high, special=knob.special, description=entry.why)


def inside(spec: ActionSpec, value: int | str) -> bool:
    """Whether a value lies in what is explored of a knob."""
    if spec.values is not None:
        return value in spec.values
    if not isinstance(value, int) or spec.min is None or spec.max is None:
        return False
    return spec.min <= value <= spec.max or value in spec.special
