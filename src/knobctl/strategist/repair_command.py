"""The benchmark command that a model wrote in, the command to measure out: the model's own only when nothing speaks
against it.

It has to be a known benchmark with checked arguments, of the workload that was decided on, and in line with what the
user said. A server that nobody named is never measured: knobctl's own throw-away server is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knobctl.errors import UsageError
from knobctl.llm.base import Rejected
from knobctl.plan_text import shown
from knobctl.safety.command import PLACEHOLDERS, reasons_to_ask, words_of
from knobctl.safety.findings import Findings
from knobctl.strategist.brief import Brief
from knobctl.strategist.files import Parameter, Playbook, playbooks
from knobctl.workload.arguments import Arguments, size_in_bytes
from knobctl.workload.registry import adapter_for
from knobctl.workload.sysbench import TESTS
from knobctl.workload.tool import ToolAdapter
from knobctl.workload.web import means_throwaway, url_problems

LONGEST_RUN = 30
"""Seconds of one run that nobody asked for; a search has tens of runs."""

_LONGEST = 4000
_HOLE = "\x01"

_OPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "pgbench": {
        "clients": ("-c", "--client"),
        "threads": ("-j", "--jobs"),
        "seconds": ("-T", "--time"),
        "host": ("-h", "--host"),
        "port": ("-p", "--port"),
        "user": ("-U", "--username"),
        "database": ("-d", "--dbname"),
    },
    "ab": {"clients": ("-c",), "seconds": ("-t",)},
    "wrk": {"clients": ("-c", "--connections"), "threads": ("-t", "--threads"), "seconds": ("-d", "--duration")},
    "sysbench": {
        "threads": ("--threads", "--num-threads"),
        "seconds": ("--time", "--max-time"),
        "size": ("--file-total-size",),
    },
}
"""What a setting of a playbook is called among the options of a tool."""

_SERVER = ("host", "port", "user")
_ADDRESSED = ("pgbench", "ab", "wrk")
"""Tools whose last argument is the database or the address that they measure."""

_MODE = "--file-test-mode="
_SUDO = re.compile(r"sudo\s+(?:-[EnH]\s+|(?:-u\s*|--user[= ])\S+\s+|--\s+)*")
_SILENCE = re.compile(r"\s*(?:2>&1|(?:[12]|&)?>\s*/dev/null)\s*$")
_FENCE = re.compile(r"\A```(?:[a-z]*[ \t]*\n)?|\s*```\Z")


@dataclass(frozen=True)
class RepairedCommand:
    """The command to measure.

    Attributes:
        text: As a person would type it.
        notes: What was changed in the model's command, or why it is not used; one sentence each.
    """

    text: str
    notes: tuple[str, ...] = ()


def repair_command(raw: Any, brief: Brief, *, last: bool = False) -> RepairedCommand:
    """The command to measure for a request.

    Args:
        raw: What the model wrote; the brief's own command is used when it is nothing.
        brief: With the command that the user typed, or the workload's.
        last: Use the brief's command in place of one that would be rejected.

    Raises:
        Rejected: The model's command cannot be used.
    """
    text = _text_of(raw)
    if brief.request.command is not None or brief.playbook is None or not text.strip():
        return RepairedCommand(brief.command)
    try:
        return _repaired(text, brief, brief.playbook)
    except Rejected as problem:
        if last:
            return RepairedCommand(brief.command, (f"The model's command was not used: {problem}",))
        raise Rejected(f"{problem} Use this benchmark_command: {brief.command}") from None


def _text_of(raw: Any) -> str:
    """The text of a command: text, a list of words, or an object around one of them."""
    if isinstance(raw, Mapping):
        raw = next((raw[key] for key in ("command", "benchmark_command", "cmd") if key in raw), None)
    if isinstance(raw, list):
        words = [str(word) for word in raw if isinstance(word, str | int | float)]
        return words[0] if len(words) == 1 else shlex.join(words)
    return raw if isinstance(raw, str) else ""


def _repaired(raw: str, brief: Brief, playbook: Playbook) -> RepairedCommand:
    notes: list[str] = []
    own = shlex.split(brief.command)
    words = _words(_without_decoration(raw, notes), own)
    _require_workload(words, own, playbook)
    if contradiction := _contradiction(words, own, brief, playbook):
        return RepairedCommand(brief.command, (f"The model's command was not used: {contradiction}.",))
    words = _on_the_right_server(words, own, brief, notes)
    words = _short_enough(words, own, brief, notes)
    if reasons := reasons_to_ask(words, adapter_for(words)):
        said = "; ".join(reasons[:3]).replace("needs your own consent", "may not be used")
        raise Rejected(f"Only the listed benchmarks with their usual options may be used: {said}.")
    return RepairedCommand(shlex.join(words), tuple(notes))


def _without_decoration(raw: str, notes: list[str]) -> str:
    """The command without what surrounds commands in documents: prompt, fence, silence, ``sudo``.

    Raises:
        Rejected: It is too long, or several.
    """
    if len(raw) > _LONGEST:
        raise Rejected(f"benchmark_command has {len(raw)} characters, more than {_LONGEST}.")
    text = _FENCE.sub("", raw.strip()).strip().strip("`").removeprefix("$ ").replace("\\\n", " ").strip()
    if "\n" in text:
        raise Rejected("benchmark_command has several lines; it has to be one program with its arguments.")
    while (shorter := _SILENCE.sub("", text)) != text:
        text = shorter
    if match := _SUDO.match(text):
        notes.append("sudo was taken off the benchmark command: a benchmark runs as an ordinary user.")
        text = text[match.end() :]
    return text


def _words(text: str, own: Sequence[str]) -> list[str]:
    """Program and arguments, with placeholders filled in or taken out where the tool works without them.

    Raises:
        Rejected: It is no plain command.
    """
    marked = text
    if text.isprintable():
        for placeholder in PLACEHOLDERS:
            marked = placeholder.sub(_HOLE, marked)
    findings = Findings()
    words_of("benchmark_command", text if marked == text else marked.replace(_HOLE, "x"), findings)
    if findings.problems:
        raise Rejected(f"{findings.problems[0].message}.")
    words = shlex.split(marked)
    program = words[0].rpartition("/")[2]
    options = _OPTIONS.get(program, {})
    words[0] = program if options else words[0]
    emptied = [name for setting in (*_SERVER, "database") for name in options.get(setting, ())]
    words = _without(words, emptied, lambda value: _HOLE in value)
    if database := _value(words, options.get("database", ())):
        words = [*_without(words, options["database"], lambda _: True), database]
    for place, word in enumerate(words):
        address = "://" in word or (place == len(words) - 1 and not words[place - 1].startswith("-"))
        if _HOLE in word and address and program in _ADDRESSED:
            words[place] = own[-1]
    if any(_HOLE in word for word in words):
        raise Rejected("benchmark_command holds a placeholder; every value has to be a real one.")
    return words


def _require_workload(words: Sequence[str], own: Sequence[str], playbook: Playbook) -> None:
    """Makes sure that a command measures the workload that was decided on.

    Raises:
        Rejected: It measures another one.
    """
    told = [each for each in playbooks() if all(set(words).intersection(tell) for tell in each.tells)]
    best = max(told, key=lambda each: (len(each.tells), -each.order), default=None)
    tests = [
        [word for word in argv[1:] if argv[0] == "sysbench" and (word in TESTS or word.startswith(_MODE))]
        for argv in (words, own)
    ]
    if words[0] not in _OPTIONS or best is not playbook or tests[0] != tests[1]:
        raise Rejected(f"{shown(shlex.join(words))} does not measure the workload asked for: {playbook.title}.")


def _contradiction(words: Sequence[str], own: Sequence[str], brief: Brief, playbook: Playbook) -> str:
    """What the user said and the command does otherwise; empty when it follows."""
    for parameter in playbook.parameters:
        said = _said(parameter, brief)
        if said is None:
            continue
        if parameter.name in ("url", "database"):
            wanted = own[-1]
            found = wanted if _arguments(words).words == (wanted,) else "another one"
        else:
            wanted = _given(own, parameter.name)
            found = _given(words, parameter.name)
        if _comparable(found) != _comparable(wanted):
            return f"for this request {parameter.name} is {wanted}, and it has {found or 'none'}"
    return ""


def _said(parameter: Parameter, brief: Brief) -> str | None:
    """The hint of the request that fills a parameter."""
    hints = [*parameter.hints, *(("host", "port") if parameter.name == "url" else ())]
    return next((name for name in hints if getattr(brief.hints, name) is not None), None)


def _given(words: Sequence[str], setting: str) -> str:
    """The value of a setting on a command line; empty when it is not there."""
    names = _OPTIONS.get(words[0], {}).get(setting, ())
    return _arguments(words).text(names[0]) if names else ""


def _arguments(words: Sequence[str]) -> Arguments:
    """The arguments as the tool itself reads them: the value of one option may look like another."""
    adapter = adapter_for(words)
    assert isinstance(adapter, ToolAdapter)
    return adapter.arguments(words)


def _comparable(value: str) -> str:
    """A value without differences of spelling: ``1024M`` is ``1G``, ``5s`` is ``5``."""
    size = size_in_bytes(re.sub(r"(?<=[0-9])s$", "", value))
    return value if size is None else str(size)


def _on_the_right_server(words: list[str], own: Sequence[str], brief: Brief, notes: list[str]) -> list[str]:
    """The command without the address of a server that nobody asked to measure.

    Raises:
        Rejected: The address cannot be taken off. One of another machine stays, and needs the user's consent.
    """
    hints = brief.hints
    if hints.host is not None or hints.port is not None:
        return words
    options = [_OPTIONS[words[0]][setting] for setting in _SERVER if setting in _OPTIONS[words[0]]]
    kept = _without(words, [name for names in options for name in names], lambda _: True)
    if any(_arguments(kept).has(names[0]) for names in options):
        raise Rejected("The request names no server: leave its address out of benchmark_command.")
    if words[0] in ("ab", "wrk") and hints.url is None:
        addresses = _arguments(kept).words
        unasked = {each for each in addresses if not url_problems(words[0], [each]) and not means_throwaway(each)}
        kept = [own[-1] if word in unasked else word for word in kept]
    if kept != words:
        notes.append("You named no server, so the model's address was taken off the command.")
    return kept


def _short_enough(words: list[str], own: Sequence[str], brief: Brief, notes: list[str]) -> list[str]:
    """The command with the workload's own duration when the model's is too long for a search and nobody wanted it."""
    names = _OPTIONS.get(words[0], {}).get("seconds", ())
    seconds, usual = _seconds(words), _seconds(own)
    if brief.hints.seconds is not None or seconds is None or usual is None or seconds <= LONGEST_RUN:
        return words
    notes.append(
        f"One run was shortened from {seconds:.0f} to {usual:.0f} seconds: a search has tens of runs. "
        "Say how many seconds you want in the request."
    )
    shorter: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, attached = _split(word, names)
        if name and attached is None and rest:
            rest.pop(0)
        shorter += [word] if not name else [f"{name}={usual:.0f}"] if name.startswith("--") else [name, f"{usual:.0f}"]
    return shorter


def _seconds(words: Sequence[str]) -> float | None:
    try:
        adapter = adapter_for(words)
    except UsageError:
        return None
    return adapter.run_seconds(words) if isinstance(adapter, ToolAdapter) else None


def _split(word: str, names: Sequence[str]) -> tuple[str, str | None]:
    """Which of the options a word is, and the value attached to it; an empty name when it is none of them."""
    for name in names:
        if word == name:
            return name, None
        if name.startswith("--") and word.startswith(f"{name}="):
            return name, word[len(name) + 1 :]
        if not name.startswith("--") and word.startswith(name):
            return name, word[len(name) :]
    return "", None


def _value(words: Sequence[str], names: Sequence[str]) -> str:
    """The last value of an option, however it is written; empty when it is not there."""
    found = ""
    for place, word in enumerate(words[1:], 1):
        name, attached = _split(word, names)
        if name:
            found = attached if attached is not None else next(iter(words[place + 1 :]), "")
    return found


def _without(words: Sequence[str], names: Sequence[str], unwanted: Callable[[str], bool]) -> list[str]:
    """The command without those of the options whose value is unwanted."""
    kept: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, attached = _split(word, names)
        value = attached if attached is not None else (rest[0] if rest else "")
        if name and unwanted(value):
            del rest[: 1 if attached is None else 0]
        else:
            kept.append(word)
    return kept
