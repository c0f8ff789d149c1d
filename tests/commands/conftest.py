"""The command line, called as from a shell but in this process, with a state folder of its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from knobctl.main import cli
from knobctl.store import Store


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code, what it printed for programs and what for people."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output; fails when anything else is there."""
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """``knobctl ARGUMENTS``; nobody sits at a terminal."""

    state: Path

    def __call__(self, *arguments: str) -> Done:
        result = CliRunner().invoke(cli, arguments, prog_name="knobctl", env={"KNOBCTL_STATE_DIR": str(self.state)})
        assert result.exception is None or isinstance(result.exception, SystemExit), "no traceback leaves a command"
        return Done(result.exit_code, result.stdout, result.stderr)

    def store(self) -> Store:
        """The record that the commands write."""
        return Store(self.state / "knobctl.db")


@pytest.fixture
def knobctl(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "state")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Commands take over the signals of their process, which here is that of the tests."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
