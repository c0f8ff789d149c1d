"""What code makes of typed words by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.chat.words import Answer, Control, Word, almost, answer, combined, control, topic, typed, wishes
from knobctl.errors import UsageError
from knobctl.knobs.files import catalogue
from knobctl.strategist.request import read_request
from knobctl.strategist.understanding import Intent
from knobctl.strategist.wording import MAX_REQUEST

# --- answers


@pytest.mark.parametrize(
    "text", ["y", "Y", "yes", "YES", " yes ", "yes.", "Yes!", "ｙｅｓ", "是", "好", "好。", "同意"]
)
def test_a_literal_yes(text: str) -> None:
    assert answer(text) is Answer.YES


@pytest.mark.parametrize("text", ["n", "N", "no", "No.", "不", "否", "不要"])
def test_a_literal_no(text: str) -> None:
    assert answer(text) is Answer.NO


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "ok", "ok?", "yes?", "yes, but only vm.swappiness", "yes yes", "y e s", "sure", "yess", "不好",
        "不同意", "yes\nno", "the answer is yes", "'yes'", "{\"answer\": \"yes\"}", "go ahead",
    ],
)  # fmt: skip
def test_anything_else_is_no_answer(text: str) -> None:
    assert answer(text) is None


@pytest.mark.parametrize("text", ["ok", "OK?", "yes?", "sure", "是的", "好的", "可以。", "y?"])
def test_what_sounds_like_a_yes_is_asked_about_again(text: str) -> None:
    assert answer(text) is None
    assert almost(text)


@pytest.mark.parametrize("text", ["yes", "no", "", "30 clients", "yes, with 30 clients"])
def test_what_does_not_only_sound_like_a_yes(text: str) -> None:
    assert not almost(text)


@given(st.text())
def test_only_a_handful_of_texts_is_a_yes(text: str) -> None:
    said = answer(text)
    assert said is not Answer.YES or typed(text).strip(" .!。！").casefold() in {
        "y", "yes", "是", "好", "同意", "ｙ", "ｙｅｓ"
    }  # fmt: skip


# --- control words


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("help", Word.HELP), ("?", Word.HELP), ("？", Word.HELP), ("帮助", Word.HELP),
        ("quit", Word.QUIT), ("/quit", Word.QUIT), ("EXIT", Word.QUIT), ("bye!", Word.QUIT), ("退出", Word.QUIT),
        ("apply", Word.APPLY), ("Make it permanent.", Word.APPLY), ("永久生效", Word.APPLY),
        ("please apply", Word.APPLY), ("make this permanent please", Word.APPLY),
        ("rollback", Word.ROLLBACK), ("undo", Word.ROLLBACK), ("roll  back", Word.ROLLBACK), ("回滚", Word.ROLLBACK),
        ("status", Word.STATUS), ("status?", Word.STATUS), ("状态", Word.STATUS),
        ("sessions", Word.SESSIONS), ("report", Word.REPORT), ("restore", Word.RESTORE), ("knobs", Word.KNOBS),
    ],
)  # fmt: skip
def test_control_words(text: str, word: Word) -> None:
    assert control(text) == Control(word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("apply 20261122-184500-a1b2", Control(Word.APPLY, "20261122-184500-a1b2")),
        ("report 2026", Control(Word.REPORT, "2026")),
        ("report last", Control(Word.REPORT, "last")),
        ("knobs vm.dirty_ratio", Control(Word.KNOBS, "vm.dirty_ratio")),
        ("knob vm.*", Control(Word.KNOBS, "vm.*")),
    ],
)
def test_control_words_with_an_argument(text: str, expected: Control) -> None:
    assert control(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "??", "apply the change to production and everything", "help me with postgres", "quit smoking",
        "apply nothing", "report the news", "restore the database", "status of postgres", "yes", "optimize postgres",
    ],
)  # fmt: skip
def test_what_says_more_is_no_control_word(text: str) -> None:
    assert control(text) is None


# --- what a request is about


@pytest.mark.parametrize(
    "text",
    [
        "why?", "Why did it not improve?", "and why vm.swappiness?", "what does vm.dirty_ratio do?", "vm.dirty_ratio",
        "explain the result", "tell me about huge pages", "is this safe?", "how does PPO work?", "hugepages?",
        "为什么没有改善？", "vm.dirty_ratio 是什么", "解释一下结果", "这个安全吗？",
    ],
)  # fmt: skip
def test_questions_are_explained(text: str) -> None:
    assert topic(text, catalogue()) is Intent.EXPLAIN


@pytest.mark.parametrize(
    "text",
    [
        "optimize this system for a PostgreSQL database", "can you make postgres faster?", "please optimize nginx",
        "how can I make nginx faster?", "make large sequential file writes fast", "can you use 30 clients?",
        "优化数据库", "如何优化 postgres？", "postgres", "only vm.dirty_ratio", "without swappiness",
    ],
)  # fmt: skip
def test_wishes_are_tried(text: str) -> None:
    assert topic(text, catalogue()) is Intent.OPTIMIZE


@pytest.mark.parametrize("text", ["what is the status?", "what is applied here?", "现在是什么状态"])
def test_the_state_of_things(text: str) -> None:
    assert topic(text, catalogue()) is Intent.STATUS


@given(st.text())
def test_any_text_is_about_something(text: str) -> None:
    assert topic(text, catalogue()) in Intent
    control(text)


# --- knobs and budget


def test_knobs_that_are_wanted_alone() -> None:
    wanted = wishes(["only swappiness and vm.dirty_ratio, 10 trials"], catalogue())
    assert wanted.only == ("vm.swappiness", "vm.dirty_ratio")
    assert wanted.named == {"vm.swappiness", "vm.dirty_ratio"}
    assert (wanted.without, wanted.budget) == (frozenset(), 10)


@pytest.mark.parametrize(
    "text", ["without vm.swappiness", "do not touch vm.swappiness", "not vm.swappiness", "不要动 vm.swappiness"]
)
def test_knobs_that_are_not_wanted_are_not_named(text: str) -> None:
    wanted = wishes([text, "optimize postgres"], catalogue())
    assert wanted.without == {"vm.swappiness"}
    assert wanted.named == frozenset()


def test_words_of_everyday_speech_name_no_knob() -> None:
    wanted = wishes(["just boost the scheduler of my database, in turbo mode"], catalogue())
    assert (wanted.only, wanted.named) == ((), frozenset())


def test_newer_words_count() -> None:
    wanted = wishes(["vm.swappiness after all, budget 6", "without vm.swappiness, 20 trials"], catalogue())
    assert wanted.without == frozenset()
    assert wanted.named == {"vm.swappiness"}
    assert wanted.budget == 6
    assert wishes(["without vm.swappiness", "only vm.swappiness and vm.dirty_ratio"], catalogue()).only == (
        "vm.dirty_ratio",
    )


def test_a_number_that_is_no_budget() -> None:
    assert wishes(["postgres with 50 clients for 10 seconds"], catalogue()).budget is None
    assert wishes(["0 trials"], catalogue()).budget is None


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("use 1,500 trials for nginx", 1500), ("10,000 trials", 10_000), ("budget 2,000, please", 2000),
        ("postgres, budget: 30, 8 clients", 30), ("100000 trials", 100_000), ("ten trials", 10),
        ("nginx, 试 20 次尝试", 20), (f"{'9' * 400} trials", 10**9),
    ],
)  # fmt: skip
def test_a_budget_is_read_as_it_is_written(text: str, budget: int | None) -> None:
    assert wishes([text], catalogue()).budget == budget


@pytest.mark.parametrize(
    "text",
    [
        "optimize PostgreSQL, read only, and include vm.swappiness", "read-only PostgreSQL; vm.dirty_ratio may matter",
        "a Read-Only database with vm.swappiness", "write only, with vm.dirty_ratio",
        "select-only pgbench, vm.swappiness too",        "优化 PostgreSQL，只读，包括 vm.swappiness",
    ],
)  # fmt: skip
def test_a_kind_of_load_leaves_no_knob_out(text: str) -> None:
    wanted = wishes([text], catalogue())
    assert (wanted.only, len(wanted.named)) == ((), 1)


def test_a_request_that_is_too_long() -> None:
    with pytest.raises(UsageError, match="5000 characters, more than 4000"):
        wishes(["x" * 5000], catalogue())


def test_requests_are_combined_with_the_newest_first() -> None:
    text = combined(["30 clients", "without swappiness", "postgres with 50 clients"])
    assert text == "30 clients\nBefore that: without swappiness\nBefore that: postgres with 50 clients"
    assert read_request(text).clients == 30
    assert combined(["postgres"]) == "postgres"
    assert len(combined(["x" * 3000] * 3)) == MAX_REQUEST


# --- what is typed


def test_typed_text_is_one_clean_line() -> None:
    assert typed(" \x1b[31mtune\x1b]0;owned\x07\u202e my\n\tdatabase\x00 ") == "tune my database"
    assert typed("half \udcff a character") == "half ? a character"
