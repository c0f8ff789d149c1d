"""Invented machines on which things go wrong, for ``--target simulated:tests.commands.machines:NAME``."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Mapping

from knobctl.errors import Busy, KnobChangedByOther, KnobctlError, NotPermitted, RestoreIncomplete
from knobctl.knobs import Value


class Flat:
    """Nothing matters here; after seven runs :meth:`strike` happens."""

    metric = "transactions_per_second"
    direction = "maximize"
    action_space = ({"param": "vm.swappiness", "min": 0, "max": 100},)

    def __init__(self) -> None:
        self._runs = 0

    def default(self) -> dict[str, Value]:
        """As found."""
        return {"vm.swappiness": 60}

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        """Always the same."""
        self._runs += 1
        if self._runs > 7:
            self.strike()
        return 1000.0

    def strike(self) -> None:
        """Nothing."""


class Broken(Flat):
    """The benchmark never works."""

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        """None."""
        return None


class Restless(Flat):
    """So noisy that nothing can be proven."""

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        """Anything from 1 to 100000."""
        self._runs += 1
        return 10 ** random.Random(self._runs).uniform(0, 5)


class Raising(Flat):
    """Ends with an error of the tree."""

    error: KnobctlError

    def strike(self) -> None:
        """Raises it."""
        raise self.error


class Meddled(Raising):
    """Somebody else changes a knob."""

    error = KnobChangedByOther("/proc/sys/vm/swappiness was changed to 1 by somebody else", "Their value was left.")


class Stuck(Raising):
    """A knob cannot be put back."""

    error = RestoreIncomplete("1 kernel setting(s) could not be put back", "Paste as root: echo 60 > swappiness")


class Taken(Raising):
    """Another run is there first."""

    error = Busy("another knobctl run holds this machine's lock", "Wait for it, or see `knobctl status`.")


class Guarded(Raising):
    """No rights."""

    error = NotPermitted("/proc/sys is mounted read-only, as in a container", "Run on the host itself.")


class Chatty(Raising):
    """Says what no terminal should be shown."""

    error = KnobctlError("\x1b]0;owned\x07the tool said \x1b[31mred\u202e\r done", "read \x1b[2Jthis")


class Signalled(Flat):
    """Somebody presses Ctrl-C, or stops the service: a signal arrives twice while the benchmark runs."""

    number = signal.SIGINT

    def strike(self) -> None:
        """Sends it to this process."""
        os.kill(os.getpid(), self.number)


class Terminated(Signalled):
    """SIGTERM."""

    number = signal.SIGTERM


class HungUp(Signalled):
    """SIGHUP: the terminal went away."""

    number = signal.SIGHUP


class Defective(Flat):
    """A mistake in the program itself."""

    @property
    def action_space(self) -> tuple[dict[str, Value], ...]:  # type: ignore[override]
        """Fails in a way that nobody expects."""
        raise ZeroDivisionError("no such thing")
