"""Kernel files: how each knob stands on a machine, and why one cannot be tuned there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from knobctl.agent.kernel import Kernel, disk_under, explain, quantities
from knobctl.knobs import Catalogue, Knob, KnobState, UnknownKnob
from tests.agent.fake_kernel import FileKernel

COMMON = {"summary": "s", "why": "w", "source": "Documentation"}


def state(root: Path, catalogue: Catalogue, name: str) -> KnobState:
    return FileKernel(catalogue, str(root)).probe([name])[catalogue[name].name]


def test_a_knob_that_can_be_tuned(root: Path, catalogue: Catalogue) -> None:
    assert state(root, catalogue, "swappiness") == KnobState(
        "vm.swappiness", True, True, 60, "60", ("/proc/sys/vm/swappiness",)
    )


def test_a_field_of_a_vector_has_its_own_value(root: Path, catalogue: Catalogue) -> None:
    found = state(root, catalogue, "net.ipv4.tcp_wmem[default]")
    assert (found.value, found.raw) == (16384, "4096\t16384\t4194304")


def test_a_choice_shows_what_this_kernel_offers(root: Path, catalogue: Catalogue) -> None:
    (root / "sys/kernel/mm/transparent_hugepage/enabled").write_text("[always] never deny\n")
    found = state(root, catalogue, "thp.enabled")
    assert (found.value, found.choices, found.writable) == ("always", ("always", "never"), True)


def test_a_knob_behind_several_files_has_them_all(root: Path, catalogue: Catalogue) -> None:
    found = state(root, catalogue, "cpufreq.governor")
    folder = "/sys/devices/system/cpu/cpufreq/"
    assert found.paths == (folder + "policy0/scaling_governor", folder + "policy1/scaling_governor")
    assert found.value == "powersave", "that of the first one"


@pytest.mark.parametrize(
    ("versions", "reason"),
    [
        ({}, "absent in this kernel"),
        ({"until": "5.13"}, "absent in this kernel: gone since Linux 5.13"),
        ({"since": "6.6"}, "absent in this kernel: exists since Linux 6.6, depending on how it was built"),
        ({"since": "3.2", "until": "5.13"}, "absent in this kernel: gone since Linux 5.13"),
    ],
)
def test_an_absent_knob_says_since_when(root: Path, versions: dict[str, str], reason: str) -> None:
    record = {"name": "vm.other", "path": "/proc/sys/vm/other", "kind": "integer", "minimum": 0, "maximum": 9, **COMMON}
    catalogue = Catalogue([Knob.from_record({**record, **versions})])
    assert state(root, catalogue, "vm.other") == KnobState("vm.other", False, False, reason=reason)


def test_a_disk_knob_without_a_disk_says_so(root: Path, catalogue: Catalogue) -> None:
    kernel = FileKernel(catalogue, str(root))
    kernel.disk = ""
    found = kernel.probe(["block.read_ahead_kb"])["block.read_ahead_kb"]
    assert (found.present, found.reason) == (False, "no block device under the work folder")


def test_a_forbidden_knob_is_shown_and_never_writable(root: Path, catalogue: Catalogue) -> None:
    found = state(root, catalogue, "kernel.randomize_va_space")
    assert (found.present, found.writable, found.value) == (True, False, 2)
    assert found.reason == "never tuned: turns off a defence against attacks"


def test_a_read_only_file_is_not_writable(root: Path, catalogue: Catalogue) -> None:
    (root / "proc/sys/vm/swappiness").chmod(0o444)
    found = state(root, catalogue, "vm.swappiness")
    assert (found.present, found.writable, found.value) == (True, False, 60)
    assert found.reason == "read-only in this kernel"


def test_one_read_only_file_of_several_is_enough(root: Path, catalogue: Catalogue) -> None:
    (root / "sys/devices/system/cpu/cpufreq/policy1/scaling_governor").chmod(0o444)
    assert state(root, catalogue, "cpufreq.governor").reason == "read-only in this kernel"


@pytest.mark.parametrize("offered", ["[never]", "[never] unheard-of"])
def test_a_choice_without_an_alternative_cannot_be_tuned(root: Path, catalogue: Catalogue, offered: str) -> None:
    (root / "sys/kernel/mm/transparent_hugepage/enabled").write_text(offered + "\n")
    found = state(root, catalogue, "thp.enabled")
    assert (found.present, found.writable, found.reason) == (True, False, "this kernel offers no alternative")


def test_a_file_that_cannot_be_read(root: Path, catalogue: Catalogue) -> None:
    path = root / "proc/sys/vm/swappiness"
    path.unlink()
    path.mkdir()
    found = state(root, catalogue, "vm.swappiness")
    assert (found.present, found.writable) == (False, False)
    assert found.reason == "cannot be read: Is a directory"


def test_a_link_in_place_of_a_file_is_not_followed(root: Path, catalogue: Catalogue) -> None:
    path, elsewhere = root / "proc/sys/vm/swappiness", root / "elsewhere"
    path.unlink()
    elsewhere.write_text("60\n")
    path.symlink_to(elsewhere)
    assert state(root, catalogue, "vm.swappiness").reason == f"cannot be read: {os.strerror(errno.ELOOP)}"
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        Kernel(catalogue, str(root)).write("/proc/sys/vm/swappiness", "10")
    assert elsewhere.read_text() == "60\n"


@pytest.mark.parametrize("text", ["", "a lot", "1.5"])
def test_a_text_that_is_no_value(root: Path, catalogue: Catalogue, text: str) -> None:
    (root / "proc/sys/vm/swappiness").write_text(text + "\n")
    found = state(root, catalogue, "vm.swappiness")
    assert not found.writable
    assert found.reason.startswith("not understood: vm.swappiness: ")


def test_an_unknown_name_is_an_error_and_all_is_the_default(root: Path, catalogue: Catalogue) -> None:
    kernel = FileKernel(catalogue, str(root))
    with pytest.raises(UnknownKnob):
        kernel.probe(["vm.nothing"])
    assert list(kernel.probe()) == [knob.name for knob in catalogue]


def test_a_value_that_cannot_be_read_is_none_as_text_and_an_error_as_value(root: Path, catalogue: Catalogue) -> None:
    kernel = Kernel(catalogue, str(root))
    assert kernel.text("/proc/sys/vm/gone") is None
    with pytest.raises(FileNotFoundError):
        kernel.value(catalogue["vm.gone"])


def test_a_write_is_the_text_and_a_newline_in_place_of_what_was_there(root: Path, catalogue: Catalogue) -> None:
    Kernel(catalogue, str(root)).write("/proc/sys/vm/swappiness", "7")
    assert (root / "proc/sys/vm/swappiness").read_bytes() == b"7\n"


def test_a_write_never_makes_a_file(root: Path, catalogue: Catalogue) -> None:
    with pytest.raises(FileNotFoundError):
        Kernel(catalogue, str(root)).write("/proc/sys/vm/gone", "7")
    assert not (root / "proc/sys/vm/gone").exists()


def device_of(folder: Path) -> str:
    device = folder.stat().st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def test_the_disk_is_the_whole_one_under_the_folder(root: Path, tmp_path: Path) -> None:
    disk = root / "sys/devices/virtual/block/sdb"
    (disk / "queue").mkdir(parents=True)
    (disk / "sdb1").mkdir()
    (disk / "sdb1/partition").write_text("1\n")
    (root / "sys/dev/block").mkdir(parents=True)
    (root / "sys/dev/block" / device_of(tmp_path)).symlink_to(disk / "sdb1")
    assert disk_under(str(tmp_path), str(root)) == "sdb"


def test_no_disk_where_there_is_none(root: Path, tmp_path: Path) -> None:
    assert disk_under(str(tmp_path), str(root)) == "", "a file system in memory, for instance"
    assert disk_under(str(tmp_path / "nowhere"), str(root)) == ""


def test_the_kernels_answer_in_words() -> None:
    assert explain(OSError(errno.EINVAL, "Invalid argument")) == "Invalid argument (EINVAL)"
    assert explain(OSError("no number")) == "no number"


def test_quantities_follow_from_the_facts() -> None:
    facts = {"memory_bytes": 4 << 30, "page_bytes": 16384, "cores": 3}
    assert quantities(facts) == {
        "memory_bytes": 4 << 30, "memory_kib": 4 << 20, "memory_pages": 1 << 18, "cores": 3,
    }  # fmt: skip
