"""How each knob stands on a machine, and why one cannot be tuned there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from knobctl.knobs import Catalogue, Knob, KnobState, UnknownKnob
from knobctl.target.probing import probe
from tests.agent.conftest import catalogue, root
from tests.agent.fake_kernel import FileKernel

__all__ = ["catalogue", "root"]

COMMON = {"summary": "s", "why": "w", "source": "Documentation"}


def state(root: Path, catalogue: Catalogue, name: str) -> KnobState:
    return probe(FileKernel(catalogue, str(root)), [name])[catalogue[name].name]


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
    found = probe(kernel, ["block.read_ahead_kb"])["block.read_ahead_kb"]
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


@pytest.mark.parametrize("text", ["", "a lot", "1.5"])
def test_a_text_that_is_no_value(root: Path, catalogue: Catalogue, text: str) -> None:
    (root / "proc/sys/vm/swappiness").write_text(text + "\n")
    found = state(root, catalogue, "vm.swappiness")
    assert not found.writable
    assert found.reason.startswith("not understood: vm.swappiness: ")


def test_an_unknown_name_is_an_error_and_all_is_the_default(root: Path, catalogue: Catalogue) -> None:
    kernel = FileKernel(catalogue, str(root))
    with pytest.raises(UnknownKnob):
        probe(kernel, ["vm.nothing"])
    assert list(probe(kernel)) == [knob.name for knob in catalogue]


def test_a_link_in_place_of_a_file_is_not_read(root: Path, catalogue: Catalogue) -> None:
    path = root / "proc/sys/vm/swappiness"
    path.rename(root / "elsewhere")
    path.symlink_to(root / "elsewhere")
    assert state(root, catalogue, "vm.swappiness").reason == f"cannot be read: {os.strerror(errno.ELOOP)}"
