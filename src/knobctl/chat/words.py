"""Typed words in, what code makes of them by itself out: answers, control words, and what a request is about.

Only these functions read an answer or a control word, in English and Chinese; no language model ever does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from knobctl.errors import UsageError
from knobctl.knobs import Catalogue
from knobctl.strategist.files import intents
from knobctl.strategist.numbers import NUMBER, parse_number
from knobctl.strategist.understanding import Intent
from knobctl.strategist.wording import MAX_REQUEST, found, read_words
from knobctl.target.text import clean, encodable

_YES = frozenset({"y", "yes", "是", "好", "同意"})
_NO = frozenset({"n", "no", "不", "不要", "不用", "否"})
_ALMOST = frozenset({"ok", "okay", "sure", "yep", "yeah", "yes yes", "go", "是的", "好的", "可以", "行"})


class Answer(StrEnum):
    """What was answered to a question that has two answers."""

    YES = "yes"
    NO = "no"


class Word(StrEnum):
    """A control word."""

    HELP = "help"
    QUIT = "quit"
    APPLY = "apply"
    ROLLBACK = "rollback"
    STATUS = "status"
    SESSIONS = "sessions"
    REPORT = "report"
    RESTORE = "restore"
    KNOBS = "knobs"


@dataclass(frozen=True)
class Control:
    """A control word, with what stood behind it: the key of a session, or the name of a knob; may be empty."""

    word: Word
    argument: str = ""


@dataclass(frozen=True)
class Wishes:
    """What a request says about single knobs and the budget.

    Attributes:
        only: Tune just these.
        without: Leave these out.
        named: Every knob that is named and not left out.
        budget: Trials of the search; None when no number is named.
    """

    only: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    budget: int | None = None


_SPELLINGS = {
    Word.HELP: ("help", "?", "帮助"),
    Word.QUIT: ("quit", "exit", "bye", "goodbye", "q", "退出", "再见"),
    Word.APPLY: (
        "apply", "apply it", "apply this", "apply that", "apply the change", "make it permanent", "make this permanent",
        "make that permanent", "make the change permanent", "make them permanent", "永久生效", "应用",
    ),
    Word.ROLLBACK: (
        "rollback", "roll back", "roll it back", "undo", "undo it", "undo that", "undo the change", "回滚", "撤销",
    ),
    Word.STATUS: ("status", "状态"),
    Word.SESSIONS: ("sessions", "history", "会话", "历史"),
    Word.REPORT: ("report", "报告"),
    Word.RESTORE: ("restore", "恢复", "还原"),
    Word.KNOBS: ("knobs", "knob", "参数"),
}  # fmt: skip
_CONTROLS = {spelling: word for word, spellings in _SPELLINGS.items() for spelling in spellings}
_WITH_ARGUMENT = re.compile(
    r"(?P<word>apply|report|报告|永久生效) (?P<session>last|\d[\da-f-]*)|(?:knobs?|参数) (?P<knob>\S+)"
)
_STATUS = re.compile(r"\bstatus\b|\b(?:is|are)\b.*\bapplied\b|\bapplied\b.*\b(?:now|here)\b|状态")
_WISHING = re.compile(
    r"(?:please |pls )?(?:can|could|would|will) (?:you|we|i)\b|please\b"
    r"|how (?:can|do|could|should|would) (?:i|we|you)\b"
)
_ASKING = re.compile(
    r"(?:and |but |so |then )?(?:why|what|which|when|who|where|whether|how|explain|describe|tell me|is|are|was|were"
    r"|does|did|do|should|has|have|can|could|would|will)\b"
)
_ASKED_IN_CHINESE = re.compile(r"为什么|为何|是什么|什么是|什么意思|解释|怎么回事|介绍|哪些|哪个|多少|吗$|呢$")
_BUDGET = re.compile(
    rf"\b(?:budget|trials)\s*(?:=|:|of|to|is)?\s*(?P<after>{NUMBER})|(?P<before>{NUMBER})\s*(?:trials?\b|次(?:试验|尝试))",
    re.IGNORECASE | re.ASCII,
)
_ABSURD = 1e9
"""More trials than this are as many as this: whoever checks the plan says how many there may be."""

_ONLY = re.compile(
    r"(?<!read[ -])(?<!write[ -])(?<!select[ -])\b(?:only|just|nothing but)\b|只(?![读写])|仅", re.IGNORECASE
)
_NAME = re.compile(r"[A-Za-z0-9_./*{}\[\]-]{3,200}")
_PLAIN_NAMES = frozenset({"swappiness", "thp", "readahead", "somaxconn"})
"""Names of knobs that are unmistakable without a dot in them; “boost” and “scheduler” are words of everyday speech."""


def typed(text: str) -> str:
    """What somebody typed, on one line, without control characters and halves of characters."""
    return " ".join(encodable(clean(text)).split())


def answer(text: str) -> Answer | None:
    """A literal yes or no; None for everything else, “ok” and “yes, but ...” included."""
    word = _plain(text)
    if word in _YES:
        return Answer.YES
    return Answer.NO if word in _NO else None


def almost(text: str) -> bool:
    """Whether it sounds like a yes and is none: then the question has to be asked again."""
    return _plain(text).rstrip("?") in _YES | _ALMOST and answer(text) is None


def control(text: str) -> Control | None:
    """The control word that this is, and nothing else beside it; None otherwise."""
    said = _plain(text).removeprefix("/").rstrip("?") or "?"
    said = said.removeprefix("please ").removesuffix(" please")
    if said == "?" and _plain(text) != "?":
        return None
    if word := _CONTROLS.get(said):
        return Control(word)
    match = _WITH_ARGUMENT.fullmatch(said)
    if match is None:
        return None
    if match["knob"]:
        return Control(Word.KNOBS, match["knob"])
    return Control(_CONTROLS[match["word"]], match["session"])


def topic(text: str, catalogue: Catalogue) -> Intent:
    """What a request is about, without a language model: an explanation, the state of things, else an optimization."""
    said = _plain(text)
    tuning = bool(found(intents().tuning, said))
    if _STATUS.search(said) and not tuning:
        return Intent.STATUS
    if catalogue.find(said.rstrip("?")) is not None:
        return Intent.EXPLAIN
    if _ASKED_IN_CHINESE.search(said.rstrip("?")):
        return Intent.EXPLAIN
    if _WISHING.match(said) and (tuning or not said.endswith("?") or said.startswith(("can you", "could you"))):
        return Intent.OPTIMIZE
    if _ASKING.match(said) or (said.endswith("?") and not tuning):
        return Intent.EXPLAIN
    return Intent.OPTIMIZE


def wishes(said: Sequence[str], catalogue: Catalogue) -> Wishes:
    """What several requests, the newest first, say about knobs and budget; the newer one counts.

    Raises:
        UsageError: A request is too long, or leaves out every knob that another one wants alone.
    """
    only: tuple[str, ...] = ()
    meant: dict[str, None] = {}
    without: set[str] = set()
    budget: int | None = None
    for text in said:
        wording = read_words(text)
        mentioned = tuple(dict.fromkeys(_knobs(wording.meant, catalogue)))
        named = [name for name in mentioned if name not in without]
        if not only and mentioned and _ONLY.search(wording.meant):
            if not named:
                raise UsageError(f"nothing is left to tune without {', '.join(mentioned)}", "Leave out fewer knobs.")
            only = tuple(named)
        left_out = {name for part in wording.negated for name in _knobs(part, catalogue)}
        without |= left_out - meant.keys() - set(named)
        meant.update(dict.fromkeys(named))
        if budget is None and (match := _BUDGET.search(wording.meant)):
            asked = parse_number(match["after"] or match["before"])
            budget = max(0, int(min(asked, _ABSURD))) or None
    return Wishes(only, frozenset(without), frozenset(meant), budget)


def combined(said: Sequence[str]) -> str:
    """Several requests, the newest first, as one: what is read first in it counts."""
    newest, *earlier = said
    return "\n".join((newest, *(f"Before that: {text}" for text in earlier)))[:MAX_REQUEST]


def _plain(text: str) -> str:
    """Narrow characters, small letters, single blanks, no full stop or exclamation mark at the end."""
    folded = unicodedata.normalize("NFKC", typed(text)).casefold()
    return " ".join(folded.split()).rstrip(".!。 ")


def _knobs(text: str, catalogue: Catalogue) -> Iterator[str]:
    for word in _NAME.findall(text):
        name = word.strip(".-")
        knob = catalogue.find(name) if re.search(r"[._/]", name) or name.lower() in _PLAIN_NAMES else None
        if knob is not None:
            yield knob.name
