"""The agent's fake kernel, for the other program that is root, and a TuneD beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.conftest import catalogue, kernel, places, root
from tests.permanent.tuned_machine import TunedMachine

__all__ = ["catalogue", "kernel", "places", "root", "tuned"]


@pytest.fixture
def tuned(root: Path) -> TunedMachine:
    return TunedMachine(root)
