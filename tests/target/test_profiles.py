"""Profiles of TuneD as they stand on a machine, below a root folder of the test's own. The format is TuneD's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from knobctl.target.local import LocalTarget
from knobctl.target.profiles import LARGEST_FILE, MOST_FILES, Profile, read_profiles
from knobctl.target.simulated import simulated_target

SHIPPED, OWN = "usr/lib/tuned", "etc/tuned"


class Machine:
    """A root folder with profiles in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / SHIPPED).mkdir(parents=True)
        (root / OWN).mkdir(parents=True)

    def has(self, name: str, text: str | bytes, folder: str = SHIPPED) -> Path:
        file = self.root / folder / name / "tuned.conf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def uses(self, names: str) -> None:
        (self.root / OWN / "active_profile").write_text(f"{names}\n")

    def read(self, *names: str, disk: str = "vda") -> tuple[Profile, ...]:
        return read_profiles(names, disk, str(self.root))

    def says(self, name: str, disk: str = "vda") -> list[tuple[str, str, str]]:
        (profile,) = self.read(name, disk=disk)
        assert profile.problem == ""
        return [(each.kind, each.key, each.value) for each in profile.settings]

    def problem(self, name: str) -> str:
        (profile,) = self.read(name)
        assert profile.settings == ()
        return profile.problem


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# --- what a profile says


def test_sections_of_a_profile_are_read_with_their_types(machine: Machine) -> None:
    machine.has(
        "brisk",
        """
        # a comment
        [main]
        summary=For tests
        [sysctl]
        vm.dirty_ratio = 40   # with its reason
        net.ipv4.tcp_rmem="4096 131072 16777216"
        [my_disks]
        type=disk
        readahead=>4096
        [vm]
        dirty_bytes = 30%
        transparent_hugepages=never
        """.replace("        ", ""),
    )
    assert machine.says("brisk") == [
        ("sysctl", "vm.dirty_ratio", "40"),
        ("sysctl", "net.ipv4.tcp_rmem", "4096 131072 16777216"),
        ("disk", "readahead", ">4096"),
        ("vm", "dirty_bytes", "30%"),
        ("vm", "transparent_hugepages", "never"),
    ]


def test_what_is_included_comes_first_and_is_overridden(machine: Machine) -> None:
    machine.has("base", "[sysctl]\nvm.swappiness=10\nvm.dirty_ratio=40\n[vm]\ntransparent_hugepages=always\n")
    machine.has("middle", "[main]\ninclude=base\n[sysctl]\nvm.swappiness=20\n")
    machine.has("top", "[main]\ninclude = middle, base\n[sysctl]\nvm.dirty_ratio=20\n[vm]\nreplace=1\ndirty_bytes=5%\n")
    assert machine.says("top") == [
        ("sysctl", "vm.swappiness", "20"), ("sysctl", "vm.dirty_ratio", "20"), ("vm", "dirty_bytes", "5%"),
    ]  # fmt: skip


def test_the_administrators_profile_wins_and_may_include_the_one_it_hides(machine: Machine) -> None:
    machine.has("brisk", "[sysctl]\nvm.swappiness=10\nvm.dirty_ratio=40\n")
    machine.has("brisk", "[main]\ninclude=brisk\n[sysctl]\nvm.swappiness=1\n", OWN)
    assert machine.says("brisk") == [("sysctl", "vm.dirty_ratio", "40"), ("sysctl", "vm.swappiness", "1")]


def test_profiles_may_be_one_folder_deeper(machine: Machine) -> None:
    machine.has("old", "[sysctl]\nvm.swappiness=10\n")
    machine.has("new", "[sysctl]\nvm.swappiness=20\n", f"{SHIPPED}/profiles")
    assert machine.says("new") == [("sysctl", "vm.swappiness", "20")]
    assert machine.read("old") == ()


def test_what_depends_on_something_is_left_out(machine: Machine) -> None:
    machine.has(
        "clever",
        "[variables]\ncores=1-3\n"
        "[sysctl]\nvm.swappiness=${swap}\nkernel.x=${f:exec:id}\nvm.dirty_ratio=40\nkernel.core_pattern=|/bin/x %p\n"
        "[sysctl.thunder]\ntype=sysctl\nuname_regex=aarch64\nkernel.numa_balancing=0\n"
        "[off]\ntype=sysctl\nenabled=false\nvm.page-cluster=0\n"
        "[cpu]\ngovernor=conservative|powersave\nenergy_performance_preference=performance\n"
        "[script]\nscript=${i:PROFILE_DIR}/script.sh\n",
    )
    assert machine.says("clever") == [
        ("sysctl", "vm.dirty_ratio", "40"),
        ("cpu", "energy_performance_preference", "performance"),
    ]


@pytest.mark.parametrize(
    ("devices", "disk", "meant"),
    [
        ("sd*, vd*", "vda", True), ("sd*", "vda", False), ("!dm-*, !sda1", "vda", True), ("*", "vda", True),
        ("vd*,!vda", "vda", False), ("*", "", False),
    ],
)  # fmt: skip
def test_a_section_for_some_disks_counts_when_it_means_this_one(
    machine: Machine, devices: str, disk: str, meant: bool
) -> None:
    machine.has("disks", f"[disk]\ndevices={devices}\nelevator=none\n")
    assert machine.says("disks", disk) == ([("disk", "elevator", "none")] if meant else [])


