"""Promise 1 as a game: commands, faults and an administrator in any order, and what must hold after every move.

The model knows one thing, the *owner's* text of every file: what would be there if knobctl had never been. Whatever
happens, a session that ended and a recovery that succeeded leave exactly that.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from knobctl.agent import journal
from knobctl.agent.protocol import AgentError
from knobctl.agent.session import Session
from knobctl.knobs import Value, codec
from knobctl.permanent import apply as permanent
from tests.agent.fake_kernel import BESIDE, QUANTITIES, Crash
from tests.agent.fake_machine import Bench, full_disk

SWAPPINESS = "/proc/sys/vm/swappiness"
RATIO = "/proc/sys/vm/dirty_ratio"
BYTES = "/proc/sys/vm/dirty_bytes"
MIN_FREE = "/proc/sys/vm/min_free_kbytes"
WMEM = "/proc/sys/net/ipv4/tcp_wmem"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
READ_AHEAD = "/sys/block/vda/queue/read_ahead_kb"
NO_TURBO = "/sys/devices/system/cpu/intel_pstate/no_turbo"
POLICIES = [f"/sys/devices/system/cpu/cpufreq/policy{number}/scaling_governor" for number in (0, 1)]

GOVERNORS = ["performance", "powersave", "schedutil"]
THP_CHOICES = ["always", "madvise", "never"]
VALUES: dict[str, st.SearchStrategy[Value]] = {
    "vm.swappiness": st.sampled_from([0, 10, 60, 100]),
    "vm.dirty_ratio": st.sampled_from([1, 20, 40, 80]),
    "vm.dirty_bytes": st.sampled_from([8192, 1 << 20, 1 << 30]),
    "vm.min_free_kbytes": st.sampled_from([16384, 67584, 90112]),
    "net.ipv4.tcp_wmem[default]": st.sampled_from([4096, 16384, 1 << 20]),
    "net.ipv4.tcp_wmem[max]": st.sampled_from([65536, 4194304, 1 << 25]),
    "thp.enabled": st.sampled_from(THP_CHOICES),
    "block.read_ahead_kb": st.sampled_from([0, 128, 1027, 16384]),
    "cpufreq.governor": st.sampled_from(GOVERNORS),
    "intel_pstate.no_turbo": st.sampled_from([0, 1]),
}
WRITES = st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name]))
REFUSED: list[tuple[Any, Any]] = [
    ("vm.swappiness", 101), ("vm.swappiness", -1), ("vm.swappiness", "60; reboot"), ("vm.swappiness", None),
    ("vm.swappiness", 10.5), ("vm.swappiness", [10]), ("vm.dirty_ratio", 0.5), ("vm.dirty_bytes", 5000),
    ("thp.enabled", "sometimes"), ("thp.enabled", ["always"]), ("net.ipv4.tcp_wmem[max]", 1 << 26),
    ("block.read_ahead_kb", 1 << 40), ("kernel.randomize_va_space", 0), ("kernel.randomize_va_space", 2),
    ("kernel.core_pattern", "|/bin/sh"), ("/etc/passwd", "x"), ("../../etc/passwd", 1), ("vm.gone", 1), ("", 1), (7, 7),
]  # fmt: skip
"""Names and values that are refused on every machine, whatever was found there."""

THEIRS = {
    SWAPPINESS: ["5", "60", "180"],
    RATIO: ["0", "15", "20", "90"],
    BYTES: ["4096", "268435456"],
    MIN_FREE: ["70000", "500000"],
    WMEM: ["4096\t16384\t4194304", "8192\t87380\t6291456", "4096\t16384\t99999999"],
    THP: THP_CHOICES,
    READ_AHEAD: ["64", "128", "99996"],
    NO_TURBO: ["0", "1"],
    POLICIES[0]: GOVERNORS,
    POLICIES[1]: [*GOVERNORS, "userspace"],
}
"""What an administrator writes, safe ranges or not."""

CROOKED = {SWAPPINESS: "61", READ_AHEAD: "124", POLICIES[0]: "schedutil", WMEM: "4096\t16384\t4194303"}
VANISHING = [SWAPPINESS, READ_AHEAD, POLICIES[1], WMEM]
DEATHS = st.one_of(st.just((None, False)), st.tuples(st.integers(0, 3), st.booleans()))
"""How many kernel writes a process lives for, and whether the last one acts; None for all of them."""

REFUSALS = [errno.EBUSY, errno.EPERM, errno.EINVAL, errno.EIO]


def _coupled(pair: tuple[str, Value]) -> str:
    """Two faces of one setting are not set together."""
    return "dirty" if "dirty" in pair[0] else pair[0]


class Machine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.kernel = self.bench.kernel
        self.session: Session | None = None
        self.boot = self.kernel.snapshot()
        self.owner: dict[str, str] = dict(self.boot)
        self.uncertain: dict[str, set[str]] = {path: set() for path in self.boot}
        self.earlier: dict[str, set[str]] = {path: {text} for path, text in self.boot.items()}
        self.away: set[str] = set()
        self.checked = 0
        self.applied: list[tuple[dict[str, str], dict[str, str]]] = []
        self.boots = 0
        self.stubborn = False

    def teardown(self) -> None:
        try:
            if self.session is not None:
                self.bench.gone(self.session)
            self.kernel.refuse.clear()
            self.kernel.refusals.clear()
            self.kernel.crooked.clear()
            self._recovered(self.bench.recover("restore"))
            assert not self._is_journalled(), "nothing refuses any more, so nothing is left"
        finally:
            self.bench.close()

    # What the model says.

    def _theirs(self, path: str) -> set[str]:
        return {self.owner[path], *self.uncertain[path]}

    def _is_journalled(self) -> bool:
        return os.path.exists(self.bench.places.journal)

    def _settled(self) -> None:
        """Every file is the owner's; from here a new session finds what is there."""
        for path, text in self.bench.texts().items():
            if text is not None:
                assert text in self._theirs(path), f"{path}: {text!r} is not the owner's"
                self.owner[path] = text
            self.uncertain[path] = set()
            self.earlier[path] = {self.owner[path]}

    def _recovered(self, record: dict[str, Any] | None) -> None:
        """What must hold after a restore that came to its end."""
        if record is None:
            assert not self._is_journalled()
            self._settled()
            return
        texts = self.bench.texts()
        for entry in record["knobs"]:
            path, outcome = entry["path"], entry["outcome"]
            text = texts[path]
            if outcome == "held":
                assert text is not None
                assert codec.same(text, entry["found"])
            elif outcome == "absent":
                assert path in self.away
            elif outcome == "drifted":
                assert text in self._theirs(path), f"{path} was not changed by anybody else"
            else:
                assert outcome == "failed"
                assert path in self.kernel.refuse, f"{path}: {entry['detail']}"
        failed = any(entry["outcome"] == "failed" for entry in record["knobs"])
        assert record["restored"] is not failed
        assert self._is_journalled() is failed
        if not failed:
            self._settled()

    # Commands.

    @initialize(bytes_face=st.booleans(), stubborn=st.integers(0, 11))
    def found(self, bytes_face: bool, stubborn: int) -> None:
        self.stubborn = stubborn == 0
        if bytes_face:
            self.administrator(BYTES, "268435456")
            self._settled()

    @rule()
    def begin(self) -> None:
        self._open()

    def _open(self) -> bool:
        """Whether a session is open now; begins one, and finishes what the last one left, if there is none."""
        if self.session is not None:
            return True
        session = self.bench.session()
        had_journal = self._is_journalled()
        try:
            left = self.bench.begin(session)
        except AgentError as error:
            assert error.code == "restore-incomplete"
            assert self._is_journalled()
            assert self.kernel.refuse
            self.bench.gone(session)
            return False
        assert (left is not None) is had_journal
        assert os.path.isdir(session.folder)
        self._settled()
        self.session = session
        return True

    @rule(pair=WRITES)
    def write(self, pair: tuple[str, Value]) -> None:
        if not self._open():
            return
        assert self.session is not None
        name, value = pair
        try:
            held = self.session.write(name, value)
        except AgentError:
            return
        knob = self.kernel.catalogue[name]
        assert held == codec.parse(knob, self.kernel.read(self.kernel.files(knob)[0]))
        assert held == value or (knob.step > 1 and isinstance(held, int) and isinstance(value, int))

    @rule(pairs=st.lists(WRITES, min_size=2, max_size=5))
    def write_all(self, pairs: list[tuple[str, Value]]) -> None:
        if not self._open():
            return
        assert self.session is not None
        try:
            held = self.session.write_all(dict(pairs))
        except AgentError:
            return
        assert set(held) == set(dict(pairs))

    @precondition(lambda self: self.session is not None)
    @rule(pair=st.sampled_from(REFUSED))
    def write_what_is_refused(self, pair: tuple[Any, Any]) -> None:
        assert self.session is not None
        before = len(self.kernel.log)
        try:
            self.session.write(*pair)
        except AgentError:
            assert len(self.kernel.log) == before
        else:
            raise AssertionError(f"{pair} was not refused")

    @precondition(lambda self: self.session is not None)
    @rule(name=st.sampled_from(sorted(VALUES)), disguise=st.sampled_from([int, float, bool, str]))
    def write_what_was_found(self, name: str, disguise: type) -> None:
        knob = self.kernel.catalogue[name]
        files = self.kernel.files(knob)
        if not files:
            return
        value = codec.parse(knob, self.owner[files[0]])
        if isinstance(value, str) or disguise is int:
            self.write((name, value))
        elif disguise is not bool or value in (0, 1):
            self.write_what_is_refused((name, disguise(value)))

    @precondition(lambda self: self.session is not None)
    @rule()
    def restore(self) -> None:
        assert self.session is not None
        for entry in self.session.restore():
            if entry["outcome"] == "held":
                assert codec.same(self.kernel.read(entry["path"]), entry["found"])
            elif entry["outcome"] == "failed":
                assert entry["path"] in self.kernel.refuse

    @precondition(lambda self: self.session is not None)
    @rule(dies=DEATHS)
    def end(self, dies: tuple[int | None, bool]) -> None:
        assert self.session is not None
        folder = self.session.folder
        self.kernel.crash_in, self.kernel.crash_late = dies
        try:
            record = self.session.end("finished", grace=0.0)
        except Crash:
            self.crash()
            return
        self.kernel.revive()
        assert record is not None
        assert not os.path.exists(folder)
        self._recovered(record)
        self.crash()  # nothing is open any more, and the process ends

    @precondition(lambda self: self.session is None)
    @rule(by=st.sampled_from(["watcher", "restore"]), dies=DEATHS)
    def recovery(self, by: str, dies: tuple[int | None, bool]) -> None:
        self.kernel.crash_in, self.kernel.crash_late = dies
        try:
            record = self.bench.recover(by)
        except Crash:
            self.kernel.revive()
            return
        self.kernel.revive()
        self._recovered(record)

    # Faults.

    @precondition(lambda self: self.session is not None)
    @rule()
    def crash(self) -> None:
        assert self.session is not None
        self.bench.gone(self.session)
        self.session = None

    @rule(pair=WRITES, writes=st.integers(0, 1), late=st.booleans(), torn=st.integers(0, 400))
    def crash_in_a_write(self, pair: tuple[str, Value], writes: int, late: bool, torn: int) -> None:
        if not self._open():
            return
        path = self.bench.places.journal
        before, logged = os.path.getsize(path), len(self.kernel.log)
        self.kernel.crash_in, self.kernel.crash_late = writes, late
        try:
            self.write(pair)
        except Crash:
            if len(self.kernel.log) == logged and torn:  # the announcement itself may not have reached the disk
                after = os.path.getsize(path)
                os.truncate(path, max(before, after - torn))
        self.crash()

    @precondition(lambda self: self.session is not None)
    @rule(torn=st.integers(1, 200))
    def crash_in_the_last_line(self, torn: int) -> None:
        """Only what was seen afterwards is not made durable, so only such a line can be torn."""
        path = self.bench.places.journal
        content = Path(path).read_bytes()
        last = content.rstrip(b"\n").rpartition(b"\n")[2]
        if b'"kind":"seen"' in last:
            os.truncate(path, len(content) - min(torn, len(last)))
            history = self.bench.history()
            assert history is not None
            for file in history.files.values():
                self._doubt(file)
        self.crash()

    @rule(pair=WRITES, room=st.integers(0, 300))
    def disk_full(self, pair: tuple[str, Value], room: int) -> None:
        if self._open():
            with full_disk(self.bench.places.journal, room):
                self.write(pair)

    @precondition(lambda self: self.session is None and not self._is_journalled())
    @rule(room=st.integers(0, 150))
    def begin_on_a_full_disk(self, room: int) -> None:
        session = self.bench.session()
        try:
            with full_disk(self.bench.places.journal, room):
                self.bench.begin(session)
        except AgentError as error:
            assert error.code == "no-space"
            assert not session.is_open
        else:
            raise AssertionError("a session began without a journal")
        session.end("the main program ended", grace=0.0)
        self.bench.gone(session)
        assert not list(self.bench.folder.glob("knobctl-*")), "the work folder is left behind"

    @rule(fault=st.sampled_from(["refuse", "for good", "crooked", "vanish"]), path=st.sampled_from(sorted(THEIRS)),
          number=st.sampled_from(REFUSALS), times=st.integers(1, 3))  # fmt: skip
    def kernel_fault(self, fault: str, path: str, number: int, times: int) -> None:
        error = OSError(number, os.strerror(number))
        if fault == "refuse":
            self.kernel.refusals[path] = [error] * times
        elif fault == "for good" and self.stubborn and not self.kernel.refuse:  # each such restore takes its time
            self.kernel.refuse[path] = error
        elif fault == "crooked" and path in CROOKED:
            self.kernel.crooked[path] = [CROOKED[path]] * min(times, 2)
        elif fault == "vanish" and path in VANISHING and path not in self.away:
            os.unlink(self.bench.root / path[1:])
            self.away.add(path)

    @precondition(lambda self: self.away or self.kernel.refuse)
    @rule()
    def kernel_is_well(self) -> None:
        """A file appears again as after its module was loaded again: with what the kernel begins with."""
        self.kernel.refuse.clear()
        for path in sorted(self.away):
            (self.bench.root / path[1:]).write_text(self.boot[path] + "\n")
            self._changed(path)
        self.away.clear()

    @rule()
    def reboot(self) -> None:
        if self.session is not None:
            self.crash()
        self.boots += 1
        (self.bench.root / "proc/sys/kernel/random/boot_id").write_text(f"boot {self.boots}\n")
        for path, text in self.boot.items():
            (self.bench.root / path[1:]).write_text(text + "\n")
        self.owner = dict(self.boot)
        self.uncertain = {path: set() for path in self.boot}
        self.away.clear()
        self.kernel.refuse.clear()
        self.kernel.refusals.clear()
        self.kernel.crooked.clear()

    # Making values permanent, between sessions.

    @precondition(lambda self: self._is_at_rest())
    @rule(pairs=st.lists(WRITES, min_size=1, max_size=3, unique_by=_coupled), dies=DEATHS)
    def apply(self, pairs: list[tuple[str, Value]], dies: tuple[int | None, bool]) -> None:
        before = self.kernel.snapshot()
        knobs = {self.kernel.catalogue[name]: value for name, value in pairs}
        self.kernel.crash_in, self.kernel.crash_late = dies
        try:
            permanent.apply(self.kernel, self.bench.places, knobs, "a-session", "today")
        except AgentError as error:
            assert error.code == "write-failed"
            assert self.kernel.snapshot() == before
            return
        except Crash:
            self.kernel.revive()
            permanent.rollback(self.kernel, self.bench.places)
            assert self.kernel.snapshot() == before
            return
        finally:
            self.kernel.revive()
        self.applied.append((before, self.kernel.snapshot()))
        self._is_the_owners()

    @precondition(lambda self: self._is_at_rest() and self.applied)
    @rule(dies=DEATHS)
    def rollback(self, dies: tuple[int | None, bool]) -> None:
        before, after = self.applied.pop()
        now = self.kernel.snapshot()
        for path, text in before.items():
            self.earlier[path].add(text)
        self.kernel.crash_in, self.kernel.crash_late = dies
        try:
            permanent.rollback(self.kernel, self.bench.places)
        except Crash:
            self.kernel.revive()
            permanent.rollback(self.kernel, self.bench.places)
        self.kernel.revive()
        coupled = {*BESIDE, *BESIDE.values()}
        for path, text in self.kernel.snapshot().items():
            if now == after or path not in coupled:
                assert text == (before[path] if now[path] == after[path] else now[path]), f"{path}: {text!r}"
        self._is_the_owners()

    def _is_at_rest(self) -> bool:
        return self.session is None and not (self._is_journalled() or self.away or self.kernel.refuse)

    def _is_the_owners(self) -> None:
        """What is there now is what the owner asked for."""
        for path, text in self.kernel.snapshot().items():
            self.owner[path] = text
            self.earlier[path].add(text)

    # The administrator.

    @rule(data=st.data())
    def administrator_writes(self, data: st.DataObject) -> None:
        history = self.bench.history()
        touched = sorted(set(history.files) & set(THEIRS)) if history is not None else []
        path = data.draw(st.sampled_from(touched or sorted(THEIRS)))
        self.administrator(path, data.draw(st.sampled_from(THEIRS[path])))

    def administrator(self, path: str, text: str) -> None:
        before = self.bench.texts()
        if before[path] is None or codec.same(before[path] or "", text):
            return  # what was there already is nobody's change
        self.kernel.store(path, text)
        self._changed(path)
        if path in BESIDE:
            beside = BESIDE[path]
            self.uncertain[beside].add(self.owner[beside])
            self._changed(beside)

    def _changed(self, path: str) -> None:
        """A file is the owner's now, as it is."""
        history = self.bench.history()
        file = history.files.get(path) if history is not None else None
        self.owner[path] = self.kernel.read(path)
        self.earlier[path].add(self.owner[path])
        if file is not None:
            self._doubt(file)

    def _doubt(self, file: journal.FileHistory) -> None:
        """Nobody can tell whether a write was ours that was announced and not seen, or whose text is what we had
        left there: either text may stay."""
        if file.pending or (file.seen is not None and codec.same(file.seen, self.owner[file.path])):
            self.uncertain[file.path] |= {text for text in self.earlier[file.path] if codec.same(text, file.found)}

    # What holds after every move.

    @invariant()
    def nothing_of_ours_is_without_a_journal(self) -> None:
        history = self.bench.history()
        for path, text in self.bench.texts().items():
            if text is None or text in self._theirs(path):
                continue
            assert history is not None, f"{path} holds {text!r} and there is no journal"
            assert path in history.files, f"{path} holds {text!r}, which is not in the journal"
            found = history.files[path].found
            assert any(codec.same(found, text) for text in self.earlier[path]), f"{path}: nobody left {found!r} there"

    @invariant()
    def only_safe_values_are_written(self) -> None:
        for path, text in self.kernel.log[self.checked :]:
            if any(codec.same(text, theirs) for theirs in self.earlier[path]):
                continue
            for knob in self.bench.knobs[path]:
                value = codec.parse(knob, text)
                found = [codec.parse(knob, theirs) for theirs in self.earlier[path]]
                assert value in found or knob.allows(value, QUANTITIES), f"wrote {text!r} to {path}"
        self.checked = len(self.kernel.log)

    @invariant()
    def what_is_forbidden_is_never_touched(self) -> None:
        assert (
            self.kernel.text("/proc/sys/kernel/randomize_va_space") == self.boot["/proc/sys/kernel/randomize_va_space"]
        )


