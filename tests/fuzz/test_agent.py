"""The programs that are root, as they are packed, and main programs that break every rule of the protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from knobctl.agent import protocol
from knobctl.agent.protocol import AgentError
from knobctl.knobs import codec
from knobctl.knobs.files import catalogue
from knobctl.target import pack
from tests.fuzz import agent_lines
from tests.fuzz.trying import TRIED, is_campaign, json_values, mutated_text, reading, sized, texts
from tests.hostile.machines import FILES

SEEDS = range(60) if is_campaign() else range(2)
LINES = 250
SAYS = ("line", "ok")


@sized(80)
@given(line=st.one_of(json_values.map(lambda value: json.dumps(value).encode()), st.binary(max_size=200),
                      mutated_text('{"id": 1, "op": "write", "values": {"vm.swappiness": 10}}').map(
                          lambda text: text.encode("utf-8", "surrogatepass"))))  # fmt: skip
@example(line=b"[" * 200_000)
@example(line=b'{"a":' * 200_000)
@example(line=b'{"id":' + b"9" * 5000 + b"}")
@example(line=b" " * (protocol.MAX_LINE + 1))
def test_one_line(line: bytes) -> None:
    with reading("protocol: decode"):
        try:
            message = protocol.decode(line)
        except AgentError as error:
            assert error.code == protocol.BAD_REQUEST
            return
        assert isinstance(message, dict)


@sized(40)
@given(message=st.dictionaries(texts, json_values, max_size=4))
def test_what_is_encoded_is_one_line(message: dict[str, Any]) -> None:
    with reading("protocol: encode"):
        line = protocol.encode(message)
    assert line.count(b"\n") == 1
    assert line.isascii()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that an ordinary user, as whom benchmarks run, may walk through."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


class FakeRoot:
    """A folder that stands for a machine, with one file that no knob has any business with.

    Attributes:
        path: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "root"
        self.base = folder / "base"
        for name, text in {**FILES, "etc/passwd": "root:x:0:0", "proc/sys/kernel/core_pattern": "core",
                           "proc/sys/kernel/randomize_va_space": "2"}.items():  # fmt: skip
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        self.base.mkdir()
        folder.chmod(0o755)
        self.before = self.texts()

    def texts(self) -> dict[str, str]:
        """Every file below it, by its name there, but for what the agent itself keeps."""
        own = (self.path / "var/lib/knobctl", self.path / "run/knobctl")
        return {
            str(path.relative_to(self.path)): path.read_text(errors="replace")
            for path in sorted(self.path.rglob("*"))
            if path.is_file() and not any(folder in path.parents for folder in own)
        }

    def is_as_it_was(self) -> None:
        after = self.texts()
        assert set(after) == set(self.before)
        for name, text in self.before.items():
            assert after[name] == text or codec.same(after[name], text), name


def converse(program: str, root: FakeRoot, folder: Path, requests: Sequence[bytes]) -> list[dict[str, Any]]:
    """Sends everything at once and closes. Returns what was said; that the program ended well is checked."""
    archive = pack.install(program, folder)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(archive), "--root", str(root.path)],
        input=b"\n".join(requests) + b"\n", capture_output=True, check=False, timeout=120, cwd=root.base,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    said = done.stderr.decode(errors="replace")
    assert "Traceback" not in said, said[-2000:]
    assert done.returncode == 0, f"exit status {done.returncode}: {said[-500:]}"
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for answer in answers:
        assert isinstance(answer, dict)
        assert any(key in answer for key in SAYS)
    return answers


def check_answers(requests: Sequence[bytes], answers: Sequence[dict[str, Any]]) -> None:
    """Each line has one answer; only a command that still runs at the end has none."""
    asked = [line for line in requests if line.strip()]
    runs = sum(b'"run"' in line for line in asked)
    final = [answer for answer in answers if "ok" in answer]
    assert len(asked) - runs <= len(final) <= len(asked)
    for answer in final:
        assert isinstance(answer["ok"], bool)
        if not answer["ok"]:
            assert isinstance(answer["code"], str)
            assert isinstance(answer["message"], str)
    knobs = catalogue()
    for held in (answer["held"] for answer in final if "held" in answer):
        for name, value in held.items():
            assert knobs[name].risk != "forbidden"
            assert type(value) in (int, str)


