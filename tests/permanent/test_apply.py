"""Permanence: live values and drop-ins together or not at all, and a rollback that undoes exactly that."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from knobctl.permanent.apply import apply, rollback
from knobctl.agent.places import Places
from knobctl.agent.protocol import AgentError
from knobctl.knobs import Value
from tests.agent.fake_kernel import QUANTITIES, FileKernel

DATE = "2026-01-02 03:04 UTC"


def do(kernel: FileKernel, places: Places, session: str = "first", **values: Value) -> dict[str, object]:
    names = {"swappiness": "vm.swappiness", "dirty_ratio": "vm.dirty_ratio", "thp": "thp.enabled",
             "wmem": "net.ipv4.tcp_wmem[max]", "read_ahead": "block.read_ahead_kb"}  # fmt: skip
    knobs = {kernel.catalogue[names[name]]: value for name, value in values.items()}
    return apply(kernel, places, knobs, QUANTITIES, session, DATE)


def settings(path: str) -> list[str]:
    return [line for line in Path(path).read_text().splitlines() if line and not line.startswith("#")]


def test_values_are_live_and_in_both_drop_ins(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, swappiness=10, wmem=8388608, thp="always", read_ahead=512)
    assert kernel.read("/proc/sys/vm/swappiness") == "10"
    assert settings(places.sysctl) == ["vm.swappiness = 10", "net.ipv4.tcp_wmem = 4096 16384 8388608"]
    assert settings(places.tmpfiles) == [
        "w /sys/kernel/mm/transparent_hugepage/enabled - - - - always",
        "w /sys/block/vda/queue/read_ahead_kb - - - - 512",
    ]
    header = Path(places.sysctl).read_text()
    assert "session first" in header
    assert DATE in header
    assert "knobctl rollback" in header


def test_rollback_undoes_live_values_and_files(kernel: FileKernel, places: Places) -> None:
    before = kernel.snapshot()
    do(kernel, places, swappiness=10, thp="always", dirty_ratio=40)
    answer = rollback(kernel, places)
    assert answer["session"] == "first"
    assert kernel.snapshot() == before
    for path in (places.sysctl, places.tmpfiles, places.applied):
        assert not Path(path).exists()


def test_rollback_gives_back_the_administrators_own_file_and_face(kernel: FileKernel, places: Places) -> None:
    Path(places.sysctl).parent.mkdir(parents=True)
    Path(places.sysctl).write_text("# mine\nvm.swappiness = 33\n")
    kernel.write("/proc/sys/vm/dirty_bytes", "268435456")
    do(kernel, places, dirty_ratio=40)
    rollback(kernel, places)
    assert Path(places.sysctl).read_text() == "# mine\nvm.swappiness = 33\n"
    assert kernel.read("/proc/sys/vm/dirty_bytes") == "268435456"
    assert kernel.read("/proc/sys/vm/dirty_ratio") == "0"


def test_applies_stack_and_each_rollback_undoes_the_last(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, swappiness=10)
    do(kernel, places, "second", swappiness=20, dirty_ratio=40)
    assert settings(places.sysctl) == ["vm.swappiness = 20", "vm.dirty_ratio = 40"]
    assert rollback(kernel, places)["session"] == "second"
    assert settings(places.sysctl) == ["vm.swappiness = 10"]
    assert kernel.read("/proc/sys/vm/swappiness") == "10"
    rollback(kernel, places)
    assert kernel.read("/proc/sys/vm/swappiness") == "60"
    with pytest.raises(AgentError, match="nothing is applied"):
        rollback(kernel, places)


def test_a_value_that_the_administrator_changed_since_is_left_alone(kernel: FileKernel, places: Places) -> None:
    do(kernel, places, swappiness=10)
    kernel.write("/proc/sys/vm/swappiness", "5")
    report = rollback(kernel, places)["knobs"]
    assert [entry["outcome"] for entry in report] == ["drifted"]
    assert kernel.read("/proc/sys/vm/swappiness") == "5"


def test_a_refused_value_leaves_everything_as_it_was(kernel: FileKernel, places: Places) -> None:
    before = kernel.snapshot()
    kernel.refuse["/proc/sys/vm/dirty_ratio"] = OSError(errno.EINVAL, "Invalid argument")
    with pytest.raises(AgentError, match=r"the kernel refused vm.dirty_ratio = 40: Invalid argument \(EINVAL\)"):
        do(kernel, places, swappiness=10, dirty_ratio=40)
    kernel.refuse.clear()
    assert kernel.snapshot() == before
    assert not Path(places.sysctl).exists()
    assert not Path(places.applied).exists()


def test_a_drop_in_that_cannot_be_written_leaves_everything_as_it_was(kernel: FileKernel, places: Places) -> None:
    before = kernel.snapshot()
    Path(places.sysctl).parent.parent.mkdir(parents=True)
    Path(places.sysctl).parent.write_text("a file where the folder should be")
    with pytest.raises(AgentError, match="cannot write"):
        do(kernel, places, swappiness=10)
    assert kernel.snapshot() == before
    assert not Path(places.applied).exists()


def test_a_value_outside_the_safe_range_is_refused(kernel: FileKernel, places: Places) -> None:
    with pytest.raises(AgentError, match=r"vm.swappiness = 200 is outside its safe range"):
        do(kernel, places, swappiness=200)
    assert kernel.log == []
