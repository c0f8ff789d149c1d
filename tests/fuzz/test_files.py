"""Files that somebody else may have written: the kernel's, the administrator's sysctl.d, a config.toml, the journal."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from knobctl.agent import journal
from knobctl.config import Config, load_config
from knobctl.errors import UsageError
from knobctl.knobs import codec
from knobctl.knobs.files import catalogue
from tests.fuzz.trying import MARKS, NUMBERS, is_campaign, mutated_lines, mutated_text, reading, sized, texts

KNOBS = [knob for knob in catalogue() if knob.risk != "forbidden"]
KERNEL_TEXTS = st.one_of(
    texts,
    st.lists(st.one_of(st.integers().map(str), st.sampled_from([*NUMBERS, "always", "[madvise]", "[", "]", "[]"]))).map(
        "\t".join
    ),
    mutated_text("always [madvise] never"),
    mutated_text("4096\t16384\t4194304"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


@sized(150)
@given(knob=st.sampled_from(KNOBS), text=KERNEL_TEXTS, number=st.integers(-(2**63), 2**63 - 1))
def test_the_text_of_a_kernel_file(knob: Any, text: str, number: int) -> None:
    with reading("kernel files: the codec"):
        assert all(isinstance(choice, str) for choice in codec.offered(text))
        settable = codec.settable(text)
        assert codec.settable(settable) == settable
        assert codec.same(text, settable)
        try:
            codec.parse(knob, text)
            value = number if knob.kind == "integer" else knob.choices[number % len(knob.choices)]
            written = codec.render(knob, value, text)
        except ValueError as error:
            assert str(error).startswith(knob.name)
            return
        assert codec.parse(knob, written) == value
        if knob.field is not None:
            fields = text.split()
            fields[knob.field] = str(value)
            assert written.split() == fields


TOML = """
# comment
[model]
name = "ollama:qwen2.5-coder:7b"
base_url = 'http://localhost:11434/v1'
api_key_file = "~/.config/knobctl/key"
timeout = 300.5
requests = 60
tokens = 300_000
"""
TOML_PIECES = st.sampled_from(
    [*NUMBERS, *MARKS, "[model]", "[[model]]", "[model.x]", "name", "timeout", "tokens", " = ",
    "1979-05-27T07:32:00Z", "inf",
     "9999-99-99", '"""', "'''", "{a=1}", "[1,[2]]", "true", "0o17", "1__0", '"\\uD800"', '"\\U00110000"',
     "api_key", "#"]
)  # fmt: skip


@sized(150)
@given(content=st.one_of(mutated_text(TOML), mutated_lines(TOML), st.lists(TOML_PIECES, max_size=12).map("\n".join),
                         st.lists(TOML_PIECES, max_size=12).map("".join), texts, st.binary(max_size=100)))  # fmt: skip
@example(content="timeout = " + "9" * 5000)
@example(content="[model]\ntimeout = " + "9" * 400)
@example(content="[model]\ntimeout = nan")
@example(content="[model]\ntokens = " + "[" * 5000)
@example(content="[model]\ntokens = " + "{a=" * 5000)
@example(content="a." * 5000 + "b = 1")
def test_a_configuration_file(folder: Path, content: str | bytes) -> None:
    path = folder / "config.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with reading("config.toml"):
        try:
            config = load_config({"HOME": "/home/me", "XDG_CONFIG_HOME": str(folder / "none")}, path)
        except UsageError as error:
            assert error.hint
            return
        assert isinstance(config, Config)
        assert 0 < config.model.timeout <= 3600


ENTRIES: list[dict[str, Any]] = [
    {"kind": "begin", "session": "s", "boot_id": "b", "folder": "/var/tmp/knobctl-x", "pid": 7, "started": 1.5},
    {"kind": "found", "path": "/proc/sys/vm/dirty_ratio", "text": "20", "active": True},
    {"kind": "found", "path": "/proc/sys/vm/dirty_bytes", "text": "0", "active": False},
    {"kind": "intent", "path": "/proc/sys/vm/dirty_ratio"},
    {"kind": "seen", "path": "/proc/sys/vm/dirty_ratio", "text": "40"},
    {"kind": "found", "path": "/sys/kernel/mm/transparent_hugepage/enabled", "text": "madvise", "active": True},
    {"kind": "seen", "path": "/sys/kernel/mm/transparent_hugepage/enabled", "text": "always"},
]


