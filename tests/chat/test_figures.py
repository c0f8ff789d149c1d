"""Figures that nothing stands behind are found, whatever they look like; and none that is in the record."""

from __future__ import annotations

import math
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from knobctl.chat.claims import claiming, overclaims, pretends
from knobctl.chat.figures import unfounded
from knobctl.measure.verdict import Verdict

CASES = Path(__file__).parent / "cases"
FIGURES = tomllib.loads((CASES / "figures.toml").read_text(encoding="utf-8"))
CLAIMS = tomllib.loads((CASES / "claims.toml").read_text(encoding="utf-8"))
RECORD = {
    "improvement": 17.0934,
    "interval": [5.2, 11.04],
    "pairs": 12,
    "score": 10731.4,
    "success": True,
    "nothing": None,
    "odd": [math.inf, math.nan, 10**400],
    "session_id": "20261122-184500-a1b2",
    "command": "pgbench -c 50 -j 4 -T 30",
    "largest": 18446744073692774399,
    "why": "about twice as fast",
}
NOT_IMPROVED = [Verdict.NO_CHANGE, Verdict.WORSE, Verdict.INCONCLUSIVE, None]
SECONDS = 3.0
"""Many times what 100 kB need, and a small part of what a quadratic pattern would take."""

HOSTILE = {
    "numbers": "1 " * 50_000,
    "different numbers": " ".join(map(str, range(17_000))),
    "list": "1," * 50_000,
    "digits": "1" * 100_000,
    "points": "1." * 50_000,
    "exponents": "1e" * 50_000,
    "percents": "1%" * 50_000,
    "fractions": "1/2" * 33_000,
    "names": "a1-" * 33_000,
    "underscores": "_" * 100_000 + "1",
    "slashes": "/" * 100_000 + "x",
    "words": "one " * 25_000,
    "hyphens": "twenty-" * 14_000,
    "times": "ten times " * 10_000,
    "spaces": "one" + " " * 100_000,
    "lines": "\n " * 50_000,
    "markers": "\n 1. " * 20_000,
    "chinese": "一" * 100_000,
    "percent of": "百分之" * 33_000,
    "ligatures": "\ufdfa" * 33_000,
    "deeds": "i have " * 14_000,
    "brackets": "( " * 50_000,
    "searches": "search " * 14_000,
    "metrics": "tps " * 25_000,
    "gains": "increased " * 10_000,
    "copies": "cp " * 33_000,
    "assignments": "sysctl " * 14_000 + "x" * 1000,
    "states": "score of the " * 8_000,
    "helpers": "a.b.c at 1.2." * 8_000,
    "escapes": "\x1b]" * 50_000 + "\n",
}


@pytest.mark.parametrize("text", FIGURES["founded"])
def test_what_the_record_holds_is_founded(text: str) -> None:
    assert unfounded(text, RECORD) == ()


@pytest.mark.parametrize(("text", "figure"), FIGURES["unfounded"], ids=lambda value: value)
def test_what_the_record_does_not_hold_is_found(text: str, figure: str) -> None:
    assert figure in unfounded(text, RECORD)


def test_without_sources_every_figure_is_unfounded_and_named_once() -> None:
    assert unfounded("12 pairs, 3 knobs, again 12, half") == ("12", "3", "half")


@pytest.mark.parametrize("source", ["17.0934 %", ["17.0934"], {"a": {"b": (17.0934,)}}, {"17.0934": 0}, -17.0934])
def test_a_source_may_be_text_or_a_document(source: object) -> None:
    assert unfounded("17.1 %", source) == ()
    assert unfounded("17.2 %", source) == ("17.2 %",)


@pytest.mark.parametrize(
    "text", ["9" * 500, "9" * 400 + "k", "1e999", "1.23e+999", "9" * 400 + "e300", "0" * 500 + "3"]
)
def test_an_absurd_number_is_unfounded(text: str) -> None:
    assert unfounded(text, RECORD) == (text,)


def test_several_sources_stand_together() -> None:
    assert unfounded("12 pairs, 17 %", {"pairs": 12}, "17.0934") == ()


