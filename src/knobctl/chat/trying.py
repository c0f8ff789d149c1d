"""A request in; a plan that is shown, the user's own yes to exactly that plan, and the result of its run out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from knobctl import pipeline, planning, tools
from knobctl.chat.dialogue import Dialogue
from knobctl.chat.words import Answer, almost, answer, combined, control, topic, wishes
from knobctl.errors import ConsentMissing, Interrupted, KnobctlError, RestoreIncomplete, StoreError, UsageError
from knobctl.knobs import Catalogue
from knobctl.llm.base import LanguageModel
from knobctl.plan import TuningPlan, parse_plan
from knobctl.report.plan_view import describe_plan
from knobctl.safety import Consent, SafePlan
from knobctl.settings import Settings
from knobctl.store import Result, Store
from knobctl.strategist import Proposal, TuningRequest
from knobctl.strategist.understanding import Intent, Understanding
from knobctl.target import Target

NOTHING = "Nothing was changed."
STOPPED = "The run was stopped; every knob has the value that was found."


@dataclass(frozen=True)
class Ready:
    """What the user is asked about, and what runs when they say yes.

    Attributes:
        text: The plan as JSON; exactly this text runs.
        plan: The same, validated.
        consent: What else the user has agreed to.
        settings: How to run it.
    """

    text: str
    plan: SafePlan
    consent: Consent
    settings: Settings


class Trying:
    """Tries out on a machine what somebody asks for; nothing is touched without a literal yes.

    Args:
        target: The machine.
        store: The record; a run needs one.
        model: Makes the plans; None for the playbook.
        settings: How to run them.
        required: A plan of the playbook is no substitute for the model's.
        dialogue: With the user.
        explain: Answers a question about the plan that is being talked about.
    """

    def __init__(
        self,
        target: Target,
        store: Store | None,
        model: LanguageModel | None,
        settings: Settings,
        dialogue: Dialogue,
        *,
        required: bool,
        explain: Callable[[str, SafePlan], None],
    ) -> None:
        self._target = target
        self._store = store
        self._model = model
        self._settings = settings
        self._dialogue = dialogue
        self._required = required
        self._explain = explain

    def try_out(self, request: str, understood: Understanding | None) -> Result | None:
        """Plans, asks, and runs what was agreed to. None when nothing was run.

        Args:
            request: The user's words.
            understood: What the model made of them; None when the playbook plans.

        Raises:
            KnobctlError: There is no plan, or it could not be run; the machine is as it was, unless it is
                :class:`RestoreIncomplete`.
        """
        if self._store is None:
            raise StoreError("a run needs the record of sessions, and that cannot be written", "See `knobctl doctor`.")
        said = [request]
        model = None if understood is None else self._model
        while True:
            ready = self._prepare(said, self._store, model, understood if len(said) == 1 else None)
            if ready is None:
                return None
            change = self._ask(ready.plan)
            if change is None:
                return self._run(ready, combined(said))
            if not change:
                self._dialogue.say(NOTHING, told=NOTHING)
                return None
            said.insert(0, change)

    def _prepare(
        self, said: Sequence[str], store: Store, model: LanguageModel | None, understood: Understanding | None
    ) -> Ready | None:
        """The plan for what was said, shown; None when the user does not consent to its command."""
        wanted = wishes(said, self._target.catalogue)
        # The strategist made the command, nobody typed it: its runs may be made longer, as those of `tune`.
        settings = replace(self._settings, budget=wanted.budget or self._settings.budget, lengthen=True)
        asked = TuningRequest(combined(said), knobs=wanted.only, budget=settings.budget, seed=settings.seed)
        proposal = self._plan(asked, store, model, understood).proposal
        text = without_knobs(proposal.plan, wanted.without, self._target.catalogue).to_json()
        plan = parse_plan(text)
        consent = self._consent(plan, Consent(knobs=wanted.named))
        if consent is None:
            return None
        ready = Ready(text, pipeline.validate(plan, self._target, consent), consent, settings)
        self._show(ready, proposal)
        return ready

    def _plan(
        self, asked: TuningRequest, store: Store, model: LanguageModel | None, understood: Understanding | None
    ) -> planning.Planned:
        if model is None:
            return planning.plan_by_playbook(asked, self._target)
        with self._dialogue.viewing() as emit:  # planning itself puts the model's steps on record
            return planning.plan(
                asked, self._target, store, model, emit, required=self._required, history=self._dialogue.history,
                understood=understood, conversation=self._dialogue.key,
            )  # fmt: skip

    def _consent(self, plan: TuningPlan, consent: Consent) -> Consent | None:
        """What the user agrees to; asks about a command that needs their own word. None when they do not agree."""
        try:
            pipeline.validate(plan, self._target, consent)
        except ConsentMissing as missing:
            self._dialogue.say(missing.message)
            # Shown whole, passwords too: nobody can agree to exactly what they do not see.
            self._dialogue.show_whole(f"The plan wants to run, as an ordinary user:\n  {plan.benchmark_command}")
            if plan.reset_command:
                self._dialogue.show_whole(f"and before each trial:\n  {plan.reset_command}")
            if not self._dialogue.confirm("Run exactly this?"):
                self._dialogue.say(NOTHING, told=NOTHING)
                return None
            return replace(consent, command=plan.benchmark_command, reset_command=plan.reset_command)
        return consent

    def _show(self, ready: Ready, proposal: Proposal) -> None:
        runs, seconds = pipeline.estimate(ready.plan, ready.settings)
        said = (proposal.source, proposal.why, proposal.dropped, proposal.notes)
        shown = describe_plan(ready.plan, *said, runs=runs, seconds=seconds, simulated=self._target.simulated)
        self._dialogue.say(f"\n{shown}\n", told=shown)

    def _ask(self, plan: SafePlan) -> str | None:
        """None for a yes, nothing for a no, else what is to be changed."""
        where = "a simulated machine" if self._target.simulated else "this machine"
        while True:
            words = self._dialogue.ask(f"Try these knobs on {where}? [y/N, or say what to change] ")
            said = answer(words)
            if said is not None or not words:
                return None if said is Answer.YES else ""
            if almost(words):
                self._dialogue.say("Please answer yes or no.")
            elif control(words) is not None:
                self._dialogue.say("First this question: yes, no, or what the plan should do otherwise.")
            elif topic(words, self._target.catalogue) is Intent.EXPLAIN:
                self._explain(words, plan)
            else:
                return words

    def _run(self, ready: Ready, request: str) -> Result | None:
        with self._dialogue.viewing() as emit:
            answered = tools.optimize_workload(
                ready.text, target=self._target, settings=ready.settings, consent=ready.consent, approved=ready.text,
                emit=emit, request=request, conversation=self._dialogue.key,
            )  # fmt: skip
        document = json.loads(answered)
        if "verdict" in document:
            return Result.from_dict(document)
        if document["exit_code"] == Interrupted.exit_code:
            self._dialogue.say(STOPPED, told=STOPPED)
            return None
        raise _refusal(document)


def without_knobs(plan: TuningPlan, names: frozenset[str], catalogue: Catalogue) -> TuningPlan:
    """The plan without these knobs.

    Raises:
        UsageError: Nothing is left.
    """

    def stays(name: str) -> bool:
        knob = catalogue.find(name)
        return knob is None or knob.name not in names

    actions = tuple(action for action in plan.action_space if stays(action.param))
    if not actions:
        raise UsageError(f"nothing is left to tune without {', '.join(sorted(names))}", "Leave out fewer knobs.")
    guesses = [
        guess.model_copy(update={"configuration": {k: v for k, v in guess.configuration.items() if stays(k)}})
        for guess in plan.suggestions
    ]
    left = tuple(guess for guess in guesses if guess.configuration)
    return plan.model_copy(update={"action_space": actions, "suggestions": left})


def _refusal(document: dict[str, Any]) -> KnobctlError:
    kind = RestoreIncomplete if document["exit_code"] == RestoreIncomplete.exit_code else KnobctlError
    return kind(document["error"], document["hint"])