ALIVE: tuple[int | None, bool] = (None, False)
SEQUENCES: dict[str, list[list[tuple[Any, ...]]]] = {
    "their value beside ours": [
        [("found", True, 1), ("write", ("vm.dirty_ratio", 40)), ("administrator", RATIO, "15"), ("end", ALIVE)],
        [("write", ("vm.dirty_bytes", 1 << 20)), ("administrator", BYTES, "4096"), ("end", ALIVE)],
        [("write", ("thp.enabled", "never")), ("administrator", MIN_FREE, "70000"), ("end", ALIVE)],
    ],
    "a restore cut short": [
        [("write", ("thp.enabled", "never")), ("end", (0, True)), ("recovery", "watcher", ALIVE)],
        [("write", ("thp.enabled", "never")), ("crash",), ("recovery", "watcher", (0, True)), ("begin",)],
        [("write", ("vm.min_free_kbytes", 16384)), ("write", ("thp.enabled", "never")), ("end", (0, True)), ("begin",)],
    ],
    "an announcement cut short": [
        [("disk_full", ("thp.enabled", "never"), 150), ("administrator", MIN_FREE, "70000"),
         ("write", ("thp.enabled", "always")), ("crash",), ("recovery", "restore", ALIVE)],
        [("disk_full", ("vm.dirty_ratio", 40), 135), ("administrator", BYTES, "268435456"),
         ("write", ("vm.dirty_ratio", 40)), ("crash",), ("recovery", "restore", ALIVE)],
    ],
    "a number of another type": [
        [("begin",), ("write_what_is_refused", ("vm.swappiness", 60.0))],
        [("administrator", SWAPPINESS, "180"), ("begin",), ("write_what_is_refused", ("vm.swappiness", 180.0))],
    ],
}  # fmt: skip
"""Shortest ways into what once went wrong."""


