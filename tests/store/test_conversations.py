"""What is said goes in, the same comes out: masked, bounded, in its order, and whether or not a session followed."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from knobctl.errors import StoreError, UsageError
from knobctl.events import Notice, StrategistStep
from knobctl.store import Store, new_conversation_id
from knobctl.store.conversations import LONGEST_TEXT, kept

Begin = Callable[..., str]
STEPS = (
    StrategistStep("request", "optimize for postgres"),
    StrategistStep("thought", "I look at the knobs first.\nThen I plan."),
    StrategistStep("call", '{"filter": "vm.*"}', "list_knobs"),
    StrategistStep("observation", "vm.dirty_ratio 20", "list_knobs"),
    StrategistStep("rejected", "unknown key rewardmetric"),
    StrategistStep("answer", '{"workload_name": "优化"}'),
)


def told(store: Store, *steps: StrategistStep, request: str = "optimize for postgres") -> str:
    conversation = store.begin_conversation(request, "ollama:qwen2.5-coder")
    save = store.conversation_sink(conversation)
    for step in steps:
        save(step)
    store.check()
    return conversation


def test_what_was_said_can_be_read_again(store: Store) -> None:
    conversation = told(store, *STEPS)
    record = store.conversation(conversation)
    assert record.steps == STEPS
    assert (record.id, record.request, record.model) == (conversation, "optimize for postgres", "ollama:qwen2.5-coder")
    assert (record.status, record.outcome, record.sessions) == ("open", "", ())
    assert abs((datetime.now(UTC) - record.created).total_seconds()) < 600


def test_keys_are_told_from_those_of_sessions() -> None:
    now = datetime(2026, 11, 22, 18, 45, tzinfo=UTC)
    assert re.fullmatch(r"c-20261122-184500-[0-9a-f]{4}", new_conversation_id(now))


def test_a_conversation_ends_once(store: Store) -> None:
    conversation = told(store, STEPS[0])
    store.end_conversation(conversation, "playbook: the key sk-abcdefgh12345 was refused")
    store.end_conversation(conversation, "closed")
    record = store.conversation(conversation)
    assert (record.status, record.outcome) == ("closed", "playbook: the key *** was refused")


def test_sessions_know_their_conversation_and_it_knows_them(store: Store, begin: Begin) -> None:
    conversation, other = told(store, *STEPS), told(store)
    first, second, alone = (
        begin(store, conversation=conversation),
        begin(store, conversation=conversation),
        begin(store),
    )
    assert store.session(first).conversation == conversation
    assert store.conversation(conversation).sessions == (first, second)
    assert store.conversation(other).sessions == ()
    assert store.conversation_of(second) == store.conversation(conversation)
    assert store.session(alone).conversation == ""
    assert store.conversation_of(alone) is None
    assert store.conversation_of(begin(store, conversation="c-nowhere")) is None


def test_conversations_do_not_mix_and_go_on_where_they_were(store: Store, path: Path) -> None:
    first, second = told(store, STEPS[0]), told(store, STEPS[1])
    with Store(path) as again:
        again.conversation_sink(first)(STEPS[2])
        again.check()
    assert store.conversation(first).steps == (STEPS[0], STEPS[2])
    assert store.conversation(second).steps == (STEPS[1],)


def test_other_events_are_left_to_the_sink_of_the_session_and_steps_to_this_one(store: Store, begin: Begin) -> None:
    conversation, session = told(store), begin(store)
    store.conversation_sink(conversation)(Notice("hello"))
    store.sink(session)(STEPS[0])
    store.check()
    assert store.conversation(conversation).steps == ()
    assert store.events(session) == ()


def test_secrets_are_masked_before_they_are_written(store: Store, path: Path, begin: Begin) -> None:
    secret = "sk-proj-0123456789abcdef"
    conversation = told(store, StrategistStep("user", f"my key is {secret}"), request=f"PGPASSWORD=hunter2 {secret}")
    session = begin(store, request=f"tune postgres://me:hunter2@h/db with {secret}")
    store.end_conversation(conversation, f"model said {secret}")
    assert store.conversation(conversation).steps[0].text == "my key is ***"
    assert store.conversation(conversation).request == "PGPASSWORD=*** ***"
    assert store.session(session).request == "tune postgres://me:***@h/db with ***"
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert secret.encode() not in content and b"hunter2" not in content
    assert b"my key is" in content, "this is where it would stand"


@pytest.mark.parametrize("length", [LONGEST_TEXT + 1, LONGEST_TEXT + 4096, 1_000_000])
def test_a_long_text_is_cut_and_says_how_long_it_was(store: Store, length: int) -> None:
    (step,) = store.conversation(told(store, StrategistStep("observation", "x" * length, "list_knobs"))).steps
    assert len(step.text) == LONGEST_TEXT
    assert step.text.startswith("x" * 19_000)
    assert step.text.endswith(f"x\n[... cut here: {length} characters in all]")


def test_a_text_of_the_longest_length_stays_whole(store: Store) -> None:
    whole = StrategistStep("thought", "y" * LONGEST_TEXT)
    assert store.conversation(told(store, whole)).steps == (whole,)


@pytest.mark.parametrize("place", range(LONGEST_TEXT - 60, LONGEST_TEXT + 4200, 71))
def test_a_cut_does_not_lay_half_a_key_bare(place: int) -> None:
    text = "x" * place + ' PGPASSWORD="' + "hunter2" * 30 + '" ' + "x" * 10_000
    assert "hunter2" not in kept(text)
    assert "hunter2" not in kept(f"{'password=abcdefghijklmnopqrstuvwxyz ' * 300}{text}")


def test_names_that_a_model_made_up_are_bounded(store: Store) -> None:
    (step,) = store.conversation(told(store, StrategistStep("call", "{}", "n" * 100_000))).steps
    assert step.name == "n" * 200


def test_text_that_is_not_unicode_is_kept_as_far_as_possible(store: Store) -> None:
    conversation = told(store, StrategistStep("thought", "odd \udcff \x00 text"), request="tune \udcff this")
    record = store.conversation(conversation)
    assert record.request == "tune ? this"
    assert record.steps[0].text == "odd ? \x00 text"
    store.end_conversation(conversation, "nothing: half \ud83d of a character")
    assert store.conversation(conversation).outcome == "nothing: half ? of a character"


def test_conversations_are_listed_newest_first(store: Store) -> None:
    made = [told(store) for _ in range(4)]
    assert [record.id for record in store.conversations()] == made[::-1]
    assert [record.id for record in store.conversations(limit=2)] == made[:1:-1]
    assert store.conversation("last").id == made[-1]


def test_a_conversation_is_found_by_any_beginning_that_is_its_own(store: Store) -> None:
    first = told(store)
    assert store.conversation(first[:-1]).id == first
    second = told(store)
    with pytest.raises(UsageError, match=r"2 conversations begin with 'c-': c-.*, c-") as error:
        store.conversation("c-")
    assert error.value.hint == "Give more of its digits."
    assert store.conversation(second).id == second


@pytest.mark.parametrize("reference", ["", "c-2027", "%", "last"])
def test_a_conversation_that_is_not_there_is_a_usage_error(store: Store, reference: str) -> None:
    with pytest.raises(UsageError, match=f"there is no conversation '{reference}' in ") as error:
        store.conversation(reference)
    assert error.value.hint == "`knobctl report SESSION --json` names the conversation of a session."


def test_a_sink_never_raises_and_keeps_the_first_reason(store: Store, begin: Begin) -> None:
    save = store.conversation_sink("c-nowhere")
    save(STEPS[0])
    assert isinstance(store.failure, StoreError)
    assert "FOREIGN KEY" in store.failure.message
    first = store.failure
    store.conversation_sink(store.begin_conversation("", ""))(STEPS[1])
    assert store.failure is first
    assert store.conversations()[0].steps == (), "nothing more is written after a failure"
    with pytest.raises(StoreError):
        store.check()


def test_a_file_that_is_closed_is_a_failure_and_no_exception(path: Path) -> None:
    store = Store(path)
    conversation = store.begin_conversation("", "")
    save = store.conversation_sink(conversation)
    store.close()
    save(STEPS[0])
    assert isinstance(store.failure, StoreError)
    with pytest.raises(StoreError, match="cannot use the record"):
        store.begin_conversation("", "")


def test_each_step_is_on_the_disk_before_the_next_one(store: Store, path: Path) -> None:
    told(store, *STEPS[:2])
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT number, step FROM step ORDER BY number").fetchall() == [(1, "request"), (2, "thought")]
    raw.close()
