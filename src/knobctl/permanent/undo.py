"""The record of an apply in, the machine as it was before it out: files, the active profile, live values.

Never stops half-way: whatever cannot be put back is named in the outcome, and the rest goes on.
"""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from knobctl.agent.journal import History
from knobctl.agent.kernel import Kernel, explain
from knobctl.agent.places import delete, write_atomically
from knobctl.agent.protocol import AgentError
from knobctl.agent.restore import restore
from knobctl.knobs import codec
from knobctl.permanent.dropin import command_line
from knobctl.permanent.tuned import PROFILE, Tuned
from knobctl.permanent.ways import TUNED


class Undone(NamedTuple):
    """How an undo went: a restore report, files that are not back, what TuneD may not know, lines to paste."""

    report: List[Dict[str, Any]]
    stuck: List[str]
    doubt: str

    @property
    def settled(self) -> List[str]:
        """Kernel files with which there is nothing more to do, whatever else has to be done again."""
        return [knob["path"] for knob in self.report if knob["outcome"] != "failed"]

    @property
    def hint(self) -> str:
        """What a person can do about it; empty when there is nothing to do."""
        lines = [command_line(knob["path"], knob["found"]) for knob in self.report if knob["outcome"] == "failed"]
        pasted = ["Paste as root: " + "; ".join(lines)] if lines else []
        return " ".join([*(["Restart TuneD."] if self.doubt else []), *pasted])


def undo(kernel: Kernel, history: History, entry: Dict[str, Any], tuned: Tuned) -> Undone:
    """Undoes one apply.

    Args:
        kernel: The machine.
        history: The values that were found and that were left there.
        entry: The record of the apply.
        tuned: This machine's TuneD.
    """
    fresh = [file for file in entry["files"] if file["previous"] is None]
    switching = entry.get("via") == TUNED and _is_active(entry, tuned)
    others: Dict[str, str] = {}
    if switching:
        others = changed_by_others(kernel, history)
        for file in history.files.values():  # whatever TuneD makes of all others will be put back
            file.pending = file.path not in others
    stuck = [_put(file["path"], file["previous"]) for file in entry["files"] if file not in fresh]
    doubt = ""
    if switching:
        doubt, more = _switch_back(entry["tuned"], tuned)
        stuck += more
    stuck += [_put(file["path"], None) for file in fresh]
    for folder in entry.get("made", ()):
        try:
            os.rmdir(folder)
        except OSError:
            continue  # it holds something of somebody else's by now, or is gone
    for path, text in sorted(others.items(), key=lambda pair: pair[1] != "0"):  # the idle face of a twin first
        try:
            kernel.write(path, text)
        except OSError:
            continue  # the report says what it is now
    return Undone(restore(kernel, history), [words for words in stuck if words], doubt)


def _is_active(entry: Dict[str, Any], tuned: Tuned) -> bool:
    """Whether TuneD has our profile, or may have it; not when somebody chose another one since."""
    active = list(tuned.active())
    if entry["complete"]:
        return active == [PROFILE]
    begun = any(text_of(file["path"]) != file["previous"] for file in entry["files"])
    return begun and active in ([PROFILE], entry["tuned"]["profiles"])


def changed_by_others(kernel: Kernel, history: History) -> Dict[str, str]:
    """Files, with their texts, that hold neither what was found nor what we left there, and the twins of these."""
    texts = {file.path: kernel.text(file.path) for file in history.files.values() if not file.pending}
    changed = set()
    for path, text in texts.items():
        known = (history.files[path].found, history.files[path].seen)
        if text is not None and not any(one is not None and codec.same(text, one) for one in known):
            changed.add(path)
    for knob in kernel.catalogue:  # who chose one face of a twin chose both
        if knob.twin and changed.intersection(kernel.files(knob)):
            changed.update(kernel.files(kernel.catalogue[knob.twin]))
    return {path: codec.settable(text) for path, text in texts.items() if path in changed and text is not None}


def _switch_back(before: Dict[str, Any], tuned: Tuned) -> Tuple[str, List[str]]:
    """Gives TuneD its profile back. Returns what it may not know, and which of its files could not be put back."""
    doubt = ""
    if tuned.running():  # else tuned-adm would start it
        try:
            tuned.switch(before["profiles"], before["automatic"])
            if before["automatic"]:
                return "", []  # what it recommends today
        except AgentError as error:
            doubt = error.message
    wrong = [path for path, text in before["texts"].items() if tuned.text(path) != text]
    return doubt if wrong else "", [_put(tuned.real(path), before["texts"][path]) for path in wrong]


def in_words(error: Exception) -> str:
    """An error of a file, or of a value, for people."""
    if isinstance(error, OSError):
        return "cannot write %s: %s" % (error.filename, explain(error))
    return str(error)


def _put(path: str, text: Optional[str]) -> str:
    """Gives a file its text; None deletes it. Returns why that could not be done, else nothing."""
    try:
        if text is None:
            delete(path)
        elif text != text_of(path):
            write_atomically(path, text)
    except OSError as error:
        return in_words(error)
    return ""


def text_of(path: str) -> Optional[str]:
    """Text of a file; None when there is none.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
