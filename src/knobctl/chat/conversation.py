"""A person's words in, turn by turn; what knobctl does about them out.

Control words and answers are read by code alone. Everything else is a request, and a language model, where there is
one, says what it is about. No word of a model answers a question or starts an action.
"""

from __future__ import annotations

from knobctl import planning
from knobctl.chat import changing, trying
from knobctl.chat.answers import Context, abilities, explain
from knobctl.chat.dialogue import Dialogue, Left, Terminal
from knobctl.chat.presenting import present
from knobctl.chat.words import Control, Word, answer, control, topic
from knobctl.errors import KnobctlError, ModelError, RestoreIncomplete, StoreError, UsageError
from knobctl.knobs import UnknownKnob
from knobctl.llm.base import LanguageModel
from knobctl.measure import Verdict
from knobctl.report.knob_view import describe_knob, describe_knobs
from knobctl.report.session_view import session_line
from knobctl.report.status_view import describe_status, read_status
from knobctl.report.summary import next_step, summarize, verdict_lines
from knobctl.report.wording import SIMULATED, one_line
from knobctl.safety import SafePlan
from knobctl.settings import Settings
from knobctl.store import Result, Store
from knobctl.strategist.model_strategist import ModelStrategist
from knobctl.strategist.understanding import Intent, Understanding
from knobctl.target import Target
from knobctl.target.local import LocalTarget

PROMPT = "knobctl> "
LEAVE = "Type quit to leave."
STOPPED = "Stopped; nothing was changed."
WHOLE = "Say report for the whole result."
_SHOWN_SESSIONS = 10

HELP = """\
Say what this machine should be fast at. The plan is shown first, and nothing is touched without your yes.
Ask why, or about a knob, at any time. These words work by themselves, in English or Chinese:
  help (帮助)         this
  status (状态)       what is applied, and how the last run ended
  sessions (会话)     the latest runs; report [SESSION] shows one
  knobs [NAME]        the knobs that can be tuned here, or everything about one
  apply (永久生效)    make the last proven change permanent, after a question; apply SESSION for another one
  rollback (回滚)     undo the last apply, after a question
  restore (恢复)      put back what a run left that was cut off, after a question
  quit (退出)         leave; Ctrl-C stops what is going on"""


