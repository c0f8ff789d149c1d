"""``apply`` and ``rollback``: making proven values permanent, and undoing exactly that.

What was replaced is on the disk before anything changes: the live values found and the previous text of both drop-ins.
Applies stack: each rollback undoes the last one.
"""

import os
from typing import Any, Dict, List, Mapping, Optional, Tuple

from knobctl.agent.journal import FileHistory, History
from knobctl.agent.kernel import Kernel, explain
from knobctl.agent.places import Places, delete, read_json, write_atomically
from knobctl.agent.protocol import BAD_REQUEST, NO_SPACE, WRITE_FAILED, AgentError, encode
from knobctl.agent.restore import restore
from knobctl.knobs import Knob, Value, codec
from knobctl.permanent.dropin import PROC, SYSCTL_FILE, TMPFILES_FILE, sysctl_text, tmpfiles_text


def apply(
    kernel: Kernel,
    places: Places,
    knobs: Mapping[Knob, Value],
    session: str,
    date: str,
) -> Dict[str, Any]:
    """Sets values live, reads them back, and writes the drop-ins that set them at boot.

    Args:
        kernel: The machine.
        places: Where drop-ins and records are.
        knobs: What to set.
        session: Session that proved the values.
        date: For the drop-in's header.

    Returns:
        The record: ``values``, ``found`` (text per file), ``settings`` (text per file now), ``files`` (drop-ins).

    Raises:
        AgentError: A value was refused or a file could not be written; then everything is as it was.
    """
    quantities = kernel.quantities()
    for knob, value in knobs.items():
        if not knob.allows(value, quantities):
            raise AgentError(BAD_REQUEST, "%s = %r is outside its safe range" % (knob.name, value))
        if not kernel.files(knob):
            raise AgentError(BAD_REQUEST, "%s is absent on this machine" % knob.name)
    stack = _stack(places)
    history = _look(kernel, list(knobs))
    entry: Dict[str, Any] = {
        "session": session,
        "date": date,
        "values": {knob.name: value for knob, value in knobs.items()},
        "own": [path for knob in knobs for path in kernel.files(knob)],
        "found": [{"path": file.path, "text": file.found, "active": file.active} for file in history.files.values()],
        "settings": {},
        "files": [{"path": path, "previous": _text(path)} for path in _files(places)],
    }
    try:
        _keep(places, [*stack, entry])
        entry["settings"] = _set(kernel, history, knobs)
        _keep(places, [*stack, entry])
        _write_dropins(places, [*stack, entry])
    except (OSError, AgentError) as error:
        _undo(kernel, places, history, entry)
        _keep(places, stack)
        if isinstance(error, AgentError):
            raise
        raise AgentError(
            NO_SPACE, "cannot write %s: %s" % (error.filename, explain(error)), "Nothing was changed."
        ) from None
    return {**entry, "files": [file["path"] for file in entry["files"] if _text(file["path"]) is not None]}


def rollback(kernel: Kernel, places: Places) -> Dict[str, Any]:
    """Undoes the last apply: the live values and the drop-ins that were there before it.

    Returns:
        ``session``, ``values`` and ``knobs``, a restore report: a value that somebody changed since is left alone.

    Raises:
        AgentError: Nothing is applied.
    """
    stack = _stack(places)
    if not stack:
        raise AgentError(BAD_REQUEST, "nothing is applied", "See `knobctl status`.")
    entry = stack.pop()
    history = History()
    for found in entry["found"]:
        seen = entry["settings"].get(found["path"], found["text"])
        history.files[found["path"]] = FileHistory(found["path"], found["text"], found["active"], seen)
    try:
        report = _undo(kernel, places, history, entry)
        _keep(places, stack)
    except OSError as error:
        raise AgentError(NO_SPACE, "cannot write %s: %s" % (error.filename, explain(error))) from None
    return {"session": entry["session"], "values": entry["values"], "knobs": report}


def _look(kernel: Kernel, knobs: List[Knob]) -> History:
    history = History()
    for knob in knobs:
        names = [*knob.affects, *([knob.twin] if knob.twin else []), knob.name]
        for name in names:
            for path in kernel.files(kernel.catalogue[name]):
                text = kernel.text(path)
                if path not in history.files and text is not None:
                    history.files[path] = FileHistory(path, codec.settable(text))
        for name in (knob.name, knob.twin) if knob.twin else ():
            for path in kernel.files(kernel.catalogue[name]):
                history.files[path].active = history.files[path].found != "0"
    return history


def _set(kernel: Kernel, history: History, knobs: Mapping[Knob, Value]) -> Dict[str, str]:
    moved = {name for knob in knobs for name in knob.affects}
    for knob, value in sorted(knobs.items(), key=lambda pair: pair[0].name in moved):
        for path in kernel.files(knob):
            history.files[path].pending = True
            try:
                kernel.write(path, codec.render(knob, value, kernel.read(path)))
            except OSError as error:
                raise AgentError(
                    WRITE_FAILED, "the kernel refused %s = %s: %s" % (knob.name, value, explain(error)),
                    "Nothing was changed.",
                ) from None  # fmt: skip
        held = kernel.value(knob)
        close = isinstance(held, int) and isinstance(value, int) and abs(held - value) < max(1, knob.step)
        if held != value and not close:
            raise AgentError(
                WRITE_FAILED,
                "wrote %s = %s, but the kernel holds %s" % (knob.name, value, held),
                "Nothing was changed.",
            )
    return {path: codec.settable(kernel.read(path)) for path in history.files}


def _write_dropins(places: Places, stack: List[Dict[str, Any]]) -> None:
    merged: Dict[str, str] = {}
    for entry in stack:
        merged.update({path: text for path, text in entry["settings"].items() if path in entry["own"]})
    last = stack[-1]
    proc = {path: text for path, text in merged.items() if path.startswith(PROC)}
    rest = {path: text for path, text in merged.items() if path not in proc}
    texts = sysctl_text(proc, last["session"], last["date"]), tmpfiles_text(rest, last["session"], last["date"])
    for file, text in zip(_files(places), texts):
        if text:
            write_atomically(file, text)


def _undo(kernel: Kernel, places: Places, history: History, entry: Dict[str, Any]) -> List[Dict[str, Any]]:
    report = restore(kernel, history)
    for file in entry["files"]:
        if file["previous"] is None:
            delete(file["path"])
        elif file["previous"] != _text(file["path"]):
            write_atomically(file["path"], file["previous"])
    return report


def _files(places: Places) -> Tuple[str, str]:
    return os.path.join(places.root, SYSCTL_FILE[1:]), os.path.join(places.root, TMPFILES_FILE[1:])


def _stack(places: Places) -> List[Dict[str, Any]]:
    document = read_json(places.applied)
    return list(document["stack"]) if document else []


def _keep(places: Places, stack: List[Dict[str, Any]]) -> None:
    if stack:
        write_atomically(places.applied, encode({"stack": stack}).decode("ascii"))
    else:
        delete(places.applied)


def _text(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
