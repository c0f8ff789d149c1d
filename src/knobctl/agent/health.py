"""The health guard: a few files of ``/proc`` about once a second in, the first sign of a machine in trouble out.

It watches for what a knob or a benchmark can do to everything else on the machine: memory that runs out, processes
that the kernel kills for want of it, swapping, a full disk, an agent that is kept from running. CPU and I/O pressure
are no signals: a benchmark loads the CPU and waits for the disk on purpose. A signal whose file is missing or cannot
be read is not available; the others go on.
"""

import math
import os
import re
import time
from collections import deque
from typing import Callable, Deque, Mapping, NamedTuple, Optional, Sequence, Tuple

from knobctl.agent.protocol import BAD_REQUEST, AgentError

_MIB = 1024.0 * 1024.0
_PAGES_PER_MIB = _MIB / os.sysconf("SC_PAGE_SIZE")

FLOORS = {"memory": (64 * _MIB, 0.02, 1024 * _MIB), "disk": (256 * _MIB, 0.01, 2048 * _MIB)}
"""At least, share of the whole, at most. ``memory`` that is available: 64 MiB on a machine of 1 GiB, where 2 % would
hold neither a login nor the agent; 2 % from 3 GiB on; 1 GiB from 50 GiB on, which is room to act in however large the
machine is (2 % of 2 TiB would be 41 GiB). ``disk`` that an ordinary user may fill: 256 MiB, so that journal, logs and
databases can go on writing; 1 % from 25 GiB on; 2 GiB from 200 GiB on."""

TENTH = 0.1
"""A floor is at most a tenth of the whole: a small machine or file system that is idle is not in trouble. And memory
pressure counts while less than a tenth is available: a benchmark that reads more file data than memory holds makes
tasks wait for memory too, as the kernel counts it, with most of the memory available."""

WINDOW_SECONDS = 5.0
"""Pressure and swapping are judged over so long at least: a burst of reclaim is over sooner."""

CEILINGS = {"pressure": 50.0, "swap": 128.0, "lag": 10.0}
"""``pressure``: percent of the time in which all tasks that were not idle waited for memory (``full``,
Documentation/accounting/psi.rst); at half, the machine reclaims more than it works. ``swap``: MiB/s in and out; more
than half a GiB within the window is a working set that does not fit, not idle pages that leave once. ``lag``: seconds
between two looks, of which one is due every second; a machine that keeps its root agent waiting for ten of them does
not answer its users either."""

_WORDS = {
    "oom": "the kernel killed a process for want of memory (%s)",
    "memory": "available memory %s is below %s",
    "disk": "%s is below %s",
    "pressure": "all tasks waited for memory %s (at most %s)",
    "swap": "swapping at %s (at most %s)",
    "lag": "the agent was kept from its work for %s (at most %s)",
}


class Trip(NamedTuple):
    """What tripped: ``oom``, ``memory``, ``disk``, ``pressure``, ``swap`` or ``lag``, and texts with units."""

    signal: str
    value: str
    limit: str = ""

    @property
    def words(self) -> str:
        """One sentence for people."""
        return _WORDS[self.signal] % (self[1:] if self.limit else self.value)


class Guard:
    """Looks at one machine. Make one when a session opens, and call :meth:`look` about once a second.

    Args:
        root: Folder that holds ``proc``.
        folders: Their file systems must keep some free space; a folder that does not exist is ignored.
        now: Seconds from an arbitrary start.
        stricter: Limits of one's own: ceilings in their units, floors in MiB. One that is laxer than the guard's
            changes nothing.

    Raises:
        AgentError: A name in ``stricter`` is unknown, or its limit makes no sense.
    """

    def __init__(self, root: str, folders: Sequence[str], now: Callable[[], float] = time.monotonic,
                 stricter: Optional[Mapping[str, float]] = None) -> None:  # fmt: skip
        own = dict(stricter or {})
        for name, limit in own.items():
            if name not in {**FLOORS, **CEILINGS} or not 0 <= limit <= 1e9:
                raise AgentError(BAD_REQUEST, "no such health limit: %s = %s" % (name, limit))
        self._root, self._folders, self._now, self._own = root, tuple(folders), now, own
        self._kills = self._figure("vmstat", "oom_kill ")
        self._window: Deque[Tuple[float, float, float]] = deque()
        self.rest()

    def rest(self) -> None:
        """Forgets the time since the last look and the windows: for after something that kept the agent busy.

        A process that the kernel killed meanwhile is not forgotten.
        """
        self._looked = self._now()
        self._window.clear()

    def look(self) -> Optional[Trip]:
        """The first signal that trips now, or None. A trip is told once: after it the guard has rested."""
        now, kills = self._now(), self._figure("vmstat", "oom_kill ")
        late, self._looked = now - self._looked, now
        killed, self._kills = kills - self._kills, kills
        waited = self._figure("pressure/memory", "full .*total=") / 1e4
        swapped = self._figure("vmstat", "pswpin |pswpout ") / _PAGES_PER_MIB
        trip = Trip("oom", "OOM kills: %d" % killed) if killed > 0 else self.shortage()
        trip = trip or self._excess(now, waited, swapped, late)
        if trip is not None:
            self.rest()
        return trip

    def shortage(self) -> Optional[Trip]:
        """Memory or disk space that is below its floor already; needs no earlier look."""
        rooms = [("memory", "", *self._memory())]
        for folder in self._folders:
            try:
                disk = os.statvfs(folder)
            except OSError:
                continue
            sizes = float(disk.f_bavail * disk.f_frsize), float(disk.f_blocks * disk.f_frsize)
            rooms.append(("disk", " free in " + folder, *sizes))
        for signal, where, free, whole in rooms:
            least, share, most = FLOORS[signal]
            floor = max(min(max(least, share * whole), most, TENTH * whole), self._own.get(signal, 0.0) * _MIB)
            if free < floor:
                return Trip(signal, "%d MiB%s" % (free // _MIB, where), "%d MiB" % math.ceil(floor / _MIB))
        return None

    def _excess(self, now: float, waited: float, swapped: float, late: float) -> Optional[Trip]:
        self._window.append((now, waited, swapped))
        while len(self._window) > 1 and now - self._window[1][0] >= WINDOW_SECONDS:
            self._window.popleft()
        began, waited_before, swapped_before = self._window[0]
        seconds = now - began if now - began >= WINDOW_SECONDS else math.inf
        available, total = self._memory()
        share = (waited - waited_before) / seconds if available < TENTH * total else 0.0
        for signal, value, unit, when in (
            ("pressure", share, " %", " of the last %.0f s" % seconds),
            ("swap", (swapped - swapped_before) / seconds, " MiB/s", " for %.0f s" % seconds),
            ("lag", late, " s", ""),
        ):
            ceiling = min(CEILINGS[signal], self._own.get(signal, math.inf))
            if value > ceiling:
                return Trip(signal, "%d%s%s" % (math.ceil(value), unit, when), "%g%s" % (ceiling, unit))
        return None

    def _memory(self) -> Tuple[float, float]:
        available, total = self._figure("meminfo", "MemAvailable: +"), self._figure("meminfo", "MemTotal: +")
        return available * 1024, total * 1024

    def _figure(self, name: str, before: str) -> float:
        """Sum of the numbers that stand behind these words; where none does NaN, which is beyond no limit."""
        try:
            with open(os.path.join(self._root, "proc", name), encoding="ascii", errors="replace") as handle:
                found = re.findall("^(?:%s)([0-9]+)" % before, handle.read(), re.MULTILINE)
        except OSError:
            found = []
        return float(sum(map(int, found))) if found else math.nan
