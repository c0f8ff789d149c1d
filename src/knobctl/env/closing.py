"""The end of whatever was measured on a machine: it is restored, and what became of it is said."""

from __future__ import annotations

from knobctl.events import EventSink, MachineRestored, PhaseStarted
from knobctl.target import RestoreReport, Target


def close_restored(target: Target, tell: EventSink) -> RestoreReport:
    """Restores the machine, ends what is still running and says so.

    Raises:
        RestoreIncomplete: A knob is not back; the hint holds the lines to paste.
    """
    tell(PhaseStarted("restore", 0, 0.0, "putting every knob back"))
    report = target.close()
    drifted = tuple(knob.path for knob in report.knobs if knob.outcome == "drifted")
    tell(MachineRestored(report.complete, len(report.knobs), drifted, report.left))
    report.require_complete()
    return report
