"""Invented machines for ``--target simulated:tests.chat.machines:NAME``."""

from __future__ import annotations

import time
from collections.abc import Mapping

from knobctl.knobs import Value


class Slow:
    """Nothing matters here, and every run takes a while: there is time to press Ctrl-C."""

    metric = "transactions_per_second"
    direction = "maximize"
    action_space = ({"param": "vm.swappiness", "min": 0, "max": 100},)

    def default(self) -> dict[str, Value]:
        """As found."""
        return {"vm.swappiness": 60}

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        """Always the same."""
        time.sleep(0.3)
        return 1000.0
