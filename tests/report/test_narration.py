"""What a language model says while it plans in, the lines that are told at each level out."""

from __future__ import annotations

import pytest

from knobctl.events import MemoryRecalled, Notice, SessionStarted, StrategistStep
from knobctl.report.narration import NORMAL, QUIET, VERBOSE, Line, Narrator

FAILED = StrategistStep("failed", "no reply\nin 60 s \x1b[31m")


@pytest.mark.parametrize(
    ("step", "lines"),
    [
        (StrategistStep("thought", "First the knobs."), ["  thought: First the knobs."]),
        (StrategistStep("call", "{}", "list_knobs"), ["  looks at: list_knobs {}"]),
        (
            StrategistStep("observation", "a\nb\nc\nd", "list_knobs"),
            ["  saw: a", "      b", "      c", "      ... (7 characters in all)"],
        ),
        (StrategistStep("answer", '{"a": 1}'), ['  answer: {"a": 1}']),
        (StrategistStep("rejected", "unknown key a"), ["  rejected: unknown key a"]),
        (StrategistStep("request", "optimize"), ["  asked: optimize"]),
        (StrategistStep("user", "why?"), []),
        (StrategistStep("reply", "Because."), []),
    ],
)
def test_what_a_model_does_is_told_to_those_who_want_to_know(step: StrategistStep, lines: list[str]) -> None:
    assert Narrator(VERBOSE).lines(step) == [Line(line, "dim") for line in lines]
    assert Narrator(QUIET).lines(step) == []


@pytest.mark.parametrize("level", [QUIET, NORMAL, VERBOSE])
def test_a_model_that_gives_no_reply_is_a_warning(level: int) -> None:
    told = Narrator(level).lines(FAILED)
    assert told == [Line("warning: the language model gave no reply: no reply in 60 s", "warning")]


def test_during_a_simulated_run_every_line_says_so() -> None:
    narrator = Narrator(VERBOSE)
    narrator.lines(SessionStarted("s", "w", "m", "", "maximize", "c", "simulated:web", True, "ppo", 2))
    assert narrator.lines(FAILED)[0].text.startswith("SIMULATED warning: ")
    assert narrator.lines(Notice("slow"))[0].text == "SIMULATED note: slow"


def test_whoever_waits_for_a_model_sees_that_something_happens() -> None:
    narrator = Narrator(NORMAL)
    assert narrator.lines(StrategistStep("call", '{"area": "vm"}', "list_knobs\x1b[0m")) == [
        Line("  it looks at list_knobs", "dim")
    ]
    assert narrator.lines(StrategistStep("rejected", "There is no\nJSON.")) == [
        Line("  not usable, asked again: There is no JSON.", "dim")
    ]
    for step in ("request", "thought", "observation", "answer", "user", "reply"):
        assert narrator.lines(StrategistStep(step, "words")) == []


def test_who_is_remembered_is_said_in_one_line_and_nobody_in_none() -> None:
    narrator = Narrator(NORMAL)
    assert narrator.lines(MemoryRecalled(("20261120-1",), ("pgbench, same machine",))) == [
        Line("  remembered: 1 similar session, 20261120-1 (pgbench, same machine)")
    ]
    three = MemoryRecalled(
        ("20261120-1", "b", "c"), ("pgbench, another machine; cores 8 there, 4\x1b[31m here", "", "")
    )
    assert narrator.lines(three) == [
        Line(
            "  remembered: 3 similar sessions, the nearest 20261120-1 (pgbench, another machine; cores 8 there, 4 here)"
        )
    ]
    assert narrator.lines(MemoryRecalled()) == []
    assert Narrator(QUIET).lines(three) == []
