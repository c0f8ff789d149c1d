from __future__ import annotations

import pytest

from knobctl.safety.suggested import most_played
from tests.safety.machine import states, validate


def test_suggestion_is_resolved_and_repaired() -> None:
    safe = validate(
        "b.ratio",
        "b.background",
        suggestions=[{"configuration": {"/proc/sys/b/background": "40"}, "reason": "Less to flush."}],
    )
    assert len(safe.suggestions) == 1
    assert safe.suggestions[0].configuration == {"b.background": 19}
    assert safe.suggestions[0].reason == "Less to flush."


def test_what_does_not_fit_is_dropped_with_its_reason() -> None:
    safe = validate(
        {"param": "a.plain", "max": 80},
        suggestions=[
            {"configuration": {"a.plain": 81}},
            {"configuration": {"a.other": 5}},
            {"configuration": {"no\u0430": 5}},
            {"configuration": {"a.plain": "many"}},
            {"configuration": {"a.plain": 60}},
            {"configuration": {"a.plain": 10}},
            {"configuration": {"a.plain": 60, "a.other": 5}},
        ],
    )
    assert safe.dropped == (
        ("suggestion 1", "a.plain=81 is outside of what is explored"),
        ("suggestion 2", "'a.other' is not tuned here"),
        ("suggestion 3", "'no\u0430' is not tuned here"),
        ("suggestion 4", "a.plain='many' is outside of what is explored"),
        ("suggestion 5", "it is the default configuration"),
        ("suggestion 7", "'a.other' is not tuned here"),
    )
    assert [dict(each.configuration) for each in safe.suggestions] == [{"a.plain": 10}]


def test_only_what_differs_is_kept_so_that_an_idle_twin_is_never_written() -> None:
    safe = validate(
        "a.plain",
        "b.ratio",
        found=states(b_ratio=0, b_bytes=4194304),
        suggestions=[{"configuration": {"a.plain": 10}}],
    )
    assert safe.suggestions[0].configuration == {"a.plain": 10}


def test_what_several_suggest_is_tried_once_with_the_reasons_of_all() -> None:
    safe = validate(
        "b.ratio",
        "b.background",
        suggestions=[
            {"configuration": {"b.background": 40}, "reason": "Less to flush."},
            {"configuration": {"b.ratio": 30}},
            {"configuration": {"b.background": 50}, "reason": "Somebody's profile."},
            {"configuration": {"/proc/sys/b/background": 40}, "reason": "Less to flush."},
            {"configuration": {"b.ratio": 30}, "reason": "More room."},
        ],
    )
    assert [(dict(each.configuration), each.reason) for each in safe.suggestions] == [
        ({"b.background": 19}, "Less to flush. Somebody's profile."),
        ({"b.ratio": 30}, "More room."),
    ]
    assert safe.dropped == ()


@pytest.mark.parametrize(("budget", "most"), [(1, 1), (3, 1), (7, 1), (8, 2), (24, 6), (40, 10)])
def test_suggestions_have_a_quarter_of_the_budget_and_at_least_one_trial(budget: int, most: int) -> None:
    assert most_played(budget) == most
