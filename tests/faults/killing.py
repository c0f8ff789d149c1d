"""Faults that are signals: processes that are killed, asked to end, or made to stand still."""

from __future__ import annotations

import time
from signal import SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, Signals

from tests.faults.fault import Fault, Strike
from tests.faults.scene import Scene

FOR_BENCHMARK_SECONDS = 1.0
LONGEST_STOP_SECONDS = 1.0
SHORT_PATIENCE_SECONDS = 3.0

AGENT_SEES_END = "agent: its input has ended"
AGENT_SEES_SIGNAL = "agent: it hears the signal"
AGENT_SEES_WATCHER = "agent: the kernel tells it that the watcher is gone"
WATCHER = "watcher, from the journal"
NEXT_START = "nobody is left: the next start"


def signals(number: Signals, *roles: str) -> Strike:
    """Sends a signal to processes of the run, one right after the other."""

    def strike(scene: Scene) -> float | None:
        sent = [role for role in roles if role in scene.run.roles and scene.run.roles[role].send(number)]
        moment = time.monotonic()
        if number == SIGKILL:
            scene.killed.update(sent)
            _see_who_is_left(scene)
        return moment if len(sent) == len(roles) else None

    return strike


def stop_then_kill(stopped: str, killed: str) -> Strike:
    """Stops one process, and kills this one or another some time later."""

    def strike(scene: Scene) -> float | None:
        if signals(SIGSTOP, stopped)(scene) is None:
            return None
        scene.pause(scene.rng.uniform(0.05, LONGEST_STOP_SECONDS))
        return signals(SIGKILL, killed)(scene)

    return strike


def kill_benchmark(scene: Scene) -> float | None:
    """Kills what the agent runs, as soon as it runs something."""
    found = []

    def is_running() -> bool:
        if scene.run.alive("agent"):
            found.append(scene.run.benchmark())
        return bool(found and found[-1] is not None)

    if not scene.wait(is_running, FOR_BENCHMARK_SECONDS):
        return None
    assert found[-1] is not None
    struck = found[-1].send(SIGKILL)
    found[-1].close()
    return time.monotonic() if struck else None


def _see_who_is_left(scene: Scene) -> None:
    if {"agent", "watcher"} <= scene.killed:
        scene.needs_start = "agent and watcher were killed"


def _kill(name: str, words: str, follows: str, *roles: str) -> Fault:
    return Fault(name, f"`kill -9` of {words}", follows, signals(SIGKILL, *roles), needs=roles[0],
                 kills=frozenset(roles), ends_run=True)  # fmt: skip


def _ask(number: Signals, role: str, follows: str) -> Fault:
    short = number.name.removeprefix("SIG").lower()
    words = "the main program" if role == "main" else f"the {role}"
    return Fault(f"{short}-{role}", f"{number.name} to {words}", follows, signals(number, role), needs=role,
                 ends_run=True)  # fmt: skip


def _stop(role: str, words: str, follows: str) -> Fault:
    return Fault(
        f"stop-kill-{role}", f"SIGSTOP of {words}, and up to {LONGEST_STOP_SECONDS:g} s later `kill -9` of it", follows,
        stop_then_kill(role, role), needs=role, kills=frozenset({role}), ends_run=True, stops_agent=role == "agent",
    )  # fmt: skip


FAULTS = (
    _kill("kill-main", "the main program", AGENT_SEES_END, "main"),
    _kill("kill-agent", "the agent", WATCHER, "agent"),
    _kill("kill-watcher", "the watcher", AGENT_SEES_WATCHER, "watcher"),
    Fault("kill-benchmark", "`kill -9` of the benchmark", "main program: a failed trial, the run goes on",
          kill_benchmark, wants_run=True),
    _ask(SIGTERM, "main", "main program if it listens, else the agent: its input has ended"),
    _ask(SIGHUP, "main", "main program if it listens, else the agent: its input has ended"),
    _ask(SIGINT, "main", "main program"),
    _ask(SIGTERM, "agent", AGENT_SEES_SIGNAL),
    _ask(SIGHUP, "agent", AGENT_SEES_SIGNAL),
    _ask(SIGTERM, "watcher", "agent: the watcher passes the signal on"),
    _stop("main", "the main program", AGENT_SEES_END),
    _stop("agent", "the agent", WATCHER),
    _stop("watcher", "the watcher", AGENT_SEES_WATCHER),
    Fault(
        "stop-agent-kill-main", "SIGSTOP of the agent, and up to 1 s later `kill -9` of the main program",
        f"watcher: it kills an agent that gives no sign of life (here for {SHORT_PATIENCE_SECONDS:g} s, else 60 s)",
        stop_then_kill("agent", "main"), doors=("program",), kills=frozenset({"main"}), ends_run=True, stops_agent=True,
        patience=SHORT_PATIENCE_SECONDS,
    ),
    _kill("kill-agent-watcher", "agent and watcher at once", NEXT_START, "agent", "watcher"),
    _kill("kill-main-watcher", "main program and watcher at once", AGENT_SEES_END, "main", "watcher"),
    _kill("kill-main-agent", "main program and agent at once", WATCHER, "main", "agent"),
    _kill("kill-all", "main program, agent and watcher at once", NEXT_START, "main", "agent", "watcher"),
)  # fmt: skip
