"""A recorded sweep: a file of JSON lines in, a frozen :class:`Sweep` out; and the lines that the recorder appends.

The first line is the :class:`Header`, then come, in the order in which it happened, a :class:`Part` for each time that
the machine was opened and a :class:`Run` for each benchmark run. Each is an object with one key that says which it is.
A name that ends in ``.gz`` is compressed. A file that was cut off reads up to its last complete line.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from knobctl.errors import StoreError, UsageError
from knobctl.knobs import Coupling, Value
from knobctl.knobs.space import Dimension, Space
from knobctl.target import HostFacts

FORMAT = 1
"""Version of the file format."""

MAX_BYTES = 64_000_000
"""Largest sweep that is read, uncompressed: far more than a day of short runs."""

WARMUP, DEFAULT, POINT, REPEAT = "warmup", "default", "point", "repeat"
ROLES = (WARMUP, DEFAULT, POINT, REPEAT)
"""What a run is for: not counted, the default again, a new configuration, a configuration measured before."""

_CLOSED = ConfigDict(extra="forbid", strict=True)
_GZIP = b"\x1f\x8b"
_GZIP_MEMBER = 31


@dataclass(frozen=True)
class Header:
    """What a sweep was made from.

    Attributes:
        format: Version of the file format.
        created: When it began (UTC, ISO 8601).
        version: The knobctl that made it.
        command: The command line that made it.
        target: Name of the target.
        simulated: Nothing in it was measured on a real machine.
        facts: The machine.
        plan: The plan as JSON text, passwords masked.
        metric: The objective.
        unit: Its unit.
        direction: ``maximize`` or ``minimize``.
        dimensions: The knobs and the values that were tried.
        default: The default configuration: the value found for every knob.
        couplings: Rules between knobs that every configuration keeps to.
        fixed: Values of knobs that the rules speak of and that stayed as they were.
        runs: Runs of the whole design, warm-ups not counted.
        seed: Of the design.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    format: int
    created: str
    version: str
    command: str
    target: str
    simulated: bool
    facts: HostFacts
    plan: str
    metric: str
    unit: str
    direction: str
    dimensions: tuple[Dimension, ...]
    default: Mapping[str, Value]
    couplings: tuple[Coupling, ...]
    fixed: Mapping[str, Value]
    runs: int
    seed: int

    @property
    def space(self) -> Space:
        """The recorded space."""
        return Space(self.dimensions)


@dataclass(frozen=True)
class Part:
    """The machine was opened and the workload made ready anew.

    Attributes:
        number: Counts from 0.
        began: When (UTC, ISO 8601).
        offset: Seconds since the first part began.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    number: int
    began: str
    offset: float


@dataclass(frozen=True)
class Run:
    """One benchmark run.

    Attributes:
        place: Its place in the design, from 0; -1 for a warm-up.
        part: Number of the part that it belongs to.
        role: One of :data:`ROLES`.
        point: Which configuration of the design, from 0; -1 for the default configuration.
        configuration: Value of every knob that differs from the default configuration.
        score: The objective; None when the run failed.
        metrics: Everything that the benchmark printed.
        machine: Machine metrics over the run.
        samples: The objective over time: (second, value).
        seconds: Wall time of the benchmark alone.
        failure: Why there is no score; empty when there is one.
        started: Seconds since the part began.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    place: int
    part: int
    role: str
    point: int
    configuration: Mapping[str, Value]
    score: float | None
    metrics: Mapping[str, float]
    machine: Mapping[str, float]
    samples: tuple[tuple[float, float], ...]
    seconds: float
    failure: str
    started: float


@dataclass(frozen=True)
class Sweep:
    """A whole sweep, or what there is of it so far.

    Attributes:
        name: Of the file, without its ending.
        header: What it was made from.
        parts: How often the machine was opened.
        runs: Every run in order, warm-ups too.
    """

    name: str
    header: Header
    parts: tuple[Part, ...]
    runs: tuple[Run, ...]

    @property
    def counted(self) -> tuple[Run, ...]:
        """The runs of the design, without the warm-ups."""
        return tuple(run for run in self.runs if run.role != WARMUP)

    @property
    def complete(self) -> bool:
        """Every run of the design is there."""
        return len(self.counted) == self.header.runs

    @property
    def benchmark_seconds(self) -> float:
        """Wall time of all benchmark runs together."""
        return sum(run.seconds for run in self.runs)

    def configuration(self, run: Run) -> dict[str, Value]:
        """The value that every knob had in a run."""
        return {**self.header.default, **run.configuration}

    def began(self, run: Run) -> float:
        """Seconds from the beginning of the sweep to that of a run."""
        return self.parts[run.part].offset + run.started


_KINDS: Mapping[str, TypeAdapter[Any]] = {
    kind.__name__.lower(): TypeAdapter(kind) for kind in (Header, Part, Run)
}  # fmt: skip


def line_of(record: Header | Part | Run) -> bytes:
    """A record as one line of a sweep file. Numbers keep 9 digits: more than any benchmark prints."""
    return json.dumps({type(record).__name__.lower(): _short(asdict(record))}, separators=(",", ":")).encode() + b"\n"


