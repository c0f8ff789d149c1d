"""Kernel files and their texts in, the text of a drop-in that sets them at boot out.

``/etc/sysctl.d/90-knobctl.conf`` for what is below ``/proc/sys`` (sysctl.d(5)), ``/etc/tmpfiles.d/knobctl.conf`` for
what is below ``/sys`` (tmpfiles.d(5), type ``w``). A vector is always written whole.
"""

from typing import Mapping


def sysctl_text(settings: Mapping[str, str], session: str, date: str) -> str:
    """The sysctl drop-in for ``{"/proc/sys/vm/swappiness": "10", ...}``."""
    lines = ["%s = %s" % (sysctl_key(path), text) for path, text in settings.items()]
    return _header(session, date) + "\n".join(lines) + "\n"


def tmpfiles_text(settings: Mapping[str, str], session: str, date: str) -> str:
    """The tmpfiles drop-in for ``{"/sys/block/vda/queue/read_ahead_kb": "256", ...}``."""
    lines = ["w %s - - - - %s" % (path, text) for path, text in settings.items()]
    return _header(session, date) + "\n".join(lines) + "\n"


def sysctl_key(path: str) -> str:
    """Name of a file below ``/proc/sys`` as sysctl writes it; a dot inside a component becomes a slash."""
    name = path[len("/proc/sys/") :]
    return name if "." in name else name.replace("/", ".")


def _header(session: str, date: str) -> str:
    return (
        "# Written by `knobctl apply` on %s, from the measurements of session %s.\n"
        "# Undo with `knobctl rollback`, which also puts the live values back.\n" % (date, session)
    )
