"""What every searcher is (:class:`Searcher`), and the wrapper that ends its search (:class:`BudgetedEnv`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, SupportsFloat

import gymnasium

from knobctl.env import OSTuningEnv
from knobctl.env.environment import Action, Observation
from knobctl.knobs import Value

Step = tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]


class SearchOver(Exception):
    """No further trial may be played. Raised by :class:`BudgetedEnv` in the middle of whatever the searcher does."""


@dataclass(frozen=True)
class Played:
    """One trial as a searcher sees it: where it was, and how good (more is better, finite even when it failed)."""

    action: tuple[float, ...]
    reward: float


@dataclass(frozen=True)
class SearchSummary:
    """What a searcher has to say afterwards. The trials themselves are recorded by the environment.

    Attributes:
        policy_updates: Gradient updates of a learned policy (rollouts that were learned from); None without a policy.
        notes: What people should know, one sentence each.
    """

    policy_updates: int | None = None
    notes: tuple[str, ...] = ()


class BudgetedEnv(gymnasium.Wrapper[Observation, Action, Observation, Action]):
    """Ends the search: raises :class:`SearchOver` in place of a trial beyond the budget or the deadline.

    A :class:`~knobctl.errors.SafetyStop` of the target is raised too, after the environment has recorded its trial.

    Args:
        env: The environment, reset or not.
        deadline: No trial starts after so many seconds of the session; None for no deadline.
        clock: Seconds of the session; the environment's bench knows them.

    Attributes:
        played: The trials of this search so far, suggestions included.
        over: Why the search ended, ``budget`` or ``deadline``; empty before that.
    """

    def __init__(
        self, env: OSTuningEnv, deadline: float | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        super().__init__(env)
        self.tuning = env
        self.played: tuple[Played, ...] = ()
        self.over = ""
        self._deadline = deadline
        self._clock = clock or (lambda: env.bench.elapsed)

    @property
    def remaining(self) -> int:
        """Trials left in the budget."""
        return self.tuning.budget - self.tuning.played

    def step(self, action: Action) -> Step:
        """As the environment's.

        Raises:
            SearchOver: The budget or the time is used up. Nothing was measured.
            SafetyStop: The target's guard tripped.
        """
        self._admit()
        return self._note(tuple(float(number) for number in action), self.env.step(action))

    def suggest(self, configuration: Mapping[str, Value]) -> Step:
        """Plays a step with somebody's suggestion.

        Raises:
            SearchOver: As :meth:`step`.
            SafetyStop: As :meth:`step`.
        """
        self._admit()
        complete = self.tuning.plan.repair(configuration)
        return self._note(self.tuning.places(complete), self.tuning.try_configuration(complete, "suggestion"))

    def _admit(self) -> None:
        if self.remaining <= 0:
            self.over = "budget"
        elif self._deadline is not None and self._clock() >= self._deadline:
            self.over = "deadline"
        if self.over:
            raise SearchOver(self.over)

    def _note(self, action: tuple[float, ...], step: Step) -> Step:
        _, reward, _, _, info = step
        self.played += (Played(action, float(reward)),)
        if "safety_stop" in info:
            raise info["safety_stop"]
        return step


class Searcher(Protocol):
    """A search algorithm. All that it does is play."""

    @property
    def name(self) -> str:
        """As in ``--searcher NAME``."""
        ...

    def play(self, env: BudgetedEnv) -> SearchSummary:
        """Plays until the environment raises :class:`SearchOver`, which it may catch to say something afterwards.

        The environment has been reset; suggestions that were tried already are in ``env.played``.
        """
        ...
