"""A session in, what applying it would do out: with words for people and a document for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from knobctl.errors import TargetError, UsageError
from knobctl.measure import Verdict
from knobctl.persist import (
    SYSCTL_FILE,
    ValueChange,
    carry_out,
    describe_preview,
    plan_apply,
    preview_document,
    require_lasting,
)
from knobctl.target.local import LocalTarget
from tests.permanent.tuned_machine import TunedMachine
from tests.persist.machine import SESSION, machine, session

MEMORY = {
    "proc/sys/vm/dirty_ratio": "20\n", "proc/sys/vm/dirty_bytes": "0\n", "proc/sys/vm/min_free_kbytes": "67584\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "madvise\n",
    "sys/kernel/mm/transparent_hugepage/defrag": "madvise\n",
}  # fmt: skip


@pytest.fixture
def target(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalTarget:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    return machine(root)


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_preview_says_everything_and_changes_nothing(target: LocalTarget, root: Path) -> None:
    (root / "etc/sysctl.d").mkdir(parents=True)
    (root / "etc/sysctl.conf").write_text("vm.swappiness = 1\n")
    (root / "etc/sysctl.d/10-base.conf").write_text("vm.swappiness = 2\n")
    before = files(root)
    preview = plan_apply(session({"vm.swappiness": 10, "vm.vfs_cache_pressure": 50}), target)
    assert files(root) == before
    assert (preview.session, preview.workload, preview.improvement) == (SESSION, "PostgreSQL OLTP", 8.1)
    assert preview.changes == (ValueChange("vm.swappiness", 60, 10), ValueChange("vm.vfs_cache_pressure", 100, 50))
    assert preview.values == {"vm.swappiness": 10, "vm.vfs_cache_pressure": 50}
    assert preview.via == "sysctl.d"
    (change,) = preview.files
    assert (change.path, change.before) == (SYSCTL_FILE, None)
    assert preview.unreadable == ()
    assert describe_preview(preview) == [
        f"From session {SESSION} (PostgreSQL OLTP, +8.1 % verified):",
        "  vm.swappiness: 60 -> 10",
        "  vm.vfs_cache_pressure: 100 -> 50",
        "  by way of sysctl.d",
        "--- /dev/null",
        f"+++ {SYSCTL_FILE}",
        "@@ -0,0 +1,4 @@",
        f"+# Written by `knobctl apply` on {preview.date}, from the measurements of session {SESSION}.",
        "+# Undo with `knobctl rollback`, which also puts the live values back.",
        "+vm.swappiness = 10",
        "+vm.vfs_cache_pressure = 50",
        f"  - /etc/sysctl.d/10-base.conf:1 sets vm.swappiness = 2 and is overridden by {SYSCTL_FILE}.",
        f"  ! /etc/sysctl.conf:1 sets vm.swappiness = 1 and wins over {SYSCTL_FILE} with `sysctl --system`: remove or "
        "comment out that line.",
        "  - `sysctl --system` reads in this order, the last one wins: /etc/sysctl.d/10-base.conf, "
        f"{SYSCTL_FILE}, /etc/sysctl.conf",
        f"  - systemd-sysctl reads in this order, the last one wins: /etc/sysctl.d/10-base.conf, {SYSCTL_FILE}",
    ]


def test_the_same_as_a_document(target: LocalTarget, root: Path) -> None:
    (root / "etc").mkdir()
    (root / "etc/sysctl.conf").write_text("vm.swappiness = 1\n")
    preview = plan_apply(session(), target)
    document = json.loads(json.dumps(preview_document(preview)))
    assert (document["session_id"], document["via"], document["values"]) == (SESSION, "sysctl.d", {"vm.swappiness": 10})
    assert document["changes"] == [{"name": "vm.swappiness", "now": 60, "then": 10}]
    assert document["files"] == {SYSCTL_FILE: preview.files[0].after}
    assert document["diff"][-1] == "+vm.swappiness = 10"
    assert document["conflicts"] == [preview.conflicts[0].sentence]
    assert document["losing"] == ["/etc/sysctl.conf:1"]
    assert document["orders"][0] == {
        "program": "`sysctl --system`", "files": [SYSCTL_FILE, "/etc/sysctl.conf"], "wins": "last",
    }  # fmt: skip
    assert document["unreadable"] == []


def test_a_second_apply_shows_the_file_as_it_will_be_with_both(target: LocalTarget, root: Path) -> None:
    carry_out(plan_apply(session(), target), target)
    preview = plan_apply(session({"vm.vfs_cache_pressure": 50}), target)
    (change,) = preview.files
    assert change.before == (root / SYSCTL_FILE[1:]).read_text()
    assert change.after.splitlines()[2:] == ["vm.swappiness = 10", "vm.vfs_cache_pressure = 50"]
    assert change.diff[-1] == "+vm.vfs_cache_pressure = 50"
    assert " vm.swappiness = 10" in change.diff
    carry_out(preview, target)
    assert (root / SYSCTL_FILE[1:]).read_text() == change.after, "what was shown is what was written"


def test_a_preview_by_way_of_tuned(target: LocalTarget, root: Path) -> None:
    tuned = TunedMachine(root)
    tuned.write("usr/lib/tuned/base/tuned.conf", "[sysctl]\nvm.swappiness=30\n")
    preview = plan_apply(session(), target)
    assert (preview.via, preview.includes) == ("tuned", ("base",))
    lines = describe_preview(preview)
    assert "  by way of TuneD: profile knobctl, which includes base" in lines
    assert lines[lines.index("+++ /etc/tuned/active_profile") :][2:4] == ["-base", "+knobctl"]
    assert lines[-1] == (
        "  - /usr/lib/tuned/base/tuned.conf:2 sets vm.swappiness = 30 and is overridden by the TuneD profile knobctl."
    )
    assert "/etc/tuned/profile_mode" not in preview_document(preview)["files"], "it is manual already"
    require_lasting(preview)
    carry_out(preview, target)
    for change in preview.files:
        assert (root / change.path[1:]).read_text() == change.after, "what was shown is what was written"


@pytest.mark.parametrize("via", ["sysctl.d", "tuned"])
@pytest.mark.parametrize("order", [("thp.defrag", "thp.enabled"), ("thp.enabled", "thp.defrag")])
def test_what_was_shown_is_what_is_written_line_by_line(
    target: LocalTarget, root: Path, via: str, order: tuple[str, ...]
) -> None:
    if via == "tuned":
        TunedMachine(root)
    for name, text in MEMORY.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    values: dict[str, Any] = {"vm.min_free_kbytes": 70000, **dict.fromkeys(order, "never"), "vm.dirty_ratio": 30}
    carry_out(plan_apply(session({"vm.dirty_bytes": 1 << 26, "vm.swappiness": 5}), target), target)
    preview = plan_apply(session(values), target)
    (root / "proc/sys/vm/dirty_bytes").write_text("0\n")  # the kernel would
    carry_out(preview, target)
    assert preview.files
    for change in preview.files:
        assert (root / change.path[1:]).read_text() == change.after
    assert "dirty_bytes" not in preview.files[0].after


@pytest.mark.parametrize(
    ("before", "via", "chosen"),
    [("", "auto", "tuned"), ("", "sysctl.d", "sysctl.d"), ("sysctl.d", "auto", "sysctl.d"), ("tuned", "auto", "tuned")],
)
def test_the_way_is_chosen_by_what_is_there(
    target: LocalTarget, root: Path, before: str, via: str, chosen: str
) -> None:
    TunedMachine(root)
    if before:
        carry_out(plan_apply(session(), target, before), target)
    assert plan_apply(session({"vm.vfs_cache_pressure": 50}), target, via).via == chosen


def test_a_way_that_is_not_open_is_said_before_anybody_is_asked(target: LocalTarget) -> None:
    with pytest.raises(UsageError, match="TuneD is not running here") as error:
        plan_apply(session(), target, "tuned")
    assert error.value.hint == "Leave --via out."
    carry_out(plan_apply(session(), target), target)
    with pytest.raises(UsageError, match=r"by way of sysctl\.d, which cannot be mixed with tuned"):
        plan_apply(session(), target, "tuned")


def test_every_line_that_would_win_is_named_with_what_to_do(target: LocalTarget, root: Path) -> None:
    (root / "etc/sysctl.d").mkdir(parents=True)
    (root / "etc/sysctl.d/95-a.conf").write_text("\nvm.swappiness = 1\nvm.swappiness = 2\n")
    (root / "etc/sysctl.d/10-b.conf").write_text("vm.swappiness = 3\n")
    with pytest.raises(UsageError) as error:
        require_lasting(plan_apply(session(), target))
    programs = f"wins over {SYSCTL_FILE} with both systemd-sysctl and `sysctl --system`"
    assert error.value.message == (
        "this change would not hold, so nothing was changed: "
        f"/etc/sysctl.d/95-a.conf:2 sets vm.swappiness = 1 and {programs}; "
        f"/etc/sysctl.d/95-a.conf:3 sets vm.swappiness = 2 and {programs}"
    )
    assert error.value.hint == (
        "Remove or comment out /etc/sysctl.d/95-a.conf:2, /etc/sysctl.d/95-a.conf:3, then apply again."
    )


def test_an_unreadable_file_is_named_and_refuses_nothing(target: LocalTarget, root: Path) -> None:
    (root / "etc/sysctl.d/99-folder.conf").mkdir(parents=True)
    preview = plan_apply(session(), target)
    assert describe_preview(preview)[-1] == (
        "  ! /etc/sysctl.d/99-folder.conf could not be read (Is a directory); it may set the same keys"
    )
    require_lasting(preview)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "failed"}, "is failed and has no result"),
        ({"simulated": True}, "was simulated: nothing of it was measured on a machine"),
        ({"verdict": Verdict.NO_CHANGE}, "ended with NO_CHANGE: there is nothing worth applying"),
        ({"values": {}}, "ended with IMPROVED: there is nothing worth applying"),
    ],
)
def test_only_a_verified_improvement_of_a_real_machine_is_worth_a_preview(
    target: LocalTarget, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=f"session {SESSION} {words}") as error:
        plan_apply(session(**changes), target)
    assert error.value.hint


def test_a_knob_of_a_disk_goes_to_the_disk_that_was_measured(target: LocalTarget) -> None:
    with pytest.raises(UsageError, match="measured the disk vda, but the work folder is on ") as error:
        plan_apply(session({"block.read_ahead_kb": 256}, disk="vda"), target)
    assert error.value.hint == "Give the --workdir of that session."
    assert plan_apply(session(disk="vda"), target).values == {"vm.swappiness": 10}, "no knob of a disk is concerned"


def test_a_knob_that_is_not_here_is_named_before_anybody_is_asked(target: LocalTarget) -> None:
    with pytest.raises(TargetError, match=r"cannot make this permanent: vm\.page-cluster does not exist") as error:
        plan_apply(session({"vm.page-cluster": 0}), target)
    assert "`knobctl knobs`" in error.value.hint