def line(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


JOURNAL = b"".join(line(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()) for entry in ENTRIES)
LINES = JOURNAL.splitlines(keepends=True)
FOUND = {(entry["path"], entry["text"]) for entry in ENTRIES if entry["kind"] == "found"}
SEEN = {entry["text"] for entry in ENTRIES if entry["kind"] == "seen"}


def flipped(bits: list[int]) -> bytes:
    content = bytearray(JOURNAL)
    for bit in bits:
        content[bit // 8 % len(content)] ^= 1 << bit % 8
    return bytes(content)


JOURNALS = st.one_of(
    st.binary(max_size=300),
    st.lists(st.integers(0, 8 * len(JOURNAL) - 1), min_size=1, max_size=12).map(flipped),
    st.lists(st.sampled_from(LINES), max_size=14).map(b"".join),
    st.tuples(st.integers(0, len(JOURNAL)), st.integers(0, len(JOURNAL)), st.binary(max_size=20)).map(
        lambda cut: JOURNAL[: cut[0]] + cut[2] + JOURNAL[cut[1] :]
    ),
    st.permutations(LINES).map(b"".join),
)


def read(folder: Path, content: bytes, copy: bytes = b"") -> journal.History | None:
    path = folder / "journal"
    path.write_bytes(content)
    with reading("the journal"):
        return journal.read(str(path), copy)


def only_says_what_was_written(history: journal.History | None) -> None:
    if history is None:
        return
    assert history.begin in ({}, ENTRIES[0])
    for path, file in history.files.items():
        assert (path, file.found) in FOUND
        assert file.path == path
        assert file.seen is None or file.seen in SEEN


@sized(150)
@given(content=JOURNALS, copy=st.one_of(st.just(b""), JOURNALS))
def test_a_damaged_journal_says_nothing_that_was_not_written(folder: Path, content: bytes, copy: bytes) -> None:
    only_says_what_was_written(read(folder, content, copy))


def test_a_journal_cut_at_every_byte(folder: Path) -> None:
    for cut in range(len(JOURNAL) + 1):
        history = read(folder, JOURNAL[:cut])
        only_says_what_was_written(history)
        whole = [entry for end, entry in enumerate(ENTRIES) if len(b"".join(LINES[: end + 1])) - 1 <= cut]
        found = {entry["path"] for entry in whole if entry["kind"] == "found"}
        assert (set(history.files) if history is not None else set()) == found


def test_every_single_bit(folder: Path) -> None:
    for bit in range(0, 8 * len(JOURNAL), 1 if is_campaign() else 13):
        history = read(folder, flipped([bit]))
        only_says_what_was_written(history)
        assert history is not None
        assert len(history.files) >= 1


STRANGE = st.one_of(
    st.recursive(st.none() | st.booleans() | st.integers() | texts, lambda inner: st.lists(inner, max_size=3)
                 | st.dictionaries(texts, inner, max_size=3)),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["begin", "found", "intent", "seen", "other", 7]),
         "text": st.one_of(texts, st.none(), st.lists(st.integers()))},
        optional={"path": st.one_of(texts, st.integers(), st.sampled_from(sorted(path for path, _ in FOUND))),
                  "active": st.one_of(st.booleans(), texts)},
    ),
)  # fmt: skip


@sized(60)
@given(entries=st.lists(STRANGE, max_size=6))
def test_whole_lines_of_somebody_elses(folder: Path, entries: list[Any]) -> None:
    """A checksum is no signature, so even a line that is whole may be of any shape."""
    history = read(folder, b"".join(line(json.dumps(entry).encode()) for entry in entries))
    if history is not None:
        assert isinstance(history.begin, dict)
        assert all(isinstance(file.found, str) for file in history.files.values())


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"kind":"found","path":"/proc/sys/vm/swappiness"}',
        b'{"kind":"seen","path":"/proc/sys/vm/dirty_ratio"}',
        b"9" * 5000,
        b'"\xff"',
        b"NaN",
        b"{}" * 3,
    ],
    ids=lambda body: body[:60].decode("ascii", "replace"),
)
def test_a_whole_line_that_is_hard_to_read(folder: Path, body: bytes) -> None:
    only_says_what_was_written(read(folder, JOURNAL + line(body)))
