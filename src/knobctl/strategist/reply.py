"""A language model's reply in, the one JSON object in it out; or what to tell the model when there is not just one.

Models wrap their JSON in prose, Markdown, thoughts and further objects, and write it like JavaScript or Python. What
has one meaning is read. What is missing is never made up: the end of a reply that was cut off is asked for again.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from knobctl.llm.base import Rejected
from knobctl.plan_text import shown
from knobctl.target.text import clean

MOST_CHARACTERS = 50_000
"""Longest reply that is read."""

_MOST_LENIENT = 20_000
_LONGEST_NUMBER = 40
_DEEPEST = 24
_MOST_WRAPPERS = 4
_MOST_OBJECTS = 20

PLAN_KEYS: Mapping[str, tuple[str, ...]] = {
    "workload_name": ("workload_name", "workload", "name", "title"),
    "reward_metric": ("reward_metric", "target_metric", "metric", "objective_metric", "objective"),
    "benchmark_command": ("benchmark_command", "command", "benchmark", "cmd"),
    "action_space": (
        *("action_space", "actions", "knobs", "parameters", "params", "tunables", "kernel_parameters"),
        *("kernel_knobs", "kernel_params", "tuning_parameters", "sysctls"),
    ),
    "state_space": ("state_space", "observation_space", "observations", "state"),
    "training_config": ("training_config", "training"),
    "direction": ("direction", "optimization_direction"),
    "guardrails": ("guardrails", "guardrail"),
    "reward": ("reward",),
    "suggestions": ("suggestions", "suggested_configurations", "suggestion"),
}
"""What models call the keys of a plan, the plan's own name first. Case and everything but letters do not matter."""

REASONING = frozenset(
    ("reasoning", "why", "explanation", "thought", "thoughts", "rationale", "analysis", "summary", "justification")
)
"""Keys under which models explain themselves."""

_WRAPPERS = frozenset(
    ("plan", "tuningplan", "config", "configuration", "answer", "response", "result", "arguments", "output")
)

_ONE_OBJECT = "Answer with exactly one JSON object and nothing else."
_PLAIN = "Answer with exactly one object in plain JSON: double quotes, no comments, no trailing commas."

