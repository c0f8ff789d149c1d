"""The names of searchers are known without the libraries behind them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from knobctl.errors import UsageError
from knobctl.plan import TrainingConfig
from knobctl.search.registry import DEFAULT, SEARCHERS, make_searcher


def test_sappo_is_the_default() -> None:
    assert DEFAULT == "sappo"
    assert set(SEARCHERS) == {"sappo", "ppo", "tpe", "random", "cmaes", "gp", "one-at-a-time"}


@pytest.mark.parametrize("name", ["sac", "", "PPO "])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match=f"unknown searcher '{name}'") as caught:
        make_searcher(name, TrainingConfig())
    assert caught.value.hint == "Known: sappo, ppo, tpe, gp, cmaes, random, one-at-a-time."


def test_the_names_cost_nothing() -> None:
    code = (
        "import knobctl.search.registry, sys\n"
        "print(sorted({'torch', 'optuna', 'gymnasium', 'stable_baselines3', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