# --- which profiles


def test_the_active_profile_comes_first_and_once(machine: Machine) -> None:
    machine.has("brisk", "[sysctl]\nvm.swappiness=10\n")
    machine.has("guest", "[sysctl]\nvm.swappiness=30\n")
    machine.uses("guest")
    assert [(each.name, each.active) for each in machine.read("brisk", "absent", "guest", "brisk")] == [
        ("guest", True), ("brisk", False),
    ]  # fmt: skip


def test_several_active_ones_are_one_and_the_last_counts_most(machine: Machine) -> None:
    machine.has("brisk", "[sysctl]\nvm.swappiness=10\nvm.dirty_ratio=40\n")
    machine.has("guest", "[sysctl]\nvm.swappiness=30\n")
    machine.uses("brisk guest")
    (profile,) = machine.read()
    assert (profile.name, profile.active) == ("brisk guest", True)
    assert [each.value for each in profile.settings] == ["40", "30"]


def test_a_machine_without_tuned_has_none(tmp_path: Path) -> None:
    assert read_profiles(("throughput-performance",), "vda", str(tmp_path)) == ()
    assert simulated_target().profiles(("throughput-performance",)) == ()


def test_the_local_target_reads_them_below_its_root(machine: Machine) -> None:
    machine.has("brisk", "[sysctl]\nvm.swappiness=10\n")
    (profile,) = LocalTarget(root=str(machine.root)).profiles(("brisk",))
    assert profile.name == "brisk"


def test_an_active_profile_that_is_gone_is_none(machine: Machine) -> None:
    machine.uses("gone")
    assert machine.read() == ()


# --- broken and hostile ones


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vm.swappiness=10\n", "is not understood: it is no INI file"),
        ("[sysctl]\nvm.swappiness\n", "is not understood: it is no INI file"),
        (b"[sysctl]\nvm.swappiness=\xff\n", "is not understood: it is no text"),
        (f"[sysctl]\n#{'x' * LARGEST_FILE}\n", "it has more than 65536 bytes"),
        ("[main]\ninclude=absent\n", "'absent', which it needs, is not installed"),
        ("[main]\ninclude=../../../etc/shadow\n", "'../../../etc/shadow', which it needs, is not installed"),
        ("[main]\ninclude=a\x1b[31m\n", "'a', which it needs, is not installed"),
        ("[main]\ninclude=${f:virt_check:guest:host}\n", "which only TuneD can work out"),
    ],
)
def test_a_broken_profile_says_why(machine: Machine, text: str | bytes, words: str) -> None:
    machine.has("broken", text)
    problem = machine.problem("broken")
    assert words in problem
    assert problem.isprintable()


def test_what_may_be_missing_is_not_missed(machine: Machine) -> None:
    machine.has("openminded", "[main]\ninclude=-absent\n[sysctl]\nvm.swappiness=10\n")
    assert machine.says("openminded") == [("sysctl", "vm.swappiness", "10")]


def test_a_circle_ends(machine: Machine) -> None:
    machine.has("egg", "[main]\ninclude=hen\n[sysctl]\nvm.swappiness=10\n")
    machine.has("hen", "[main]\ninclude=egg\n[sysctl]\nvm.dirty_ratio=40\n")
    assert machine.says("egg") == [("sysctl", "vm.dirty_ratio", "40"), ("sysctl", "vm.swappiness", "10")]


def test_an_endless_chain_ends(machine: Machine) -> None:
    for number in range(MOST_FILES + 1):
        machine.has(f"p{number}", f"[main]\ninclude=p{number + 1}\n")
    assert machine.problem("p0") == f"it includes more than {MOST_FILES} others"


def test_a_pipe_is_not_waited_for(machine: Machine) -> None:
    file = machine.has("pipe", "")
    file.unlink()
    os.mkfifo(file)
    assert "it is no regular file" in machine.problem("pipe")
    file.unlink()
    file.symlink_to("/dev/zero")
    assert "it is no regular file" in machine.problem("pipe")


def test_links_that_lead_nowhere_are_no_profiles(machine: Machine) -> None:
    folder = machine.root / SHIPPED / "round"
    folder.symlink_to(folder)
    assert machine.read("round") == ()
    (machine.root / OWN / "tuned-main.conf").write_text("profile_dirs = /a\0b\n")
    assert machine.read("brisk") == ()


def test_a_name_that_is_a_path_is_no_profile(machine: Machine) -> None:
    machine.has("brisk", "[sysctl]\nvm.swappiness=10\n")
    assert machine.read("../tuned/brisk", "", ".", "..", "brisk/", "a\nb") == ()
    machine.uses("../lib brisk \x1b]0;x\x07")
    (profile,) = machine.read()
    assert profile.problem == "'../lib', which it needs, is not installed"
    assert profile.name.isprintable()
