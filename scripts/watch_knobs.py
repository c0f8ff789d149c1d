#!/usr/bin/env python3
"""A witness of the kernel: what the files behind all catalogue knobs held, from its first look to its last.

It trusts nobody. It reads the files by itself, without the agent, as often as a small share of one core allows, and
looks at once when it hears of a write (inotify), so even a value that holds for 3 ms is rarely missed. A file that
cannot be read, such as vm.drop_caches, is listened to: a write to a knob that is never tuned is an objection in itself.

    sleep 60 | watch_knobs.py --report seen.json     until SIGTERM, Ctrl-C, or the end of standard input

A knob may hold its value of the first look, a value of its safe range on this machine, or the 0 of a face that is idle
because its other face is in use. A forbidden knob may hold its first value only. A knob that the kernel moves by itself
(``affects`` of the catalogue) may be anywhere while, or after, the knob that moves it has changed. At the end every
file has to mean what it meant at first. Exit status 0 when all this held, 1 when it did not, 2 when it saw nothing.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from collections.abc import Iterator, Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knobctl.knobs import Knob, Value, codec, quantities_of
from knobctl.knobs.files import catalogue

READ_LIMIT = 4096  # the kernel shows no more of a setting than a page
SHORTEST_PAUSE = 0.01
SEARCH_SECONDS = 20.0  # how often new files are looked for: a module that was loaded, a disk that was plugged in
UNREADABLE = "(unreadable)"


@dataclass
class Sighting:
    """When one text of a file was seen: first and last, in seconds since the first look, and how often."""

    text: str
    first: float
    last: float
    count: int = 0


@dataclass
class WatchedFile:
    """One kernel file, and every text that it was seen to hold."""

    path: str
    real: str
    knobs: tuple[Knob, ...]
    handle: int
    start: str = ""
    data: bytes | None = None
    now: Sighting = field(default_factory=lambda: Sighting("", 0, 0))
    seen: dict[str, Sighting] = field(default_factory=dict)

    def read(self) -> bytes | None:
        """What the file holds now; None when it is gone or the kernel refuses."""
        try:
            return os.pread(self.handle, READ_LIMIT, 0)
        except OSError:
            return None

    def text(self) -> str:
        """The same as text, without the final newline."""
        return _text(self.read())


class Notices:
    """Hears at once of writes to files in the folders that it is told of (inotify).

    Attributes:
        deaf: The system gave no such ears, or not for every folder.
    """

    _MODIFIED = 0x2
    _EVENT = struct.Struct("iIII")

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self.handle = int(self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self.deaf = self.handle < 0
        self._folders: dict[int, str] = {}

    def listen(self, folder: str) -> None:
        """Listens to one more folder."""
        if folder in self._folders.values() or self.handle < 0:
            return
        number = int(self._library.inotify_add_watch(self.handle, os.fsencode(folder), self._MODIFIED))
        self.deaf = self.deaf or number < 0
        self._folders[number] = folder

    def heard(self) -> Iterator[str]:
        """Paths that were written to, or opened to be written anew, since the last time."""
        data = os.read(self.handle, 65536)
        while data:
            number, _, _, length = self._EVENT.unpack_from(data)
            name = data[self._EVENT.size : self._EVENT.size + length].rstrip(b"\0")
            data = data[self._EVENT.size + length :]
            yield f"{self._folders.get(number, '')}/{os.fsdecode(name)}"


class Witness:
    """See the module.

    Args:
        root: Folder that holds ``proc`` and ``sys``.
        share: Share of one core that looking may cost.
    """

    def __init__(self, root: Path, share: float) -> None:
        self._root = root
        self._share = share
        self._quantities = _quantities(root)
        self._causes = {knob.name: [by for by in catalogue() if knob.name in by.affects] for knob in catalogue()}
        self._notices = Notices()
        self._heard: dict[str, int] = {}
        self._mute: dict[str, Knob] = {}
        self._behind: dict[str, list[WatchedFile]] = {}
        self._objections: dict[tuple[str, str, str], tuple[str, Sighting]] = {}
        self._outside: set[str] = set()
        self._started = time.monotonic()
        self._processor = 0.0
        self._searched = self._last_round = 0.0
        self._longest_gap = 0.0
        self.rounds = 0
        self.files: dict[str, WatchedFile] = {}
        self._search()

    def knobs(self) -> list[Knob]:
        """The knobs that are watched: those with a file here."""
        watched = {*self._behind, *(knob.name for knob in self._mute.values())}
        return [knob for knob in catalogue() if knob.name in watched]

    def watch(self, ending: Sized) -> None:
        """Looks, again and again, until standard input ends or ``ending`` holds something; then once more."""
        self._processor = spent = time.process_time()
        open_input = True
        while open_input and not ending:
            if self._now() - self._searched > SEARCH_SECONDS:
                self._search()
                spent = time.process_time()  # too rare to be worth a longer pause
            self._round()
            now = time.process_time()
            pause = max(SHORTEST_PAUSE, (now - spent) * (1 / self._share - 1))
            spent = now
            open_input = self._listen(pause, ending)
        self._round()

    def report(self) -> dict[str, Any]:
        """All that was seen, as plain JSON types; ``objections`` is empty when all was well."""
        seconds = self._now()
        changed = [knob.name for knob in self.knobs() if self._changed(knob)]
        not_back = [file for file in self.files.values() if not codec.same(file.start, file.now.text)]
        written = [knob.name for path, knob in self._mute.items() if knob.risk == "forbidden" and path in self._heard]
        outside = len(self._outside) + len(written)
        back = f"{_count(len(not_back), 'file')} not back" if not_back else "all are back"
        summary = (
            f"watched {_count(len(self.knobs()), 'knob')} for {seconds:.0f} s, {_count(self.rounds, 'round')}, "
            f"{_count(len(changed), 'knob')} changed, {outside or 'none'} left {'its' if outside < 2 else 'their'} "
            f"safe range, {back}"
        )
        objections = [
            *(f"{words} ({_when(seen)})" for words, seen in self._objections.values()),
            *(f"{name} was written to, and is never tuned" for name in written),
            *(f"{file.path} was {file.start!r} and is {file.now.text!r} at the end" for file in not_back),
        ]
        return {
            "summary": summary,
            "objections": objections,
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "rounds": self.rounds,
            "rounds_per_second": round(self.rounds / seconds, 1),
            "longest_gap_seconds": round(self._longest_gap, 3),
            "percent_of_one_core": round(100 * (time.process_time() - self._processor) / seconds, 2),
            "hears_of_writes": not self._notices.deaf,
            "writes_heard": sum(self._heard.values()),
            "changed": changed,
            "unreadable": sorted(self._mute),
            "files": [self._record(file) for file in self.files.values()],
        }

    def _record(self, file: WatchedFile) -> dict[str, Any]:
        return {
            "path": file.path,
            "knobs": [knob.name for knob in file.knobs],
            "first": file.start,
            "last": file.now.text,
            "writes_heard": self._heard.get(file.real, 0),
            "seen": [
                {"text": each.text, "first": round(each.first, 3), "last": round(each.last, 3), "count": each.count}
                for each in file.seen.values()
            ],
        }

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _search(self) -> None:
        """Finds the files that are not watched yet. The first text of a file is what it has to have at the end."""
        self._searched = self._now()
        behind: dict[Path, list[Knob]] = {}
        for knob in catalogue():
            pattern = knob.path.lstrip("/").replace("{disk}", "*")
            for place in self._root.glob(pattern) if "*" in pattern else (self._root / pattern,):
                behind.setdefault(place, []).append(knob)
        for place, knobs in behind.items():
            real = str(place)
            if real in self._mute or real in self.files:
                continue
            try:
                handle = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError:
                continue
            except OSError:
                self._mute[real] = knobs[0]
            else:
                path = f"/{place.relative_to(self._root)}"
                file = self.files[real] = WatchedFile(path, real, tuple(knobs), handle)
                for knob in knobs:
                    self._behind.setdefault(knob.name, []).append(file)
                file.start = file.text()
                self._look(file, self._now())
            self._notices.listen(str(place.parent))

    def _listen(self, seconds: float, ending: Sized) -> bool:
        """Waits, and looks at every file that is written meanwhile. Whether standard input is still open."""
        until = self._now() + seconds
        ears = [self._notices.handle] if self._notices.handle >= 0 else []
        while not ending and (left := until - self._now()) > 0:
            ready = select.select([sys.stdin.fileno(), *ears], [], [], left)[0]
            if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), READ_LIMIT):
                return False
            for real in self._notices.heard() if set(ears) & set(ready) else ():
                self._heard[real] = self._heard.get(real, 0) + 1
                if real in self.files:
                    self._look(self.files[real], self._now())
        return True

    def _round(self) -> None:
        now = self._now()
        for file in self.files.values():
            self._look(file, now)
        self._longest_gap = max(self._longest_gap, now - self._last_round)
        self._last_round = now
        self.rounds += 1

    def _look(self, file: WatchedFile, now: float) -> None:
        data = file.read()
        if data == file.data and file.seen:
            file.now.count += 1
            file.now.last = now
            return
        file.data, text = data, _text(data)
        file.now = file.seen.setdefault(text, Sighting(text, now, now))
        file.now.count += 1
        file.now.last = now
        for knob in file.knobs:
            if objection := self._objection(knob, file, text):
                self._outside.add(knob.name)
                self._objections.setdefault((knob.name, file.path, text), (objection, file.now))

    def _objection(self, knob: Knob, file: WatchedFile, text: str) -> str:
        """Why the knob must not hold what this text says; empty when it may."""
        shown, first = _shown(knob, text), _shown(knob, file.start)
        value = _value(knob, text)
        may_be_first = value != 0 if knob.twin else True
        if text == UNREADABLE or (shown == first and may_be_first):
            return ""
        where = f" in {file.path}" if "*" in knob.path or "{disk}" in knob.path else ""
        held = f"{knob.name} was {shown}{where}"
        if knob.risk == "forbidden":
            fine, rule = shown == first or self._moved(knob), f"is never tuned, and was {first} at first"
        elif knob.twin and value == 0:
            fine, rule = self._idle(knob, file), f"{knob.twin} was 0 too: neither face was in use"
        else:
            fine = value is not None and (knob.allows(value, self._quantities) or self._moved(knob))
            rule = f"its safe range is {self._range(knob)}"
        return "" if fine else f"{held}, but {rule}"

    def _idle(self, knob: Knob, file: WatchedFile) -> bool:
        """Whether a face that shows 0 does so because the other one is in use, or both were 0 at first."""
        others = self._behind.get(knob.twin, [])
        for other in others:
            for _ in range(3):  # the faces can be swapped between two reads, and back
                if other.text() != "0" or file.text() != "0":
                    return True
        return file.start == "0" and all(other.start == "0" for other in others)

    def _moved(self, knob: Knob) -> bool:
        return any(self._changed(cause) for cause in self._causes[knob.name])

    def _changed(self, knob: Knob) -> bool:
        """Whether the knob holds, or was seen to hold, something else than at first."""
        return any(
            _shown(knob, text) != _shown(knob, file.start)
            for file in self._behind.get(knob.name, ())
            for text in (*file.seen, file.text())
        )

    def _range(self, knob: Knob) -> str:
        if knob.kind == "choice":
            return ", ".join(knob.choices)
        low, high = knob.range_on(self._quantities)
        return f"{low} to {high}" + "".join(f" or {special}" for special in knob.special)


def _text(data: bytes | None) -> str:
    return UNREADABLE if data is None else data.decode("utf-8", "replace").rstrip("\n")


def _value(knob: Knob, text: str) -> Value | None:
    try:
        return codec.parse(knob, text)
    except ValueError:
        return None


def _shown(knob: Knob, text: str) -> str:
    """What the text says about the knob: its field of a vector, the active choice, or all of it."""
    value = _value(knob, text) if knob.field is not None else None
    return codec.settable(text) if value is None else str(value)


def _when(seen: Sighting) -> str:
    return f"seen {_count(seen.count, 'time')}, from second {seen.first:.3f} to {seen.last:.3f}"


def _count(number: int, what: str) -> str:
    return f"{number:,}".replace(",", " ") + f" {what}" + ("" if number == 1 else "s")


def _quantities(root: Path) -> dict[str, int]:
    fields = (root / "proc/meminfo").read_text().split()
    memory = int(fields[fields.index("MemTotal:") + 1]) * 1024
    return quantities_of(memory, os.sysconf("SC_PAGE_SIZE"), os.cpu_count() or 1)


def main() -> int:
    """Watches until told to end, then says what was seen."""
    parser = argparse.ArgumentParser(description="Watches the kernel settings that knobctl could change.")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write all that was seen there, as JSON")
    parser.add_argument("--percent", type=float, default=3.0, help="of one core that looking may cost (3)")
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="FOLDER", help="holds proc and sys (/)")
    arguments = parser.parse_args()
    if not 0 < arguments.percent <= 100:
        parser.error(f"--percent is more than 0 and at most 100, not {arguments.percent:g}")
    ending: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: ending.append(received))
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    witness = Witness(arguments.root, arguments.percent / 100)
    if not witness.files:
        print(f"watch_knobs: no kernel setting of the catalogue can be read below {arguments.root}", file=sys.stderr)
        return 2
    print(f"watching {_count(len(witness.knobs()), 'knob')} in {_count(len(witness.files), 'file')}", flush=True)
    witness.watch(ending)
    report = witness.report()
    if arguments.report is not None:
        arguments.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("\n".join([*report["objections"], report["summary"]]), flush=True)
    return 1 if report["objections"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
