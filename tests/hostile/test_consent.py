"""The user's word for a command holds for exactly its text: in the run, in the record, and when the session is verified
again.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from knobctl.masking import MASK
from tests.hostile import invariants
from tests.hostile.world import Outcome, World

COMMAND = "/opt/bench --fast 'two words'"
PLAN: dict[str, Any] = {
    "workload_name": "Mine",
    "reward_metric": "score",
    "direction": "maximize",
    "metric_pattern": "score ([0-9.]+)",
    "benchmark_command": COMMAND,
    "action_space": [
        {"param": "vm.dirty_ratio", "min": 5, "max": 60},
        {"param": "vm.swappiness", "min": 0, "max": 100},
    ],
    "state_space": [],
    "training_config": {"total_timesteps": 6},
}
OPTIONS = (
    "--target", "simulated:file-write", "--yes", "--searcher", "random", "--pairs", "6", "--seed", "1", "--json",
)  # fmt: skip


def run(world: World, *options: str, **changes: Any) -> Outcome:
    (world.here / "plan.json").write_text(json.dumps({**PLAN, **changes}))
    return world.knobctl("run", "plan.json", *OPTIONS, *options)


def verify(world: World, *options: str) -> Outcome:
    outcome = world.knobctl("verify", "last", *OPTIONS, *options)
    invariants.nothing_ran(outcome.seen)
    invariants.is_plain(outcome)
    return outcome


def refused(outcome: Outcome, words: str) -> None:
    assert outcome.code == 2, outcome.text
    assert words in outcome.document["error"]
    assert outcome.document["hint"]


def tampered(world: World, statement: str, *values: str) -> None:
    with sqlite3.connect(world.database) as connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


def with_command(world: World, text: str) -> None:
    tampered(world, "UPDATE session SET plan = json_set(plan, '$.benchmark_command', ?)", text)


@pytest.fixture
def agreed(world: World) -> World:
    """A world with a session for whose command the user gave their word."""
    outcome = run(world, "--command", COMMAND)
    assert outcome.code == 0, outcome.text
    return world


def test_nothing_runs_without_the_word(world: World) -> None:
    refused(run(world), "runs only when you typed it yourself")
    assert not world.database.exists()


@pytest.mark.parametrize("text", ["/opt/bench", f"{COMMAND} --more", COMMAND.replace("'", '"'), COMMAND.upper(), ""])
def test_another_text_is_no_word(world: World, text: str) -> None:
    refused(run(world, "--command", text), "--command is not the plan's command")
    assert not world.database.exists()


def test_the_word_is_kept_and_holds_for_the_same_text(agreed: World) -> None:
    outcome = verify(agreed)
    assert outcome.code in (0, 3), outcome.text
    assert outcome.document["searcher"] == "none"
    assert COMMAND in outcome.text


@pytest.mark.parametrize(
    "text",
    [f"{COMMAND} --more", COMMAND.replace("fast", "fasT"), "/opt/bench --fast two words", "/bin/sh -c x",
     "/opt/bench --fast 'two\u2009words'"],
)  # fmt: skip
def test_another_text_in_the_record_asks_again(agreed: World, text: str) -> None:
    with_command(agreed, text)
    outcome = verify(agreed)
    assert outcome.code == 2, outcome.text
    assert "runs only when you typed it yourself" in outcome.text or "invisible character" in outcome.text


def test_the_typed_word_still_opens_a_changed_record(agreed: World) -> None:
    with_command(agreed, "/opt/bench --slow")
    refused(verify(agreed, "--command", COMMAND), "--command is not the session's command: /opt/bench --slow")
    assert verify(agreed, "--command", "/opt/bench --slow").code in (0, 3)


def test_a_reset_command_that_was_written_into_the_record_asks(agreed: World) -> None:
    tampered(agreed, "UPDATE session SET plan = json_set(plan, '$.reset_command', ?)", "/opt/clean")
    refused(verify(agreed), "reset_command '/opt/clean' runs only when you typed it yourself")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE session SET version = '0.0.1'",
        "DELETE FROM event WHERE kind = 'session-started'",
        "UPDATE event SET body = '{}' WHERE kind = 'session-started'",
        "UPDATE event SET body = 'no JSON' WHERE kind = 'session-started'",
        "UPDATE event SET body = json_remove(body, '$.command') WHERE kind = 'session-started'",
    ],
)
def test_a_record_without_the_word_asks_again(agreed: World, statement: str) -> None:
    tampered(agreed, statement)
    refused(verify(agreed), "runs only when you typed it yourself")


def test_what_a_later_version_wrote_beside_the_word_changes_nothing(agreed: World) -> None:
    tampered(agreed, "UPDATE event SET body = json_set(body, '$.later', 1) WHERE kind = 'session-started'")
    assert verify(agreed).code in (0, 3)


def test_a_known_benchmark_that_was_exchanged_asks(world: World) -> None:
    known = {"benchmark_command": "sysbench fileio --file-total-size=1G --file-test-mode=seqwr run"}
    changes = {**known, "reward_metric": "written_mib_per_second", "metric_pattern": None, "direction": None}
    assert run(world, **changes).code == 0
    with_command(world, "sysbench fileio --file-test-mode=seqwr --config-file=/tmp/x run")
    refused(verify(world), "--config-file needs your own consent")


def test_a_masked_command_is_typed_whole(agreed: World) -> None:
    whole = "/opt/bench --password=hunter2"
    with_command(agreed, f"/opt/bench --password={MASK}")
    tampered(agreed, "UPDATE event SET body = json_set(body, '$.command', ?) WHERE kind = 'session-started'",
             f"/opt/bench --password={MASK}")  # fmt: skip
    refused(verify(agreed), "the record keeps no passwords and keys")
    refused(verify(agreed, "--command", "/opt/other --password=hunter2"), "the record keeps no passwords and keys")
    assert verify(agreed, "--command", whole).code in (0, 3)


def test_a_masked_reset_command_never_runs(agreed: World) -> None:
    tampered(agreed, "UPDATE session SET plan = json_set(plan, '$.reset_command', ?)", f"/opt/clean --token={MASK}")
    refused(verify(agreed), "the session's reset_command holds one")
