"""Trials: a safe plan, a target and a workload in, measured configurations out, as a Gymnasium environment."""

from knobctl.env.bench import Bench
from knobctl.env.closing import close_restored
from knobctl.env.environment import Baseline, OSTuningEnv
from knobctl.env.make import make_env, refuse_other_defaults

__all__ = ["Baseline", "Bench", "OSTuningEnv", "close_restored", "make_env", "refuse_other_defaults"]
