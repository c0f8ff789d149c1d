"""The process's edge: typed errors, signals and surprises in, one clear line and an exit code out."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NoReturn

import click

from knobctl.errors import ConsentMissing, Interrupted, KnobctlError
from knobctl.masking import mask_document, mask_secrets
from knobctl.target.text import clean

BUGS = "This is a defect of knobctl. Please report it with the lines above (knobctl -v shows more)."


def say(text: str = "") -> None:
    """A line for people, on standard error, without control characters, keys and passwords."""
    click.echo(mask_secrets(clean(text)), err=True)


def answer(text: str) -> None:
    """A line of what was asked for, on standard output, without control characters, keys and passwords."""
    click.echo(mask_secrets(clean(text)))


def put(document: Any) -> None:
    """The one JSON document of ``--json``, on standard output, without keys and passwords.

    In ASCII, which no locale can spoil.
    """
    click.echo(json.dumps(mask_document(document), indent=2))


def interactive() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agreed(question: str, *, yes: bool) -> bool:
    """Whether the answer is yes.

    Raises:
        ConsentMissing: Nobody can be asked.
    """
    if yes:
        return True
    if not interactive():
        raise ConsentMissing(
            "a confirmation is needed, and there is no terminal to ask at", "Add --yes to confirm in advance."
        )
    return click.confirm(question, default=False, err=True)


def confirm(question: str, *, yes: bool) -> None:
    """Returns when the answer is yes.

    Raises:
        ConsentMissing: Nobody can be asked, or the answer is no.
    """
    if not agreed(question, yes=yes):
        raise ConsentMissing("not confirmed, nothing was changed")


def guarded(command: Callable[..., int | None]) -> Callable[..., None]:
    """Wraps a command: its return value is the exit code, and no error leaves it as a traceback."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        _catch_signals()
        as_json = bool(kwargs.get("as_json"))
        try:
            code = command(*args, **kwargs) or 0
        except (KnobctlError, Interrupted) as error:
            fail(error, as_json)
        except (KeyboardInterrupt, click.Abort):
            fail(Interrupted("interrupted"), as_json)
        except BrokenPipeError:
            os._exit(1)
        except Exception as error:
            if isinstance(error, click.ClickException):
                raise
            traceback.print_exc()
            fail(KnobctlError(f"unexpected {type(error).__name__}: {error}", BUGS), as_json)
        sys.exit(code)

    return wrapper


def _catch_signals() -> None:
    """SIGINT, SIGTERM and SIGHUP end the run once; while the machine is being restored, further ones wait."""
    caught = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal caught
        name = signal.Signals(number).name
        if caught:
            say(f"{name}: the machine is being restored, please wait")
            return
        caught = True
        raise Interrupted(f"interrupted by {name}")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def fail(error: KnobctlError | Interrupted, as_json: bool, known: Mapping[str, Any] | None = None) -> NoReturn:
    """Ends the command with an error: its line for people, its one document for programs, its exit code.

    Args:
        error: What went wrong.
        as_json: Programs want a document.
        known: What else the document says.
    """
    message = " ".join(clean(error.message).split()) if "\n" not in error.message else clean(error.message)
    gone = False
    try:
        say(f"knobctl: {message}")
        if error.hint:
            say(f"  hint: {error.hint}")
    except OSError:  # the terminal went away, which is why SIGHUP came
        gone = True
    if as_json:
        put({"success": False, "error": message, "hint": clean(error.hint), "exit_code": error.exit_code,
             **(known or {})})  # fmt: skip
    if gone:
        sys.stdout.flush()
        os._exit(error.exit_code)  # what standard error still holds can go nowhere, and the exit code is not to tell
    sys.exit(error.exit_code)
