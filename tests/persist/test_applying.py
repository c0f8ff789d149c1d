"""A session in, a permanent change and the way back out: with the real agent, on a machine that is a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from knobctl.errors import AgentLost, KnobctlError, RestoreIncomplete, UsageError, WriteFailed
from knobctl.persist import (
    SYSCTL_FILE,
    Applied,
    ValueChange,
    applied_here,
    carry_out,
    carry_out_rollback,
    describe_restore,
    describe_rollback,
    knob_restores,
    plan_apply,
    plan_rollback,
    require_complete,
)
from knobctl.target.base import KnobRestore
from knobctl.target.local import LocalTarget
from tests.permanent.tuned_machine import TunedMachine
from tests.persist.machine import SESSION, machine, session, swappiness


@pytest.fixture
def target(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalTarget:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    return machine(root)


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_was_previewed_is_set_and_written_and_can_be_undone(target: LocalTarget, root: Path) -> None:
    done = carry_out(plan_apply(session(), target), target)
    assert swappiness(root) == "10"
    assert (done.session, done.values, done.files) == (SESSION, {"vm.swappiness": 10}, (f"{root}{SYSCTL_FILE}",))
    assert (root / SYSCTL_FILE[1:]).read_text().endswith("vm.swappiness = 10\n")
    assert applied_here(target) == (Applied(SESSION, done.date, {"vm.swappiness": 10}, via="sysctl.d"),)
    assert plan_rollback(target) == Applied(SESSION, done.date, {"vm.swappiness": 10}, via="sysctl.d")
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


def test_an_edited_drop_in_is_kept_and_named(target: LocalTarget, root: Path) -> None:
    done = carry_out(plan_apply(session(), target), target)
    Path(done.files[0]).write_text("# mine\n")
    undone = carry_out_rollback(target)
    assert undone.kept == (f"{done.files[0]}.saved",)
    assert describe_rollback(undone) == [
        "/proc/sys/vm/swappiness is 60",
        f"what was edited since is kept as {done.files[0]}.saved; nothing reads that at boot",
    ]


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
    require_complete(knobs[:3])
    with pytest.raises(RestoreIncomplete, match=r"1 kernel setting\(s\) could not be put back") as error:
        require_complete(knobs)
    assert error.value.hint == "Paste as root: sysctl -w d=1"


# --- by way of TuneD


def test_tuned_is_chosen_where_it_is_in_charge_and_undone_the_same_way(target: LocalTarget, root: Path) -> None:
    tuned = TunedMachine(root)
    before = tuned.everything()
    done = carry_out(plan_apply(session(), target), target)
    assert (done.via, done.files) == ("tuned", (f"{root}/etc/tuned/knobctl/tuned.conf",))
    assert (swappiness(root), tuned.active) == ("10", ("knobctl", "manual"))
    assert applied_here(target) == (Applied(SESSION, done.date, {"vm.swappiness": 10}, via="tuned"),)
    second = plan_apply(session({"vm.vfs_cache_pressure": 50}), target)
    assert (second.via, second.includes) == ("tuned", ("base",))
    carry_out(second, target)
    assert [text for text in tuned.profile.splitlines() if "=" in text and "." in text] == [
        "vm.swappiness=10", "vm.vfs_cache_pressure=50",
    ]  # fmt: skip
    carry_out_rollback(target)
    require_complete(carry_out_rollback(target).knobs)
    assert tuned.everything() == before


def test_a_switch_that_fails_is_an_error_with_the_words_of_tuned(target: LocalTarget, root: Path) -> None:
    tuned = TunedMachine(root)
    before = tuned.everything()
    preview = plan_apply(session(), target)
    tuned.trouble("fail-knobctl")
    with pytest.raises(WriteFailed, match="`tuned-adm profile knobctl` failed with status 1") as error:
        carry_out(preview, target)
    assert error.value.hint == "Nothing was changed."
    assert tuned.everything() == before


def test_a_hanging_tuned_is_given_up(root: Path, target: LocalTarget) -> None:
    tuned = TunedMachine(root)
    tuned.trouble("hang-late-knobctl")
    impatient = LocalTarget(base=str(root), root=str(root), patience=0.5)
    with pytest.raises(WriteFailed, match=r"did not end within 0\.5 seconds"):
        carry_out(plan_apply(session(), impatient), impatient)
    assert (swappiness(root), tuned.active) == ("60", ("base", "manual"))


# --- what would not hold


@pytest.mark.parametrize("via", ["sysctl.d", "tuned"])
def test_a_change_that_would_lose_is_not_carried_out(target: LocalTarget, root: Path, via: str) -> None:
    tuned = TunedMachine(root)
    tuned.write("etc/sysctl.conf", "# mine\nvm.swappiness = 1\n")
    before = tuned.everything()
    preview = plan_apply(session(), target, via)
    with pytest.raises(UsageError, match=r"would not hold, so nothing was changed: /etc/sysctl\.conf:2 sets") as error:
        carry_out(preview, target)
    assert error.value.hint == "Remove or comment out /etc/sysctl.conf:2, then apply again."
    assert tuned.everything() == before
    assert tuned.calls == []
