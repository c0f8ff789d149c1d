"""The record of an apply in, the machine as it was before it out: files, the active profile, live values.

Never stops half-way: whatever cannot be put back is named in the outcome, and the rest goes on.
"""

import hashlib
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

KEPT = ".saved"
"""How the name of a file ends that somebody edited: sysctl, systemd-tmpfiles and TuneD read nothing that ends so."""


class Undone(NamedTuple):
    """How an undo went: a restore report, files that are not back, what TuneD may not know, edited files kept aside."""

    report: List[Dict[str, Any]]
    stuck: List[str]
    doubt: str
    kept: List[str]

    @property
    def news(self) -> str:
        """The end of an error's sentence: where the edited files are; empty without one."""
        return "".join("; what was edited since is kept as %s" % path for path in self.kept)

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
    kept: List[str] = []
    stuck = [_give_back(file, kept) for file in entry["files"] if file not in fresh]
    doubt = ""
    if switching:
        doubt, more = _switch_back(entry["tuned"], tuned)
        stuck += more
    stuck += [_give_back(file, kept) for file in fresh]
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
    return Undone(restore(kernel, history), [words for words in stuck if words], doubt, kept)


def _is_active(entry: Dict[str, Any], tuned: Tuned) -> bool:
    """Whether TuneD has our profile, or may have it; not when somebody chose another one since."""
    active = list(tuned.active())
    if entry["complete"]:
        return active == [PROFILE]
    begun = any(digest_of(file["path"]) != _digest(file["previous"]) for file in entry["files"])
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


def _give_back(file: Dict[str, Any], kept: List[str]) -> str:
    """Gives a file its text of before the apply. Returns why that could not be done, else nothing.

    Args:
        file: The record of it.
        kept: Is told where the file is kept when somebody edited it since.
    """
    path, previous = file["path"], file["previous"]
    try:
        if "written" in file and digest_of(path) not in (None, file["written"], _digest(previous)):
            kept.append(_keep_beside(path))
    except OSError as error:
        return in_words(error)
    return _put(path, previous)


def _keep_beside(path: str) -> str:
    """Gives a file a second name, which stays when the first is replaced or deleted. Returns that name."""
    name, number = path + KEPT, 1
    while True:
        try:
            os.link(path, name, follow_symlinks=False)
            return name
        except FileExistsError:
            if os.path.samestat(os.lstat(path), os.lstat(name)):  # an attempt at this rollback was here
                return name
        number += 1
        name = "%s%s.%d" % (path, KEPT, number)


def _put(path: str, text: Optional[str]) -> str:
    """Gives a file its text; None deletes it. Returns why that could not be done, else nothing."""
    try:
        if text is None:
            delete(path)
        elif _digest(text) != digest_of(path):
            write_atomically(path, text)
    except OSError as error:
        return in_words(error)
    return ""


def text_of(path: str) -> Optional[str]:
    """Text of a file to the letter; None when there is none.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def digest_of(path: str) -> Optional[str]:
    """SHA-256 of a file's content; None when there is none.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        with open(path, "rb") as handle:
            return hashlib.sha256(handle.read()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _digest(text: Optional[str]) -> Optional[str]:
    return None if text is None else hashlib.sha256(text.encode("utf-8")).hexdigest()
