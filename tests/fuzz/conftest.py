"""Says how many inputs were tried, when it is a campaign and not the ordinary test run."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.fuzz.trying import TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TRIED and settings.get_current_profile_name() == "campaign":
        terminalreporter.section("inputs tried")
        for target, count in sorted(TRIED.items()):
            terminalreporter.write_line(f"{count:>9,}  {target}")
        terminalreporter.write_line(f"{TRIED.total():>9,}  together")
