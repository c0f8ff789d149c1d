"""A journal that was left behind in, a restored machine and a record of what happened out.

The agent calls it at the end of a run, the watcher when the agent died, ``knobctl restore`` and the next run when both
did.
"""

import os
import time
from typing import Any, Dict, Optional

from knobctl.agent import journal, processes
from knobctl.agent.facts import boot_id
from knobctl.agent.kernel import Kernel
from knobctl.agent.places import FOLDER_PREFIX, Places, delete, remove_work_folder, write_atomically
from knobctl.agent.protocol import encode
from knobctl.agent.restore import back, restore


def recover(kernel: Kernel, places: Places, by: str, reason: str, grace: float = 2.0) -> Optional[Dict[str, Any]]:
    """Finishes what a journal says: knobs first, then processes, then the work folder, then the journal itself.

    The journal stays where it is while a knob is not back, so that the next call can try again.

    Args:
        kernel: The machine.
        places: Where the journal is.
        by: Who does it: ``agent``, ``watcher``, ``restore`` or ``next run``.
        reason: Why the run ended, for people.
        grace: Seconds that processes get to end by themselves.

    Returns:
        The record that is kept as ``last-run.json``; None when there was no journal.
    """
    history = journal.read(places.journal)
    if history is None:
        delete(places.journal)
        return None
    begin = history.begin
    record = {
        "session": str(begin.get("session", "")),
        "by": by,
        "reason": reason,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "rebooted": False,
        "restored": True,
        "knobs": [],
    }  # type: Dict[str, Any]
    if begin.get("boot_id") and begin["boot_id"] != boot_id(places.root):
        record.update(rebooted=True, reason="the machine was rebooted, which put every knob back")
    else:
        record["knobs"] = restore(kernel, history)
        record["restored"] = back(record["knobs"])
        end_everything(str(begin.get("folder", "")), grace)
    remove_work_folder(str(begin.get("folder", "")))
    keep_record(places, record)
    if record["restored"]:
        delete(places.journal)
    return record


def keep_record(places: Places, record: Dict[str, Any]) -> None:
    """Keeps how a run ended, for ``knobctl status``. A full disk does not matter here: the machine is what counts."""
    try:
        write_atomically(places.last_run, encode(record).decode("ascii"))
    except OSError:
        return


def end_everything(folder: str, grace: float) -> None:
    """Ends all descendants of this process and everything that works in the folder."""
    own = folder if os.path.basename(folder).startswith(FOLDER_PREFIX) else ""
    processes.end(lambda: processes.descendants(os.getpid(), own), grace)
