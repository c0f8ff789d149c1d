"""The tree of errors, as it is drawn and as it is; and what a reader gets from each."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from knobctl import errors
from knobctl.errors import HealthStop, Interrupted, KnobctlError, SafetyStop

DRAWN = re.compile(r"^([│ ]*[├└]── )?([A-Za-z]+) +([0-9]+)   (.+)$", re.MULTILINE)


def tree(kind: type[KnobctlError] = KnobctlError, depth: int = 0) -> Iterator[tuple[int, str, int]]:
    yield depth, kind.__name__, kind.exit_code
    for leaf in kind.__subclasses__():
        if leaf.__module__ == errors.__name__:
            yield from tree(leaf, depth + 1)


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = [(len(branch) // 4, name, int(code)) for branch, name, code, _ in DRAWN.findall(errors.__doc__ or "")]
    assert drawn == [*tree(), (0, "Interrupted", Interrupted.exit_code)]


def test_whoever_goes_on_after_an_error_does_not_go_on_after_an_interruption() -> None:
    assert not issubclass(Interrupted, Exception)


def test_an_error_is_its_message_and_has_a_hint() -> None:
    error = HealthStop("available memory 212 MiB is below 492 MiB", "Free memory.")
    assert (str(error), error.message, error.hint) == (error.message, error.args[0], "Free memory.")
    assert KnobctlError("no").hint == ""


@pytest.mark.parametrize("kind", [SafetyStop, *SafetyStop.__subclasses__()])
def test_every_safety_stop_has_one_exit_code(kind: type[KnobctlError]) -> None:
    assert kind.exit_code == 4
