"""The strategist with a language model: it thinks, decides and proposes; code repairs, checks, and falls back.

A reply that cannot be used goes back to the model with the reason, a bounded number of times. Then the playbook makes
the plan, and the proposal says so.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from knobctl.errors import ModelError, RequestNotUnderstood, UsageError
from knobctl.events import EventSink
from knobctl.knobs import Catalogue, Knob, KnobState
from knobctl.llm.base import ATTEMPTS, LanguageModel, Turn
from knobctl.plan import TrainingConfig
from knobctl.plan_text import describe
from knobctl.safety.command import words_of
from knobctl.safety.findings import Findings
from knobctl.strategist import actions
from knobctl.strategist.base import Proposal, TuningRequest
from knobctl.strategist.brief import Brief
from knobctl.strategist.choice import Choice, Reading, read_choice
from knobctl.strategist.command import given, parse_command, render
from knobctl.strategist.draft_schema import draft_schema
from knobctl.strategist.files import Playbook, playbooks
from knobctl.strategist.knob_table import shortlist
from knobctl.strategist.playbook import PlaybookStrategist, measure, training
from knobctl.strategist.prompt import get_optimization_strategy_prompt, metrics_of
from knobctl.strategist.repair import Repaired, repair
from knobctl.strategist.reply import read_object
from knobctl.strategist.request import read_request
from knobctl.strategist.toolbox import Past, toolbox
from knobctl.strategist.understanding import Intent, Understanding, understand
from knobctl.target import HostFacts

_NOT_TUNING = {
    Intent.EXPLAIN: ("asks for an explanation", "Ask it in `knobctl chat`, or see `knobctl knobs NAME`."),
    Intent.STATUS: ("asks for the state of things", "See `knobctl status`, `knobctl sessions` and `knobctl doctor`."),
    Intent.OTHER: (
        "is nothing that knobctl does",
        "knobctl tunes a machine for a workload; `knobctl workloads` lists them.",
    ),
}


_PLANNER = "You are an expert Linux administrator. Answer with exactly one JSON object."


class ModelStrategist:
    """Asks a language model for the plan.

    Args:
        model: The model.
        tell: Hears every request, thought, call, observation, answer and refusal.
        past: Finds past sessions.
        required: Never fall back: without a usable plan of the model, raise.
        history: Earlier turns of the conversation.
        understood: What :meth:`understand` made of the very request that will be proposed for; it need not think twice.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        tell: EventSink,
        past: Past = lambda words: "",
        required: bool = False,
        history: Sequence[Turn] = (),
        understood: Understanding | None = None,
    ) -> None:
        self._model = model
        self._tell = tell
        self._past = past
        self._required = required
        self._history = tuple(history)
        self._understood = understood
        self._playbooks = PlaybookStrategist()

    def understand(
        self, text: str, facts: HostFacts, states: Mapping[str, KnobState], catalogue: Catalogue
    ) -> Understanding:
        """What the words ask for; nothing is planned yet.

        Raises:
            ModelError: The model could not be used.
            UsageError: The words are too long.
        """
        hints = read_request(text)
        brief = Brief(TuningRequest(text), hints, None, "", facts, states, catalogue)
        return self._understand(brief, read_choice(hints, (), False), asked_to_tune=False)

    def propose(
        self, request: TuningRequest, facts: HostFacts, states: Mapping[str, KnobState], catalogue: Catalogue
    ) -> Proposal:
        """A plan for this request: the model's, or the playbook's with a note that says why.

        Raises:
            RequestNotUnderstood: Neither the model nor the words say which workload is meant, or they ask for
                something else than an optimization.
            UsageError: An option cannot be satisfied; the model is not asked then.
            ModelError: The model made no usable plan, and the strategist must not fall back.
        """
        hints = read_request(request.text)
        typed = () if request.command is None else _typed(request.command)
        reading = read_choice(hints, typed, bool(request.knobs))
        if reading.hopeless:
            raise RequestNotUnderstood(reading.problem, reading.hint)
        if reading.choice is not None and reading.choice.playbook is None:
            return self._playbooks.propose(request, facts, states, catalogue)  # the user chose command and knobs
        brief = Brief(request, hints, None, "", facts, states, catalogue)
        _check_options(brief, reading, typed)
        try:
            understood = self._understood or self._understand(brief, reading, asked_to_tune=True)
            if understood.playbook is None:
                what, hint = _NOT_TUNING[understood.intent]
                raise RequestNotUnderstood(f"the request {what}: {understood.thought or request.text[:80]}", hint)
            return self._plan(brief, reading, understood, understood.playbook)
        except ModelError as error:
            if self._required:
                raise
            return self._fall_back(error, brief)

    def _understand(self, brief: Brief, reading: Reading, *, asked_to_tune: bool) -> Understanding:
        looked_at: list[str] = []
        tools = toolbox(brief.facts, brief.states, brief.catalogue, self._past, looked_at.append)
        understood = understand(
            self._model,
            brief.request.text,
            brief.hints,
            reading,
            tools,
            tell=self._tell,
            history=self._history,
            asked_to_tune=asked_to_tune,
        )
        return replace(understood, looked_at=tuple(dict.fromkeys(looked_at)))

    def _plan(self, brief: Brief, reading: Reading, understood: Understanding, playbook: Playbook) -> Proposal:
        request, facts, states = brief.request, brief.facts, brief.states
        if request.command is None:
            command = render(playbook, brief.hints, facts)
        else:
            command = given(request.command, brief.hints)
        metrics = metrics_of(command.text, request)
        prompt = get_optimization_strategy_prompt(
            request.text,
            facts,
            states,
            brief.catalogue,
            playbook=playbook,
            command=command.text,
            metrics=metrics,
            looked_at=understood.looked_at,
        )
        knobs = shortlist(playbook, facts, states, brief.catalogue, understood.looked_at)
        repaired = self._model.answer(
            _PLANNER,
            prompt,
            schema=draft_schema(knobs, states, metrics),
            read=_reader(replace(brief, playbook=playbook, command=command.text)),
            tell=self._tell,
            history=self._history,
        )
        thought = (f"The model: “{understood.thought}”",) if understood.thought else ()
        words = (
            reading.choice if reading.choice is not None and reading.choice.playbook is playbook else Choice(None, ())
        )
        return Proposal(
            plan=repaired.plan,
            source=f"model:{self._model.name}",
            why=(*words.why, *thought, *repaired.why, *command.why),
            dropped=repaired.dropped,
            notes=tuple(
                dict.fromkeys(
                    (
                        *words.notes,
                        *brief.hints.notes,
                        *command.notes,
                        *repaired.notes,
                        *_left_out(playbook, knobs, repaired, request),
                    )
                )
            ),
        )

    def _fall_back(self, error: ModelError, brief: Brief) -> Proposal:
        try:
            proposal = self._playbooks.propose(brief.request, brief.facts, brief.states, brief.catalogue)
        except RequestNotUnderstood as unclear:
            message = f"{unclear.message}; and the model could not help: {error.message}"
            raise RequestNotUnderstood(message, unclear.hint) from error
        note = f"The model made no usable plan ({error.message}); the built-in playbook made this one."
        return replace(proposal, notes=(note, *proposal.notes))


