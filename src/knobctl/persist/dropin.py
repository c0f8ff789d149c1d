"""A configuration by knob names in, what an apply will write out, to be shown before anybody says yes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from knobctl.errors import TargetError
from knobctl.knobs import Catalogue, KnobState, Value
from knobctl.permanent.dropin import PROC, command_line, settings, sysctl_text, tmpfiles_text


@dataclass(frozen=True)
class DropIn:
    """What an apply writes.

    Attributes:
        settings: Kernel files with their whole new text, in the order of the configuration.
        sysctl: Text of :data:`knobctl.permanent.dropin.SYSCTL_FILE`; empty when nothing below ``/proc/sys`` changes.
        tmpfiles: Text of :data:`knobctl.permanent.dropin.TMPFILES_FILE`; empty when nothing below ``/sys`` changes.
    """

    settings: Mapping[str, str]
    sysctl: str
    tmpfiles: str

    @property
    def commands(self) -> tuple[str, ...]:
        """The same as lines for a root shell, for people who like to do it themselves."""
        return tuple(command_line(path, text) for path, text in self.settings.items())


def drop_in(
    configuration: Mapping[str, Value],
    catalogue: Catalogue,
    states: Mapping[str, KnobState],
    session: str,
    now: datetime,
) -> DropIn:
    """Draws up the files for a configuration.

    Args:
        configuration: Value of every knob that is to change.
        catalogue: The target's.
        states: How these knobs stand on the target now.
        session: Key of the session that proved the configuration.
        now: For the header.

    Raises:
        TargetError: A knob does not exist on this machine, or a value is not one line of text.
        UnknownKnob: The catalogue has no such knob.
    """
    changes = [(catalogue[name], value) for name, value in configuration.items()]
    date = f"{now:%Y-%m-%d %H:%M %Z}".strip()
    try:
        texts = settings(changes, states)
        proc = {path: text for path, text in texts.items() if path.startswith(PROC)}
        sys = {path: text for path, text in texts.items() if not path.startswith(PROC)}
        return DropIn(texts, sysctl_text(proc, session, date), tmpfiles_text(sys, session, date))
    except ValueError as error:
        raise TargetError(
            f"cannot make this permanent: {error}", "Look at `knobctl knobs` for what exists here."
        ) from None
