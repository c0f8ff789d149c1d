"""Lines of tmpfiles.d about a change: what is found, and that systemd-tmpfiles decides as it is said here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from knobctl.knobs import Catalogue
from knobctl.persist import Conflict, Scan, Unreadable, find_conflicts

Write = Callable[[str, str], None]
Look = Callable[[], Scan]

PATH = "/sys/block/vda/queue/nr_requests"
OWN = "/etc/tmpfiles.d/knobctl.conf"


@pytest.fixture
def scan(root: Path, catalogue: Catalogue, write: Write) -> Look:
    write(PATH, "64\n")
    return lambda: find_conflicts(["block.nr_requests"], catalogue, root, paths={"block.nr_requests": [PATH]})


@pytest.mark.parametrize(
    ("file", "line", "relation", "wins"),
    [
        ("/usr/lib/tmpfiles.d/disk.conf", f"w {PATH} - - - - 32", "same", True),
        ("/usr/lib/tmpfiles.d/zram.conf", f"w {PATH} - - - - 32", "same", False),
        ("/run/tmpfiles.d/disk.conf", f"w+ {PATH} - - - - 32", "same", True),
        ("/etc/tmpfiles.d/disk.conf", f"w!\t{PATH}\t-\t-\t-\t-\t32", "same", True),
        ("/usr/local/lib/tmpfiles.d/disk.conf", f'w- "{PATH}" - - - - 32', "same", True),
        ("/usr/lib/tmpfiles.d/disk.conf", "w /sys/block/*/queue/nr_requests - - - - 32", "glob", False),
        ("/usr/lib/tmpfiles.d/zram.conf", "w /sys/block/*/queue/nr_requests - - - - 32", "glob", True),
        ("/usr/lib/tmpfiles.d/zram.conf", "w /sys/block/{sda,vda}/queue/nr_requests - - - - 32", "glob", True),
        ("/usr/lib/tmpfiles.d/zram.conf", "w /sys/class/block/vda/queue/nr_requests - - - - 32", "link", True),
        ("/usr/lib/tmpfiles.d/disk.conf", "w /sys/class/block/vda/queue/nr_requests - - - - 32", "link", False),
    ],
)
def test_who_wins(scan: Look, write: Write, root: Path, file: str, line: str, relation: str, wins: bool) -> None:
    (root / "sys/class").mkdir()
    (root / "sys/class/block").symlink_to("../block")
    write(file, f"# a comment\n\n{line}\n")
    (conflict,) = scan().conflicts
    assert (conflict.file, conflict.line, conflict.value, conflict.relation) == (file, 3, "32", relation)
    assert conflict.wins_with == (("systemd-tmpfiles",) if wins else ())


def test_the_words(scan: Look, write: Write) -> None:
    write("/usr/lib/tmpfiles.d/disk.conf", f"w {PATH} - - - - 32")
    write("/usr/lib/tmpfiles.d/zram.conf", "w /sys/block/*/queue/nr_requests - - - - 16")
    found = scan()
    assert [conflict.sentence for conflict in found.conflicts] == [
        f"/usr/lib/tmpfiles.d/disk.conf:1 sets {PATH} = 32 and wins over {OWN} with systemd-tmpfiles: "
        "remove or comment out that line.",
        "/usr/lib/tmpfiles.d/zram.conf:1 sets /sys/block/*/queue/nr_requests = 16, which matches block.nr_requests, "
        f"and wins over {OWN} with systemd-tmpfiles: remove or comment out that line.",
    ]
    assert [order.sentence for order in found.orders] == [
        f"systemd-tmpfiles reads in this order, the first one wins: /usr/lib/tmpfiles.d/disk.conf, {OWN}, "
        "/usr/lib/tmpfiles.d/zram.conf"
    ]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("/usr/lib/tmpfiles.d/a.conf", "w /sys/block/vdb/queue/nr_requests - - - - 32"),
        ("/usr/lib/tmpfiles.d/a.conf", "w /sys/block/*/nr_requests - - - - 32"),
        ("/usr/lib/tmpfiles.d/a.conf", f"#w {PATH} - - - - 32"),
        ("/usr/lib/tmpfiles.d/a.conf", f"z {PATH} 0644 root root"),
        ("/usr/lib/tmpfiles.d/a.conf", f'w "{PATH} - - - - 32'),
        ("/usr/lib/tmpfiles.d/a.conf", "w"),
        ("/usr/lib/tmpfiles.d/a.conf.bak", f"w {PATH} - - - - 32"),
        (OWN, f"w {PATH} - - - - 32"),
        ("/usr/lib/tmpfiles.d/knobctl.conf", f"w {PATH} - - - - 32"),
    ],
)
def test_what_is_no_conflict(scan: Look, write: Write, file: str, line: str) -> None:
    write(file, line)
    assert scan() == Scan((), ())


def test_a_file_of_the_administrators_hides_one_of_the_distribution(scan: Look, write: Write, root: Path) -> None:
    write("/usr/lib/tmpfiles.d/disk.conf", f"w {PATH} - - - - 32")
    write("/usr/lib/tmpfiles.d/more.conf", f"w {PATH} - - - - 32")
    write("/etc/tmpfiles.d/disk.conf", "# nothing\n")
    (root / "etc/tmpfiles.d/more.conf").symlink_to("/dev/null")
    assert scan() == Scan((), ())


def test_a_line_about_proc_wins_because_nobody_says_when_it_comes(
    root: Path, catalogue: Catalogue, write: Write
) -> None:
    write("/usr/lib/tmpfiles.d/zzz.conf", "w /proc/sys/vm/dirty_bytes - - - - 1048576")
    (conflict,) = find_conflicts(["vm.dirty_ratio"], catalogue, root).conflicts
    assert (conflict.relation, conflict.wins) == ("twin", True)
    assert "the other face of vm.dirty_ratio, and wins over /etc/sysctl.d/90-knobctl.conf" in conflict.sentence


def test_a_tuned_profile_is_set_after_all_of_them(root: Path, catalogue: Catalogue, write: Write) -> None:
    write("/usr/lib/tmpfiles.d/disk.conf", f"w {PATH} - - - - 32")
    scan = find_conflicts(["block.nr_requests"], catalogue, root, "tuned", {"block.nr_requests": [PATH]})
    assert [conflict.sentence for conflict in scan.conflicts] == [
        f"/usr/lib/tmpfiles.d/disk.conf:1 sets {PATH} = 32 and is overridden by the TuneD profile knobctl."
    ]


def test_what_cannot_be_read_is_named(scan: Look, root: Path) -> None:
    (root / "etc/tmpfiles.d/folder.conf").mkdir(parents=True)
    assert scan() == Scan((), (Unreadable("/etc/tmpfiles.d/folder.conf", "Is a directory"),))


@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="systemd is not installed")
@pytest.mark.parametrize("name", ["a.conf", "zzz.conf"])
@pytest.mark.parametrize("path", ["/sys/one/file", "/sys/*/file", "/sys/other/file"])
def test_systemd_tmpfiles_decides_like_that(
    root: Path, catalogue: Catalogue, write: Write, name: str, path: str
) -> None:
    """The real program, below the temporary root: what it leaves in the file is what is said here."""
    file = "/sys/one/file"
    write(file, "12345678\n")
    (root / "sys/other").symlink_to("one")
    write(OWN, f"w {file} - - - - ours1234\n")
    write(f"/usr/lib/tmpfiles.d/{name}", f"w {path} - - - - theirs12\n")
    done = subprocess.run(
        ["systemd-tmpfiles", f"--root={root}", "--create"], capture_output=True, text=True, check=False
    )
    left = (root / file[1:]).read_text().strip()
    assert left in ("ours1234", "theirs12"), done.stderr
    (conflict,) = about(file, catalogue, root).conflicts
    assert conflict.wins == (left == "theirs12")


def about(path: str, catalogue: Catalogue, root: Path) -> Scan:
    return find_conflicts(["block.nr_requests"], catalogue, root, paths={"block.nr_requests": [path]})


def test_the_record_of_a_conflict_is_complete() -> None:
    conflict = Conflict("k", "/f", 3, "key", "1", "same", OWN, ())
    assert (conflict.place, conflict.wins) == ("/f:3", False)
    assert conflict.sentence == f"/f:3 sets key = 1 and is overridden by {OWN}."
