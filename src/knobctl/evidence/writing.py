"""A bundle in, one file out: complete or not there at all, and the same bytes for the same session."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from knobctl.errors import KnobctlError, StoreError, UsageError
from knobctl.evidence.bundle import (
    EVENTS,
    FACTS,
    FORMAT,
    LIMITS,
    MANIFEST,
    PAIRS,
    PLAN,
    README,
    RESULT,
    SESSION,
    SUFFIX,
    TRIALS,
    Bundle,
    Manifest,
    Member,
)
from knobctl.evidence.reading import fingerprint, read_bundle
from knobctl.masking import mask_document
from knobctl.plan import TuningPlan

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip file knows."""

_ORDINARY_FILE = 0o100644 << 16

_ABOUT = """\
Evidence of one knobctl session: {session}

manifest.json   format, versions, and size and SHA-256 of every other file here
plan.json       what was asked for: command, metric, knobs, guardrails
session.json    how it was run: searcher, seed, budget, commands
facts.json      the machine: kernel, processor, memory, disk
trials.jsonl    every benchmark run, one a line: configuration, score, everything that it printed
pairs.jsonl     the pairs of the verification, with the interval after each
events.jsonl    what else happened, in its order
result.json     what was concluded

Check it on any machine (nothing is touched):   knobctl verify --bundle FILE
Measure it again on a machine like it:          knobctl verify --bundle FILE --again

By hand: the k-th line of kind verify-default and the k-th of kind verify-candidate in trials.jsonl are pair k; its
log-ratio is x = ln(candidate score / default score), with the other sign where lower is better. Of n pairs with mean
m and standard deviation sd (n - 1 in its denominator), the 95 % interval is

    r = 1 + n,  K = (sqrt(r) / 0.05) ^ (2 / n),  t = sqrt((n - 1) * (K - 1) / (1 - K / r))   (no bounds unless K < r)
    m - t * sd / sqrt(n)  to  m + t * sd / sqrt(n),  in percent 100 * (exp(x) - 1)

No end is nearer to m than rounding can have moved it: the mean over the pairs of -ln(1 - u / (2 * default score))
- ln(1 - u / (2 * candidate score)), where u is the unit of the last digit among all scores (0.01 for 12.34, at most 1).

IMPROVED needs an interval above 0. It stays valid when it is looked at after every pair: Hongjian Wang and Aaditya
Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance", arXiv:2310.03722.

A bundle shows that a result follows from its samples. Whether the samples were measured, only measuring again shows.
"""


def write_bundle(bundle: Bundle, path: Path, *, force: bool = False) -> Manifest:
    """Writes a bundle under a temporary name next to its place, and then gives it its name.

    Args:
        bundle: What to write. Keys and passwords that somebody wrote into it are masked.
        path: The file.
        force: Overwrite whatever file is there; without it only a bundle of the same session is.

    Returns:
        Its manifest.

    Raises:
        UsageError: There is no such folder, or something else is there.
        StoreError: It cannot be written (a full disk, for instance), or is larger than a bundle may be.
    """
    manifest, data = _encoded(bundle)
    _refuse_taken(path, bundle.session.id, force)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except FileNotFoundError:
        raise UsageError(
            f"cannot write {path}: there is no folder {path.parent}", "Make it, or name another."
        ) from None
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", "Make room, or name another place.") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
    return manifest


def _refuse_taken(path: Path, session: str, force: bool) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder", f"Name the file: {path / session}{SUFFIX}")
    if not path.exists():
        return
    if not path.is_file():
        raise UsageError(f"{path} is no ordinary file", "Name another place.")
    if force:
        return
    try:
        same = read_bundle(path).session.id == session
    except KnobctlError:
        same = False
    if not same:
        raise UsageError(
            f"{path} exists, and is no bundle of session {session}", "Choose another name, or overwrite it: --force."
        )


def _encoded(bundle: Bundle) -> tuple[Manifest, bytes]:
    try:
        members = _members(bundle)
    except ValueError:
        raise StoreError(
            f"the record of session {bundle.session.id} holds a number that JSON does not have",
            "Such a record cannot be proven; run the session again.",
        ) from None
    for name, content in members.items():
        if len(content) > LIMITS[name]:
            raise StoreError(
                f"{name} would have {len(content)} bytes, and a bundle's has {LIMITS[name]} at most",
                "A session with fewer trials fits.",
            )
    manifest = _manifest(bundle, members)
    return manifest, _zipped({**members, MANIFEST: _document(asdict(manifest), masked=False)})


def _members(bundle: Bundle) -> dict[str, bytes]:
    return {
        PLAN: _document(_plan(bundle.plan), masked=False),
        RESULT: _document(bundle.result.to_dict()),
        FACTS: _document(asdict(bundle.facts)),
        SESSION: _document(asdict(bundle.session)),
        TRIALS: _lines(asdict(trial) for trial in bundle.trials),
        PAIRS: _lines(asdict(pair) for pair in bundle.pairs),
        EVENTS: _lines(event.to_dict() for event in bundle.events),
        README: _ABOUT.format(session=bundle.session.id).encode(),
    }


def _plan(plan: TuningPlan) -> dict[str, Any]:
    """The plan as JSON types; its pattern finds the metric only as it is, and holds nobody's password."""
    document = plan.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    kept = {name: document[name] for name in ("metric_pattern",) if name in document}
    masked: dict[str, Any] = mask_document(document)
    return masked | kept


def _manifest(bundle: Bundle, members: Mapping[str, bytes]) -> Manifest:
    listed = tuple(
        Member(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in sorted(members.items())
    )
    session = bundle.session
    manifest = Manifest(FORMAT, session.id, session.created, session.version, bundle.written_with, listed, "")
    return replace(manifest, fingerprint=fingerprint(asdict(manifest)))


def _zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # Unix, wherever it is written
            info.external_attr = _ORDINARY_FILE
            file.writestr(info, members[name])
    return buffer.getvalue()


def _document(value: Any, *, masked: bool = True) -> bytes:
    return (json.dumps(mask_document(value) if masked else value, indent=2, allow_nan=False) + "\n").encode()


def _lines(values: Iterable[Any]) -> bytes:
    return b"".join(
        (json.dumps(mask_document(value), separators=(",", ":"), allow_nan=False) + "\n").encode() for value in values
    )
