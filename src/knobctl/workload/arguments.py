"""Command-line arguments against a list of known options: words in, typed values and problems out.

Every option of a tool that knobctl runs without asking is on the tool's list, with the values it may take. What is
not on the list is a problem, whatever it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from knobctl.workload.reading import parse_number

MAX_CLIENTS = 1000
MAX_SECONDS = 3600
MAX_DATA_BYTES = 64 * 2**30
MAX_BUFFER_BYTES = 4 * 2**30
"""Memory that the buffers of one benchmark may take together."""

Check = Callable[[str], str]
"""Takes the text of a value; returns an empty string when it is fine, else what it has to be."""

_SIZE_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class Style(Enum):
    """How a tool writes its options."""

    GETOPT = "-c 5, -c5, -nS, --client 5, --client=5"
    EQUALS = "--threads=5 only"
    LONG = "--size=5 or --size 5, never clustered"


class Takes(Enum):
    """Whether an option has a value."""

    NOTHING = 0
    VALUE = 1
    MAYBE = 2


@dataclass(frozen=True)
class Option:
    """One option of a tool.

    Attributes:
        names: Every spelling; the first one is the key in :class:`Arguments`.
        takes: Whether it has a value.
        check: Whether a value is fine.
        refused: Why it needs the user's own consent; empty when it may be used.
    """

    names: tuple[str, ...]
    takes: Takes
    check: Check
    refused: str = ""


@dataclass(frozen=True)
class Arguments:
    """Parsed arguments.

    Attributes:
        values: Every value given for an option, in order, by the option's first name; ``""`` for an option without.
        words: Arguments that are no options.
        problems: What is wrong or not allowed, one sentence each.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """The option was given."""
        return name in self.values

    def text(self, name: str, default: str = "") -> str:
        """The last value given for an option."""
        return self.values[name][-1] if name in self.values else default

    def number(self, name: str, default: float) -> float:
        """The last value given for an option, as a number; the default when it is absent or no number."""
        value = parse_number(self.text(name))
        return default if value is None else value


def flag(*names: str) -> Option:
    """An option without a value."""
    return Option(names, Takes.NOTHING, anything)


def valued(*names: str, check: Check) -> Option:
    """An option with a value."""
    return Option(names, Takes.VALUE, check)


def switch(*names: str) -> Option:
    """An option that may be followed by ``=on`` or ``=off``."""
    return Option(names, Takes.MAYBE, one_of("on", "off", "1", "0"))


def refused(*names: str, because: str, takes: Takes = Takes.VALUE) -> Option:
    """An option that is known, and not used without the user's own consent."""
    return Option(names, takes, anything, because)


def anything(_text: str) -> str:
    """Every value is fine."""
    return ""


def whole(low: int, high: int) -> Check:
    """A whole number in a range, both ends included."""

    def check(text: str) -> str:
        fine = re.fullmatch(r"[0-9]{1,15}", text) is not None and low <= int(text) <= high
        return "" if fine else f"a whole number from {low} to {high}"

    return check


def decimal(low: float, high: float) -> Check:
    """A number in a range, both ends included."""

    def check(text: str) -> str:
        number = parse_number(text)
        fine = number is not None and "," not in text and low <= number <= high
        return "" if fine else f"a number from {low:g} to {high:g}"

    return check


def one_of(*choices: str) -> Check:
    """One of a few words."""
    return lambda text: "" if text in choices else f"one of {', '.join(choices)}"


def matching(pattern: str, what: str) -> Check:
    """Text that a regular expression matches as a whole."""
    compiled = re.compile(pattern)
    return lambda text: "" if compiled.fullmatch(text) else what


def size(low: int, high: int) -> Check:
    """A size in bytes such as ``1G`` or ``16k``, in a range."""

    def check(text: str) -> str:
        count = size_in_bytes(text)
        return "" if count is not None and low <= count <= high else f"a size from {low} bytes to {high >> 30} GiB"

    return check


def size_in_bytes(text: str) -> int | None:
    """Bytes of ``16384``, ``16k``, ``1G`` or ``1GiB`` (powers of 1024), or None."""
    match = re.fullmatch(r"([0-9]{1,15})([bkmgt]?)(?:i?b)?", text.lower())
    return int(match.group(1)) * _SIZE_UNITS[match.group(2)] if match else None


def parse_arguments(program: str, style: Style, options: Sequence[Option], arguments: Sequence[str]) -> Arguments:
    """Arguments (without the program) sorted into options and words. Never raises."""
    by_name = {name: option for option in options for name in option.names}
    values: dict[str, tuple[str, ...]] = {}
    words: list[str] = []
    problems: list[str] = []
    rest = list(arguments)

    def take(name: str, value: str | None) -> None:
        """Records one option. ``value`` is None when it was not attached to the name."""
        option = by_name.get(name)
        if option is None:
            meant = _meant(name, by_name)
            problems.append(f"{program} {name} is not an option that knobctl runs without asking{meant}")
            return
        if option.takes is Takes.NOTHING and value is not None:
            problems.append(f"{program} {name} takes no value")
        if option.takes is Takes.VALUE and value is None:
            if style is Style.EQUALS or not rest:
                problems.append(f"{program} {name} needs a value")
                return
            value = rest.pop(0)
        if option.refused:
            problems.append(f"{program} {name} needs your own consent: it {option.refused}")
        elif value is not None and (wanted := option.check(value)):
            problems.append(f"{program} {name} {value[:80]!r} is not allowed: it must be {wanted}")
        values[option.names[0]] = (*values.get(option.names[0], ()), value or "")

    while rest:
        argument = rest.pop(0)
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            take(name, value if equals else None)
        elif argument.startswith("-") and len(argument) > 1:
            _take_short(argument, style, by_name, take)
        else:
            words.append(argument)
    return Arguments(values, tuple(words), tuple(problems))


def _meant(name: str, by_name: Mapping[str, Option]) -> str:
    """What a beginning of a long option may stand for: getopt accepts it, and knobctl wants to see the whole name."""
    whole_names = sorted(each for each in by_name if len(name) > 3 and each.startswith(name))
    return f": write {' or '.join(whole_names)} in full" if whole_names else ""


def _take_short(
    argument: str, style: Style, by_name: Mapping[str, Option], take: Callable[[str, str | None], None]
) -> None:
    if style is not Style.GETOPT:
        take(argument.partition("=")[0], None)
        return
    for position in range(1, len(argument)):
        name = f"-{argument[position]}"
        option = by_name.get(name)
        if option is not None and option.takes is Takes.VALUE:
            take(name, argument[position + 1 :] or None)
            return
        take(name, None)
        if option is None:
            return


def program_problems(program: str, argv: Sequence[str]) -> list[str]:
    """The program itself must be named as it is found in PATH: a path could be anything."""
    if argv and argv[0] != program:
        return [f"{argv[0][:80]!r} needs your own consent: only the bare name {program} is run without asking"]
    return []
