"""Kernel files and their texts in, the text of the files that set them at every boot out. Writes nothing.

``/etc/sysctl.d/90-knobctl.conf`` for what is below ``/proc/sys`` (sysctl.d(5)), ``/etc/tmpfiles.d/knobctl.conf`` for
what is below ``/sys`` (tmpfiles.d(5), type ``w``); or one TuneD profile for both (tuned.conf(5)). The kernel reads
whole files, so a field of a vector becomes the whole vector.
"""

import re
import shlex
from typing import Dict, List, Mapping, Sequence, Tuple

from knobctl.knobs.codec import render, settable
from knobctl.knobs.knob import Knob, KnobState, Value

SYSCTL_FILE = "/etc/sysctl.d/90-knobctl.conf"
TMPFILES_FILE = "/etc/tmpfiles.d/knobctl.conf"

PROC = "/proc/sys/"
_PLAIN_IN_A_PROFILE = re.compile(r"[\w./:,+-][\w./:,+ -]*")
"""No comment, variable, quotation mark or assignment modifier of TuneD's begins anywhere in it."""


def settings(changes: Sequence[Tuple[Knob, Value]], states: Mapping[str, KnobState]) -> Dict[str, str]:
    """The kernel files behind these knobs, each with its whole new text, in the order of the knobs.

    Args:
        changes: Knobs of one machine with their new values; several fields of one vector become one text.
        states: How the knobs stand on that machine now; the source of the paths and of a vector's other fields.

    Raises:
        ValueError: A knob is absent.
    """
    texts: Dict[str, str] = {}
    for knob, value in changes:
        state = states.get(knob.name)
        if state is None or not state.present or not state.paths:
            raise ValueError("%s does not exist on this machine" % knob.name)
        for path in state.paths:
            texts[path] = render(knob, value, texts.get(path, settable(state.raw)))
    return texts


def command_line(path: str, text: str) -> str:
    """What a person could paste into a root shell to write the same thing."""
    quoted = shlex.quote(text)
    if path.startswith(PROC):
        return "sysctl -w %s=%s" % (sysctl_key(path), quoted)
    return "echo %s > %s" % (quoted, path)


def sysctl_text(settings: Mapping[str, str], session: str, date: str) -> str:
    """The sysctl drop-in for ``{"/proc/sys/vm/swappiness": "10", ...}``; empty without a setting.

    Raises:
        ValueError: Something is not one line of text.
    """
    lines = ["%s = %s" % (sysctl_key(_line(path)), _line(text)) for path, text in settings.items()]
    return _with_header(lines, session, date)


def tmpfiles_text(settings: Mapping[str, str], session: str, date: str) -> str:
    """The tmpfiles drop-in for ``{"/sys/block/vda/queue/read_ahead_kb": "256", ...}``; empty without a setting.

    A percent sign would begin a specifier there and is doubled (tmpfiles.d(5)).

    Raises:
        ValueError: Something is not one line of text.
    """
    lines = [
        "w %s - - - - %s" % (_quoted(_line(path)), _line(text).replace("%", "%%")) for path, text in settings.items()
    ]
    return _with_header(lines, session, date)


def tuned_text(settings: Mapping[str, str], include: Sequence[str], session: str, date: str) -> str:
    """The TuneD profile that sets ``{"/proc/sys/vm/swappiness": "10", "/sys/...": "256"}`` on top of other profiles.

    Raises:
        ValueError: Something is not one line of text, or TuneD would read it as more than text.
    """
    sections: Dict[str, List[str]] = {"sysctl": [], "sysfs": []}
    for path, text in settings.items():
        proc = path.startswith(PROC)
        # Dots separate and a dot inside a name is a slash there, whatever comes first.
        name = path[len(PROC) :].translate(str.maketrans("./", "/.")) if proc else path
        sections["sysctl" if proc else "sysfs"].append("%s=%s" % (_plain(name), _plain(text)))
    lines = ["[main]", "summary=Proven by knobctl on this machine"]
    lines += ["include=%s" % ",".join(include)] if include else []
    for section, entries in sections.items():
        lines += ["", "[%s]" % section, *entries] if entries else []
    return _with_header(lines, session, date) if settings else ""


def sysctl_key(path: str) -> str:
    """Name of a file below ``/proc/sys`` as sysctl writes it: with dots, or with slashes when a part has a dot."""
    name = path[len(PROC) :]
    return name if "." in name else name.replace("/", ".")


def _with_header(lines: Sequence[str], session: str, date: str) -> str:
    if not lines:
        return ""
    header = [
        "# Written by `knobctl apply` on %s, from the measurements of session %s." % (_line(date), _line(session)),
        "# Undo with `knobctl rollback`, which also puts the live values back.",
    ]
    return "\n".join([*header, *lines, ""])


def _quoted(path: str) -> str:
    path = path.replace("%", "%%")
    return '"%s"' % path if " " in path else path


def _plain(text: str) -> str:
    if not _PLAIN_IN_A_PROFILE.fullmatch(text):
        raise ValueError("%r is not plain text for a TuneD profile" % text)
    return text


def _line(text: str) -> str:
    if not text or not text.replace("\t", " ").isprintable():
        raise ValueError("%r is not one line of text" % text)
    return text
