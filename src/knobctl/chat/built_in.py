"""A question and what is known in, knobctl's own answer out, which needs no language model.

It is made of the knobs that the question names, as the catalogue and the record know them, and of the texts of
``answers.toml`` that its words choose, with the record's own figures in them.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from knobctl.chat.figure_text import plain
from knobctl.knobs import Catalogue, Knob, KnobState, UnknownKnob, Value
from knobctl.measure.verdict import Verdict
from knobctl.report.knob_view import describe_knob
from knobctl.report.summary import next_step, verdict_lines
from knobctl.report.wording import SIMULATED, assignments, better, duration, one_line, percent, score
from knobctl.safety import SafePlan
from knobctl.store import Result
from knobctl.strategist.files import playbooks
from knobctl.strategist.knob_table import tunable
from knobctl.strategist.prompt import machine_lines
from knobctl.strategist.repair_knobs import find_knob
from knobctl.strategist.wording import found
from knobctl.target import HostFacts

_MOST_KNOBS = 3
_MOST_TOPICS = 2
_LONGEST_NAME = 4
"""Words of a knob's name that is written with blanks."""

_WORD = re.compile(r"[A-Za-z0-9_./\[\]-]+")


@dataclass(frozen=True)
class Context:
    """What an explanation may speak of.

    Attributes:
        facts: The machine.
        states: How each knob stands on it, by canonical name.
        catalogue: The knobs.
        result: Of the last run; None before the first one.
        plan: That is being talked about, not yet run; None without one.
        past: Words to what earlier sessions found, as text.
    """

    facts: HostFacts
    states: Mapping[str, KnobState]
    catalogue: Catalogue
    result: Result | None
    plan: SafePlan | None
    past: Callable[[str], str]


@dataclass(frozen=True)
class _Topic:
    name: str
    words: tuple[str, ...]
    text: str
    record: str = ""
    without: str = ""


@dataclass(frozen=True)
class Answer:
    """A built-in answer.

    Attributes:
        text: For people.
        own: The part of it that nobody but knobctl wrote, which can vouch for a figure.
        shares: Numbers in it that are percentages without saying so: values of knobs whose unit is a percent.
    """

    text: str
    own: str
    shares: tuple[Value, ...] = ()


def abilities() -> str:
    """What can be said in a conversation, beside its control words; without a trailing newline."""
    examples = "\n".join(f"  {playbook.examples[0]}" for playbook in playbooks())
    return str(_document()["abilities"]["text"]).format(examples=examples).strip()


def built_in(question: str, context: Context) -> Answer:
    """The answer; when nothing in the question is known, what can be asked."""
    knobs, strangers, rest = _named(plain(question), context.catalogue)
    text, own, shares = [], [], list[Value]()
    for knob in knobs[:_MOST_KNOBS]:
        described, quoted = _knob(knob, context)
        text.append("\n".join([*described, *quoted]))
        own.append("\n".join(described))
        shares += _shares(knob, context)
    own += strangers
    text += strangers
    values = _values(context)
    for topic in _chosen(rest)[: 1 if text else _MOST_TOPICS]:
        said = _said(topic, values)
        text.append(said)
        own.append(said)
    if not text:
        text.append(str(_document()["other"]["text"]).strip())
    return Answer("\n\n".join(text), "\n\n".join(own), tuple(shares))


def _named(question: str, catalogue: Catalogue) -> tuple[list[Knob], list[str], str]:
    """The knobs that a question names, sentences about names that are no knob, and the rest of the question."""
    words = [match for match in _WORD.finditer(question) if match.group(0).strip("./-")]
    names = [match.group(0).rstrip("./-").lower() for match in words]
    areas = {knob.name.partition(".")[0] for knob in catalogue}
    knobs: dict[str, Knob] = {}
    strangers = []
    rest, place = question, 0
    while place < len(names):
        size, knob = next(
            (
                (size, knob)
                for size in range(min(_LONGEST_NAME, len(names) - place), 0, -1)
                if (knob := _knob_of(names[place : place + size], catalogue)) is not None
            ),
            (1, None),
        )
        start, end = words[place].start(), words[place + size - 1].end()
        if knob is not None:
            knobs[knob.name] = knob
            rest = rest[:start] + " " * (end - start) + rest[end:]
        elif "." in names[place] and names[place].partition(".")[0] in areas:
            strangers.append(_stranger(names[place], catalogue))
        place += size
    return list(knobs.values()), strangers, rest


def _knob_of(words: Sequence[str], catalogue: Catalogue) -> Knob | None:
    """``vm.dirty_ratio``, ``dirty_ratio``, ``dirty ratio``, ``read ahead``, ``transparent huge pages``."""
    spellings = ["_".join(words)]
    if len(words) > 1:
        spellings += ["".join(words), "_".join([*words[:-2], words[-2] + words[-1]])]
    for name in spellings:
        if name not in _document()["everyday"]:
            # A last part that looks like an everyday word names no knob by itself.
            knob = find_knob(name, catalogue)[0] if "_" in name else catalogue.find(name)
            if knob is not None:
                return knob
    return None


def _stranger(name: str, catalogue: Catalogue) -> str:
    try:
        return catalogue[name].name
    except UnknownKnob as unknown:
        close = f" Close: {', '.join(unknown.suggestions)}." if unknown.suggestions else ""
        return f"There is no kernel knob {one_line(name, 80)} that knobctl knows.{close}"


