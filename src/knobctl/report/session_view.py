"""A recorded session in; the line of a list, what a terminal shows of it, and the whole of it as one document out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from knobctl.events import Event, MachineRestored, PairMeasured, Trial
from knobctl.measure import Verdict
from knobctl.report.conversation_view import conversation_document, describe_conversation
from knobctl.report.summary import summarize
from knobctl.report.wording import SIMULATED, one_line
from knobctl.store import ConversationRecord, SessionRecord, Store

Kind = TypeVar("Kind", bound=Event)


@dataclass(frozen=True)
class RecordedSession:
    """Everything that the store holds of one session.

    Attributes:
        record: The session itself, with its result if it has one.
        trials: In the order in which they ran.
        pairs: Of the verification, in their order.
        events: All other events, in their order.
        conversation: The one that it began in; None without one.
    """

    record: SessionRecord
    trials: tuple[Trial, ...]
    pairs: tuple[PairMeasured, ...]
    events: tuple[Event, ...]
    conversation: ConversationRecord | None = None

    def first(self, kind: type[Kind]) -> Kind | None:
        """The first event of a kind; None without one."""
        return next((event for event in self.events if isinstance(event, kind)), None)

    @property
    def restored(self) -> bool | None:
        """Whether every knob is back; None when the record does not say."""
        if self.record.result is not None:
            return self.record.result.restored
        looked = [event.complete for event in self.events if isinstance(event, MachineRestored)]
        return looked[-1] if looked else None


def read_session(store: Store, reference: str) -> RecordedSession:
    """Everything of the session that a reference means.

    Raises:
        UsageError: There is no such session, or more than one.
        StoreError: The record cannot be read.
    """
    record = store.session(reference)
    return RecordedSession(
        record,
        store.trials(record.id),
        store.pairs(record.id),
        store.events(record.id),
        store.conversation_of(record.id),
    )


def session_line(record: SessionRecord) -> str:
    """Key, outcome, verified gain if there is one, number of trials, workload."""
    result = record.result
    outcome = str(result.verdict) if result else record.status
    gain = f"{result.improvement:+.1f} %" if result and result.verdict is Verdict.IMPROVED else ""
    simulated = f" {SIMULATED}" if record.simulated else ""
    return f"{record.id}  {outcome:<12} {gain:>9}  {record.trials:>3} runs  {one_line(record.workload)}{simulated}"


def describe_session(session: RecordedSession, *, verbose: bool = False) -> str:
    """The result, or how far a session without one came; ``verbose`` adds every trial and the conversation."""
    record = session.record
    if record.result is not None:
        lines = [summarize(record.result)]
    else:
        lines = [f"session {record.id} ({record.workload}) is {record.status}: {record.reason or 'no result yet'}"]
    if verbose or record.result is None:
        lines += [_trial_line(trial) for trial in session.trials]
    if verbose and session.conversation is not None:
        lines.append(f"\n{describe_conversation(session.conversation)}")
    return "\n".join(lines)


def session_document(session: RecordedSession) -> dict[str, Any]:
    """The same as plain JSON types, with every raw sample."""
    record = session.record
    return {
        "session_id": record.id,
        "status": record.status,
        "reason": record.reason,
        "request": record.request,
        "result": record.result.to_dict() if record.result else None,
        "trials": [vars(trial) | {"samples": [list(sample) for sample in trial.samples]} for trial in session.trials],
        "pairs": [vars(pair) for pair in session.pairs],
        "events": [event.to_dict() for event in session.events],
        "conversation": conversation_document(session.conversation) if session.conversation else None,
    }


def _trial_line(trial: Trial) -> str:
    score = trial.failure if trial.score is None else f"{trial.score:.6g}{' cut short' if trial.cut_short else ''}"
    changed = ", ".join(f"{name}={value}" for name, value in trial.configuration.items()) or "default"
    return f"{trial.number:>4} {trial.kind:<16} {score:>12}  {changed}"