@pytest.mark.parametrize(
    "moves",
    [pytest.param(moves, id=name.replace(" ", "-")) for name, sequences in SEQUENCES.items() for moves in sequences],
)
def test_what_once_went_wrong(moves: list[tuple[Any, ...]]) -> None:
    machine = Machine()
    try:
        for move, *arguments in moves:
            getattr(Machine, move)(machine, *arguments)
            machine.nothing_of_ours_is_without_a_journal()
            machine.only_safe_values_are_written()
    finally:
        machine.teardown()


def test_a_rollback_cut_short_loses_what_the_kernel_moved() -> None:
    bench = Bench()
    before = bench.kernel.snapshot()
    permanent.apply(bench.kernel, bench.places, {bench.kernel.catalogue["thp.enabled"]: "never"}, "s", "today")
    bench.kernel.crash_in, bench.kernel.crash_late = 0, True
    with pytest.raises(Crash):
        permanent.rollback(bench.kernel, bench.places)
    bench.kernel.revive()
    permanent.rollback(bench.kernel, bench.places)
    after = bench.kernel.snapshot()
    bench.close()
    assert after == before


TestMachine = Machine.TestCase
TestMachine.pytestmark = [pytest.mark.timeout(1800)]  # a campaign takes minutes
TestMachine.settings = settings(
    max_examples=settings().max_examples // 4,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
