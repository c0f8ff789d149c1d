"""A bundle in, one file out: complete or not there, the same bytes each time, nothing secret in it."""

from __future__ import annotations

import hashlib
import json
import math
import resource
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from knobctl.errors import StoreError, UsageError
from knobctl.evidence import Bundle, read_bundle, write_bundle
from knobctl.evidence.bundle import LIMITS, MANIFEST, README, RESULT, TRIALS
from tests.evidence.forging import members_of

KEY = "sk-abcdefghijklmnop"
ARMS = ("default", "candidate")


def test_what_was_written_is_read_back(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    for bundle in bundles.values():
        path = tmp_path / f"{bundle.session.id}.knobctl.zip"
        manifest = write_bundle(bundle, path)
        again = read_bundle(path)
        assert again == bundle
        assert again.fingerprint == manifest.fingerprint
        assert len(again.fingerprint) == 64


def test_the_same_session_gives_the_same_bytes(improved: Bundle, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_bundle(improved, tmp_path / name)
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "other").read_bytes()
    write_bundle(read_bundle(tmp_path / "one"), tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == content


def test_the_members_are_sorted_and_stored_with_one_date(written: Path) -> None:
    with zipfile.ZipFile(written) as file:
        infos = file.infolist()
    assert [info.filename for info in infos] == sorted(LIMITS)
    assert {(info.compress_type, info.date_time) for info in infos} == {(zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))}


def test_the_manifest_lists_every_other_member_and_the_versions(written: Path, improved: Bundle) -> None:
    members = members_of(written)
    manifest = json.loads(members.pop(MANIFEST))
    assert {one["name"]: one["sha256"] for one in manifest["members"]} == {
        name: hashlib.sha256(content).hexdigest() for name, content in members.items()
    }
    assert set(manifest["written_with"]) == {
        "python", "knobctl", "numpy", "torch", "stable-baselines3", "gymnasium", "optuna",
    }  # fmt: skip
    assert (manifest["format"], manifest["session"]) == (1, improved.session.id)
    assert manifest["created"] == improved.session.created


def test_the_formula_can_be_followed_by_hand(written: Path) -> None:
    text = members_of(written)[README].decode()
    assert "knobctl verify --bundle FILE" in text
    assert "t = sqrt((n - 1) * (K - 1) / (1 - K / r))" in text
    assert "arXiv:2310.03722" in text


def test_the_interval_by_hand(written: Path) -> None:
    """Nothing but the lines of the file, the README's formula and a pocket calculator."""
    members = members_of(written)
    runs = [json.loads(line) for line in members[TRIALS].splitlines()]
    default, candidate = ([run["score"] for run in runs if run["kind"] == f"verify-{arm}"] for arm in ARMS)
    ratios = [math.log(after / before) for before, after in zip(default, candidate, strict=True)]
    n = len(ratios)
    m = sum(ratios) / n
    sd = math.sqrt(sum((ratio - m) ** 2 for ratio in ratios) / (n - 1))
    r = 1 + n
    k = (math.sqrt(r) / 0.05) ** (2 / n)
    t = math.sqrt((n - 1) * (k - 1) / (1 - k / r))
    ends = [100 * (math.exp(m + way * t * sd / math.sqrt(n)) - 1) for way in (-1, 1)]
    result = json.loads(members[RESULT])
    assert result["improvement_interval"] == pytest.approx(ends)
    assert result["improvement"] == pytest.approx(100 * (math.exp(m) - 1))


def test_every_raw_sample_is_in_it(written: Path, improved: Bundle) -> None:
    lines = members_of(written)[TRIALS].splitlines()
    assert len(lines) == len(improved.trials)
    assert json.loads(lines[0])["samples"] == [list(sample) for sample in improved.trials[0].samples] != []


def test_nothing_secret_is_in_it(improved: Bundle, tmp_path: Path) -> None:
    command = f"pgbench -h 10.0.0.1 postgres://me:{KEY}@db/bench"
    spoiled = replace(
        improved,
        session=replace(improved.session, request=f"use {KEY}", commands=(command,)),
        plan=improved.plan.model_copy(update={"benchmark_command": command, "workload_name": f"with {KEY}"}),
        trials=(replace(improved.trials[0], failure=f"login failed with PGPASSWORD={KEY}"), *improved.trials[1:]),
        result=replace(improved.result, notes=(f"token={KEY}",)),
    )
    path = tmp_path / "spoiled"
    write_bundle(spoiled, path)
    content = path.read_bytes()
    assert KEY.encode() not in content
    assert content.count(b"***") >= 6


def test_the_pattern_of_a_metric_is_no_secret(improved: Bundle, tmp_path: Path) -> None:
    pattern = "token=([0-9]+)"
    write_bundle(
        replace(improved, plan=improved.plan.model_copy(update={"metric_pattern": pattern})), tmp_path / "file"
    )
    assert read_bundle(tmp_path / "file").plan.metric_pattern == pattern


# --- what is there already


def test_only_a_bundle_of_the_same_session_is_overwritten(written: Path, bundles: dict[str, Bundle]) -> None:
    other = bundles["no change"]
    before = written.read_bytes()
    with pytest.raises(UsageError) as caught:
        write_bundle(other, written)
    assert caught.value.message == f"{written} exists, and is no bundle of session {other.session.id}"
    assert caught.value.hint == "Choose another name, or overwrite it: --force."
    assert written.read_bytes() == before
    write_bundle(other, written, force=True)
    assert read_bundle(written) == other


def test_a_file_that_is_no_bundle_is_not_overwritten(improved: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "thesis.odt"
    path.write_text("years of work")
    with pytest.raises(UsageError, match="exists, and is no bundle of session"):
        write_bundle(improved, path)
    assert path.read_text() == "years of work"


def test_a_folder_a_missing_folder_and_a_device(improved: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        write_bundle(improved, tmp_path, force=True)
    assert caught.value.message == f"{tmp_path} is a folder"
    assert caught.value.hint == f"Name the file: {tmp_path}/{improved.session.id}.knobctl.zip"
    with pytest.raises(UsageError) as caught:
        write_bundle(improved, tmp_path / "nowhere" / "file")
    assert caught.value.message == f"cannot write {tmp_path}/nowhere/file: there is no folder {tmp_path}/nowhere"
    with pytest.raises(UsageError, match="/dev/null is no ordinary file"):
        write_bundle(improved, Path("/dev/null"), force=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_finished_is_not_there(improved: Bundle, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # as a disk that is full after so many bytes
    try:
        with pytest.raises(StoreError) as caught:
            write_bundle(improved, tmp_path / "file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.message == f"cannot write {tmp_path}/file: File too large"
    assert caught.value.hint == "Make room, or name another place."
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_when_the_disk_is_full(improved: Bundle, written: Path) -> None:
    before = written.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StoreError):
            write_bundle(improved, written)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


def test_a_number_that_json_does_not_have_is_refused(improved: Bundle, tmp_path: Path) -> None:
    trial = replace(improved.trials[0], machine={"steal": float("nan")})
    with pytest.raises(StoreError, match="holds a number that JSON does not have"):
        write_bundle(replace(improved, trials=(trial,)), tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_is_too_large_is_refused(improved: Bundle, tmp_path: Path) -> None:
    huge = replace(improved, facts=replace(improved.facts, distribution="x" * 100_000))
    with pytest.raises(StoreError, match=r"facts.json would have 100\d{3} bytes, and a bundle's has 100000 at most"):
        write_bundle(huge, tmp_path / "file")
