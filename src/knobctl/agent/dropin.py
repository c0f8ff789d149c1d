"""Knobs with their new values in, the text of the files that set them at every boot out. Writes nothing.

``/proc/sys`` goes into a sysctl.d file, ``/sys`` into a tmpfiles.d file. The kernel reads whole files, so a field of a
vector becomes the whole vector, with the other fields as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

from knobctl.knobs.codec import render, settable
from knobctl.knobs.knob import Knob, KnobState, Value

SYSCTL_FILE = "/etc/sysctl.d/90-knobctl.conf"
TMPFILES_FILE = "/etc/tmpfiles.d/knobctl.conf"

PROC = "/proc/sys/"


@dataclass(frozen=True)
class Setting:
    """One kernel file with the whole text that it shall hold.

    Attributes:
        path: Below ``/proc/sys`` or ``/sys``.
        text: One line, without a newline.
    """

    path: str
    text: str


def settings(changes: Sequence[Tuple[Knob, Value]], states: Mapping[str, KnobState]) -> List[Setting]:
    """The files behind these knobs with the text that gives the knobs these values, in the order of the knobs.

    Args:
        changes: Knobs of one machine with their new values; several fields of one vector become one setting.
        states: How the knobs stand on that machine now; the source of the paths and of a vector's other fields.

    Raises:
        ValueError: A knob is absent, or its text is not one line.
    """
    texts: Dict[str, str] = {}
    for knob, value in changes:
        state = states.get(knob.name)
        if state is None or not state.present or not state.paths:
            raise ValueError("%s does not exist on this machine" % knob.name)
        for path in state.paths:
            texts[path] = render(knob, value, texts.get(path, settable(state.raw)))
    return [Setting(_one_line(path), _one_line(text)) for path, text in texts.items()]


def sysctl_key(path: str) -> str:
    """The sysctl name of a file below ``/proc/sys``: dots between the parts, or slashes when a part has a dot.

    Raises:
        ValueError: The path is not below ``/proc/sys``.
    """
    if not path.startswith(PROC):
        raise ValueError("%s is not below %s" % (path, PROC))
    name = path[len(PROC) :]
    return name if "." in name else name.replace("/", ".")


def command_line(setting: Setting) -> str:
    """What a person could paste into a root shell to write the same thing."""
    quoted = '"%s"' % setting.text if any(mark in setting.text for mark in " \t*") else setting.text
    if setting.path.startswith(PROC):
        return "sysctl -w %s=%s" % (sysctl_key(setting.path), quoted)
    return "echo %s > %s" % (quoted, setting.path)


def sysctl_text(entries: Iterable[Setting], session: str, date: str) -> str:
    """The text of :data:`SYSCTL_FILE`; empty when no entry is below ``/proc/sys``."""
    lines = ["%s = %s" % (sysctl_key(entry.path), entry.text) for entry in entries if entry.path.startswith(PROC)]
    return _with_header(lines, session, date)


def tmpfiles_text(entries: Iterable[Setting], session: str, date: str) -> str:
    """The text of :data:`TMPFILES_FILE`; empty when no entry is below ``/sys``.

    A percent sign would begin a specifier there and is doubled (tmpfiles.d(5)).
    """
    lines = [
        "w %s - - - - %s" % (_quoted(entry.path), entry.text.replace("%", "%%"))
        for entry in entries
        if not entry.path.startswith(PROC)
    ]
    return _with_header(lines, session, date)


def _with_header(lines: Sequence[str], session: str, date: str) -> str:
    if not lines:
        return ""
    header = [
        "# Written by knobctl: session %s, %s." % (_one_line(session), _one_line(date)),
        "# Evidence: knobctl report %s" % session,
        "# Undo it with: knobctl rollback",
        "",
    ]
    return "\n".join([*header, *lines, ""])


def _quoted(path: str) -> str:
    path = path.replace("%", "%%")
    return '"%s"' % path if " " in path else path


def _one_line(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("%r is not one line of text" % text)
    return text
