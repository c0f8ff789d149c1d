"""A machine's kernel files in, how each knob stands there out: its value, or why it cannot be tuned. Reads only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from knobctl.agent.kernel import Kernel
from knobctl.knobs import Knob, KnobState, codec


def probe(kernel: Kernel, names: Sequence[str] | None = None) -> dict[str, KnobState]:
    """State of these knobs (all by default), by canonical name.

    Raises:
        UnknownKnob: A name is not in the catalogue.
    """
    knobs = list(kernel.catalogue) if names is None else [kernel.catalogue[name] for name in names]
    return {knob.name: _state(kernel, knob) for knob in knobs}


def _state(kernel: Kernel, knob: Knob) -> KnobState:
    files = kernel.files(knob)
    if not files:
        reason = "no block device under the work folder" if "{disk}" in knob.path and not kernel.disk else ""
        return KnobState(knob.name, False, False, reason=reason or _absence(knob))
    try:
        raw = kernel.read(files[0])
        value = codec.parse(knob, raw)
    except OSError as error:
        return KnobState(knob.name, False, False, paths=files, reason=f"cannot be read: {error.strerror}")
    except ValueError as error:
        return KnobState(knob.name, False, False, paths=files, reason=f"not understood: {error}")
    choices = tuple(choice for choice in codec.offered(raw) or knob.choices if choice in knob.choices)
    reason = f"never tuned: {knob.risk_reason}" if knob.risk == "forbidden" else ""
    for path in files:
        reason = reason or _obstacle(Path(kernel.real(path)))
    if not reason and knob.kind == "choice" and len(choices) < 2:
        reason = "this kernel offers no alternative"
    return KnobState(knob.name, True, not reason, value, raw, files, choices, reason)


def _obstacle(file: Path) -> str:
    try:
        if os.statvfs(file).f_flag & os.ST_RDONLY:
            return "mounted read-only"
        if not file.stat().st_mode & 0o200:
            return "read-only in this kernel"
    except OSError as error:
        return str(error.strerror)
    return ""


def _absence(knob: Knob) -> str:
    if knob.until:
        return f"absent in this kernel: gone since Linux {knob.until}"
    if knob.since:
        return f"absent in this kernel: exists since Linux {knob.since}, depending on how it was built"
    return "absent in this kernel"
