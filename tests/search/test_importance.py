"""Which knobs decided, on searches whose truth is known."""

from __future__ import annotations

import math
import warnings

import numpy as np
import optuna
import pytest

from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.search.importance import FEWEST_TRIALS, importance

SPACE = Space(
    (
        Dimension("vm.dirty_ratio", "integer", 5, 80),
        Dimension("thp.enabled", "choice", values=("always", "madvise", "never")),
        Dimension("net.core.rmem_max", "integer", 4096, 2**26, "log", special=(0,)),
        Dimension("vm.swappiness", "integer", 0, 100),
    )
)
DEFAULT: dict[str, Value] = {
    "vm.dirty_ratio": 20, "thp.enabled": "inherit", "net.core.rmem_max": 212992, "vm.swappiness": 60,
}  # fmt: skip


def searched(truth: dict[str, float], trials: int, seed: int = 1, kind: str = "search") -> list[Trial]:
    """Random trials; ``truth`` is the gain from the lower to the upper end of a knob, or of the word ``always``."""
    random = np.random.default_rng(seed)
    record = []
    for number in range(trials):
        configuration = SPACE.decode([float(u) for u in random.random(len(SPACE))])
        gain = 0.01 * random.standard_normal()
        for name, effect in truth.items():
            dimension = SPACE.dimensions[SPACE.names.index(name)]
            value = configuration[name]
            gain += effect * (float(value == "always") if dimension.kind == "choice" else dimension.encode(value))
        record.append(one(number, kind, configuration, 1000 * math.exp(gain)))
    return record


def one(number: int, kind: str, configuration: dict[str, Value], score: float | None) -> Trial:
    changed = {name: value for name, value in configuration.items() if value != DEFAULT[name]}
    return Trial(number, kind, changed, score, {}, {}, (), 30.0, None, "", 30.0 * number)


@pytest.mark.parametrize("name", ["vm.dirty_ratio", "thp.enabled", "net.core.rmem_max"])
def test_the_knob_that_decides_comes_first(name: str) -> None:
    found = importance(searched({name: 0.3}, 60), SPACE, "maximize", DEFAULT)
    assert next(iter(found)) == name
    assert found[name] > 0.5
    assert set(found) == set(SPACE.names)
    assert sum(found.values()) == pytest.approx(1.0)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_the_direction_says_which_trials_are_the_good_ones() -> None:
    # Only the upper end of a knob matters, and only downwards: what is best for one direction is spread for the other.
    record = [
        one(n, "search", {**DEFAULT, "vm.dirty_ratio": 5 + n, "vm.swappiness": 37 * n % 100}, 500.0 - (n > 50) * n)
        for n in range(70)
    ]
    least = importance(record, SPACE, "minimize", DEFAULT)
    most = importance(record, SPACE, "maximize", DEFAULT)
    assert least["vm.dirty_ratio"] > 0.9
    assert least != most


def test_failed_trials_and_the_default_do_not_count() -> None:
    record = searched({"vm.dirty_ratio": 0.3}, 40)
    more = [
        *[one(100 + n, "search", dict(DEFAULT), None) for n in range(20)],
        *[one(200 + n, "baseline", dict(DEFAULT), 9000.0) for n in range(20)],
        *[one(300 + n, "control", dict(DEFAULT), math.nan) for n in range(5)],
    ]
    assert importance(record + more, SPACE, "maximize", DEFAULT) == importance(record, SPACE, "maximize", DEFAULT)


def test_suggestions_count() -> None:
    record = searched({"vm.dirty_ratio": 0.3}, FEWEST_TRIALS, kind="suggestion")
    assert importance(record, SPACE, "maximize", DEFAULT)


@pytest.mark.parametrize("trials", [0, 1, FEWEST_TRIALS - 1])
def test_too_few_trials_tell_nothing(trials: int) -> None:
    assert importance(searched({"vm.dirty_ratio": 0.3}, trials), SPACE, "maximize", DEFAULT) == {}
    assert importance(searched({"vm.dirty_ratio": 0.3}, FEWEST_TRIALS), SPACE, "maximize", DEFAULT)


def test_the_same_score_everywhere_tells_nothing() -> None:
    record = [one(n, "search", {**DEFAULT, "vm.dirty_ratio": 5 + n}, 1000.0) for n in range(30)]
    assert importance(record, SPACE, "maximize", DEFAULT) == {}


def test_a_knob_left_alone_is_at_its_default() -> None:
    record = [
        one(n, "search", {**DEFAULT, "thp.enabled": "never" if n % 2 else "inherit"}, 1000.0 + 200 * (n % 2) + n % 7)
        for n in range(40)
    ]
    assert importance(record, SPACE, "maximize", DEFAULT)["thp.enabled"] == pytest.approx(1.0)
    without = importance(record, SPACE, "maximize")
    assert without == {} or without["thp.enabled"] == pytest.approx(1.0)


def test_nothing_is_printed_and_nobody_is_warned(capfd: pytest.CaptureFixture[str]) -> None:
    verbosity = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importance(searched({"vm.dirty_ratio": 0.3}, 12), SPACE, "maximize")
    assert optuna.logging.get_verbosity() == verbosity
    assert capfd.readouterr() == ("", "")
