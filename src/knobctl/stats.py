"""Plain numbers in, statements about them out: means, drift, and intervals that stay valid when looked at often.

The interval and the e-value are those of the anytime-valid t-test with a Gaussian mixture over the standardised effect
(Hongjian Wang and Aaditya Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
variance", arXiv:2310.03722). The scale is integrated out with the right-Haar prior, so nothing has to be known about
the noise. Looking after every pair and stopping at will keeps the error below ``alpha``, which an ordinary t-interval
does not.

A statistic that cannot be computed is None, never a guess.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

ALPHA = 0.05
"""Probability of a false claim, over all looks together, two-sided."""

MIXTURE = 1.0
"""Variance ``g`` of the standardised effect in the mixture: about one noise sd is what a pair is expected to show."""

POWER = 0.8
"""Chance with which the smallest detectable effect is found when it is there."""

CONFIDENCE = 0.8
"""Chance with which the true noise is below :func:`upper_sd`."""

MOST_CORRELATION = 0.9
"""Neighbours that seem more alike than this are a trend, and a short series cannot tell how long it is."""

_SMALLEST_ROOT = 0.05
"""For a confidence so high that the approximation leaves its range; the bound is 90 standard deviations then."""


@dataclass(frozen=True)
class Interval:
    """A mean with what is known about it.

    Attributes:
        estimate: The mean.
        low: Lower end; minus infinity while nothing is known.
        high: Upper end; infinity while nothing is known.
    """

    estimate: float
    low: float
    high: float

    @property
    def bounded(self) -> bool:
        """Whether both ends are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def excludes_zero(self) -> bool:
        """Whether the sign is proven."""
        return self.low > 0 or self.high < 0


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean; None without values or when one is not finite."""
    if not values or not all(math.isfinite(value) for value in values):
        return None
    return statistics.fmean(values)


def sd(values: Sequence[float]) -> float | None:
    """Standard deviation of the sample (``n - 1``); None with fewer than two values or when one is not finite."""
    if len(values) < 2 or not all(math.isfinite(value) for value in values):
        return None
    centre = statistics.fmean(values)
    return math.sqrt(_squares([value - centre for value in values]) / (len(values) - 1))


def upper_sd(values: Sequence[float], confidence: float = CONFIDENCE) -> float | None:
    """A bound that the true standard deviation of normal values stays below with this confidence.

    ``sd * sqrt(v / q)`` with ``v = n - 1`` and ``q`` the ``1 - confidence`` quantile of chi-square with ``v`` degrees
    of freedom, in the approximation of Wilson and Hilferty (1931), which is off by less than 2 % for ``v >= 2``.

    Returns:
        The bound, or None as :func:`sd`.
    """
    spread = sd(values)
    if spread is None:
        return None
    v = len(values) - 1
    step = 2.0 / (9.0 * v)
    root = 1.0 - step - statistics.NormalDist().inv_cdf(confidence) * math.sqrt(step)
    return spread / math.sqrt(max(root, _SMALLEST_ROOT) ** 3)


def standard_error(values: Sequence[float]) -> float | None:
    """Standard error of the mean of values that follow each other and may resemble their neighbours.

    The variance of the mean of a first-order autoregression: ``sd^2 / n * (1 + r) / (1 - r)`` with the lag-1
    autocorrelation ``r``, corrected for its bias of about ``-(1 + 4 r) / n`` in short series (Kendall 1954) and kept
    in [0, 0.9].

    Returns:
        The standard error, or None with fewer than four values or when one is not finite.
    """
    spread = sd(values)
    if spread is None or not math.isfinite(spread) or len(values) < 4:
        return None
    if spread == 0.0:
        return 0.0
    n, centre = len(values), statistics.fmean(values)
    offsets = [(value - centre) / spread for value in values]
    r = math.fsum(one * other for one, other in itertools.pairwise(offsets)) / _squares(offsets)
    r = min(max(r + (1.0 + 4.0 * r) / n, 0.0), MOST_CORRELATION)
    return spread * math.sqrt((1.0 + r) / (1.0 - r) / n)


def student_t(probability: float, freedom: int) -> float:
    """Quantile of Student's t with so many degrees of freedom."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    return float(stdtrit(freedom, probability))


def geometric_mean(values: Sequence[float]) -> float | None:
    """Geometric mean; None without values or when one is not finite and positive."""
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        return None
    return math.exp(statistics.fmean(math.log(value) for value in values))


def log_ratio(default: float, candidate: float, direction: str) -> float | None:
    """``ln(candidate / default)``, turned so that positive is better.

    Args:
        default: Score at the default configuration.
        candidate: Score at the candidate.
        direction: ``maximize`` or ``minimize``.

    Returns:
        The log-ratio, or None when a score is not finite and positive.
    """
    if not all(math.isfinite(score) and score > 0 for score in (default, candidate)):
        return None
    ratio = math.log(candidate) - math.log(default)
    return ratio if direction == "maximize" else -ratio


def percent(log_ratio: float) -> float:
    """A log-ratio in percent: ``100 * (exp(x) - 1)``. Minus infinity is -100, more than a float holds is infinity."""
    try:
        return 100.0 * math.expm1(log_ratio)
    except OverflowError:
        return math.inf


def log_effect(percent: float) -> float:
    """The log-ratio of an effect in percent (above -100)."""
    return math.log1p(percent / 100.0)


