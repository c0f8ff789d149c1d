"""``apply`` and ``rollback``: making proven values permanent, and undoing exactly that.

What was replaced is on the disk before anything changes: the live values found, the previous text of every file that
will be written, and what TuneD was doing. Applies stack: each rollback undoes the last one.
"""

import contextlib
import os
from typing import Any, Dict, Iterable, List, Mapping, Optional

from knobctl.agent.journal import FileHistory, History, choose_face
from knobctl.agent.kernel import Kernel, explain
from knobctl.agent.places import Places, delete, write_atomically
from knobctl.agent.protocol import BAD_REQUEST, NO_SPACE, RESTORE_INCOMPLETE, WRITE_FAILED, AgentError, encode
from knobctl.agent.restore import back, restore
from knobctl.knobs import Knob, Value, codec
from knobctl.permanent.tuned import ACTIVE_FILE, MODE_FILE, PROFILE, Tuned
from knobctl.permanent.undo import Undone, changed_by_others, digest_of, in_words, text_of, undo
from knobctl.permanent.ways import SYSCTL_D, TUNED, files_of, moved_by, obstacle, stack_of, texts

UNCHANGED = "Nothing was changed."
BACK = "its files and the values are as they were, but what it has loaded is not known"


def apply(
    kernel: Kernel,
    places: Places,
    knobs: Mapping[Knob, Value],
    session: str,
    date: str,
    via: str = SYSCTL_D,
    tuned: Optional[Tuned] = None,
) -> Dict[str, Any]:
    """Sets values live, reads them back, and writes what sets them at every boot.

    Args:
        kernel: The machine.
        places: Where records are.
        knobs: What to set.
        session: Session that proved the values.
        date: For the header of the files.
        via: One of :data:`knobctl.permanent.ways.WAYS`.
        tuned: This machine's TuneD.

    Returns:
        The record: ``via``, ``values``, ``found`` (text per file), ``settings`` (text per file now), ``files`` (what
        was written).

    Raises:
        AgentError: A value was refused, a file could not be written, or TuneD did not do it; then everything is as it
            was, or the error is ``RESTORE_INCOMPLETE``.
    """
    tuned = tuned or Tuned(places.root)
    _check(kernel, knobs)
    stack = stack_of(places)
    message, hint = obstacle(via, stack, tuned)
    if message:
        raise AgentError(BAD_REQUEST, message, hint)
    history = _look(kernel, list(knobs))
    written = [tuned.real(path) for path in files_of(via, tuned)]
    entry: Dict[str, Any] = {
        "session": session,
        "date": date,
        "via": via,
        "complete": False,
        "values": {knob.name: value for knob, value in knobs.items()},
        "own": [path for knob in knobs for path in kernel.files(knob)],
        "found": [{"path": file.path, "text": file.found, "active": file.active} for file in history.files.values()],
        "settings": {},
        "files": [{"path": path, "previous": text_of(path)} for path in written],
        "made": _missing_folders(written),
        "tuned": _profile_of(tuned),
    }
    try:
        _keep(places, [*stack, entry])
        entry["settings"] = _set(kernel, history, knobs)
        if via == TUNED:
            restore(kernel, history)  # so that what TuneD finds, and gives back when it is told to, is not ours
        for path, text in texts([*stack, entry], tuned, kernel.catalogue).items():
            write_atomically(tuned.real(path), text)
        for file in entry["files"]:
            file["written"] = digest_of(file["path"])
        if via == TUNED:
            tuned.switch([PROFILE])
            entry["settings"] = _read_back(kernel, entry)
        entry["complete"] = True
        _keep(places, [*stack, entry])
    except (OSError, ValueError, AgentError) as error:
        undone = undo(kernel, history, {**entry, "complete": False}, tuned)
        raise _failed(error, places, stack, entry, undone) from None
    return {**entry, "files": [path for path in written if text_of(path) is not None]}


def rollback(kernel: Kernel, places: Places, tuned: Optional[Tuned] = None) -> Dict[str, Any]:
    """Undoes the last apply: the live values, the files and the active profile that were there before it.

    Returns:
        ``session``, ``values``, ``knobs``, a restore report: a value that somebody changed since is left alone, and
        so is a profile that somebody chose since; and ``kept``, under which names files are kept that somebody edited.

    Raises:
        AgentError: Nothing is applied; or ``RESTORE_INCOMPLETE``: a file could not be put back, and the rollback can be
            repeated, or TuneD could not be told.
    """
    tuned = tuned or Tuned(places.root)
    stack = stack_of(places)
    if not stack:
        raise AgentError(BAD_REQUEST, "nothing is applied", "See `knobctl status`.")
    entry = stack.pop()
    history = _recorded(entry)
    others = changed_by_others(kernel, history)
    _keep_unfinished(places, stack, entry, others)  # when this is cut off, the next one finishes it
    undone = undo(kernel, history, entry, tuned)
    if undone.stuck:
        _keep_unfinished(places, stack, entry, undone.settled)
        what = "; ".join(undone.stuck) + undone.news
        raise AgentError(RESTORE_INCOMPLETE, what, "Mend that, then run `knobctl rollback` again.")
    try:
        _keep(places, stack)
    except OSError as error:
        raise AgentError(NO_SPACE, in_words(error) + undone.news) from None
    if undone.doubt:
        raise AgentError(RESTORE_INCOMPLETE, "%s; %s%s" % (undone.doubt, BACK, undone.news), undone.hint)
    return {"session": entry["session"], "values": entry["values"], "knobs": undone.report, "kept": undone.kept}


