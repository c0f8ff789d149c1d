"""A configuration by knob names in, the two files that make it permanent out, as they would be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from knobctl.agent import dropin as text
from knobctl.agent.dropin import Setting
from knobctl.errors import TargetError
from knobctl.knobs import Catalogue, KnobState, Value


@dataclass(frozen=True)
class DropIn:
    """What an apply writes.

    Attributes:
        settings: The kernel files with their whole new text, in the order of the configuration.
        sysctl: Text of :data:`knobctl.agent.dropin.SYSCTL_FILE`; empty when nothing below ``/proc/sys`` changes.
        tmpfiles: Text of :data:`knobctl.agent.dropin.TMPFILES_FILE`; empty when nothing below ``/sys`` changes.
    """

    settings: tuple[Setting, ...]
    sysctl: str
    tmpfiles: str

    @property
    def commands(self) -> tuple[str, ...]:
        """The same as lines for a root shell, for people who like to do it themselves."""
        return tuple(text.command_line(setting) for setting in self.settings)


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
    date = f"{now:%Y-%m-%d %H:%M}"
    try:
        settings = tuple(text.settings(changes, states))
        return DropIn(settings, text.sysctl_text(settings, session, date), text.tmpfiles_text(settings, session, date))
    except ValueError as error:
        raise TargetError(
            f"cannot make this permanent: {error}", "Look at `knobctl knobs` for what exists here."
        ) from None
