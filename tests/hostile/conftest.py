"""A world of its own for every case."""

from __future__ import annotations

import platform
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.hostile.invariants")

from tests.hostile.world import World  # noqa: E402 - its assertions are to say what they found


@pytest.fixture(scope="session", autouse=True)
def libraries() -> None:
    """What is slow to import, once; and Python's own question to ``uname``, which some library asks at its import."""
    import knobctl.env
    import knobctl.llm.client  # noqa: F401

    platform.processor()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    made.make()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(made.here)
    return made


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Commands take over the signals of their process, which here is that of the tests."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