def _recorded(entry: Mapping[str, Any]) -> History:
    """What an apply found and left there.

    After an undo that was not complete any value may be half-way, except where it had nothing more to do: there only
    our own is put back, which our boot file sets again as long as that is not gone.
    """
    history = History()
    unsure = not entry.get("complete", True)
    for found in entry["found"]:
        path, left = found["path"], found["path"] in entry.get("left", ())
        seen = entry["settings"].get(path, found["text"])
        history.files[path] = FileHistory(path, found["text"], found["active"], seen, unsure and not left)
    return history


def _keep_unfinished(places: Places, stack: List[Dict[str, Any]], entry: Dict[str, Any], left: Iterable[str]) -> None:
    """Notes that an undo has begun, and which kernel files the next attempt must not write over."""
    noted = sorted({*entry.get("left", ()), *left})
    with contextlib.suppress(OSError):  # a full disk must not keep anybody from going back
        _keep(places, [*stack, {**entry, "complete": False, "left": noted}])


def _check(kernel: Kernel, knobs: Mapping[Knob, Value]) -> None:
    quantities = kernel.quantities()
    for knob, value in knobs.items():
        if not knob.allows(value, quantities):
            raise AgentError(BAD_REQUEST, "%s = %r is outside its safe range" % (knob.name, value))
        if not kernel.files(knob):
            raise AgentError(BAD_REQUEST, "%s is absent on this machine" % knob.name)


def _look(kernel: Kernel, knobs: List[Knob]) -> History:
    history = History()
    for knob in knobs:
        names = [*knob.affects, *([knob.twin] if knob.twin else []), knob.name]
        for name in names:
            for path in kernel.files(kernel.catalogue[name]):
                text = kernel.text(path)
                if path not in history.files and text is not None:
                    history.files[path] = FileHistory(path, codec.settable(text))
        if knob.twin:
            twins = (*kernel.files(knob), *kernel.files(kernel.catalogue[knob.twin]))
            choose_face([history.files[path] for path in twins if path in history.files])
    return history


def _set(kernel: Kernel, history: History, knobs: Mapping[Knob, Value]) -> Dict[str, str]:
    moved = moved_by(knobs)
    for file in history.files.values():
        file.pending = True  # the kernel moves neighbours by itself
    for knob, value in sorted(knobs.items(), key=lambda pair: pair[0].name in moved):
        for path in kernel.files(knob):
            try:
                kernel.write(path, codec.render(knob, value, kernel.read(path)))
            except OSError as error:
                raise AgentError(
                    WRITE_FAILED, "the kernel refused %s = %s: %s" % (knob.name, value, explain(error)),
                    UNCHANGED,
                ) from None  # fmt: skip
        held = kernel.value(knob)
        close = isinstance(held, int) and isinstance(value, int) and abs(held - value) < max(1, knob.step)
        if held != value and not close:
            raise AgentError(
                WRITE_FAILED,
                "wrote %s = %s, but the kernel holds %s" % (knob.name, value, held),
                UNCHANGED,
            )
    return {path: codec.settable(kernel.read(path)) for path in history.files}


def _read_back(kernel: Kernel, entry: Dict[str, Any]) -> Dict[str, str]:
    """What the files hold after TuneD's switch, which must be what was proven."""
    for path in entry["own"]:
        text = codec.settable(kernel.read(path))
        if not codec.same(text, entry["settings"][path]):
            raise AgentError(
                WRITE_FAILED,
                "TuneD's profile %s leaves %s at %s, not at %s" % (PROFILE, path, text, entry["settings"][path]),
                "Something that TuneD does after it wins over the profile: see /var/log/tuned/tuned.log.",
            )
    return {path: codec.settable(kernel.read(path)) for path in entry["settings"]}


def _profile_of(tuned: Tuned) -> Dict[str, Any]:
    texts = {path: tuned.text(path) for path in (ACTIVE_FILE, MODE_FILE)}
    return {"profiles": list(tuned.active()), "automatic": tuned.automatic(), "texts": texts}


def _failed(
    error: Exception, places: Places, stack: List[Dict[str, Any]], entry: Dict[str, Any], undone: Undone
) -> AgentError:
    """The error of an apply that was undone."""
    words = (error.message if isinstance(error, AgentError) else in_words(error)) + undone.news
    if undone.stuck or not back(undone.report):  # the record stays, and `knobctl rollback` goes on
        _keep_unfinished(places, stack, entry, undone.settled)
        what = "; ".join([words, "and not everything is back", *undone.stuck])
        return AgentError(RESTORE_INCOMPLETE, what, undone.hint or "Mend that, then run `knobctl rollback`.")
    if stack_of(places) != stack:
        _keep(places, stack)
    if undone.doubt:
        return AgentError(RESTORE_INCOMPLETE, "%s; then %s; %s" % (words, undone.doubt, BACK), undone.hint)
    if isinstance(error, AgentError):
        return AgentError(error.code, words, error.hint or UNCHANGED)
    return AgentError(NO_SPACE if isinstance(error, OSError) else BAD_REQUEST, words, UNCHANGED)


def _missing_folders(paths: List[str]) -> List[str]:
    """Folders that have to be made for these files, the innermost first."""
    missing = set()
    for path in paths:
        folder = os.path.dirname(path)
        while not os.path.exists(folder):
            missing.add(folder)
            folder = os.path.dirname(folder)
    return sorted(missing, key=len, reverse=True)


def _keep(places: Places, stack: List[Dict[str, Any]]) -> None:
    if stack:
        write_atomically(places.applied, encode({"stack": stack}).decode("ascii"))
    else:
        delete(places.applied)
