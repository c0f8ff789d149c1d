"""A tuning plan, a machine and the user's own words in; a safe plan out, or every reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping

from knobctl.agent.facts import collect
from knobctl.knobs import Catalogue, KnobState
from knobctl.knobs.files import catalogue as shipped_catalogue
from knobctl.plan import TuningPlan
from knobctl.safety.command import ask, reasons_to_ask, words_of
from knobctl.safety.consent import Consent
from knobctl.safety.coupled import concerned
from knobctl.safety.findings import Findings
from knobctl.safety.limits import Limits
from knobctl.safety.objective import guardrails_of, objective_of
from knobctl.safety.safe_plan import _SEAL, SafeCommand, SafePlan
from knobctl.safety.suggested import usable
from knobctl.target import HostFacts
from knobctl.target.metrics import DEFAULT_STATE
from knobctl.workload.registry import adapter_for

_UNKNOWN_TIMEOUT = 600.0
_SHORTEST_TIMEOUT, _LONGEST_TIMEOUT = 60.0, 3600.0


class SafetyValidator:
    """Decides whether a plan may run. Words propose; this decides.

    Args:
        catalogue: The knobs that may be tuned at all; the shipped one by default.
        facts: The machine, which bounds are functions of; this machine by default.
        states: How each knob stands on it, as probed; by default every knob is taken to be present with the
            catalogue's default, which is good enough for looking at a plan and never for running it.
        consent: What the user typed themselves.
    """

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        facts: HostFacts | None = None,
        states: Mapping[str, KnobState] | None = None,
        consent: Consent | None = None,
    ) -> None:
        self._catalogue = shipped_catalogue() if catalogue is None else catalogue
        self._quantities = (this_machine() if facts is None else facts).quantities
        self._states = assumed_states(self._catalogue, self._quantities) if states is None else states
        self._consent = consent or Consent()

    def validate(self, plan: TuningPlan) -> SafePlan:
        """The plan that may run.

        Raises:
            PlanError: The plan breaks a rule; the message names every one, the hint says what to do.
            ConsentMissing: The plan is fine, but holds a command that its user has to approve word for word.
        """
        findings = Findings()
        words = words_of("benchmark_command", plan.benchmark_command, findings)
        reset = words_of("reset_command", plan.reset_command, findings) if plan.reset_command else ()
        adapter = adapter_for(
            words, metric_pattern=plan.metric_pattern, metric_name=plan.reward_metric, direction=plan.direction
        )
        raise NotImplementedError


def this_machine() -> HostFacts:
    """Facts of the machine that this program runs on."""
    facts = collect("")
    return HostFacts(**{**facts, "tuners": tuple(facts["tuners"])})


def assumed_states(catalogue: Catalogue, quantities: Mapping[str, int]) -> dict[str, KnobState]:
    """Every knob that may be tuned, present and at the catalogue's default (or the smallest value, or first choice)."""
    states = {}
    for knob in catalogue:
        if knob.risk == "forbidden":
            continue
        value = knob.default
        if value is None:
            value = knob.choices[0] if knob.kind == "choice" else knob.range_on(quantities)[0]
        states[knob.name] = KnobState(knob.name, True, True, value, str(value), (knob.path,), knob.choices)
    return states
