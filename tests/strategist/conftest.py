"""A machine for every test of the strategist."""

from __future__ import annotations

import pytest

from tests.strategist.machine import Machine, machine_of


@pytest.fixture
def machine() -> Machine:
    return machine_of()
