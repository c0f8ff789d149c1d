"""What a model writes as its action space in, knobs that may be tuned on this machine out; the rest with its reason.

A name is repaired when it can only mean one knob, a value when it can only mean one number. Nothing is spelled right
by guessing, and no range leaves what is safe here.
"""

from __future__ import annotations

import fnmatch
import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from knobctl.knobs import Catalogue, Knob, UnknownKnob, Value
from knobctl.plan import ActionSpec
from knobctl.plan_text import shown
from knobctl.strategist import actions
from knobctl.strategist.brief import Brief
from knobctl.strategist.files import PlaybookKnob
from knobctl.strategist.repair_values import bounds, is_unit, whole
from knobctl.strategist.reply import by_meaning, one_line, plan_key

MOST_KNOBS = 16
"""Knobs of one plan: as many as a search of some tens of trials can tell apart."""

MOST_ENTRIES = 100
"""Entries of one list of a model that are read at all."""

_NAME, _WORDS = 80, 300

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "name": ("param", "parameter", "name", "knob", "key", "sysctl", "kernel_parameter", "setting", "tunable", "path"),
    "min": ("min", "minimum", "min_value", "low", "lower", "lower_bound", "lower_limit", "from"),
    "max": ("max", "maximum", "max_value", "high", "upper", "upper_bound", "upper_limit", "to"),
    "range": ("range", "bounds", "interval", "value_range", "limits"),
    "values": ("values", "choices", "options", "enum", "categories", "candidates", "allowed_values", "possible_values"),
    "value": (
        *("value", "recommended", "recommended_value", "suggested", "suggested_value", "target", "optimal"),
        *("default", "default_value"),
    ),
    "unit": ("unit", "units"),
    "scale": ("scale",),
    "description": ("description", "reason", "why", "rationale", "explanation", "comment"),
}
_SWITCH = {"on": 1, "off": 0, "true": 1, "false": 0, "yes": 1, "no": 0, "enabled": 1, "disabled": 0}
_AROUND = " \t`'\"“”‘’*:;,"
_COLD = "acts only after the workload is restarted, which this benchmark does not do"


@dataclass(frozen=True)
class RepairedKnobs:
    """The action space that a model meant.

    Attributes:
        specs: One entry per knob, in the model's order.
        recommended: Values that the model gave in place of a range or beside it, by knob; not checked against a range.
        dropped: (what the model wrote, why it is not used).
        notes: What was changed, one sentence each.
    """

    specs: tuple[ActionSpec, ...]
    recommended: Mapping[str, Value]
    dropped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def repair_knobs(raw: Any, brief: Brief) -> RepairedKnobs:
    """What can be used of an action space, whatever it is; never raises."""
    chosen: dict[str, Knob] = {}
    specs: dict[str, ActionSpec] = {}
    recommended: dict[str, Value] = {}
    dropped: dict[str, str] = {}
    notes: list[str] = []
    for place, (name, fields) in enumerate(entries(raw, brief.catalogue)):
        if place == MOST_ENTRIES:
            notes.append(f"Only the first {MOST_ENTRIES} entries of the action space were read.")
            break
        knob, value = find_knob(name, brief.catalogue)
        reason = _unusable(name, knob, brief)
        if knob is None or reason:
            dropped.setdefault(knob.name if knob else one_line(name, _NAME) or "an entry without a name", reason)
        elif knob.name in chosen:
            notes.append(f"{knob.name} stands twice; the first entry is used.")
        else:
            asked = _Asked(knob, brief, {"value": value, **fields} if value else fields)
            chosen[knob.name] = knob
            specs[knob.name] = asked.spec()
            notes += asked.notes
            if asked.value is not None:
                recommended[knob.name] = asked.value
    actions.one_face(chosen, set(), brief.states, dropped)
    dropped.update(dict.fromkeys(list(chosen)[MOST_KNOBS:], f"only the first {MOST_KNOBS} knobs are used"))
    kept = list(chosen)[:MOST_KNOBS]
    return RepairedKnobs(
        specs=tuple(specs[name] for name in kept),
        recommended={name: value for name, value in recommended.items() if name in kept},
        dropped=tuple(dropped.items()),
        notes=tuple(notes),
    )


def find_knob(name: str, catalogue: Catalogue) -> tuple[Knob | None, str]:
    """The knob that a model means, and the value behind a ``=``; None when the name means none or more than one."""
    text = re.sub(r"^(?:sudo\s+)?sysctl\s+(?:-w\s+)?", "", one_line(name, 200).strip(_AROUND))
    text, _, value = (part.strip(_AROUND) for part in text.partition("="))
    if match := re.match(r"/?proc[./]sys[./](.+)", text):
        text = match.group(1)
    elif match := re.match(r"/?sys([./])(.+)", text):
        text = "/sys/" + (match.group(2).replace(".", "/") if match.group(1) == "." else match.group(2))
    knob = catalogue.find(text)
    if knob is None and text:
        ending = f".{_even(text)}"
        alike = [name for name, dotted in _dotted(catalogue) if dotted.endswith(ending)]
        knob = catalogue[alike[0]] if len(alike) == 1 else None
    return knob, value


