"""SMAC3: the contract where it is installed, and what is said where it is not."""

from __future__ import annotations

from importlib.util import find_spec
from statistics import fmean

import pytest

from knobctl.errors import UsageError
from knobctl.plan import TrainingConfig
from knobctl.search.registry import make_searcher
from knobctl.search.session import run_search
from tests.env.invented import bell, env_for
from tests.search.contract import SearcherContract

needs_smac = pytest.mark.skipif(find_spec("smac") is None, reason="needs the extra smac")


@needs_smac
@pytest.mark.long  # its forest takes a third of a second per trial
class TestSMACContract(SearcherContract):
    name = "smac"


@needs_smac
@pytest.mark.long
def test_a_model_is_better_than_chance() -> None:
    def last_fifteen(searcher: str) -> float:
        env = env_for(bell, 2, noise=0.02, total_timesteps=45)
        run_search(env, make_searcher(searcher, env.plan.plan.training_config, seed=0))
        scores = [trial.score for trial in env.bench.trials if trial.kind == "search" and trial.score is not None]
        return fmean(scores[-15:])

    assert last_fifteen("smac") > last_fifteen("random") + 100


@pytest.mark.skipif(find_spec("smac") is not None, reason="it is installed")
def test_what_is_not_installed_is_a_usage_error_with_the_command_that_installs_it() -> None:
    with pytest.raises(UsageError, match="SMAC3 cannot be used: No module named 'smac'") as caught:
        make_searcher("smac", TrainingConfig())
    assert caught.value.hint == "pip install 'knobctl[smac]'"