def read_sweep(path: Path) -> Sweep:
    """A sweep from its file.

    Raises:
        UsageError: The file cannot be read.
        StoreError: It is no sweep, or damaged.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read the sweep {path}: {error.strerror}", "Give the path of its file.") from None
    return parse_sweep(data, path.name)


def parse_sweep(data: bytes, file_name: str) -> Sweep:
    """A sweep from the content of its file, compressed or not.

    Raises:
        StoreError: It is no sweep, or damaged; the message names the line.
    """
    header: Header | None = None
    parts: list[Part] = []
    runs: list[Run] = []
    places: set[int] = set()
    *lines, _ = _unpacked(data, file_name).split(b"\n")  # the last one was cut off, or is empty
    for number, line in enumerate(lines, start=1):
        try:
            record = _record(line)
            if isinstance(record, Header):
                _require(header is None, "a second header")
                _require(record.format == FORMAT, f"format {record.format}, and this knobctl reads {FORMAT}")
                header = record
                continue
            _require(header is not None, "the header is missing")
            assert header is not None
            if isinstance(record, Part):
                _require(record.number == len(parts), f"part {record.number} after {len(parts)} parts")
                parts.append(record)
                continue
            _check_run(record, header, len(parts), places)
            runs.append(record)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{file_name} is no sweep: line {number}: {error}", "Record it anew.") from None
    if header is None:
        raise StoreError(f"{file_name} is no sweep: it has no complete line", "Record it with `knobctl lab record`.")
    return Sweep(file_name.removesuffix(".gz").removesuffix(".jsonl"), header, tuple(parts), tuple(runs))


@functools.cache
def shipped_sweeps() -> tuple[str, ...]:
    """Names of the sweeps that come with knobctl."""
    folder = resources.files("knobctl.lab") / "data"
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(name.removesuffix(_SHIPPED) for name in names if name.endswith(_SHIPPED)))


def open_sweep(name: str) -> Sweep:
    """A sweep that comes with knobctl, by name, or any other by the path of its file.

    Raises:
        UsageError: There is none of this name.
        StoreError: The file is no sweep, or damaged.
    """
    if name in shipped_sweeps():
        return parse_sweep((resources.files("knobctl.lab") / "data" / f"{name}{_SHIPPED}").read_bytes(), name)
    if Path(name).is_file():
        return read_sweep(Path(name))
    raise UsageError(
        f"there is no sweep {name!r}",
        f"Known: {', '.join(shipped_sweeps()) or 'none'}; or the path of a file made by `knobctl lab record`.",
    )


_SHIPPED = ".jsonl.gz"


def _record(line: bytes) -> Header | Part | Run:
    document = json.loads(line)
    _require(isinstance(document, dict) and len(document) == 1, "an object with one key is expected")
    ((kind, content),) = document.items()
    _require(kind in _KINDS, f"{kind!r} is none of {', '.join(_KINDS)}")
    try:
        record: Header | Part | Run = _KINDS[kind].validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ValueError(f"{kind}: {where}: {first['msg']}") from None
    return record


def _check_run(run: Run, header: Header, parts: int, places: set[int]) -> None:
    _require(run.role in ROLES, f"role {run.role!r} is none of {', '.join(ROLES)}")
    _require(0 <= run.part == parts - 1, f"a run of part {run.part} after {parts} parts")
    _require((run.place == -1) == (run.role == WARMUP), f"place {run.place} for a run whose role is {run.role}")
    _require(-1 <= run.place < header.runs, f"place {run.place} in a design of {header.runs} runs")
    _require(run.place == -1 or run.place not in places, f"place {run.place} stands twice")
    _require(run.score is None or 0 < run.score < float("inf"), f"{run.score} is no score")
    _require((run.score is None) == bool(run.failure), "a run has either a score or a failure")
    dimensions = {dimension.name: dimension for dimension in header.dimensions}
    for name, value in run.configuration.items():
        _require(name in dimensions, f"{name} is no knob of this sweep")
        _require(dimensions[name].contains(value), f"{name} = {value!r} is outside of what is explored")
    places.add(run.place)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _unpacked(data: bytes, file_name: str) -> bytes:
    if not data.startswith(_GZIP):
        return _bounded(data, file_name)
    text = b""
    while data:
        unzip = zlib.decompressobj(_GZIP_MEMBER)
        try:
            text = _bounded(text + unzip.decompress(data, MAX_BYTES + 1 - len(text)), file_name)
        except zlib.error as error:
            raise StoreError(f"{file_name} is damaged: {error}", "Record it anew.") from None
        data = unzip.unused_data
    return text


def _bounded(data: bytes, file_name: str) -> bytes:
    if len(data) > MAX_BYTES:
        raise StoreError(f"{file_name} holds more than {MAX_BYTES} bytes", "A sweep is a few megabytes at most.")
    return data


def _short(content: Any) -> Any:
    if isinstance(content, float):
        return float(f"{content:.9g}")
    if isinstance(content, Mapping):
        return {key: _short(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_short(value) for value in content]
    return content
