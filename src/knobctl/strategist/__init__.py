"""Words to plan: a :class:`TuningRequest` and what the machine is go in, a :class:`Proposal` with its plan comes out.

Nothing in this room touches a machine. Text is data: it chooses among known workloads and fills checked, typed
parameters; it never becomes a part of a command in any other way.
"""

from knobctl.strategist.base import Proposal, Strategist, TuningRequest
from knobctl.strategist.playbook import PlaybookStrategist
from knobctl.strategist.prompt import get_optimization_strategy_prompt

__all__ = [
    "PlaybookStrategist",
    "Proposal",
    "Strategist",
    "TuningRequest",
    "get_optimization_strategy_prompt",
]
