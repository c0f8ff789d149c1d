"""A session in, a permanent change and the way back out: with the real agent, on a machine that is a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from knobctl.errors import AgentLost, KnobctlError, RestoreIncomplete, TargetError, UsageError
from knobctl.measure import Verdict
from knobctl.persist import (
    SYSCTL_FILE,
    Applied,
    ValueChange,
    applied_here,
    carry_out,
    carry_out_rollback,
    describe_restore,
    knob_restores,
    plan_apply,
    plan_rollback,
    require_complete,
)
from knobctl.target.base import KnobRestore
from knobctl.target.local import LocalTarget
from tests.persist.machine import SESSION, machine, session, swappiness


@pytest.fixture
def target(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalTarget:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    return machine(root)


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_preview_says_everything_and_changes_nothing(target: LocalTarget, root: Path) -> None:
    (root / "etc").mkdir()
    (root / "etc/sysctl.conf").write_text("vm.swappiness = 1\n")
    before = files(root)
    preview = plan_apply(session({"vm.swappiness": 10, "vm.vfs_cache_pressure": 50}), target)
    assert files(root) == before
    assert (preview.session, preview.workload, preview.improvement) == (SESSION, "PostgreSQL OLTP", 8.1)
    assert preview.changes == (ValueChange("vm.swappiness", 60, 10), ValueChange("vm.vfs_cache_pressure", 100, 50))
    assert preview.values == {"vm.swappiness": 10, "vm.vfs_cache_pressure": 50}
    ((path, text),) = preview.files
    assert path == SYSCTL_FILE
    assert text.splitlines()[-2:] == ["vm.swappiness = 10", "vm.vfs_cache_pressure = 50"]
    (conflict,) = preview.conflicts
    assert (conflict.file, conflict.value, conflict.wins_procps) == ("/etc/sysctl.conf", "1", True)
    assert preview.unreadable == ()


def test_what_was_previewed_is_set_and_written_and_can_be_undone(target: LocalTarget, root: Path) -> None:
    done = carry_out(plan_apply(session(), target), target)
    assert swappiness(root) == "10"
    assert (done.session, done.values, done.files) == (SESSION, {"vm.swappiness": 10}, (f"{root}{SYSCTL_FILE}",))
    assert (root / SYSCTL_FILE[1:]).read_text().endswith("vm.swappiness = 10\n")
    assert applied_here(target) == (Applied(SESSION, done.date, {"vm.swappiness": 10}),)
    assert plan_rollback(target) == Applied(SESSION, done.date, {"vm.swappiness": 10})
    assert swappiness(root) == "10", "a preview changes nothing"
    undone = carry_out_rollback(target)
    assert (undone.session, swappiness(root)) == (SESSION, "60")
    assert undone.knobs == (KnobRestore("/proc/sys/vm/swappiness", "held", "60", "60"),)
    require_complete(undone.knobs)
    assert not (root / SYSCTL_FILE[1:]).exists()
    assert applied_here(target) == ()


def test_applies_stack_and_the_last_one_is_undone_first(target: LocalTarget, root: Path) -> None:
    carry_out(plan_apply(session(), target), target)
    second = plan_apply(session({"vm.swappiness": 5}), target)
    assert second.changes == (ValueChange("vm.swappiness", 10, 5),)
    carry_out(second, target)
    assert [entry.values for entry in applied_here(target)] == [{"vm.swappiness": 10}, {"vm.swappiness": 5}]
    assert plan_rollback(target).values == {"vm.swappiness": 5}
    carry_out_rollback(target)
    assert swappiness(root) == "10"


def test_a_value_that_somebody_changed_since_is_left_alone(target: LocalTarget, root: Path) -> None:
    carry_out(plan_apply(session(), target), target)
    (root / "proc/sys/vm/swappiness").write_text("33\n")
    undone = carry_out_rollback(target)
    assert [(knob.outcome, knob.now) for knob in undone.knobs] == [("drifted", "33")]
    assert swappiness(root) == "33"


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


def test_a_value_that_the_agent_refuses_changes_nothing(target: LocalTarget, root: Path) -> None:
    preview = plan_apply(session({"vm.swappiness": 5000}), target)
    with pytest.raises(KnobctlError, match=r"vm\.swappiness = 5000 is outside its safe range") as error:
        carry_out(preview, target)
    assert not isinstance(error.value, AgentLost)
    assert swappiness(root) == "60"
    assert applied_here(target) == ()


def test_nothing_to_undo(target: LocalTarget) -> None:
    with pytest.raises(UsageError, match="nothing is applied") as error:
        plan_rollback(target)
    assert error.value.hint == "See `knobctl status`."
    with pytest.raises(KnobctlError, match="nothing is applied"):
        carry_out_rollback(target)


def test_what_became_of_a_kernel_file_in_words() -> None:
    knobs = knob_restores(
        [
            {"path": "/proc/sys/a", "outcome": "held", "found": "1", "now": "1", "detail": ""},
            {"path": "/proc/sys/b", "outcome": "drifted", "found": "1", "now": "2", "detail": ""},
            {"path": "/proc/sys/c", "outcome": "absent", "found": "1", "now": "", "detail": ""},
            {"path": "/proc/sys/d", "outcome": "failed", "found": "1", "now": "3", "detail": "Invalid argument"},
        ]
    )
    assert describe_restore(knobs) == [
        "/proc/sys/a is 1",
        "/proc/sys/b was changed to 2 by somebody else; left alone",
        "/proc/sys/c no longer exists",
        "/proc/sys/d is 3, not 1: Invalid argument",
    ]
    require_complete(knobs[:2])
    with pytest.raises(RestoreIncomplete, match=r"2 kernel setting\(s\) could not be put back") as error:
        require_complete(knobs)
    assert error.value.hint == "Paste as root: echo '1' > /proc/sys/c; echo '1' > /proc/sys/d"
