"""Says how many inputs were tried, when it is a campaign and not the ordinary test run."""

from __future__ import annotations

import pytest

from tests.fuzz.trying import TRIED, is_campaign


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if is_campaign():
        for item in items:
            item.add_marker(pytest.mark.timeout(1800))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TRIED and is_campaign():
        terminalreporter.section("inputs tried")
        for target, count in sorted(TRIED.items()):
            terminalreporter.write_line(f"{count:>9,}  {target}")
        terminalreporter.write_line(f"{TRIED.total():>9,}  together")
