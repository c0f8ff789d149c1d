"""A recorded session in, the one line that a list of sessions shows of it out."""

from __future__ import annotations

from knobctl.measure import Verdict
from knobctl.report.wording import SIMULATED, one_line
from knobctl.store import SessionRecord


def session_line(record: SessionRecord) -> str:
    """Key, outcome, verified gain if there is one, number of trials, workload."""
    result = record.result
    outcome = str(result.verdict) if result else record.status
    gain = f"{result.improvement:+.1f} %" if result and result.verdict is Verdict.IMPROVED else ""
    simulated = f" {SIMULATED}" if record.simulated else ""
    return f"{record.id}  {outcome:<12} {gain:>9}  {record.trials:>3} trials  {one_line(record.workload)}{simulated}"
