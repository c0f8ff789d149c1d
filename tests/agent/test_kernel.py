"""Kernel files: reading, writing, the disk under a folder, and what is never set."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from knobctl.agent.kernel import Kernel, disk_under, explain
from knobctl.agent.protocol import AgentError
from knobctl.knobs import Catalogue
from tests.agent.fake_kernel import QUANTITIES


def test_a_link_in_place_of_a_file_is_not_followed(root: Path, catalogue: Catalogue) -> None:
    path, elsewhere = root / "proc/sys/vm/swappiness", root / "elsewhere"
    path.unlink()
    elsewhere.write_text("60\n")
    path.symlink_to(elsewhere)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        Kernel(catalogue, str(root)).write("/proc/sys/vm/swappiness", "10")
    assert elsewhere.read_text() == "60\n"


def test_on_a_real_machine_only_files_of_the_kernel_are_written(catalogue: Catalogue, tmp_path: Path) -> None:
    ordinary = tmp_path / "swappiness"
    ordinary.write_text("60\n")
    with pytest.raises(OSError, match="not in a file system of the kernel's"):
        Kernel(catalogue).write(str(ordinary), "10")
    assert ordinary.read_text() == "60\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vm.nothing", "unknown knob"),
        ("kernel.randomize_va_space", "kernel.randomize_va_space is never tuned: turns off a defence against attacks"),
        (None, "unknown knob"),
    ],
)
def test_what_is_not_in_the_catalogue_or_forbidden_is_never_tunable(
    root: Path, catalogue: Catalogue, name: object, words: str
) -> None:
    with pytest.raises(AgentError, match=words):
        Kernel(catalogue, str(root)).tunable(name)


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


def test_the_quantities_of_the_machine_and_its_boot(root: Path, catalogue: Catalogue) -> None:
    kernel = Kernel(catalogue, str(root))
    page = os.sysconf("SC_PAGE_SIZE")
    expected = {**QUANTITIES, "memory_pages": (4 << 30) // page, "cores": os.cpu_count()}
    assert kernel.quantities() == expected
    assert kernel.boot_id() == "11111111-2222-3333-4444-555555555555"


def test_a_machine_that_tells_nothing_has_no_memory(catalogue: Catalogue, tmp_path: Path) -> None:
    kernel = Kernel(catalogue, str(tmp_path))
    assert kernel.quantities()["memory_bytes"] == 0
    assert kernel.boot_id() == ""
