"""This machine in, what is applied, what is going on and how the last run ended out; as a record, then as lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knobctl.agent.places import Places
from knobctl.knobs import Value
from knobctl.permanent.ways import read_json
from knobctl.persist import Applied, applied_here, describe_restore, knob_restores
from knobctl.target.local import LocalTarget
from knobctl.target.standing import has_journal, was_cut_off
from knobctl.target.text import clean

WAYS = {"sysctl.d": "sysctl.d", "tuned": "TuneD"}


@dataclass(frozen=True)
class StatusRecord:
    """How a machine stands.

    Attributes:
        running: A run is going on.
        interrupted: A run was cut off, and its knobs are not back.
        last_run: How the last run ended, as the agent wrote it down; None without one.
        applied: What is applied, the first apply first.
        now: Current value of every knob that is applied; None for one that cannot be read.
        tuners: Other programs that are running and write kernel settings.
    """

    running: bool
    interrupted: bool
    last_run: Mapping[str, Any] | None
    applied: tuple[Applied, ...]
    now: Mapping[str, Value | None]
    tuners: tuple[str, ...]

    @property
    def holds(self) -> dict[str, bool]:
        """Whether each applied knob still has the value that the last apply of it gave it."""
        last = {name: value for entry in self.applied for name, value in entry.values.items()}
        return {name: self.now[name] == value for name, value in last.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "running": self.running,
            "interrupted": self.interrupted,
            "last_run": self.last_run,
            "applied": [
                {
                    "session_id": entry.session,
                    "date": entry.date,
                    "via": entry.via,
                    "complete": entry.complete,
                    "values": dict(entry.values),
                }
                for entry in self.applied
            ],
            "holds": self.holds,
            "tuners": list(self.tuners),
        }


def read_status(target: LocalTarget) -> StatusRecord:
    """How the machine stands now. Changes nothing, and needs no rights.

    Raises:
        NotPermitted: Somebody took away everybody's right to look into the agent's folders.
    """
    places = Places(target.root)
    applied = applied_here(target)
    names = list(dict.fromkeys(name for entry in applied for name in entry.values))
    interrupted = was_cut_off(places)
    return StatusRecord(
        running=has_journal(places) and not interrupted,
        interrupted=interrupted,
        last_run=read_json(places.last_run),
        applied=applied,
        now={name: state.value for name, state in target.probe(names).items()},
        tuners=target.facts().tuners,
    )


def describe_status(record: StatusRecord) -> list[str]:
    """The lines of ``knobctl status``, without control characters."""
    lines = ["a run is going on" if record.running else "no run is going on"]
    if record.interrupted:
        lines.append("! a run was cut off and its knobs are not back: knobctl restore")
    last = record.last_run
    if last is not None:
        lines.append(f"last run: {last['session']}, ended {last['at']}: {last['reason']}; {_how(last)}")
        told = knob_restores([knob for knob in last["knobs"] if knob["outcome"] != "held"])
        lines += [f"  ! {line}" for line in describe_restore(told)]
        if last.get("problem"):
            lines.append(f"  ! {last['problem']}")
    if not record.applied:
        lines.append("nothing is applied")
    for entry in record.applied:
        lines.append(f"applied on {entry.date} from session {entry.session}, by way of {WAYS[entry.via]}:")
        if not entry.complete:
            lines.append("  ! this apply was cut off: knobctl rollback")
        for name, value in entry.values.items():
            now = record.now[name]
            held = "holds" if now == value else f"! is {now} now, somebody changed it"
            lines.append(f"  {name} = {value}  {held}")
    if record.applied:
        lines.append("undo the last apply with: knobctl rollback")
    lines += [f"! {tuner} is running and changes kernel settings too" for tuner in record.tuners]
    return [clean(line) for line in lines]


def _how(last: Mapping[str, Any]) -> str:
    if last["rebooted"]:
        return "nothing to put back"
    if not last["restored"]:
        return "NOT everything is back"
    who = {"agent": "the agent", "watcher": "the watcher", "restore": "knobctl restore"}.get(last["by"], last["by"])
    return f"{len(last['knobs'])} kernel files put back by {who}"
