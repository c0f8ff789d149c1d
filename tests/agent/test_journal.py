"""The write-ahead journal: whatever happened to its bytes, it says what was written, or nothing."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knobctl.agent import journal
from knobctl.agent.journal import FileHistory, History, Journal

ENTRIES: list[dict[str, Any]] = [
    {"kind": "begin", "session": "s", "boot_id": "b", "folder": "/var/tmp/knobctl-x", "pid": 7, "started": 1.5},
    {"kind": "found", "path": "/proc/sys/vm/dirty_ratio", "text": "20", "active": True},
    {"kind": "found", "path": "/proc/sys/vm/dirty_bytes", "text": "0", "active": False},
    {"kind": "intent", "path": "/proc/sys/vm/dirty_ratio"},
    {"kind": "seen", "path": "/proc/sys/vm/dirty_ratio", "text": "40"},
    {"kind": "found", "path": "/sys/kernel/mm/transparent_hugepage/enabled", "text": "madvise", "active": True},
    {"kind": "intent", "path": "/sys/kernel/mm/transparent_hugepage/enabled"},
    {"kind": "seen", "path": "/sys/kernel/mm/transparent_hugepage/enabled", "text": "always"},
    {"kind": "intent", "path": "/proc/sys/vm/dirty_ratio"},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def written(path: Path, entries: list[dict[str, Any]]) -> bytes:
    path.unlink(missing_ok=True)
    opened = Journal(str(path))
    for entry in entries:
        opened.append(entry)
    opened.close()
    return path.read_bytes()


def read(path: Path, content: bytes) -> History | None:
    path.write_bytes(content)
    return journal.read(str(path))


def test_everything_that_was_written_is_read(path: Path) -> None:
    written(path, ENTRIES)
    history = journal.read(str(path))
    assert history is not None
    assert history.begin == ENTRIES[0]
    assert list(history.files.values()) == [
        FileHistory("/proc/sys/vm/dirty_ratio", "20", True, "40", pending=True),
        FileHistory("/proc/sys/vm/dirty_bytes", "0", False, None, pending=False),
        FileHistory("/sys/kernel/mm/transparent_hugepage/enabled", "madvise", True, "always", pending=False),
    ]


def test_the_first_value_found_stays(path: Path) -> None:
    again = {"kind": "found", "path": "/proc/sys/vm/dirty_ratio", "text": "40", "active": True}
    written(path, [*ENTRIES, again])
    history = journal.read(str(path))
    assert history is not None
    assert history.files["/proc/sys/vm/dirty_ratio"].found == "20"


def test_what_was_not_found_first_is_nobodys_business(path: Path) -> None:
    written(path, [ENTRIES[0], {"kind": "seen", "path": "/etc/passwd", "text": "x"}, {"kind": "found", "path": 7}])
    history = journal.read(str(path))
    assert history is not None
    assert history.files == {}


def test_no_journal_and_an_empty_one_say_nothing(path: Path) -> None:
    assert journal.read(str(path)) is None
    for content in (b"", b"\n\n", b"00000000 {}\n", b"nonsense"):
        assert read(path, content) is None


def test_a_journal_that_cannot_be_read_is_an_error_and_not_an_empty_one(path: Path) -> None:
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        journal.read(str(path))


def test_a_journal_is_never_written_through_a_link(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Journal(str(path))
    assert not (tmp_path / "elsewhere").exists()


def test_a_journal_cut_at_any_byte_is_a_beginning_of_it(path: Path) -> None:
    content = written(path, ENTRIES)
    beginnings = [read(path, written(path, ENTRIES[:count])) for count in range(len(ENTRIES) + 1)]
    ends = [position for position, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content) + 1):
        complete = sum(end <= cut for end in ends)  # the last newline itself may be missing
        assert read(path, content[:cut]) == beginnings[complete]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_changed_byte_loses_one_entry_at_most_and_invents_none(path: Path, position: int, change: int) -> None:
    content = bytearray(written(path, ENTRIES))
    position %= len(content)
    lost = content[:position].count(b"\n")
    on_newline = content[position] == ord("\n")
    content[position] ^= change
    kept = [entry for place, entry in enumerate(ENTRIES) if place not in ((lost, lost + 1) if on_newline else (lost,))]
    damaged = read(path, bytes(content))
    assert damaged == read(path, written(path, kept))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=60) | st.sampled_from([b"\n", b"{}", b"00000000 ", b"found"]), max_size=12))
def test_garbage_between_entries_adds_nothing(path: Path, pieces: list[bytes]) -> None:
    good = written(path, ENTRIES)
    expected = read(path, good)
    lines = good.split(b"\n")[:-1]
    mixed = []
    for number, line in enumerate(lines):
        mixed.append(line)
        mixed += pieces[number : number + 1]
    assert read(path, b"\n".join([*mixed, *pieces]) + b"\n") == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400))
def test_no_bytes_are_an_exception_or_an_entry(path: Path, content: bytes) -> None:
    assert read(path, content) is None


def test_an_entry_cut_off_by_a_full_disk_does_not_swallow_the_next_one(path: Path) -> None:
    opened = Journal(str(path))
    opened.append(*ENTRIES[:4])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
        with pytest.raises(OSError, match="No space left on device") as caught:
            opened.append(*ENTRIES[4:6])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    opened.append(*ENTRIES[5:])
    opened.close()
    history = journal.read(str(path))
    assert history is not None
    assert history.files["/sys/kernel/mm/transparent_hugepage/enabled"].found == "madvise"
    assert not history.files["/sys/kernel/mm/transparent_hugepage/enabled"].pending


def test_a_closed_journal_stays_and_can_be_gone_on_with(path: Path) -> None:
    first = Journal(str(path))
    first.append(*ENTRIES[:2], durable=False)
    first.close()
    second = Journal(str(path))
    second.append(*ENTRIES[2:])
    second.close()
    content = path.read_bytes()
    assert read(path, content) == read(path, written(path, ENTRIES))
    assert os.stat(path).st_mode & 0o777 == 0o644
