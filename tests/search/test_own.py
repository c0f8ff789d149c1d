"""A searcher of somebody's own, by the name of its module and class."""

from __future__ import annotations

import numpy as np
import pytest

from knobctl.errors import UsageError
from knobctl.plan import TrainingConfig
from knobctl.search.base import BudgetedEnv, SearchSummary
from knobctl.search.registry import make_searcher
from knobctl.search.session import run_search
from tests.env.invented import env_for


class Middle:
    """Stays in the middle, as far away from it as its seed says."""

    def __init__(self, seed: int) -> None:
        self.name = "middle"
        self._place = 0.5 + seed / 100

    def play(self, env: BudgetedEnv) -> SearchSummary:
        while True:
            env.step(np.full(env.action_space.shape or (), self._place, dtype=np.float32))


def test_it_plays_with_its_seed() -> None:
    env = env_for(total_timesteps=3)
    run_search(env, make_searcher("tests.search.test_own:Middle", TrainingConfig(), seed=10))
    assert [trial.configuration for trial in env.bench.trials if trial.kind == "search"] == [{"demo.k0": 600}] * 3


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no_such_module:Searcher", "cannot make the searcher no_such_module:Searcher: ModuleNotFoundError"),
        ("tests.search.test_own:Nobody", "cannot make the searcher .*AttributeError"),
        ("tests.env.invented:Hill", "cannot make the searcher .*TypeError"),
        ("builtins:str", "builtins:str makes a str, which has no play"),
        (":", "cannot make the searcher :"),
    ],
)
def test_what_is_no_searcher_is_refused(name: str, error: str) -> None:
    with pytest.raises(UsageError, match=error) as caught:
        make_searcher(name, TrainingConfig())
    assert caught.value.hint
