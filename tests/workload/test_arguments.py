from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.workload.arguments import (
    Style,
    flag,
    parse_arguments,
    program_problems,
    refused,
    size,
    size_in_bytes,
    switch,
    valued,
    whole,
)

OPTIONS = (
    valued("-c", "--client", check=whole(1, 1000)),
    valued("--size", check=size(1024, 2**30)),
    flag("-n", "--no-vacuum"),
    flag("-S"),
    switch("--direct"),
    refused("-f", "--file", because="runs SQL from a file"),
)


@pytest.mark.parametrize("words", [["-c", "5"], ["-c5"], ["-nSc5"], ["--client", "5"], ["--client=5"]])
def test_every_spelling_of_getopt_is_understood(words: list[str]) -> None:
    parsed = parse_arguments("tool", Style.GETOPT, OPTIONS, words)

    assert parsed.problems == ()
    assert parsed.text("-c") == "5"
    assert parsed.number("-c", 1) == 5.0


def test_flags_words_and_repeated_options_are_kept() -> None:
    parsed = parse_arguments("tool", Style.GETOPT, OPTIONS, ["-n", "-c", "1", "base", "-c", "2", "--direct=on"])

    assert parsed.has("-n") and not parsed.has("-S")
    assert parsed.values["-c"] == ("1", "2")
    assert parsed.text("-c") == "2"
    assert parsed.words == ("base",)
    assert parsed.text("--direct") == "on"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["-c", "0"], "tool -c '0' is not allowed: it must be a whole number from 1 to 1000"),
        (["--client=1001"], "tool --client '1001' is not allowed: it must be a whole number from 1 to 1000"),
        (["-c", "²"], "tool -c '²' is not allowed: it must be a whole number from 1 to 1000"),
        (["-c"], "tool -c needs a value"),
        (["--size=2G"], "tool --size '2G' is not allowed: it must be a size from 1024 bytes to 1 GiB"),
        (["--no-vacuum=yes"], "tool --no-vacuum takes no value"),
        (["--direct=maybe"], "tool --direct 'maybe' is not allowed: it must be one of on, off, 1, 0"),
        (["-x"], "tool -x is not an option that knobctl runs without asking"),
        (["--exec=sh"], "tool --exec is not an option that knobctl runs without asking"),
        (["--"], "tool -- is not an option that knobctl runs without asking"),
        (["--cli=5"], "tool --cli is not an option that knobctl runs without asking: write --client in full"),
        (["--fil=x"], "tool --fil is not an option that knobctl runs without asking: write --file in full"),
        (["-f", "x.sql"], "tool -f needs your own consent: it runs SQL from a file"),
        (["--file=x.sql"], "tool --file needs your own consent: it runs SQL from a file"),
    ],
)
def test_the_words_of_a_problem_name_the_option_and_what_it_takes(words: list[str], problem: str) -> None:
    assert parse_arguments("tool", Style.GETOPT, OPTIONS, words).problems == (problem,)


def test_the_value_of_a_refused_option_is_no_word() -> None:
    assert parse_arguments("tool", Style.GETOPT, OPTIONS, ["-f", "x.sql", "base"]).words == ("base",)


def test_a_tool_that_wants_equals_signs_gets_no_separate_values() -> None:
    parsed = parse_arguments("tool", Style.EQUALS, OPTIONS, ["--client", "5"])

    assert parsed.problems == ("tool --client needs a value",)


def test_a_tool_without_clusters_knows_no_short_option() -> None:
    parsed = parse_arguments("tool", Style.LONG, OPTIONS, ["-size=5", "--size", "4k"])

    assert parsed.problems == ("tool -size is not an option that knobctl runs without asking",)
    assert parsed.text("--size") == "4k"


@given(st.sampled_from(list(Style)), st.lists(st.text(alphabet="-cnSfx=5 \x00é", max_size=8), max_size=8))
def test_no_arguments_raise(style: Style, words: list[str]) -> None:
    parsed = parse_arguments("tool", style, OPTIONS, words)

    assert set(parsed.values) <= {"-c", "--size", "-n", "-S", "--direct", "-f"}


@given(st.text(min_size=1, max_size=20))
def test_an_option_that_is_not_on_the_list_is_always_a_problem(name: str) -> None:
    known = {spelling for option in OPTIONS for spelling in option.names}
    word = f"--{name}"
    if word.partition("=")[0] not in known:
        assert parse_arguments("tool", Style.GETOPT, OPTIONS, [word]).problems


@pytest.mark.parametrize(
    ("text", "count"),
    [("16384", 16384), ("16k", 16384), ("1G", 2**30), ("1GiB", 2**30), ("2MB", 2**21), ("", None), ("1X", None),
     ("-1", None), ("1.5G", None)],
)  # fmt: skip
def test_sizes_are_powers_of_1024(text: str, count: int | None) -> None:
    assert size_in_bytes(text) == count


def test_only_the_bare_program_runs_without_consent() -> None:
    assert program_problems("ab", ["ab", "-n", "1"]) == []
    assert program_problems("ab", ["/tmp/ab", "-n", "1"]) == [
        "'/tmp/ab' needs your own consent: only the bare name ab is run without asking"
    ]