class Conversation:
    """One conversation about one machine.

    Args:
        target: The machine; it is closed by whoever opened it.
        store: The record of sessions and conversations; None when it cannot be written, and then nothing is run.
        model: Understands, plans and explains; None for the built-in playbook.
        settings: How plans are run.
        terminal: Where the user sits.
        required: Plans are made by the model or not at all.
    """

    def __init__(
        self,
        target: Target,
        store: Store | None,
        model: LanguageModel | None,
        settings: Settings,
        terminal: Terminal,
        *,
        required: bool = False,
    ) -> None:
        self._target = target
        self._workdir = target.workdir if isinstance(target, LocalTarget) else ""
        self._store = store
        self._model = model
        self._required = required
        self._dialogue = Dialogue(terminal, store, model.name if model else "")
        self._trying = trying.Trying(
            target, store, model, settings, self._dialogue, required=required, explain=self._explain
        )
        self._result: Result | None = None

    def hold(self) -> None:
        """Talks until the user leaves.

        Raises:
            RestoreIncomplete: A knob is not back: look now.
            Interrupted: The conversation was ended from outside; the machine was restored.
        """
        self._greet()
        try:
            while True:
                try:
                    self._dialogue.end_turn()
                    self._take_turn()
                except KeyboardInterrupt:
                    self._dialogue.say(STOPPED)
                except RestoreIncomplete:
                    raise
                except KnobctlError as error:
                    self._dialogue.explain(error)
        except Left:
            if self._model is not None and self._model.usage.requests:
                self._dialogue.say(planning.describe_usage(self._model))
        finally:
            self._dialogue.end()

    def _greet(self) -> None:
        label = f"{SIMULATED} machine {self._target.name}: " if self._target.simulated else ""
        who = (
            f"{one_line(self._model.name, 80)} understands and plans."
            if self._model
            else "The built-in playbook plans; name a model with --model."
        )
        self._dialogue.say(
            f"{label}Say what should be fast, such as: optimize this system for a PostgreSQL database\n"
            f"{who} help says more, quit leaves."
        )

    def _take_turn(self) -> None:
        try:
            words = self._dialogue.listen(PROMPT)
        except KeyboardInterrupt:
            self._dialogue.say(LEAVE)
            return
        if not words:
            return
        asked = control(words)
        if asked is not None:
            self._obey(asked)
        elif answer(words) is not None:
            self._dialogue.say("Nothing was asked. Say what should be fast, or help.")
        else:
            self._consider(words)

    def _obey(self, asked: Control) -> None:
        match asked.word:
            case Word.QUIT:
                raise Left
            case Word.HELP:
                self._dialogue.say(f"{HELP}\n\n{abilities()}")
            case Word.STATUS:
                self._say_status()
            case Word.SESSIONS:
                self._say_sessions()
            case Word.REPORT:
                self._say_report(asked.argument or "last")
            case Word.KNOBS:
                self._say_knobs(asked.argument)
            case Word.APPLY:
                reference = asked.argument or (self._result.session_id if self._result else "last")
                changing.apply(self._record().session(reference), self._target, self._dialogue)
            case Word.ROLLBACK:
                changing.rollback(self._target, self._dialogue)
            case Word.RESTORE:
                changing.restore(self._target, self._dialogue)

    def _consider(self, words: str) -> None:
        """Does what a request is about."""
        understood: Understanding | None = None
        if self._model is not None:
            try:
                understood = self._understand(words, self._model)
            except ModelError as error:
                if self._required:
                    raise
                self._dialogue.say(f"The model could not be used: {error.message}. The built-in way goes on.")
        match understood.intent if understood else topic(words, self._target.catalogue):
            case Intent.OPTIMIZE:
                self._try_out(words, understood)
            case Intent.EXPLAIN:
                self._explain(words, None)
            case Intent.STATUS:
                self._say_status()
            case Intent.OTHER:
                thought = one_line(understood.thought) if understood else ""
                said = "\n".join(filter(None, (f"“{thought}”" if thought else "", abilities())))
                self._dialogue.say(said, told=said)

    def _understand(self, words: str, model: LanguageModel) -> Understanding:
        with self._dialogue.showing() as tell:
            strategist = ModelStrategist(model, tell=tell, past=self._past, history=self._dialogue.history)
            facts, states = self._target.facts(), self._target.probe()
            return strategist.understand(words, facts, states, self._target.catalogue)

    def _try_out(self, words: str, understood: Understanding | None) -> None:
        result = self._trying.try_out(words, understood)
        if result is None:
            return
        self._result = result
        self._present(result, words)
        if result.verdict is Verdict.IMPROVED and not result.simulated:
            changing.apply(self._record().session(result.session_id), self._target, self._dialogue)

    def _present(self, result: Result, request: str) -> None:
        """The built-in summary; with a model its verdict at once, and what the model makes of the record below it."""
        if self._model is None:
            self._dialogue.say(f"\n{summarize(result, self._workdir)}\n")
            return
        verdict = "\n".join(verdict_lines(result))
        code_says = f"{verdict}\n{next_step(result, self._workdir)}"
        self._dialogue.say(f"\n{code_says}\n", told=verdict)
        with self._dialogue.showing() as tell:
            said = present(result, self._model, tell, request=request, workdir=self._workdir)
        rest = said.removeprefix(code_says)
        words = "" if rest == said else rest.strip()  # else it is the summary, which names the work folder
        self._dialogue.say(f"{rest.strip()}\n\n{WHOLE}\n", told=words)

    def _explain(self, question: str, plan: SafePlan | None) -> None:
        context = Context(
            facts=self._target.facts(),
            states=self._target.probe(),
            catalogue=self._target.catalogue,
            result=self._result or self._last_result(),
            plan=plan,
            past=self._past,
        )
        with self._dialogue.showing() as tell:
            said = explain(question, context, self._model, tell, self._dialogue.history)
        self._dialogue.say(said, told=said)

    def _say_status(self) -> None:
        if isinstance(self._target, LocalTarget):
            status = "\n".join(describe_status(read_status(self._target)))
        else:
            status = f"{self._target.name} is a simulation: nothing is applied to it, and no run is going on"
        self._dialogue.say(status, told=f"(shown: {Word.STATUS})")

    def _say_sessions(self) -> None:
        records = self._record().sessions(_SHOWN_SESSIONS)
        self._dialogue.say("\n".join(map(session_line, records)) or "no session is recorded yet")

    def _say_report(self, reference: str) -> None:
        record = self._record().session(reference)
        if record.result is None:
            self._dialogue.say(
                f"session {record.id} ({one_line(record.workload)}) is {record.status}: {record.reason or 'no result'}"
            )
            return
        self._result = record.result
        same_disk = record.facts.disk == self._target.facts().disk
        self._dialogue.say(summarize(record.result, self._workdir if same_disk else ""))

    def _say_knobs(self, name: str) -> None:
        catalogue, quantities = self._target.catalogue, self._target.facts().quantities
        try:
            knobs = catalogue.matching(name) if name else list(catalogue)
        except UnknownKnob as unknown:
            close = f"Close: {', '.join(unknown.suggestions)}." if unknown.suggestions else "knobs lists all."
            raise UsageError(f"unknown knob {one_line(name, 80)!r}", close) from None
        states = self._target.probe([knob.name for knob in knobs])
        if name and len(knobs) == 1:
            self._dialogue.say(describe_knob(knobs[0], states[knobs[0].name], quantities, catalogue))
            return
        shown = [knob for knob in knobs if name or states[knob.name].writable]
        if not shown:
            raise UsageError(f"no knob matches {one_line(name, 80)!r}", "knobs lists all.")
        self._dialogue.say(describe_knobs(shown, states, quantities))

    def _record(self) -> Store:
        if self._store is None:
            raise StoreError("there is no record of sessions: it cannot be opened", "See `knobctl doctor`.")
        return self._store

    def _past(self, words: str) -> str:
        return planning.past_sessions(self._store, words) if self._store is not None else ""

    def _last_result(self) -> Result | None:
        """Of the latest finished session on this target."""
        records = self._store.sessions(_SHOWN_SESSIONS) if self._store is not None else ()
        return next((each.result for each in records if each.result and each.target == self._target.name), None)
