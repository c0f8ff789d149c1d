"""The words that people type in options."""

from __future__ import annotations

import contextlib

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.commands.options import SEARCHERS, Duration, knob_list, open_target
from knobctl.errors import UsageError
from knobctl.search.registry import SEARCHERS as KNOWN
from knobctl.target.local import LocalTarget


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0), ("90s", 90.0), ("10m", 600.0), ("10min", 600.0), ("1h30m", 5400.0), ("1h 30m", 5400.0),
        ("1.5h", 5400.0), ("2h5s", 7205.0), (" 45s ", 45.0), ("1H2M3S", 3723.0), ("0.5", 0.5), ("0h1s", 1.0),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "10 apples", "-5m", "1e3", "5m1h", "5m5m", "1h30", "10 10", "m", "1,5h", "inf", "nan", "1d", "٣s",
     "h30m", "1h-5m"],
)  # fmt: skip
def test_no_durations(text: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        Duration().convert(text, None, None)
    assert caught.value.message == f"{text!r} is no duration; write 90s, 10m or 1h30m"


@pytest.mark.parametrize("text", ["0", "0s", "0h0m", "0.0", f"1{'0' * 400}"])
def test_no_time_at_all(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time at all"):
        Duration().convert(text, None, None)


@given(st.text(max_size=12))
def test_any_text_is_seconds_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(click.BadParameter):
        assert Duration().convert(text, None, None) > 0


def test_a_duration_that_was_read_already_stays() -> None:
    assert Duration().convert(90.0, None, None) == 90.0


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, ()),
        ("", ()),
        ("vm.swappiness", ("vm.swappiness",)),
        (" vm.* , thp.enabled,,", ("vm.*", "thp.enabled")),
    ],
)
def test_lists_of_knobs(text: str | None, names: tuple[str, ...]) -> None:
    assert knob_list(text) == names


def test_the_searchers_are_those_that_there_are() -> None:
    assert SEARCHERS == KNOWN


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("simulated", "simulated:postgresql"),
        ("simulated:web", "simulated:web"),
        ("simulated:tests.commands.machines:Flat", "simulated:tests.commands.machines:Flat"),
    ],
)
def test_simulated_targets_are_known_by_the_name_that_opens_them_again(name: str, shown: str) -> None:
    target = open_target(name, "/var/tmp")
    assert (target.name, target.simulated) == (shown, True)
    assert open_target(target.name, "/var/tmp").name == shown


def test_the_local_target() -> None:
    target = open_target("local", "/var/tmp")
    assert isinstance(target, LocalTarget)
    assert (target.name, target.simulated) == ("local", False)


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("", "unknown target ''", "Use local, simulated, or simulated:NAME."),
        ("remote", "unknown target 'remote'", "Use local, simulated, or simulated:NAME."),
        ("local:x", "unknown target 'local:x'", "Use local, simulated, or simulated:NAME."),
        ("Simulated", "unknown target 'Simulated'", "Use local, simulated, or simulated:NAME."),
        ("simulated:mars", "unknown simulated machine 'mars'", "Known: postgresql, file-write, web, null; family:"),
        ("simulated:nowhere:Surface", "cannot import the surface nowhere:Surface: ModuleNotFoundError", "Give it as"),
        ("simulated:os:path", "os:path is no surface: it has no action_space, metric", "A surface has action_space"),
    ],
)
def test_unknown_targets(name: str, words: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_target(name, "/var/tmp")
    assert caught.value.message.startswith(words)
    assert caught.value.hint.startswith(hint)
