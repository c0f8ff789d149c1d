"""Files from strangers: what was changed is named, what is hostile is refused, nothing is unpacked."""

from __future__ import annotations

import json
import os
import random
import struct
import tempfile
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.errors import KnobctlError, StoreError, UsageError
from knobctl.evidence import Bundle, read_bundle, write_bundle
from knobctl.evidence.bundle import EVENTS, LIMITS, MANIFEST, PLAN, README, RESULT, SESSION, TRIALS
from knobctl.evidence.reading import AGAIN, fingerprint
from tests.evidence.forging import changed_json, forge, members_of, zip_again


def refusal(path: Path) -> str:
    """What the refusal of a file says, without its name."""
    with pytest.raises(StoreError) as caught:
        read_bundle(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.hint
    return caught.value.message.removeprefix(f"{path}: ")


# --- changed and damaged


@pytest.mark.parametrize("name", sorted(LIMITS.keys() - {MANIFEST}))
def test_a_change_of_any_member_is_named(written: Path, name: str) -> None:
    members = members_of(written)
    for changed in (members[name] + b"\n", members[name][:-1] + b" ", members[name].replace(b"1", b"2", 1)):
        path = zip_again(written, members | {name: changed})
        assert refusal(path) == f"{name} is not what the manifest says: it was changed or damaged"


@pytest.mark.parametrize("key", ["created", "knobctl", "session", "written_with"])
def test_a_change_of_the_manifest_is_noticed(written: Path, key: str) -> None:
    members = members_of(written)
    document = json.loads(members[MANIFEST])
    document[key] = {"python": "4"} if key == "written_with" else "2"
    path = zip_again(written, members | {MANIFEST: json.dumps(document).encode()})
    assert refusal(path) == "manifest.json is not what its own fingerprint says: it was changed"


@pytest.mark.parametrize("name", sorted(LIMITS.keys() - {MANIFEST}))
def test_a_missing_member_is_named(written: Path, name: str) -> None:
    members = members_of(written)
    del members[name]
    assert refusal(zip_again(written, members)) == f"{name} is missing"


def test_a_bundle_without_a_manifest(written: Path) -> None:
    members = members_of(written)
    del members[MANIFEST]
    assert refusal(zip_again(written, members)) == "manifest.json is no JSON"


def test_a_file_that_was_cut_off_is_refused_wherever_that_is(written: Path) -> None:
    content = written.read_bytes()
    for length in {*range(0, len(content), len(content) // 60), *range(len(content) - 30, len(content))}:
        written.write_bytes(content[:length])
        assert refusal(written) == "it is no bundle, or not all of it is there"


def test_every_flipped_bit_is_noticed(written: Path, improved: Bundle) -> None:
    content = written.read_bytes()
    draw = random.Random(1)
    for _ in range(150):
        place = draw.randrange(len(content))
        spoiled = bytearray(content)
        spoiled[place] ^= 1 << draw.randrange(8)
        written.write_bytes(spoiled)
        try:
            same = read_bundle(written) == improved  # dates and attributes of the zip itself carry nothing
        except StoreError:
            continue
        assert same, place


@given(content=st.binary(max_size=400), tail=st.booleans())
def test_bytes_that_mean_nothing_are_an_error_of_ours(content: bytes, tail: bool) -> None:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(content), 0, 0)
    with tempfile.NamedTemporaryFile() as file:
        file.write(content + (end if tail else b""))
        file.flush()
        with pytest.raises(StoreError):
            read_bundle(Path(file.name))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_bundle(tmp_path / "none")
    assert caught.value.message == f"there is no file {tmp_path}/none"
    assert caught.value.hint == "`knobctl report SESSION --bundle FILE` writes one."
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UsageError, match="is no ordinary file"):
            read_bundle(path)


# --- another version


@pytest.mark.parametrize("version", [2, 0, 99, "1", None, True, 1.5, [1]])
def test_another_format_says_who_can_read_it(written: Path, version: Any) -> None:
    with pytest.raises(StoreError) as caught:
        read_bundle(forge(written, {}, format=version, knobctl="9.9"))
    assert "and this knobctl reads format 1" in caught.value.message
    assert caught.value.hint == "Read it with the knobctl that wrote it ('9.9') or a newer one."


# --- hostile


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "trials.jsonl/", "TRIALS.JSONL", "a\x1b[2Jb", "x"])
def test_other_names_are_refused(written: Path, name: str) -> None:
    members = members_of(written)
    members[name] = members.pop(README)
    said = refusal(zip_again(written, members))
    assert said.endswith("is no member of a bundle")
    assert "\x1b" not in said


