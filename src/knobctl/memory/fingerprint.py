"""A command, a metric, a machine and its metrics at the default configuration in, the fingerprint of a session out.

It holds what likeness is judged by and nothing that tells whose machine it was. Of the command it has the program, the
names of options, numbers, and the few words of :data:`WORDS`; addresses, paths, names and text of any other kind are
left out, and so are all values of a program that knobctl does not know.
"""

from __future__ import annotations

import functools
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from knobctl.events import Trial
from knobctl.masking import mask_secrets
from knobctl.safety import SafePlan
from knobctl.target import HostFacts, Target
from knobctl.target.metrics import find_machine_metric
from knobctl.target.text import clean
from knobctl.workload.registry import adapters
from knobctl.workload.sysbench import TESTS

WORDS = frozenset(
    # What a benchmark is told to do, and how. A word that somebody made up is none of them.
    ("run", "cpu", "memory", "threads", "mutex", "fileio", "seqwr", "seqrewr", "seqrd", "rndrd", "rndwr", "rndrw",
     "read", "write", "randread", "randwrite", "rw", "readwrite", "randrw", "none", "seq", "rnd", "global", "local",
     "sync", "async", "mmap", "psync", "vsync", "pvsync", "pvsync2", "libaio", "io_uring", "posixaio", "direct",
     "dsync", "fsync", "fdatasync", "uniform", "gaussian", "special", "pareto", "zipfian", "native", "posix", "keep",
     "truncate", "simple", "extended", "prepared", "tpcb-like", "simple-update", "select-only", "GET", "HEAD", "on",
     "off")
)  # fmt: skip
"""Words of a command that are kept."""

LONGEST = 200
"""Characters of a name that are kept."""

LARGEST = 1e18
"""Larger numbers are kept as this one."""

_TESTED = "sysbench"
"""The program whose first word says what it measures at all."""

_IRRELEVANT = frozenset({"-p", "--port", "--pgsql-port", "--mysql-port", "--random-seed", "--rand-seed", "--randseed"})
"""Options whose numbers say nothing about the load."""

_OPTION = re.compile(r"--[A-Za-z][A-Za-z_-]{1,40}|-[A-Za-z]|-[CNSknrv]{2,4}")
_ATTACHED = re.compile(r"(-[A-Za-z])([0-9].*)")
_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)(?:([kmgt])i?b?|s)?", re.IGNORECASE)
_FACTORS = {"": 1.0, "k": 2.0**10, "m": 2.0**20, "g": 2.0**30, "t": 2.0**40}
_RELEASE = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}")


@dataclass(frozen=True)
class Fingerprint:
    """What a session was about.

    Attributes:
        program: The benchmark; of sysbench with its test (``sysbench cpu``).
        metric: The objective.
        direction: ``maximize`` or ``minimize``.
        machine: Name of the simulated machine; empty for a real one.
        options: Names of the command's options, and the words of :data:`WORDS` that stand in it.
        numbers: Numbers of the command, by option.
        kernel: The first two numbers of its release.
        architecture: Such as ``x86_64``.
        processor: Its model; may be empty.
        cores: Logical CPUs.
        memory_bytes: Total memory.
        virtualization: As in the facts; empty when unknown.
        disk_kind: ``rotational``, ``solid-state`` or empty.
        load: Mean of each machine metric over the baseline runs; empty before there are any.
    """

    program: str
    metric: str
    direction: str
    machine: str = ""
    options: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    kernel: str = ""
    architecture: str = ""
    processor: str = ""
    cores: int = 0
    memory_bytes: int = 0
    virtualization: str = ""
    disk_kind: str = ""
    load: Mapping[str, float] = field(default_factory=dict)

    @property
    def simulated(self) -> bool:
        """Whether the machine was a simulated one."""
        return bool(self.machine)


