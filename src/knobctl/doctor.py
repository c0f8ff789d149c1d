"""A look at the machine in, findings out: what is missing, what would disturb a measurement, what to do about it."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from knobctl.agent.places import Places
from knobctl.errors import KnobctlError, NotPermitted
from knobctl.persist import installing
from knobctl.persist.installing import Installed
from knobctl.persist.small_root import AGENT_FILE, SUDOERS_FILE, TIMER
from knobctl.store import Store
from knobctl.target import HostFacts, tuners
from knobctl.target.local import LocalTarget
from knobctl.target.pack import PERMANENT
from knobctl.target.standing import has_journal
from knobctl.target.tuners import Tuner
from knobctl.workload.registry import adapters

LEAST_FREE_BYTES = 3 << 30
"""Room that a database or a file benchmark needs in the work folder."""

LOADED = 0.3
"""Share of the cores that other work may use before it disturbs a measurement."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ``ok``, ``note`` (good to know), ``warning`` (measurements suffer) or ``problem`` (a run is impossible).
        subject: What was looked at.
        text: What was found.
        advice: What to do about it; empty when there is nothing to do.
    """

    level: str
    subject: str
    text: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def examine(target: LocalTarget, workdir: str) -> list[Finding]:
    """Everything that can be said before a run. Changes nothing on the machine."""
    facts = target.facts()
    states = target.probe()
    tunable = sum(state.writable for state in states.values())
    return [
        Finding("ok", "machine", _describe(facts)),
        _rights(target),
        Finding(
            "ok" if tunable else "problem", "knobs", f"{tunable} of {len(states)} knobs exist and can be tuned here"
        ),
        *_tools(target),
        *_tuners(target.root),
        *_small_root(target.root),
        *_left_behind(target),
        _record(),
        *_room(workdir),
        *_noise(facts, Path(target.root)),
    ]


def _describe(facts: HostFacts) -> str:
    memory = facts.memory_bytes / 2**30
    parts = [
        facts.distribution, f"Linux {facts.kernel}", f"{facts.cores} cores", f"{memory:.1f} GiB memory",
        f"{facts.swap_bytes / 2**30:.1f} GiB swap" if facts.swap_bytes else "no swap",
        f"disk {facts.disk} ({facts.disk_kind or 'unknown kind'})" if facts.disk else "no disk under the work folder",
        f"virtualization: {facts.virtualization}",
    ]  # fmt: skip
    return ", ".join(parts)


def _rights(target: LocalTarget) -> Finding:
    obstacle = target.obstacle()
    if obstacle:
        return Finding("problem", "rights", obstacle, "Run as root or with sudo, or use --target simulated.")
    if os.geteuid() == 0:
        return Finding("ok", "rights", "root")
    if target.obstacle(PERMANENT):
        return Finding("ok", "rights", "runs need no password; `apply` and `rollback` need root")
    return Finding("ok", "rights", "sudo works without a password")


def _tools(target: LocalTarget) -> list[Finding]:
    found = []
    manager = "apt" if shutil.which("apt-get") else "dnf"
    for adapter in adapters():
        path = target.which(adapter.program)
        if path:
            found.append(Finding("ok", adapter.program, path))
        else:
            package = adapter.packages.get(manager, "")
            install = f"{'apt-get' if manager == 'apt' else 'dnf'} install {package}" if package else ""
            found.append(Finding("note", adapter.program, f"not installed ({adapter.title})", install))
    return found


def _tuners(root: str) -> list[Finding]:
    found = tuners.running(root)
    setters = [tuner for tuner in found if tuner.owns]
    return [
        *map(_setter, setters),
        *([] if setters else [Finding("ok", "other tuners", "none is running")]),
        *(
            Finding("note", tuner.title, f"is running: it {tuner.does}, and sets no knob")
            for tuner in found
            if not tuner.owns
        ),
    ]


def _setter(tuner: Tuner) -> Finding:
    everything = "*" in tuner.owns
    what = "may set any knob" if everything else f"sets {', '.join(tuner.owns)}"
    return Finding(
        "problem" if everything else "warning",
        tuner.title,
        f"is running and {what}; a run that tunes {'anything' if everything else 'one of them'} is refused",
        f"Pause it for a run: `{tuner.pause}`, and afterwards `{tuner.resume}`; or use --force.",
    )


def _small_root(root: str) -> list[Finding]:
    """What ``doctor --fix`` has installed."""
    installed = installing.look(root)
    return [
        _agent(installed),
        _rule(installed),
        *([_timer(installed)] if installed.timer != "no systemd" else []),
    ]


def _agent(installed: Installed) -> Finding:
    subject, replace = "installed agent", "`sudo knobctl doctor --fix` replaces it."
    match installed.agent:
        case "current":
            return Finding("ok", subject, AGENT_FILE)
        case "outdated":
            return Finding("warning", subject, f"{AGENT_FILE} is another version's and is not used", replace)
        case "unsafe":
            return Finding(
                "warning", subject, f"{AGENT_FILE} or a folder above it can be changed by others than root",
                "`sudo knobctl doctor --fix` says what to do.",
            )  # fmt: skip
        case _:
            return Finding(
                "note", subject, "none: to change knobs, knobctl needs root or a sudo that asks nothing",
                "`sudo knobctl doctor --fix` lets one user tune without either.",
            )  # fmt: skip


def _rule(installed: Installed) -> Finding:
    subject, again = "sudo rule", "`sudo knobctl doctor --fix` writes it anew."
    who = " and ".join(installed.users)
    match installed.rule:
        case "absent":
            return Finding("note", subject, "none")
        case "hidden":
            return Finding("note", subject, f"only root can see what {SUDOERS_FILE} says")
        case "outdated":
            return Finding("warning", subject, f"{SUDOERS_FILE} is not as knobctl writes it", again)
        case _ if installed.agent == "absent":
            return Finding("warning", subject, f"{who} may start an agent that is not installed", again)
        case _:
            return Finding("ok", subject, f"{who} may start the agent without a password")


def _timer(installed: Installed) -> Finding:
    subject, advice = "restore timer", "`sudo knobctl doctor --fix` installs and starts it."
    match installed.timer:
        case "current":
            return Finding("ok", subject, "a run that is cut off is put back within about a minute")
        case "absent":
            return Finding("note", subject, "none: after a run that is cut off, `knobctl restore` is up to you", advice)
        case state:
            words = "is not as knobctl writes it" if state == "outdated" else "is there, but not enabled"
            return Finding("warning", subject, f"{TIMER} {words}", advice)


def _left_behind(target: LocalTarget) -> list[Finding]:
    advice = "See `knobctl status`; `knobctl restore` finishes a run that was cut off."
    try:
        there = has_journal(Places(target.root))
    except NotPermitted as error:
        return [Finding("warning", "journal", error.message, error.hint)]
    return [Finding("warning", "journal", "a run is going on, or was cut off", advice)] if there else []


def _record() -> Finding:
    try:
        with Store() as store:
            return Finding("ok", "record", str(store.path))
    except KnobctlError as error:
        return Finding("problem", "record", error.message, error.hint)


def _room(workdir: str) -> list[Finding]:
    try:
        free = shutil.disk_usage(workdir).free
    except OSError as error:
        return [Finding("problem", "work folder", f"{workdir}: {error.strerror}", "Choose another with --workdir.")]
    text = f"{free / 2**30:.1f} GiB free in {workdir}"
    if free < LEAST_FREE_BYTES:
        return [Finding("warning", "work folder", text, "Free some space, or choose another with --workdir.")]
    return [Finding("ok", "work folder", text)]


def _noise(facts: HostFacts, root: Path) -> list[Finding]:
    found = []
    load = _load(root)
    if load > LOADED * facts.cores:
        found.append(
            Finding("warning", "load", f"load average {load:.1f} on {facts.cores} cores", "Wait for a quieter moment.")
        )
    if facts.virtualization.startswith("vm"):
        found.append(
            Finding("note", "virtual machine", "neighbours on the host add noise of 5 to 20 percent",
                    "Expect small effects to need many pairs; pin the machine's CPUs where you can.")
        )  # fmt: skip
    if facts.cores == 1:
        found.append(Finding("warning", "cores", "benchmark and service share one core", ""))
    if facts.swap_bytes and _pages_swapped(root):
        found.append(Finding("warning", "swap", "memory was swapped out", "Free memory before a measurement."))
    if not (root / "proc/pressure/memory").exists():
        found.append(
            Finding("note", "pressure", "this kernel has no pressure-stall information",
                    "Boot with psi=1 to have it in rewards and reports.")
        )  # fmt: skip
    return found or [Finding("ok", "noise", "no source of noise in sight")]


def _load(root: Path) -> float:
    """Runnable and waiting tasks, averaged over the last minute (proc_loadavg(5)); 0 when it cannot be read."""
    try:
        return float((root / "proc/loadavg").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0


def _pages_swapped(root: Path) -> bool:
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    values = {line.partition(":")[0]: int(line.split()[1]) for line in lines if len(line.split()) > 1}
    return values.get("SwapTotal", 0) - values.get("SwapFree", 0) > 64 * 1024
