"""Machine metrics that an agent samples over a run: names, units, how to normalise them, and what people call them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MachineMetric:
    """One machine metric, always a difference or a mean over the run.

    Attributes:
        name: Canonical name.
        unit: Unit of the value.
        ceiling: Value that maps to 1 in an observation (0 maps to 0, larger values are clipped).
        summary: What it is.
        source: The kernel file that it comes from.
        synonyms: Other names that people and models use.
    """

    name: str
    unit: str
    ceiling: float
    summary: str
    source: str
    synonyms: tuple[str, ...] = ()


MACHINE_METRICS = (
    MachineMetric("cpu_utilization", "percent", 100, "share of CPU time that was not idle", "/proc/stat",
                  ("cpu_usage", "cpu_percent", "cpu", "cpu_util", "cpu_utilisation", "cpu_load")),
    MachineMetric("cpu_user", "percent", 100, "share of CPU time in user mode", "/proc/stat",
                  ("user_cpu", "user_time")),
    MachineMetric("cpu_system", "percent", 100, "share of CPU time in the kernel", "/proc/stat",
                  ("system_cpu", "sys_time", "kernel_time", "system_time")),
    MachineMetric("iowait", "percent", 100, "share of CPU time idle while waiting for a disk", "/proc/stat",
                  ("io_wait", "cpu_iowait", "iowait_percent", "io_wait_percent", "disk_wait")),
    MachineMetric("steal", "percent", 100, "share of CPU time that the hypervisor gave to others", "/proc/stat",
                  ("cpu_steal", "steal_time")),
    MachineMetric("memory_utilization", "percent", 100, "memory in use, page cache not counted", "/proc/meminfo",
                  ("memory_used_percent", "memory_usage", "mem_usage", "memory", "memory_percent", "ram_usage",
                   "memory_utilisation", "mem_used", "memory_used")),
    MachineMetric("dirty_memory", "percent", 20, "memory waiting to be written back, share of total", "/proc/meminfo",
                  ("dirty_pages", "dirty")),
    MachineMetric("cpu_pressure", "percent", 100, "share of time in which some task waited for a CPU",
                  "/proc/pressure/cpu", ("psi_cpu", "cpu_psi")),
    MachineMetric("io_pressure", "percent", 100, "share of time in which some task waited for a disk",
                  "/proc/pressure/io", ("psi_io", "io_psi", "disk_pressure")),
    MachineMetric("memory_pressure", "percent", 100, "share of time in which some task waited for memory",
                  "/proc/pressure/memory", ("psi_memory", "memory_psi", "mem_pressure")),
    MachineMetric("major_faults", "per second", 1000, "page faults that needed a disk", "/proc/vmstat",
                  ("major_page_faults", "majflt", "page_faults")),
    MachineMetric("swap_rate", "pages per second", 1000, "pages swapped in and out", "/proc/vmstat",
                  ("swap", "swap_usage", "swapping", "swap_io")),
    MachineMetric("context_switches", "per second", 200_000, "context switches", "/proc/stat",
                  ("context_switch_rate", "ctxt", "ctx_switches")),
    MachineMetric("disk_read", "MiB per second", 2000, "read from the disk under the work folder", "/proc/diskstats",
                  ("disk_read_rate", "disk_reads", "read_throughput")),
    MachineMetric("disk_write", "MiB per second", 2000, "written to the disk under the work folder", "/proc/diskstats",
                  ("disk_write_rate", "disk_writes", "write_throughput", "disk_io")),
    MachineMetric("disk_utilization", "percent", 100, "share of time in which the disk was busy", "/proc/diskstats",
                  ("disk_util", "disk_usage", "disk_busy")),
    MachineMetric("run_queue", "tasks", 64, "mean number of runnable tasks", "/proc/stat",
                  ("load", "load_average", "loadavg", "load_avg", "procs_running")),
)  # fmt: skip
"""All machine metrics, in the order in which they appear everywhere."""

DEFAULT_STATE = ("cpu_utilization", "iowait", "memory_utilization", "memory_pressure", "io_pressure", "steal")
"""Observed when a plan does not say otherwise."""

_BY_NAME = {name: metric for metric in MACHINE_METRICS for name in (metric.name, *metric.synonyms)}


def find_machine_metric(name: str) -> MachineMetric | None:
    """The metric of this name or synonym (case and hyphens do not matter), or None."""
    return _BY_NAME.get(name.strip().lower().replace("-", "_").replace(" ", "_"))