def critical_t(pairs: int, alpha: float = ALPHA, g: float = MIXTURE) -> float:
    """What ``|t| = sqrt(n) * |mean| / sd`` has to exceed after ``n`` pairs; infinite while nothing can be proven.

    With ``r = 1 + n * g``, ``K = (sqrt(r) / alpha) ** (2 / n)`` and ``v = n - 1`` it is
    ``sqrt(v * (K - 1) / (1 - K / r))`` when ``K < r``.
    """
    if pairs < 2:
        return math.inf
    r = 1.0 + pairs * g
    k = (math.sqrt(r) / alpha) ** (2.0 / pairs)
    if k >= r:
        return math.inf
    return math.sqrt((pairs - 1) * (k - 1.0) / (1.0 - k / r))


def last_digit(value: float) -> float:
    """The unit of the last decimal that a finite number is written with, at most 1: 0.01 for 12.34, 1 for 1200."""
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return 10.0 ** min(0, exponent) if isinstance(exponent, int) else 1.0


def rounding(default: float, candidate: float, unit: float) -> float:
    """How far the log-ratio of two positive scores may be off when both were rounded to multiples of this unit."""
    return -math.log1p(-0.5 * unit / default) - math.log1p(-0.5 * unit / candidate)


def confidence_sequence(
    differences: Sequence[float], alpha: float = ALPHA, g: float = MIXTURE, rounded: float = 0.0
) -> Interval | None:
    """The interval for the mean difference after these pairs.

    The intervals after 2, 3, 4 ... pairs hold the truth all together with probability ``1 - alpha`` when the
    differences are independent and normal.

    Args:
        differences: One per pair.
        alpha: Probability of a false claim.
        g: Variance of the mixture.
        rounded: How far rounding may have moved their mean: no end is nearer to it. Runs that differ by less than a
            printed digit look alike, and would seem to be without noise.

    Returns:
        The interval (unbounded while there are too few pairs), or None with fewer than two pairs or when a
        difference is not finite.
    """
    centre, spread = mean(differences), sd(differences)
    if centre is None or spread is None:
        return None
    t = critical_t(len(differences), alpha, g)
    if math.isinf(t):
        return Interval(centre, -math.inf, math.inf)
    half = max(spread / math.sqrt(len(differences)) * t, rounded)
    return Interval(centre, centre - half, centre + half)


def e_value(differences: Sequence[float], g: float = MIXTURE) -> float | None:
    """Evidence against "no difference"; at ``1 / alpha`` and above it is a proof at level ``alpha``.

    ``(1 + n g) ** (-1/2) * ((1 + t^2 / v) / (1 + t^2 / ((1 + n g) v))) ** (n / 2)`` with ``v = n - 1``. It exceeds
    ``1 / alpha`` exactly when the confidence sequence excludes 0.

    Returns:
        The e-value, or None with fewer than two pairs or when a difference is not finite.
    """
    centre, spread = mean(differences), sd(differences)
    if centre is None or spread is None:
        return None
    pairs = len(differences)
    r = 1.0 + pairs * g
    if centre == 0.0:
        growth = 1.0
    else:
        certainty = centre / spread if spread > 0.0 else math.inf
        x = pairs * certainty * certainty / (pairs - 1)
        growth = (1.0 + x) / (1.0 + x / r) if math.isfinite(x) else r  # r is the limit for t without bound
    exponent = 0.5 * (pairs * math.log(growth) - math.log(r))
    return math.exp(exponent) if exponent < 700.0 else math.inf


def smallest_effect(pairs: int, noise_sd: float, alpha: float = ALPHA, g: float = MIXTURE) -> float:
    """The smallest log-ratio that ``pairs`` pairs prove with a chance of about four in five.

    A pair's difference has the standard deviation ``sqrt(2) * noise_sd``; the effect has to be the critical ``t`` and
    the 80 % quantile of its scatter away from 0.

    Args:
        pairs: Pairs of the verification.
        noise_sd: Standard deviation of the ln score between runs of one configuration.
        alpha: Probability of a false claim.
        g: Variance of the mixture.

    Returns:
        The log-ratio; infinite when so few pairs prove nothing.
    """
    t = critical_t(pairs, alpha, g)
    if math.isinf(t):
        return math.inf
    return (t + statistics.NormalDist().inv_cdf(POWER)) * math.sqrt(2.0 / pairs) * noise_sd


def pairs_needed(effect: float, noise_sd: float, at_most: int = 1000) -> int | None:
    """The fewest pairs that prove an effect (a log-ratio, its sign does not matter), or None when that takes more
    than ``at_most``."""
    for pairs in range(2, at_most + 1):
        if smallest_effect(pairs, noise_sd) <= abs(effect):
            return pairs
    return None


def slope(times: Sequence[float], values: Sequence[float]) -> float | None:
    """Least-squares slope of values over times; None with fewer than two different times or when one number is not
    finite."""
    if len(times) != len(values) or not all(math.isfinite(number) for number in (*times, *values)):
        return None
    if len(set(times)) < 2:
        return None
    middle, centre = statistics.fmean(times), statistics.fmean(values)
    offsets = [time - middle for time in times]
    together = math.fsum(offset * (value - centre) for offset, value in zip(offsets, values, strict=True))
    return together / _squares(offsets)


def _squares(values: Sequence[float]) -> float:
    return math.fsum(value * value for value in values)
