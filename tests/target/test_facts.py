"""What a machine is, read from an invented one."""

from __future__ import annotations

import os
import platform
from dataclasses import fields
from pathlib import Path

import pytest

from knobctl.target.base import HostFacts
from knobctl.target.facts import collect

FILES = {
    "proc/meminfo": "MemTotal:       16384000 kB\nMemFree: 1 kB\nSwapTotal:       2048 kB\nHugePages_Total: 0\n",
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Example   CPU  @ 3.00GHz\nflags\t\t: fpu vme hypervisor lm\n",
    "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n",
    "etc/os-release": 'NAME="Example"\nPRETTY_NAME="Example Linux 12 (quiet)"\nID=example\n',
    "sys/block/vda/queue/rotational": "1\n",
    "proc/7/comm": "bash\n",
}


def make(root: Path, **changes: str) -> str:
    for name, text in {**FILES, **{name.replace("__", "/"): text for name, text in changes.items()}}.items():
        if text:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    return str(root)


def test_all_facts_of_a_machine(tmp_path: Path) -> None:
    assert collect("vda", make(tmp_path)) == {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "distribution": "Example Linux 12 (quiet)",
        "cpu_model": "Example CPU @ 3.00GHz",
        "cores": os.cpu_count(),
        "memory_bytes": 16384000 * 1024,
        "swap_bytes": 2048 * 1024,
        "page_bytes": os.sysconf("SC_PAGE_SIZE"),
        "virtualization": "vm",
        "disk": "vda",
        "disk_kind": "rotational",
        "boot_id": "11111111-2222-3333-4444-555555555555",
        "tuners": [],
    }


def test_they_are_the_facts_that_a_target_knows(tmp_path: Path) -> None:
    facts = collect("vda", make(tmp_path))
    assert set(facts) == {field.name for field in fields(HostFacts)} - {"simulated"}


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    facts = collect("", str(tmp_path))
    assert (facts["distribution"], facts["cpu_model"], facts["memory_bytes"]) == ("Linux", "", 0)
    assert (facts["disk"], facts["disk_kind"], facts["boot_id"], facts["tuners"]) == ("", "", "", [])
    assert facts["virtualization"] == "none"


@pytest.mark.parametrize(("text", "kind"), [("0\n", "solid-state"), ("1\n", "rotational"), ("?\n", ""), ("", "")])
def test_the_kind_of_disk(tmp_path: Path, text: str, kind: str) -> None:
    assert collect("vda", make(tmp_path, sys__block__vda__queue__rotational=text))["disk_kind"] == kind


@pytest.mark.parametrize(
    ("vendor", "product", "expected"),
    [
        ("QEMU", "Standard PC (Q35 + ICH9, 2009)", "vm (qemu)"),
        ("Red Hat", "KVM", "vm (kvm)"),
        ("VMware, Inc.", "VMware Virtual Platform", "vm (vmware)"),
        ("innotek GmbH", "VirtualBox", "vm (virtualbox)"),
        ("Xen", "HVM domU", "vm (xen)"),
        ("Dell Inc.", "PowerEdge R740", "vm"),
    ],
)
def test_virtual_machines(tmp_path: Path, vendor: str, product: str, expected: str) -> None:
    root = make(tmp_path, sys__class__dmi__id__sys_vendor=vendor, sys__class__dmi__id__product_name=product)
    assert collect("", root)["virtualization"] == expected


def test_containers_and_bare_metal(tmp_path: Path) -> None:
    root = make(tmp_path, proc__cpuinfo="model name : Example CPU\nflags : fpu lm\n")
    assert collect("", root)["virtualization"] == "none"
    (tmp_path / ".dockerenv").touch()
    assert collect("", root)["virtualization"] == "container"


def test_tuners_are_those_that_set_knobs(tmp_path: Path) -> None:
    root = make(tmp_path, proc__41__comm="tuned\n", proc__42__comm="atuned\n", proc__43__comm="irqbalance\n")
    assert collect("", root)["tuners"] == ["A-Tune", "tuned"]
