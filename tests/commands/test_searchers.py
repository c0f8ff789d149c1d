"""The command line lists the searchers without importing them; the list is the registry's."""

from __future__ import annotations

from knobctl.commands import options
from knobctl.search import registry


def test_the_command_line_offers_what_the_registry_has() -> None:
    assert options.SEARCHERS == registry.SEARCHERS
