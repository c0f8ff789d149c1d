"""Keys and signals in, lines of text and interruptions out: the terminal at which somebody sits.

Lines are edited by readline where the terminal allows it, and remembered without what looks like a secret. SIGINT stops
what is going on, SIGTERM and SIGHUP end the conversation; while a machine is being restored, all of them wait.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TextIO

from knobctl.agent.places import write_atomically
from knobctl.chat.words import typed
from knobctl.errors import Interrupted
from knobctl.events import Event, EventSink, PhaseStarted, SessionStarted, StrategistStep
from knobctl.masking import mask_secrets
from knobctl.report.narration import Narrator, level_of
from knobctl.report.terminal import LineView, terminal_view
from knobctl.report.wording import one_line
from knobctl.target.text import clean

REMEMBERED = 1000
_LONGEST = 4000
_SECRET_WORDS = re.compile(r"(?i)pass(?:word|wd|phrase)|secret|api[ _-]?key|token|credential|密码|口令|密钥")
_KEY_LIKE = re.compile(
    r"-----BEGIN|\bAKIA[0-9A-Z]{12}|\b[0-9a-fA-F]{32,}\b"
    r"|(?<![\w+=-])(?=[\w+=-]*[0-9])(?=[\w+=-]*[a-z])(?=[\w+=-]*[A-Z])[\w+=-]{20,}"
)


def looks_secret(text: str) -> bool:
    """Whether a text may hold a key or a password. Prefers to be wrong about a harmless text."""
    return mask_secrets(text) != text or bool(_SECRET_WORDS.search(text) or _KEY_LIKE.search(text))


class History:
    """The lines that were typed, the oldest first, in a file that nobody else can read.

    Args:
        path: The file. That it cannot be read or written is no error: then nothing is remembered.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        self._lines = [line for line in map(typed, text.splitlines()) if line][-REMEMBERED:]

    @property
    def lines(self) -> tuple[str, ...]:
        """What is remembered."""
        return tuple(self._lines)

    def add(self, text: str) -> bool:
        """Remembers a line. Returns whether it does: not what looks like a secret, nor the same line again."""
        if not text or len(text) > _LONGEST or looks_secret(text) or self._lines[-1:] == [text]:
            return False
        self._lines = [*self._lines, text][-REMEMBERED:]
        with contextlib.suppress(OSError):
            write_atomically(str(self._path), "".join(f"{line}\n" for line in self._lines), 0o600)
        return True


class Interrupts:
    """The process's signals while it is entered: SIGINT raises ``KeyboardInterrupt``, SIGTERM and SIGHUP
    :class:`Interrupted`. After one of them the next ones wait until :meth:`arm`, so that nothing interrupts a restore.
    """

    def __init__(self) -> None:
        self._armed = True
        self._caught = False
        self._ended = ""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def arm(self) -> None:
        """From now on the next signal raises.

        Raises:
            Interrupted: SIGTERM or SIGHUP came in the meantime.
        """
        if self._ended:
            raise Interrupted(self._ended)
        self._caught = False
        self._armed = True

    def hold(self) -> None:
        """From now on signals wait."""
        self._armed = False

    def release(self) -> None:
        """Ends :meth:`hold`, unless a signal was raised before it: then the rest still waits for :meth:`arm`.

        Raises:
            Interrupted: SIGTERM or SIGHUP came in the meantime.
        """
        if not self._caught:
            self.arm()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if number != signal.SIGINT and not self._ended:
            self._ended = f"interrupted by {name}"
        if not self._armed:
            with contextlib.suppress(OSError):  # not through a buffer: it may be what this signal has interrupted
                os.write(2, f"\n{name}: stopping and restoring, please wait\n".encode())
            return
        self._armed, self._caught = False, True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Interrupted(self._ended)


