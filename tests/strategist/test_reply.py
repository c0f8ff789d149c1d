from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from knobctl.llm.base import Rejected
from knobctl.strategist.reply import MOST_CHARACTERS, by_meaning, one_line, plan_key, read_object

PLAN = {"action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 60}]}
TEXT = json.dumps(PLAN)
ONE_OBJECT = "Answer with exactly one JSON object and nothing else."


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"\ufeff{TEXT}\n",
        f"Here's the plan: {TEXT} Good luck!",
        f"```json\n{TEXT}\n```",
        f"```\n{TEXT}",
        f"Use {{port}} and {{}} as you like.\n{TEXT}",
        f"<think>{{\"a\": 1}} or {{\"b\": 2}}</think>{TEXT}",
        f"<|channel|>final<|message|>{TEXT}<|end|>",
        f"[{TEXT}]",
        f"[{TEXT}, {TEXT}]",
        f"[1, {TEXT}]",
        json.dumps(TEXT),
        json.dumps(json.dumps(TEXT)),
        json.dumps({"plan": PLAN}),
        json.dumps({"Tuning Plan": PLAN}),
        json.dumps({"status": "ok", "data": {"configuration": PLAN}}),
        json.dumps({"tool": "submit", "arguments": TEXT}),
        json.dumps({"result": [PLAN]}),
        TEXT.replace('"', "'"),
        TEXT.replace('"', "“"),
        TEXT.replace('"p', "“p").replace('m"', "m”"),
        TEXT.replace("}]}", "},],}"),
        TEXT.replace("{", "{ // it's {a} comment\n", 1),
        TEXT.replace("{", "{ /* ] } */ ", 1),
        TEXT.replace("{", "{ # it's\n", 1),
        TEXT.replace('"action_space"', "action_space"),
        TEXT.replace("60", "0x3C").replace("5", "+5"),
        TEXT.replace(":", "：").replace(",", "，"),
    ],
)  # fmt: skip
def test_what_means_one_object(text: str) -> None:
    assert read_object(text) == PLAN


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": "line one\nline two\ttab"}', "line one\nline two\ttab"),
        ('so: {"a": "line one\nline two",}', "line one\nline two"),
        ("so: {'a': 'it\\'s {not} \"it\"'}", 'it\'s {not} "it"'),
        ('{"a": "</think> stays"}', "</think> stays"),
        ("{'a': None}", None),
        ("{'a': 'None'}", "None"),
        ("{'a': [True, False]}", [True, False]),
        ('{"a": "“quoted”"}', "“quoted”"),
    ],
)
def test_strings_and_words_keep_their_meaning(text: str, value: object) -> None:
    assert read_object(text) == {"a": value}


def test_an_answer_that_is_no_plan_is_read_too() -> None:
    assert read_object('Well: {"intent": "explain", "workload": null}') == {"intent": "explain", "workload": None}
    assert read_object("{}") == {}


def test_the_thought_beside_a_plan_goes_with_it() -> None:
    said = {"thought": "Because.", "score": 5, "plan": PLAN}
    assert read_object(json.dumps(said)) == {"thought": "Because.", **PLAN}


def test_two_plans_inside_one_object_are_left_where_they_are() -> None:
    said = {"first": PLAN, "second": {"knobs": ["vm.swappiness"]}}
    assert read_object(json.dumps(said)) == said


