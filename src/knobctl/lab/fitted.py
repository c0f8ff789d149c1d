"""A recorded sweep in, a surface fitted to it out: a machine that can be searched a thousand times, with a known best.

The mean is a thin-plate spline with smoothing (J. Duchon, "Splines minimizing rotation-invariant semi-norms in Sobolev
spaces", 1977) over the knobs that matter: one knob after the other is taken in while that lowers the error of
predicting configurations that were left out. It is another kind of model than the Gaussian process by which a search
chooses its incumbent, so a search is not examined with its own ideas. What no knob explains is the noise.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.interpolate import RBFInterpolator  # type: ignore[import-untyped]
from scipy.stats import qmc  # type: ignore[import-untyped]

from knobctl.knobs import Value
from knobctl.knobs.couplings import repair
from knobctl.knobs.space import Dimension
from knobctl.lab.fitting import Array, Configuration, Fit, Points, features_of, sign_of
from knobctl.lab.sweep import Header, Sweep, open_sweep
from knobctl.lab.sweep_noise import noise_of
from knobctl.stats import percent
from knobctl.target.noise import NoiseModel
from knobctl.target.simulated import SimulatedTarget

CERTAINTY = 2.0
"""A knob is taken in when the squared errors go down by more than so many standard errors of their difference."""

_LOOKS = 4096
_BEST = 8
_STEPS = 33
_ROUNDS = 10


@dataclass(frozen=True)
class Effect:
    """What one knob does on a surface when all others are at their default.

    Attributes:
        knob: Its name.
        best: The value at which the score is best.
        best_percent: The score there against the default, in percent, positive is better.
        worst_percent: The score at its worst value.
    """

    knob: str
    best: Value
    best_percent: float
    worst_percent: float


@dataclass(frozen=True)
class FittedSurface:
    """A surface whose truth is the mean of what was measured. Satisfies :class:`~knobctl.target.surfaces.Surface`.

    Scores are never better or worse than at the best and the worst recorded configuration: between the points the
    spline interpolates, beyond them nothing is known.

    Attributes:
        name: Of the sweep.
        header: Of the sweep.
        base: Score of the default configuration.
        active: The knobs that matter, the strongest first; all others have no effect on this surface.
        fit: How well it explains what was measured.
        noise: The noise of the recorded machine.
        run_seconds: Length of a run, the median.
    """

    name: str
    header: Header
    base: float
    active: tuple[str, ...]
    fit: Fit
    noise: NoiseModel
    run_seconds: float
    _spline: RBFInterpolator | None = field(repr=False, compare=False)
    _bounds: tuple[float, float] = field(repr=False, compare=False)
    _at_default: float = field(repr=False, compare=False)

    @property
    def metric(self) -> str:
        """Name of the score."""
        return self.header.metric

    @property
    def direction(self) -> str:
        """``maximize`` or ``minimize``."""
        return self.header.direction

    @property
    def action_space(self) -> tuple[dict[str, Any], ...]:
        """The recorded knobs with the ranges that were explored, as in a plan."""
        return tuple(_action(dimension) for dimension in self.header.dimensions)

    def default(self) -> dict[str, Value]:
        """The values that the machine was found with, those of knobs that the rules speak of too."""
        return {**self.header.fixed, **self.header.default}

    def gain(self, configuration: Configuration) -> float:
        """The truth: log of how many times better than the default configuration this one is.

        Knobs that it leaves out are at their default; values outside of what was recorded count as the nearest that
        was.

        Raises:
            ValueError: A word that was never recorded.
        """
        return float(self._gains([{**self.header.default, **configuration}])[0])

    def score(self, configuration: Configuration) -> float | None:
        """The score without noise; None for a word that was never recorded."""
        try:
            return self.base * math.exp(sign_of(self.direction) * self.gain(configuration))
        except ValueError:
            return None

    def optimum(self) -> tuple[dict[str, Value], float]:
        """The best configuration of the recorded space, without the knobs that may stay as they are, and its gain.

        Found by a dense seeded look at the whole space, then by going along every axis from the best places.
        """
        dimensions = [dimension for dimension in self.header.dimensions if dimension.name in self.active]
        if not dimensions:
            return {}, 0.0
        cube = qmc.Sobol(len(dimensions), rng=np.random.default_rng(0)).random(_LOOKS)
        looked = [
            self._repaired(
                {dimension.name: dimension.decode(float(u)) for dimension, u in zip(dimensions, row, strict=True)}
            )
            for row in cube
        ]
        order = np.argsort(-self._gains(looked), kind="stable")[:_BEST]
        climbed = [dict(self.header.default), *(self._climb(looked[index], dimensions) for index in order)]
        best = max(climbed, key=self.gain)
        for name, value in self.header.default.items():  # where the surface is flat, the default is as good
            calm = self._repaired({**best, name: value})
            if self.gain(calm) >= self.gain(best):
                best = calm
        changed = {name: value for name, value in best.items() if value != self.header.default[name]}
        return changed, self.gain(changed)

    def effects(self) -> tuple[Effect, ...]:
        """What each knob that matters does alone, the strongest first."""
        found = []
        for dimension in self.header.dimensions:
            if dimension.name in self.active:
                moved = [{**self.header.default, dimension.name: value} for value in _grid(dimension)]
                gains = self._gains(moved)
                best = int(np.argmax(gains))
                percents = [round(percent(float(gain)), 6) + 0.0 for gain in (gains[best], gains.min())]
                found.append(Effect(dimension.name, moved[best][dimension.name], *percents))
        return tuple(sorted(found, key=lambda effect: effect.worst_percent - effect.best_percent))

    def _climb(self, start: Configuration, dimensions: Sequence[Dimension]) -> dict[str, Value]:
        best, gain = dict(start), self.gain(start)
        for _ in range(_ROUNDS):
            near = [self._repaired({**best, each.name: value}) for each in dimensions for value in _grid(each)]
            gains = self._gains(near)
            top = int(np.argmax(gains))
            if gains[top] <= gain + 1e-9:
                break
            best, gain = near[top], float(gains[top])
        return best

    def _repaired(self, configuration: Configuration) -> dict[str, Value]:
        header = self.header
        dimensions = {dimension.name: dimension for dimension in header.dimensions}
        return repair({**header.default, **configuration}, header.couplings, dimensions, header.fixed)

    def _gains(self, configurations: Sequence[Configuration]) -> Array:
        if self._spline is None:
            return np.zeros(len(configurations))
        low, high = self._bounds
        values = self._spline(features_of(configurations, self.header.dimensions, self.active))
        return np.asarray(np.clip(values, low, high) - self._at_default)


def fitted_surface(sweep: Sweep) -> FittedSurface:
    """The surface of a sweep: fitted once, and once more with outliers pulled in. Same sweep, same surface.

    Raises:
        UsageError: The sweep is too small to say anything.
    """
    first = _fitted(sweep, None)
    surface = _fitted(sweep, _expected(first, sweep))
    return replace(surface, noise=noise_of(sweep, _log_scores(sweep) - _expected(surface, sweep)))


def _fitted(sweep: Sweep, expected: Array | None) -> FittedSurface:
    """The surface without its noise. ``expected`` are the log scores by which outliers are known."""
    data = Points.of(sweep, expected)
    names = [dimension.name for dimension in sweep.header.dimensions]
    active: tuple[str, ...] = ()
    errors, smoothing = data.errors_without_knobs(), 0.0
    while len(active) < len(names):
        tried = [(*data.errors((*active, name)), name) for name in names if name not in active]
        next_errors, next_smoothing, name = min(tried, key=lambda each: float(np.mean(each[0] ** 2)))
        difference = errors**2 - next_errors**2
        if not difference.mean() > CERTAINTY * difference.std(ddof=1) / math.sqrt(len(difference)):
            break
        active, errors, smoothing = (*active, name), next_errors, next_smoothing
    spline = data.spline(active, smoothing) if active else None
    at_points = spline(data.features(active)) if spline else np.zeros(1)
    at_default = spline(features_of([sweep.header.default], sweep.header.dimensions, active))[0] if spline else 0.0
    surface = FittedSurface(
        name=sweep.name,
        header=sweep.header,
        base=data.default_score,
        active=active,
        fit=data.fit(errors, smoothing),
        noise=NoiseModel(),
        run_seconds=statistics.median(run.seconds for run in sweep.counted),
        _spline=spline,
        _bounds=(float(min(at_points.min(), at_default)), float(max(at_points.max(), at_default))),
        _at_default=float(at_default),
    )
    return replace(surface, active=tuple(effect.knob for effect in surface.effects()))


def _log_scores(sweep: Sweep) -> Array:
    """Log scores of the counted runs that have one, positive is better."""
    sign = sign_of(sweep.header.direction)
    return np.array([sign * math.log(run.score) for run in sweep.counted if run.score is not None])


def _expected(surface: FittedSurface, sweep: Sweep) -> Array:
    """The log scores of the same runs on a surface."""
    runs = [sweep.configuration(run) for run in sweep.counted if run.score is not None]
    return np.asarray(sign_of(sweep.header.direction) * math.log(surface.base) + surface._gains(runs))


@functools.cache
def shipped_surface(name: str) -> FittedSurface:
    """The surface of a sweep by its name or by the path of its file; fitted once per process.

    Raises:
        UsageError: There is no such sweep, or it is too small.
        StoreError: The file is no sweep, or damaged.
    """
    return fitted_surface(open_sweep(name))


def sweep_target(name: str, *, noise: NoiseModel | float | str | None = None, seed: int = 0) -> SimulatedTarget:
    """A simulated machine for a sweep: its surface, its noise (unless another one is given), and its machine.

    Raises:
        UsageError: There is no such sweep, or it is too small.
        StoreError: The file is no sweep, or damaged.
    """
    surface = shipped_surface(name)
    return SimulatedTarget(
        surface,
        surface.noise if noise is None else noise,
        seed,
        surface.run_seconds,
        name=f"sweep:{name}",
        facts=replace(surface.header.facts, simulated=True, tuners=()),
    )


def _grid(dimension: Dimension) -> list[Value]:
    """Values all along an axis."""
    if dimension.values:
        return list(dimension.values)
    return list(dict.fromkeys(dimension.decode(step / (_STEPS - 1)) for step in range(_STEPS)))


def _action(dimension: Dimension) -> dict[str, Any]:
    if dimension.values:
        return {"param": dimension.name, "values": list(dimension.values)}
    action: dict[str, Any] = {"param": dimension.name, "min": dimension.low, "max": dimension.high}
    if dimension.special:
        action["special"] = list(dimension.special)
    return {**action, "scale": dimension.scale}
