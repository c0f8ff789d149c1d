from __future__ import annotations

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
            {"configuration": {"plain": 10}},
        ],
    )
    assert safe.dropped == (
        ("suggestion 1", "a.plain=81 is outside of what is explored"),
        ("suggestion 2", "'a.other' is not tuned here"),
        ("suggestion 3", "'no\u0430' is not tuned here"),
        ("suggestion 4", "a.plain='many' is outside of what is explored"),
        ("suggestion 5", "it is the default configuration"),
        ("suggestion 7", "it is the same as an earlier one"),
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
