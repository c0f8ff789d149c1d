"""``sessions`` and ``report`` read the record; ``apply`` and its relatives refuse what they must not touch."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from knobctl.agent.places import Places
from knobctl.commands.edge import guarded
from knobctl.commands.manage import end
from knobctl.events import SessionEnded, StrategistStep, Trial, TrialDone
from knobctl.measure import Verdict
from knobctl.permanent.tuned import Tuned
from knobctl.store import Result
from knobctl.target.base import KnobRestore
from knobctl.target.simulated import FACTS
from tests.commands.conftest import CommandLine
from tests.commands.plans import plan

RESULT: dict[str, Any] = {
    "success": True, "workload_name": "PostgreSQL OLTP", "best_reward": 103.5, "best_config": {"vm.swappiness": 10},
    "baseline_reward": 99.0, "improvement": 8.1, "total_episodes": 3, "verdict": Verdict.IMPROVED,
    "reason": "after 12 pairs the effect is between +5.2 % and +11.0 %", "improvement_interval": (5.2, 11.0),
    "metric": "transactions_per_second", "unit": "1/s", "direction": "maximize", "baseline_score": 4000.0,
    "best_score": 4324.0, "candidate_config": {"vm.swappiness": 10}, "claimed_by_search": 13.0, "trials": 45,
    "benchmark_seconds": 360.0, "session_id": "", "restored": True, "simulated": False, "target": "local",
    "searcher": "ppo", "pairs": 12, "noise_percent": 3.1, "smallest_percent": 5.2, "policy_updates": 2,
    "seconds": 480.0,
}  # fmt: skip


def keep(knobctl: CommandLine, session: str, *, simulated: bool = False, end: tuple[str, str] | None = None,
         unfinished: bool = False, conversation: str = "", **changes: Any) -> str:  # fmt: skip
    """Puts a session into the record: finished with this result, ended without one, or still running."""
    target = "simulated:postgresql" if simulated else "local"
    with knobctl.store() as store:
        store.begin(request="make it fast", plan=plan("postgresql"), facts=FACTS, target=target, simulated=simulated,
                    searcher="ppo", budget=24, seed=7, session=session, conversation=conversation)  # fmt: skip
        save = store.sink(session)
        score = Trial(
            0, "baseline", {}, 4000.0, {"transactions_per_second": 4000.0}, {}, ((1.0, 3999.0),), 5.0, None, "", 0.0
        )
        crash = Trial(1, "search", {"vm.swappiness": 10}, None, {}, {}, (), 5.0, 12.5, "exit code 1: \x1b[31mno", 5.0)
        for trial in (score, crash):
            save(TrialDone(trial, 1, 2, 0.0, None))
        if end is not None:
            store.end(session, *end)
        elif not unfinished:
            result = {**RESULT, "session_id": session, "simulated": simulated, "target": target, **changes}
            save(SessionEnded(Result(**result).to_dict()))
        store.check()
    return session


@pytest.fixture
def real(knobctl: CommandLine) -> str:
    """A verified improvement."""
    return keep(knobctl, "20260102-030405-aaaa")


# --- sessions and report


def test_an_empty_record_says_how_to_begin(knobctl: CommandLine) -> None:
    done = knobctl("sessions")
    assert done.code == 0
    assert done.out.startswith("no session is recorded yet; begin with: knobctl tune ")
    assert knobctl("sessions", "--json").document == []


def test_sessions_are_listed_newest_first_with_what_they_came_to(knobctl: CommandLine, real: str) -> None:
    simulated = keep(knobctl, "20260102-030405-bbbb", simulated=True)
    none: dict[str, Any] = {"verdict": Verdict.NO_CHANGE, "best_config": {}, "candidate_config": {}}
    nothing = keep(knobctl, "20260102-030405-cccc", **none)
    failed = keep(knobctl, "20260102-030405-dddd", end=("failed", "the benchmark fails"))
    done = knobctl("sessions")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == [failed, nothing, simulated, real]
    assert lines[0].split()[1:4] == ["failed", "2", "runs"]
    assert lines[1].split()[1] == "NO_CHANGE" and "%" not in lines[1], "no gain where none was proven"
    assert lines[2].endswith("SIMULATED") and not lines[3].endswith("SIMULATED")
    assert lines[3].split()[1:4] == ["IMPROVED", "+8.1", "%"]
    listed = knobctl("sessions", "-n", "2", "--json").document
    assert [session["session_id"] for session in listed] == [failed, nothing]
    assert (listed[0]["status"], listed[0]["outcome"], listed[0]["improvement"]) == ("failed", "failed", None)
    assert listed[0]["request"] == "make it fast"


def test_report_is_the_summary_of_a_session(knobctl: CommandLine, real: str) -> None:
    done = knobctl("report", real)
    assert done.code == 0
    assert done.out.startswith("IMPROVED: transactions_per_second +8.1 % (95 % interval +5.2 % to +11.0 %, 12 fresh")
    assert f"To make it permanent: knobctl apply {real}" in done.out
    assert knobctl("report", "last") == knobctl("report") == knobctl("report", real[:10]) == done


def test_report_with_every_trial(knobctl: CommandLine, real: str) -> None:
    done = knobctl("report", real, "-v")
    assert "   0 baseline                 4000  default\n" in done.out
    assert "   1 search           exit code 1: no  vm.swappiness=10\n" in done.out


def test_report_as_json_holds_every_raw_sample(knobctl: CommandLine, real: str) -> None:
    answer = knobctl("report", real, "--json").document
    assert set(answer) == {
        "session_id", "status", "reason", "request", "result", "trials", "pairs", "events", "conversation",
    }  # fmt: skip
    assert answer["conversation"] is None, "a plan file led to it, or the playbook"
    assert answer["result"]["best_config"] == {"vm.swappiness": 10}
    assert answer["trials"][0]["samples"] == [[1.0, 3999.0]]
    assert (answer["trials"][1]["score"], answer["trials"][1]["reward"]) == (None, 12.5)


def test_report_with_the_conversation_that_led_to_the_plan(knobctl: CommandLine) -> None:
    with knobctl.store() as store:
        conversation = store.begin_conversation("make it fast", "ollama:qwen")
        save = store.conversation_sink(conversation)
        save(StrategistStep("thought", "Look at \x1b[31mthe knobs."))
        save(StrategistStep("call", "{}", "list_knobs"))
        store.end_conversation(conversation, "plan by model:ollama:qwen")
    session = keep(knobctl, "20260102-030405-aaaa", conversation=conversation)
    assert conversation not in knobctl("report", session).out
    done = knobctl("report", session, "-v")
    assert done.code == 0
    assert done.out.endswith(
        f"\n\nConversation {conversation} with ollama:qwen: plan by model:ollama:qwen\n"
        "  thought: Look at the knobs.\n  looks at: list_knobs {}\n"
    )
    assert knobctl("report", session, "--json").document["conversation"] == {
        "id": conversation, "model": "ollama:qwen", "outcome": "plan by model:ollama:qwen",
        "steps": [
            {"step": "thought", "name": "", "text": "Look at \x1b[31mthe knobs."},
            {"step": "call", "name": "list_knobs", "text": "{}"},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ({"end": ("failed", "no space left")}, "is failed: no space left"),
        ({"end": ("interrupted", "interrupted by SIGTERM")}, "is interrupted: interrupted by SIGTERM"),
        ({"unfinished": True}, "is running: no result yet"),
    ],
)
def test_a_session_without_a_result_shows_how_far_it_came(
    knobctl: CommandLine, ending: dict[str, Any], words: str
) -> None:
    session = keep(knobctl, "20260102-030405-aaaa", **ending)
    done = knobctl("report", session)
    assert done.code == 0
    assert done.out.startswith(f"session {session} (the postgresql surface) {words}\n   0 baseline ")
    assert knobctl("report", session, "--json").document["result"] is None


@pytest.mark.parametrize("command", ["report", "verify", "apply"])
def test_a_session_has_to_be_told_apart_from_the_others(knobctl: CommandLine, real: str, command: str) -> None:
    other = keep(knobctl, "20260102-030405-aabb")
    done = knobctl(command, "20260102", "--json")
    assert done.code == 2
    assert done.document["error"] == f"2 sessions begin with '20260102': {real}, {other}"
    assert done.document["hint"] == "Give more of its digits."
    missing = knobctl(command, "2027", "--json")
    assert missing.code == 2
    assert missing.document["error"] == f"there is no session '2027' in {knobctl.state}/knobctl.db"
    assert missing.document["hint"] == "`knobctl sessions` lists them all."


# --- apply


@pytest.mark.parametrize(
    ("changes", "error", "hint"),
    [
        ({"simulated": True}, "was simulated: nothing of it was measured on a machine", "Run it for real."),
        (
            {"verdict": Verdict.NO_CHANGE, "best_config": {}},
            "ended with NO_CHANGE: there is nothing worth applying",
            "The best thing to do is nothing.",
        ),
        (
            {"verdict": Verdict.WORSE, "best_config": {}},
            "ended with WORSE: there is nothing worth applying",
            "The best thing to do is nothing.",
        ),
        (
            {"verdict": Verdict.INCONCLUSIVE},
            "ended with INCONCLUSIVE: there is nothing worth applying",
            "The best thing to do is nothing.",
        ),
        ({"end": ("failed", "x")}, "is failed and has no result", "Choose one from `knobctl sessions`."),
        ({"end": ("interrupted", "x")}, "is interrupted and has no result", "Choose one from `knobctl sessions`."),
        ({"unfinished": True}, "is running and has no result", "Choose one from `knobctl sessions`."),
    ],
)
def test_only_a_verified_improvement_of_a_real_machine_is_applied(
    knobctl: CommandLine, changes: dict[str, Any], error: str, hint: str
) -> None:
    session = keep(knobctl, "20260102-030405-aaaa", **changes)
    done = knobctl("apply", session, "--yes", "--json")
    assert done.code == 2
    assert (done.document["error"], done.document["hint"]) == (f"session {session} {error}", hint)


def test_apply_shows_what_it_would_do_and_asks(knobctl: CommandLine, real: str) -> None:
    before = Path("/proc/sys/vm/swappiness").read_text().strip()
    done = knobctl("apply", "--json")
    assert done.code == 2
    assert done.document["hint"] == "Add --yes to confirm in advance."
    assert f"From session {real} (PostgreSQL OLTP, +8.1 % verified):\n  vm.swappiness: {before} -> 10\n" in done.err
    assert Path("/proc/sys/vm/swappiness").read_text().strip() == before


def test_apply_can_be_rehearsed(knobctl: CommandLine, real: str) -> None:
    before = Path("/proc/sys/vm/swappiness").read_text()
    done = knobctl("apply", real, "--dry-run", "--yes", "--json")
    assert done.code == 0
    answer = done.document
    assert (answer["dry_run"], answer["session_id"], answer["values"]) == (True, real, {"vm.swappiness": 10})
    (text,) = answer["files"].values()
    assert list(answer["files"]) == ["/etc/sysctl.d/90-knobctl.conf"]
    assert text.splitlines()[-1] == "vm.swappiness = 10"
    assert (answer["via"], answer["losing"], answer["conflicts"]) == ("sysctl.d", [], [])
    assert "\n".join(answer["diff"]) in done.err
    assert "+++ /etc/sysctl.d/90-knobctl.conf\n" in done.err
    assert Path("/proc/sys/vm/swappiness").read_text() == before


@pytest.mark.skipif(Tuned().running(), reason="TuneD runs on this machine")
def test_a_way_that_is_not_open_here_is_refused(knobctl: CommandLine, real: str) -> None:
    done = knobctl("apply", real, "--via", "tuned", "--yes", "--json")
    assert done.code == 2
    assert (done.document["error"], done.document["hint"]) == ("TuneD is not running here", "Leave --via out.")
    unknown = knobctl("apply", real, "--via", "grub", "--yes")
    assert unknown.code == 2
    assert "'grub' is not one of 'auto', 'sysctl.d', 'tuned'" in unknown.err


# --- rollback, restore, status


@pytest.mark.skipif(Path(Places().applied).exists(), reason="something is applied on this machine")
def test_rollback_with_nothing_applied(knobctl: CommandLine) -> None:
    done = knobctl("rollback", "--yes", "--json")
    assert done.code == 2
    assert (done.document["error"], done.document["hint"]) == ("nothing is applied", "See `knobctl status`.")


@pytest.mark.skipif(Path(Places().journal).exists(), reason="a run is going on on this machine, or was cut off")
def test_restore_with_nothing_left(knobctl: CommandLine) -> None:
    done = knobctl("restore", "--json")
    assert done.code == 0
    assert done.document == {"success": True, "restored": [], "record": None}
    assert done.err == "nothing to restore: no run was cut off\n"


@pytest.mark.parametrize("outcome", ["held", "drifted", "absent", "failed"])
def test_what_became_of_the_knobs_is_one_document_with_the_truth(outcome: str) -> None:
    knobs = (KnobRestore("/proc/sys/vm/swappiness", outcome, "60", "10"),)

    @click.command()
    @guarded
    def command() -> int:
        return end(knobs, {"knobs": [asdict(knob) for knob in knobs]}, as_json=True)

    done = CliRunner().invoke(command)
    answer = json.loads(done.stdout)
    assert answer.pop("knobs") == [asdict(knobs[0])]
    if outcome != "failed":
        assert (done.exit_code, answer) == (0, {"success": True})
        return
    assert done.exit_code == 5
    assert answer == {
        "success": False, "error": "1 kernel setting(s) could not be put back",
        "hint": "Paste as root: sysctl -w vm.swappiness=60", "exit_code": 5,
    }  # fmt: skip


def test_status_changes_nothing_and_is_one_document(knobctl: CommandLine) -> None:
    answer = knobctl("status", "--json").document
    assert set(answer) == {"running", "interrupted", "last_run", "applied", "holds", "tuners"}
    assert not (answer["running"] and answer["interrupted"])
    said = knobctl("status")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(("a run is going on\n", "no run is going on\n"))
    assert not knobctl.state.exists()
