"""A playbook's command template, hints and the machine in; the benchmark command out.

Words reach a command only as values that were checked: whole numbers inside their bounds, identifiers, rebuilt
addresses.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from knobctl.errors import UsageError
from knobctl.strategist.files import Parameter, Playbook
from knobctl.strategist.request import Hints
from knobctl.target import HostFacts

HINTS = ("clients", "threads", "seconds", "size_mib", "database", "host", "port", "url")
"""Hints that fill parameters."""

_HOLE = re.compile(r"\{(\w+)\}")
_PLAIN = re.compile(r"[A-Za-z0-9_./:%=&?,+~-]+")


@dataclass(frozen=True)
class Rendered:
    """A command made from a template.

    Attributes:
        text: As a person would type it.
        why: What the request's words changed in it, one sentence each.
        notes: Hints that this workload has no use for, one sentence each.
    """

    text: str
    why: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def render(playbook: Playbook, hints: Hints, facts: HostFacts) -> Rendered:
    """The playbook's command for this request on this machine."""
    values: dict[str, str] = {}
    numbers: dict[str, int] = {}
    used: set[str] = set()
    why, notes = [], []
    for parameter in playbook.parameters:
        hint, value = _hinted(parameter, hints)
        used.update(("url", "host", "port") if hint == "url" else (hint,))
        if isinstance(value, int) and not _fits(parameter, value):
            notes.append(
                f"{parameter.name} {value} is not between {parameter.min} and {parameter.max}; the default is used."
            )
            hint, value = "", None
        if value is None:
            value = facts.cores if parameter.default == "cores" else parameter.default
        if value is None:
            continue
        if isinstance(value, int):
            value = min(value, parameter.max or value, numbers.get(parameter.at_most, value))
            numbers[parameter.name] = value
        values[parameter.name] = _size(value) if parameter.unit == "MiB" and isinstance(value, int) else str(value)
        if hint:
            why.append(f"From the request: {parameter.name} {values[parameter.name]}.")
    unused = [name for name in HINTS if name not in used and getattr(hints, name) is not None]
    notes += [
        f"The workload {playbook.name} has no setting for {_words(name)} {getattr(hints, name)}." for name in unused
    ]
    return Rendered(shlex.join(_argv(playbook, values)), tuple(why), tuple(notes))


def given(text: str, hints: Hints) -> Rendered:
    """The command that the user typed, word for word. The request's words do not change it."""
    said = [f"{_words(name)} {getattr(hints, name)}" for name in HINTS if getattr(hints, name) is not None]
    notes = (f"The command runs as you typed it; from the request, not used: {', '.join(said)}.",) if said else ()
    return Rendered(text, (), notes)


def parse_command(text: str) -> tuple[str, ...]:
    """The words of a command that the user typed, without a shell.

    Raises:
        UsageError: It is empty or has a quote that never ends.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(
            f"the command {text[:80]!r} cannot be read: {error}", "Give one program with its arguments."
        ) from None
    if not words:
        raise UsageError("the command is empty", "Give one program with its arguments, or leave --command out.")
    return words


def _hinted(parameter: Parameter, hints: Hints) -> tuple[str, int | str | None]:
    for name in parameter.hints:
        value: int | str | None = _address(hints) if name == "url" else getattr(hints, name)
        if value is not None:
            return name, value
    return "", None


def _address(hints: Hints) -> str | None:
    """The web address that was asked for: written out, or as a port or host of the user's own server."""
    if hints.url or (hints.host is None and hints.port is None):
        return hints.url
    return f"http://{hints.host or 'localhost'}{f':{hints.port}' if hints.port is not None else ''}/"


def _fits(parameter: Parameter, value: int) -> bool:
    return (parameter.min is None or value >= parameter.min) and (parameter.max is None or value <= parameter.max)


def _argv(playbook: Playbook, values: dict[str, str]) -> list[str]:
    argv: list[str] = []
    for part in playbook.argv:
        group = (part,) if isinstance(part, str) else part
        if all(name in values for word in group for name in _HOLE.findall(word)):
            argv += [_HOLE.sub(lambda hole: values[hole.group(1)], word) for word in group]
    return [word for word in argv if _checked(word)]


def _checked(word: str) -> bool:
    if not _PLAIN.fullmatch(word):
        raise UsageError(f"{word[:80]!r} cannot be a part of the benchmark command", "Give the command as --command.")
    return True


def _size(mebibytes: int) -> str:
    return f"{mebibytes // 1024}G" if mebibytes % 1024 == 0 else f"{mebibytes}M"


def _words(hint: str) -> str:
    return {"size_mib": "MiB of files:", "url": "the address"}.get(hint, hint)
