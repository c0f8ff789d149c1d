"""One open session: the lock, the journal, the work folder, and every write to the kernel.

The order of a write never varies: look at what is there, journal it, write, read back, compare.
"""

import contextlib
import fcntl
import os
import secrets
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from knobctl.agent.journal import FileHistory, History, Journal, choose_face
from knobctl.agent.kernel import Kernel, disk_under, explain
from knobctl.agent.places import FOLDER_PREFIX, Places, check_permission, delete, remove_work_folder, take_lock
from knobctl.agent.processes import Identity, acting_as
from knobctl.agent.protocol import BAD_REQUEST, CHANGED_BY_OTHER, NO_SPACE, RESTORE_INCOMPLETE, WRITE_FAILED, AgentError
from knobctl.agent.recovery import recover
from knobctl.agent.restore import restore
from knobctl.knobs import Knob, Value, codec


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

    def begin(
        self, session: str, base: str, names: Sequence[str] = (), copy: Optional[Callable[[bytes], None]] = None
    ) -> Optional[Dict[str, Any]]:
        """Takes the lock, finishes a run that was left behind, makes the journal and the work folder.

        Args:
            session: Key of the session, for the record.
            base: Folder in which the work folder is made; its block device is the disk that is tuned.
            names: Knobs that the run is about: from now on nobody else may change them.
            copy: Called with every line that is in the journal.

        Returns:
            The record of the run that had been left behind, or None.
        """
        if self.is_open:
            raise AgentError(BAD_REQUEST, "a session is open already")
        if not os.path.isabs(base):
            raise AgentError(BAD_REQUEST, "%r is no absolute path" % base)
        base = os.path.realpath(base)  # processes tell where they work without links
        check_permission(self._places)
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
        self._kernel.disk = disk_under(base, self._places.root) or self._kernel.disk
        try:
            self.folder = os.path.join(base, FOLDER_PREFIX + secrets.token_hex(6))
            self._history.begin = {
                "kind": "begin", "session": session, "boot_id": self._kernel.boot_id(), "folder": self.folder,
                "uid": self._identity.uid, "gid": self._identity.gid, "caller": self._identity.is_caller,
                "pid": os.getpid(), "started": time.time(),
            }  # fmt: skip
            self._journal = Journal(self._places.journal, copy)
            self._journal.append(self._history.begin)
            self._make_folder()
            self._take_note(names)
        except (OSError, AgentError) as error:
            self._forget()
            if isinstance(error, AgentError):
                raise
            raise self._no_space(error, base) from None
        return left

    def disturbance(self) -> Optional[AgentError]:
        """The error to end with when somebody else has changed a knob of this run; None when nobody has."""
        try:
            self._check_unchanged(list(self._history.files))
        except AgentError as error:
            return error
        return None

    def write_all(self, values: Mapping[str, Value]) -> Dict[str, Value]:
        """Sets knobs, those first whose writing moves others. Returns what was read back, in that order."""
        knobs = {self._kernel.tunable(name).name: name for name in values}
        moved = {other for name in knobs for other in self._kernel.catalogue[name].affects}
        order = sorted(knobs, key=lambda name: name in moved)
        return {knobs[name]: self.write(name, values[knobs[name]]) for name in order}

    def write(self, name: str, value: Value) -> Value:
        """Sets one knob. Returns what was read back."""
        if self._journal is None:
            raise AgentError(BAD_REQUEST, "no session is open")
        knob = self._kernel.tunable(name)
        files = self._kernel.files(knob)
        if not files:
            raise AgentError(WRITE_FAILED, "%s is absent on this machine" % knob.name)
        involved = self._involved(knob, files)
        fresh = self._look(knob, involved)
        self._check_unchanged(involved)
        try:
            found = {path: codec.parse(knob, (self._history.files.get(path) or fresh[path]).found) for path in files}
        except ValueError as error:
            raise AgentError(WRITE_FAILED, "cannot read %s" % error) from None
        as_found = all(type(value) is type(original) and value == original for original in found.values())
        if not as_found and not knob.allows(value, self._quantities):
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
        report = restore(self._kernel, self._history, self._note)
        ours = [entry["path"] for entry in report if entry["outcome"] != "drifted"]
        if self._journal is not None and ours:
            self._observe(ours)
        return report

    def end(self, reason: str, grace: float = 2.0) -> Optional[Dict[str, Any]]:
        """Restores, ends all processes, removes the work folder and the journal; keeps a record."""
        if self._journal is None:
            return None
        self._journal.close()
        self._journal = None
        # What was journalled is in memory too, in case that the file was damaged.
        record = recover(self._kernel, self._places, "agent", reason, grace, history=self._history)
        self._history = History()
        self.folder = ""
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        return record

    def _make_folder(self) -> None:
        """As the user whose benchmark will work in it, where that is who asked; root itself may have it anywhere."""
        user = self._identity
        if user.is_caller:
            with acting_as(user.uid, user.gid):
                os.mkdir(self.folder, 0o700)
            return
        os.mkdir(self.folder, 0o700)
        if os.geteuid() == 0:
            os.chown(self.folder, user.uid, user.gid)

    def _take_note(self, names: Sequence[str]) -> None:
        """What is behind these knobs now, so that a change by somebody else is noticed from here on."""
        fresh: Dict[str, FileHistory] = {}
        for knob in map(self._kernel.tunable, names):
            fresh.update(self._look(knob, self._involved(knob, self._kernel.files(knob))))
        if fresh:
            self._announce(fresh, ())
        for entry in fresh.values():
            entry.seen = entry.found

    def _forget(self) -> None:
        """Nothing was written: takes back what ``begin`` made."""
        if self._journal is not None:
            self._journal.close()
        remove_work_folder(self._history.begin)
        with contextlib.suppress(OSError):  # read-only: the next start finds a journal without a write
            delete(self._places.journal)
        self._journal, self._history, self.folder = None, History(), ""
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _no_space(self, error: OSError, folder: str) -> AgentError:
        return AgentError(
            NO_SPACE,
            "cannot write the journal or the work folder: %s" % explain(error),
            "Nothing was changed. Look at the free space and the rights of %s." % folder,
        )

    def _involved(self, knob: Knob, files: Sequence[str]) -> List[str]:
        """A knob's files, and before them those that the kernel may change with it, so that they are put back after."""
        names = [*knob.affects, *([knob.twin] if knob.twin else [])]
        others = [path for name in names for path in self._kernel.files(self._kernel.catalogue[name])]
        return [*(path for path in others if self._kernel.text(path) is not None), *files]

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
        if knob.twin:
            twins = (*self._kernel.files(knob), *self._kernel.files(self._kernel.catalogue[knob.twin]))
            choose_face([fresh[path] for path in twins if path in fresh])
        return fresh

    def _check_unchanged(self, paths: List[str]) -> None:
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

    def _announce(self, fresh: Dict[str, FileHistory], involved: Sequence[str]) -> None:
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

    def _note(self, *entries: Dict[str, Any], durable: bool = True) -> None:
        """Entries that a restore can do without: it needs what was found, and that something was to be written."""
        assert self._journal is not None
        with contextlib.suppress(OSError):
            self._journal.append(*entries, durable=durable)

    def _observe(self, paths: List[str]) -> None:
        entries = []
        for path in paths:
            text = self._kernel.text(path)
            if text is None:
                continue
            entry = self._history.files[path]
            entry.seen, entry.pending = codec.settable(text), False
            entries.append({"kind": "seen", "path": path, "text": entry.seen})
        self._note(*entries, durable=False)