def value_for(knob: Knob, raw: Any, brief: Brief, spoken: str = "") -> Value | None:
    """The value of a knob that a model means; None when there is none.

    Args:
        knob: A knob that can be tuned here.
        raw: What the model wrote.
        brief: The machine.
        spoken: Unit of numbers that bring none.
    """
    if knob.kind == "choice":
        word = str(raw).strip(" []'\"").lower() if isinstance(raw, str | int) else ""
        return next((each for each in actions.offered(knob, brief.states[knob.name]) if each.lower() == word), None)
    if knob.range_on(brief.facts.quantities) == (0, 1):
        raw = _SWITCH.get(str(raw).strip().lower(), raw)
    return whole(raw, knob.unit, spoken)


def application_of(name: str) -> str:
    """The application, or applications, that have a setting of this name; empty when none is known."""
    wanted = _even(name.strip(_AROUND))
    titles = [
        title
        for title, prefixes, settings in _applications()
        if any(wanted.startswith(f"{prefix}.") for prefix in prefixes)
        or any(fnmatch.fnmatchcase(wanted, setting) for setting in settings)
    ]
    return " or ".join(titles)


@functools.cache
def _applications() -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
    text = (resources.files("knobctl.strategist") / "applications.toml").read_text(encoding="utf-8")
    return tuple(
        (each["title"], tuple(each["prefixes"]), tuple(each["settings"])) for each in tomllib.loads(text)["application"]
    )


@functools.lru_cache(maxsize=4)
def _dotted(catalogue: Catalogue) -> tuple[tuple[str, str], ...]:
    return tuple((knob.name, f".{_even(knob.name)}") for knob in catalogue)


def _even(name: str) -> str:
    return name.lower().replace("/", ".").replace("-", "_")


def _unusable(name: str, knob: Knob | None, brief: Brief) -> str:
    """Why an entry of this name cannot be used; empty when it can."""
    if knob is None:
        plain = one_line(name, _NAME)
        if application := application_of(plain.partition("=")[0]):
            return f"is a setting of {application}, not of the kernel"
        return f"no such kernel knob{_did_you_mean(plain, brief.catalogue)}"
    if knob.risk == "forbidden":
        return f"never tuned: {knob.risk_reason}"
    if knob.risk == "caution":
        return f"tuned only when you name it: --knobs {knob.name}"
    if reason := actions.useless(knob, brief.facts, brief.states):
        return reason
    entry = _playbook_knob(knob, brief)
    return _COLD if knob.effect == "cold" and not (entry and entry.cold) else ""


def _did_you_mean(name: str, catalogue: Catalogue) -> str:
    try:
        return f"; did you mean {catalogue[name].name}?"
    except UnknownKnob as unknown:
        close = [each for each in unknown.suggestions if catalogue[each].risk == "safe"]
        return f"; did you mean {close[0]}?" if close else ""


def _playbook_knob(knob: Knob, brief: Brief) -> PlaybookKnob | None:
    return next((each for each in brief.playbook.knobs if each.name == knob.name), None) if brief.playbook else None