def fingerprint_of(
    command: str,
    metric: str,
    direction: str,
    target: str,
    simulated: bool,
    facts: HostFacts,
    baseline: Iterable[Mapping[str, float]] = (),
) -> Fingerprint:
    """The fingerprint of a session.

    Args:
        command: As it ran or as it is recorded: whether its passwords are masked makes no difference.
        metric: The objective.
        direction: ``maximize`` or ``minimize``.
        target: Name of the target.
        simulated: Whether it is a simulation.
        facts: The machine.
        baseline: Machine metrics of each baseline run.
    """
    program, options, numbers = _taken_apart(command)
    release = _RELEASE.match(facts.kernel)
    return Fingerprint(
        program=program,
        metric=label(metric),
        direction=direction,
        machine=label(target) if simulated else "",
        options=options,
        numbers=numbers,
        kernel=release.group() if release else "",
        architecture=label(facts.architecture),
        processor=label(facts.cpu_model),
        cores=facts.cores,
        memory_bytes=facts.memory_bytes,
        virtualization=label(facts.virtualization),
        disk_kind=label(facts.disk_kind),
        load=_means(baseline),
    )


def fingerprint_of_run(plan: SafePlan, target: Target, facts: HostFacts, trials: Sequence[Trial]) -> Fingerprint:
    """The fingerprint of a session that goes on.

    Args:
        plan: What is run.
        target: Where it is run.
        facts: The machine, as it was when the session began.
        trials: Those of its preflight are among them; others do not count.
    """
    baseline = [trial.machine for trial in trials if trial.kind == "baseline" and trial.score is not None]
    objective = plan.objective
    return fingerprint_of(
        plan.command.text, objective.name, objective.direction, target.name, target.simulated, facts, baseline
    )


@functools.lru_cache(maxsize=1000)  # sessions of one record share most of their names
def label(text: str) -> str:
    """A name as it is kept: one line without control characters, keys and passwords."""
    return mask_secrets(" ".join(clean(text).split()))[:LONGEST]


@functools.lru_cache(maxsize=1000)
def _taken_apart(command: str) -> tuple[str, tuple[str, ...], Mapping[str, float]]:
    """Program, options and words, numbers."""
    try:
        words = shlex.split(mask_secrets(command))
    except ValueError:
        words = []
    program = label(words[0].rpartition("/")[2]) if words else ""
    known = program in {adapter.program for adapter in adapters()}
    kept: set[str] = set()
    numbers: dict[str, float] = {}
    for name, value in _arguments(words[1:]):
        option = name if _OPTION.fullmatch(name) else ""
        if name and not option:
            continue
        kept |= {option} - {""}
        if not known:
            continue
        if value in WORDS:
            kept.add(f"{option}={value}" if option else value)
        number = _number(value)
        if option and number is not None and option not in _IRRELEVANT:
            numbers[option] = number
    if program == _TESTED:
        program = " ".join((program, *[word for word in words[1:] if word in TESTS][:1]))
    return program, tuple(sorted(kept)), dict(sorted(numbers.items()))


def _arguments(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option, value) pairs; either may be empty."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        attached = _ATTACHED.fullmatch(word)
        if not word.startswith("-"):
            yield "", word
        elif attached:
            yield attached.group(1), attached.group(2)
        elif "=" in word:
            name, _, value = word.partition("=")
            yield name, value
        else:
            yield word, rest.pop(0) if rest and not rest[0].startswith("-") else ""


def _number(text: str) -> float | None:
    match = _NUMBER.fullmatch(text)
    return min(float(match.group(1)) * _FACTORS[(match.group(2) or "").lower()], LARGEST) if match else None


def _means(baseline: Iterable[Mapping[str, float]]) -> dict[str, float]:
    runs = list(baseline)
    names = sorted({name for run in runs for name in run if find_machine_metric(name) is not None})
    values = {name: [run[name] for run in runs if name in run and math.isfinite(run[name])] for name in names}
    return {name: math.fsum(numbers) / len(numbers) for name, numbers in values.items() if numbers}
