from __future__ import annotations

import pytest

from knobctl.strategist.wording import found, read_words


@pytest.mark.parametrize(
    ("phrase", "text", "occurs"),
    [
        ("cpu", "my CPU is slow", True),
        ("cpu", "gpus and cpus", False),
        ("cpu", "优化CPU性能", True),
        ("postgres*", "PostgreSQL", True),
        ("read only", "read-only", True),
        ("read only", "read_only", True),
        ("read only", "readonly", False),
        ("i o", "I/O", True),
        ("数据库", "我的数据库很慢", True),
        ("随机 io", "随机IO", True),
        ("db", "db2", False),
    ],
)
def test_a_phrase_is_found_as_whole_words(phrase: str, text: str, occurs: bool) -> None:
    assert found((phrase,), text) == ((phrase,) if occurs else ())


@pytest.mark.parametrize(
    ("text", "meant", "negated"),
    [
        ("nginx, not postgres", "nginx,", ("not postgres",)),
        ("don't tune postgres but nginx", "but nginx", ("don't tune postgres",)),
        ("Do NOT tune postgres, make nginx fast", ", make nginx fast", ("Do NOT tune postgres",)),
        ("nginx instead of apache.", "nginx .", ("instead of apache",)),
        ("no more than 5 clients", "no more than 5 clients", ()),
        ("不要优化数据库，优化网站", ",优化网站", ("不要优化数据库",)),
        ("特别慢的网站", "特别慢的网站", ()),
        ("not_x", "not_x", ()),
        ("a web server with 16 GB of RAM and 8 cores", "a web server with and", ()),
        ("8 核 CPU 32G 内存", "", ()),
        ("16 GB memory bandwidth", "16 GB memory bandwidth", ()),
    ],
)
def test_what_is_not_meant_is_blanked_out(text: str, meant: str, negated: tuple[str, ...]) -> None:
    wording = read_words(text)
    assert " ".join(wording.meant.split()) == meant
    assert wording.negated == negated
    assert len(wording.meant) == len(wording.text)


def test_control_and_invisible_characters_are_removed() -> None:
    assert read_words("  a\x00b\x1b[31m\u200bc\u202ed\ud800\te ").text == "a b [31mcd e"


def test_full_width_characters_become_narrow() -> None:
    assert read_words("ＰＧ　５０，ｘ").text == "PG 50,x"
