"""Many runs: a plan of faults and seeds in, their outcomes out; the machine is put back whatever happens."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from tests.faults import processes, registry
from tests.faults.machine import Machine
from tests.faults.playing import Outcome, play
from tests.faults.runs import Knobs

ATTEMPTS = 5
NEXT_ATTEMPT = 1_000_000
SHARE_OF_PAIRS = 0.35


@dataclass(frozen=True)
class Item:
    """One run to play."""

    fault: str
    seed: int


def planned(runs: int, seed: int) -> list[Item]:
    """A campaign: every fault about equally often, and pairs drawn by chance; in random order.

    Raises:
        ValueError: Not every fault would get a run.
    """
    rng = random.Random(seed)
    singles = [
        fault.name for fault in registry.SINGLE.values() if not fault.obstacle and fault.name not in registry.PENDING
    ]
    pairs = ["+".join(pair) for pair in registry.pairs()]
    of_pairs = round(runs * SHARE_OF_PAIRS)
    if runs - of_pairs < len(singles):
        raise ValueError(f"{runs} runs are too few for {len(singles)} faults and their pairs")
    names = [singles[number % len(singles)] for number in range(runs - of_pairs)]
    names += rng.sample(pairs, min(of_pairs, len(pairs)))
    names += rng.choices(pairs, k=runs - len(names))
    rng.shuffle(names)
    return [Item(name, seed + number) for number, name in enumerate(names)]


def only(names: Sequence[str], runs: int, seed: int) -> list[Item]:
    """So many runs of each of these faults or pairs; the first has exactly this seed.

    Raises:
        ValueError: There is no such fault, or it cannot be made here.
    """
    for name in names:
        for fault in registry.named(name):
            if fault.obstacle:
                raise ValueError(f"{fault.name} cannot be made here: {fault.obstacle}")
    return [Item(name, seed + number) for name in names for number in range(runs)]


def played(items: Sequence[Item], tell: Callable[[str], None]) -> Iterator[Outcome]:
    """Plays runs, one after the other. A fault that found nothing to strike gets another try, with another seed.

    The machine is as it was before when this ends, also by Ctrl-C, SIGTERM or an error.

    Raises:
        RuntimeError: A kernel file cannot be brought back.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and theirs, would ignore it
    processes.adopt_orphans()
    machine, knobs = Machine(), Knobs.here()
    if not machine.lock_is_free() or machine.has_journal():
        raise RuntimeError("a run is going on, or an interrupted one left its journal: see `knobctl status`")
    original = machine.texts()
    try:
        for item in items:
            for attempt in range(ATTEMPTS):
                outcome = play(item.fault, item.seed + attempt * NEXT_ATTEMPT, machine, knobs, original)
                tell(line(outcome))
                if outcome.struck or not outcome.restored:
                    break
            yield outcome
    finally:
        left = machine.put_back(original)
        if left:
            raise RuntimeError("the machine is not as it was before: " + "; ".join(left))


def line(outcome: Outcome) -> str:
    """One run in one line."""
    back = "nothing to put back" if outcome.restored_seconds is None else f"back after {outcome.restored_seconds:.3f} s"
    what = "NOT RESTORED" if outcome.problems else back if outcome.struck else "found nothing to strike"
    after = " (next start)" if outcome.started_again else ""
    run = f"{outcome.fault} --seed {outcome.seed} [{outcome.door}]"
    return f"{run} {what}{after}, all gone after {outcome.gone_seconds:.2f} s"


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
