"""How a simulated machine misbehaves: a :class:`NoiseModel` and a seed in, the luck of every run and moment out.

All of it is a function of the seed, the number of the run and the virtual time; nothing is drawn from a stream that
moves on. So every searcher meets the same luck in its run number 7, whatever it tries there, and a session that was
cut off and goes on meets the luck that it would have met.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from knobctl.errors import UsageError

_RUN, _DRIFT, _REGIME = 0, 1, 2
_DRIFT_STEPS = 32
_DRIFT_CHUNK = 256
_HOUR = 3600.0
_SLOW_START = 0.4


@dataclass(frozen=True)
class NoiseModel:
    """What stands between the truth and the score, as standard deviations of the log score unless said otherwise.

    The score of a run is the mean of its one-second samples, so a longer run averages the noise within it: the
    variance of the log score of a run of T seconds is about ``between**2 + within**2 * tau / T`` with
    ``tau = (1 + correlation) / (1 - correlation)``, plus drift, regimes and outliers.

    Attributes:
        between: From run to run; all samples of a run share it.
        within: Of each one-second sample around its run.
        correlation: Of neighbouring samples within a run (AR(1)), from 0 up to 1.
        drift: Slow wandering of the whole machine (an Ornstein-Uhlenbeck process).
        drift_seconds: Its time constant.
        regimes_per_hour: How often a bad time begins, such as a noisy neighbour's (a Poisson process).
        regime_depth: What a bad time adds to the log score; negative is worse.
        regime_seconds: Shortest and longest bad time, at most an hour.
        outliers: Probability that a run is an outlier.
        outlier_spread: An outlier is worse by ``|N(0, outlier_spread)|``.
        settling_seconds: Every run starts slowly and is within 1 % of its pace after so many seconds; 0 for never.

    Raises:
        UsageError: A number makes no sense.
    """

    between: float = 0.0
    within: float = 0.0
    correlation: float = 0.0
    drift: float = 0.0
    drift_seconds: float = 1800.0
    regimes_per_hour: float = 0.0
    regime_depth: float = -0.1
    regime_seconds: tuple[float, float] = (300.0, 1200.0)
    outliers: float = 0.0
    outlier_spread: float = 0.0
    settling_seconds: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("regime_depth", "regime_seconds") and not 0 <= value < math.inf:
                raise UsageError(f"noise: {field.name} is {value:g}", "It is a finite number, 0 or more.")
        shortest, longest = self.regime_seconds
        for sound, what, rule in (
            (self.correlation < 1, f"correlation is {self.correlation:g}", "It is below 1."),
            (self.outliers <= 1, f"outliers is {self.outliers:g}", "It is a probability."),
            (self.drift_seconds > 0, f"drift_seconds is {self.drift_seconds:g}", "Time constants are above 0."),
            (0 < shortest <= longest <= _HOUR, f"regime_seconds is {shortest:g} to {longest:g}",
             "Bad times last at most an hour, and the shorter bound comes first."),
        ):  # fmt: skip
            if not sound:
                raise UsageError(f"noise: {what}", rule)

    def spread(self, run_seconds: float) -> float:
        """Standard deviation of the log score of runs of this length, with drift, regimes and outliers, about."""
        tau = (1.0 + self.correlation) / (1.0 - self.correlation)
        bad_share = min(1.0, self.regimes_per_hour * sum(self.regime_seconds) / 2.0 / _HOUR)
        return math.sqrt(
            self.between**2
            + self.within**2 * min(1.0, tau / max(run_seconds, 1.0))
            + self.drift**2
            + self.regime_depth**2 * bad_share * (1.0 - bad_share)
            + self.outliers * self.outlier_spread**2
        )


NOISES: Mapping[str, NoiseModel] = {
    "still": NoiseModel(),
    "quiet": NoiseModel(
        between=0.015, within=0.04, correlation=0.3, drift=0.005, outliers=0.005, outlier_spread=0.1,
        settling_seconds=1.0,
    ),
    "vm": NoiseModel(
        between=0.03, within=0.08, correlation=0.5, drift=0.015, regimes_per_hour=0.2, outliers=0.01,
        outlier_spread=0.2, settling_seconds=2.0,
    ),
    "hostile": NoiseModel(
        between=0.06, within=0.18, correlation=0.6, drift=0.04, drift_seconds=900.0, regimes_per_hour=1.0,
        regime_depth=-0.15, outliers=0.02, outlier_spread=0.3, settling_seconds=3.0,
    ),
}  # fmt: skip
"""By name. Runs of 30 s vary by about 2 % (``quiet``, a machine of one's own), 5 % (``vm``, a virtual machine) and 12 %
(``hostile``, a shared one with bad neighbours); not at all when ``still``. Invented, of the size of real ones."""


def noise_model(noise: NoiseModel | float | str) -> NoiseModel:
    """A noise model by its name, or from one number: the noise between runs, and that of each second within them.

    Raises:
        UsageError: There is no such model, or the number makes no sense.
    """
    if isinstance(noise, NoiseModel):
        return noise
    if isinstance(noise, str):
        if noise not in NOISES:
            raise UsageError(f"unknown noise {noise!r}", f"Known: {', '.join(NOISES)}.")
        return NOISES[noise]
    return NoiseModel(between=float(noise), within=float(noise))


@dataclass(frozen=True)
class Luck:
    """What befalls one run.

    Attributes:
        shift: Added to the log score of all of it.
        samples: Added to that of each second.
        load: Standard normal numbers for the machine's load.
    """

    shift: float
    samples: tuple[float, ...]
    load: tuple[float, ...]


class Weather:
    """A noise model with a seed. The same question always has the same answer."""

    def __init__(self, model: NoiseModel, seed: int) -> None:
        self.model = model
        self._seed = seed
        self._drift: list[float] = []
        self.bad_times = functools.cache(self._bad_times)

    def luck(self, run: int, samples: int, loads: int) -> Luck:
        """What befalls a run, by its number from 0: it depends neither on the time nor on what is measured.

        The first samples are the same however many are asked for.
        """
        model = self.model
        random = np.random.default_rng((self._seed, _RUN, run))
        between, depth, *load = random.standard_normal(2 + loads).tolist()
        outlier = random.random() < model.outliers
        shift = model.between * between - (model.outlier_spread * abs(depth) if outlier else 0.0)
        return Luck(shift, tuple(self._within(random.standard_normal(samples).tolist())), tuple(load))

    def at(self, second: float) -> float:
        """What the moment adds to the log score: drift and bad times."""
        return self._drifted(second) + self._regime(second)

    def settling(self, second: float) -> float:
        """What the slow start of a run adds to the log score in the second that ends then."""
        if self.model.settling_seconds <= 0:
            return 0.0
        return math.log1p(-_SLOW_START * math.exp(math.log(0.01 / _SLOW_START) * second / self.model.settling_seconds))

    def _within(self, normal: list[float]) -> list[float]:
        correlation, innovation = self.model.correlation, math.sqrt(1.0 - self.model.correlation**2)
        values: list[float] = []
        for number in normal:
            values.append(correlation * values[-1] + innovation * number if values else number)
        return [self.model.within * value for value in values]

    def _drifted(self, second: float) -> float:
        if not self.model.drift:
            return 0.0
        place = max(second, 0.0) * _DRIFT_STEPS / self.model.drift_seconds
        step = int(place)
        while len(self._drift) < step + 2:
            self._extend_drift()
        left, right = self._drift[step : step + 2]
        return self.model.drift * (left + (right - left) * (place - step))

    def _extend_drift(self) -> None:
        kept = math.exp(-1.0 / _DRIFT_STEPS)
        innovation = math.sqrt(1.0 - kept**2)
        chunk = len(self._drift) // _DRIFT_CHUNK
        for number in np.random.default_rng((self._seed, _DRIFT, chunk)).standard_normal(_DRIFT_CHUNK).tolist():
            self._drift.append(kept * self._drift[-1] + innovation * number if self._drift else number)

    def _regime(self, second: float) -> float:
        if not self.model.regimes_per_hour:
            return 0.0
        hour = int(max(second, 0.0) // _HOUR)
        bad = any(
            start <= second < end for past in (hour - 1, hour) if past >= 0 for start, end in self.bad_times(past)
        )
        return self.model.regime_depth if bad else 0.0

    def _bad_times(self, hour: int) -> tuple[tuple[float, float], ...]:
        """(start, end) of the bad times that begin in this hour."""
        random = np.random.default_rng((self._seed, _REGIME, hour))
        starts = _HOUR * (hour + random.random(random.poisson(self.model.regimes_per_hour)))
        return tuple((start, start + random.uniform(*self.model.regime_seconds)) for start in starts.tolist())