def test_one_name_twice_is_refused(written: Path) -> None:
    members = members_of(written)
    del members[README]
    with zipfile.ZipFile(written, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr(TRIALS, b"")
    assert refusal(written) == "'trials.jsonl' stands twice in it"


def test_too_many_members_are_refused_before_they_are_looked_at(written: Path) -> None:
    members = members_of(written) | {f"more-{number}": b"" for number in range(3)}
    assert refusal(zip_again(written, members)) == "it has other members than the 9 of a bundle"


def test_a_bomb_is_not_unpacked(written: Path) -> None:
    members = members_of(written) | {TRIALS: b"0" * 20_000_000}
    zip_again(written, members, zipfile.ZIP_DEFLATED)
    assert written.stat().st_size < 100_000
    tracemalloc.start()
    try:
        assert refusal(written).endswith("is compressed, and the members of a bundle are not")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_size_that_lies_is_refused(written: Path) -> None:
    content = bytearray(written.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    struct.pack_into("<LL", content, place + 20, 2**31, 2**31)
    written.write_bytes(content)
    assert "'trials.jsonl' has 2147483648 bytes, more than 32000000" in refusal(written)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(10**12)  # a hole: it takes no room
    began = time.monotonic()
    assert "it has more than" in refusal(path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "result.json is no JSON"),
        (b"\xff", "result.json is no JSON"),
        (b"[]", "result.json is no JSON object"),
        (b'{"verdict": NaN}', "result.json holds NaN, which is no number"),
        (b'{"pairs": 1e999}', "result.json holds a number that is too large"),
        (b'{"pairs": ' + b"9" * 50 + b"}", "result.json holds a number of 50 digits"),
        (b'{"a": 1, "a": 2}', "result.json has a key twice in one object"),
        (b'{"a":' * 100_000, "result.json is nested too deeply"),
        (b'{"surprise": 1}', "result.json has the unknown key 'surprise'"),
        (b"{}", "result.json is not as it should be: success: Field required"),
    ],
)
def test_json_that_is_none(written: Path, content: bytes, words: str) -> None:
    assert refusal(forge(written, {RESULT: content})) == words


@pytest.mark.parametrize(
    ("key", "value"),
    [("verdict", "SPLENDID"), ("pairs", "12"), ("improvement", True), ("candidate_config", {"vm.swappiness": [1]}),
     ("improvement_interval", [1.0]), ("guardrails", [{}]), ("notes", "text")],
)  # fmt: skip
def test_a_value_of_another_type_is_named(written: Path, key: str, value: Any) -> None:
    said = refusal(forge(written, {RESULT: changed_json(members_of(written)[RESULT], **{key: value})}))
    assert said.startswith(f"result.json is not as it should be: {key}")


def test_a_bad_line_is_counted(written: Path) -> None:
    lines = members_of(written)[TRIALS].split(b"\n")
    lines[2] = changed_json(lines[2], score="fast")
    said = refusal(forge(written, {TRIALS: b"\n".join(lines)}))
    assert said.startswith("trials.jsonl, line 3 is not as it should be: score: ")
    assert refusal(forge(written, {TRIALS: lines[0]})) == "trials.jsonl ends in the middle of a line"


def test_an_event_that_nobody_knows(written: Path) -> None:
    for word in ('"party"', "null", '["notice"]'):
        said = refusal(forge(written, {EVENTS: b'{"event": %s}\n' % word.encode()}))
        assert said.startswith("events.jsonl, line 1 is the unknown event ")


def test_a_plan_that_is_none(written: Path) -> None:
    said = refusal(forge(written, {PLAN: changed_json(members_of(written)[PLAN], shell="rm -rf /")}))
    assert said.startswith("plan.json: unknown key shell")


def test_a_key_of_a_session_is_one(written: Path) -> None:
    session = members_of(written)[SESSION]
    said = refusal(forge(written, {SESSION: changed_json(session, id="../x")}))
    assert said == "session.json: '../x' is no key of a session"
    said = refusal(forge(written, {SESSION: changed_json(session, id="other")}))
    assert said == "session.json is of session other, and manifest.json of another one"


def test_the_list_of_the_manifest_is_complete(written: Path) -> None:
    members = members_of(written)
    for shorter in (True, False):
        document = json.loads(members[MANIFEST])
        if shorter:
            document["members"] = [one for one in document["members"] if one["name"] != TRIALS]
        else:
            document["members"].append({"name": "more", "bytes": 0, "sha256": ""})
        document["fingerprint"] = fingerprint(document)
        said = refusal(zip_again(written, members | {MANIFEST: json.dumps(document).encode()}))
        assert said == (
            "trials.jsonl is not in the list of its manifest"
            if shorter
            else "its manifest lists other members than the 8 of a bundle"
        )


def test_the_hint_says_what_to_do(written: Path) -> None:
    written.write_bytes(b"PK")
    with pytest.raises(KnobctlError) as caught:
        read_bundle(written)
    assert caught.value.hint == AGAIN == "Get the file again from where it came."
    assert caught.value.exit_code == 1


def test_reading_leaves_nothing_behind(written: Path, improved: Bundle) -> None:
    assert read_bundle(written) == improved
    assert [path.name for path in written.parent.iterdir()] == [written.name]
    write_bundle(improved, written)
    assert [path.name for path in written.parent.iterdir()] == [written.name]
