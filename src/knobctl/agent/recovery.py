"""A journal that was left behind in, a restored machine and a record of what happened out.

The agent calls it at the end of a run, the watcher when the agent died, ``knobctl restore`` and the next start when
both did.
"""

import contextlib
import functools
import os
import sys
import time
from typing import Any, Dict, List, Optional

from knobctl.agent import journal, processes
from knobctl.agent.kernel import Kernel, explain
from knobctl.agent.places import FOLDER_PREFIX, Places, delete, remove_work_folder, take_lock, write_atomically
from knobctl.agent.protocol import AgentError, encode
from knobctl.agent.restore import back, restore


def recover(
    kernel: Kernel,
    places: Places,
    by: str,
    reason: str,
    grace: float = 2.0,
    copy: bytes = b"",
    history: Optional[journal.History] = None,
) -> Optional[Dict[str, Any]]:
    """Finishes what a journal says: knobs first, then processes, then the work folder, then the journal itself.

    The journal stays where it is while a knob is not back, so that the next call can try again.

    Args:
        kernel: The machine.
        places: Where the journal is.
        by: Who does it: ``agent``, ``watcher``, ``restore`` or ``next run``.
        reason: Why the run ended, for people.
        grace: Seconds that processes get to end by themselves.
        copy: The journal's lines as the watcher heard them.
        history: What the journal must say, as the agent remembers it; read from the file by default.

    Returns:
        The record that is kept as ``last-run.json``; None when there was no journal.

    Raises:
        OSError: The journal cannot be read, so nothing could be done.
    """
    history = journal.read(places.journal, copy) if history is None else history
    if history is None:
        delete(places.journal)
        return None
    begin = history.begin
    record: Dict[str, Any] = {
        "session": str(begin.get("session", "")), "by": by, "reason": reason, "rebooted": False, "restored": True,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "knobs": [], "problem": "",
    }  # fmt: skip
    if begin.get("boot_id") and begin["boot_id"] != kernel.boot_id():
        record.update(rebooted=True, reason="the machine was rebooted, which put every knob back")
    elif _is_settled(places, begin):
        record.update(reason="everything was back already; only the journal could not be removed then")
    else:
        record["knobs"] = restore(kernel, history, functools.partial(_announce, places))
        record["restored"] = back(record["knobs"])
        _end_everything(begin, grace)
    remove_work_folder(begin)
    try:
        if record["restored"]:
            delete(places.journal)
        else:  # written anew, because the file may have been damaged
            failed = {entry["path"]: entry["now"] for entry in record["knobs"] if entry["outcome"] == "failed"}
            write_atomically(places.journal, journal.text(history, failed))
    except OSError as error:  # a disk that became read-only: the machine is what counts
        record["problem"] = "the journal %s cannot be removed or written: %s" % (places.journal, explain(error))
        if record["restored"]:
            _settle(places, begin)
    _keep(places, record)
    return record


def not_back(record: Optional[Dict[str, Any]]) -> List[str]:
    """One line for people per kernel file that could not be put back."""
    failed = [entry for entry in (record or {}).get("knobs", ()) if entry["outcome"] == "failed"]
    return ["not restored: %s (found %s)" % (entry["path"], entry["found"]) for entry in failed]


def main(kernel: Kernel, places: Places, lock: int) -> int:
    """``--restore``: finishes what a run left whose guards are dead. Returns the process's exit status."""
    try:
        take_lock(lock)
        record = recover(kernel, places, "restore", "found by `knobctl-agent --restore`")
    except (AgentError, OSError) as error:
        print("knobctl-agent: %s" % error, file=sys.stderr)
        return 75 if isinstance(error, AgentError) else 1
    for line in not_back(record):
        print("knobctl-agent: %s" % line, file=sys.stderr)
    return 0 if record is None or record["restored"] else 5


def _settle(places: Places, begin: Dict[str, Any]) -> None:
    """Notes that this journal must not be acted on again: what is changed from now on is somebody else's doing."""
    with contextlib.suppress(OSError):
        write_atomically(places.settled, str(begin.get("folder", "")))


def _is_settled(places: Places, begin: Dict[str, Any]) -> bool:
    try:
        with open(places.settled, encoding="utf-8") as handle:
            return bool(begin) and handle.read() == begin.get("folder")
    except OSError:
        return False


def _announce(places: Places, *entries: Dict[str, Any]) -> None:
    """Notes what is about to be written. A disk that takes no note does not matter here: the machine is what counts."""
    with contextlib.suppress(OSError):
        note = journal.Journal(places.journal)
        note.append(*entries)
        note.close()


def _keep(places: Places, record: Dict[str, Any]) -> None:
    """Keeps how a run ended, for ``knobctl status``. A full disk does not matter here: the machine is what counts."""
    with contextlib.suppress(OSError):
        write_atomically(places.last_run, encode(record).decode("ascii"))


def _end_everything(begin: Dict[str, Any], grace: float) -> None:
    """Ends all descendants of this process, and everything of the run's user that works in the folder."""
    folder = str(begin.get("folder", ""))
    own = folder if os.path.basename(folder).startswith(FOLDER_PREFIX) else ""
    processes.end(lambda: processes.descendants(os.getpid(), own, begin.get("uid")), grace)
