"""One open session: the lock, the journal, the work folder, and every write to the kernel.

The order of a write never varies: look at what is there, journal it, write, read back, compare.
"""

import fcntl
import os
import tempfile
import time
from typing import Any, Dict, List, Mapping, Optional

from knobctl.agent.facts import boot_id
from knobctl.agent.journal import FileHistory, History, Journal
from knobctl.agent.kernel import Kernel, explain
from knobctl.agent.places import FOLDER_PREFIX, Places
from knobctl.agent.processes import Identity
from knobctl.agent.protocol import (
    BAD_REQUEST,
    BUSY,
    CHANGED_BY_OTHER,
    NO_SPACE,
    NOT_PERMITTED,
    RESTORE_INCOMPLETE,
    WRITE_FAILED,
    AgentError,
)
from knobctl.agent.recovery import recover
from knobctl.agent.restore import restore
from knobctl.knobs import Knob, UnknownKnob, Value, codec

LOCK_SECONDS = 0.5
"""`knobctl status` looks at the lock for an instant; a run that begins then waits instead of giving up."""


def take_lock(handle: int) -> None:
    """Takes the machine's lock on an open file; it is held until the last process that has the file open ends.

    Raises:
        AgentError: Another run holds it.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise AgentError(
                    BUSY, "another knobctl run holds this machine's lock", "Wait for it, or see `knobctl status`."
                ) from None
            time.sleep(0.02)


class Session:
    """See the module. Every method raises :class:`AgentError` for what cannot be done.

    Args:
        kernel: The machine's knobs.
        places: Where journal and lock are.
        lock: Open handle of the lock file, not yet locked.
        identity: The user that owns the work folder.
        quantities: What the catalogue's bounds are functions of.
    """

    def __init__(
        self, kernel: Kernel, places: Places, lock: int, identity: Identity, quantities: Mapping[str, int]
    ) -> None:
        self._kernel = kernel
        self._places = places
        self._lock = lock
        self._identity = identity
        self._quantities = quantities
        self._journal: Optional[Journal] = None
        self._history = History()
        self.folder = ""

    @property
    def is_open(self) -> bool:
        """Whether a session is open."""
        return self._journal is not None

    def begin(self, session: str, base: str) -> Optional[Dict[str, Any]]:
        """Takes the lock, finishes a run that was left behind, makes the work folder and the journal.

        Returns:
            The record of the run that had been left behind, or None.
        """
        if self.is_open:
            raise AgentError(BAD_REQUEST, "a session is open already")
        self._check_permission()
        take_lock(self._lock)
        try:
            left = recover(self._kernel, self._places, "next run", "an earlier run was cut off")
        except OSError as error:
            raise self._no_space(error, self._places.state) from None
        if left is not None and not left["restored"]:
            raise AgentError(
                RESTORE_INCOMPLETE,
                "an earlier run (%s) left knobs that cannot be put back" % left["session"],
                "Run `knobctl restore` and look at what it prints.",
            )
        try:
            self.folder = tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=base)
            os.chmod(self.folder, 0o700)
            if os.geteuid() == 0:
                os.chown(self.folder, self._identity.uid, self._identity.gid)
            self._journal = Journal(self._places.journal)
            self._journal.append(
                {
                    "kind": "begin",
                    "session": session,
                    "boot_id": boot_id(self._places.root),
                    "folder": self.folder,
                    "pid": os.getpid(),
                    "started": time.time(),
                }
            )
        except OSError as error:
            raise self._no_space(error, base) from None
        return left

    def write_all(self, values: Mapping[str, Value]) -> Dict[str, Value]:
        """Sets knobs, those first whose writing moves others. Returns what was read back, in that order."""
        knobs = {self.knob(name).name: name for name in values}
        moved = {other for name in knobs for other in self._kernel.catalogue[name].affects}
        order = sorted(knobs, key=lambda name: name in moved)
        return {knobs[name]: self.write(name, values[knobs[name]]) for name in order}

    def write(self, name: str, value: Value) -> Value:
        """Sets one knob. Returns what was read back."""
        if self._journal is None:
            raise AgentError(BAD_REQUEST, "no session is open")
        knob = self.knob(name)
        files = self._kernel.files(knob)
        if not files:
            raise AgentError(WRITE_FAILED, "%s is absent on this machine" % knob.name)
        involved = [*(path for path in self._neighbours(knob) if self._kernel.text(path) is not None), *files]
        fresh = self._look(knob, involved)
        self._check_unchanged(knob, involved)
        try:
            found = {path: codec.parse(knob, (self._history.files.get(path) or fresh[path]).found) for path in files}
        except ValueError as error:
            raise AgentError(WRITE_FAILED, "cannot read %s" % error) from None
        if not knob.allows(value, self._quantities) and any(value != original for original in found.values()):
            raise AgentError(WRITE_FAILED, "%s = %r is outside its safe range" % (knob.name, value))
        texts = {}
        for path in files:
            entry = self._history.files.get(path) or fresh[path]
            target = self._other_face(knob) if value == found[path] and not entry.active else path
            original = self._history.files.get(target) or fresh[target]
            texts[target] = original.found if target != path else codec.render(knob, value, self._kernel.read(path))
        self._announce(fresh, involved)
        try:
            for path, text in texts.items():
                self._kernel.write(path, text)
        except OSError as error:
            raise AgentError(
                WRITE_FAILED, "the kernel refused %s = %s: %s" % (knob.name, value, explain(error))
            ) from None
        finally:
            self._observe(involved)
        held = self._kernel.value(knob)
        if held != value and not (
            isinstance(held, int) and isinstance(value, int) and abs(held - value) < max(1, knob.step)
        ):
            raise AgentError(WRITE_FAILED, "wrote %s = %s, but the kernel holds %s" % (knob.name, value, held))
        return held

    def restore(self) -> List[Dict[str, Any]]:
        """Gives every written file the text that was found; the session stays open."""
        report = restore(self._kernel, self._history)
        ours = [entry["path"] for entry in report if entry["outcome"] != "drifted"]
        if self._journal is not None and ours:
            self._observe(ours)
        return report

    def end(self, reason: str, grace: float = 10.0) -> Optional[Dict[str, Any]]:
        """Restores, ends all processes, removes the work folder and the journal; keeps a record."""
        if self._journal is None:
            return None
        self._journal.close()
        self._journal = None
        record = recover(self._kernel, self._places, "agent", reason, grace)
        self._history = History()
        self.folder = ""
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        return record

    def knob(self, name: Any) -> Knob:
        """A knob of the catalogue that may be set at all."""
        try:
            knob = self._kernel.catalogue[str(name)]
        except UnknownKnob as error:
            raise AgentError(WRITE_FAILED, str(error)) from None
        if knob.risk == "forbidden":
            raise AgentError(WRITE_FAILED, "%s is never tuned: %s" % (knob.name, knob.risk_reason))
        return knob

    def _check_permission(self) -> None:
        if self._places.root != "/":
            return
        if os.geteuid() != 0:
            raise AgentError(NOT_PERMITTED, "setting kernel knobs needs root", "Run it as root or with sudo.")
        if os.statvfs("/proc/sys").f_flag & os.ST_RDONLY:
            raise AgentError(
                NOT_PERMITTED, "/proc/sys is mounted read-only, as in a container",
                "Run on the host itself, or try `--target simulated`.",
            )  # fmt: skip

    def _no_space(self, error: OSError, folder: str) -> AgentError:
        return AgentError(
            NO_SPACE,
            "cannot write the journal or the work folder: %s" % explain(error),
            "Nothing was changed. Look at the free space and the rights of %s." % folder,
        )

    def _neighbours(self, knob: Knob) -> List[str]:
        """Files that the kernel may change when this knob is written; journalled before it, so restored after it."""
        names = [*knob.affects, *([knob.twin] if knob.twin else [])]
        return [path for name in names for path in self._kernel.files(self._kernel.catalogue[name])]

    def _other_face(self, knob: Knob) -> str:
        return self._kernel.files(self._kernel.catalogue[knob.twin])[0]

    def _look(self, knob: Knob, paths: List[str]) -> Dict[str, FileHistory]:
        """What is there now, for files that this session has not looked at yet."""
        fresh = {}
        try:
            for path in paths:
                if path not in self._history.files:
                    fresh[path] = FileHistory(path, codec.settable(self._kernel.read(path)))
        except OSError as error:
            raise AgentError(WRITE_FAILED, "cannot read %s: %s" % (knob.name, explain(error))) from None
        for name in (knob.name, knob.twin) if knob.twin else ():
            for path in self._kernel.files(self._kernel.catalogue[name]):
                if path in fresh:
                    fresh[path].active = fresh[path].found != "0"
        return fresh

    def _check_unchanged(self, knob: Knob, paths: List[str]) -> None:
        for path in paths:
            entry = self._history.files.get(path)
            expected = None if entry is None or entry.pending else entry.seen
            now = self._kernel.text(path)
            if expected is not None and now is not None and not codec.same(now, expected):
                raise AgentError(
                    CHANGED_BY_OTHER,
                    "%s was changed by somebody else during the run: %s instead of %s"
                    % (path, codec.settable(now), expected),
                    "Their value was left alone. Run again when nobody else changes kernel settings.",
                )

    def _announce(self, fresh: Dict[str, FileHistory], involved: List[str]) -> None:
        assert self._journal is not None
        entries: List[Dict[str, Any]] = [
            {"kind": "found", "path": entry.path, "text": entry.found, "active": entry.active}
            for entry in fresh.values()
        ]
        entries.extend({"kind": "intent", "path": path} for path in involved)
        try:
            self._journal.append(*entries)
        except OSError as error:
            raise AgentError(
                NO_SPACE, "cannot write the journal, so nothing was changed: %s" % explain(error),
                "Free some space in %s." % self._places.state,
            ) from None  # fmt: skip
        self._history.files.update(fresh)
        for path in involved:
            self._history.files[path].pending = True

    def _observe(self, paths: List[str]) -> None:
        assert self._journal is not None
        entries = []
        for path in paths:
            text = self._kernel.text(path)
            if text is None:
                continue
            entry = self._history.files[path]
            entry.seen, entry.pending = codec.settable(text), False
            entries.append({"kind": "seen", "path": path, "text": entry.seen})
        try:
            self._journal.append(*entries, durable=False)
        except OSError:
            return  # the intent stands in the journal, which is all that a restore needs
