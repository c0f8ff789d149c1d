"""A case in, what came of it out, through the door by which such text really comes in."""

from __future__ import annotations

import io
import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knobctl import pipeline, planning
from knobctl.config import load_config
from knobctl.errors import KnobctlError
from knobctl.events import SessionEnded, StrategistStep
from knobctl.llm.choice import choose_model
from knobctl.llm.client import open_model
from knobctl.measure import Verdict
from knobctl.plan import TuningPlan, parse_plan, plan_from
from knobctl.report.knob_view import describe_knob, describe_knobs
from knobctl.report.narration import VERBOSE, Narrator
from knobctl.report.plan_view import describe_plan
from knobctl.report.terminal import LineView
from knobctl.safety import Consent
from knobctl.settings import Settings
from knobctl.store import Store
from knobctl.strategist import TuningRequest
from knobctl.target.simulated import FACTS
from knobctl.target.text import clean
from knobctl.tools import optimize_workload
from tests.hostile.case import KEY, PLAN, Case
from tests.hostile.machines import Recorder, machine_of_files
from tests.hostile.watching import watching
from tests.hostile.world import MODELS, Outcome, World, speaking
from tests.persist.machine import session as proven_session

VERBS: Mapping[str, tuple[str, ...]] = {
    "plan": ("--target", "simulated", "-v"),
    "tune": ("--target", "simulated:null", "--yes", "--searcher", "random", "--budget", "2", "--seed", "1", "-v"),
    "run": ("--target", "simulated", "--yes", "--searcher", "random", "--budget", "4", "--seed", "1", "-v"),
}
QUICK = Settings(searcher="random", budget=2, pairs=5, seed=1)


def ask(case: Case, world: World) -> Outcome:
    """``knobctl plan`` or ``tune`` with a model that says what the case says."""
    with speaking(case, world.canary) as (server, served):
        outcome = world.knobctl(
            case.verb, case.filled(case.request, world.canary), *VERBS[case.verb], *case.options, "--json",
            model=server, wire=case.wire,
        )  # fmt: skip
    outcome.served, outcome.requests = served, server.requests
    outcome.port = int(server.base_url.rpartition(":")[2].removesuffix("/v1"))
    return outcome


def ask_nobody(case: Case, world: World) -> Outcome:
    """The same with the built-in playbook."""
    words = case.filled(case.request, world.canary)
    return world.knobctl(case.verb, words, *VERBS[case.verb], *case.options, "--strategist", "playbook", "--json")


def look_around(case: Case, world: World) -> Outcome:
    """Planning on a machine whose files hold the text, and everything that is said about such a machine."""
    target = machine_of_files(world.folder / "machine", case.files)
    shown = io.StringIO()
    code, began = 0, time.monotonic()
    with speaking(case, world.canary) as (server, served), watching() as seen, Store() as store:
        environ = {
            **world.environment,
            "KNOBCTL_LLM_BASE_URL": server.base_url,
            "KNOBCTL_LLM_API_KEY": KEY,
        }
        choice = choose_model(MODELS[case.wire], environ, load_config(environ))
        assert choice is not None
        tell = LineView(Narrator(VERBOSE), shown)
        document: dict[str, Any] = {}
        try:
            planned = planning.plan(TuningRequest(case.request), target, store, open_model(choice), tell)
            proposal = planned.proposal
            plan = pipeline.validate(proposal.plan, target, Consent())
            shown.write(describe_plan(plan, proposal.source, proposal.why, proposal.dropped, proposal.notes))
            document = {"plan": json.loads(plan.plan.to_json()), "source": proposal.source}
        except KnobctlError as error:
            code = error.exit_code
            shown.write(f"knobctl: {error.message}\n  hint: {error.hint}\n")
            document = {"success": False, "hint": error.hint}
        states, quantities = target.probe(), target.facts().quantities
        shown.write(describe_knobs(list(target.catalogue), states, quantities))
        for name in ("thp.enabled", "vm.swappiness", "vm.dirty_expire_centisecs"):
            shown.write(describe_knob(target.catalogue[name], states[name], quantities, target.catalogue))
    seconds = time.monotonic() - began
    outcome = Outcome(code, json.dumps(document).encode(), shown.getvalue().encode(), seconds, seen)
    outcome.conversations, outcome.served, outcome.requests = world.conversations(), served, server.requests
    outcome.port = int(server.base_url.rpartition(":")[2].removesuffix("/v1"))
    return outcome


