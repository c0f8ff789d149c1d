"""What the machine is, from ``/proc`` and ``/sys``: numbers and names of parts, never host names or addresses."""

import os
import platform
from typing import Any, Dict, List

TUNERS = {
    "tuned": "tuned", "bpftune": "bpftune", "atuned": "A-Tune", "keentuned": "KeenTune", "oeaware": "oeAware",
    "tlp": "TLP", "ktuned": "ktuned", "ksmtuned": "ksmtuned",
}  # fmt: skip
"""Process names of programs that write kernel settings by themselves."""


def collect(disk: str, root: str = "/") -> Dict[str, Any]:
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
        "boot_id": boot_id(root),
        "tuners": running_tuners(root),
    }


def boot_id(root: str = "/") -> str:
    """Random identifier of this boot; empty when the kernel does not tell."""
    return _text(root, "proc/sys/kernel/random/boot_id")


def running_tuners(root: str = "/") -> List[str]:
    """Programs that are running now and write kernel settings by themselves."""
    found = set()
    try:
        pids = [name for name in os.listdir(os.path.join(root, "proc")) if name.isdigit()]
    except OSError:
        return []
    for pid in pids:
        name = _text(root, "proc/%s/comm" % pid)
        if name in TUNERS:
            found.add(TUNERS[name])
    return sorted(found)


def _text(root: str, path: str) -> str:
    try:
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as handle:
            return handle.read().strip()
    except OSError:
        return ""


def _meminfo(root: str) -> Dict[str, int]:
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
            return "vm (%s)" % word
    if " hypervisor " in " %s " % _text(root, "proc/cpuinfo").replace("\n", " "):
        return "vm"
    marks = (".dockerenv", "run/.containerenv")
    return "container" if any(os.path.exists(os.path.join(root, mark)) for mark in marks) else "none"


def _disk_kind(disk: str, root: str) -> str:
    rotational = _text(root, "sys/block/%s/queue/rotational" % disk) if disk else ""
    return {"1": "rotational", "0": "solid-state"}.get(rotational, "")
