"""Rules of udev's about a change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from knobctl.knobs import Catalogue
from knobctl.persist import Scan, Unreadable, find_conflicts

Write = Callable[[str, str], None]
Look = Callable[..., Scan]

DEVICE = "/sys/block/vda"
PATH = f"{DEVICE}/queue/nr_requests"
SETS = 'ATTR{queue/nr_requests}="32"'


@pytest.fixture
def scan(root: Path, catalogue: Catalogue, write: Write) -> Look:
    write(PATH, "64\n")
    write(f"{DEVICE}/uevent", "DEVNAME=vda\n")
    write(f"{DEVICE}/queue/rotational", "1\n")
    write("/sys/class/block/.keep", "")
    (root / "sys/block/vda/subsystem").symlink_to("../../class/block")
    names = ["block.nr_requests", "vm.swappiness"]
    return lambda via="sysctl.d": find_conflicts(names, catalogue, root, via, {"block.nr_requests": [PATH]})


@pytest.mark.parametrize(
    "rule",
    [
        SETS,
        'ATTR{queue/nr_requests}:="32"',
        f'ACTION=="add|change", SUBSYSTEM=="block", KERNEL=="sd[a-z]|vd[a-z]", {SETS}',
        f'ACTION=="add", \\\n  KERNEL=="vda", \\\n  {SETS}',
        f'ATTR{{queue/rotational}}=="1", {SETS}',
        f'ATTR{{queue/missing}}=="1", {SETS}',
        f'KERNEL!="sd*", {SETS}',
        f'ENV{{ID_MODEL}}=="Disk", {SETS}',
        f'ATTR{{queue/nr_requests}}!="64", {SETS}',
    ],
)
def test_a_rule_about_our_disk_wins(scan: Look, write: Write, rule: str) -> None:
    write("/etc/udev/rules.d/60-disk.rules", f"# disks\n\n{rule}\n")
    (conflict,) = scan().conflicts
    assert (conflict.knob, conflict.place, conflict.value) == (
        "block.nr_requests", "/etc/udev/rules.d/60-disk.rules:3", "32",
    )  # fmt: skip
    assert conflict.sentence == (
        "/etc/udev/rules.d/60-disk.rules:3 sets ATTR{queue/nr_requests} = 32 whenever that device or module appears or "
        "changes and wins over /etc/tmpfiles.d/knobctl.conf with systemd-udevd: remove or comment out that line."
    )


@pytest.mark.parametrize(
    "rule",
    [
        f"#{SETS}",
        f'KERNEL=="sd[a-z]", {SETS}',
        f'KERNEL!="vd*", {SETS}',
        f'SUBSYSTEM=="net", {SETS}',
        f'ATTR{{queue/rotational}}=="0", {SETS}',
        'ATTR{queue/nr_requests}=="32", ENV{x}="1"',
        'ATTR{nr_requests2}="32"',
        'ATTR{queue/read_ahead_kb}="32"',
        'SYSCTL{vm.swappiness}=="1"',
        'SYSCTL{vm.overcommit_memory}="1"',
    ],
)
def test_a_rule_about_something_else_is_no_conflict(scan: Look, write: Write, rule: str) -> None:
    write("/etc/udev/rules.d/60-disk.rules", rule)
    assert scan() == Scan((), ())


@pytest.mark.parametrize("key", ["vm.swappiness", "vm/swappiness"])
def test_a_rule_can_set_a_sysctl(scan: Look, write: Write, key: str) -> None:
    write("/usr/lib/udev/rules.d/99-vm.rules", f'SUBSYSTEM=="module", SYSCTL{{{key}}}="1"')
    (conflict,) = scan().conflicts
    assert (conflict.knob, conflict.key, conflict.wins) == ("vm.swappiness", f"SYSCTL{{{key}}}", True)
    assert "wins over /etc/sysctl.d/90-knobctl.conf with systemd-udevd" in conflict.sentence


def test_what_is_no_device_is_never_seen_by_udev(root: Path, catalogue: Catalogue, write: Write) -> None:
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    write(path, "always [madvise] never\n")
    write("/etc/udev/rules.d/60-power.rules", 'ATTR{enabled}="never"')
    assert find_conflicts(["thp.enabled"], catalogue, root, paths={"thp.enabled": [path]}) == Scan((), ())


def test_it_wins_over_a_tuned_profile_too(scan: Look, write: Write) -> None:
    write("/run/udev/rules.d/60-disk.rules", SETS)
    (conflict,) = scan("tuned").conflicts
    assert "wins over the TuneD profile knobctl with systemd-udevd" in conflict.sentence


def test_a_file_of_the_administrators_hides_one_of_the_distribution(scan: Look, write: Write) -> None:
    write("/usr/lib/udev/rules.d/60-disk.rules", SETS)
    write("/etc/udev/rules.d/60-disk.rules", "")
    assert scan() == Scan((), ())


def test_what_cannot_be_read_is_named(scan: Look, root: Path) -> None:
    (root / "etc/udev/rules.d/60-folder.rules").mkdir(parents=True)
    assert scan().unreadable == (Unreadable("/etc/udev/rules.d/60-folder.rules", "Is a directory"),)