def _left_out(playbook: Playbook, offered: Sequence[Knob], repaired: Repaired, request: TuningRequest) -> Iterator[str]:
    """What the playbook would turn and the model did not choose; silent when the user chose the knobs."""
    chosen = {action.param for action in repaired.plan.action_space}
    dropped = {what for what, _ in repaired.dropped}
    on_offer = {knob.name for knob in offered} - chosen - dropped
    left = [entry.name for entry in playbook.knobs if entry.name in on_offer]
    if left and not request.knobs:
        yield f"The built-in playbook would turn these too: {', '.join(left)}."


def _typed(command: str) -> tuple[str, ...]:
    """The words of the user's own command; what is wrong with it is not the model's to mend."""
    findings = Findings()
    parse_command(command)
    words = words_of("--command", command, findings)
    findings.stop_if_any()
    return words


def _check_options(brief: Brief, reading: Reading, typed: Sequence[str]) -> None:
    """Makes sure that the options can be satisfied, as far as that shows before the workload is decided on.

    Raises:
        UsageError: One cannot, whichever of the workloads is meant that the words allow.
    """
    request = brief.request
    if request.knobs:
        actions.from_names(request.knobs, brief.facts, brief.states, brief.catalogue)
    try:
        TrainingConfig.model_validate(training(None, request))
    except ValidationError as error:
        problem = describe(error.errors(include_url=False), {})
        raise UsageError(problem, "Give another --budget, or another --seed.") from None
    problems = []
    for playbook in (*reading.candidates, *(each for each in playbooks() if reading.allows(each, brief.hints))):
        try:
            measure(typed or shlex.split(render(playbook, brief.hints, brief.facts).text), request, playbook)
            return
        except UsageError as error:
            problems.append(error)
    if problems:
        raise problems[0]


def _reader(brief: Brief) -> Callable[[str], Repaired]:
    """Reads one answer after another; for the last one, good knobs are kept even when the command is not good."""
    left = ATTEMPTS

    def read(reply: str) -> Repaired:
        nonlocal left
        left -= 1
        return repair(read_object(reply), brief, last=left == 0)

    return read
