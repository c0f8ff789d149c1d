"""Words to plan with everything that it takes: which strategist, with which model, and every exchange on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knobctl import pipeline
from knobctl.config import load_config
from knobctl.errors import Interrupted, KnobctlError, ModelError, UsageError
from knobctl.events import Event, EventSink, Notice
from knobctl.llm.base import LanguageModel, Turn
from knobctl.llm.choice import choose_model
from knobctl.measure import Verdict
from knobctl.report.wording import assignments, percent
from knobctl.store import SessionRecord, Store
from knobctl.strategist import PlaybookStrategist, Proposal, TuningRequest
from knobctl.strategist.model_strategist import ModelStrategist
from knobctl.strategist.understanding import Understanding
from knobctl.target import Target

_REMEMBERED = 8


@dataclass(frozen=True)
class Planned:
    """A proposal, and the conversation that led to it.

    Attributes:
        proposal: What was proposed.
        conversation: Key of the record; empty when no model was asked.
    """

    proposal: Proposal
    conversation: str


def open_strategist_model(
    strategist: str, flag: str | None, environ: Mapping[str, str], emit: EventSink
) -> LanguageModel | None:
    """The language model that was chosen; None when the playbook plans.

    Args:
        strategist: ``auto``, ``playbook`` or ``llm``.
        flag: ``provider:name`` as typed; None when it was not.
        environ: Environment variables.
        emit: Hears why a model that was chosen cannot be used.

    Raises:
        UsageError: ``llm`` without a model, a malformed choice, or a malformed configuration file.
        ModelError: The model cannot be used, and nothing else may take its place.
    """
    if strategist == "playbook":
        if flag is not None:
            raise UsageError(
                "--model with --strategist playbook: the playbook needs no model", "Leave one of them out."
            )
        return None
    try:
        choice = choose_model(flag, environ, load_config(environ))
        if choice is None:
            if strategist == "llm":
                raise UsageError(
                    "no language model was chosen",
                    "Name one with --model provider:name or KNOBCTL_MODEL, or an address with KNOBCTL_LLM_BASE_URL.",
                )
            return None
        from knobctl.llm.client import open_model

        return open_model(choice)
    except ModelError as error:
        if strategist == "llm":
            raise
        emit(Notice(f"{error.message}; the built-in playbook plans. {error.hint}".strip(), "warning"))
        return None


def plan_by_playbook(request: TuningRequest, target: Target) -> Planned:
    """Words to plan without a model. Looks at the machine, changes nothing, records nothing.

    Raises:
        RequestNotUnderstood: The words do not say which workload is meant.
        UsageError: An option cannot be satisfied.
    """
    return Planned(pipeline.propose(request, target, PlaybookStrategist()), "")


def plan(
    request: TuningRequest,
    target: Target,
    store: Store,
    model: LanguageModel,
    emit: EventSink,
    *,
    required: bool = False,
    history: Sequence[Turn] = (),
    understood: Understanding | None = None,
    conversation: str = "",
) -> Planned:
    """Words to plan with a language model. Changes nothing; what the model says is on record, whatever comes of it.

    Args:
        request: What is wanted.
        target: The machine.
        store: Keeps the conversation.
        model: The language model.
        emit: Hears every step.
        required: A plan of the playbook is no substitute for the model's.
        history: Earlier turns.
        understood: What the model made of this very request already.
        conversation: Key of the conversation that this is a part of; a new one otherwise.

    Raises:
        RequestNotUnderstood: The words do not say which workload is meant.
        UsageError: An option cannot be satisfied.
        ModelError: The model made no plan, and ``required`` is set.
        StoreError: The record cannot be written.
    """
    key = conversation or store.begin_conversation(request.text, model.name)
    save = store.conversation_sink(key)

    def tell(event: Event) -> None:
        save(event)
        emit(event)

    strategist = ModelStrategist(
        model,
        tell=tell,
        past=lambda words: past_sessions(store, words),
        required=required,
        history=history,
        understood=understood,
    )
    try:
        proposal = pipeline.propose(request, target, strategist)
    except (KnobctlError, Interrupted) as error:
        if not conversation:
            store.end_conversation(key, error.message)
        raise
    if not conversation:
        store.end_conversation(key, f"plan by {proposal.source}")
    store.check()
    return Planned(proposal, key)


def describe_usage(model: LanguageModel) -> str:
    """What a model has cost so far, in one line: answers, tokens, and dollars where the price is known."""
    usage = model.usage
    tokens = usage.input_tokens + usage.output_tokens
    dollars = "" if usage.dollars is None else f", about ${usage.dollars:.4f} at list price"
    answers = "1 answer" if usage.requests == 1 else f"{usage.requests} answers"
    return f"{model.name}: {answers}, {tokens:,} tokens{dollars}"


def past_sessions(store: Store, words: str) -> str:
    """The latest finished sessions on this machine whose workload has one of the words, one line each."""
    wanted = words.lower().split()
    found = [
        record
        for record in store.sessions(200)
        if record.result is not None and not record.simulated and _speaks_of(record, wanted)
    ]
    return "\n".join(_line(record) for record in found[:_REMEMBERED])


def _speaks_of(record: SessionRecord, wanted: Sequence[str]) -> bool:
    said = f"{record.workload} {record.request}".lower()
    return not wanted or any(word in said for word in wanted)


def _line(record: SessionRecord) -> str:
    result = record.result
    assert result is not None, "only finished sessions are listed"
    improved = result.verdict is Verdict.IMPROVED
    found = f" {percent(result.improvement)} with {assignments(result.best_config)}" if improved else ""
    return f"{record.created:%Y-%m-%d} {record.workload}: {result.verdict}{found}"
