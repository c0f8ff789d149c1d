"""A small main program: opens the real target, tries random configurations, restores, closes.

    python -m tests.faults.main_program '{"seed": 1, "knobs": ["vm.swappiness"], "trials": 4}'

It says on standard output where it is (``open``, ``trial``, ``done``). SIGUSR1 makes it close its pipe to the agent,
SIGUSR2 its pipe from the agent. Exit status: 0 done and restored, 1 cut short, 5 not restored, 75 busy.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
from dataclasses import dataclass, field
from types import FrameType

from knobctl.errors import Busy, KnobChangedByOther, KnobctlError, RestoreIncomplete, WriteFailed
from knobctl.knobs import KnobState, Value
from knobctl.target import Command, Service
from knobctl.target.local import LocalTarget

SERVICE = ("sleep", "86399")
COMMANDS = (
    *[("sleep", "{}")] * 3,
    *[("sh", "-c", "setsid sleep 87 & setsid sleep 88 & sleep {}")] * 2,
    ("sh", "-c", "trap '' TERM INT HUP; sleep {}"),
    ("sh", "-c", "trap '' TERM INT HUP; setsid sleep 89 & sleep {}"),
    ("dd", "if=/dev/zero", "of=file", "bs=64k", "count=64"),
)


@dataclass(frozen=True)
class Part:
    """What the program is to do.

    Attributes:
        seed: Of every random choice.
        knobs: Knobs that it tunes.
        trials: How many configurations it tries.
        named: Tell the agent at the beginning which knobs they are.
        patience: Seconds after which a silent agent is taken for dead; None for the agent's own choice.
    """

    seed: int
    knobs: tuple[str, ...] = field(default=())
    trials: int = 4
    named: bool = False
    patience: float | None = None


def value(target: LocalTarget, state: KnobState, rng: random.Random) -> Value:
    """A random value that this knob may have here."""
    knob = target.catalogue[state.name]
    if state.choices:
        return rng.choice(state.choices)
    low, high = knob.range_on(target.facts().quantities)
    if knob.scale == "log":
        return min(high, int((low + 1) * math.pow((high + 1) / (low + 1), rng.random())))
    return rng.randint(low, high)


def command(rng: random.Random) -> Command:
    """One of the short benchmarks."""
    argv = tuple(word.format(f"{rng.uniform(0.05, 0.3):.3f}") for word in rng.choice(COMMANDS))
    return Command(argv, 20, sample=rng.random() < 0.3)


def obey_signals(target: LocalTarget) -> None:
    """SIGUSR1 and SIGUSR2 close one of the two pipes between this program and the agent."""

    def close(number: int, frame: FrameType | None) -> None:
        process = target._connection._process if target._connection is not None else None
        if process is None or process.stdin is None or process.stdout is None:
            return
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, (process.stdin if number == signal.SIGUSR1 else process.stdout).fileno())
        print("closed a pipe", flush=True)

    signal.signal(signal.SIGUSR1, close)
    signal.signal(signal.SIGUSR2, close)


def play(part: Part, target: LocalTarget) -> int:
    """Opens, tries, closes. Returns the exit status."""
    rng = random.Random(part.seed)
    states = target.probe(part.knobs)
    target.open(f"faults-{part.seed}", part.knobs if part.named else ())
    try:
        print("open", target.folder, flush=True)
        target.start(Service("server", SERVICE))
        for trial in range(1, part.trials + 1):
            chosen = rng.sample(part.knobs, rng.randint(1, len(part.knobs)))
            configuration = {name: value(target, states[name], rng) for name in chosen}
            print("trial", trial, json.dumps(configuration), flush=True)
            try:
                target.write(configuration)
                target.run(command(rng))
            except KnobChangedByOther:
                raise
            except WriteFailed as error:
                print("failed trial:", error, flush=True)
            target.restore()
    finally:
        report = target.close()
    print("done", *(f"{knob.path}:{knob.outcome}" for knob in report.knobs if knob.outcome != "held"), flush=True)
    return 0 if report.complete else 5


def main() -> int:
    """The program."""
    words = json.loads(sys.argv[1])
    part = Part(**{**words, "knobs": tuple(words["knobs"])})
    target = LocalTarget(patience=part.patience)
    obey_signals(target)
    try:
        return play(part, target)
    except Busy as error:
        print("busy:", error, flush=True)
        return 75
    except RestoreIncomplete as error:
        print("not restored:", error, flush=True)
        return 5
    except KnobctlError as error:
        print("cut short:", error, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
