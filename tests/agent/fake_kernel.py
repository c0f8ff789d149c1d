"""A small kernel made of plain files, with a catalogue of its own."""

from __future__ import annotations

from knobctl.agent.kernel import Kernel
from knobctl.knobs import Catalogue

FILES = {
    "proc/sys/vm/swappiness": "60",
    "proc/sys/vm/dirty_ratio": "20",
    "proc/sys/vm/dirty_bytes": "0",
    "proc/sys/vm/min_free_kbytes": "67584",
    "proc/sys/net/ipv4/tcp_wmem": "4096\t16384\t4194304",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "sys/block/vda/queue/read_ahead_kb": "128",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "powersave",
    "sys/devices/system/cpu/cpufreq/policy1/scaling_governor": "performance",
    "sys/devices/system/cpu/cpufreq/policy0/energy_performance_preference": "balance_performance",
    "sys/devices/system/cpu/cpufreq/policy1/energy_performance_preference": "performance",
    "sys/devices/system/cpu/intel_pstate/min_perf_pct": "90",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "0",
    "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555",
    "proc/sys/kernel/randomize_va_space": "2",
    "proc/meminfo": "MemTotal: 4194304 kB\nMemAvailable: 2097152 kB\nSwapTotal: 0 kB\nDirty: 0 kB\nWriteback: 0 kB",
}

_COMMON = {"summary": "s", "why": "w", "source": "Documentation"}
RECORDS = {
    "knob": [
        {
            "name": "vm.swappiness", "path": "/proc/sys/vm/swappiness", "kind": "integer", "minimum": 0,
            "maximum": 100, "aliases": ["swappiness"], **_COMMON,
        },
        {
            "name": "vm.dirty_ratio", "path": "/proc/sys/vm/dirty_ratio", "kind": "integer", "minimum": 1,
            "maximum": 80, "twin": "vm.dirty_bytes", **_COMMON,
        },
        {
            "name": "vm.dirty_bytes", "path": "/proc/sys/vm/dirty_bytes", "kind": "integer", "minimum": 8192,
            "maximum": 1 << 30, "twin": "vm.dirty_ratio", **_COMMON,
        },
        {
            "name": "vm.min_free_kbytes", "path": "/proc/sys/vm/min_free_kbytes", "kind": "integer",
            "minimum": 16384, "maximum": 262144, "risk": "caution", "risk_reason": "reserved memory", **_COMMON,
        },
        {
            "name": "net.ipv4.tcp_wmem[default]", "path": "/proc/sys/net/ipv4/tcp_wmem", "kind": "integer",
            "field": 1, "minimum": 4096, "maximum": 1 << 20, **_COMMON,
        },
        {
            "name": "net.ipv4.tcp_wmem[max]", "path": "/proc/sys/net/ipv4/tcp_wmem", "kind": "integer", "field": 2,
            "minimum": 65536, "maximum": 1 << 25, **_COMMON,
        },
        {
            "name": "thp.enabled", "path": "/sys/kernel/mm/transparent_hugepage/enabled", "kind": "choice",
            "choices": ["always", "madvise", "never"], "affects": ["vm.min_free_kbytes"], **_COMMON,
        },
        {
            "name": "block.read_ahead_kb", "path": "/sys/block/{disk}/queue/read_ahead_kb", "kind": "integer",
            "minimum": 0, "maximum": 16384, "step": 4, **_COMMON,
        },
        {
            "name": "cpufreq.governor", "path": "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
            "kind": "choice", "choices": ["performance", "powersave", "schedutil"],
            "affects": ["cpufreq.energy_performance_preference"], **_COMMON,
        },
        {
            "name": "cpufreq.energy_performance_preference",
            "path": "/sys/devices/system/cpu/cpufreq/policy*/energy_performance_preference",
            "kind": "choice", "choices": ["performance", "balance_performance", "power"], **_COMMON,
        },
        {
            "name": "intel_pstate.min_perf_pct", "path": "/sys/devices/system/cpu/intel_pstate/min_perf_pct",
            "kind": "integer", "minimum": 1, "maximum": 100, **_COMMON,
        },
        {
            "name": "intel_pstate.no_turbo", "path": "/sys/devices/system/cpu/intel_pstate/no_turbo",
            "kind": "integer", "minimum": 0, "maximum": 1, "affects": ["intel_pstate.min_perf_pct"], **_COMMON,
        },
        {
            "name": "kernel.randomize_va_space", "path": "/proc/sys/kernel/randomize_va_space", "kind": "integer",
            "risk": "forbidden", "risk_reason": "turns off a defence against attacks", **_COMMON,
        },
        {
            "name": "vm.gone", "path": "/proc/sys/vm/gone", "kind": "integer", "minimum": 0, "maximum": 9,
            "until": "5.13", **_COMMON,
        },
    ]
}  # fmt: skip
QUANTITIES = {"memory_bytes": 4 << 30, "memory_kib": 4 << 20, "memory_pages": 1 << 20, "cores": 2}


