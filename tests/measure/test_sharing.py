"""How long runs should be and how many pairs they should make, from the noise."""

from __future__ import annotations

import math

import pytest

from knobctl import stats
from knobctl.measure.sharing import (
    FEWEST_PAIRS,
    LONGEST_SECONDS,
    MOST_PAIRS,
    WORTHWHILE_PERCENT,
    better_length,
    pairs_for,
)


def test_a_quiet_machine_needs_few_pairs_and_a_noisy_one_gets_as_many_as_there_may_be() -> None:
    assert pairs_for(0.0) == FEWEST_PAIRS
    assert pairs_for(0.5) == MOST_PAIRS
    assert pairs_for(math.inf) == MOST_PAIRS
    assert pairs_for(0.5, most=9) == 9
    assert pairs_for(0.001, most=5) == 5, "less than the usual least, when no more is affordable"


def test_in_between_the_pairs_prove_what_is_worthwhile_and_one_less_would_not() -> None:
    pairs = pairs_for(0.015)
    assert FEWEST_PAIRS < pairs < MOST_PAIRS
    assert stats.percent(stats.smallest_effect(pairs, 0.015)) <= WORTHWHILE_PERCENT
    assert stats.percent(stats.smallest_effect(pairs - 1, 0.015)) > WORTHWHILE_PERCENT


@pytest.mark.parametrize(
    ("within", "settling", "seconds"),
    [
        (None, None, 10.0),
        (0.01, 0.0, 10.0),
        (0.027, 0.0, 10.0),  # hardly too short is long enough
        (0.035, 0.0, 20.0),  # noise 1.4 times too much: twice as long
        (0.5, 0.0, 40.0),  # never more than four times
        (None, 5.0, 20.0),  # half of it is spent on settling
        (0.01, 9.0, 36.0),
    ],
)
def test_a_run_is_made_longer_when_its_own_seconds_are_the_trouble(
    within: float | None, settling: float | None, seconds: float
) -> None:
    assert better_length(10.0, within, settling) == seconds


def test_no_run_is_made_longer_than_is_bearable() -> None:
    assert better_length(60.0, 0.5, None) == LONGEST_SECONDS
    assert better_length(300.0, 0.5, None) == 300.0