class LineTerminal:
    """A :class:`~knobctl.chat.dialogue.Terminal` made of the process's standard streams.

    What is said goes to standard output; when that is no terminal, to standard error too, so that nobody answers a
    question without having seen what it is about.

    Args:
        history: Remembers what is typed at the prompt; answers to questions are not remembered.
        interrupts: The process's signals.
        verbose: Above 0: also what each trial printed, and all that a model says and looks at.
    """

    def __init__(self, history: History, interrupts: Interrupts, *, verbose: int = 0) -> None:
        self._history = history
        self._interrupts = interrupts
        self._verbose = verbose
        self._edited = sys.stdin.isatty() and sys.stdout.isatty()
        if self._edited:
            import readline

            readline.set_auto_history(False)
            readline.clear_history()
            for line in history.lines:
                readline.add_history(line)

    def ask(self, prompt: str, *, question: bool = False) -> str | None:
        """A line, without control characters; None when there will be no more.

        Args:
            prompt: Stands in front of the cursor.
            question: It is answered by what is typed from now on: what was typed ahead does not count.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            Interrupted: SIGTERM or SIGHUP.
        """
        while True:
            self._interrupts.arm()
            try:
                if question:
                    _forget_typed_ahead()
                line = self._read(clean(prompt))
            except UnicodeDecodeError:
                self.say("That was no text in this terminal's encoding; please type it again.")
                continue
            except KeyboardInterrupt:
                _put(sys.stderr, "\n")
                raise
            except (EOFError, OSError):
                _put(sys.stderr, "\n")
                return None
            text = typed(line)
            if not question and self._history.add(text) and self._edited:
                import readline

                readline.add_history(text)
            return text

    def say(self, text: str = "") -> None:
        """Text for people, on lines of its own."""
        safe = f"{clean(text)}\n"
        _put(sys.stdout, safe)
        if not self._edited and sys.stderr.isatty():
            _put(sys.stderr, safe)

    @contextlib.contextmanager
    def view(self) -> Iterator[EventSink]:
        """Shows what happens: the steps of a model, and a run with its live view."""
        with contextlib.ExitStack() as live:
            yield _Showing(live, self._interrupts, self._verbose)
        self._interrupts.release()

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Signals wait until it is left."""
        self._interrupts.hold()
        yield
        self._interrupts.release()

    def _read(self, prompt: str) -> str:
        if self._edited:
            return input(prompt)
        _put(sys.stderr, prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line


class _Showing:
    """A reader of events: brief lines for a model's steps, the live view from the beginning of a run."""

    def __init__(self, live: contextlib.ExitStack, interrupts: Interrupts, verbose: int) -> None:
        self._live = live
        self._interrupts = interrupts
        self._verbose = verbose
        self._tell: EventSink = LineView(Narrator(level_of(verbose=verbose)), sys.stderr)
        self._last = ""

    def __call__(self, event: Event) -> None:
        if isinstance(event, SessionStarted):
            self._tell = self._live.enter_context(terminal_view(verbose=self._verbose))
        if isinstance(event, PhaseStarted) and event.phase == "restore":
            self._interrupts.hold()
        if isinstance(event, StrategistStep) and not self._verbose:
            brief = brief_step(event)
            if brief and brief != self._last:
                _put(sys.stderr, f"{brief}\n")
            self._last = brief or self._last
            return
        self._tell(event)


def brief_step(step: StrategistStep) -> str:
    """A model's step on half a line; empty for what is not worth one."""
    match step.step:
        case "request":
            return "  ... the model is thinking"
        case "call":
            return f"  ... it looks at {one_line(step.name, 40)} {one_line(step.text, 60)}"
        case "rejected":
            return f"  ... it tries again: {one_line(step.text, 100)}"
    return ""


def _put(stream: TextIO, text: str) -> None:
    """Writes at once. A stream whose reader has gone away gets nothing more, and nobody is told."""
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except ValueError:
        return
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # what is buffered has to go somewhere when the process ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _forget_typed_ahead() -> None:
    with contextlib.suppress(termios.error, OSError, ValueError):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
