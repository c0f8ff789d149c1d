"""What administrators and packages put into the folders that set knobs at boot: sysctl.d, tmpfiles.d, udev, TuneD."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.knobs.files import catalogue
from knobctl.permanent.ways import SYSCTL_D, TUNED
from knobctl.persist.conflicts import find_conflicts
from tests.fuzz.trying import MARKS, NUMBERS, mutated_lines, mutated_text, reading, sized, texts

READ_AHEAD = "/sys/block/vda/queue/read_ahead_kb"
NAMES = ["vm.swappiness", "vm.dirty_ratio", "net.ipv4.tcp_wmem[max]", "block.read_ahead_kb", "thp.enabled"]
PATHS = {
    "block.read_ahead_kb": [READ_AHEAD],
    "thp.enabled": ["/sys/kernel/mm/transparent_hugepage/enabled"],
}
KEYS = [
    "vm.swappiness", "vm/swappiness", "-vm.swappiness", "vm.*", "net.ipv4.tcp_wmem", "net/ipv4/conf/eth0.1/rp_filter",
    "vm.", "vm.[a-", "vm.[!s]*", "vm.[[:alpha:]]*", "**", "*" * 40, "vm.dirty_bytes", "..", "../../etc/passwd",
    "vm.[z-a]", READ_AHEAD, "/sys/block/*/queue/read_ahead_kb", "/sys/block/{vda,vdb}/queue/{read_ahead_kb,x}",
    "/sys/[", "readahead", "transparent_hugepages", "include", "type",
]  # fmt: skip
SYSCTL = "# comment\nvm.swappiness = 10\n-vm.dirty_ratio=5\nnet/ipv4/tcp_wmem = 1 2 3\nvm.* = 1\n"
TMPFILES = f'w {READ_AHEAD} - - - - 512\nw! "/sys/block/*/queue/nr_requests" - - - - 1%%\nd /run/x 0755 root root -\n'
RULES = (
    'ACTION=="add|change", SUBSYSTEM=="block", KERNEL=="vd[a-z]", ATTR{queue/read_ahead_kb}="512"\n'
    'SUBSYSTEM=="module", \\\n  KERNEL=="nf_conntrack", SYSCTL{vm/swappiness}="1"\n'
)
PROFILE = (
    "[main]\ninclude=one, two\n[sysctl]\nvm.swappiness=10\n[disk]\nreadahead=>4096\n[x]\ntype=sysfs\n"
    f"{READ_AHEAD}=1\n[vm]\ntransparent_hugepages=never\n"
)
PLACES = {
    "etc/sysctl.d/10-a.conf": SYSCTL,
    "run/sysctl.d/99-z.conf": SYSCTL,
    "usr/lib/sysctl.d/é.conf": SYSCTL,
    "etc/sysctl.d/90-knobctl.conf": SYSCTL,
    "etc/sysctl.conf": SYSCTL,
    "etc/tmpfiles.d/a.conf": TMPFILES,
    "usr/lib/tmpfiles.d/z z.conf": TMPFILES,
    "etc/udev/rules.d/60-x.rules": RULES,
    "usr/lib/udev/rules.d/a\nb.rules": RULES,
    "etc/tuned/active_profile": "one two\n",
    "etc/tuned/tuned-main.conf": "reapply_sysctl = 1\nprofile_dirs = /etc/tuned,/usr/lib/tuned\n",
    "etc/tuned/one/tuned.conf": PROFILE,
    "usr/lib/tuned/two/tuned.conf": PROFILE,
}
"""Files that are looked at, and what usually stands in them."""


@st.composite
def folders(draw: st.DrawFn) -> dict[str, bytes]:
    """Some of these files, each with lines of its kind that somebody damaged."""
    found = {}
    for name in draw(st.lists(st.sampled_from(sorted(PLACES)), unique=True, max_size=5)):
        lines = st.lists(
            st.tuples(
                st.sampled_from(["", "w ", "w+ ", 'ATTR{', "["]), st.sampled_from(KEYS),
                st.sampled_from([" = ", "=", " ", " - - - - ", '}="', "]"]), st.sampled_from([*NUMBERS, *MARKS]),
            ).map("".join), max_size=8,
        ).map("\n".join)  # fmt: skip
        text = draw(st.one_of(mutated_text(PLACES[name]), mutated_lines(PLACES[name]), lines, texts))
        found[name] = text.encode("utf-8", "surrogatepass")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boot")


def machine(folder: Path, files: dict[str, bytes]) -> Path:
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    kernel = {READ_AHEAD[1:]: b"128", "sys/block/vda/uevent": b"", "proc/7/comm": b"tuned\n"}
    for name, content in {**kernel, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def scan(root: Path, via: str) -> None:
    with reading("sysctl.d, tmpfiles.d, udev's rules, TuneD"):
        found = find_conflicts(NAMES, catalogue(), root, via, PATHS)
        for conflict in found.conflicts:
            assert conflict.knob.partition("[")[0] in [name.partition("[")[0] for name in NAMES]
            assert conflict.line >= 1
            assert conflict.sentence


@sized(40)
@given(files=folders(), via=st.sampled_from([SYSCTL_D, TUNED]))
def test_what_sets_knobs_at_boot(folder: Path, files: dict[str, bytes], via: str) -> None:
    scan(machine(folder, files), via)


@pytest.mark.parametrize("kind", ["folder", "loop", "nowhere", "masked"])
@pytest.mark.parametrize("place", ["etc/sysctl.d/95.conf", "etc/tmpfiles.d/95.conf", "etc/udev/rules.d/95.rules"])
def test_a_name_behind_which_no_file_is(folder: Path, place: str, kind: str) -> None:
    root = machine(folder, {})
    special = root / place
    special.parent.mkdir(parents=True)
    if kind == "folder":
        special.mkdir()
    else:
        special.symlink_to({"loop": special, "nowhere": root / "nowhere", "masked": Path("/dev/null")}[kind])
    scan(root, SYSCTL_D)


@pytest.mark.parametrize("place", ["etc/sysctl.d", "etc/tmpfiles.d", "etc/udev/rules.d"])
def test_a_file_for_a_folder(folder: Path, place: str) -> None:
    scan(machine(folder, {place: b"x"}), SYSCTL_D)


@pytest.mark.parametrize(
    "place", ["etc/sysctl.d/\udcff.conf", "etc/tmpfiles.d/\udcff.conf", "etc/udev/rules.d/\udcff.rules"]
)
def test_a_name_that_is_no_text(folder: Path, place: str) -> None:
    scan(machine(folder, {place: f"w {READ_AHEAD} - - - - 1\nvm.swappiness = 1\n".encode()}), SYSCTL_D)


def test_a_profile_whose_name_is_longer_than_a_name_can_be(folder: Path) -> None:
    scan(machine(folder, {"etc/tuned/active_profile": b"9" * 400}), SYSCTL_D)


@pytest.mark.parametrize(
    "pattern",
    [
        *["/", "", ".", "/sys/**x", "/sys/[", "/../../*", "/sys/a\x00b", "{a,b}" * 24],
    ],
)
def test_a_path_that_is_no_path(folder: Path, pattern: str) -> None:
    lines = f"w {pattern} - - - - 1\nw '{pattern}' - - - - 1\n"
    scan(machine(folder, {"etc/tmpfiles.d/a.conf": lines.encode()}), SYSCTL_D)
