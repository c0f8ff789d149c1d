"""A stack of applies in, which files make it hold at every boot and their whole texts out. Writes nothing.

Two ways: ``sysctl.d`` writes a drop-in for ``systemd-sysctl`` and one for ``systemd-tmpfiles``; ``tuned`` writes one
TuneD profile that includes the profile that was active before. One machine goes one way at a time.
"""

import json
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from knobctl.agent.places import Places
from knobctl.permanent.dropin import PROC, SYSCTL_FILE, TMPFILES_FILE, sysctl_text, tmpfiles_text, tuned_text
from knobctl.permanent.tuned import PROFILE, Tuned

SYSCTL_D, TUNED = "sysctl.d", "tuned"
WAYS = (SYSCTL_D, TUNED)


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """A JSON object from a file; None when it does not exist or is not one."""
    try:
        with open(path, encoding="utf-8") as handle:
            document = json.load(handle)
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def stack_of(places: Places) -> List[Dict[str, Any]]:
    """The records of what is applied on a machine, the first apply first."""
    document = read_json(places.applied)
    return list(document["stack"]) if document else []


def way_of(stack: Sequence[Mapping[str, Any]]) -> str:
    """By which way the applies of this machine are made permanent; empty without one."""
    return str(stack[-1].get("via", SYSCTL_D)) if stack else ""


def obstacle(via: str, stack: Sequence[Mapping[str, Any]], tuned: Tuned) -> Tuple[str, str]:
    """Why something cannot be applied this way here and now, and what to do; both empty when it can."""
    if via not in WAYS:
        return "there is no way %r to make values permanent" % via, "The ways are %s." % " and ".join(WAYS)
    if stack and not stack[-1].get("complete", True):
        return "an apply was cut off", "Undo it first: knobctl rollback."
    if stack and via != way_of(stack):
        return (
            "what is applied here already was applied by way of %s, which cannot be mixed with %s"
            % (way_of(stack), via),
            "Leave --via out, or undo that first: knobctl rollback.",
        )
    if via == SYSCTL_D:
        return "", ""
    if not tuned.running():
        return "TuneD is not running here", "Leave --via out."
    if not tuned.program():
        return "TuneD is running here, but its tuned-adm is not installed", "Install it, or say --via sysctl.d."
    active = tuned.active()
    if stack and active != (PROFILE,):
        return (
            "the TuneD profile %s was applied, but %s is active now" % (PROFILE, " ".join(active) or "none"),
            "Undo the apply first: knobctl rollback. The profile that is active stays.",
        )
    if not stack and PROFILE in active:
        return (
            "the TuneD profile %s is active, and it is not from an apply on this machine" % PROFILE,
            "Choose another one first: tuned-adm profile NAME.",
        )
    return "", ""


def files_of(via: str, tuned: Tuned) -> Tuple[str, ...]:
    """The files that this way writes, without the root folder."""
    return (tuned.profile_file(),) if via == TUNED else (SYSCTL_FILE, TMPFILES_FILE)


def texts(stack: Sequence[Mapping[str, Any]], tuned: Tuned) -> Dict[str, str]:
    """The files of a stack, each with the whole text that sets everything of it; a file without a setting is left out.

    Raises:
        ValueError: Something is not one line of plain text.
    """
    merged: Dict[str, str] = {}
    for entry in stack:
        merged.update({path: text for path, text in entry["settings"].items() if path in entry["own"]})
    last = stack[-1]
    header = str(last["session"]), str(last["date"])
    if way_of(stack) == TUNED:
        found = [tuned_text(merged, stack[0]["tuned"]["profiles"], *header)]
    else:
        proc = {path: text for path, text in merged.items() if path.startswith(PROC)}
        rest = {path: text for path, text in merged.items() if path not in proc}
        found = [sysctl_text(proc, *header), tmpfiles_text(rest, *header)]
    return {file: text for file, text in zip(files_of(way_of(stack), tuned), found) if text}