BESIDE = {
    "/proc/sys/vm/dirty_ratio": "/proc/sys/vm/dirty_bytes",
    "/proc/sys/vm/dirty_bytes": "/proc/sys/vm/dirty_ratio",
    "/sys/kernel/mm/transparent_hugepage/enabled": "/proc/sys/vm/min_free_kbytes",
    "/sys/devices/system/cpu/intel_pstate/no_turbo": "/sys/devices/system/cpu/intel_pstate/min_perf_pct",
    **{
        f"/sys/devices/system/cpu/cpufreq/policy{number}/scaling_governor":
        f"/sys/devices/system/cpu/cpufreq/policy{number}/energy_performance_preference"
        for number in (0, 1)
    },
}  # fmt: skip
"""The file that the kernel changes by itself when one is written."""

TURBO_OFF_PCT = 80
"""The nominal clock in percent of the highest: without turbo, the lowest clock cannot be above it, and stays there."""


class Crash(BaseException):
    """The process that writes is gone, as after ``kill -9``."""


class FileKernel(Kernel):
    """Plain files that behave like the kernel where it matters: twins, brackets, side effects, rounding.

    Attributes:
        refuse: What every write to a path is answered with.
        refusals: What the next writes to a path are answered with, one each.
        crooked: What the next writes to a path leave in place of what they were given, one each.
        crash_in: Writes until the writing process is gone; None for never.
        crash_late: It is gone after the write that counts has acted, and not before.
        dead: It is gone: whatever it asks for next, it is not there to get it.
        log: Every write that was not refused.
    """

    def __init__(self, catalogue: Catalogue, root: str) -> None:
        super().__init__(catalogue, root)
        self.disk = "vda"
        self.refuse: dict[str, OSError] = {}
        self.refusals: dict[str, list[OSError]] = {}
        self.crooked: dict[str, list[str]] = {}
        self.crash_in: int | None = None
        self.crash_late = False
        self.dead = False
        self.log: list[tuple[str, str]] = []

    def read(self, path: str) -> str:
        if self.dead:
            raise Crash
        return super().read(path)

    def write(self, path: str, text: str) -> None:
        if self.crash_in is not None:
            self.crash_in -= 1
            self.dead = self.crash_in < 0
        if self.dead and not self.crash_late:
            raise Crash
        if path in self.refuse:
            raise self.refuse[path]
        if self.refusals.get(path):
            raise self.refusals[path].pop()
        self.log.append((path, text))
        self.store(path, self.crooked[path].pop() if self.crooked.get(path) else text)
        if self.dead:
            raise Crash

    def revive(self) -> None:
        """Another process goes on, and nothing kills that one."""
        self.crash_in, self.crash_late, self.dead = None, False, False

    def store(self, path: str, text: str) -> None:
        """What the kernel makes of a write, whoever writes; an administrator's shell writes here."""
        beside = BESIDE.get(path, "")
        if path.endswith("dirty_bytes") and text == "0":
            raise OSError(22, "Invalid argument")
        if path.endswith(("dirty_ratio", "dirty_bytes")):
            super().write(beside, "0")
        elif path.endswith("transparent_hugepage/enabled"):
            super().write(beside, "67584" if text == "never" else "90112")
            text = " ".join(f"[{word}]" if word == text else word for word in ("always", "madvise", "never"))
        elif path.endswith("scaling_governor") and text == "performance":
            super().write(beside, "performance")
        elif path.endswith("energy_performance_preference"):
            governor = path.replace("energy_performance_preference", "scaling_governor")
            if text != "performance" and self.text(governor) == "performance":
                raise OSError(16, "Device or resource busy")
        elif path.endswith("no_turbo") and text == "1":
            super().write(beside, str(min(TURBO_OFF_PCT, int(self.read(beside)))))
        elif path.endswith("min_perf_pct") and self.text(path.replace("min_perf_pct", "no_turbo")) == "1":
            text = str(min(TURBO_OFF_PCT, int(text)))
        elif path.endswith("read_ahead_kb"):
            text = str(int(text) // 4 * 4)
        elif path.endswith("tcp_wmem"):
            text = "\t".join(text.split())
        super().write(path, text)

    def snapshot(self) -> dict[str, str]:
        """Text of every knob's files."""
        return {path: self.read(path) for knob in self.catalogue for path in self.files(knob)}