_THOUGHT_ENDS = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_THOUGHT_BEGINS = re.compile(r"\s*<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*+```", re.MULTILINE)
_BEGINS = re.compile(r"\{\s*+(?:[\"'“”‘’]|[A-Za-z_$][\w$-]*+\s*+[:：]|//|/\*|#)")
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]++|\\.)*+")
      | (?P<single>'(?:[^'\\\n]++|\\.)*+')
      | (?P<curly>[“”„][^“”„\n]*+[“”] | [‘’][^‘’\n]*+[‘’])
      | (?P<comment>//[^\n]*+ | \#[^\n]*+ | /\*(?:[^*]++|\*(?!/))*+(?:\*/)?)
      | (?P<word>[A-Za-z_$][\w$]*+)
      | (?P<other>[\s\d.+-]++ | \\. | .)""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN_JSON = {"True": "true", "False": "false", "None": "null", "：": ":", "，": ","}


def read_object(text: str) -> dict[str, Any]:
    """The one JSON object in a reply.

    Prose, Markdown fences and ``<think>`` around it, a list of one, ``{"plan": {...}}`` and JSON inside a JSON string
    are taken off. Of several objects, the only one with knobs counts.

    Raises:
        Rejected: There is none, more than one, or it is malformed, cut off, too long or too deep.
    """
    if len(text) > MOST_CHARACTERS:
        raise Rejected(f"The reply has {len(text)} characters, more than {MOST_CHARACTERS}. {_ONE_OBJECT}")
    try:
        document = _read(text, _MOST_WRAPPERS)
    except RecursionError:
        raise _too_deep() from None
    if _is_deep(document):
        raise _too_deep()
    return document


def squashed(key: str) -> str:
    """A key as it is compared: ``actionSpace``, ``Action Space`` and ``action_space`` are the same."""
    return re.sub(r"[^a-z0-9]", "", key.lower())


def one_line(text: str, most: int) -> str:
    """A model's words as they may be kept and shown: one line without control characters, at most so long."""
    printable = "".join(character if character.isprintable() else " " for character in clean(text))
    line = " ".join(printable.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


_SPELLINGS = {squashed(spelling): name for name, spellings in PLAN_KEYS.items() for spelling in spellings}


def plan_key(key: str) -> str:
    """The plan's own name for a key; empty when it has none."""
    return _SPELLINGS.get(squashed(key), "")


def by_meaning(
    document: Mapping[str, Any], spellings: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Values by what their keys mean, and the keys that mean nothing or say once more what another one says.

    Args:
        document: An object of a model.
        spellings: Ways to write each key, the one that counts most first.
    """
    written: dict[str, str] = {}
    for key in document:
        written.setdefault(squashed(key), key)
    found: dict[str, Any] = {}
    used: set[str] = set()
    for name, words in spellings.items():
        keys = [written[squashed(word)] for word in words if squashed(word) in written]
        for key in keys:
            if document[key] is not None:
                found[name] = document[key]
                used.add(key)
                break
    return found, tuple(key for key in document if key not in used and document[key] is not None)


def has_knobs(document: Mapping[str, Any]) -> bool:
    """Whether something in it stands where a plan has its knobs."""
    return any(plan_key(key) == "action_space" and isinstance(document[key], list | dict) for key in document)


def _read(text: str, wrappers: int) -> dict[str, Any]:
    text = text.removeprefix("\ufeff").strip()
    if not text:
        raise Rejected(f"The reply is empty. {_ONE_OBJECT}")
    try:
        return _object_in(_strict(text), wrappers)
    except ValueError:
        pass
    answer = _without_thoughts(text)
    fenced = "\n".join(_FENCE.split(answer)[1::2])
    for source in (fenced, answer):
        found, problem = _objects(source)
        if found and (problem is None or any(map(has_knobs, found))):
            return _object_in(found, wrappers)
        if problem is not None and source is answer:
            raise problem
    raise Rejected(f"There is no JSON object in the reply. {_ONE_OBJECT}")


def _object_in(value: Any, wrappers: int) -> dict[str, Any]:
    """The object that a decoded reply means."""
    if isinstance(value, str) and wrappers:
        return _read(value, wrappers - 1)
    if isinstance(value, list) and len(value) > _MOST_OBJECTS:
        raise _several(len(value))
    if isinstance(value, list):
        different = [each for number, each in enumerate(value) if each not in value[:number]]
        with_knobs = [each for each in different if isinstance(each, dict) and has_knobs(each)]
        if len(different) != 1 and len(with_knobs) != 1:
            raise _several(len(different))
        return _object_in(with_knobs[0] if len(with_knobs) == 1 else different[0], wrappers)
    if not isinstance(value, dict):
        raise Rejected(f"The reply is {shown(value)}, not a JSON object. {_ONE_OBJECT}")
    return _unwrapped(value, wrappers)


def _unwrapped(document: dict[str, Any], wrappers: int) -> dict[str, Any]:
    """The plan in ``{"plan": {...}}``, with what the outer object says about it."""
    if has_knobs(document) or not wrappers:
        return document
    inside = []
    for key, value in document.items():
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = _strict(value)
            except ValueError:
                continue
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict):
            inner = _unwrapped(value, wrappers - 1)
            alone = len(document) == 1 and squashed(key) in _WRAPPERS
            if has_knobs(inner) or alone or (squashed(key) in _WRAPPERS and _plan_keys(inner) > 1):
                inside.append(inner)
    if len(inside) != 1:
        return document
    said = {key: value for key, value in document.items() if squashed(key) in REASONING}
    return {**said, **inside[0]}


def _plan_keys(document: Mapping[str, Any]) -> int:
    return sum(1 for key in document if plan_key(key))


def _without_thoughts(text: str) -> str:
    end = _THOUGHT_ENDS.search(text)
    if end:
        return text[end.end() :]
    # A thought that never ends was cut off: what stands in it is no answer.
    return "" if _THOUGHT_BEGINS.match(text) else text


def _objects(text: str) -> tuple[list[dict[str, Any]], Rejected | None]:
    """Every object in a text, and what is wrong with the first thing that only looks like one."""
    spans, cut_off = _spans(text)
    if cut_off:
        return [], Rejected("The JSON object is not complete: its end is missing. Answer again, shorter.")
    spans = [(start, end) for start, end in spans if _BEGINS.match(text, start)]
    if len(spans) > _MOST_OBJECTS:
        return [], _several(len(spans))
    found: list[dict[str, Any]] = []
    problems: list[Rejected] = []
    for start, end in spans:
        try:
            value = _lenient(text[start:end])
        except Rejected as rejected:
            problems.append(rejected)
        else:
            found += [value] if isinstance(value, dict) else []
    return found, next(iter(problems), None)


def _spans(text: str) -> tuple[list[tuple[int, int]], bool]:
    """Where the outermost braces open and close, and whether an object was begun and never ended. Takes linear time."""
    closed: list[tuple[int, int]] = []
    opened: list[int] = []
    position = text.find("{")
    while 0 <= position < len(text):
        token = _TOKEN.match(text, position)
        assert token is not None, "any character is a token"
        position = token.end()
        if token.group() == "{":
            opened.append(token.start())
        elif token.group() == "}":
            start = opened.pop()
            while closed and closed[-1][0] > start:
                closed.pop()
            closed.append((start, position))
            if not opened:
                position = text.find("{", position)
    return closed, any(_BEGINS.match(text, start) for start in opened)


def _lenient(text: str) -> Any:
    """JSON, else JSON as JavaScript and Python write it."""
    try:
        return _strict(text)
    except ValueError as error:
        problem = Rejected(f"The JSON cannot be read: {error}. {_PLAIN}")
    if len(text) > _MOST_LENIENT:
        raise problem
    import json5

    plain = "".join(_plain_tokens(text))
    try:
        return json5.loads(
            plain,
            object_pairs_hook=_without_doubles,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_finite,
        )
    except ValueError:
        raise problem from None


def _plain_tokens(text: str) -> Iterator[str]:
    """The text without comments, with its strings and words in JSON's own form."""
    depth = 0
    for token in _TOKEN.finditer(text):
        written = token.group()
        depth += (written in "{[") - (written in "}]")
        if depth > _DEEPEST:
            raise _too_deep()
        if token.lastgroup == "curly":
            yield json.dumps(written[1:-1])
        elif token.lastgroup == "string":
            yield written.replace("\n", "\\n")
        elif token.lastgroup == "comment":
            yield " "
        else:
            yield _PLAIN_JSON.get(written, written)


def _strict(text: str) -> Any:
    return json.loads(
        text,
        strict=False,
        object_pairs_hook=_without_doubles,
        parse_constant=_no_constant,
        parse_int=_whole,
        parse_float=_finite,
    )


def _without_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    listed: Sequence[tuple[str, Any]] = list(pairs)
    record = dict(listed)
    if len(record) < len(listed):
        double = Counter(name for name, _ in listed).most_common(1)[0][0]
        raise Rejected(f"The key {shown(double)} stands twice in one object. Answer again with each key once.")
    return record


def _no_constant(word: str) -> NoReturn:
    raise Rejected(f"{word} is no number. Answer again with a finite number, or leave the key out.")


def _whole(digits: str, base: int = 10) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise Rejected(f"A number has {len(digits)} digits. Answer again: no kernel setting has more than twenty.")
    return int(digits, base)


def _finite(digits: str) -> float:
    number = float(digits)
    if len(digits) > _LONGEST_NUMBER or not math.isfinite(number):
        raise Rejected(f"The number {digits[:20]} is too large or too long. Answer again with a plain number.")
    return number


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
    return bool(level)


def _several(count: int) -> Rejected:
    return Rejected(f"The reply holds {count} values where one object belongs. {_ONE_OBJECT}")


def _too_deep() -> Rejected:
    return Rejected(f"The JSON is nested too deeply. {_ONE_OBJECT}")
