"""One case in a world of its own: folders that nobody may touch, a model that says what the case says, and what came
of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from knobctl.main import cli
from knobctl.store import ConversationRecord, Store
from tests.hostile.case import KEY, Case
from tests.hostile.watching import Seen, watching
from tests.llm.scripted_server import Reply, Request, ScriptedServer, scripted_server

MODELS = {"openai": "openai-compatible:scripted", "anthropic": "anthropic:claude-sonnet-4-6"}
UNTOUCHED = "nobody may change this\n"


@dataclass
class Outcome:
    """What came of a case.

    Attributes:
        code: Exit code.
        out: Bytes on standard output.
        err: Bytes on standard error.
        seconds: How long it took.
        seen: What the process did.
        conversations: What is on record, the newest first.
        served: What the model was made to say, with the phase.
        requests: What the model was sent.
        port: Where the model listens.
    """

    code: int
    out: bytes
    err: bytes
    seconds: float
    seen: Seen
    conversations: tuple[ConversationRecord, ...] = ()
    served: list[tuple[str, Reply]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    @property
    def text(self) -> str:
        """All that people and programs see."""
        return (self.out + self.err).decode("utf-8", "replace")

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


@dataclass(frozen=True)
class World:
    """Folders of one case.

    Attributes:
        folder: Holds all of it.
    """

    folder: Path

    @property
    def state(self) -> Path:
        """Where knobctl may write."""
        return self.folder / "state"

    @property
    def here(self) -> Path:
        """The current folder."""
        return self.folder / "here"

    @property
    def home(self) -> Path:
        """The user's home."""
        return self.folder / "home"

    @property
    def canary(self) -> Path:
        """What must never exist."""
        return self.folder / "canary"

    @property
    def database(self) -> Path:
        """The record."""
        return self.state / "knobctl.db"

    @property
    def environment(self) -> dict[str, str]:
        """For every command."""
        return {
            "KNOBCTL_STATE_DIR": str(self.state),
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.folder / "configuration"),
            "COLUMNS": "100",
        }

    def make(self) -> None:
        """Makes the folders, with a file in each that has to stay as it is."""
        for folder in (self.here, self.home, self.folder / "configuration" / "knobctl"):
            folder.mkdir(parents=True)
        for folder in (self.here, self.home):
            (folder / "precious.txt").write_text(UNTOUCHED)

    def limit(self, timeout: float) -> None:
        """Gives the model so many seconds for one reply."""
        settings = self.folder / "configuration" / "knobctl" / "config.toml"
        settings.write_text(f"[model]\ntimeout = {timeout}\n")

    def files(self) -> dict[str, bytes]:
        """Everything outside of the state folder, by path."""
        return {
            str(path): path.read_bytes() if path.is_file() else b""
            for path in sorted(self.folder.rglob("*"))
            if self.state not in (path, *path.parents)
        }

    def store(self) -> Store:
        """The record, open."""
        return Store(self.database)

    def conversations(self) -> tuple[ConversationRecord, ...]:
        """All that were recorded."""
        if not self.database.exists():
            return ()
        with self.store() as store:
            return store.conversations(50)

    def knobctl(self, *arguments: str, model: ScriptedServer | None = None, wire: str = "openai") -> Outcome:
        """``knobctl ARGUMENTS`` without a terminal, watched."""
        environment = dict(self.environment)
        if model is not None:
            environment |= {
                "KNOBCTL_MODEL": MODELS[wire],
                "KNOBCTL_LLM_BASE_URL": model.base_url,
                "KNOBCTL_LLM_API_KEY": KEY,
            }
        began = time.monotonic()
        with watching() as seen:
            # In colour: as to a terminal, where nothing is taken out on the way.
            result = CliRunner().invoke(cli, arguments, prog_name="knobctl", env=environment, color=True)
        seconds = time.monotonic() - began
        assert result.exception is None or isinstance(result.exception, SystemExit), "no traceback leaves a command"
        return Outcome(result.exit_code, result.stdout_bytes, result.stderr_bytes, seconds, seen, self.conversations())


@contextmanager
def speaking(case: Case, canary: Path) -> Iterator[tuple[ScriptedServer, list[tuple[str, Reply]]]]:
    """A model that says what the case says in each of its phases."""
    script = {phase: case.replies(phase, canary) for phase in ("think", "decide", "plan")}
    served: list[tuple[str, Reply]] = []

    def reply(request: Request) -> Reply:
        phase = phase_of(request)
        entries = script[phase]
        said = entries.pop(0) if len(entries) > 1 else entries[0]
        served.append((phase, said))
        return said

    with scripted_server(reply) as server:
        yield server, served


def phase_of(request: Request) -> str:
    """What the model is asked for: to look and think, to decide what is wanted, or to plan."""
    if request.body.get("tools"):
        return "think"
    return "decide" if "You sort requests for knobctl" in request.text else "plan"
