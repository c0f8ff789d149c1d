"""A stack of applies in, which files make it hold at every boot and their whole texts out. Writes nothing.

Two ways: ``sysctl.d`` writes a drop-in for ``systemd-sysctl`` and one for ``systemd-tmpfiles``; ``tuned`` writes one
TuneD profile that includes the profile that was active before. One machine goes one way at a time.
"""

import json
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from knobctl.agent.places import Places
from knobctl.knobs import Catalogue, Knob
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


def texts(stack: Sequence[Mapping[str, Any]], tuned: Tuned, catalogue: Catalogue) -> Dict[str, str]:
    """The files of a stack, each with the whole text that sets everything of it; a file without a setting is left out.

    Raises:
        ValueError: Something is not one line of plain text.
    """
    merged = _merged(stack, catalogue)
    last = stack[-1]
    header = str(last["session"]), str(last["date"])
    if way_of(stack) == TUNED:
        found = [tuned_text(merged, stack[0]["tuned"]["profiles"], *header)]
    else:
        proc = {path: text for path, text in merged.items() if path.startswith(PROC)}
        rest = {path: text for path, text in merged.items() if path not in proc}
        found = [sysctl_text(proc, *header), tmpfiles_text(rest, *header)]
    return {file: text for file, text in zip(files_of(way_of(stack), tuned), found) if text}


def moved_by(knobs: Iterable[Knob]) -> Set[str]:
    """Names of the knobs that the kernel changes by itself when these are written, so that they are set after them."""
    return {name for knob in knobs for name in knob.affects}


def _merged(stack: Sequence[Mapping[str, Any]], catalogue: Catalogue) -> Dict[str, str]:
    """The kernel files of a stack with their texts, in an order in which no line undoes another.

    Boot programs write line by line. So a later apply comes after an earlier one, of a twin only the face that was
    chosen last is left, and what the kernel moves by itself comes after what moves it.
    """
    merged: Dict[str, str] = {}
    knobs = {path: catalogue.find(path) for entry in stack for path in entry["own"]}
    for entry in stack:
        for path in dict.fromkeys(entry["own"]):  # the fields of one vector share a file
            knob = knobs[path]
            merged.pop(path, None)
            if knob and knob.twin:
                merged.pop(catalogue[knob.twin].path, None)
            merged[path] = entry["settings"][path]
    moved = moved_by(knob for knob in knobs.values() if knob)
    late = {path for path, knob in knobs.items() if knob and knob.name in moved}
    return dict(sorted(merged.items(), key=lambda item: item[0] in late))
