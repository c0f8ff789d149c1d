"""make_env and gymnasium.make: every form of a plan, every target, both import orders, both checkers."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RescaleAction
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

import knobctl
from knobctl.env import OSTuningEnv, make_env
from knobctl.errors import KnobChangedByOther, PlanError, RestoreIncomplete, TargetError, UsageError, WorkloadError
from knobctl.knobs import KnobState
from knobctl.plan import plan_from
from knobctl.target.base import KnobRestore, RestoreReport
from knobctl.target.simulated import SimulatedTarget, simulated_target
from knobctl.target.surfaces import find_surface

FIVE_KEYS: dict[str, Any] = {
    "workload_name": "PostgreSQL OLTP",
    "reward_metric": "transactions_per_second",
    "benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb",
    "action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 80}],
    "state_space": [{"metric": "cpu_utilization", "source": "/proc/stat"}],
    "training_config": {"total_timesteps": 40, "max_steps_per_episode": 10, "n_steps": 8},
}


def made(**options: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make("knobctl:knobctl/OSTuning-v0", **{"plan": FIVE_KEYS, **options})


def test_gymnasium_finds_nothing_to_complain_about() -> None:
    env = made(target="simulated")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()


def test_stable_baselines_finds_nothing_to_complain_about() -> None:
    # SB3 recommends [-1, 1] for every Box; that is how the PPO searcher plays it.
    env = RescaleAction(made(target="simulated:null"), np.float32(-1.0), np.float32(1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env_of_sb3(env)
    env.close()


@pytest.mark.parametrize(
    "imports",
    [
        "import knobctl, gymnasium",
        "import gymnasium, knobctl",
        "import gymnasium",
        "import knobctl, importlib.util; importlib.util.find_spec('gymnasium'); import gymnasium",
    ],
)
def test_either_order_of_imports_registers(imports: str) -> None:
    code = (
        f"{imports}\n"
        f"env = gymnasium.make('knobctl:knobctl/OSTuning-v0', plan={FIVE_KEYS!r}, target='simulated')\n"
        "env.reset(seed=0); print(env.action_space)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "Box(0.0, 1.0, (1,), float32)"


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import knobctl, sys; print(sorted({'gymnasium', 'numpy', 'torch', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names() -> None:
    assert knobctl.OSTuningEnv is OSTuningEnv
    assert knobctl.__version__[0].isdigit()
    assert set(knobctl.__all__) <= set(dir(knobctl))
    with pytest.raises(AttributeError, match="has no attribute 'OSTunerEnv'"):
        _ = knobctl.OSTunerEnv


# --- plans and targets


def test_every_form_of_a_plan_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(FIVE_KEYS), encoding="utf-8")
    plan = plan_from(FIVE_KEYS)
    safe = make_env(plan).plan
    for form in (path, str(path), FIVE_KEYS, plan, safe):
        assert make_env(form).plan == safe


@pytest.mark.parametrize(
    ("target", "name"), [("simulated", "simulated:postgresql"), ("simulated:web", "simulated:web")]
)
def test_simulated_targets_by_name(target: str, name: str) -> None:
    assert make_env(FIVE_KEYS, target).bench.target.name == name


def test_a_simulated_target_of_anybodys_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "surface_for_make.py").write_text(
        "from knobctl.target.surfaces import SURFACES\nmine = SURFACES['null']\n", encoding="utf-8"
    )
    env = make_env(FIVE_KEYS, "simulated:surface_for_make:mine", noise=0.0)
    env.reset()
    assert env.bench.trials[0].score == pytest.approx(1000.0)
    env.close()


@pytest.mark.parametrize("target", ["remote", "", "locale"])
def test_an_unknown_target_lists_the_known_ones(target: str) -> None:
    with pytest.raises(UsageError, match=f"unknown target '{target}'") as caught:
        make_env(FIVE_KEYS, target)
    assert "simulated:NAME" in caught.value.hint


def test_a_bad_plan_is_refused_before_anything_is_opened() -> None:
    target = simulated_target()
    with pytest.raises(PlanError):
        make_env({**FIVE_KEYS, "action_space": [{"param": "vm.no_such_knob", "min": 1, "max": 2}]}, target)
    target.open("still free")


def test_a_command_of_any_kind_is_played_by_a_simulated_target() -> None:
    custom = {**FIVE_KEYS, "benchmark_command": "./mine --fast", "metric_pattern": r"rate: (\d+)", "direction": "max"}
    env = make_env({**custom, "reward_metric": "rate"}, "simulated:null")
    env.reset()
    assert env.bench.trials[0].score is not None


# --- opening and closing


def test_nothing_is_opened_before_the_first_reset_and_close_gives_it_back() -> None:
    target = simulated_target("null")
    env = make_env(FIVE_KEYS, target)
    with pytest.raises(TargetError, match="not open"):
        _ = target.folder
    env.reset()
    assert target.folder.startswith("/simulated/gymnasium-")
    env.step(np.array([1.0], dtype=np.float32))
    assert target.probe(["vm.dirty_ratio"])["vm.dirty_ratio"].value == 80
    env.close()
    assert target.probe(["vm.dirty_ratio"])["vm.dirty_ratio"].value == 20
    env.close()
    target.open("free again")


def test_a_machine_that_changed_since_the_plan_was_validated_is_refused_and_given_back() -> None:
    target = simulated_target("null")
    env = make_env(FIVE_KEYS, target)
    target.change_from_outside("vm.dirty_ratio", 33)
    with pytest.raises(KnobChangedByOther, match=r"vm\.dirty_ratio is 33 now, and was 20"):
        env.reset()
    target.open("free again")


class Stuck(SimulatedTarget):
    """A machine that refuses to take one value back."""

    def close(self) -> RestoreReport:
        written = bool(super().close().knobs)
        stuck = KnobRestore("/proc/sys/vm/dirty_ratio", "failed", "20", "80", "Device or resource busy (EBUSY)")
        return RestoreReport((stuck, KnobRestore("/proc/sys/vm/dirty_bytes", "held", "0", "0")) if written else ())


def test_close_says_so_when_a_knob_is_not_back() -> None:
    target = Stuck(find_surface("null"))
    env = make_env(FIVE_KEYS, target)
    env.reset()
    env.step(np.array([1.0], dtype=np.float32))
    with pytest.raises(RestoreIncomplete) as caught:
        env.close()
    assert caught.value.message == "1 kernel setting(s) could not be put back"
    assert caught.value.hint == "Paste as root: sysctl -w vm.dirty_ratio=20"
    env.close()
    target.open("free again")


class Unready(Stuck):
    """A machine that has a knob written and then cannot be looked at any more."""

    def open(self, session: str, names: Sequence[str] = ()) -> None:
        super().open(session, names)
        self.write({"vm.dirty_ratio": 20})

    def probe(self, names: Sequence[str] | None = None) -> dict[str, KnobState]:
        if self._session:
            raise WorkloadError("the data could not be made", "Make room.")
        return super().probe(names)


def test_a_preparation_that_fails_says_so_too_and_keeps_its_own_error() -> None:
    target = Unready(find_surface("null"))
    env = make_env(FIVE_KEYS, target)
    with pytest.raises(RestoreIncomplete, match=r"1 kernel setting\(s\) could not be put back") as caught:
        env.reset()
    assert str(caught.value.__context__) == "the data could not be made"
    env.close()
    target.open("free again")


def test_the_budget_holds_for_plain_stable_baselines_with_its_own_rollouts() -> None:
    target = simulated_target("null")
    env = made(target=target)
    PPO("MlpPolicy", env, n_steps=128, batch_size=128, n_epochs=1, device="cpu").learn(100)
    tuning = env.unwrapped
    assert isinstance(tuning, OSTuningEnv)
    assert tuning.played == 40
    assert sum(trial.kind == "search" for trial in tuning.bench.trials) == 40
    env.close()


def test_a_budget_and_noise_of_ones_own() -> None:
    env = make_env(FIVE_KEYS, "simulated:null", budget=3, noise=0.0)
    assert env.budget == 3
    assert isinstance(env.bench.target, SimulatedTarget)
    assert env.bench.target.noise == 0.0
