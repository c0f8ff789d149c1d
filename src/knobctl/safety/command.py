"""A command as a plan brings it, and what its user consented to, in; the words of the one program that may run, out.

No command ever reaches a shell, so whatever only a shell would understand is an error and not an argument. A known
benchmark whose arguments its adapter has checked runs without asking; anything else needs the user's own consent for
exactly that text.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from knobctl.plan_text import shown
from knobctl.safety.findings import Findings, Unconsented
from knobctl.workload import Adapter

_MAX_WORDS = 256
_MAX_WORD = 2000
_OTHER_USERS = frozenset(
    {"sudo", "sudoedit", "su", "doas", "pkexec", "runuser", "setpriv", "run0", "gosu", "su-exec", "sg", "newgrp"}
)
_WITNESSES: Mapping[str, frozenset[str]] = {
    "is a shell, which runs whatever its arguments say": frozenset(
        {"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "busybox", "toybox"}
    ),
    "starts another program, whose arguments knobctl does not check": frozenset(
        {"env", "nice", "ionice", "nohup", "setsid", "stdbuf", "timeout", "time", "taskset", "numactl", "chrt", "xargs",
         "find", "parallel", "watch", "script", "strace", "ltrace", "perf", "unshare", "nsenter", "chroot", "bwrap"}
    ),
    "starts programs where knobctl neither sees nor ends them": frozenset(
        {"ssh", "mosh", "rsh", "docker", "podman", "nerdctl", "ctr", "kubectl", "lxc", "incus", "systemd-run",
         "machinectl", "systemctl", "at", "batch", "crontab", "tmux", "screen"}
    ),
}  # fmt: skip
"""What people should know before they consent to a program that is no benchmark."""

_SHELL = "|;&<>()"
PLACEHOLDERS = (
    re.compile(r"<[A-Za-z_][^<>|;&]{0,60}>"),
    re.compile(r"\{\{? ?[A-Za-z_][A-Za-z0-9_ .-]{0,60}\}?\}"),
    re.compile(r"(?<![A-Za-z0-9])(?:your|YOUR)[_-][A-Za-z0-9_-]{1,60}"),
    re.compile(r"\b(?:REPLACE_?ME|CHANGE_?ME)\b"),
)
"""What stands in a command for something that its author did not know."""


def words_of(key: str, text: str, findings: Findings) -> tuple[str, ...]:
    """Program and arguments of a command; empty, with a problem, when it is no plain command.

    Args:
        key: The plan's key, for messages.
        text: The command.
        findings: Where problems go.
    """
    problem = _problem(text)
    if problem:
        findings.refuse(f"{key}: {problem[0]}", problem[1])
        return ()
    try:
        words = shlex.split(text)
    except ValueError as error:
        findings.refuse(f"{key}: {str(error).lower()} in {shown(text)}", "Close every quote.")
        return ()
    if not words or not words[0]:
        findings.refuse(f"{key} names no program", "Write a program and its arguments.")
    elif len(words) > _MAX_WORDS or max(map(len, words)) > _MAX_WORD:
        findings.refuse(
            f"{key} has too many or too long arguments", f"At most {_MAX_WORDS}, of {_MAX_WORD} characters."
        )
    elif "=" in words[0]:
        findings.refuse(f"{key}: {shown(words[0])} is no program; {_NO_SHELL}", "Leave out variables.")
    elif changer := _user_changer(words):
        findings.refuse(
            f"{key}: {shown(changer)} is never run: a benchmark runs as an ordinary user",
            "Give the benchmark itself.",
        )
    else:
        return tuple(words)
    return ()


def reasons_to_ask(words: Sequence[str], adapter: Adapter) -> list[str]:
    """Why a command needs the user's own consent; empty when knobctl runs it without asking."""
    program = _name(words[0])
    witnesses = [f"{shown(program)} {what}" for what, programs in _WITNESSES.items() if program in programs]
    reasons = [*adapter.problems(words), *witnesses]
    # Harmless without a shell, but no benchmark needs them, so whoever wrote this meant something else.
    odd = next((word for word in words if any(mark in word for mark in "|;&<>`$")), "")
    return [*reasons, f"{shown(odd)} looks like shell"] if odd else reasons


def ask(key: str, text: str, reasons: Sequence[str], consented: str | None, findings: Findings) -> None:
    """Records that consent is missing, unless the user gave it for exactly this text."""
    if reasons and (consented is None or consented.strip() != text.strip()):
        findings.unconsented.append(Unconsented(key, text, "; ".join(reasons)))


_NO_SHELL = "knobctl never uses a shell"


def _name(word: str) -> str:
    """The last part of a path."""
    return word.rpartition("/")[2]


def _user_changer(words: Sequence[str]) -> str:
    """The word that would run the rest as another user, alone or behind programs that start it; empty without one."""
    starts_others = any(_name(words[0]) in programs for programs in _WITNESSES.values())
    return next((word for word in (words if starts_others else words[:1]) if _name(word) in _OTHER_USERS), "")


def _problem(text: str) -> tuple[str, str] | None:
    """What makes a text no plain command, whoever typed it: (message, hint)."""
    hidden = next((character for character in text if not character.isprintable()), "")
    if hidden:
        return f"holds the invisible character U+{ord(hidden):04X}", "Type the command again, in one line."
    for placeholder in PLACEHOLDERS:
        found = placeholder.search(text)
        if found:
            return f"{shown(found.group())} is a placeholder", "Put the real value in its place."
    mark = _unquoted_shell(text)
    if mark:
        return f"{mark} means something to a shell only, and {_NO_SHELL}: {shown(text)}", _PLAIN
    return None


_PLAIN = "Give one program with its arguments; put quotes around a character that is meant as it stands."


def _unquoted_shell(text: str) -> str:
    """The first thing that a shell would act on, quotes considered; empty when there is none."""
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\" and quote != "'":
            position += 1
        elif character in "'\"" and quote in ("", character):
            quote = "" if quote else character
        elif quote != "'" and (character == "`" or re.match(r"\$[A-Za-z_({]", text[position:])):
            return character if character == "`" else text[position : position + 2]
        elif not quote and character in _SHELL:
            return character
        position += 1
    return ""
