"""What is said by both sides, and what of it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from knobctl.chat.dialogue import MOST_CHARACTERS, MOST_TURNS, Dialogue, Left, recent
from knobctl.errors import StoreError
from knobctl.events import Notice, StrategistStep
from knobctl.llm.base import Turn
from knobctl.store import Store
from tests.chat.scripted_terminal import CTRL_C, Key, ScriptedTerminal


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "knobctl.db") as opened:
        yield opened


def dialogue(store: Store | None, *keys: Key) -> tuple[Dialogue, ScriptedTerminal]:
    terminal = ScriptedTerminal(*keys)
    return Dialogue(terminal, store, "a-model"), terminal


def steps(store: Store) -> list[tuple[str, str]]:
    return [(step.step, step.text) for step in store.conversation("last").steps]


# --- the record


def test_everything_is_on_record_from_the_greeting_on(store: Store) -> None:
    talk, _ = dialogue(store, "optimize postgres", "")
    talk.say("Hello.")
    assert store.conversations() == ()
    assert talk.listen("> ") == "optimize postgres"
    talk.tell(StrategistStep("thought", "It is about a database."))
    talk.tell(Notice("no part of a conversation"))
    assert talk.ask("Try it? [y/N] ") == ""
    talk.end()
    assert steps(store) == [
        ("reply", "Hello."),
        ("user", "optimize postgres"),
        ("thought", "It is about a database."),
        ("reply", "Try it? [y/N] "),
    ]
    record = store.conversation("last")
    assert (record.id, record.request, record.model) == (talk.key, "optimize postgres", "a-model")
    assert (record.status, record.outcome) == ("closed", "closed")


def test_nothing_is_on_record_of_somebody_who_says_nothing(store: Store) -> None:
    talk, _ = dialogue(store)
    talk.say("Hello.")
    with pytest.raises(Left):
        talk.listen("> ")
    talk.end()
    assert store.conversations() == ()


def test_a_record_that_cannot_be_written_is_said_once(store: Store) -> None:
    talk, terminal = dialogue(store, "why?", "and why?")
    store.close()
    talk.listen("> ")
    talk.listen("> ")
    talk.say("Because.")
    talk.end()
    assert terminal.transcript.count("the conversation goes on without a record") == 1
    assert talk.key == ""


def test_a_record_that_breaks_later_is_said_once(store: Store) -> None:
    talk, terminal = dialogue(store, "why?")
    talk.listen("> ")
    store.close()
    talk.say("Because.")
    talk.say("And because.")
    talk.end()
    assert terminal.transcript.count("the conversation goes on without a record") == 1


def test_without_a_record_people_can_talk() -> None:
    talk, terminal = dialogue(None, "why?")
    talk.say("Hello.")
    assert talk.listen("> ") == "why?"
    talk.tell(StrategistStep("thought", "t"))
    talk.end()
    assert talk.key == ""
    assert terminal.transcript == "Hello.\n> why?\n"


def test_what_is_typed_and_said_is_clean(store: Store) -> None:
    talk, terminal = dialogue(store, "tune \x1b]0;owned\x07 postgres\u202e")
    talk.say("the model said \x1b[31mred\x1b[0m")
    talk.explain(StoreError("bad \x1b[2J thing", "do \x1b[1A this"))
    assert talk.listen("> ") == "tune postgres"
    assert "\x1b" not in terminal.transcript.replace("tune \x1b]0;owned\x07 postgres", "")
    assert "bad  thing\n  hint: do  this" in terminal.transcript
    assert all("\x1b" not in text for _, text in steps(store))


def test_what_is_shown_whole_is_clean_and_kept_masked(store: Store) -> None:
    talk, terminal = dialogue(store, "postgres")
    talk.listen("> ")
    talk.show_whole("wrk \x1b[2J http://10.0.0.5/?token=abc123")
    talk.end_turn()
    assert terminal.transcript.endswith("\nwrk  http://10.0.0.5/?token=abc123\n")
    assert steps(store)[-1] == ("reply", "wrk  http://10.0.0.5/?token=***")
    assert talk.history[-1] == Turn("assistant", "(nothing)")


# --- questions


@pytest.mark.parametrize("said", ["y", "Yes", "是"])
def test_only_a_literal_yes_confirms(said: str) -> None:
    talk, terminal = dialogue(None, said)
    assert talk.confirm("Really?")
    assert terminal.prompts == ["Really? [y/N] "]


@pytest.mark.parametrize("said", ["", "n", "否"])
def test_a_no_and_an_empty_line_do_not(said: str) -> None:
    talk, _ = dialogue(None, said)
    assert not talk.confirm("Really?")


def test_other_words_are_asked_about_again() -> None:
    talk, terminal = dialogue(None, "ok", "sure, go on", "yes but later", "no")
    assert not talk.confirm("Really?")
    assert terminal.transcript.count("Please answer yes or no.") == 3


def test_a_question_can_be_left() -> None:
    with pytest.raises(Left):
        dialogue(None)[0].confirm("Really?")
    with pytest.raises(Left):
        dialogue(None, "quit")[0].confirm("Really?")
    with pytest.raises(KeyboardInterrupt):
        dialogue(None, CTRL_C)[0].confirm("Really?")


# --- what a model is told of earlier turns


def test_a_turn_is_what_the_user_said_and_what_a_model_is_told_of_the_replies(store: Store) -> None:
    talk, _ = dialogue(store, "optimize postgres", "yes", "why?")
    talk.say("Hello.")
    talk.end_turn()
    talk.listen("> ")
    talk.say("A plan.", told="A plan.")
    talk.say("It is in /home/alice.")
    talk.ask("Try it? [y/N] ")
    talk.say("A result in /home/alice.", told="A result.")
    talk.explain(StoreError("/home/alice is full", "Make room in /home/alice."))
    assert talk.history == ()
    talk.end_turn()
    talk.listen("> ")
    assert talk.history == (
        Turn("user", "optimize postgres"),
        Turn("assistant", "A plan.\nA result.\n(shown: an error)"),
    )
    talk.end_turn()
    assert talk.history[-2:] == (Turn("user", "why?"), Turn("assistant", "(nothing)"))
    replies = [text for step, text in steps(store) if step == "reply"]
    assert replies[1:4] == ["A plan.", "It is in /home/alice.", "Try it? [y/N] "]
    assert replies[-1] == "/home/alice is full\n  hint: Make room in /home/alice."


@pytest.mark.parametrize("words", ["apply", "status", "sessions", "report last", "永久生效"])
def test_what_a_control_word_shows_is_not_told(words: str) -> None:
    talk, _ = dialogue(None, words)
    talk.listen("> ")
    talk.say("/etc/sysctl.d/50-db7.conf", told="/etc/sysctl.d/50-db7.conf")
    talk.end_turn()
    shown = {"report last": "report", "永久生效": "apply"}.get(words, words)
    assert talk.history == (Turn("user", words), Turn("assistant", f"(shown: {shown})"))


def test_no_secret_is_told() -> None:
    talk, _ = dialogue(None, "tune http://10.0.0.5/?token=abc123")
    talk.listen("> ")
    talk.say("", told="It is token=abc123.")
    talk.end_turn()
    assert "abc123" not in "".join(turn.text for turn in talk.history)


def test_old_turns_are_forgotten() -> None:
    turns = [Turn(role, f"{role} {number}") for number in range(20) for role in ("user", "assistant")]
    kept = recent(turns)
    assert len(kept) == MOST_TURNS
    assert (kept[0].text, kept[-1].text) == ("user 14", "assistant 19")


def test_long_turns_lose_their_middle_and_old_ones_go() -> None:
    turns = [Turn(role, f"begin {number} {'x' * 5000} end") for number in range(5) for role in ("user", "assistant")]
    kept = recent(turns)
    assert sum(len(turn.text) for turn in kept) <= MOST_CHARACTERS
    assert [turn.role for turn in kept] == ["user", "assistant"] * 2
    assert kept[-1].text.startswith("begin 4 x")
    assert kept[-1].text.endswith("x end")
    assert "\n[...]\n" in kept[-1].text
