"""The local target keeps the same contract as the simulated one, on the real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from knobctl.knobs import Value
from knobctl.target import Target
from knobctl.target.local import LocalTarget
from tests.target.contract import TargetContract


@pytest.mark.real_host
class TestLocalTarget(TargetContract):
    def make_target(self) -> Target:
        return LocalTarget()

    def same_machine(self, target: Target) -> Target:
        return LocalTarget()

    def change_from_outside(self, target: Target, name: str, value: Value) -> None:
        Path(target.probe([name])[name].paths[0]).write_text(str(value))
