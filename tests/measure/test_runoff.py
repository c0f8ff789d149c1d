"""When a smaller change loses something that matters."""

from __future__ import annotations

import numpy as np
import pytest

from knobctl.measure.runoff import loses

MARGIN = 0.05


@pytest.mark.parametrize(
    ("small", "whole", "lost"),
    [
        ((100.0, 101.0), (100.0, 101.0), False),
        ((104.0, 103.0), (100.0, 101.0), False),  # better is no loss
        ((98.5, 98.5), (100.0, 100.0), None),  # nearer to nothing, but two runs cannot tell
        ((97.5, 97.4), (100.0, 100.0), None),  # half of the margin
        ((0.0, 97.0), (100.0, 100.0), None),  # a failed run is no score
        ((94.0, 94.5), (100.0, 101.0), True),
        ((0.0, -1.0), (100.0, 100.0), True),  # no score at all
        ((), (100.0, 100.0), True),
        ((100.0,), (), False),  # the whole one crashes
    ],
)
def test_who_loses(small: tuple[float, ...], whole: tuple[float, ...], lost: bool | None) -> None:
    assert loses(small, whole, "maximize", 0.02, MARGIN, decide=False) == lost


def test_at_the_end_the_likelier_answer_counts() -> None:
    for score, lost in ((98.5, False), (97.2, True)):
        assert loses((score,) * 2, (100.0,) * 2, "maximize", 0.02, MARGIN, decide=True) == lost


def test_less_is_better_where_it_is() -> None:
    assert loses((108.0, 107.0), (100.0, 100.0), "minimize", 0.02, MARGIN, decide=False)
    assert loses((95.0, 94.0), (100.0, 100.0), "minimize", 0.02, MARGIN, decide=False) is False


def test_on_a_noisy_machine_more_runs_are_needed() -> None:
    assert loses((94.0,) * 2, (100.0,) * 2, "maximize", 0.1, MARGIN, decide=False) is None
    assert loses((94.0,) * 40, (100.0,) * 40, "maximize", 0.1, MARGIN, decide=False)


def test_an_accident_decides_nothing() -> None:
    small = (100.0, 101.0, 99.0, 60.0, 100.0, 100.5)
    assert loses(small, (100.0, 100.5, 99.0, 101.0, 100.0, 99.5), "maximize", 0.02, MARGIN, decide=False) is False


def test_noise_that_the_preflight_did_not_see_counts() -> None:
    small, whole = (91.0, 104.0, 88.0, 101.0), (108.0, 95.0, 110.0, 99.0)
    assert loses(small, whole, "maximize", 0.02, MARGIN, decide=False) is None
    assert loses((95.0, 95.5, 94.5, 95.0), (103.0, 102.5, 103.0, 103.5), "maximize", 0.02, MARGIN, decide=False)


@pytest.mark.parametrize(("true_loss", "wrong"), [(0.0, True), (MARGIN, False)])
def test_wrong_answers_are_as_rare_as_promised(true_loss: float, wrong: bool) -> None:
    random, answers = np.random.default_rng(1), []
    for _ in range(400):
        small: list[float] = []
        whole: list[float] = []
        answer = None
        while answer is None:
            small += np.exp(-true_loss + 0.03 * random.standard_normal(2)).tolist()
            whole += np.exp(0.03 * random.standard_normal(2)).tolist()
            answer = loses(small, whole, "maximize", 0.03, MARGIN, decide=False)
        answers.append(answer)
    # Wald: at most 1/20, give or take what 400 draws can tell.
    assert np.mean([answer == wrong for answer in answers]) < 0.07
