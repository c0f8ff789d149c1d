"""A seed in, the lines that a broken or hostile main program sends to the agent out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.fuzz.trying import MARKS, NUMBERS

KNOBS = [
    "vm.swappiness", "vm.dirty_ratio", "vm.dirty_background_ratio", "vm.dirty_bytes", "vm.dirty_expire_centisecs",
    "thp.enabled", "swappiness", "/proc/sys/vm/swappiness", "kernel.randomize_va_space", "kernel.core_pattern",
    "/etc/passwd", "../../etc/passwd", "/proc/sys/../../etc/passwd", "vm.*", "", "vm.gone", "x" * 10_000,
]  # fmt: skip
VALUES: list[Any] = [
    0, 1, 10, 60, 60.0, 20.0, True, False, None, -1, 101, 10**30, 1e308, "10", "always", "never", "madvise",
    "x\ny", "|/bin/sh",
    [], [10], {}, {"a": 1}, "\x00", "\ud800", "9" * 400,
]  # fmt: skip
PROGRAMS: list[Any] = [
    ["true"], ["sleep", "0"], ["echo", "a", "\x1b[0m"], ["/nonexistent"], [""], ["true\x00"], ["\ud800"], [],
    "true", [1], None,
    ["true", "x" * 200_000], ["./put-1"], {"0": "true"},
]  # fmt: skip
ODD: list[Any] = [
    None,
    True,
    -1,
    1.5,
    "",
    "x",
    [],
    {},
    [[]],
    {"a": []},
    10**400,
    1e999,
    float("nan"),
    "\ud800",
    "\x00",
    "../x",
]


def lines(seed: int, count: int, base: str) -> list[bytes]:
    """So many lines: about half of them are requests as they should be.

    Args:
        seed: The same seed makes the same lines.
        count: How many.
        base: Folder in which work folders may be made.
    """
    chance = random.Random(seed)
    return [_line(chance, number, base).strip() or b"{" for number in range(count)]


def _line(chance: random.Random, number: int, base: str) -> bytes:
    kind = chance.randrange(12)
    if kind == 0:
        return _garbage(chance)
    request = {"id": number, **_request(chance, base)}
    if kind <= 4:
        _spoil(chance, request)
    text = json.dumps(request).encode("ascii")
    if kind == 5 and request["op"] not in ("run", "start", "open"):  # no other program, no other folder
        place = chance.randrange(len(text))
        flipped = bytes([text[place] ^ 1 << chance.randrange(8)])
        text = (text[:place] + flipped + text[place + 1 :]).replace(b"\n", b" ")
    return text[: chance.randrange(len(text))] if kind == 6 else text


def _request(chance: random.Random, base: str) -> dict[str, Any]:
    def values() -> dict[str, Any]:
        return {chance.choice(KNOBS): chance.choice(VALUES) for _ in range(chance.randrange(4))}

    fitting: dict[str, Any] = {
        "vm.swappiness": chance.randrange(101), "vm.dirty_ratio": chance.randrange(5, 60),
        "thp.enabled": chance.choice(["always", "madvise", "never"]),
        "vm.dirty_expire_centisecs": chance.randrange(500, 6000),
    }  # fmt: skip
    made: list[Callable[[], dict[str, Any]]] = [
        lambda: {"op": "hello"},
        lambda: {"op": "ping"},
        lambda: {"op": "open", "session": "s", "base": base, "knobs": chance.sample(sorted(fitting), 2)},
        lambda: {"op": "open", "session": "s", "base": base},
        lambda: {"op": "write", "values": dict(chance.sample(sorted(fitting.items()), 2))},
        lambda: {"op": "write", "values": values()},
        lambda: {"op": "write", "values": values()},
        lambda: {"op": "put", "name": f"put-{chance.randrange(3)}", "text": "#!/bin/true\n", "executable": True},
        lambda: {"op": "put", "name": chance.choice(["", ".", "..", "../x", "/etc/x", "a/b", "\ud800", "\x00",
        "y" * 300]),
                 "text": chance.choice(["x", "\ud800", "\x00"])},
        lambda: {"op": "run", "argv": chance.choice(PROGRAMS), "timeout": chance.choice([5, 0.01, -1, 1e999,
        10**400, "x"]),
                 "env": chance.choice([{}, {"A": "b"}, {"A=": "b"}, {"\x00": "c"}, None, [], "x", {"A": None}]),
                 "sample": chance.choice([True, False, None])},
        lambda: {"op": "stop-run"},
        lambda: {"op": "start", "name": chance.choice(["a", "b", "", "\ud800"]), "argv": chance.choice(PROGRAMS),
        "env": {},
                 "stop_signal": chance.choice(["SIGTERM", "SIGKILL", "SIGINT", "SIGNONE", "", 9])},
        lambda: {"op": "stop", "name": chance.choice(["a", "b", "c", ""])},
        lambda: {"op": "restore"},
        lambda: {"op": "close"},
        lambda: {"op": "recover", "reason": "because"},
        lambda: {"op": "apply", "session": "s", "date": "today", "values": dict(list(fitting.items())[:2]),
        "base": base},
        lambda: {"op": "apply", "session": "s\nx", "date": "\x1b", "values": values(), "base": base},
        lambda: {"op": "rollback", "base": base},
    ]  # fmt: skip
    return chance.choice(made)()


def _spoil(chance: random.Random, request: dict[str, Any]) -> None:
    """One key gone, of another type, or too many; argv and base stay what they are, or go."""
    keys = [key for key in request if key not in ("argv", "base")]
    key = chance.choice(keys)
    match chance.randrange(5):
        case 0:
            request.pop(chance.choice(list(request)) if len(request) > 1 else key)
            request.setdefault("op", "")
        case 1:
            request["id"] = _nested(chance.choice([5, 50]), chance)
        case 2:
            request[chance.choice(["x", "path", "root", "folder", "limits", "reason"])] = chance.choice(ODD)
        case _:
            request[key] = chance.choice(ODD)


def _nested(depth: int, chance: random.Random) -> Any:
    value: Any = chance.choice(ODD)
    for _ in range(depth):
        value = [value] if chance.random() < 0.5 else {"a": value}
    return value


def _garbage(chance: random.Random) -> bytes:
    pieces = [
        bytes(chance.randrange(256) for _ in range(chance.randrange(30))), b"[" * chance.choice([10, 990, 5000]),
        b'{"a":' * chance.choice([10, 990, 5000]), b"{}", b"[]", b"null", b'"op"', b"7", b"{" * 3,
        b"\xff\xfe{\x00", b"\x00" * 9,
        b'{"op":"ping","op":"close"}', b'{"op":{"op":"ping"}}', b'{"op":["ping"]}',
        b'{"id":' + b"9" * 5000 + b',"op":"ping"}',
        chance.choice(MARKS).encode("utf-8", "surrogatepass"), chance.choice(NUMBERS).encode(),
    ]  # fmt: skip
    return chance.choice(pieces).replace(b"\n", b" ")
