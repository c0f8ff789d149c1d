"""TuneD and a change: what its profiles set, and what wins over a profile of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from knobctl.knobs import Catalogue
from knobctl.persist import Scan, find_conflicts

Write = Callable[[str, str], None]
Look = Callable[..., Scan]

THP = "/sys/kernel/mm/transparent_hugepage/enabled"
PROFILE = "/usr/lib/tuned/base/tuned.conf"
OURS = "the TuneD profile knobctl"


@pytest.fixture
def scan(root: Path, catalogue: Catalogue, write: Write) -> Look:
    write("/proc/77/comm", "tuned\n")
    write("/etc/tuned/active_profile", "base\n")
    write(THP, "always [madvise] never\n")
    names = ["vm.dirty_ratio", "thp.enabled"]
    return lambda via="sysctl.d": find_conflicts(names, catalogue, root, via, {"thp.enabled": [THP]})


@pytest.mark.parametrize(
    ("text", "line", "relation"),
    [
        ("[sysctl]\nvm.dirty_ratio = 40", 2, "same"),
        ("[main]\nsummary=x\n\n[mine]\nvm.dirty_bytes=4096\ntype=sysctl", 5, "twin"),
        (f"[sysfs]\n{THP}=always # why", 2, "same"),
        ("[sysfs]\n/sys/kernel/mm/*/enabled=always", 2, "glob"),
        ("[vm]\ntransparent_hugepages=always", 2, "same"),
        ("[vm]\ndirty_ratio=40", 2, "same"),
    ],
)
def test_the_profile_in_force_is_overridden_by_ours_and_wins_over_drop_ins(
    scan: Look, write: Write, text: str, line: int, relation: str
) -> None:
    write("/etc/tuned/tuned-main.conf", "reapply_sysctl = 0\n")
    write(PROFILE, text)
    (conflict,) = scan().conflicts
    assert (conflict.place, conflict.relation, conflict.wins_with) == (f"{PROFILE}:{line}", relation, ("TuneD",))
    (conflict,) = scan("tuned").conflicts
    assert (conflict.wins, conflict.over) == (False, OURS)


def test_with_reapply_sysctl_a_drop_in_wins_over_the_profile_but_not_for_sysfs(scan: Look, write: Write) -> None:
    write(PROFILE, f"[sysctl]\nvm.dirty_ratio=40\n[sysfs]\n{THP}=always\n")
    proc, sysfs = scan().conflicts
    assert (proc.wins, sysfs.wins) == (False, True)
    assert f"{PROFILE}:4 sets {THP} = always and wins over /etc/tmpfiles.d/knobctl.conf with TuneD" in sysfs.sentence


def test_included_profiles_are_read_and_ours_is_not(scan: Look, write: Write) -> None:
    write("/etc/tuned/active_profile", "knobctl")
    write("/etc/tuned/knobctl/tuned.conf", "[main]\ninclude=one, two;base\n[sysctl]\nvm.dirty_ratio=10\n")
    write("/etc/tuned/one/tuned.conf", "[main]\ninclude=one\n")
    write("/usr/lib/tuned/one/tuned.conf", "[sysctl]\nvm.dirty_ratio=1\n")
    write("/usr/lib/tuned/base/tuned.conf", "[sysctl]\nvm.dirty_ratio=3\n")
    assert [conflict.file for conflict in scan("tuned").conflicts] == ["/usr/lib/tuned/one/tuned.conf", PROFILE]


@pytest.mark.parametrize("file", ["/proc/77/comm", "/etc/tuned/active_profile"])
def test_a_tuned_that_is_not_in_charge_sets_nothing(scan: Look, write: Write, file: str) -> None:
    write(PROFILE, "[sysctl]\nvm.dirty_ratio=40\n")
    write(file, "\n")
    assert scan() == Scan((), ())


@pytest.mark.parametrize(
    ("file", "wins"),
    [
        ("/etc/sysctl.conf", True),
        ("/etc/sysctl.d/10-early.conf", True),
        ("/run/sysctl.d/10-early.conf", True),
        ("/etc/sysctl.d/90-knobctl.conf", True),
        ("/usr/lib/sysctl.d/99-late.conf", False),
    ],
)
@pytest.mark.parametrize("key", ["vm.dirty_ratio", "vm.dirty_bytes"])
def test_sysctl_files_are_read_again_after_our_profile(
    scan: Look, write: Write, file: str, wins: bool, key: str
) -> None:
    write(file, f"{key} = 30")
    found = scan("tuned")
    (conflict,) = found.conflicts
    assert (conflict.file, conflict.wins) == (file, wins)
    if wins:
        assert f" and wins over {OURS} with TuneD's reapply_sysctl: remove or comment" in conflict.sentence
        assert [order.sentence for order in found.orders] == [
            f"TuneD reads in this order, the last one wins: {OURS}, {file}"
        ]
    write("/etc/tuned/tuned-main.conf", "reapply_sysctl=0")
    assert not scan("tuned").conflicts[0].wins


def test_tuned_prefers_run_and_knows_no_patterns(scan: Look, write: Write) -> None:
    write("/etc/sysctl.d/10-a.conf", "vm.dirty_ratio = 1")
    write("/run/sysctl.d/10-a.conf", "vm.dirty_ratio = 2")
    write("/etc/sysctl.d/20-b.conf", "vm.dirty_rat* = 3\nvm.dirty_b* = 4")
    assert [(conflict.value, conflict.wins) for conflict in scan("tuned").conflicts] == [
        ("2", True), ("3", False), ("4", False),
    ]  # fmt: skip
