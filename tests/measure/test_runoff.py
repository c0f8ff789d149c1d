"""When a smaller change loses something that matters."""

from __future__ import annotations

import pytest

from knobctl.measure.runoff import SMALLEST_LOSS, loses


@pytest.mark.parametrize(
    ("small", "whole", "lost"),
    [
        ((100.0, 101.0), (100.0, 101.0), False),
        ((104.0, 103.0), (100.0, 101.0), False),  # better is no loss
        ((98.5, 98.5), (100.0, 100.0), False),  # it may always lose a little
        ((96.0, 95.5), (100.0, 101.0), True),
        ((0.0, -1.0), (100.0, 100.0), True),  # no score at all
        ((), (100.0, 100.0), True),
        ((100.0,), (), False),  # the whole one crashes
    ],
)
def test_who_loses(small: tuple[float, ...], whole: tuple[float, ...], lost: bool) -> None:
    assert loses(small, whole, "maximize", 0.02) == lost


def test_less_is_better_where_it_is() -> None:
    assert loses((105.0, 104.0), (100.0, 100.0), "minimize", 0.02)
    assert not loses((95.0, 94.0), (100.0, 100.0), "minimize", 0.02)


def test_on_a_noisy_machine_more_is_needed_and_more_runs_tell_more() -> None:
    assert not loses((95.0, 95.0), (100.0, 100.0), "maximize", 0.1)
    assert loses((95.0,) * 10, (100.0,) * 10, "maximize", 0.1)
    assert not loses((98.1,) * 1000, (100.0,) * 1000, "maximize", 0.1), f"less than {SMALLEST_LOSS}"
