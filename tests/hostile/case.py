"""A case file in, the case with everything that is said in it out.

A case says where the hostile text comes from, what it is, and what has to come of it. In every text ``@CANARY@`` stands
for a path that must never exist, and ``@KEY@`` for the key that is sent to the model.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tests.hostile import sizes
from tests.llm.scripted_server import QUICKLY, Call, Drip, Drop, Hang, Huge, Raw, Refuse, Reply, Say, Status
from tests.strategist.scripted_model import decision, draft

CASES = Path(__file__).parent / "cases"
KEY = "hostile-0123456789abcdef"
"""Of no provider's form, so that nobody knows it for a key by its looks."""

REQUEST = "optimize this system for a PostgreSQL database"
PLAN = {
    "workload_name": "CPU",
    "reward_metric": "events_per_second",
    "benchmark_command": "sysbench cpu --threads=2 --time=3 run",
    "action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 60}],
    "state_space": [],
    "training_config": {"total_timesteps": 8},
}
"""A plan file in which nothing is wrong."""

SOURCES = (
    "request", "reply", "tool-call", "host-facts", "knob-state", "past-session", "benchmark-output", "plan-file",
    "record", "server",
)  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """What has to come of a case, beside what holds for all of them.

    Attributes:
        exit: Exit code.
        source: ``model`` or ``playbook``; empty when there is no plan.
        says: Words that people must be told.
        never: Words that no output may hold.
        command: The benchmark command of the plan; empty when it does not matter.
        knobs: All knobs of the plan; None when they do not matter.
        recorded: Words that the record of the conversation must hold.
        sent: Words that the model must be sent.
        playbook_exit: Exit code without a model; None when it is the same.
        verdict: The verdict of the run; empty when there is none.
    """

    exit: int = 0
    source: str = ""
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    command: str = ""
    knobs: tuple[str, ...] | None = None
    recorded: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    playbook_exit: int | None = None
    verdict: str = ""


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: Of its file.
        origin: Where the hostile text comes from, one of :data:`SOURCES`.
        why: What somebody wants to reach with it.
        request: The user's words.
        wire: ``openai`` or ``anthropic``: how the model speaks.
        verb: ``plan`` or ``tune``.
        options: Further words on the command line.
        timeout: Seconds that the model has for one reply.
        said: What the model says in each of its phases ``think``, ``decide`` and ``plan``; the last entry repeats.
        files: Files of the machine.
        past: The session that is on record already.
        text: A plan file.
        output: What the benchmark prints.
        exit_code: How the benchmark ends.
        expect: What has to come of it.
    """

    name: str
    origin: str
    why: str
    request: str = REQUEST
    wire: str = "openai"
    verb: str = "plan"
    options: tuple[str, ...] = ()
    timeout: float = 20.0
    said: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    past: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    output: str = ""
    exit_code: int = 0
    expect: Expected = Expected()

    def replies(self, phase: str, canary: Path) -> list[Reply]:
        """What the model says in a phase."""
        return [_reply(sizes.nested(entry, _filled(canary))) for entry in self.said.get(phase, _USUAL[phase])]

    def filled(self, text: str, canary: Path) -> str:
        """A text of the case with its placeholders replaced."""
        return _filled(canary)(text)


_USUAL: Mapping[str, tuple[Any, ...]] = {
    "think": ("Writers wait for the disk.",),
    "decide": (json.dumps(decision("postgresql-write")),),
    "plan": (json.dumps(draft("vm.dirty_ratio", "vm.dirty_background_ratio")),),
}


def load(path: Path) -> Case:
    """The case in a file. Raises ``ValueError`` for a key that no case has."""
    record = tomllib.loads(path.read_text(encoding="utf-8"))
    expect = record.pop("expect", {})
    known = {"from", "think", "decide", "plan", "generate", *(each.name for each in fields(Case))} - {
        "name", "origin", "said", "expect",
    }  # fmt: skip
    if strange := (set(record) - known) | (set(expect) - {each.name for each in fields(Expected)}):
        raise ValueError(f"{path.name}: unknown keys {', '.join(sorted(strange))}")
    origin = record.pop("from")
    if origin not in SOURCES:
        raise ValueError(f"{path.name}: unknown source {origin}")
    said = {} if origin == "plan-file" else {name: tuple(record.pop(name)) for name in _USUAL if name in record}
    made: dict[str, Any] = {name: sizes.text(generator) for name, generator in record.pop("generate", {}).items()}
    if "past" in made:
        made["past"] = {"workload": made["past"]}
    if origin == "plan-file" and "plan" in record:
        made["text"] = json.dumps(PLAN | record.pop("plan"))
    return Case(
        name=path.stem,
        origin=origin,
        said=said,
        expect=Expected(**{key: _frozen(value) for key, value in expect.items()}),
        **{key: _frozen(value) for key, value in {**record, **made}.items()},
    )


def all_cases() -> list[Case]:
    """Every case, by name."""
    return [load(path) for path in sorted(CASES.glob("*.toml"))]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _filled(canary: Path) -> Any:
    return lambda text: text.replace("@CANARY@", str(canary)).replace("@KEY@", KEY)


def _reply(entry: Any) -> Reply:
    """What the server sends for an entry: words, or a table that says what kind of reply it is."""
    if isinstance(entry, str):
        return Say(entry)
    rest = dict(entry)
    kind = next(iter(rest))
    value = rest.pop(kind)
    match kind:
        case "draft":
            return Say(json.dumps(draft("vm.dirty_ratio", "vm.dirty_background_ratio") | value))
        case "decision":
            return Say(json.dumps(decision("postgresql-write") | value))
        case "generate":
            return Say(sizes.text(value))
        case "thought":
            return Say(rest["text"], thought=value)
        case "call":
            arguments = sizes.text(rest["generate"]) if "generate" in rest else rest.get("arguments", {})
            call = Call(value, arguments, rest.get("text", ""))
            return call if "times" not in rest else (call,) * int(rest["times"])
        case "status":
            return Status(value, rest.get("body", ""), {**QUICKLY, **rest.get("headers", {})})
        case "body":
            return Raw(sizes.body(value), {"Content-Type": "application/json", **rest.get("headers", {})})
        case "raw":
            return Raw(value.encode("utf-8", "surrogateescape"))
        case "refuse":
            return Refuse(value)
        case "megabytes":
            return Huge(value)
        case "hang":
            return Hang()
        case "drip":
            return Drip(value)
        case "drop":
            return Drop(value)
    raise ValueError(f"there is no reply of the kind {kind!r}")
