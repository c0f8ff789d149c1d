"""Files below a temporary root in, every line that says something else out."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from knobctl.knobs import Catalogue, UnknownKnob
from knobctl.persist import Conflict, Scan, Unreadable, find_conflicts

Write = Callable[[str, str], None]


Look = Callable[..., Scan]


BOTH = ("systemd-sysctl", "`sysctl --system`")


def deciding(scan: Scan) -> Conflict | None:
    """The line that is applied last of all that win."""
    return next((conflict for conflict in reversed(scan.conflicts) if conflict.wins), None)


@pytest.fixture
def scan(root: Path, catalogue: Catalogue) -> Look:
    return lambda *names: find_conflicts(names or ("vm.dirty_ratio",), catalogue, root)


def test_a_machine_without_such_files_has_no_conflicts(scan: Look) -> None:
    assert scan() == Scan((), ())


def test_a_file_that_is_read_earlier_is_overridden(scan: Look, write: Write) -> None:
    write("/usr/lib/sysctl.d/50-distro.conf", "# defaults\n\nvm.dirty_ratio = 30\n")
    (conflict,) = scan().conflicts
    assert (conflict.file, conflict.line, conflict.key, conflict.value, conflict.relation) == (
        "/usr/lib/sysctl.d/50-distro.conf", 3, "vm.dirty_ratio", "30", "same",
    )  # fmt: skip
    assert not conflict.wins
    assert conflict.sentence == (
        "/usr/lib/sysctl.d/50-distro.conf:3 sets vm.dirty_ratio = 30 and is overridden by "
        "/etc/sysctl.d/90-knobctl.conf."
    )
    assert deciding(scan()) is None


def test_a_file_that_is_read_later_wins_with_both_programs(scan: Look, write: Write) -> None:
    write("/usr/lib/sysctl.d/99-vendor.conf", "vm.dirty_ratio=30")
    (conflict,) = scan().conflicts
    assert conflict.wins_with == BOTH
    assert conflict.sentence == (
        "/usr/lib/sysctl.d/99-vendor.conf:1 sets vm.dirty_ratio = 30 and wins over /etc/sysctl.d/90-knobctl.conf with "
        "both systemd-sysctl and `sysctl --system`: remove or comment out that line."
    )


def test_sysctl_conf_is_read_last_by_procps_and_not_at_all_by_systemd(scan: Look, write: Write) -> None:
    write("/etc/sysctl.conf", "vm.dirty_ratio = 10")
    (conflict,) = scan().conflicts
    assert conflict.wins_with == BOTH[1:]
    assert "with `sysctl --system`: remove" in conflict.sentence


def test_the_last_file_decides_whatever_folder_it_is_in(scan: Look, write: Write) -> None:
    write("/etc/sysctl.d/95-first.conf", "vm.dirty_ratio = 1")
    write("/usr/lib/sysctl.d/99-second.conf", "vm.dirty_ratio = 2")
    write("/run/sysctl.d/97-between.conf", "vm.dirty_ratio = 3")
    assert [conflict.value for conflict in scan().conflicts] == ["1", "3", "2"]
    decides = deciding(scan())
    assert decides is not None and decides.file == "/usr/lib/sysctl.d/99-second.conf"
    write("/etc/sysctl.conf", "vm.dirty_ratio = 4")
    decides = deciding(scan())
    assert decides is not None and decides.file == "/etc/sysctl.conf"


def test_of_two_files_with_one_name_only_the_more_important_counts(scan: Look, write: Write) -> None:
    write("/usr/lib/sysctl.d/99-a.conf", "vm.dirty_ratio = 1")
    write("/run/sysctl.d/99-a.conf", "vm.dirty_ratio = 2")
    write("/etc/sysctl.d/99-a.conf", "vm.swappiness = 3")
    assert scan() == Scan((), ())


def test_a_masked_file_counts_as_empty(scan: Look, write: Write, root: Path) -> None:
    write("/usr/lib/sysctl.d/99-a.conf", "vm.dirty_ratio = 1")
    (root / "etc/sysctl.d").mkdir(parents=True)
    (root / "etc/sysctl.d/99-a.conf").symlink_to("/dev/null")
    assert scan() == Scan((), ())


def test_links_stay_below_the_root(scan: Look, write: Write, root: Path) -> None:
    write("/etc/sysctl.conf", "vm.dirty_ratio = 10")
    (root / "etc/sysctl.d").mkdir(parents=True)
    (root / "etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    (root / "etc/sysctl.d/98-absolute.conf").symlink_to("/etc/sysctl.conf")
    found = scan().conflicts
    assert [(conflict.file, BOTH[0] in conflict.wins_with) for conflict in found] == [
        ("/etc/sysctl.d/98-absolute.conf", True),
        ("/etc/sysctl.d/99-sysctl.conf", True),
        ("/etc/sysctl.conf", False),
    ]


def test_the_order_in_which_each_program_reads_is_said(scan: Look, write: Write) -> None:
    write("/usr/lib/sysctl.d/50-distro.conf", "vm.dirty_ratio = 30")
    write("/usr/lib/sysctl.d/51-other.conf", "vm.swappiness = 30")
    write("/run/sysctl.d/95-late.conf", "vm.dirty_ratio = 30\nvm.dirty_bytes = 1")
    write("/etc/sysctl.conf", "vm.dirty_ratio = 30")
    assert [order.sentence for order in scan().orders] == [
        "`sysctl --system` reads in this order, the last one wins: /usr/lib/sysctl.d/50-distro.conf, "
        "/etc/sysctl.d/90-knobctl.conf, /run/sysctl.d/95-late.conf, /etc/sysctl.conf",
        "systemd-sysctl reads in this order, the last one wins: /usr/lib/sysctl.d/50-distro.conf, "
        "/etc/sysctl.d/90-knobctl.conf, /run/sysctl.d/95-late.conf",
    ]
    assert scan("net.core.optmem").orders == ()


def test_our_own_file_is_no_conflict_wherever_it_is(scan: Look, write: Write) -> None:
    write("/etc/sysctl.d/90-knobctl.conf", "vm.dirty_ratio = 30")
    write("/usr/lib/sysctl.d/90-knobctl.conf", "vm.dirty_ratio = 31")
    assert scan() == Scan((), ())


@pytest.mark.parametrize(
    "line",
    [
        "vm.dirty_ratio=30",
        "vm/dirty_ratio = 30",
        "  -vm.dirty_ratio   =30  ",
        "-vm/dirty_ratio=\t30",
        "; note\nvm.dirty_ratio=30",
    ],
)
def test_keys_are_understood_as_the_kernel_file_that_they_name(scan: Look, write: Write, line: str) -> None:
    write("/etc/sysctl.d/10-a.conf", line)
    (conflict,) = scan().conflicts
    assert conflict.value == "30"
    assert conflict.key in ("vm.dirty_ratio", "vm/dirty_ratio")


@pytest.mark.parametrize("key", ["net.ipv4.neigh.eth0/100.gc", "net/ipv4/neigh/eth0.100/gc"])
def test_dots_inside_a_name(scan: Look, write: Write, key: str) -> None:
    write("/etc/sysctl.conf", f"{key} = 1")
    assert [conflict.key for conflict in scan("net.ipv4.neigh.dot").conflicts] == [key]


@pytest.mark.parametrize("line", ["#vm.dirty_ratio=30", "; vm.dirty_ratio=30", "-vm.dirty_ratio", "vm.dirty_ratio"])
def test_comments_and_lines_without_a_value_set_nothing(scan: Look, write: Write, line: str) -> None:
    write("/etc/sysctl.d/99-a.conf", line)
    assert scan() == Scan((), ())


@pytest.mark.parametrize("name", ["99-a.conf.bak", "README", "99-a.conf~"])
def test_files_with_another_ending_are_not_read(scan: Look, write: Write, name: str) -> None:
    write(f"/etc/sysctl.d/{name}", "vm.dirty_ratio = 1")
    assert scan() == Scan((), ())


def test_the_twin_is_a_conflict(scan: Look, write: Write) -> None:
    write("/etc/sysctl.d/99-a.conf", "vm.dirty_bytes = 1048576")
    (conflict,) = scan().conflicts
    assert (conflict.relation, conflict.knob, conflict.wins) == ("twin", "vm.dirty_ratio", True)
    assert "sets vm.dirty_bytes = 1048576, the other face of vm.dirty_ratio, and wins over" in conflict.sentence


def test_a_knob_that_moves_ours_is_a_conflict(scan: Look, write: Write) -> None:
    write("/etc/sysctl.d/99-a.conf", "net.core.optmem = 1")
    (conflict,) = scan("vm.swappiness").conflicts
    assert conflict.relation == "moves"
    assert "which moves vm.swappiness" in conflict.sentence


def test_a_vector_is_one_setting(scan: Look, write: Write) -> None:
    write("/etc/sysctl.conf", "net.ipv4.tcp_wmem = 4096\t16384  4194304")
    found = scan("net.ipv4.tcp_wmem[min]", "net.ipv4.tcp_wmem[max]").conflicts
    assert [(conflict.knob, conflict.value) for conflict in found] == [("net.ipv4.tcp_wmem", "4096 16384 4194304")]


def test_a_glob_never_wins_over_a_key_that_is_spelled_out(scan: Look, write: Write) -> None:
    write("/etc/sysctl.d/99-a.conf", "vm.swap* = 1")
    (conflict,) = scan("vm.swappiness").conflicts
    assert (conflict.relation, conflict.wins) == ("glob", False)
    assert "which matches vm.swappiness, and is overridden" in conflict.sentence


def test_a_glob_that_matches_the_twin_can_win(scan: Look, write: Write) -> None:
    write("/etc/sysctl.d/99-a.conf", "vm.dirty_* = 1")
    (conflict,) = scan().conflicts
    assert (conflict.relation, conflict.wins) == ("glob", True)


def test_a_star_does_not_match_a_dot_between_names(scan: Look, write: Write) -> None:
    write("/etc/sysctl.d/99-a.conf", "*.dirty_ratio = 1\nv*ratio = 2\n*.* = 3\n*.*.* = 4")
    assert [conflict.value for conflict in scan().conflicts] == ["1", "3"]


def test_knobs_below_sys_have_no_part_in_this(scan: Look, write: Write) -> None:
    write("/etc/sysctl.conf", "thp.enabled = always")
    assert scan("thp.enabled", "block.nr_requests") == Scan((), ())


def test_a_file_that_cannot_be_read_is_named(scan: Look, root: Path) -> None:
    (root / "etc/sysctl.d/99-folder.conf").mkdir(parents=True)
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/sysctl.d").touch()
    assert scan() == Scan((), (Unreadable("/etc/sysctl.d/99-folder.conf", "Is a directory"),))


def test_bytes_that_are_no_text_do_not_hide_the_rest(scan: Look, root: Path) -> None:
    (root / "etc").mkdir(parents=True)
    (root / "etc/sysctl.conf").write_bytes(b"kernel.x = \xff\xfe\nvm.dirty_ratio = 5\n")
    assert [conflict.line for conflict in scan().conflicts] == [2]


def test_unknown_knobs_are_an_error(scan: Look) -> None:
    with pytest.raises(UnknownKnob):
        scan("vm.nothing")


@pytest.mark.skipif(not shutil.which("sysctl"), reason="procps is not installed")
def test_this_machine_can_be_scanned_and_procps_agrees_about_the_files() -> None:
    """Only reads: the real folders, and what ``sysctl --system --dry-run`` would apply in which order."""
    dry = subprocess.run(["sysctl", "--dry-run", "--system"], capture_output=True, text=True, check=False)
    if dry.returncode != 0 or "* Applying" not in dry.stdout:
        pytest.skip("this sysctl has no --dry-run")
    applied = [line.split()[2] for line in dry.stdout.splitlines() if line.startswith("* Applying")]
    keys = [line.split(" = ")[0] for line in dry.stdout.splitlines() if " = " in line]
    records = [
        {"name": key, "path": "/proc/sys/" + key.replace(".", "/"), "kind": "integer", "summary": "s", "why": "w",
         "source": "s", "minimum": 0, "maximum": 1}
        for key in sorted(set(keys)) if os.path.exists("/proc/sys/" + key.replace(".", "/"))
    ]  # fmt: skip
    catalogue = Catalogue.from_records({"knob": records})
    found = find_conflicts([knob.name for knob in catalogue], catalogue).conflicts
    order = list(dict.fromkeys(conflict.file for conflict in found))
    assert {conflict.knob for conflict in found} == {knob.name for knob in catalogue}
    assert order == [file for file in applied if file in order]
