"""knobctl tunes a Linux machine for a workload, proves the gain, and leaves nothing behind.

Importing this package costs nothing: its public names are loaded when they are first used, and the environment
``knobctl/OSTuning-v0`` is registered as soon as both this package and Gymnasium are imported, in whatever order.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

ENVIRONMENT = "knobctl/OSTuning-v0"
"""For ``gymnasium.make("knobctl:knobctl/OSTuning-v0", plan=..., target=...)``."""

_PUBLIC = {
    "OSTuningEnv": "knobctl.env",
    "SafetyValidator": "knobctl.safety",
    "get_optimization_strategy_prompt": "knobctl.strategist.prompt",
    "optimize_workload": "knobctl.tools",
    "run_rl_optimization": "knobctl.rl_autotuner",
}

__all__ = [
    "ENVIRONMENT",
    "OSTuningEnv",
    "SafetyValidator",
    "__version__",
    "get_optimization_strategy_prompt",
    "optimize_workload",
    "run_rl_optimization",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        value: Any = metadata.version("knobctl")
    elif name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register() -> None:
    import gymnasium

    if ENVIRONMENT not in gymnasium.registry:
        # Real benchmarks are not repeatable to the last digit, and neither is simulated noise.
        gymnasium.register(ENVIRONMENT, entry_point="knobctl.env:make_env", nondeterministic=True)


class _RegisterAfterGymnasium:
    """A finder that finds nothing by itself: it lets Gymnasium be imported as usual and registers right after.

    Gymnasium imports the module in front of the colon of ``knobctl:knobctl/OSTuning-v0`` and expects that to register
    the environment. An import that has already happened runs no code again, and importing Gymnasium from here would
    cost every ``knobctl --help`` a third of a second. So this waits in ``sys.meta_path`` until somebody else imports
    Gymnasium, and then leaves.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec that the other finders have for Gymnasium, with the registration after its last line."""
        if name != "gymnasium":
            return None
        others = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in others if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: Any) -> None:
                execute(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                _register()

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


if "gymnasium" in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _RegisterAfterGymnasium())
