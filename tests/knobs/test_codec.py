"""Text of a kernel file to value and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.knobs import Bound, Knob, codec


def knob(kind: str = "integer", field: int | None = None) -> Knob:
    return Knob("a.knob", "/proc/sys/a/knob", kind, "s", "w", "d", minimum=Bound(0), maximum=Bound(9), field=field)


words = st.text("abcdefghijklmnopqrstuvwxyz+-_0123456789", min_size=1, max_size=12)


@given(st.integers(-(2**63), 2**64), st.sampled_from(["", "\n", " \n"]))
def test_an_integer_comes_back(value: int, end: str) -> None:
    assert codec.parse(knob(), codec.render(knob(), value, "7") + end) == value


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=5), st.integers(0, 2**40), st.data())
def test_a_field_of_a_vector_comes_back_and_the_others_stay(
    numbers: list[int], value: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(numbers) - 1))
    text = "\t".join(map(str, numbers)) + "\n"
    written = codec.render(knob(field=index), value, text)
    assert codec.parse(knob(field=index), written) == value
    assert [codec.parse(knob(field=i), written) for i in range(len(numbers)) if i != index] == [
        number for i, number in enumerate(numbers) if i != index
    ]
    assert codec.same(codec.render(knob(field=index), numbers[index], written), text)


@given(st.lists(words, min_size=1, max_size=5, unique=True), st.data())
def test_a_bracketed_choice_is_read_and_comes_back(choices: list[str], data: st.DataObject) -> None:
    active = data.draw(st.sampled_from(choices))
    shown = " ".join(f"[{word}]" if word == active else word for word in choices) + "\n"
    assert codec.parse(knob("choice"), shown) == active
    assert codec.offered(shown) == tuple(choices)
    assert codec.settable(shown) == active
    assert codec.render(knob("choice"), active, shown) == active
    assert codec.same(shown, active)


def test_a_plain_word_is_its_own_choice_and_offers_nothing() -> None:
    assert codec.parse(knob("choice"), "cubic\n") == "cubic"
    assert codec.offered("cubic\n") == ()
    assert codec.settable("reno\tcubic \n") == "reno cubic"


def test_white_space_does_not_make_a_difference_but_values_do() -> None:
    assert codec.same("4096\t131072\t6291456\n", "4096 131072 6291456")
    assert not codec.same("4096 131072 6291456", "4096 131072 6291457")
    assert not codec.same("none [mq-deadline] kyber", "[none] mq-deadline kyber")


@pytest.mark.parametrize(
    ("kind", "field", "text", "words_"),
    [
        ("integer", None, "fast", "a.knob: 'fast' is not an integer"),
        ("integer", 2, "1 2", "a.knob: '1 2' has no field 2"),
        ("integer", None, "", "a.knob: '' has no field 0"),
        ("choice", None, " \n", "a.knob: empty"),
    ],
)
def test_text_without_the_value_is_refused(kind: str, field: int | None, text: str, words_: str) -> None:
    with pytest.raises(ValueError, match=words_):
        codec.parse(knob(kind, field), text)


def test_a_field_that_is_not_there_cannot_be_written() -> None:
    with pytest.raises(ValueError, match=r"a\.knob: '1 2' has no field 2"):
        codec.render(knob(field=2), 5, "1 2")
