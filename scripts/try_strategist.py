#!/usr/bin/env python3
"""Plays written-down requests against a real language model: a table out, and the transcripts that the tests replay.

    KNOBCTL_LLM_BASE_URL=http://127.0.0.1:8901/v1 scripts/try_strategist.py
    ... --table docs/strategist-results.md --record tests/replay/strategist

Only plans are made; nothing on the machine is changed. Exit status 1 when fewer plans than asked for are valid and
about the right workload, or come from the model itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from knobctl.config import load_config
from knobctl.errors import KnobctlError
from knobctl.events import Event, StrategistStep
from knobctl.llm.choice import choose_model
from knobctl.llm.client import open_model
from knobctl.safety import SafetyValidator
from knobctl.strategist.base import Proposal, TuningRequest
from knobctl.strategist.choice import read_choice
from knobctl.strategist.model_strategist import ModelStrategist
from knobctl.strategist.request import read_request
from knobctl.target import Target
from knobctl.target.local import LocalTarget

REQUESTS = Path(__file__).parent.parent / "tests" / "strategist" / "cases" / "model_requests.toml"


@dataclass(frozen=True)
class Outcome:
    """What became of one request."""

    request: str
    source: str
    valid: bool
    right: bool
    command: str = ""
    knobs: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    seconds: float = 0.0
    requests: int = 0
    rejected: int = 0
    problem: str = ""

    @property
    def counts(self) -> bool:
        """A valid plan about the right workload."""
        return self.valid and self.right

    @property
    def from_model(self) -> bool:
        """Such a plan, made by the model."""
        return self.counts and self.source.startswith("model:")


@dataclass
class Exchange:
    """One request to the provider and its reply, as they went over the wire."""

    path: str
    question: Any
    status: int
    reply: Any


@dataclass
class Recorder:
    """Stands between the client and the provider, and keeps what passes."""

    upstream: str
    exchanges: list[Exchange] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """The address to ask in place of the provider's."""
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._pass(None)

            def do_POST(self) -> None:
                self._pass(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

            def _pass(self, body: bytes | None) -> None:
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() in ("authorization", "content-type", "x-api-key", "anthropic-version")
                }
                asked = urllib.request.Request(recorder.upstream.rstrip("/") + self.path, body, headers)  # noqa: S310
                try:
                    with urllib.request.urlopen(asked, timeout=900) as reply:  # noqa: S310
                        status, answer = reply.status, reply.read()
                except urllib.error.HTTPError as error:
                    status, answer = error.code, error.read()
                question = json.loads(body) if body else None
                recorder.exchanges.append(Exchange(self.path, question, status, _decoded(answer)))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()


