"""Knobs and how they stand on one machine in, lines that a language model can read out; only what can be tuned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from knobctl.knobs import Catalogue, Knob, KnobState, UnknownKnob
from knobctl.strategist.actions import offered, without_effect
from knobctl.strategist.files import Playbook
from knobctl.strategist.reply import one_line
from knobctl.target import HostFacts

SHORTLIST = 24
"""Knobs in one prompt: as many as a small model can hold beside everything else."""

_MOST_ROWS = 40
_LONGEST_VALUE = 80


def tunable(knob: Knob, states: Mapping[str, KnobState] | None) -> bool:
    """Whether a plan may turn it without being asked; every safe knob when nothing is known about the machine."""
    if knob.risk != "safe":
        return False
    if states is None:
        return True
    state = states.get(knob.name)
    return state is not None and state.present and state.writable


def areas(catalogue: Catalogue, states: Mapping[str, KnobState] | None) -> dict[str, int]:
    """Areas (``vm``, ``net.ipv4``) with the number of tunable knobs in each, in catalogue order."""
    return dict(Counter(area_of(knob) for knob in catalogue if tunable(knob, states)))


def area_of(knob: Knob) -> str:
    """The area of a knob: the beginning of its name."""
    first, _, rest = knob.name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first == "net" else first


def in_area(area: str, catalogue: Catalogue, states: Mapping[str, KnobState] | None) -> tuple[Knob, ...]:
    """The tunable knobs of an area, of all areas that begin like it (``net``), or whose name begins so."""
    wanted = area.lower().rstrip(".*")
    if not wanted:
        return ()
    exact = [knob for knob in catalogue if tunable(knob, states) and area_of(knob) == wanted]
    alike = [knob for knob in catalogue if tunable(knob, states) and knob.name.startswith(wanted)]
    return tuple((exact or alike)[:_MOST_ROWS])


def shortlist(
    playbook: Playbook,
    facts: HostFacts | None,
    states: Mapping[str, KnobState] | None,
    catalogue: Catalogue,
    also: Collection[str] = (),
    limit: int = SHORTLIST,
) -> tuple[Knob, ...]:
    """The knobs to offer for a workload: those of its playbook, those in ``also``, then their neighbours.

    No neighbour is a knob that acts only after a restart, one of swap on a machine without swap, or the face of a
    setting whose other face is in force.
    """
    usable = {knob.name: knob for knob in catalogue if tunable(knob, states)}
    own = [usable[entry.name] for entry in playbook.knobs if entry.name in usable]
    asked = [usable[name] for name in also if name in usable]
    near = Counter(area_of(knob) for knob in own)
    others = [
        knob
        for knob in usable.values()
        if near[area_of(knob)]
        and knob.effect != "cold"
        and (facts is None or not without_effect(knob, facts))
        and not (knob.twin and _is_off(knob, states))
    ]
    others.sort(key=lambda knob: -near[area_of(knob)])  # stable: catalogue order within an area
    chosen = dict.fromkeys((*own, *asked, *others))
    return tuple(chosen)[: max(limit, len(dict.fromkeys((*own, *asked))))]


def table(
    knobs: Iterable[Knob],
    facts: HostFacts | None,
    states: Mapping[str, KnobState] | None,
    playbook: Playbook | None = None,
) -> Iterator[str]:
    """One line per knob: name, range or choices, current value, what it is (and why it matters for the workload)."""
    reasons = {entry.name: entry.why for entry in playbook.knobs} if playbook else {}
    for knob in knobs:
        state = None if states is None else states.get(knob.name)
        value = "unknown" if state is None or state.value is None else one_line(str(state.value), _LONGEST_VALUE)
        cold = " (cold)" if knob.effect == "cold" else ""
        meaning = f"{knob.summary}{cold}"
        if knob.name in reasons:
            meaning += f" Matters here: {reasons[knob.name]}"
        yield f"{knob.name} | {span(knob, facts, state)} | {value} | {meaning}"


def span(knob: Knob, facts: HostFacts | None, state: KnobState | None) -> str:
    """The safe range with its unit, or the choices that the kernel offers."""
    if knob.kind == "choice":
        return " ".join(offered(knob, state))
    if facts is not None:
        low, high = knob.range_on(facts.quantities)
        text = f"{low} to {high}"
    else:
        ends = [bound.describe() for bound in (knob.minimum, knob.maximum) if bound is not None]
        text = " to ".join(ends)
    return f"{text} {knob.unit}".rstrip()


def explain(
    name: str, facts: HostFacts, states: Mapping[str, KnobState], catalogue: Catalogue
) -> tuple[str, str | None]:
    """Everything about a knob in words, and its canonical name when a plan may turn it."""
    try:
        knob = catalogue[name]
    except UnknownKnob as unknown:
        close = f" Close: {', '.join(unknown.suggestions)}." if unknown.suggestions else ""
        return f"There is no kernel knob {name[:80]!r} that knobctl knows.{close}", None
    state = states.get(knob.name)
    lines = [f"{knob.name}: {knob.summary}", knob.why]
    if knob.risk == "forbidden":
        return "\n".join([*lines, f"Never tuned: {knob.risk_reason}"]), None
    if state is None or not state.present:
        return "\n".join([*lines, "This kernel does not have it."]), None
    now = one_line(str(state.value), _LONGEST_VALUE)
    lines.append(f"Range {span(knob, facts, state)}; now {now}; acts {knob.effect}.")
    if knob.risk == "caution":
        lines.append(f"Tuned only when the user names it: {knob.risk_reason}")
    lines.append(f"Source: {knob.source}")
    return "\n".join(lines), knob.name if tunable(knob, states) else None


def _is_off(knob: Knob, states: Mapping[str, KnobState] | None) -> bool:
    state = states.get(knob.name) if states else None
    return state is None or not state.value
