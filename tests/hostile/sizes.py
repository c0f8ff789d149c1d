"""Hostile texts that are too large for a file: a name in, the text or the bytes out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any


def _knobs(count: int) -> str:
    entries = [{"param": f"vm.invented_{number}", "min": 0, "max": number} for number in range(count)]
    return json.dumps({"action_space": entries})


def _deep(depth: int, opening: str, closing: str) -> str:
    return f'{{"action_space": {opening * depth}1{closing * depth}}}'


_ANSWER = json.dumps({"choices": [{"message": {"content": " " * 20_000_000}}]}).encode()

TEXTS: dict[str, Callable[[], str]] = {
    "4001 characters": lambda: ("optimize PostgreSQL " * 201)[:4001],
    "a million characters": lambda: "optimize PostgreSQL " * 50_000,
    "a hundred thousand open braces": lambda: "{" * 100_000,
    "a hundred thousand open brackets": lambda: "[" * 100_000,
    "a hundred kilobytes of thoughts": lambda: "I think about vm.dirty_ratio. " * 3500,
    "half a megabyte of arguments": lambda: json.dumps({"area": "vm." * 170_000}),
    "arguments nested ten thousand deep": lambda: '{"area": ' * 10_000 + "1" + "}" * 10_000,
    "a thousand invented knobs": lambda: _knobs(1000),
    "ten thousand invented knobs": lambda: _knobs(10_000),
    "lists five hundred deep": lambda: _deep(500, "[", "]"),
    "a number of ten thousand digits": lambda: '{"training_config": {"total_timesteps": ' + "9" * 10_000 + "}}",
    "ten megabytes of words": lambda: "transactions " * 800_000,
    "ten megabytes in one line": lambda: "x" * 10_000_000,
    "a hundred thousand lines": lambda: "tps = 1.0 (including)\n" * 100_000,
    "two hundred thousand empty lines": lambda: "\n" * 200_000,
    "a million letters": lambda: "a" * 1_000_000,
    "a number of events with ten thousand digits": lambda: f"    events per second:   {'9' * 10_000}.00\n",
    "bytes that are no UTF-8": lambda: '{"workload_name": "\udcff\udcfe\udc80\udcc0"}',
    "objects a thousand deep": lambda: '{"a": ' * 1000 + "1" + "}" * 1000,
    "a hundred thousand keys": lambda: json.dumps({f"key_{number}": number for number in range(100_000)}),
}
"""Texts."""

BYTES: dict[str, Callable[[], bytes]] = {
    "a compressed reply of twenty megabytes": lambda: gzip.compress(_ANSWER),
    "every byte there is": lambda: bytes(range(256)) * 40,
    "half a document": lambda: b'{"choices": [{"message": {"role": "assistant", "content": "{\\"action_sp',
    "a page of HTML": lambda: (
        b"<!doctype html><script>alert(1)</script><title>\x1b]0;owned\x07Login</title><h1>Please sign in</h1>"
    ),
    "nothing": lambda: b"",
    "a list": lambda: b"[1, 2, 3]",
    "null for a message": lambda: b'{"choices": [{"message": null}]}',
    "deep JSON": lambda: b"[" * 200_000,
    "an event stream": lambda: b'data: {"choices": []}\n\ndata: [DONE]\n\n',
}
"""Bodies of replies."""


def text(name: str) -> str:
    """The text of this name."""
    return TEXTS[name]()


def body(name: str) -> bytes:
    """The body of this name."""
    return BYTES[name]()


def nested(value: Any, replace: Callable[[str], str]) -> Any:
    """The same value with every text in it replaced."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, list):
        return [nested(each, replace) for each in value]
    if isinstance(value, dict):
        return {replace(key): nested(each, replace) for key, each in value.items()}
    return value