def test_of_several_objects_the_only_one_with_knobs_counts() -> None:
    assert read_object(f'{{"example": 1}} and {TEXT} and {{"other": 2}}') == PLAN
    assert read_object(f'{{"broken": [}} and {TEXT}') == PLAN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"The reply is empty. {ONE_OBJECT}"),
        (" \n\ufeff", f"There is no JSON object in the reply. {ONE_OBJECT}"),
        ("I cannot do that.", f"There is no JSON object in the reply. {ONE_OBJECT}"),
        ("<think>hm {\"a\": 1}", f"There is no JSON object in the reply. {ONE_OBJECT}"),
        ("null", f"The reply is null, not a JSON object. {ONE_OBJECT}"),
        ("[]", f"The reply holds 0 values where one object belongs. {ONE_OBJECT}"),
        ('["a"]', f"There is no JSON object in the reply. {ONE_OBJECT}"),
        ('[{"a": 1}, {"a": 2}]', f"The reply holds 2 values where one object belongs. {ONE_OBJECT}"),
        ('{"a": 1} or {"a": 2}', f"The reply holds 2 values where one object belongs. {ONE_OBJECT}"),
        ('{"a": 1}{"a": 2}' * 11, f"The reply holds 22 values where one object belongs. {ONE_OBJECT}"),
        (TEXT[:-1], "The JSON object is not complete: its end is missing. Answer again, shorter."),
        (f"```json\n{TEXT[:-8]}\n```", "The JSON object is not complete: its end is missing. Answer again, shorter."),
        (f"[{TEXT}, {TEXT[:20]}", "The JSON object is not complete: its end is missing. Answer again, shorter."),
        ('{"plan": ' + TEXT, "The JSON object is not complete: its end is missing. Answer again, shorter."),
        ('{"a": 1, "a": 2}', "The key 'a' stands twice in one object. Answer again with each key once."),
        ("so {a: {b: 1, 'b': 2}}", "The key 'b' stands twice in one object. Answer again with each key once."),
        ('{"a": NaN}', "NaN is no number. Answer again with a finite number, or leave the key out."),
        ("so {a: -Infinity}", "-Infinity is no number. Answer again with a finite number, or leave the key out."),
        ('{"a": 1e999}', "The number 1e999 is too large or too long. Answer again with a plain number."),
        ('{"a": 1%s}' % ("0" * 40), "A number has 41 digits. Answer again: no kernel setting has more than twenty."),
        ("so {a: 1%s}" % ("0" * 40), "A number has 41 digits. Answer again: no kernel setting has more than twenty."),
        ('{"a": [1, 2, ...]}', "The JSON cannot be read: Expecting value: line 1 column 14 (char 13). Answer with "
                               "exactly one object in plain JSON: double quotes, no comments, no trailing commas."),
        ('{"a": ' + "[" * 30 + "]" * 30 + "}", f"The JSON is nested too deeply. {ONE_OBJECT}"),
        ("so {a: " + "[" * 30 + "]" * 30 + "}", f"The JSON is nested too deeply. {ONE_OBJECT}"),
        ("[" * 40_000, f"The JSON is nested too deeply. {ONE_OBJECT}"),
        ("x" * 50_001, f"The reply has 50001 characters, more than 50000. {ONE_OBJECT}"),
    ],
)  # fmt: skip
def test_what_is_asked_for_again(text: str, message: str) -> None:
    with pytest.raises(Rejected) as rejected:
        read_object(text)
    assert str(rejected.value) == message


def test_what_is_long_has_to_be_plain_json() -> None:
    def reply(size: int, end: str) -> str:
        return f'{{"a": "{"x" * size}"{end}'

    assert read_object(reply(30_000, "}"))["a"]
    assert read_object(reply(15_000, ",}"))["a"]
    with pytest.raises(Rejected, match="The JSON cannot be read"):
        read_object(reply(30_000, ",}"))


@pytest.mark.parametrize(
    "part",
    ["{", "`", "```", "{'", '{"', "{/*", '{"a":1}', '{"a":', "{a:1,}", "{x}", "{“", '{"\\', "{a:'\\'", "</think>", "[",
     "{ ",
     "'", "{#", "{}", "[{", '"', "\\", "{a:[", "```{", "“", "//", "{//"],
)  # fmt: skip
def test_hostile_replies_are_read_in_no_time(part: str) -> None:
    for text in (part * (100_000 // len(part)), part * (MOST_CHARACTERS // len(part)), "{a:" + part * 9000 + "}"):
        started = time.process_time()
        with contextlib.suppress(Rejected):
            read_object(text)
        assert time.process_time() - started < 1.0


PIECES = st.sampled_from(
    ("{", "}", "[", "]", '"', "'", ":", ",", "\\", "\n", "//", "/*", "*/", "#", "```", "```json\n", "<think>",
     "</think>",
     "null", "NaN", "1", "-", "0x", "1e9", "a", '"a"', "“", "”", "：", TEXT, '{"a": 1}', "\ufeff", "\ud800", "\x00",
     "plan", "True")
)  # fmt: skip


@settings(deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=30).map("".join)))
@example('{"plan": {"plan": {"plan": {"plan": {"plan": {"knobs": []}}}}}}')
@example('{"a":"\\')
def test_any_text_is_an_object_or_rejected(text: str) -> None:
    try:
        assert isinstance(read_object(text), dict)
    except Rejected as rejected:
        assert str(rejected)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.text(max_size=10),
              st.floats(allow_nan=False, allow_infinity=False, width=32)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=10,
)  # fmt: skip


@settings(deadline=None)
@given(JSON)
def test_every_plain_object_is_read_as_it_is(value: object) -> None:
    document = {"action_space": [value], "b": value}
    for text in (json.dumps(document), f"Here:\n```json\n{json.dumps(document, ensure_ascii=False)}\n```\nDone."):
        assert read_object(text) == document


def test_keys_by_what_they_mean() -> None:
    document = {"Max Value": 5, "name": None, "parameter": "x", "max": None, "knob": "y", "other": 1, "none": None}
    spellings = {"name": ("name", "parameter", "knob"), "max": ("max", "max_value"), "min": ("min",)}
    assert by_meaning(document, spellings) == ({"name": "x", "max": 5}, ("knob", "other"))


def test_names_of_plan_keys() -> None:
    assert [plan_key(key) for key in ("actionSpace", "Kernel Parameters", "tps")] == [
        "action_space",
        "action_space",
        "",
    ]


def test_one_line_of_foreign_words() -> None:
    assert one_line(" a\n\tb\x1b[31mc\u202e\ud800 ", 80) == "a bc"
    assert one_line("x" * 81, 80) == "x" * 79 + "…"
