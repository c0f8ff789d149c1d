from __future__ import annotations

import pytest

from knobctl.errors import PlanError
from knobctl.knobs import KnobState
from knobctl.safety import Consent
from tests.safety.machine import states, validate


def refusal(*knobs: object, **keys: object) -> PlanError:
    with pytest.raises(PlanError) as refused:
        validate(*knobs, **keys)  # type: ignore[arg-type]
    return refused.value


def test_range_defaults_to_the_catalogue_on_this_machine() -> None:
    dimension = validate("a.share").knobs[0].dimension
    assert (dimension.low, dimension.high, dimension.scale) == (1, 2 * 2**20, "log")


def test_half_a_range_is_completed() -> None:
    low = validate({"param": "a.plain", "min": 10}).knobs[0].dimension
    high = validate({"param": "a.plain", "max": 90, "scale": "log"}).knobs[0].dimension
    assert (low.low, low.high, low.scale) == (10, 100, "linear")
    assert (high.low, high.high, high.scale) == (0, 90, "log")


@pytest.mark.parametrize("name", ["a.plain", "a/plain", "plain", "A.Plain", "/proc/sys/a/plain"])
def test_every_name_of_a_knob_is_resolved(name: str) -> None:
    assert validate(name).knobs[0].knob.name == "a.plain"


def test_unknown_name_suggests_what_may_be_tuned_only() -> None:
    assert "unknown knob 'a.plan'; did you mean a.plain" in refusal("a.plan").message
    assert "a.never" not in refusal("a.nevr").message


def test_look_alike_letters_are_spelled_out() -> None:
    assert "'a.pl\\u0430in'" in refusal("a.pl\u0430in").hint


def test_forbidden_whoever_asks() -> None:
    error = refusal("a.never", consent=Consent(knobs=frozenset({"a.never"})))
    assert error.message == "a.never is never tuned: It opens the machine."


def test_caution_only_by_name() -> None:
    error = refusal("a.careful", consent=Consent(knobs=frozenset({"a.*", "a.plain", "no.such"})))
    assert error.message == "a.careful is tuned only when you name it yourself: It heats the machine."
    assert "--knobs a.careful" in error.hint
    for name in ("a.careful", "careful"):
        assert validate("a.careful", consent=Consent(knobs=frozenset({name}))).knobs


def test_range_outside_is_never_clipped() -> None:
    error = refusal({"param": "a.plain", "min": 50, "max": 150})
    assert error.message == "a.plain: 50 to 150 is not inside what is allowed here: 0 to 100 percent"
    assert error.hint == "Use min 50 and max 100."


def test_special_values_are_named_beside_the_range() -> None:
    assert "allowed here: 10 to 100, or 0 or -1" in refusal({"param": "a.special", "min": 0}).message
    assert validate({"param": "a.special", "special": [0, 0]}).knobs[0].dimension.special == (0,)
    assert validate("a.special").knobs[0].dimension.special == ()
    assert validate({"param": "a.special", "values": [-1, 50]}).knobs[0].dimension.values == (-1, 50)


def test_range_that_no_float_can_walk() -> None:
    assert refusal("a.wide").message == f"a.wide: 0 to {2**60} is too wide to search"


def test_values_are_sorted_numbers_without_doubles() -> None:
    assert validate({"param": "a.plain", "values": ["60", 5, 60]}).knobs[0].dimension.values == (5, 60)


@pytest.mark.parametrize("word", ["1_0", " ٣", "0x10", "1e1"])
def test_number_in_quotes_is_plain_digits(word: str) -> None:
    assert "is not allowed here" in refusal({"param": "a.plain", "values": [word, 5]}).message


def test_absent_knob_is_dropped_with_its_reason() -> None:
    found = states()
    found["a.other"] = KnobState("a.other", False, False, reason="needs Linux 7.0")
    safe = validate("a.plain", "a.other", found=found)
    assert [tuned.knob.name for tuned in safe.knobs] == ["a.plain"]
    assert safe.dropped == (("a.other", "needs Linux 7.0"),)


def test_knob_that_was_not_probed_counts_as_absent() -> None:
    found = {name: state for name, state in states().items() if name != "a.other"}
    assert validate("a.plain", "a.other", found=found).dropped == (("a.other", "absent in this kernel"),)


def test_read_only_knob_is_dropped() -> None:
    found = states()
    found["a.other"] = KnobState("a.other", True, False, 50)
    assert validate("a.plain", "a.other", found=found).dropped == (("a.other", "cannot be written here"),)


def test_value_that_cannot_be_understood_is_dropped() -> None:
    found = states(a_other="garbage\x1b", a_mode="turbo")
    assert validate("a.plain", "a.other", "a.mode", found=found).dropped == (
        ("a.other", "its value here is no integer: 'garbage\\x1b'"),
        ("a.mode", "its value here, 'turbo', is not in the catalogue"),
    )


def test_nothing_left_is_an_error_with_every_reason() -> None:
    found = {name: state for name, state in states().items() if name != "a.other"}
    error = refusal("a.other", {"param": "a.plain", "values": [7]}, found=found)
    assert error.message == (
        "nothing is left to tune (a.other: absent in this kernel; a.plain: only one value to try: 7)"
    )


def test_a_bad_range_of_an_absent_knob_is_still_an_error() -> None:
    assert "not inside" in refusal("a.plain", {"param": "a.other", "max": 101}, found={}).message


def test_choice_is_narrowed_to_what_the_kernel_offers() -> None:
    found = states()
    found["a.mode"] = KnobState("a.mode", True, True, "off", "[off] fast", choices=("off", "fast"))
    safe = validate("a.mode", found=found)
    assert safe.knobs[0].dimension.values == ("off", "fast")
    assert safe.dropped == (("a.mode=slow", "not offered by this kernel"),)


def test_choice_that_was_found_is_always_explored() -> None:
    safe = validate({"param": "a.mode", "values": ["slow", "fast"]})
    assert safe.knobs[0].dimension.values == ("slow", "fast", "off")
    assert safe.space.encode(safe.default) == pytest.approx([5 / 6])


def test_choice_without_an_alternative_is_dropped() -> None:
    found = states()
    found["a.mode"] = KnobState("a.mode", True, True, "off", "[off]", choices=("off",))
    assert ("a.mode", "only one value to try: off") in validate("a.plain", "a.mode", found=found).dropped


def test_found_value_outside_of_the_range_is_noted_and_kept() -> None:
    safe = validate({"param": "a.plain", "max": 40})
    assert safe.default == {"a.plain": 60}
    assert safe.notes == ("a.plain is 60 now, outside of what is explored.",)


def test_cold_knob_is_noted() -> None:
    assert validate("a.cold").notes == ("a.cold acts only after a restart of the workload.",)


def test_twins_are_refused_together_and_one_is_tuned_while_the_other_is_in_use() -> None:
    assert "b.bytes and b.ratio are two faces of one setting" in refusal("b.ratio", "b.bytes").message
    safe = validate("b.ratio", found=states(b_ratio=0, b_bytes=4194304))
    assert safe.default == {"b.ratio": 0}
    assert not safe.knobs[0].dimension.contains(0)
    assert safe.notes == (
        "This machine uses b.bytes (4194304) in place of b.ratio; it is put back exactly afterwards.",
    )
