"""What is said by both sides, through a terminal and onto the record.

:class:`Terminal` is where somebody sits; :class:`Dialogue` adds the record of the conversation, what a language model
is told of earlier turns, and the questions that only the user's own literal yes answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from knobctl.chat.words import Answer, Word, answer, control, typed
from knobctl.errors import KnobctlError, StoreError
from knobctl.events import Event, EventSink, StrategistStep
from knobctl.llm.base import Turn
from knobctl.masking import mask_secrets
from knobctl.store import Store
from knobctl.target.text import clean

MOST_TURNS = 12
MOST_CHARACTERS = 6000
_MOST_OF_A_TURN = 1500
_LEFT_OUT = "\n[...]\n"


class Terminal(Protocol):
    """Where somebody sits."""

    def ask(self, prompt: str, *, question: bool = False) -> str | None:
        """What is typed next; None when there will be no more.

        Args:
            prompt: Stands in front of the cursor.
            question: What was typed before it was asked is no answer.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            Interrupted: The conversation is ended from outside.
        """
        ...

    def say(self, text: str = "") -> None:
        """Shows text."""
        ...

    def view(self) -> AbstractContextManager[EventSink]:
        """Shows events while it is entered."""
        ...

    def uninterrupted(self) -> AbstractContextManager[None]:
        """Keeps Ctrl-C waiting while it is entered."""
        ...


class Left(Exception):
    """The user has left the conversation."""


class Dialogue:
    """A conversation at a terminal, on record from the user's first words on.

    Args:
        terminal: Where the user sits.
        store: Keeps what is said; None when there is no record.
        model: Name of the language model; empty without one.
    """

    def __init__(self, terminal: Terminal, store: Store | None, model: str) -> None:
        self._terminal = terminal
        self._store = store
        self._model = model
        self._unsaved: list[StrategistStep] = []
        self._save: EventSink | None = None
        self._words = ""
        self._told: list[str] = []
        self._turns: list[Turn] = []
        self._told_of_failure = False
        self.key = ""
        """Key of the record; empty until something was said, and without a record."""

    @property
    def history(self) -> tuple[Turn, ...]:
        """The latest complete turns, for a language model."""
        return recent(self._turns)

    def say(self, text: str = "", *, told: str = "") -> None:
        """Says something to the user.

        Args:
            text: What is shown and put on record. It may name files, folders, and whatever else is on this machine.
            told: What a language model is sent of it in later turns. It leaves this machine.
        """
        safe = mask_secrets(clean(text))
        self._terminal.say(safe)
        self.tell(StrategistStep("reply", safe))
        if told:
            self._told.append(mask_secrets(clean(told)))

    def show_whole(self, text: str) -> None:
        """Shows what the user is asked to agree to, passwords too. The record holds it masked; no model is told."""
        safe = clean(text)
        self._terminal.say(safe)
        self.tell(StrategistStep("reply", mask_secrets(safe)))

    def explain(self, error: KnobctlError) -> None:
        """Says what went wrong and what can be done about it."""
        self.say(f"{error.message}\n  hint: {error.hint}" if error.hint else error.message, told="(shown: an error)")

    def listen(self, prompt: str) -> str:
        """The user's next words; empty for an empty line.

        Raises:
            Left: There are none.
            KeyboardInterrupt: Ctrl-C.
        """
        words = self._hear(prompt, question=False)
        if words and not self._words:
            self._words = words
        return words

    def ask(self, question: str) -> str:
        """What the user answers; empty for an empty line.

        Raises:
            Left: The user leaves instead.
            KeyboardInterrupt: Ctrl-C.
        """
        self.tell(StrategistStep("reply", question))
        words = self._hear(question, question=True)
        asked = control(words)
        if asked is not None and asked.word is Word.QUIT:
            raise Left
        return words

    def confirm(self, question: str) -> bool:
        """Whether the user answers with a literal yes; an empty line is a no, anything else is asked about again.

        Raises:
            Left: The user leaves instead.
            KeyboardInterrupt: Ctrl-C.
        """
        while True:
            words = self.ask(f"{question} [y/N] ")
            said = answer(words)
            if said is not None or not words:
                return said is Answer.YES
            self.say("Please answer yes or no.")

    def tell(self, event: Event) -> None:
        """Puts a step on record; other events are left alone."""
        if self._store is None or not isinstance(event, StrategistStep):
            return
        if self._save is None:
            self._unsaved.append(event)
            return
        self._save(event)
        if self._store.failure is not None:
            self._without_record(self._store.failure)

    @contextmanager
    def showing(self) -> Iterator[EventSink]:
        """Shows events and puts a model's steps on record."""
        with self._terminal.view() as show:

            def tell(event: Event) -> None:
                self.tell(event)
                show(event)

            yield tell

    def viewing(self) -> AbstractContextManager[EventSink]:
        """Shows events that are put on record by somebody else."""
        return self._terminal.view()

    def uninterrupted(self) -> AbstractContextManager[None]:
        """Keeps Ctrl-C waiting while it is entered."""
        return self._terminal.uninterrupted()

    def end_turn(self) -> None:
        """The user's words since the last turn, and what a model is told of the replies, are one turn of the history.

        What a control word has shown is named there and not repeated.
        """
        if self._words:
            asked = control(self._words)
            told = f"(shown: {asked.word})" if asked else "\n".join(self._told)
            self._turns += [Turn("user", mask_secrets(self._words)), Turn("assistant", told or "(nothing)")]
        self._words, self._told = "", []

    def end(self) -> None:
        """Closes the record."""
        if self._store is not None and self.key:
            try:
                self._store.end_conversation(self.key, "closed")
            except StoreError as error:
                self._without_record(error)

    def _hear(self, prompt: str, *, question: bool) -> str:
        said = self._terminal.ask(prompt, question=question)
        if said is None:
            raise Left
        words = typed(said)
        if words:
            self._begin(words)
            self.tell(StrategistStep("user", words))
        return words

    def _begin(self, words: str) -> None:
        if self._store is None or self._save is not None:
            return
        try:
            self.key = self._store.begin_conversation(words, self._model)
        except StoreError as error:
            self._without_record(error)
            return
        self._save = self._store.conversation_sink(self.key)
        for step in self._unsaved:
            self._save(step)
        self._unsaved = []

    def _without_record(self, error: StoreError) -> None:
        self._store = None
        if not self._told_of_failure:
            self._told_of_failure = True
            self.explain(StoreError(f"{error.message}; the conversation goes on without a record", error.hint))


def recent(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The latest turns of both sides, at most :data:`MOST_TURNS` of them with :data:`MOST_CHARACTERS` together.

    The middle of a long turn is left out. It begins with something that the user said.
    """
    kept: list[Turn] = []
    characters = 0
    for turn in reversed(turns[-MOST_TURNS:]):
        text = turn.text
        if len(text) > _MOST_OF_A_TURN:
            half = (_MOST_OF_A_TURN - len(_LEFT_OUT)) // 2
            text = f"{text[:half]}{_LEFT_OUT}{text[-half:]}"
        characters += len(text)
        if characters > MOST_CHARACTERS:
            break
        kept.insert(0, Turn(turn.role, text))
    while kept and kept[0].role != "user":
        kept.pop(0)
    return tuple(kept)