def _knob(knob: Knob, context: Context) -> tuple[list[str], list[str]]:
    """What knobctl knows about a knob, and what a plan that others may have written says about it."""
    state = context.states.get(knob.name) or KnobState(knob.name, present=False, writable=False)
    described = [describe_knob(knob, state, context.facts.quantities, context.catalogue), *_found(knob, context.result)]
    quoted = []
    if context.plan is not None:
        described += _planned(knob, context.plan)
        quoted = list(_reasons(knob, context.plan, context.catalogue))
    return described, quoted


def _shares(knob: Knob, context: Context) -> Iterator[Value]:
    if knob.unit == "percent":
        state = context.states.get(knob.name)
        yield from (value for value in (knob.default, state.value if state else None) if value is not None)
        if knob.risk != "forbidden":
            yield from knob.range_on(context.facts.quantities)


def _found(knob: Knob, result: Result | None) -> Iterator[str]:
    if result is None:
        return
    where = f"  {f'{SIMULATED} ' if result.simulated else ''}last run ({one_line(result.session_id, 40)}):"
    for change in result.knobs:
        if change.name == knob.name:
            step = f"{one_line(str(change.found))} -> {one_line(str(change.candidate))} {change.unit}".rstrip()
            if result.verdict is Verdict.IMPROVED:
                yield f"{where} {step}, part of the proven change"
            else:
                why = f"the verdict is {result.verdict.value} ({one_line(result.reason).rstrip('.')})"
                yield f"{where} {step} was tried; {why}, so it is not recommended"
            return
    yield f"{where} no value but the one that was found was proposed for it"


def _planned(knob: Knob, plan: SafePlan) -> Iterator[str]:
    for tuned in plan.knobs:
        if tuned.knob.name == knob.name:
            span = ", ".join(map(str, tuned.dimension.values)) or f"{tuned.dimension.low} .. {tuned.dimension.high}"
            yield f"  this plan: tries {one_line(span, 120)}; found {one_line(str(tuned.found))}; put back in the end"
            return
    yield "  this plan: does not turn it"


def _reasons(knob: Knob, plan: SafePlan, catalogue: Catalogue) -> Iterator[str]:
    for action in plan.plan.action_space:
        if action.description and catalogue.find(action.param) is knob:
            yield f"  the plan's reason: {one_line(action.description)}"
    for guess in plan.suggestions:
        if knob.name in guess.configuration and guess.reason:
            value = one_line(str(guess.configuration[knob.name]))
            yield f"  first guess: {value} ({one_line(guess.reason)})"
    for what, why in plan.dropped:
        if catalogue.find(what) is knob:
            yield f"  left out: {one_line(why)}"


def _chosen(question: str) -> list[_Topic]:
    """The topics that the words of a question choose, those with the most and longest words first."""
    scored = [(sum(map(len, found(topic.words, question))), topic) for topic in _topics()]
    return [topic for length, topic in sorted(scored, key=lambda pair: -pair[0]) if length]


def _said(topic: _Topic, values: Mapping[str, str]) -> str:
    text = topic.text.strip().format_map(values)
    try:
        record = topic.record.format_map(values)
    except KeyError:
        record = topic.without
    return "\n".join(part for part in (text, record) if part)


def _values(context: Context) -> dict[str, str]:
    """What the braces of the texts stand for; without what is not known."""
    known = sum(tunable(knob, context.states) for knob in context.catalogue)
    values: dict[str, str | None] = {
        "machine": "\n".join(f"  {one_line(line)}" for line in machine_lines(context.facts)),
        "knobs": str(known),
    }
    result = context.result
    if result is not None:
        interval, noise, smallest = result.improvement_interval, result.noise_percent, result.smallest_percent
        label = f"{SIMULATED} " if result.simulated else ""
        restored = "every knob has the value that was found" if result.restored else "NOT EVERY KNOB IS BACK"
        values |= {
            "verdict": f"{label}{result.verdict.value}",
            "reason": one_line(result.reason, 2000).rstrip("."),
            "headline": "\n".join(verdict_lines(result)),
            "improvement": percent(result.improvement) if result.pairs else None,
            "interval": interval and f"{label}{percent(interval[0])} to {percent(interval[1])}, the 95 % interval",
            "pairs": f"{result.pairs} fresh interleaved pair{'' if result.pairs == 1 else 's'}"
            if result.pairs
            else None,
            "noise": None if noise is None else f"{noise:.1f} %",
            "smallest": "nothing" if smallest is None else f"gains from about {percent(smallest).lstrip('+')}",
            "claimed": None if result.claimed_by_search is None else percent(result.claimed_by_search),
            "guardrails": "; ".join(f"{one.outcome}: {one_line(one.reason)}" for one in result.guardrails),
            "trials": f"{result.trials} run{'' if result.trials == 1 else 's'}",
            "seconds": duration(result.seconds),
            "benchmark_seconds": duration(result.benchmark_seconds),
            "searcher": one_line(result.searcher, 40),
            "metric": one_line(result.metric, 100),
            "better": better(result.direction),
            "baseline": None if result.baseline_score is None else score(result.baseline_score, result.unit),
            "change": assignments(result.candidate_config) if result.candidate_config else "nothing new was proposed",
            "next_step": next_step(result),
            "restored": restored,
            "restored_sentence": f"{restored[:1].upper()}{restored[1:]}.",
        }
    return {name: value for name, value in values.items() if value}


@functools.cache
def _document() -> dict[str, Any]:
    text = (resources.files("knobctl.chat") / "answers.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@functools.cache
def _topics() -> tuple[_Topic, ...]:
    return tuple(_Topic(**{**table, "words": tuple(table["words"])}) for table in _document()["topic"])
