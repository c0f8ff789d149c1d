"""A journal's history in, every kernel file back at the text that was found, and a report out.

Reverse order of the first writes; the value found, never a constant. A file that holds neither what was found nor what
this run left there was changed by somebody else: their value stays, also where writing another file would move it.
"""

import time
from typing import Any, Callable, Dict, List

from knobctl.agent.journal import FileHistory, History
from knobctl.agent.kernel import Kernel, explain
from knobctl.knobs import codec

PAUSES = (0.0, 0.0, 0.0, 0.02, 0.1, 0.4)
"""Seconds before each look at the files that are not back yet. Writing one may change another (a kernel side effect),
so all are looked at again until nothing is left; a kernel that is busy for a moment gets a moment."""


def restore(
    kernel: Kernel, history: History, announce: Callable[..., None] = lambda *entries: None
) -> List[Dict[str, Any]]:
    """Puts back every file of the history. Never raises for a single file; calling it again does no harm.

    Args:
        kernel: The machine.
        history: What the journal says.
        announce: Called with entries for the journal before the first write, so that a restore which is cut short can
            be finished by another one.

    Returns:
        One ``{"path", "outcome", "found", "now", "detail"}`` per file, in the order of their first writes. The outcome
        is ``held``, ``drifted`` (changed by somebody else and left alone), ``absent`` (the file is gone, so there is
        nothing to put back) or ``failed``.
    """
    drifted = {path for path, entry in history.files.items() if _changed_by_other(kernel, entry)}
    faces: Dict[str, str] = {}
    for knob in kernel.catalogue:
        if knob.twin:
            faces.update(zip(kernel.files(knob), kernel.files(kernel.catalogue[knob.twin])))
    drifted.update([faces[path] for path in drifted if path in faces])  # who chose one face of a twin chose both
    wanted = {
        path: codec.settable(kernel.text(path) or "") if path in drifted else entry.found
        for path, entry in history.files.items()
    }
    details: Dict[str, str] = {}
    for turn, pause in enumerate(PAUSES):
        time.sleep(pause)
        away = {path for path, text in wanted.items() if not _is_back(kernel, path, text, details)}
        away.update([faces[path] for path in away if path in faces])  # a 0 is back only when the other face is
        left = [entry for path, entry in history.files.items() if path in away and (entry.active or path in drifted)]
        if not left:
            break
        if turn == 0:
            announce(*({"kind": "intent", "path": path} for path in wanted if path not in drifted))
        for entry in reversed(left):
            try:
                kernel.write(entry.path, wanted[entry.path])
                details.pop(entry.path, None)
            except OSError as error:
                details[entry.path] = explain(error)
    return [_report(kernel, entry, entry.path in drifted, details) for entry in history.files.values()]


def back(report: List[Dict[str, Any]]) -> bool:
    """Whether no file holds a value of ours any more."""
    return all(entry["outcome"] != "failed" for entry in report)


def _is_back(kernel: Kernel, path: str, wanted: str, details: Dict[str, str]) -> bool:
    try:
        return codec.same(kernel.read(path), wanted)
    except FileNotFoundError:
        return True
    except OSError as error:
        details[path] = explain(error)
        return False


def _changed_by_other(kernel: Kernel, entry: FileHistory) -> bool:
    text = kernel.text(entry.path)
    if text is None or entry.pending or codec.same(text, entry.found):
        return False
    return entry.seen is None or not codec.same(text, entry.seen)


def _report(kernel: Kernel, entry: FileHistory, drifted: bool, details: Dict[str, str]) -> Dict[str, Any]:
    now, detail = "", details.get(entry.path, "")
    try:
        text = kernel.read(entry.path)
        now = codec.settable(text)
        outcome = "held" if codec.same(text, entry.found) else "drifted" if drifted else "failed"
    except FileNotFoundError:
        outcome, detail = "absent", ""
    except OSError as error:
        outcome, detail = "failed", explain(error)
    return {"path": entry.path, "outcome": outcome, "found": entry.found, "now": now, "detail": detail}
