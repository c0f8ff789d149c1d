"""Knobs and how they stand on one machine in, a table of them or the explanation of one out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from knobctl.knobs import Bound, Catalogue, Knob, KnobState
from knobctl.knobs.codec import settable
from knobctl.permanent.dropin import command_line
from knobctl.report.wording import columns, one_line

_PASTE = "set it to this"
_EFFECTS = {
    "hot": "at once",
    "warm": "on new connections or the next writeback",
    "cold": "after a restart of the workload",
}


def describe_knobs(knobs: Sequence[Knob], states: Mapping[str, KnobState], quantities: Mapping[str, int]) -> str:
    """A table: name, current value, range on this machine, unit, effect, risk, and whether it can be tuned here.

    Args:
        knobs: In the order of the table.
        states: By canonical name.
        quantities: Of the machine, for the ranges.
    """
    rows = [
        [knob.name, current(states[knob.name]), span(knob, states[knob.name], quantities), knob.unit, knob.effect,
         knob.risk, tunable(knob, states[knob.name])]
        for knob in knobs
    ]  # fmt: skip
    return "\n".join(columns(["knob", "now", "range here", "unit", "effect", "risk", "can be tuned here"], rows, ""))


def describe_knob(knob: Knob, state: KnobState, quantities: Mapping[str, int], catalogue: Catalogue) -> str:
    """Everything about one knob, ending with the lines that a person could paste."""
    facts = [
        ("now", current(state)),
        ("can be tuned", tunable(knob, state)),
        ("range here", span(knob, state, quantities)),
        ("range", _formula(knob)),
        ("unit", knob.unit),
        ("scale", knob.scale if knob.kind == "integer" else ""),
        ("special", ", ".join(str(value) for value in knob.special)),
        ("usual", "" if knob.default is None else str(knob.default)),
        ("acts", _EFFECTS[knob.effect]),
        ("risk", f"{knob.risk}{': ' if knob.risk_reason else ''}{knob.risk_reason}"),
        ("other face", f"{knob.twin} (writing one zeroes the other)" if knob.twin else ""),
        ("moves", ", ".join(knob.affects)),
        ("rules", "; ".join(_rules(knob, catalogue))),
        ("kernels", _kernels(knob)),
        ("also called", ", ".join(knob.aliases)),
        ("where", ", ".join(state.paths) or knob.path),
        ("why", knob.why),
        ("source", knob.source),
    ]
    width = len(_PASTE) + 2
    lines = [
        f"{knob.name}: {knob.summary}",
        *[f"  {name:<{width}}{one_line(text, 2000)}" for name, text in facts if text],
    ]
    inactive = bool(knob.twin) and state.value == 0  # the kernel refuses a 0 for the face that is not in use
    if state.present and state.paths and not inactive:
        line = command_line(state.paths[0], one_line(settable(state.raw), 2000))
        lines.append(f"  {_PASTE:<{width}}{line}")
        if state.paths[0].startswith("/proc/sys/"):
            lines.append(f"  {'look at it':<{width}}cat {state.paths[0]}")
    return "\n".join(lines)


def current(state: KnobState) -> str:
    """The value that the machine has; ``absent`` without one."""
    return "absent" if not state.present or state.value is None else one_line(str(state.value), 60)


def span(knob: Knob, state: KnobState, quantities: Mapping[str, int]) -> str:
    """What may be tried on this machine; ``-`` for a knob that is never tuned."""
    if knob.risk == "forbidden":
        return "-"
    if knob.kind == "choice":
        return ", ".join(state.choices or knob.choices)
    low, high = knob.range_on(quantities)
    extra = [str(value) for value in knob.special if not low <= value <= high]
    return f"{low} .. {high}" + (f", or {', '.join(extra)}" if extra else "")


def tunable(knob: Knob, state: KnobState) -> str:
    """``yes``, ``when named`` for a knob that needs the user's own word, or ``no`` with the reason."""
    if knob.risk == "forbidden":
        return f"never: {one_line(knob.risk_reason)}"
    if not state.present:
        return f"no: {one_line(state.reason) or 'this kernel does not have it'}"
    if not state.writable or state.reason:
        return f"no: {one_line(state.reason) or 'it cannot be written here'}"
    return f"when named: {one_line(knob.risk_reason)}" if knob.risk == "caution" else "yes"


def _formula(knob: Knob) -> str:
    if knob.minimum is None or knob.maximum is None:
        return ""
    if _is_fixed(knob.minimum) and _is_fixed(knob.maximum):
        return ""
    return f"{knob.minimum.describe()} .. {knob.maximum.describe()}"


def _is_fixed(bound: Bound) -> bool:
    return bound.constant is not None


def _rules(knob: Knob, catalogue: Catalogue) -> list[str]:
    signs = {"below": "<", "at_most": "<="}
    return [
        f"{rule.left} {signs[rule.kind]} {rule.right} ({rule.reason})"
        for rule in catalogue.couplings
        if knob.name in (rule.left, rule.right)
    ]


def _kernels(knob: Knob) -> str:
    since = f"since {knob.since}" if knob.since else ""
    until = f"gone in {knob.until}" if knob.until else ""
    return ", ".join(text for text in (since, until) if text)
