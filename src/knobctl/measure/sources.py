"""What a machine did during the preflight in, the sources of noise that can be seen in it out, with what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from knobctl import stats
from knobctl.events import Trial

STEAL_PERCENT = 5.0
"""More CPU time than this taken by the hypervisor's other guests is worth a warning."""

BUSY_PERCENT = 15.0
"""A machine this busy before the benchmark has even started is somebody else's too."""

DIP = 0.5
"""A second counts as a dip when its score is below this part of the run's median."""

DIPS_SHARE = 0.04
"""Dips in more than this share of all seconds are a pattern: something stops the benchmark from time to time."""

_SWAPPED_PAGES = 1.0


def noise_sources(
    trials: Sequence[Trial], idle: Mapping[str, float] | None = None, jobs: Sequence[str] = ()
) -> tuple[str, ...]:
    """One sentence for each source of noise that can be seen, each with what to do about it.

    Args:
        trials: Runs of the default configuration.
        idle: Machine metrics over some seconds in which this run did nothing; None when nobody looked.
        jobs: Names of running programs that are known to disturb measurements.
    """
    return tuple(
        text for text in (_steal(trials), _load(idle or {}), _swap(trials), _dips(trials), _jobs(jobs)) if text
    )


def _steal(trials: Sequence[Trial]) -> str:
    steal = max((trial.machine.get("steal", 0.0) for trial in trials), default=0.0)
    if steal < STEAL_PERCENT:
        return ""
    return (
        f"the hypervisor gave {steal:.0f} % of the CPU time to other guests: expect to need more pairs, or measure "
        "at a quieter hour."
    )


def _load(idle: Mapping[str, float]) -> str:
    busy = idle.get("cpu_utilization", 0.0)
    if busy < BUSY_PERCENT:
        return ""
    return (
        f"the processors were {busy:.0f} % busy while no benchmark ran: find out with `top` what else works here, and "
        "stop it or wait for it."
    )


def _swap(trials: Sequence[Trial]) -> str:
    pages = max((trial.machine.get("swap_rate", 0.0) for trial in trials), default=0.0)
    if pages < _SWAPPED_PAGES:
        return ""
    return f"{pages:.0f} pages per second were swapped: free memory, or make the benchmark's data smaller."


def _dips(trials: Sequence[Trial]) -> str:
    seconds = dips = struck = 0
    for trial in trials:
        values = sorted(value for _, value in trial.samples)
        if not values:
            continue
        low = sum(value < DIP * values[len(values) // 2] for value in values)
        seconds, dips, struck = seconds + len(values), dips + low, struck + (low > 0)
    if not seconds or dips <= DIPS_SHARE * seconds or 2 * struck <= len(trials):
        return ""
    written = stats.mean([trial.machine["disk_write"] for trial in trials if "disk_write" in trial.machine])
    disk = f" while {written:.0f} MiB/s were written" if written else ""
    return (
        f"in {dips} of {seconds} seconds the score fell below half of its usual value{disk}: checkpoints or writeback "
        "interrupt the benchmark; longer runs average over them."
    )


def _jobs(jobs: Sequence[str]) -> str:
    if not jobs:
        return ""
    names = ", ".join(jobs)
    return (
        f"{names} {'is' if len(jobs) == 1 else 'are'} running, started by cron, a timer or a person: wait for the end."
    )
