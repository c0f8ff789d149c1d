"""The claims of the interval, checked by simulation; scipy is the oracle for the ordinary t-test."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize
from scipy import stats as oracle

from knobctl import stats

SESSIONS = 2000
LOOKS = range(4, 31)


def test_the_published_half_widths_are_reproduced() -> None:
    half_widths = {n: stats.critical_t(n) / math.sqrt(n) for n in (6, 8, 12, 16, 20, 30)}
    assert {n: round(width, 2) for n, width in half_widths.items()} == {
        6: 2.22, 8: 1.50, 12: 1.06, 16: 0.88, 20: 0.77, 30: 0.61,
    }  # fmt: skip


def test_nothing_can_be_proven_before_the_fifth_pair() -> None:
    assert [n for n in range(1, 12) if math.isfinite(stats.critical_t(n))] == [5, 6, 7, 8, 9, 10, 11]
    interval = stats.confidence_sequence([1.0, 1.1, 0.9, 1.0])
    assert interval == stats.Interval(pytest.approx(1.0), -math.inf, math.inf)
    assert not interval.bounded
    assert not interval.excludes_zero


def test_the_e_value_is_the_bayes_factor_that_the_formula_stands_for() -> None:
    """Numerically: likelihood of t under effects drawn from N(0, g), over its likelihood without an effect."""
    differences = [0.3, 0.1, 0.45, -0.05, 0.2, 0.33]
    n = len(differences)
    t = oracle.ttest_1samp(differences, 0.0).statistic
    mixture, _ = integrate.quad(
        lambda effect: oracle.nct.pdf(t, n - 1, effect * math.sqrt(n)) * oracle.norm.pdf(effect), -8, 8
    )
    assert stats.e_value(differences) == pytest.approx(mixture / oracle.t.pdf(t, n - 1), rel=1e-6)


def test_the_interval_ends_where_the_e_value_reaches_one_over_alpha() -> None:
    differences = [0.3, 0.1, 0.45, -0.05, 0.2, 0.33]
    interval = stats.confidence_sequence(differences)
    assert interval is not None
    for low, high in ((-5.0, interval.estimate), (interval.estimate, 5.0)):
        end = optimize.brentq(lambda shift: (stats.e_value([d - shift for d in differences]) or 0.0) - 20.0, low, high)
        assert min(abs(end - interval.low), abs(end - interval.high)) < 1e-9


def _simulate(draw: Callable[[random.Random], float], truth: float) -> tuple[float, float]:
    """Share of sessions in which 0 was ever excluded, and in which the truth was inside at every look."""
    generator = random.Random(20231)
    claims = covered = 0
    for _ in range(SESSIONS):
        differences = [draw(generator) for _ in range(LOOKS.stop)]
        looks = [stats.confidence_sequence(differences[:n]) for n in LOOKS]
        claims += any(look is not None and look.excludes_zero for look in looks)
        covered += all(look is not None and look.low <= truth <= look.high for look in looks)
    return claims / SESSIONS, covered / SESSIONS


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda generator: generator.gauss(0.0, 0.05), id="normal"),
        pytest.param(lambda g: g.choice((-1, 1)) * g.expovariate(20.0), id="laplace"),
        pytest.param(lambda g: g.gauss(0, 1) / math.sqrt(g.gammavariate(1.5, 2.0) / 3.0), id="t3"),
    ],
)
def test_looking_after_every_pair_does_not_produce_claims(draw: Callable[[random.Random], float]) -> None:
    claims, covered = _simulate(draw, 0.0)
    assert claims <= stats.ALPHA
    assert covered >= 1 - stats.ALPHA


def test_the_ordinary_t_test_would_have_claimed_often() -> None:
    """The control: with the same looks the simulation does find a method that peeks."""
    generator = random.Random(7)
    critical = {n: oracle.t.ppf(0.975, n - 1) for n in LOOKS}
    claims = 0
    for _ in range(SESSIONS):
        differences = [generator.gauss(0.0, 1.0) for _ in range(LOOKS.stop)]
        for n in LOOKS:
            centre, spread = stats.mean(differences[:n]), stats.sd(differences[:n])
            assert centre is not None and spread is not None
            if abs(centre) / spread * math.sqrt(n) > critical[n]:
                claims += 1
                break
    assert claims / SESSIONS > 0.15


def test_a_real_effect_is_covered_and_found() -> None:
    claims, covered = _simulate(lambda generator: generator.gauss(0.1, 0.05), 0.1)
    assert covered >= 0.95
    assert claims > 0.95


@pytest.mark.parametrize("pairs", [6, 8, 12, 20])
def test_the_smallest_effect_is_found_about_four_times_in_five(pairs: int) -> None:
    noise = 0.04
    effect = stats.smallest_effect(pairs, noise)
    generator = random.Random(pairs)
    found = 0
    for _ in range(SESSIONS):
        differences = [effect + generator.gauss(0, noise) - generator.gauss(0, noise) for _ in range(pairs)]
        interval = stats.confidence_sequence(differences)
        assert interval is not None
        found += interval.low > 0
    assert 0.72 < found / SESSIONS < 0.88


def test_pairs_needed_is_the_inverse_of_the_smallest_effect() -> None:
    needed = stats.pairs_needed(0.05, 0.04)
    assert needed is not None
    assert stats.smallest_effect(needed, 0.04) <= 0.05 < stats.smallest_effect(needed - 1, 0.04)
    assert stats.pairs_needed(-0.05, 0.04) == needed
    assert stats.pairs_needed(1e-6, 0.04, at_most=50) is None
    assert stats.pairs_needed(0.001, 0.0) == 5


def test_identical_differences_are_as_certain_as_the_number_of_pairs_allows() -> None:
    assert stats.confidence_sequence([0.2] * 5) == stats.Interval(0.2, 0.2, 0.2)
    assert stats.e_value([0.2] * 5) == pytest.approx(36.0)
    assert stats.e_value([0.2] * 4) == pytest.approx(5**1.5)
    assert stats.confidence_sequence([0.0] * 5) == stats.Interval(0.0, 0.0, 0.0)
    assert stats.confidence_sequence([0.25] * 5, rounded=0.5) == stats.Interval(0.25, -0.25, 0.75)
    noisy = [0.1, 0.2, 0.3, 0.2, 0.2]
    assert stats.confidence_sequence(noisy, rounded=0.01) == stats.confidence_sequence(noisy)


@pytest.mark.parametrize(
    ("value", "unit"),
    [(12.0, 1.0), (1200.0, 1.0), (12.5, 0.1), (12.34, 0.01), (0.0004, 1e-4), (1e-7, 1e-7), (3e20, 1.0)],
)
def test_the_last_digit_that_was_printed(value: float, unit: float) -> None:
    assert stats.last_digit(value) == pytest.approx(unit)


def test_rounding_hides_what_could_have_been_the_same_number() -> None:
    """11.5 is printed as 11 or as 12."""
    assert stats.rounding(12.0, 11.0, 1.0) >= math.log(12 / 11)
    assert stats.rounding(12.0, 10.0, 1.0) < math.log(12 / 10)
    assert stats.rounding(1234.5678, 1200.1234, 1e-4) < 1e-7
    assert stats.e_value([0.0] * 5) == pytest.approx(6**-0.5)
    assert stats.e_value([1.0, 1.0 + 1e-15] * 500) == math.inf


@pytest.mark.parametrize("differences", [[], [0.1], [0.1, math.nan, 0.2], [0.1, math.inf, 0.2]])
def test_what_cannot_be_computed_is_none(differences: list[float]) -> None:
    assert stats.confidence_sequence(differences) is None
    assert stats.e_value(differences) is None
    assert stats.sd(differences) is None


def test_log_ratios_are_turned_so_that_more_is_better() -> None:
    assert stats.log_ratio(100.0, 110.0, "maximize") == pytest.approx(math.log(1.1))
    assert stats.log_ratio(100.0, 110.0, "minimize") == pytest.approx(-math.log(1.1))
    for default, candidate in ((0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (math.nan, 1.0), (1.0, math.inf)):
        assert stats.log_ratio(default, candidate, "maximize") is None


@given(st.floats(min_value=-99, max_value=1e6))
def test_percent_and_log_effect_are_inverse(percent: float) -> None:
    assert stats.percent(stats.log_effect(percent)) == pytest.approx(percent, abs=1e-9)


def test_percent_of_the_unbounded() -> None:
    assert stats.percent(-math.inf) == -100.0
    assert stats.percent(math.inf) == math.inf
    assert stats.percent(1e6) == math.inf


@given(st.lists(st.floats(min_value=1e-3, max_value=1e9), min_size=2, max_size=20))
def test_means_agree_with_scipy(values: list[float]) -> None:
    assert stats.geometric_mean(values) == pytest.approx(float(oracle.gmean(values)), rel=1e-9)
    assert stats.mean(values) == pytest.approx(sum(values) / len(values), rel=1e-9)


def test_means_of_nothing_are_none() -> None:
    assert stats.mean([]) is None
    assert stats.mean([1.0, math.nan]) is None
    assert stats.geometric_mean([]) is None
    assert stats.geometric_mean([1.0, 0.0]) is None


def test_slope() -> None:
    assert stats.slope([0.0, 10.0, 20.0], [1.0, 2.0, 3.0]) == pytest.approx(0.1)
    assert stats.slope([0.0, 10.0, 40.0], [1.0, 5.0, 3.0]) == pytest.approx(
        float(oracle.linregress([0.0, 10.0, 40.0], [1.0, 5.0, 3.0]).slope)
    )
    assert stats.slope([5.0, 5.0], [1.0, 2.0]) is None
    assert stats.slope([1.0], [1.0]) is None
    assert stats.slope([1.0, 2.0], [1.0, math.nan]) is None
    assert stats.slope([1.0, 2.0], [1.0]) is None


def test_a_bound_for_the_noise_grows_when_little_is_known() -> None:
    """Against the exact factors ``sqrt(v / chi2.ppf(0.2, v))``: 2.117, 1.558 and 1.177."""
    for count, factor in ((3, 2.117), (5, 1.558), (20, 1.177)):
        values = [float(number % 3) for number in range(count)]
        spread = stats.sd(values)
        assert spread is not None
        assert stats.upper_sd(values) == pytest.approx(factor * spread, rel=0.01)
    assert stats.upper_sd([1.0]) is None
    assert stats.upper_sd([1.0, 1.0, 1.0]) == 0.0
    assert math.isfinite(stats.upper_sd([1.0, 2.0], confidence=0.999) or math.inf)


def test_the_error_of_a_mean_takes_neighbours_that_resemble_each_other_into_account() -> None:
    alternating = [1.0, 2.0] * 10
    rising = [float(number) for number in range(20)]
    independent = (stats.sd(alternating) or 0.0) / math.sqrt(20)
    assert stats.standard_error(alternating) == pytest.approx(independent)
    assert (stats.standard_error(rising) or 0.0) > 3 * (stats.sd(rising) or 0.0) / math.sqrt(20)
    assert stats.standard_error([5.0] * 6) == 0.0
    assert stats.standard_error([1.0, 2.0, 3.0]) is None
    assert stats.standard_error([1.0, math.nan, 3.0, 4.0]) is None


def test_student_t() -> None:
    assert stats.student_t(0.975, 4) == pytest.approx(2.776, abs=0.001)
    assert stats.student_t(0.5, 9) == pytest.approx(0.0, abs=1e-9)
