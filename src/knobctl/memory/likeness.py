"""Two fingerprints in, how much alike they are and in what they differ out.

The distance is a weighted sum over the parts of a fingerprint, each of which is a difference from 0 (the same) to 1 and
is left out when one of the two does not know it: the form of Gower ("A general coefficient of similarity and some of
its properties", Biometrics 27, 1971), for words, sets and numbers together. Numbers are compared by their logarithms
over a stated range, sets by what they do not share (Jaccard). Likeness is ``exp(-distance)``: what holds for one thing
is expected of another one in this proportion (Shepard, "Toward a universal law of generalization for psychological
science", Science 237, 1987).

The weights are a judgement, not a measurement; what a memory says is tested by the searcher before it is believed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from knobctl.memory.fingerprint import Fingerprint
from knobctl.target.metrics import find_machine_metric

OPTIONS, NUMBERS, LOAD = 3.0, 1.5, 4.0
CORES, MEMORY, DISK, ARCHITECTURE = 1.0, 1.0, 1.0, 1.0
KERNEL, VIRTUALIZATION, PROCESSOR = 0.5, 0.5, 0.25
"""Weights: the distance of two sessions that differ in this part alone, and in this part as much as can be."""

_NUMBERS_RANGE = math.log(100.0)
_SIZE_RANGE = math.log(64.0)
_LOAD_RANGE = math.log(101.0)
_LOAD_UNIT = 0.01  # Of a metric's ceiling: less than that is as good as nothing.
_WORDS_SHOWN = 3


@dataclass(frozen=True)
class Difference:
    """In one part the two sessions differ.

    Attributes:
        part: Which one: ``command``, ``load``, ``cores``...
        distance: What it adds to the distance.
        text: In words: what it was there, what it is here.
    """

    part: str
    distance: float
    text: str


@dataclass(frozen=True)
class Likeness:
    """How much alike two sessions are.

    Attributes:
        program: The benchmark that both ran.
        differences: The largest first; empty when nothing tells them apart.
        same_record: The other one was recorded here, and not imported.
    """

    program: str
    differences: tuple[Difference, ...]
    same_record: bool = True

    @property
    def distance(self) -> float:
        """Sum of the differences."""
        return math.fsum(difference.distance for difference in self.differences)

    @property
    def value(self) -> float:
        """Above 0 and at most 1."""
        return math.exp(-self.distance)

    @property
    def why(self) -> str:
        """Why it counts as similar, and what tells it apart, for people."""
        same = not any(difference.part in _OF_THE_MACHINE for difference in self.differences)
        machine = ("same machine" if self.same_record else "a machine like it") if same else "another machine"
        texts = [difference.text for difference in self.differences[:_WORDS_SHOWN]]
        return "; ".join((f"{self.program}, {machine}", *texts))


_OF_THE_MACHINE = ("cores", "memory", "disk", "architecture", "kernel", "virtualization", "processor")


def compare(there: Fingerprint, here: Fingerprint, *, same_record: bool = True) -> Likeness | None:
    """How much an earlier session is like the present one.

    None when it is not similar at all: another program, another objective or direction, another simulated machine, or
    a simulated and a real one.
    """
    gates = ("program", "metric", "direction", "machine")
    if any(getattr(there, gate) != getattr(here, gate) for gate in gates):
        return None
    found = [difference for difference in _differences(there, here) if difference.distance > 0.0]
    return Likeness(here.program, tuple(sorted(found, key=lambda each: (-each.distance, each.part))), same_record)


def _differences(there: Fingerprint, here: Fingerprint) -> Iterator[Difference]:
    yield _options(there, here)
    yield _numbers(there, here)
    yield _load(there, here)
    yield _size("cores", CORES, there.cores, here.cores, "{:.0f}", 1.0)
    yield _size("memory", MEMORY, there.memory_bytes, here.memory_bytes, "{:.1f} GiB", 2.0**30)
    yield _word("disk", DISK, there.disk_kind, here.disk_kind)
    yield _word("architecture", ARCHITECTURE, there.architecture, here.architecture)
    yield _kernel(there.kernel, here.kernel)
    yield _word("virtualization", VIRTUALIZATION, there.virtualization, here.virtualization)
    yield _word("processor", PROCESSOR, there.processor, here.processor)


def _options(there: Fingerprint, here: Fingerprint) -> Difference:
    then, now = set(there.options), set(here.options)
    apart, all_of_them = then ^ now, then | now
    distance = OPTIONS * len(apart) / len(all_of_them) if apart else 0.0
    sides = ((then - now, "there"), (now - then, "here"))
    text = ", ".join(f"{_few(sorted(only))} only {where}" for only, where in sides if only)
    return Difference("command", distance, text)


def _numbers(there: Fingerprint, here: Fingerprint) -> Difference:
    shared = sorted(there.numbers.keys() & here.numbers.keys())
    apart = {name: _apart(there.numbers[name], here.numbers[name], 1.0, _NUMBERS_RANGE) for name in shared}
    changed = [name for name in shared if apart[name] > 0.0]
    text = ", ".join(f"{name} {there.numbers[name]:g} there, {here.numbers[name]:g} here" for name in changed[:2])
    return Difference("numbers", NUMBERS * math.fsum(apart.values()) / max(len(shared), 1), text)


def _load(there: Fingerprint, here: Fingerprint) -> Difference:
    apart: dict[str, float] = {}
    for name in sorted(there.load.keys() & here.load.keys()):
        metric = find_machine_metric(name)
        if metric is not None:
            apart[name] = _apart(there.load[name], here.load[name], _LOAD_UNIT * metric.ceiling, _LOAD_RANGE)
    if not apart:
        return Difference("load", 0.0, "")
    distance = LOAD * math.sqrt(math.fsum(each**2 for each in apart.values()) / len(apart))
    most = max(apart, key=lambda name: apart[name])
    return Difference("load", distance, f"{most} {there.load[most]:.3g} there, {here.load[most]:.3g} here")


def _size(part: str, weight: float, there: float, here: float, form: str, unit: float) -> Difference:
    known = there > 0 and here > 0
    distance = weight * min(1.0, abs(math.log(there / here)) / _SIZE_RANGE) if known else 0.0
    return Difference(part, distance, f"{part} {form.format(there / unit)} there, {form.format(here / unit)} here")


def _word(part: str, weight: float, there: str, here: str) -> Difference:
    differs = bool(there and here and there != here)
    return Difference(part, weight if differs else 0.0, f"{part} {there} there, {here} here")


def _kernel(there: str, here: str) -> Difference:
    """Half of it when only the second number differs."""
    distance = 0.0 if not (there and here) or there == here else KERNEL
    if there.partition(".")[0] == here.partition(".")[0]:
        distance /= 2.0
    return Difference("kernel", distance, f"kernel {there} there, {here} here")


def _apart(there: float, here: float, unit: float, widest: float) -> float:
    """Difference of two numbers on a log scale, from 0 to 1; far below the unit all are the same."""
    return min(1.0, abs(math.log1p(max(there, 0.0) / unit) - math.log1p(max(here, 0.0) / unit)) / widest)


def _few(words: list[str]) -> str:
    return ", ".join(words[:_WORDS_SHOWN]) + (f" and {len(words) - _WORDS_SHOWN} more" * (len(words) > _WORDS_SHOWN))