def shortest(requests: list[bytes], fails: Callable[[list[bytes]], bool]) -> list[bytes]:
    """As few of the requests as fail too: what a person wants to see."""
    size = len(requests) // 2
    while size:
        for start in range(0, len(requests), size):
            fewer = requests[:start] + requests[start + size :]
            if fails(fewer):
                requests = fewer
                break
        else:
            size //= 2
    return requests


def try_lines(program: str, folder: Path, requests: list[bytes], check: Callable[[FakeRoot], None]) -> None:
    count = 0

    def attempt(some: list[bytes]) -> None:
        nonlocal count
        count += 1
        place = folder / f"attempt-{count}"
        place.mkdir()
        root = FakeRoot(place)
        here = [line.replace(b"@BASE@", str(root.base).encode()) for line in some]
        check_answers(here, converse(program, root, folder, here))
        check(root)
        assert list(root.base.iterdir()) == [], "a work folder is left behind"

    def fails(some: list[bytes]) -> bool:
        try:
            attempt(some)
        except AssertionError:
            return True
        return False

    TRIED[f"lines to the {program} program"] += len(requests)
    try:
        attempt(requests)
    except AssertionError as error:
        few = shortest(requests, fails)
        shown = "\n".join(line[:300].decode(errors="backslashreplace") for line in few)
        raise AssertionError(f"{error}\n\nwith these lines alone:\n{shown}") from None


def nothing_is_left(root: FakeRoot) -> None:
    root.is_as_it_was()
    assert not (root.path / "var/lib/knobctl/journal").exists()


def only_safe_knobs_are_different(root: FakeRoot) -> None:
    """``apply`` changes knobs for good, and writes two files; nothing else."""
    after = root.texts()
    assert set(after) - set(root.before) <= {"etc/sysctl.d/90-knobctl.conf", "etc/tmpfiles.d/knobctl.conf"}
    knobs = {knob.path[1:]: knob for knob in catalogue()}
    for name, text in root.before.items():
        if after[name] != text and not codec.same(after[name], text):
            knob = knobs[name]
            assert knob.risk != "forbidden"
            quantities = {"memory_bytes": 16 << 30, "memory_kib": 16 << 20, "memory_pages": 4 << 20, "cores": 64}
            assert knob.allows(codec.parse(knob, after[name]), quantities), f"{name}: {after[name]!r}"


@pytest.mark.parametrize("seed", SEEDS)
def test_lines_to_the_agent(place: Path, seed: int) -> None:
    requests = agent_lines.lines(seed, LINES, "@BASE@")
    try_lines(pack.AGENT, place, requests, nothing_is_left)


@pytest.mark.parametrize("seed", SEEDS)
def test_lines_to_the_permanent_program(place: Path, seed: int) -> None:
    requests = agent_lines.lines(10_000 + seed, LINES, "@BASE@")
    try_lines(pack.PERMANENT, place, requests, only_safe_knobs_are_different)


OPEN_SESSION = b'{"id": 1, "op": "open", "session": "s", "base": "@BASE@"}'
CONVERSATIONS: dict[str, tuple[list[bytes], list[bool]]] = {
    "a deep id": ([b'{"op": "ping", "id": ' + b"[" * depth + b"]" * depth + b"}" for depth in range(900, 1000)], []),
    "a recovery in a session": (
        [OPEN_SESSION, b'{"op": "recover", "reason": "x"}', b'{"op": "write", "values": {"vm.swappiness": 10}}'],
        [True, False, True],
    ),
    "a signal that is none": (
        [
            OPEN_SESSION,
            b'{"op": "start", "name": "a", "argv": ["sleep", "9"], "stop_signal": "NO"}',
            b'{"op": "close"}',
        ],
        [True, False, True],
    ),
    "half a character in a file": (
        [OPEN_SESSION, b'{"op": "put", "name": "a", "text": "\\ud800"}', b'{"op": "put", "name": "a", "text": "x"}'],
        [True, False, True],
    ),
}
"""Lines, and which of them are carried out; empty where it does not matter."""


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_what_once_went_wrong(place: Path, name: str) -> None:
    requests, outcomes = CONVERSATIONS[name]
    root = FakeRoot(place)
    here = [line.replace(b"@BASE@", str(root.base).encode()) for line in requests]
    answers = converse(pack.AGENT, root, place, here)
    check_answers(here, answers)
    nothing_is_left(root)
    if outcomes:
        assert [answer["ok"] for answer in answers] == outcomes
