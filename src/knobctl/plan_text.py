"""JSON text in, a decoded document out; and whatever is wrong with it, in one short clause per place.

Stricter than ``json.loads``: a key that stands twice, ``NaN``, or a number that no float can hold is refused, because
the reader of such a plan and knobctl would not see the same thing.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from knobctl.errors import PlanError

MAX_PLAN_BYTES = 1_000_000
HINT = "See docs/plan.md for every key, or start from `knobctl plan REQUEST -o PLAN.json`."

_SHOWN = 80
_MOST_PROBLEMS = 8
_LONGEST_NUMBER = 40


def shown(value: object) -> str:
    """Foreign data as it may stand in a message: quoted, short, and without a raw control character."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=repr)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def decode(text: str | bytes) -> Any:
    """The document in a JSON text.

    Raises:
        PlanError: The text is too large, empty, not UTF-8 or not JSON, holds a key twice, or a number that is none.
    """
    if len(text) > MAX_PLAN_BYTES:
        raise PlanError(f"the plan has {len(text)} bytes, more than {MAX_PLAN_BYTES}", "A plan is a few kilobytes.")
    try:
        # Windows editors put a byte order mark in front of UTF-8.
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise PlanError("the plan is not UTF-8 text", "Save it as UTF-8.") from None
    if not decoded.strip():
        raise PlanError("the plan is empty", HINT)
    try:
        return json.loads(
            decoded,
            object_pairs_hook=_without_doubles,
            parse_constant=_no_constant,
            parse_int=_bounded_integer,
            parse_float=_finite_number,
        )
    except RecursionError:
        raise PlanError("the plan is nested too deeply", "A plan is four levels deep.") from None
    except ValueError as error:
        raise PlanError(f"the plan is not JSON: {error}", "Compare it with `knobctl plan --json REQUEST`.") from None


def describe(problems: Sequence[Any], keys: Mapping[str, Sequence[str]]) -> str:
    """What pydantic found wrong, for people: one clause per place, with the value.

    Args:
        problems: ``ValidationError.errors()``.
        keys: Known keys of the objects below each top-level key; those of the plan itself under the empty string.
    """
    real = [problem for problem in problems if not _is_consequence(problem)]
    clauses = dict.fromkeys(_clause(problem, keys) for problem in real[:_MOST_PROBLEMS])
    more = len(real) - _MOST_PROBLEMS
    return "; ".join(clauses) + (f"; and {more} more" if more > 0 else "")


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        double = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise PlanError(f"key {shown(double)} stands twice in one object", "Remove one of them.")
    return record


def _no_constant(word: str) -> NoReturn:
    raise PlanError(f"the plan is not JSON: {word} is not a number", "Write a finite number, or leave the key out.")


def _bounded_integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise PlanError(f"a number has {len(digits)} digits", "No kernel setting has more than twenty.")
    return int(digits)


def _finite_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise PlanError(f"the number {shown(digits)[1:-1]} is too large", "Write a finite number.")
    return number


_NOT_A = (
    ("int_", "an integer"),
    ("float_", "a number"),
    ("finite_", "a finite number"),
    ("bool_", "true or false"),
    ("string_", "text"),
    ("tuple_", "a list"),
    ("model_", "an object"),
    ("dict_", "an object"),
)
_BEYOND = {
    "greater_than_equal": ("below", "ge"),
    "greater_than": ("not above", "gt"),
    "less_than_equal": ("above", "le"),
}


def _clause(problem: Any, keys: Mapping[str, Sequence[str]]) -> str:
    location, kind, raw = problem["loc"], problem["type"], problem["input"]
    context = problem.get("ctx", {})
    place = _place(location)
    if kind == "extra_forbidden":
        return f"unknown key {place}{_did_you_mean(location, keys)}"
    if kind == "missing":
        return f"missing key {place}"
    if kind in ("too_short", "string_too_short"):
        return f"{place} is empty"
    if kind == "value_error":
        what = str(context["error"])
    elif kind in ("too_long", "string_too_long"):
        what = f"{len(raw)} {'characters' if isinstance(raw, str) else 'entries'} are more than {context['max_length']}"
    elif kind in _BEYOND:
        relation, limit = _BEYOND[kind]
        what = f"{shown(raw)} is {relation} {context[limit]}"
    elif kind == "literal_error":
        what = f"{shown(raw)} is not {context['expected']}"
    elif _is_knob_value(location):
        what = f"{shown(raw)} is neither an integer nor a word"
    else:
        wanted = next((words for prefix, words in _NOT_A if kind.startswith(prefix)), "what belongs here")
        what = f"{shown(raw)} is not {wanted}"
    return f"{place}: {what}"


def _is_consequence(problem: Any) -> bool:
    """Whether another problem says it better."""
    location, raw = problem["loc"], problem["input"]
    if problem["type"] == "too_short":
        return bool(raw) and not isinstance(raw, str)  # a list whose entries were all bad is not empty
    # A knob's value is tried as an integer and as a word; only what it looks like is worth a clause.
    if _is_knob_value(location):
        return str(problem["type"]) == ("int_type" if isinstance(raw, str) else "string_type")
    return False


def _is_knob_value(location: Sequence[int | str]) -> bool:
    return len(location) > 3 and location[2] in ("values", "configuration")


def _place(location: Sequence[int | str]) -> str:
    # Below a knob's value, pydantic goes on with the member of the union that it tried.
    parts = location[:4] if _is_knob_value(location) else location
    return ".".join(str(part) if _is_plain(part) else shown(part) for part in parts)


def _is_plain(part: int | str) -> bool:
    return isinstance(part, int) or (part.isprintable() and 0 < len(part) <= _SHOWN)


def _did_you_mean(location: Sequence[int | str], keys: Mapping[str, Sequence[str]]) -> str:
    known = keys["" if len(location) == 1 else str(location[0])]
    close = difflib.get_close_matches(str(location[-1]).lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
