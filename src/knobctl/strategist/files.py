"""The playbooks' data files (TOML, one per workload) in, typed :class:`Playbook` records out.

Closed to unknown keys: a misspelt one is an error when the file is read, not a setting that silently does nothing.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from knobctl.knobs import Value
from knobctl.plan import TrainingConfig


@dataclass(frozen=True)
class WordGroup:
    """Words that speak for a playbook. The group counts once, however many of its words occur.

    Attributes:
        any: Words and phrases, as :func:`~knobctl.strategist.wording.found` reads them.
        weight: What the group adds to the playbook's score.
        required: Without this group the playbook does not fit.
        named: One of these words names the workload's software, so another product in the request is a side remark.
        hint: Name of a yes-or-no hint (``read_only``) that counts as a word of the group.
    """

    any: tuple[str, ...] = ()
    weight: int = 1
    required: bool = False
    named: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Parameter:
    """A typed hole in a command template.

    Attributes:
        name: Name of the hole: ``{clients}``.
        hints: Names of the hints that may fill it, the first one that is set wins.
        default: Value without a hint; ``cores`` stands for the machine's cores; None leaves the arguments out that
            need it.
        min: Smallest number.
        max: Largest number.
        at_most: Name of a parameter before this one that it may not exceed.
        unit: ``MiB`` for a size, which is written as ``512M`` or ``2G``; empty for everything else.
    """

    name: str
    hints: tuple[str, ...]
    default: int | str | None = None
    min: int | None = None
    max: int | None = None
    at_most: str = ""
    unit: str = ""


@dataclass(frozen=True)
class PlaybookKnob:
    """A knob that a playbook turns.

    Attributes:
        name: Canonical name in the catalogue.
        why: Why it matters for this workload.
        min: Narrower lower end, or None for the catalogue's.
        max: Narrower upper end, or None for the catalogue's.
        values: The only choices to try; empty for all that the catalogue and the kernel offer.
        cold: For a knob that acts only after a restart: why it is worth turning all the same.
    """

    name: str
    why: str
    min: int | None = None
    max: int | None = None
    values: tuple[str, ...] = ()
    cold: str = ""


@dataclass(frozen=True)
class PlaybookSuggestion:
    """A configuration that is known to help somewhere, to be tried first.

    Attributes:
        configuration: Value by knob.
        reason: What it is expected to do.
        source: Where that can be read.
    """

    configuration: Mapping[str, Value]
    reason: str
    source: str


@dataclass(frozen=True)
class PlaybookGuardrail:
    """A metric of the benchmark that must not get worse by more than ``tolerance_percent``."""

    metric: str
    tolerance_percent: float


@dataclass(frozen=True)
class Playbook:
    """Everything that knobctl knows about tuning for one kind of workload.

    Attributes:
        name: Short name, as in ``playbook:postgresql-write``.
        order: Place in lists, from 1; breaks ties.
        title: Name for people; becomes the plan's ``workload_name``.
        examples: Requests that choose it, the first in English.
        ask: The words that choose it rather than a neighbour.
        words: What speaks for it.
        excluded: Words that rule it out.
        behind: Names of the playbooks that are meant when they fit too: this one's words are a side remark there.
        tells: A command is this workload when every one of these tuples has an argument in it.
        argv: The benchmark command: arguments with ``{parameter}`` in them; an inner tuple is left out as a whole
            when its parameter has no value.
        parameters: The holes of ``argv``.
        metric: The objective.
        guardrails: What must not get worse.
        knobs: What is turned.
        state: Machine metrics that the agent observes.
        suggestions: What is tried first.
        tuned: TuneD profiles that were made for such work, the best fit first.
        training: Budget and PPO settings.
        note: What people should know about this workload; may be empty.
        unnamed: What people should know when they named no product; may be empty.
        throwaway: What people should know when they named no server; may be empty.
    """

    name: str
    order: int
    title: str
    examples: tuple[str, ...]
    ask: str
    words: tuple[WordGroup, ...]
    excluded: tuple[str, ...]
    behind: tuple[str, ...]
    tells: tuple[tuple[str, ...], ...]
    argv: tuple[str | tuple[str, ...], ...]
    parameters: tuple[Parameter, ...]
    metric: str
    guardrails: tuple[PlaybookGuardrail, ...]
    knobs: tuple[PlaybookKnob, ...]
    state: tuple[str, ...]
    suggestions: tuple[PlaybookSuggestion, ...]
    tuned: tuple[str, ...]
    training: TrainingConfig
    note: str = ""
    unnamed: str = ""
    throwaway: str = ""

    @property
    def program(self) -> str:
        """The benchmark tool."""
        return str(self.argv[0])

    @property
    def kind(self) -> tuple[str, ...]:
        """The benchmark tool, with the test that it runs when it knows several."""
        words = [word for word in self.argv[:2] if isinstance(word, str) and not word.startswith("-")]
        return tuple(words)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Playbook:
        """Builds a playbook from a decoded data file.

        Raises:
            ValueError: A key is unknown or missing.
        """
        if unknown := set(document) - set(_KEYS):
            raise ValueError(f"{document.get('name', '?')}: unknown key {', '.join(sorted(unknown))}")
        try:
            command = dict(document["command"])
            return cls(
                name=document["name"],
                order=document["order"],
                title=document["title"],
                examples=tuple(document["examples"]),
                ask=document["ask"],
                words=tuple(WordGroup(**_tuples(table, "any")) for table in document["words"]),
                excluded=tuple(document.get("excluded", ())),
                behind=tuple(document.get("behind", ())),
                tells=tuple(tuple(alternatives) for alternatives in command.pop("tells")),
                argv=tuple(tuple(part) if isinstance(part, list) else part for part in command.pop("argv")),
                parameters=tuple(_parameter(name, table) for name, table in command.items()),
                metric=document["metric"],
                guardrails=tuple(PlaybookGuardrail(**table) for table in document.get("guardrail", ())),
                knobs=tuple(PlaybookKnob(**_tuples(table, "values")) for table in document["knob"]),
                state=tuple(document["state"]),
                suggestions=tuple(PlaybookSuggestion(**table) for table in document.get("suggestion", ())),
                tuned=tuple(document.get("tuned", ())),
                training=TrainingConfig(**document.get("training", {})),
                note=document.get("note", ""),
                unnamed=document.get("unnamed", ""),
                throwaway=document.get("throwaway", ""),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{document.get('name', '?')}: {error}") from None


@dataclass(frozen=True)
class Unsupported:
    """Something that people tune, that knobctl knows by name and has no playbook for.

    Attributes:
        title: Its name.
        words: Words that mean it.
        advice: What can be done instead.
    """

    title: str
    words: tuple[str, ...]
    advice: str


@dataclass(frozen=True)
class Intents:
    """Words about what is wanted rather than about a workload.

    Attributes:
        tuning: Somebody wants something faster.
        questions: Somebody asks for knowledge, unless they also want something faster.
        deeds: Somebody wants a deed that knobctl does not do, unless they also want something faster.
        never: Somebody wants something that knobctl does not do, whatever else they say.
        beside_database: Words that stand beside “database” without being the name of one.
        unsupported: Software and hardware without a playbook.
    """

    tuning: tuple[str, ...]
    questions: tuple[str, ...]
    deeds: tuple[str, ...]
    never: tuple[str, ...]
    beside_database: frozenset[str]
    unsupported: tuple[Unsupported, ...]


_KEYS = (
    *(
        "name",
        "order",
        "title",
        "examples",
        "ask",
        "note",
        "unnamed",
        "throwaway",
        "words",
        "excluded",
        "behind",
        "command",
        "metric",
        "tuned",
    ),
    *("guardrail", "knob", "state", "suggestion", "training"),
)


@functools.cache
def playbooks() -> tuple[Playbook, ...]:
    """The playbooks that ship with knobctl, in the order in which people see them. Read once per process."""
    folder = resources.files("knobctl.strategist") / "playbooks"
    documents = [
        tomllib.loads(file.read_text(encoding="utf-8")) for file in folder.iterdir() if file.name.endswith(".toml")
    ]
    return tuple(sorted(map(Playbook.from_document, documents), key=lambda playbook: playbook.order))


@functools.cache
def intents() -> Intents:
    """The words of ``intents.toml``. Read once per process."""
    text = (resources.files("knobctl.strategist") / "intents.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    return Intents(
        tuning=tuple(document["tuning"]),
        questions=tuple(document["questions"]),
        deeds=tuple(document["deeds"]),
        never=tuple(document["never"]),
        beside_database=frozenset(document["beside_database"]),
        unsupported=tuple(Unsupported(**_tuples(table, "words")) for table in document["unsupported"]),
    )


def _parameter(name: str, table: Mapping[str, Any]) -> Parameter:
    values = _tuples(table, "hints")
    return Parameter(name=name, hints=values.pop("hints", (name,)), **values)


def _tuples(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: tuple(value) if name == key else value for name, value in table.items()}
