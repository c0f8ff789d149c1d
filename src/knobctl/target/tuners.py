"""Process names in, the programs among them that disturb a run out: what each of them sets, and how to pause it.

A program that sets a knob of the plan would disturb the run, and the run it; one that sets none of the catalogue's
knobs, such as a nightly job, only makes measurements noisier.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

_COMM_LENGTH = 15
"""TASK_COMM_LEN without its final zero byte: all that the kernel keeps of a process's name (proc_pid_comm(5))."""

_INTERPRETER = re.compile(r"python[0-9.]*|perl[0-9.]*|(ba|da|k)?sh")
_FOLLOWED_BY_A_VALUE = ("-W", "-X")


@dataclass(frozen=True)
class Tuner:
    """A program that tunes a running machine by itself.

    Attributes:
        title: What people call it.
        processes: Names that its process may have.
        owns: Patterns of the knobs that it sets while it runs; empty when it sets none of the catalogue's.
        service: Its systemd service; empty when it is not to be stopped.
        does: For one that owns nothing: how a measurement may notice it.
        job: It runs now and then, and ends by itself: a job of cron, of a timer or of a person.
    """

    title: str
    processes: tuple[str, ...]
    owns: tuple[str, ...]
    service: str = ""
    does: str = ""
    job: bool = False

    @property
    def pause(self) -> str:
        """The command that pauses it; empty when there is none to recommend."""
        return f"systemctl stop {self.service}" if self.service else ""

    @property
    def resume(self) -> str:
        """The command that undoes :attr:`pause`."""
        return f"systemctl start {self.service}" if self.service else ""

    def owned(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the knobs that it sets, in the given order."""
        return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in self.owns))


_CPU = ("cpufreq.*", "intel_pstate.*")

TUNERS = (
    # Profiles with plugins for sysctl, vm, cpu, disk and scheduler, and free `[sysfs]` sections.
    Tuner("tuned", ("tuned",), ("*",), "tuned"),
    # Its tuners are about buffers, backlogs, neighbours, fragments and congestion control (docs/bpftune-*.rst).
    Tuner("bpftune", ("bpftune",), ("net.*",), "bpftune"),
    # Profiles of sysctl, sysfs and scripts.
    Tuner("A-Tune", ("atuned",), ("*",), "atuned"),
    Tuner("KeenTune", ("keentuned", "keentune-target"), ("*",), "keentuned"),
    # Plugins decide; its own ones set the CPU's governor, huge pages and kernel.timer_migration.
    Tuner("oeAware", ("oeaware",), ("*",), "oeaware"),
    # The predecessor of tuned: a sysctl file and the disk's scheduler.
    Tuner("ktuned", ("ktuned",), ("*",), "ktuned"),
    # CPU_*, DISK_IOSCHED, MAX_LOST_WORK_SECS and NMI_WATCHDOG of tlp.conf. It acts when it starts and when the power
    # supply changes; what stays and listens is tlp-pd.
    Tuner(
        "TLP", ("tlp", "tlp-pd"),
        (*_CPU, "block.scheduler", "fs.xfs.xfssyncd_centisecs", "kernel.nmi_watchdog", "vm.dirty_expire_centisecs",
         "vm.dirty_writeback_centisecs"), "tlp",
    ),
    Tuner("power-profiles-daemon", ("power-profiles-daemon",), ("cpufreq.*",), "power-profiles-daemon"),
    Tuner("auto-cpufreq", ("auto-cpufreq",), _CPU, "auto-cpufreq"),
    # Sets and ends; seen only when a run begins at that moment.
    Tuner("cpupower", ("cpupower",), _CPU, "cpupower"),
    # set_max_lost_work() and pstate_values() of its profiles.
    Tuner(
        "system76-power", ("system76-power",),
        (*_CPU, "vm.dirty_expire_centisecs", "vm.dirty_writeback_centisecs"), "system76-power",
    ),
    # KSM_NPAGES_* and KSM_SLEEP_MSEC of ksmtuned.conf, and whether ksm runs at all.
    Tuner("ksmtuned", ("ksmtuned",), ("ksm.*",), "ksmtuned"),
    # Turns ksm on when it starts and off when it ends; what it marks as mergeable is no knob.
    Tuner("uksmd", ("uksmd",), ("ksm.run",), "uksmd"),
    # Moves processes and memory; sets how often huge pages are looked for (numad(8), option -H).
    Tuner("numad", ("numad",), ("khugepaged.scan_sleep_millisecs",), "numad"),
    # /proc/irq/*/smp_affinity only.
    Tuner("irqbalance", ("irqbalance",), (), "irqbalance", "moves interrupts between the cores"),
    # Power limits, intel_pstate/max_perf_pct and the cooling of thermal zones; it keeps the machine from harm.
    Tuner("thermald", ("thermald",), (), "", "slows the processor down when it gets hot"),
    Tuner("earlyoom", ("earlyoom",), (), "", "kills a program when memory runs short, perhaps the benchmark"),
    Tuner("systemd-oomd", ("systemd-oomd",), (), "", "kills a program when memory runs short, perhaps the benchmark"),
    *(
        Tuner(title, processes, (), "", does, job=True)
        for title, processes, does in (
            ("updatedb", ("updatedb", "updatedb.plocate", "updatedb.mlocat"), "reads every folder"),
            ("apt", ("apt-get", "apt", "unattended-upgr", "dpkg"), "installs packages"),
            ("dnf", ("dnf", "dnf5", "yum", "packagekitd"), "installs packages or fetches their lists"),
            ("mandb", ("mandb",), "reads the manual pages"),
            ("fstrim", ("fstrim",), "trims the file systems"),
            ("e2scrub", ("e2scrub", "e2scrub_all", "xfs_scrub"), "checks a file system"),
            ("clamscan", ("clamscan", "freshclam"), "reads files for viruses"),
            ("rsync", ("rsync",), "copies files"),
            ("restic", ("restic", "borg"), "backs files up"),
            ("pg_dump", ("pg_dump", "pg_basebackup"), "reads a whole database"),
            ("logrotate", ("logrotate",), "compresses logs"),
        )
    ),
)  # fmt: skip


def running(root: str = "/") -> tuple[Tuner, ...]:
    """Those that run now, by title.

    Args:
        root: Folder that holds ``proc``.
    """
    names = set(_process_names(Path(root, "proc")))
    found = [tuner for tuner in TUNERS if any(name[:_COMM_LENGTH] in names for name in tuner.processes)]
    return tuple(sorted(found, key=lambda tuner: tuner.title))


def named(title: str) -> Tuner:
    """The tuner of this title. One that the table does not have, as in an old record, may set anything."""
    known = (tuner for tuner in TUNERS if tuner.title == title)
    return next(known, Tuner(title, (title,), ("*",)))


def jobs(titles: Sequence[str]) -> tuple[str, ...]:
    """Those of these titles that are jobs: they disturb a measurement and end by themselves."""
    return tuple(tuner.title for tuner in map(named, titles) if tuner.job)


def in_the_way(titles: Sequence[str], names: Sequence[str]) -> tuple[tuple[Tuner, tuple[str, ...]], ...]:
    """Which of these tuners set which of these knobs; those that set none are left out."""
    found = ((tuner, tuner.owned(names)) for tuner in map(named, titles))
    return tuple((tuner, owned) for tuner, owned in found if owned)


def _process_names(proc: Path) -> Iterator[str]:
    """The name of each process, and of the script that it interprets."""
    try:
        folders = [entry for entry in proc.iterdir() if entry.name.isdigit()]
    except OSError:
        return
    for folder in folders:
        try:
            name = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
            if _INTERPRETER.fullmatch(name):
                words = (folder / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
                name = _script(words[1:])
        except OSError:
            continue  # it ended in between
        if name:
            yield name[:_COMM_LENGTH]


def _script(words: Sequence[str]) -> str:
    """File name of the script in an interpreter's arguments; empty when it runs something else."""
    arguments = iter(words)
    for word in arguments:
        if word in _FOLLOWED_BY_A_VALUE:
            next(arguments, "")
        elif not word.startswith("-"):
            return Path(word).name
        elif not word.startswith("--") and word[-1:] in "cm":
            return ""  # a line of code, or a module
    return ""
