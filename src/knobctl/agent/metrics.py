"""Machine metrics over a benchmark run: two readings of the kernel's counters in, differences out."""

import os
import re
import time
from typing import Dict, List, Optional, Tuple

_SECTOR = 512
_MIB = 1024 * 1024


class Sampler:
    """Collects machine metrics from its creation to :meth:`finish`. Call :meth:`tick` about once a second.

    Args:
        disk: Name of the block device whose traffic counts; empty for none.
        root: Folder that holds ``proc``.
    """

    def __init__(self, disk: str, root: str = "/") -> None:
        self._disk = disk
        self._root = root
        self._started = time.monotonic()
        self._first = self._counters()
        self._gauges: List[Tuple[float, float, float]] = []
        self.tick()

    def tick(self) -> None:
        """Reads what has no counter: memory in use, dirty memory, run queue."""
        memory = _pairs(self._text("proc/meminfo"))
        total = memory.get("MemTotal:", 0) or 1
        used = 100.0 * (total - memory.get("MemAvailable:", total)) / total
        dirty = 100.0 * (memory.get("Dirty:", 0) + memory.get("Writeback:", 0)) / total
        running = _pairs(self._text("proc/stat")).get("procs_running", 1) - 1
        self._gauges.append((used, dirty, float(max(0, running))))

    def finish(self) -> Dict[str, float]:
        """The metrics, by the names of ``target.metrics``; those that this kernel does not offer are left out."""
        self.tick()
        seconds = max(1e-6, time.monotonic() - self._started)
        last = self._counters()
        change = {name: last[name] - before for name, before in self._first.items() if name in last}
        metrics = {}
        cpu = {name: change[name] for name in change if name.startswith("cpu.")}
        total = sum(cpu.values())
        if total > 0:
            metrics["iowait"] = 100.0 * cpu["cpu.iowait"] / total
            metrics["steal"] = 100.0 * cpu["cpu.steal"] / total
            metrics["cpu_user"] = 100.0 * (cpu["cpu.user"] + cpu["cpu.nice"]) / total
            metrics["cpu_system"] = 100.0 * (cpu["cpu.system"] + cpu["cpu.irq"] + cpu["cpu.softirq"]) / total
            metrics["cpu_utilization"] = 100.0 * (total - cpu["cpu.idle"] - cpu["cpu.iowait"]) / total
        for resource in ("cpu", "io", "memory"):
            if "pressure." + resource in change:
                metrics[resource + "_pressure"] = min(100.0, change["pressure." + resource] / 1e4 / seconds)
        for name, counters in _RATES.items():
            if all(counter in change for counter in counters):
                metrics[name] = sum(change[counter] for counter in counters) / seconds
        if "disk.read" in change:
            metrics["disk_read"] = change["disk.read"] * _SECTOR / _MIB / seconds
            metrics["disk_write"] = change["disk.write"] * _SECTOR / _MIB / seconds
            metrics["disk_utilization"] = min(100.0, change["disk.busy"] / 10.0 / seconds)
        for position, name in enumerate(("memory_utilization", "dirty_memory", "run_queue")):
            metrics[name] = sum(gauge[position] for gauge in self._gauges) / len(self._gauges)
        return {name: round(max(0.0, value), 6) for name, value in metrics.items()}

    def _counters(self) -> Dict[str, float]:
        counters: Dict[str, float] = {}
        stat = self._text("proc/stat")
        for line in stat.splitlines():
            if line.startswith("cpu "):
                counters.update({"cpu." + name: float(value) for name, value in zip(_CPU_FIELDS, line.split()[1:])})
        counters["ctxt"] = _pairs(stat).get("ctxt", 0.0)
        vmstat = _pairs(self._text("proc/vmstat"))
        counters.update({name: vmstat[name] for name in ("pgmajfault", "pswpin", "pswpout") if name in vmstat})
        for resource in ("cpu", "io", "memory"):
            waited = _some_total(self._text("proc/pressure/" + resource))
            if waited is not None:
                counters["pressure." + resource] = waited
        for line in self._text("proc/diskstats").splitlines() if self._disk else ():
            fields = line.split()
            if len(fields) > 12 and fields[2] == self._disk:
                counters["disk.read"], counters["disk.write"] = float(fields[5]), float(fields[9])
                counters["disk.busy"] = float(fields[12])
        return counters

    def _text(self, path: str) -> str:
        try:
            with open(os.path.join(self._root, path), encoding="ascii", errors="replace") as handle:
                return handle.read()
        except OSError:
            return ""


_CPU_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_RATES = {"major_faults": ("pgmajfault",), "swap_rate": ("pswpin", "pswpout"), "context_switches": ("ctxt",)}


def _pairs(text: str) -> Dict[str, float]:
    lines = [line.split() for line in text.splitlines()]
    return {line[0]: float(line[1]) for line in lines if len(line) > 1 and line[1].lstrip("-").isdigit()}


def _some_total(text: str) -> Optional[float]:
    """Microseconds in which some task waited, from a pressure file (Documentation/accounting/psi.rst)."""
    found = re.search("^some .*total=([0-9]+)", text, re.MULTILINE)
    return float(found.group(1)) if found else None
