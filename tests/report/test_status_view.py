"""A machine in, its status out: as a record and as lines."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knobctl.agent.places import Places
from knobctl.persist import Applied, carry_out, plan_apply
from knobctl.report.status_view import StatusRecord, describe_status, read_status
from tests.persist.machine import SESSION, machine, session

HELD = {"path": "/proc/sys/vm/swappiness", "outcome": "held", "found": "60", "now": "60", "detail": ""}
LAST: dict[str, Any] = {
    "session": SESSION, "by": "watcher", "reason": "the agent was killed by signal 9", "at": "2026-01-02T03:09:05Z",
    "rebooted": False, "restored": True, "knobs": [HELD, HELD],
}  # fmt: skip
QUIET = StatusRecord(running=False, interrupted=False, last_run=None, applied=(), now={}, tuners=())


def test_a_machine_on_which_nothing_happened(tmp_path: Path) -> None:
    status = read_status(machine(tmp_path))
    assert status == QUIET
    assert describe_status(status) == ["no run is going on", "nothing is applied"]
    assert status.to_dict() == {
        "running": False, "interrupted": False, "last_run": None, "applied": [], "holds": {}, "tuners": [],
    }  # fmt: skip


def test_what_is_applied_and_whether_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path / "state"))
    target = machine(tmp_path / "root")
    done = carry_out(plan_apply(session({"vm.swappiness": 10, "vm.vfs_cache_pressure": 50}), target), target)
    (tmp_path / "root/proc/sys/vm/swappiness").write_text("33\n")
    status = read_status(target)
    assert status.holds == {"vm.swappiness": False, "vm.vfs_cache_pressure": True}
    assert describe_status(status) == [
        "no run is going on",
        f"applied on {done.date} from session {SESSION}, by way of sysctl.d:",
        "  vm.swappiness = 10  ! is 33 now, somebody changed it",
        "  vm.vfs_cache_pressure = 50  holds",
        "undo the last apply with: knobctl rollback",
    ]
    document = json.loads(json.dumps(status.to_dict()))
    assert document["applied"] == [
        {
            "session_id": SESSION,
            "date": done.date,
            "via": "sysctl.d",
            "complete": True,
            "values": {"vm.swappiness": 10, "vm.vfs_cache_pressure": 50},
        }
    ]
    assert document["holds"] == status.holds


def test_by_which_way_and_whether_it_was_cut_off() -> None:
    entry = Applied("s", "today", {"vm.swappiness": 10}, via="tuned", complete=False)
    status = replace(QUIET, applied=(entry,), now={"vm.swappiness": 10})
    assert describe_status(status)[1:3] == [
        "applied on today from session s, by way of TuneD:", "  ! this apply was cut off: knobctl rollback",
    ]  # fmt: skip
    assert (status.to_dict()["applied"][0]["via"], status.to_dict()["applied"][0]["complete"]) == ("tuned", False)


def test_a_run_that_was_cut_off_is_not_a_run_that_goes_on(tmp_path: Path) -> None:
    target, places = machine(tmp_path), Places(str(tmp_path))
    os.close(places.prepare())
    Path(places.journal).write_text("{}\n")
    Path(places.last_run).write_text(json.dumps(LAST))
    status = read_status(target)
    assert (status.running, status.interrupted, status.last_run) == (False, True, LAST)
    assert describe_status(status)[:2] == [
        "no run is going on", "! a run was cut off and its knobs are not back: knobctl restore",
    ]  # fmt: skip
    assert describe_status(replace(status, running=True, interrupted=False))[0] == "a run is going on"


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({}, "2 kernel files put back by the watcher"),
        ({"by": "agent"}, "2 kernel files put back by the agent"),
        ({"by": "restore"}, "2 kernel files put back by knobctl restore"),
        ({"by": "next run"}, "2 kernel files put back by next run"),
        ({"restored": False}, "NOT everything is back"),
        ({"rebooted": True, "restored": False}, "nothing to put back"),
    ],
)
def test_how_the_last_run_ended(changes: dict[str, Any], how: str) -> None:
    lines = describe_status(replace(QUIET, last_run={**LAST, **changes}))
    assert lines[1] == f"last run: {SESSION}, ended 2026-01-02T03:09:05Z: the agent was killed by signal 9; {how}"


def test_what_the_last_run_left_is_named() -> None:
    knobs = [
        {"path": "/proc/sys/vm/swappiness", "outcome": "drifted", "found": "60", "now": "33", "detail": ""},
        {"path": "/proc/sys/vm/dirty_ratio", "outcome": "held", "found": "20", "now": "20", "detail": ""},
        {"path": "/sys/block/vdb/queue/nr_requests", "outcome": "absent", "found": "64", "now": "", "detail": ""},
    ]
    problem = "the journal /var/lib/knobctl/journal cannot be removed: Read-only file system (EROFS)"
    lines = describe_status(replace(QUIET, last_run={**LAST, "knobs": knobs, "problem": problem}))
    assert lines[2:5] == [
        "  ! /proc/sys/vm/swappiness was changed to 33 by somebody else; left alone",
        "  ! /sys/block/vdb/queue/nr_requests no longer exists",
        f"  ! {problem}",
    ]


def test_no_line_holds_a_control_character() -> None:
    last = {**LAST, "reason": "\x1b[31mred\x07"}
    record = replace(
        QUIET, last_run=last, applied=(Applied("s", "\x1b]0;x\x07today", {"vm.swappiness": 10}),),
        now={"vm.swappiness": 10}, tuners=("tuned",),
    )  # fmt: skip
    lines = describe_status(record)
    assert all(line.isprintable() for line in lines)
    assert lines[2] == "applied on today from session s, by way of sysctl.d:"
    assert lines[-1] == "! tuned is running and changes kernel settings too"