def test_a_plain_source_vouches_for_no_percentage_multiple_or_share() -> None:
    plain = ({"pairs": 12, "cores": 2}, "twice, 2x, and +8.1 % at 3 points")
    assert unfounded("12 pairs on 2 cores, 8.1 %", plain=plain) == ()
    assert unfounded("12 %, 2x, twice, 3-12 %, 百分之十二", plain=plain) == ("12 %", "2x", "twice", "3", "百分之十二")
    assert unfounded("12 %", [12], plain=plain) == ()


finite = st.floats(min_value=1e-3, max_value=1e12, allow_nan=False, allow_infinity=False)


def formats(value: float, decimals: int) -> list[str]:
    plain, shown = f"{value:.{decimals}f}", f"{value:,.{decimals}f}"
    return [
        plain, shown, f"+{shown} %", f"-{shown}%", f"{shown}ms", f"({shown})", f"约{shown}次",
        f"={shown};", plain.translate(str.maketrans("0123456789.%", "０１２３４５６７８９．％")), repr(value),
        f"{value:.{decimals + 3}e}",
    ]  # fmt: skip


@given(finite, st.integers(0, 4))
def test_a_number_in_any_usual_format_is_founded(value: float, decimals: int) -> None:
    for text in formats(value, decimals):
        assert unfounded(f"it is {text} here", {"value": value}) == (), text
        assert unfounded(f"it is {text} here", [-value]) == (), text


@given(finite, st.integers(0, 4), st.data())
def test_a_number_with_another_digit_is_not(value: float, decimals: int, data: st.DataObject) -> None:
    text = f"{value:.{decimals}f}"
    assume(len(text.replace(".", "")) <= 15)
    place = data.draw(st.sampled_from([place for place, one in enumerate(text) if one.isdigit()]))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != text[place]]))
    changed = text[:place] + other + text[place + 1 :]
    assume(abs(float(changed) - value) > 0.5001 * 10.0**-decimals)  # 0.25 may be shown as 0.2 or as 0.3
    assert unfounded(f"it is {changed} % here", {"value": value}) == (f"{changed} %",)


@given(st.text(max_size=300))
def test_any_text_can_be_read_and_founds_itself(text: str) -> None:
    figures = unfounded(text)
    assert len(figures) == len(set(figures))
    assert unfounded(text, text) == ()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_read_in_linear_time(name: str) -> None:
    start = time.process_time()
    unfounded(HOSTILE[name], RECORD)
    overclaims(HOSTILE[name], Verdict.NO_CHANGE)
    pretends(HOSTILE[name])
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("verdict", NOT_IMPROVED)
@pytest.mark.parametrize("text", CLAIMS["claims"])
def test_a_claim_that_is_not_proven_is_seen(text: str, verdict: Verdict | None) -> None:
    assert overclaims(text, verdict)
    assert not overclaims(text, Verdict.IMPROVED)


@pytest.mark.parametrize("verdict", NOT_IMPROVED)
@pytest.mark.parametrize("text", CLAIMS["honest"])
def test_honest_words_claim_nothing(text: str, verdict: Verdict | None) -> None:
    assert not overclaims(text, verdict)


@pytest.mark.parametrize("text", CLAIMS["happened"])
def test_what_is_said_to_have_happened_is_a_claim(text: str) -> None:
    assert overclaims(text, None, of_the_past=True)


@pytest.mark.parametrize("text", CLAIMS["general"])
def test_what_a_setting_does_in_general_is_none(text: str) -> None:
    assert not overclaims(text, None, of_the_past=True)


def test_the_clauses_with_a_claim_are_named() -> None:
    assert claiming("It ran 12 pairs. It is 42 % faster, they say; not better.") == " it is 42 % faster"


@pytest.mark.parametrize(("text", "what"), CLAIMS["pretending"], ids=lambda value: value)
def test_what_pretends_to_be_more_than_words_is_seen(text: str, what: str) -> None:
    assert pretends(text).startswith(what)


@pytest.mark.parametrize("text", [*CLAIMS["plain"], *CLAIMS["honest"]])
def test_mere_words_pretend_nothing(text: str) -> None:
    assert pretends(text) == ""
