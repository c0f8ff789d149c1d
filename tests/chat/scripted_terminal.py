"""A terminal at which a test has written down what is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from knobctl.errors import Interrupted
from knobctl.events import Event, EventSink

Key = str | type[KeyboardInterrupt] | Interrupted
CTRL_C = KeyboardInterrupt


class ScriptedTerminal:
    """Types one entry after another, then nothing more.

    Attributes:
        transcript: Everything that was shown and typed.
        prompts: What was asked, in its order.
        events: What the views were told.
        held: How often something ran that must not be interrupted.

    Args:
        keys: What is typed: text, Ctrl-C, or a signal.
        watch: Is told every event; it may press Ctrl-C by raising ``KeyboardInterrupt``.
    """

    def __init__(self, *keys: Key, watch: Callable[[Event], None] | None = None) -> None:
        self.transcript = ""
        self.prompts: list[str] = []
        self.events: list[Event] = []
        self.held = 0
        self._keys = list(keys)
        self._watch = watch

    def ask(self, prompt: str, *, question: bool = False) -> str | None:
        self.prompts.append(prompt)
        key = self._keys.pop(0) if self._keys else None
        self.transcript += f"{prompt}{key if isinstance(key, str) else ''}\n"
        if isinstance(key, str):
            return key
        if key is None:
            return None
        raise key

    def say(self, text: str = "") -> None:
        self.transcript += f"{text}\n"

    @contextmanager
    def view(self) -> Iterator[EventSink]:
        def tell(event: Event) -> None:
            self.events.append(event)
            if self._watch is not None:
                self._watch(event)

        yield tell

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        self.held += 1
        yield

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    @property
    def questions(self) -> list[str]:
        """What was asked that is not the prompt."""
        return [prompt for prompt in self.prompts if "[y/N" in prompt]
