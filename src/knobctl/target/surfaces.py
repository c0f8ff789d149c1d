"""Surfaces: invented machines whose truth is known. A configuration in, the score that it would have without noise out.

Nothing here was measured on a computer. The shipped surfaces have the shape of real effects (a peak, a rise that
saturates, a choice) and round numbers, so that searchers can be tried and tested in virtual time.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from knobctl.errors import UsageError
from knobctl.knobs import Bound, Catalogue, Knob, Value
from knobctl.target.families import family_by_name
from knobctl.target.synthetic import Axis, Choice, Peak, Rise, SyntheticSurface


class Surface(Protocol):
    """What a simulated machine needs to know: any object with these five names is a surface.

    Knobs may have any name under which the catalogue knows them, or a name of the surface's own.

    A surface may have more: ``name``; ``optimum()``, its best configuration and the gain in log score there;
    ``facts``, what its machine claims to be; ``noise``, a :class:`~knobctl.target.noise.NoiseModel` of its own; and
    ``carry_over``, ``carry_over_seconds``, ``wear`` and ``reset_holds`` as in
    :class:`~knobctl.target.synthetic.SyntheticSurface`, for machines with a memory.
    """

    @property
    def action_space(self) -> Sequence[Any]:
        """The knobs worth tuning: mappings or objects with ``param`` and ``min`` and ``max`` or ``values``."""
        ...

    @property
    def metric(self) -> str:
        """Name of the score."""
        ...

    @property
    def direction(self) -> str:
        """``maximize`` or ``minimize``."""
        ...

    def default(self) -> Mapping[str, Value]:
        """The values that the machine is found with."""
        ...

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        """The score without noise. None, NaN or an exception means that the run fails there.

        A :class:`~knobctl.errors.HealthStop` plays the health guard of a real machine, which ends the run.
        """
        ...


_POSTGRESQL = SyntheticSurface(
    name="postgresql",
    metric="transactions_per_second",
    direction="maximize",
    base=4000.0,
    axes=(
        Axis("vm.dirty_background_ratio", 10, Peak(best=4, width=0.6, gain=0.10), 1, 50),
        Axis("vm.dirty_ratio", 20, Rise(knee=20, gain=0.14), 5, 80),
        Axis("vm.swappiness", 60, Peak(best=5, width=1.0, gain=0.03), 0, 100),
        Axis("thp.enabled", "always", Choice({"madvise": 0.03}), values=("always", "madvise", "never")),
        Axis("block.read_ahead_kb", 128, Peak(best=1024, width=1.0, gain=0.05), 16, 8192),
        Axis("vm.vfs_cache_pressure", 100, None, 10, 400),
    ),
)

_FILE_WRITE = SyntheticSurface(
    name="file-write",
    metric="throughput",
    direction="maximize",
    base=3800.0,
    axes=(
        Axis("vm.dirty_background_ratio", 1, Rise(knee=5, gain=0.7), 1, 50),
        Axis("vm.dirty_ratio", 2, Rise(knee=8, gain=0.7), 2, 80),
        Axis("vm.dirty_expire_centisecs", 3000, None, 100, 6000),
    ),
)

_WEB = SyntheticSurface(
    name="web",
    metric="requests_per_second",
    direction="maximize",
    base=18000.0,
    axes=(
        Axis("net.core.somaxconn", 4096, Rise(knee=6000, gain=0.05), 128, 65535),
        Axis("net.ipv4.tcp_max_syn_backlog", 1024, Rise(knee=3000, gain=0.06), 128, 65535),
        Axis("net.core.netdev_max_backlog", 1000, Peak(best=8000, width=1.2, gain=0.04), 300, 100_000),
        Axis("net.ipv4.tcp_fin_timeout", 60, Peak(best=12, width=0.8, gain=0.07), 10, 120),
        Axis("net.ipv4.tcp_slow_start_after_idle", 1, Choice({0: 0.02}), values=(0, 1)),
    ),
)

_NULL = SyntheticSurface(
    name="null",
    metric="events_per_second",
    direction="maximize",
    base=1000.0,
    axes=(
        Axis("vm.swappiness", 60, None, 0, 100),
        Axis("vm.dirty_ratio", 20, None, 5, 80),
        Axis("vm.dirty_background_ratio", 10, None, 1, 50),
        Axis("vm.vfs_cache_pressure", 100, None, 10, 400),
    ),
)

SURFACES: Mapping[str, SyntheticSurface] = {
    surface.name: surface for surface in (_POSTGRESQL, _FILE_WRITE, _WEB, _NULL)
}
"""The surfaces that ship with knobctl, by name. All invented."""

SUMMARIES: Mapping[str, str] = {
    "postgresql": "an OLTP database",
    "file-write": "a machine wounded by tiny limits of dirty memory, three times as fast when healed",
    "web": "a web server",
    "null": "nothing matters",
}
"""What they are."""


def find_surface(name: str) -> Surface:
    """A surface by its name: a shipped one, ``family:NAME`` or ``family:NAME:SEED`` for one that is drawn (the seed
    is 0 when left out), or ``module:object`` for anybody's (a class is called without arguments).

    The current folder is searched for the module as well.

    Raises:
        UsageError: There is no such surface, it cannot be imported, or it is no surface.
    """
    if name in SURFACES:
        return SURFACES[name]
    if name.partition(":")[0] == "family":
        return family_by_name(name.partition(":")[2])
    module, separator, attribute = name.partition(":")
    if not separator or not module or not attribute:
        raise UsageError(
            f"unknown simulated machine {name!r}",
            f"Known: {', '.join(SURFACES)}; family:NAME:SEED; or module:object for a surface of your own.",
        )
    found = _import(name, module, attribute)
    missing = [part for part in ("action_space", "metric", "direction", "default", "score") if not hasattr(found, part)]
    if missing:
        raise UsageError(
            f"{name} is no surface: it has no {', '.join(missing)}",
            "A surface has action_space, metric, direction, default() and score(configuration).",
        )
    surface: Surface = found
    return surface


def _import(name: str, module: str, attribute: str) -> Any:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        return found() if isinstance(found, type) else found
    except Exception as error:
        raise UsageError(
            f"cannot import the surface {name}: {type(error).__name__}: {error}",
            "Give it as module:object, with the module in this folder or installed.",
        ) from error
    finally:
        sys.path.remove(here)


def with_knobs_of(surface: Surface, catalogue: Catalogue) -> Catalogue:
    """The catalogue and the knobs that only the surface knows.

    Raises:
        UsageError: The surface's knobs make no sense.
    """
    invented: dict[str, Knob] = {}
    default = surface.default()
    for action in surface.action_space:
        name = _part(action, "param")
        if not isinstance(name, str):
            raise UsageError(f"{action!r} in the surface's action_space has no param", "Give param, min and max.")
        if name not in catalogue:
            invented[name] = _invented_knob(name, action, default.get(name))
    for name, value in default.items():
        if name not in catalogue and name not in invented:
            invented[name] = _invented_knob(name, {"min": value, "max": value}, value)
    return Catalogue([*catalogue, *invented.values()], catalogue.couplings)


def _invented_knob(name: str, action: Any, default: Value | None) -> Knob:
    values = tuple(_part(action, "values") or ())
    words = isinstance(default, str) or any(isinstance(value, str) for value in values)
    numbers = [
        plain(name, value)
        for value in (*values, _part(action, "min"), _part(action, "max"), default)
        if value is not None and not words
    ]
    if not words and not numbers:
        raise UsageError(f"{name} in the surface's action_space has neither min and max nor values")
    choices = [str(value) for value in values] + [str(default)] * (words and default not in values)
    return Knob(
        name=name,
        path=name if name.startswith("/sys/") else "/proc/sys/" + name.replace(".", "/"),
        kind="choice" if words else "integer",
        summary="knob of a simulated machine",
        why="its surface says so",
        source="invented",
        minimum=None if words else Bound(constant=min(int(number) for number in numbers)),
        maximum=None if words else Bound(constant=max(int(number) for number in numbers)),
        choices=tuple(choices) if words else (),
        special=tuple(_part(action, "special") or ()),
        default=default if default is not None else (choices or numbers)[0],
    )


def knob_names(surface: Surface) -> list[str]:
    """Every knob that the surface speaks of, under its own name for it."""
    return list(dict.fromkeys([*surface.default(), *(str(_part(action, "param")) for action in surface.action_space)]))


def as_action(action: Any) -> dict[str, Any]:
    """A knob of a surface's action space as in a plan."""
    parts = {key: _part(action, key) for key in ("param", "min", "max", "values", "special", "scale")}
    return {key: value for key, value in parts.items() if value is not None}


def _part(action: Any, key: str) -> Any:
    return action.get(key) if isinstance(action, Mapping) else getattr(action, key, None)


def plain(name: str, value: Any) -> Value:
    """A knob's value: integers and words as they are, whole floats as integers.

    Raises:
        UsageError: It is something else.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UsageError(f"{name}: {value!r} is neither an integer nor a word", "Knobs hold integers or words.")
    return value