def entries(raw: Any, catalogue: Catalogue, depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, fields) of everything in an action space, or in a configuration, that could be a knob."""
    if isinstance(raw, str):
        yield from ((name, {}) for name in re.split(r"[,;\n]+", raw) if name.strip())
    elif isinstance(raw, list):
        for each in raw:
            if isinstance(each, list) and each and isinstance(each[0], str):
                yield each[0], {"values": each[1:]} if each[1:] else {}
            elif isinstance(each, list) or depth > 2:
                yield one_line(shown(each), _NAME), {}
            else:
                yield from entries(each, catalogue, depth + 1)
    elif isinstance(raw, Mapping):
        fields, _ = by_meaning(raw, _FIELDS)
        if isinstance(fields.get("name"), str):
            yield fields.pop("name"), fields
        else:
            for key, value in raw.items():
                yield from _named(key, value, catalogue, depth)
    elif raw is not None:
        yield shown(raw), {}


def _named(key: str, value: Any, catalogue: Catalogue, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """An entry whose name is a key: ``{"vm.swappiness": [0, 60]}``; or a group of such entries."""
    known = find_knob(key, catalogue)[0] is not None
    if not isinstance(value, Mapping):
        group = isinstance(value, list) and not known and (plan_key(key) or any(isinstance(x, dict) for x in value))
        if group and depth < 2:
            yield from entries(value, catalogue, depth + 1)
        else:
            yield key, {} if value is None else {"values" if isinstance(value, list) else "value": value}
        return
    fields, rest = by_meaning(value, _FIELDS)
    if known or depth > 2 or not value or (fields and len(rest) < len(value)):
        yield key, fields
        return
    for inner, each in value.items():
        whole_name = f"{key}.{inner}"
        full = find_knob(whole_name, catalogue)[0] is not None
        yield from _named(whole_name if full else inner, each, catalogue, depth + 1)


@dataclass
class _Asked:
    """What one entry asks of one knob, read field by field."""

    knob: Knob
    brief: Brief
    fields: Mapping[str, Any]
    value: Value | None = None
    notes: list[str] = field(default_factory=list)

    def spec(self) -> ActionSpec:
        """The entry of the plan; sets ``value`` and ``notes``."""
        default = _playbook_knob(self.knob, self.brief) or PlaybookKnob(self.knob.name, self.knob.why)
        said = self.fields.get("description")
        why = (one_line(said, _WORDS) if isinstance(said, str) else "") or default.why
        if self.knob.kind == "choice":
            values = self._choices() or default.values
            return self._made(PlaybookKnob(self.knob.name, why, values=values))
        low, high = self._inside_what_is_safe(*self._ends())
        if low is None and high is None:
            low, high = default.min, default.max
        spec = self._made(PlaybookKnob(self.knob.name, why, low, high))
        scale = self.fields.get("scale")
        if scale in ("linear", "log") and scale != self.knob.scale:
            return spec.model_copy(update={"scale": scale})
        return spec

    def _made(self, entry: PlaybookKnob) -> ActionSpec:
        return actions.spec_of(self.knob, entry, self.brief.facts, self.brief.states)

    def _listed(self) -> list[Any]:
        """Everything that the entry lists: under ``values``, as a range, or as text with several words."""
        listed = self.fields.get("values")
        if isinstance(listed, str):
            return list(bounds(listed) or re.split(r"[\s,|/]+", listed.strip(" []")))
        return listed if isinstance(listed, list) else []

    def _choices(self) -> tuple[str, ...]:
        if any(name in self.fields for name in ("min", "max")):
            self.notes.append(f"{self.knob.name} is a choice, so min and max are not used.")
        listed = self._listed()
        single = self.fields.get("value")
        self.value = value_for(self.knob, single, self.brief)
        if self.value is None and single is not None:
            listed = listed or (re.split(r"[\s,|/]+", single) if isinstance(single, str) else [single])
        kept = []
        for raw in listed:
            value = value_for(self.knob, raw, self.brief)
            if isinstance(value, str):
                kept.append(value)
            else:
                self.notes.append(f"{self.knob.name}: {shown(raw)} is not offered here.")
        kept = list(dict.fromkeys(kept))
        if len(kept) == 1 and self.value is None:
            self.value = kept[0]
        return tuple(kept) if len(kept) > 1 else ()

    def _ends(self) -> tuple[int | None, int | None]:
        """The ends of the range that is asked for, in order; None for an end that is not given or not understood."""
        fields = dict(self.fields)
        span = fields.get("range")
        if isinstance(span, Mapping):
            fields = {**by_meaning(span, {name: _FIELDS[name] for name in ("min", "max")})[0], **fields}
        elif span is not None:
            self._spread(fields, span)
        if "value" in fields and bounds(fields["value"]):
            self._spread(fields, fields.pop("value"))
        if "value" in fields:
            number = self._number("value", fields["value"])
            self.value = number
        low = self._number("min", fields["min"]) if fields.get("min") is not None else None
        high = self._number("max", fields["max"]) if fields.get("max") is not None else None
        if low is None and high is None:
            listed = [number for raw in self._listed() if (number := self._number("value", raw)) is not None]
            low, high = (min(listed), max(listed)) if listed else (None, None)
        if low is None or high is None:
            return low, high
        if low > high:
            self.notes.append(f"{self.knob.name}: min {low} and max {high} were swapped.")
            low, high = high, low
        if low == high:
            self.value = low if self.value is None else self.value
            return None, None
        return low, high

    def _spread(self, fields: dict[str, Any], span: Any) -> None:
        ends = bounds(span)
        if ends is None:
            self.notes.append(f"{self.knob.name}: range {shown(span)} is not understood.")
            return
        for name, end in zip(("min", "max"), ends, strict=True):
            fields.setdefault(name, end)

    def _number(self, what: str, raw: Any) -> int | None:
        unit = self.fields.get("unit")
        spoken = unit if isinstance(unit, str) and is_unit(unit) else ""
        value = value_for(self.knob, raw, self.brief, spoken)
        if isinstance(value, int):
            return value
        self.notes.append(f"{self.knob.name}: {what} {shown(raw)} is not understood.")
        return None

    def _inside_what_is_safe(self, low: int | None, high: int | None) -> tuple[int | None, int | None]:
        if low is None and high is None:
            return None, None
        safe_low, safe_high = self.knob.range_on(self.brief.facts.quantities)
        asked_low, asked_high = safe_low if low is None else low, safe_high if high is None else high
        kept_low, kept_high = max(asked_low, safe_low), min(asked_high, safe_high)
        what = f"{self.knob.name}: {shown(asked_low)} to {shown(asked_high)}"
        if kept_low >= kept_high:
            self.notes.append(f"{what} is outside of what is safe here; {safe_low} to {safe_high} is explored.")
            return safe_low, safe_high
        unsafe = [end for end in (asked_low, asked_high) if not safe_low <= end <= safe_high]
        if any(end not in self.knob.special for end in unsafe):
            self.notes.append(f"{what} is more than what is safe here; {kept_low} to {kept_high} is explored.")
        return kept_low, kept_high