def run_file(case: Case, world: World) -> Outcome:
    """``knobctl run PLAN.json --yes``."""
    return world.knobctl("run", str(world.here / "plan.json"), *VERBS["run"], *case.options, "--json")


def hand_over(case: Case, world: World, target: Recorder) -> Outcome:
    """The same plan as an agent hands it over."""
    shown = io.StringIO()
    text = case.filled(case.text, world.canary)
    began = time.monotonic()
    with watching() as seen:
        answer = optimize_workload(text, target=target, settings=QUICK, emit=LineView(Narrator(VERBOSE), shown))
    document = json.loads(answer)
    err = shown.getvalue()
    if not document["success"]:
        err += f"knobctl: {document['error']}\n  hint: {document['hint']}\n"
    code = document.get("exit_code", 0)
    return Outcome(code, answer.encode(), err.encode("utf-8", "replace"), time.monotonic() - began, seen)


def measure(case: Case, world: World) -> tuple[Outcome, Recorder]:
    """A whole run whose benchmark prints the text, then its report."""
    target = Recorder(case.filled(case.output, world.canary), case.exit_code)
    document = json.loads(case.text) if case.text else PLAN
    consent = Consent(document["benchmark_command"])
    shown = io.StringIO()
    began = time.monotonic()
    with watching() as seen:
        answer = optimize_workload(
            json.dumps(document), target=target, settings=QUICK, consent=consent,
            emit=LineView(Narrator(VERBOSE), shown),
        )  # fmt: skip
    said = json.loads(answer)
    code = said.get("exit_code", 0 if said.get("verdict") == "IMPROVED" else 3)
    if "error" in said:
        shown.write(clean(f"knobctl: {' '.join(said['error'].split())}\n  hint: {said['hint']}\n"))  # as commands do
    report = world.knobctl("report", "last", "-v")
    assert report.code == 0
    words = shown.getvalue().encode() + report.out + report.err
    return Outcome(code, answer.encode(), words, time.monotonic() - began, seen), target


def remember(case: Case, world: World) -> None:
    """Puts a session of this machine on record, then writes the case's texts into the file behind knobctl's back."""
    proven = proven_session().result
    assert proven is not None
    with Store() as store:
        conversation = store.begin_conversation(case.request, "openai-compatible:scripted")
        session = store.begin(
            request=case.request, plan=plan_from(PLAN), facts=FACTS, target="local", simulated=False,
            searcher="random", budget=4, seed=1, conversation=conversation,
        )  # fmt: skip
        store.sink(session)(SessionEnded({**proven.to_dict(), "session_id": session, "verdict": str(Verdict.IMPROVED)}))
        for step in ("thought", "answer", "rejected"):
            store.conversation_sink(conversation)(StrategistStep(step, case.past.get("step", "as usual")))
        store.end_conversation(conversation, "plan by model:openai-compatible:scripted")
    with sqlite3.connect(world.database) as connection:
        for column in ("workload", "request", "target", "status", "reason", "plan"):
            if column in case.past:
                text = case.filled(case.past[column], world.canary)
                connection.execute(f"UPDATE session SET {column} = ?", (text,))
        if "result" in case.past:
            patch = case.filled(case.past["result"], world.canary)
            connection.execute("UPDATE session SET result = json_patch(result, ?)", (patch,))
        if "model" in case.past:
            connection.execute("UPDATE conversation SET model = ?, outcome = ?", (case.past["model"],) * 2)
    connection.close()


def read_back(world: World) -> list[Outcome]:
    """Everything that shows a session that is on record, and everything that would act on it."""
    return [
        world.knobctl("sessions"),
        world.knobctl("sessions", "--json"),
        world.knobctl("report", "last", "-v"),
        world.knobctl("report", "last", "-v", "--json"),
        world.knobctl("verify", "last", "--yes", "--json", "--target", "simulated:null"),
    ]


def plan_of(case: Case, outcome: Outcome, database: Path) -> TuningPlan:
    """The plan that was approved."""
    if case.verb == "tune":
        with Store(database) as store:
            return parse_plan(store.session("last").plan)
    return plan_from(outcome.document["plan"])
