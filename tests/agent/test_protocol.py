"""The agent's wire format: one JSON object per line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.agent import protocol
from knobctl.agent.protocol import BAD_REQUEST, MAX_LINE, AgentError, decode, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=6))
def test_what_goes_in_comes_out_and_is_one_line(message: dict[str, Any]) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert decode(line) == message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "a message that is not JSON"),
        (b"\n", "a message that is not JSON"),
        (b"{", "a message that is not JSON"),
        (b"\xff\xfe{}", "a message that is not JSON"),
        (b"\x00", "a message that is not JSON"),
        (b'{"id": 1} {"id": 2}', "a message that is not JSON"),
        (b"[" * 200_000, "a message that is not JSON"),
        (b"[]", "a message that is not an object"),
        (b"null", "a message that is not an object"),
        (b'"write"', "a message that is not an object"),
        (b"7", "a message that is not an object"),
    ],
)
def test_anything_else_is_a_bad_request(line: bytes, words: str) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        decode(line)
    assert caught.value.code == BAD_REQUEST


@given(st.binary(max_size=80))
def test_no_bytes_are_another_exception(line: bytes) -> None:
    try:
        assert isinstance(decode(line), dict)
    except AgentError as error:
        assert error.code == BAD_REQUEST


def test_a_line_at_the_limit_is_read_and_one_byte_more_is_not() -> None:
    frame = json.dumps({"text": ""}).encode()
    longest = json.dumps({"text": "x" * (MAX_LINE - len(frame))}).encode()
    assert len(longest) == MAX_LINE
    assert len(decode(longest)["text"]) == MAX_LINE - len(frame)
    with pytest.raises(AgentError, match=f"a message of {MAX_LINE + 1} bytes is too long"):
        decode(longest + b" ")


def test_an_error_carries_what_the_answer_needs() -> None:
    error = AgentError(protocol.WRITE_FAILED, "the kernel refused it", "Choose another value.")
    assert (error.code, error.message, error.hint, str(error)) == (
        "write-failed", "the kernel refused it", "Choose another value.", "the kernel refused it",
    )  # fmt: skip
