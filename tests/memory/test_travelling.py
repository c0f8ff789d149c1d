"""What is written comes back; what should not travel does not; what is not sound is refused as a whole."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knobctl.errors import StoreError, UsageError
from knobctl.events import Notice
from knobctl.memory import Memory, memory_named, read_memories, recall, remember, travelling, write_memories
from knobctl.store import Store
from tests.memory.sessions import FACTS, FOUND, LOAD, SPACE, TRIALS, finish, here, memory, trial

SECRET = "hunter2hunter2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "memory.gz"


def content_of(file: Path) -> str:
    return gzip.decompress(file.read_bytes()).decode()


def test_what_is_written_comes_back_on_another_machine(store: Store, file: Path, tmp_path: Path) -> None:
    finish(store, "s-1")
    written = memory_named(store, "s-1")
    assert written is not None
    digest = write_memories([written], file)
    carried = read_memories(file)
    assert carried.origin == digest == hashlib.sha256(content_of(file).partition("\n")[2].encode()).hexdigest()
    assert carried.memories == (replace(written, trials=tuple(bare(written))),)
    with Store(tmp_path / "other.db") as other:
        assert remember(other, carried.memories, carried.origin).new == ("s-1",)
        (there,) = recall(other, SPACE, FOUND, here())
    (own,) = recall(store, SPACE, FOUND, here())
    assert there == replace(own, why="pgbench, a machine like it")


def bare(written: Memory) -> list[Any]:
    return [replace(each, seconds=0.0, ended=each.started) for each in written.trials]


def test_the_same_memories_give_the_same_bytes(tmp_path: Path) -> None:
    write_memories([memory()], tmp_path / "one.gz")
    write_memories([memory()], tmp_path / "two.gz")
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_no_sample_and_nothing_that_cannot_be_learned_from_travels(store: Store, file: Path) -> None:
    finish(store, "s-1")
    left = memory_named(store, "s-1")
    assert left is not None
    assert [each.kind for each in left.trials] == ["baseline", "baseline", "search", "search", "search"]
    assert all(not (each.samples or each.metrics or each.machine) for each in left.trials)
    assert left.fingerprint.load == LOAD


def test_no_text_that_somebody_wrote_travels(store: Store, file: Path) -> None:
    """A secret in every place where a person, a model, a benchmark or the machine can put words."""
    facts = replace(
        FACTS, kernel=f"6.18.5-{SECRET}", distribution=SECRET, disk=SECRET, boot_id=SECRET, tuners=(SECRET,),
        cpu_model=f"EPYC password={SECRET}",
    )  # fmt: skip
    trials = [
        replace(
            each, failure=SECRET if each.score is None else "", metrics={SECRET: 1.0}, machine={SECRET: 1.0, **LOAD}
        )
        for each in TRIALS
    ]
    commands = [
        f"pgbench -c 50 -j 4 -h {SECRET} -U {SECRET} postgresql://me:{SECRET}@db/{SECRET}",
        f"pgbench -c 50 -j 4 {SECRET} --{SECRET}=1 -p{SECRET} /home/{SECRET}/x",
        f"/home/{SECRET}/bench.sh --token {SECRET} --x={SECRET} -H 'Authorization: Bearer {SECRET}' {SECRET}",
    ]
    plan = {
        "workload_name": SECRET, "reset_command": f"/opt/{SECRET}", "metric_pattern": f"{SECRET} ([0-9]+)",
        "direction": "maximize",
        "suggestions": [{"configuration": {"vm.dirty_ratio": 30}, "reason": SECRET}],
        "action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 80, "description": SECRET}],
    }  # fmt: skip
    for number, command in enumerate(commands):
        key = finish(
            store, f"s-{number}", request=SECRET, command=command, facts=facts, trials=trials, plan=plan,
            settings={"given": {"note": SECRET}}, reason=SECRET, notes=(SECRET,), unit=SECRET, workload_name=SECRET,
            metric=f"tps password={SECRET}",
        )  # fmt: skip
        store.sink(key)(Notice(SECRET))
    left = [memory_named(store, f"s-{number}") for number in range(len(commands))]
    write_memories([each for each in left if each is not None], file)
    assert len(read_memories(file).memories) == len(commands)
    assert SECRET not in content_of(file)


def test_nothing_is_overwritten_unasked_and_nothing_is_no_file(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is nothing to export"):
        write_memories([], file)
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"memory\.gz exists") as caught:
        write_memories([memory()], file)
    assert "--force" in caught.value.hint
    write_memories([memory()], file, force=True)
    assert len(read_memories(file).memories) == 1
    with pytest.raises(UsageError, match="there is no folder"):
        write_memories([memory()], tmp_path / "no" / "such")
    assert [path.name for path in tmp_path.iterdir()] == ["memory.gz"], "no half-written file stays"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"found": {"vm.no_such_knob": 1}}, "'vm.no_such_knob' is no knob that this knobctl knows"),
        ({"improvement": float("inf")}, "Out of range float values are not JSON compliant"),
        ({"trials": (trial(1, "baseline", 1e40),)}, "trials.0.score: "),
    ],
)
def test_nothing_is_written_that_could_not_be_read_again(file: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(StoreError) as caught:
        write_memories([memory(key="m-1"), memory(**change)], file)
    assert caught.value.message.startswith("what session 20260102-030405-aaaa left cannot be exported: ")
    assert words in caught.value.message
    assert caught.value.hint == "Name the other ones with --session."
    assert not file.exists()


def test_what_is_known_already_stays_as_it_is(store: Store) -> None:
    finish(store, "s-1")
    remember(store, [memory(key="m-1")], "a" * 64)
    done = remember(store, [memory(key="s-1"), memory(key="m-1", verdict="WORSE"), memory(key="m-2")], "b" * 64)
    assert (done.new, done.known) == (("m-2",), ("s-1", "m-1"))
    kept = memory_named(store, "m-1")
    assert kept is not None and kept.verdict == "IMPROVED"


# --- files from anywhere


def forged(file: Path, *documents: Any, header: Any = None) -> Path:
    """A file whose hash is right, whatever it holds."""
    lines = b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in documents)
    first = {
        "knobctl_memory": 1, "written_with": "0.1.0", "sessions": len(documents),
        "sha256": hashlib.sha256(lines).hexdigest(),
    }  # fmt: skip
    file.write_bytes(gzip.compress(json.dumps(first | (header or {})).encode() + b"\n" + lines))
    return file


def document(file: Path, change: Callable[[dict[str, Any]], object] = lambda record: None) -> dict[str, Any]:
    """A sound session as JSON, and then changed."""
    write_memories([memory()], file, force=True)
    record: dict[str, Any] = json.loads(content_of(file).splitlines()[1])
    change(record)
    return record


def put(path: str, value: Any) -> Callable[[dict[str, Any]], object]:
    """Sets a place in a document, such as ``trials.0.score``."""

    def change(record: Any) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        for part in way:
            record = record[part]
        record[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("key", "../../etc/passwd", "key: String should match"),
        ("key", 7, "key: Input should be a valid string"),
        ("created", "yesterday", "created: Value error, is no moment in UTC"),
        ("created", "2026-13-41T99:00:00Z", "created: Value error"),
        ("verdict", "GREAT", "verdict: Input should be 'IMPROVED', 'NO_CHANGE', 'WORSE' or 'INCONCLUSIVE'"),
        ("verdict", True, "verdict: Input should be"),
        ("version", "0\x1b[2J", "version: Value error, holds the control character U+001B"),
        ("found/vm.dirty_ratio", 2**80, "found."),
        ("found/vm.dirty_ratio", 1.5, "found."),
        ("found/vm.dirty_ratio", None, "found."),
        ("found/vm.no_such_knob", 1, "'vm.no_such_knob' is no knob that this knobctl knows"),
        ("best", {"vm.dirty_ratio": "x" * 300}, "best."),
        ("candidate", {"vm.\u202eratio": 1}, "candidate."),
        ("trials", [{}], "trials.0.number: Field required"),
        ("trials/0/score", -1.0, "trials.0.score: Input should be greater than 0"),
        ("trials/0/score", 0, "trials.0.score: Input should be greater than 0"),
        ("trials/0/score", 1e300, "trials.0.score: Input should be less than or equal to 1000000"),
        ("trials/0/score", math.nan, "trials.0.score: Input should be"),
        ("trials/0/score", math.inf, "trials.0.score: Input should be"),
        ("trials/0/score", "1000", "trials.0.score: Input should be a valid number"),
        ("trials/0/score", True, "trials.0.score: Input should be a valid number"),
        ("trials/0/kind", "verify-candidate", "trials.0.kind: Input should be"),
        ("trials/0/number", 10**30, "trials.0.number: "),
        ("trials/0/uncertainty", -1, "trials.0.uncertainty: "),
        ("trials/0/samples", [[1, 2]], "trials.0.samples: Extra inputs are not permitted"),
        ("improvement", -100.0, "improvement: Input should be greater than -100"),
        ("fingerprint/load/iowait", math.nan, "fingerprint.load.iowait: Input should be"),
        ("fingerprint/cores", -4, "fingerprint.cores: "),
        ("fingerprint/metric", "", "fingerprint.metric: "),
        ("fingerprint/options", ["x"] * 1000, "fingerprint.options: List should have at most 200 items"),
        ("host", "db1.example.org", "host: Extra inputs are not permitted"),
        ("trials/2/configuration", {"vm.vfs_cache_pressure": 3}, "does not know the value that was found"),
    ],
)  # fmt: skip
def test_a_session_that_is_not_as_it_should_be_is_refused_with_the_place_and_nothing_is_imported(
    file: Path, path: str, value: Any, words: str
) -> None:
    bad = document(file, put(path, value))
    with pytest.raises(StoreError) as caught:
        read_memories(forged(file, document(file.with_name("good.gz"), put("key", "m-1")), bad))
    assert caught.value.message.startswith(f"{file}: session 2 of 2: ")
    assert words in caught.value.message
    assert "\x1b" not in caught.value.message
    assert caught.value.hint == "Get the file again from where it came."


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"key": ' + b"9" * 5000 + b"}"]
)
def test_a_line_that_is_no_session_is_refused(file: Path, line: bytes) -> None:
    with pytest.raises(StoreError, match="session 1 of 1: "):
        read_memories(forged(file, line))


def test_too_many_trials_are_refused(file: Path) -> None:
    record = document(file)
    record["trials"] *= 100
    with pytest.raises(StoreError, match="trials: List should have at most 280 items"):
        read_memories(forged(file, record))


def test_a_session_twice_is_refused(file: Path) -> None:
    record = document(file)
    with pytest.raises(StoreError, match="session 20260102-030405-aaaa stands twice in it"):
        read_memories(forged(file, record, record))


def test_a_simulated_session_may_have_knobs_of_its_own(file: Path) -> None:
    invented = here(target="simulated:mine", simulated=True)
    mine = memory(
        fingerprint=invented, found={"my.level": 0}, best={"my.level": 4}, candidate={"my.level": 4},
        trials=(trial(1, "baseline", 5.0), trial(2, "search", 9.0, {"my.level": 4})),
    )  # fmt: skip
    write_memories([mine], file)
    assert read_memories(file).memories[0].best == {"my.level": 4}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is no memory"),
        (b"hello", "it is no memory, or not all of it is there"),
        (gzip.compress(b""), "it is no memory of knobctl"),
        (gzip.compress(b"\x00" * 20_000), "it is no memory of knobctl"),
        (gzip.compress(b'["knobctl_memory"]\n'), "it is no memory of knobctl"),
        (gzip.compress(b"[" * 9_000), "it is no memory of knobctl"),
        (gzip.compress(b'{"knobctl_memory": 1}\n'), "its first line: written_with: Field required"),
        (gzip.compress(b'{"knobctl_memory": 2, "written_with": "9.9"}\n'),
         "it has format 2, and this knobctl reads format 1"),
        (gzip.compress(b'{"knobctl_memory": true}\n'), "it has format true"),
    ],
    ids=["empty", "text", "nothing", "zeros", "list", "brackets", "no-version", "later", "true"],
)  # fmt: skip
def test_what_is_no_memory_is_refused(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        read_memories(file)
    assert words in caught.value.message


def test_every_damage_is_noticed(file: Path) -> None:
    write_memories([memory()], file)
    whole = file.read_bytes()
    for cut in (1, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(StoreError):
            read_memories(file)
    text = gzip.decompress(whole)
    for place in range(len(text.partition(b"\n")[0]) + 1, len(text), 97):
        file.write_bytes(gzip.compress(text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :]))
        with pytest.raises(StoreError, match="was changed or damaged"):
            read_memories(file)


@pytest.mark.parametrize(("header", "words"), [
    ({"sessions": 2}, "it holds 1 sessions, and says 2"),
    ({"sessions": 10**9}, "its first line: sessions: "),
    ({"sha256": "0" * 64}, "it was changed or damaged"),
    ({"sha256": "0"}, "its first line: sha256: "),
    ({"written_with": "\x1b[31m"}, "its first line: written_with: "),
    ({"host": "x"}, "its first line: host: "),
])  # fmt: skip
def test_a_first_line_that_lies_is_refused(file: Path, header: dict[str, Any], words: str) -> None:
    with pytest.raises(StoreError) as caught:
        read_memories(forged(file, document(file), header=header))
    assert words in caught.value.message


def test_a_file_that_unpacks_to_gigabytes_is_given_up_early(file: Path) -> None:
    file.write_bytes(gzip.compress(b"\x00" * (travelling.LARGEST + 1), compresslevel=1))
    assert file.stat().st_size < 1_000_000
    with pytest.raises(StoreError, match="it unpacks to more than 64000000 bytes, which no memory does"):
        read_memories(file)


def test_what_is_no_ordinary_file_or_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read_memories(tmp_path / "none.gz")
    with pytest.raises(UsageError, match="is no ordinary file"):
        read_memories(tmp_path)
    large = tmp_path / "large.gz"
    with large.open("wb") as made:
        made.truncate(travelling.LARGEST_FILE + 1)
    with pytest.raises(StoreError, match="it has more than 32000000 bytes"):
        read_memories(large)


def test_an_import_that_fails_half_way_leaves_nothing(store: Store) -> None:
    store._connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON memory WHEN NEW.key = 'm-2' BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(StoreError):
        remember(store, [memory(key="m-1"), memory(key="m-2")], "a" * 64)
    assert store.memories.all_imported() == ()
