"""What every strategist does (:class:`Strategist`), what it is asked (:class:`TuningRequest`) and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from knobctl.knobs import Catalogue, KnobState
from knobctl.plan import TuningPlan
from knobctl.target import HostFacts


@dataclass(frozen=True)
class TuningRequest:
    """What a person wants, in their words, with the options that they typed beside it.

    Attributes:
        text: The words, in English or Chinese. Untrusted: it may hold anything.
        command: The benchmark to run in place of the one that the words suggest, as typed.
        metric: The objective: a metric of the benchmark, by name or synonym.
        metric_pattern: Regular expression whose first group is the objective in the benchmark's output.
        direction: ``maximize`` or ``minimize`` or a word that means one of them.
        knobs: Tune exactly these: names, aliases, or shell patterns such as ``vm.*``.
        budget: Trials of the search.
        seed: Makes the search repeatable.
    """

    text: str
    command: str | None = None
    metric: str | None = None
    metric_pattern: str | None = None
    direction: str | None = None
    knobs: tuple[str, ...] = ()
    budget: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Proposal:
    """A plan, where it comes from, and what people should know about it. It may not run before it is validated.

    Attributes:
        plan: The plan.
        source: ``playbook:NAME`` (``playbook:custom`` when only options chose it) or ``model:NAME``.
        why: Why this plan, one sentence each.
        dropped: (what, why) of everything that belongs to the plan but is of no use on this machine.
        notes: What was not understood, was out of bounds, or could be asked for instead; one sentence each.
    """

    plan: TuningPlan
    source: str
    why: tuple[str, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


class Strategist(Protocol):
    """Turns words into a plan for one machine. Deterministic strategists give equal proposals for equal arguments."""

    def propose(
        self, request: TuningRequest, facts: HostFacts, states: Mapping[str, KnobState], catalogue: Catalogue
    ) -> Proposal:
        """A plan for this request on this machine. Changes nothing.

        Args:
            request: What is wanted.
            facts: What the machine is.
            states: How each knob stands on it, by canonical name; a knob that is missing here counts as absent.
            catalogue: The knobs that may be proposed.

        Raises:
            RequestNotUnderstood: The words do not say which workload is meant.
            UsageError: An option cannot be satisfied: the message names it.
        """
        ...
