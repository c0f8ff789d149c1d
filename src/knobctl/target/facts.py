"""What the machine is, from ``/proc`` and ``/sys``: numbers and names of parts, never host names or addresses."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from knobctl.target import tuners


def collect(disk: str, root: str = "/") -> dict[str, Any]:
    """All facts, as plain JSON types; the keys are those of ``target.HostFacts``."""
    memory = _meminfo(root)
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "distribution": _distribution(root),
        "cpu_model": _cpu_model(root),
        "cores": os.cpu_count() or 1,
        "memory_bytes": memory.get("MemTotal", 0) * 1024,
        "swap_bytes": memory.get("SwapTotal", 0) * 1024,
        "page_bytes": os.sysconf("SC_PAGE_SIZE"),
        "virtualization": _virtualization(root),
        "disk": disk,
        "disk_kind": _disk_kind(disk, root),
        "boot_id": _text(root, "proc/sys/kernel/random/boot_id"),
        "tuners": [tuner.title for tuner in tuners.running(root) if tuner.owns],
    }


def _text(root: str, path: str) -> str:
    try:
        return Path(root, path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _meminfo(root: str) -> dict[str, int]:
    found = {}
    for line in _text(root, "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()
        if number and number[0].isdigit():
            found[name] = int(number[0])
    return found


def _distribution(root: str) -> str:
    for line in _text(root, "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return "Linux"


def _cpu_model(root: str) -> str:
    for line in _text(root, "proc/cpuinfo").splitlines():
        if line.lower().startswith(("model name", "hardware", "cpu model")):
            return " ".join(line.partition(":")[2].split())
    return ""


def _virtualization(root: str) -> str:
    product = (_text(root, "sys/class/dmi/id/sys_vendor") + " " + _text(root, "sys/class/dmi/id/product_name")).lower()
    for word in ("qemu", "kvm", "vmware", "virtualbox", "xen", "microsoft", "amazon", "google", "openstack"):
        if word in product:
            return f"vm ({word})"
    if " hypervisor " in " %s " % _text(root, "proc/cpuinfo").replace("\n", " "):
        return "vm"
    marks = (".dockerenv", "run/.containerenv")
    return "container" if any(Path(root, mark).exists() for mark in marks) else "none"


def _disk_kind(disk: str, root: str) -> str:
    rotational = _text(root, f"sys/block/{disk}/queue/rotational") if disk else ""
    return {"1": "rotational", "0": "solid-state"}.get(rotational, "")
