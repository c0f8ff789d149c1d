"""Hostile words from everywhere: none of them runs, none reaches a terminal raw, all of them are on record.

Every file in ``cases`` is one case. What holds for all of them is in ``invariants.py``. That no test changes a kernel
setting is checked for the whole test run in ``tests/conftest.py``; here no file below /proc or /sys is even opened for
writing.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from knobctl.knobs.files import catalogue
from knobctl.plan import plan_from
from knobctl.report.conversation_view import describe_conversation
from knobctl.tuning import IDLE_SECONDS
from tests.hostile import driving, invariants, sizes
from tests.hostile.case import CASES, KEY, PLAN, SOURCES, Case, all_cases, load
from tests.hostile.machines import Recorder
from tests.hostile.watching import watching
from tests.hostile.world import Outcome, World

ALL = all_cases()


def cases_from(*origins: str) -> pytest.MarkDecorator:
    """The cases whose text comes from there."""
    found = [case for case in ALL if case.origin in origins]
    return pytest.mark.parametrize("case", found, ids=[case.name for case in found])


def judge(case: Case, outcome: Outcome, world: World, before: dict[str, bytes], code: int) -> None:
    """All that does not depend on where the text comes from."""
    invariants.nothing_ran(outcome.seen, matcher=case.origin == "benchmark-output")
    invariants.nothing_was_written(outcome.seen, world, before)
    invariants.only_the_model_was_called(outcome.seen, outcome.port)
    invariants.is_plain(outcome)
    invariants.ends_well(outcome)
    assert outcome.code == code, outcome.text
    assert [words for words in case.expect.never if case.filled(words, world.canary) in outcome.text] == []
    if world.database.exists():
        invariants.holds_no_key(world.database)


def says(case: Case, outcome: Outcome, world: World) -> None:
    missing = [words for words in case.expect.says if case.filled(words, world.canary) not in outcome.text]
    assert missing == [], outcome.text


def judge_plan(case: Case, outcome: Outcome, world: World, source: str) -> None:
    """Where the plan comes from, and that it holds nothing that could do harm."""
    words = outcome.err.decode()
    assert ("(model:" in words, "(playbook:" in words) == (source == "model", source == "playbook"), words
    plan = driving.plan_of(case, outcome, world.database)
    own = case.options[case.options.index("--command") + 1] if "--command" in case.options else ""
    invariants.is_safe(plan, catalogue(), own)
    if source == "model" and case.expect.command:
        assert plan.benchmark_command == case.expect.command
    if source == "model" and case.expect.knobs is not None:
        assert {spec.param for spec in plan.action_space} == set(case.expect.knobs)


@cases_from("request", "reply", "tool-call", "server", "past-session")
def test_words(case: Case, world: World) -> None:
    if case.origin == "past-session":
        driving.remember(case, world)
    world.limit(case.timeout)
    before = world.files()
    outcome = driving.ask(case, world)
    judge(case, outcome, world, before, case.expect.exit)
    says(case, outcome, world)
    if outcome.code in (0, 3):
        judge_plan(case, outcome, world, case.expect.source)
    conversation = outcome.conversations[0]
    if outcome.served:
        invariants.is_on_record(conversation, outcome.served)
    invariants.is_readable(describe_conversation(conversation))
    said = "\n".join(step.text for step in conversation.steps)
    assert [words for words in case.expect.recorded if case.filled(words, world.canary) not in said] == [], said
    sent = "\n".join(request.text for request in outcome.requests)
    assert [words for words in case.expect.sent if words not in sent] == [], sent[-3000:]
    if case.verb == "tune":
        for shown in (world.knobctl("report", "last", "-v"), world.knobctl("sessions")):
            invariants.is_plain(shown)


@cases_from("request")
def test_words_without_a_model(case: Case, world: World) -> None:
    before = world.files()
    code = case.expect.exit if case.expect.playbook_exit is None else case.expect.playbook_exit
    outcome = driving.ask_nobody(case, world)
    judge(case, outcome, world, before, code)
    if code in (0, 3):
        judge_plan(case, outcome, world, "playbook")


@cases_from("host-facts", "knob-state")
def test_machine(case: Case, world: World) -> None:
    driving.machine_of_files(world.folder / "machine", case.files)
    world.limit(case.timeout)
    before = world.files()
    outcome = driving.look_around(case, world)
    judge(case, outcome, world, before, case.expect.exit)
    says(case, outcome, world)
    judge_plan(case, outcome, world, case.expect.source)
    invariants.is_on_record(outcome.conversations[0], outcome.served)
    for request in outcome.requests:
        for message in request.messages:
            invariants.is_readable(str(message.get("content") or ""))
    sent = "\n".join(request.text for request in outcome.requests)
    assert [words for words in case.expect.sent if words not in sent] == [], sent[-3000:]


@cases_from("plan-file")
def test_plan_file(case: Case, world: World) -> None:
    (world.here / "plan.json").write_bytes(case.filled(case.text, world.canary).encode("utf-8", "surrogateescape"))
    before = world.files()
    outcome = driving.run_file(case, world)
    judge(case, outcome, world, before, case.expect.exit)
    says(case, outcome, world)
    target = Recorder()
    handed = driving.hand_over(case, world, target)
    invariants.nothing_ran(handed.seen)
    invariants.nothing_was_written(handed.seen, world, before)
    assert handed.document["success"] is False
    assert handed.code == case.expect.exit, handed.text
    assert (target.opened, target.commands, target.written) == (0, [], [])
    assert not world.database.exists(), "a plan that is refused leaves no session"


@cases_from("benchmark-output")
def test_benchmark(case: Case, world: World) -> None:
    before = world.files()
    outcome, target = driving.measure(case, world)
    judge(case, outcome, world, before, case.expect.exit)
    says(case, outcome, world)
    assert outcome.document.get("verdict", "") == case.expect.verdict, outcome.text
    idle = ("sleep", str(IDLE_SECONDS))  # the look at the machine before the first benchmark
    assert {argv[:2] for argv in target.commands} == {idle, ("/simulated/bin/sysbench", "cpu")}


@cases_from("record")
def test_record(case: Case, world: World) -> None:
    driving.remember(case, world)
    before = world.files()
    for outcome in driving.read_back(world):
        invariants.nothing_ran(outcome.seen)
        invariants.nothing_was_written(outcome.seen, world, before)
        invariants.only_the_model_was_called(outcome.seen, 0)
        invariants.is_plain(outcome)
        assert "Traceback" not in outcome.text
        assert "unexpected" not in outcome.text
        assert outcome.code in (0, case.expect.exit), outcome.text
    assert outcome.code == case.expect.exit, outcome.text
    says(case, outcome, world)


# --- that the cases are cases, and that the checks can fail


def test_there_are_cases_from_everywhere() -> None:
    assert len(ALL) >= 370
    assert {case.origin for case in ALL} == set(SOURCES)
    assert all(case.why for case in ALL)


def test_every_size_is_used() -> None:
    text = "\n".join(path.read_text() for path in CASES.glob("*.toml"))
    assert [name for name in (*sizes.TEXTS, *sizes.BYTES) if f'"{name}"' not in text] == []


def test_a_case_is_closed_to_unknown_keys(tmp_path: Path) -> None:
    path = tmp_path / "strange.toml"
    path.write_text('from = "reply"\nsays = "at the wrong place"\n')
    with pytest.raises(ValueError, match=r"strange\.toml: unknown keys says"):
        load(path)
    path.write_text('from = "elsewhere"\n')
    with pytest.raises(ValueError, match="unknown source elsewhere"):
        load(path)


def test_what_a_process_does_is_seen(world: World) -> None:
    with watching() as seen:
        subprocess.run(["/bin/true"], check=True)
        world.canary.write_text("")
        os.rename(world.canary, world.folder / "elsewhere")
        Path("/proc/sys/vm/swappiness").read_text()
    with pytest.raises(AssertionError, match="/bin/true"):
        invariants.nothing_ran(seen)
    assert seen.changed == [str(world.canary), str(world.canary), str(world.folder / "elsewhere")]
    with pytest.raises(AssertionError, match="canary"):
        invariants.nothing_was_written(seen, world, world.files())


def test_what_nobody_watches_is_not_seen(world: World) -> None:
    with watching() as seen:
        pass
    world.canary.write_text("")
    assert seen.changed == []


@pytest.mark.parametrize("raw", ["\x1b[31m", "\r", "\x9b", "\u202e", "\u200b", "\u061c", "\u2028", "\U000e0041"])
def test_what_no_terminal_may_be_shown_is_found(raw: str) -> None:
    with pytest.raises(AssertionError, match="U\\+"):
        invariants.is_readable(f"before{raw}after")
    invariants.is_readable("tab\tand\nnewline, 中文, é and “quotes”")


@pytest.mark.parametrize(
    "changes",
    [
        {"action_space": [{"param": "kernel.panic", "min": 0, "max": 1}]},
        {"action_space": [{"param": "vm.swapiness", "min": 0, "max": 1}]},
        {"action_space": [{"param": "vm.dirty_ratio", "min": 0, "max": 100}]},
        {"benchmark_command": "/bin/sh -c id"},
        {"benchmark_command": "sysbench /tmp/evil.lua run"},
        {"reset_command": "rm -rf /"},
        {"metric_pattern": "(.)"},
        {"training_config": {"total_timesteps": 100_000}},
    ],
)
def test_a_plan_that_could_do_harm_is_found(changes: dict[str, object]) -> None:
    invariants.is_safe(plan_from(PLAN), catalogue())
    with pytest.raises(AssertionError):
        invariants.is_safe(plan_from({**PLAN, **changes}), catalogue())


def test_a_key_in_the_record_is_found(world: World) -> None:
    world.state.mkdir()
    world.database.write_text(f"... {KEY} ...")
    with pytest.raises(AssertionError):
        invariants.holds_no_key(world.database)
