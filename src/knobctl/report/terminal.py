"""The stream of events in, a view of the run on standard error out.

On a terminal: finished trials scroll by, and below them stands what is going on now. Elsewhere (a file, a pipe, a
dumb terminal): one plain line per thing that happened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from knobctl.events import (
    Event,
    EventSink,
    MachineRestored,
    PhaseStarted,
    Progress,
    SessionEnded,
    TrialDone,
    TrialStarted,
)
from knobctl.report.narration import KINDS, Line, Narrator, left, level_of, place, unverified
from knobctl.report.wording import SIMULATED, assignments, score

_STYLES = {"plain": "", "title": "bold", "good": "green", "warning": "yellow", "dim": "dim"}
_BAR_WIDTH = 30


@contextmanager
def terminal_view(
    *,
    quiet: bool = False,
    verbose: int = 0,
    stream: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[EventSink]:
    """The view that fits the stream, as a reader of the events.

    Args:
        quiet: Warnings only.
        verbose: Above 0: also what each trial printed.
        stream: Standard error by default.
        environ: ``NO_COLOR`` and ``TERM`` are looked up here; the process's environment by default.
    """
    stream = sys.stderr if stream is None else stream
    environ = os.environ if environ is None else environ
    narrator = Narrator(level_of(quiet=quiet, verbose=verbose))
    if quiet or not stream.isatty() or environ.get("TERM", "dumb") == "dumb":
        yield LineView(narrator, stream)
        return
    view = LiveView(narrator, Console(file=stream, no_color=bool(environ.get("NO_COLOR")), highlight=False))
    with view:
        yield view


class LineView:
    """One plain line per thing that happened, written at once."""

    def __init__(self, narrator: Narrator, stream: TextIO) -> None:
        """A view that writes to the stream."""
        self._narrator = narrator
        self._stream: TextIO | None = stream

    def __call__(self, event: Event) -> None:
        """Tells an event. A reader that went away (a closed pipe) ends the telling, not the run."""
        lines = self._narrator.lines(event)
        if self._stream is None or not lines:
            return
        encoding = self._stream.encoding or "utf-8"
        text = "".join(f"{line.text}\n" for line in lines).encode(encoding, "replace").decode(encoding)
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


@dataclass(frozen=True)
class _Now:
    """What stands below the finished trials."""

    phase: str = ""
    what: str = ""
    position: int = 0
    of: int = 0
    fraction: float = 0.0
    score: float | None = None
    best_percent: float | None = None
    seconds_left: float = 0.0


class LiveView:
    """Finished trials scroll by; below them stand phase, trial, progress, score, best so far and time left."""

    def __init__(self, narrator: Narrator, console: Console) -> None:
        """A view that draws on the console while it is entered."""
        self._narrator = narrator
        self._console = console
        self._now = _Now()
        # Drawn when something happens and not by a thread of its own; sys.stdout belongs to --json.
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> LiveView:
        self._live.start()
        self._console.show_cursor(True)  # nobody gives it back after kill -9
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._live.stop()
        except (OSError, ValueError):
            return

    def __call__(self, event: Event) -> None:
        """Tells an event. A terminal that went away ends the telling, not the run."""
        try:
            for line in self._narrator.lines(event):
                self._console.print(_styled(line), soft_wrap=True)
            self._now = _after(self._now, event)
            self._live.update(self._drawn(), refresh=True)
        except (OSError, ValueError):
            return

    def _drawn(self) -> Group | Text:
        now = self._now
        if not now.phase:
            return Text("")
        label = f"{SIMULATED} " if self._narrator.simulated else ""
        title = f"{label}{now.phase} {place(now.position, now.of)}" if now.of else f"{label}{now.phase}"
        done = (max(0, now.position - 1) + now.fraction) / now.of if now.of else 0.0
        parts = [f"{min(done, 1.0):4.0%}" if now.of else ""]
        if now.score is not None:
            parts.append(score(now.score, self._narrator.unit))
        if now.best_percent is not None:
            parts.append(unverified(now.best_percent))
        parts.append(left(now.seconds_left).removeprefix(", "))
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=1.0, completed=min(done, 1.0), width=_BAR_WIDTH), Text("  ".join(filter(None, parts)))
        )
        heading = Text(title, style="bold", no_wrap=True, overflow="ellipsis")
        if now.what:
            heading.append(f"  {now.what}", style="not bold")
        return Group(heading, bar)


def _after(now: _Now, event: Event) -> _Now:
    match event:
        case PhaseStarted():
            return _Now(phase=event.phase, of=event.runs, seconds_left=event.seconds_left)
        case TrialStarted():
            kind = KINDS.get(event.trial_kind, event.trial_kind)
            what = f"{kind}: {assignments(event.configuration)}" if event.configuration else kind
            return replace(
                now, what=what, position=event.position, of=event.of, fraction=0.0, score=None,
                seconds_left=event.seconds_left,
            )  # fmt: skip
        case Progress():
            return replace(now, fraction=event.fraction, score=now.score if event.score is None else event.score)
        case TrialDone():
            best = event.best_percent if now.phase == "search" else None
            return replace(
                now, position=event.position, of=event.of, fraction=1.0, score=event.trial.score, best_percent=best,
                seconds_left=event.seconds_left,
            )  # fmt: skip
        case MachineRestored() | SessionEnded():
            return _Now()
    return now


def _styled(line: Line) -> Text:
    return Text(line.text, style=_STYLES[line.style])
