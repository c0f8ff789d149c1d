"""A journal's history in, every kernel file back at the text that was found, and a report out.

Reverse order of the first writes; the value found, never a constant. A file that holds neither what was found nor what
this run left there was changed by somebody else: it is left alone and reported.
"""

from typing import Any, Dict, List

from knobctl.agent.journal import FileHistory, History
from knobctl.agent.kernel import Kernel, explain
from knobctl.knobs import codec

PASSES = 3
"""Writing one file may change another (a kernel side effect), so all are looked at again until nothing moves."""


def restore(kernel: Kernel, history: History) -> List[Dict[str, Any]]:
    """Puts back every file of the history. Never raises for a single file; calling it again does no harm.

    Returns:
        One ``{"path", "outcome", "found", "now", "detail"}`` per file, in the order of their first writes. The outcome
        is ``held``, ``drifted`` (changed by somebody else and left alone), ``absent`` or ``failed``.
    """
    drifted = {path for path, entry in history.files.items() if _changed_by_other(kernel, entry)}
    details: Dict[str, str] = {}
    for _ in range(PASSES):
        moved = False
        for entry in reversed(list(history.files.values())):
            if entry.path in drifted or not entry.active:
                continue
            text = kernel.text(entry.path)
            if text is None or codec.same(text, entry.found):
                continue
            try:
                kernel.write(entry.path, entry.found)
                moved = True
                details.pop(entry.path, None)
            except OSError as error:
                details[entry.path] = explain(error)
        if not moved:
            break
    return [_report(kernel, entry, entry.path in drifted, details) for entry in history.files.values()]


def back(report: List[Dict[str, Any]]) -> bool:
    """Whether every file has the value found, or a value that somebody else chose."""
    return all(entry["outcome"] in ("held", "drifted") for entry in report)


def _changed_by_other(kernel: Kernel, entry: FileHistory) -> bool:
    text = kernel.text(entry.path)
    if text is None or entry.pending or codec.same(text, entry.found):
        return False
    return entry.seen is None or not codec.same(text, entry.seen)


def _report(kernel: Kernel, entry: FileHistory, drifted: bool, details: Dict[str, str]) -> Dict[str, Any]:
    text = kernel.text(entry.path)
    if text is None:
        outcome = "absent"
    elif codec.same(text, entry.found):
        outcome = "held"
    elif drifted:
        outcome = "drifted"
    else:
        outcome = "failed"
    now = "" if text is None else codec.settable(text)
    detail = details.get(entry.path, "")
    return {"path": entry.path, "outcome": outcome, "found": entry.found, "now": now, "detail": detail}