def _decoded(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return answer.decode(errors="replace")


def play(request: str, right: Sequence[str], model: str | None, target: Target) -> tuple[Outcome, list[Exchange]]:
    """One request, from the words to the validated plan."""
    environ = dict(os.environ)
    recorder = Recorder(environ["KNOBCTL_LLM_BASE_URL"])
    rejected = 0

    def tell(event: Event) -> None:
        nonlocal rejected
        if isinstance(event, StrategistStep):
            rejected += event.step == "rejected"
            print(f"    {event.step} {event.name} {event.text[:300]!r}" if event.step != "request" else "    ...")

    began = time.monotonic()
    with recorder.listening() as address:
        choice = choose_model(model, environ | {"KNOBCTL_LLM_BASE_URL": address}, load_config(environ))
        assert choice is not None, "KNOBCTL_LLM_BASE_URL is set"
        opened = open_model(choice)
        strategist = ModelStrategist(opened, tell=tell)
        facts, states = target.facts(), target.probe()
        try:
            proposal = strategist.propose(TuningRequest(request), facts, states, target.catalogue)
            SafetyValidator(target.catalogue, facts, states).validate(proposal.plan)
        except KnobctlError as error:
            outcome = Outcome(request, "none", False, False, problem=error.message)
        else:
            outcome = _outcome(request, right, proposal)
    seconds = time.monotonic() - began
    counted = Outcome(
        **{**asdict(outcome), "seconds": seconds, "requests": opened.usage.requests, "rejected": rejected}
    )
    return counted, recorder.exchanges


def _outcome(request: str, right: Sequence[str], proposal: Proposal) -> Outcome:
    command = proposal.plan.benchmark_command
    by_command = read_choice(read_request(""), shlex.split(command), True).choice
    workload = by_command.playbook.name if by_command and by_command.playbook else ""
    return Outcome(
        request,
        proposal.source,
        True,
        workload in right,
        command,
        tuple(action.param for action in proposal.plan.action_space),
        tuple(what for what, _ in proposal.dropped),
        problem="" if workload in right else f"about {workload}",
    )


def table(outcomes: Sequence[Outcome], model: str) -> str:
    """The results as a page."""
    good, own = sum(one.counts for one in outcomes), sum(one.from_model for one in outcomes)
    lines = [
        "# What a small language model makes of twenty requests",
        "",
        f"Model: {model}. Machine: {os.cpu_count()} CPUs, Linux {platform.release().split('-')[0]}.",
        f"Made on {datetime.now(UTC):%Y-%m-%d} by `scripts/try_strategist.py`, which `make test-llm` runs, against the",
        "server in `KNOBCTL_LLM_BASE_URL`. Where a request was played more than once, the last time counts.",
        "",
        f"**{good} of {len(outcomes)}** requests end in a plan that passes the validator and is about the right",
        f"workload; **{own}** of these come from the model itself, the others from the built-in playbook.",
        "Seconds are those of this machine, with other work beside; they say little about another one.",
        "",
        "| request | plan from | right | knobs | dropped | asked again | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in outcomes:
        source = one.source.partition(":")[0]
        cells = [
            one.request.replace("|", "/"),
            source,
            "yes" if one.counts else f"no: {one.problem[:80]}",
            ", ".join(f"`{knob}`" for knob in one.knobs),
            ", ".join(f"`{what[:40]}`" for what in one.dropped) or "-",
            str(one.rejected),
            f"{one.seconds:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Plays all requests."""
    parser = argparse.ArgumentParser(description="Plays requests against the model server in KNOBCTL_LLM_BASE_URL.")
    parser.add_argument("--model", help="provider:name, as for knobctl --model")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the results as a page")
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FOLDER",
        help="write what went over the wire, for replay; the table then holds everything in the folder",
    )
    parser.add_argument("--only", type=int, nargs="*", metavar="N", help="just these requests, from 1")
    parser.add_argument("--least-good", type=int, default=18, help="valid plans about the right workload")
    parser.add_argument("--least-own", type=int, default=14, help="such plans that come from the model")
    arguments = parser.parse_args()
    if not os.environ.get("KNOBCTL_LLM_BASE_URL"):
        print("set KNOBCTL_LLM_BASE_URL to the address of a model server, such as http://127.0.0.1:8080/v1")
        return 2
    cases = tomllib.loads(REQUESTS.read_text(encoding="utf-8"))["case"]
    target = LocalTarget()
    outcomes = []
    if arguments.record:
        arguments.record.mkdir(parents=True, exist_ok=True)
        states = {name: asdict(state) for name, state in target.probe().items()}
        _write(
            arguments.record / "machine.json", {"facts": asdict(replace(target.facts(), boot_id="")), "states": states}
        )
    for number, case in enumerate(cases, start=1):
        if arguments.only and number not in arguments.only:
            continue
        print(f"{number}: {case['request']}", flush=True)
        outcome, exchanges = play(case["request"], case["workloads"], arguments.model, target)
        outcomes.append(outcome)
        print(f"  {outcome}", flush=True)
        if arguments.record:
            replies = [{"path": one.path, "status": one.status, "reply": _plain(one.reply)} for one in exchanges]
            _write(arguments.record / f"{number:02}.json", {"outcome": asdict(outcome), "exchanges": replies})
    if arguments.record:
        outcomes = [_outcome_in(path) for path in sorted(arguments.record.glob("[0-9]*.json"))]
    if arguments.table:
        arguments.table.write_text(table(outcomes, arguments.model or "the server's own"), encoding="utf-8")
    good, own = sum(one.counts for one in outcomes), sum(one.from_model for one in outcomes)
    print(f"{good} of {len(outcomes)} valid and about the right workload, {own} of them from the model")
    return (
        0 if good >= min(arguments.least_good, len(outcomes)) and own >= min(arguments.least_own, len(outcomes)) else 1
    )


def _outcome_in(path: Path) -> Outcome:
    """The outcome that was recorded, in this call or in an earlier one."""
    values = json.loads(path.read_text(encoding="utf-8"))["outcome"]
    return Outcome(**{**values, "knobs": tuple(values["knobs"]), "dropped": tuple(values["dropped"])})


def _plain(reply: Any) -> Any:
    """A reply without what is nobody's business: the server's file names, its timings."""
    if not isinstance(reply, dict):
        return reply
    kept = {
        name: value for name, value in reply.items() if name in ("id", "object", "created", "choices", "usage", "error")
    }
    return {**kept, "model": "recorded"} if "choices" in kept else kept


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
