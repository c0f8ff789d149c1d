"""A tuning plan, a machine and the user's own words in; a safe plan out, or every reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from knobctl.errors import UsageError
from knobctl.knobs import Catalogue, KnobState
from knobctl.knobs.files import catalogue as shipped_catalogue
from knobctl.plan import TuningPlan
from knobctl.safety.command import ask, reasons_to_ask, words_of
from knobctl.safety.consent import Consent
from knobctl.safety.coupled import concerned
from knobctl.safety.findings import Findings
from knobctl.safety.limits import Limits
from knobctl.safety.objective import guardrails_of, objective_of
from knobctl.safety.safe_plan import _SEAL, SafeCommand, SafePlan, TunedKnob
from knobctl.safety.suggested import usable
from knobctl.target import HostFacts
from knobctl.target.facts import collect
from knobctl.target.metrics import DEFAULT_STATE
from knobctl.workload import Adapter
from knobctl.workload.custom import CustomAdapter
from knobctl.workload.registry import adapter_for
from knobctl.workload.tool import ToolAdapter

_UNKNOWN_TIMEOUT = 600.0
_SHORTEST_TIMEOUT, _USUAL_LIMIT = 60.0, 3600.0
_TIMEOUT_FACTOR = 10
_LEAST_FACTOR, _LEAST_GRACE = 1.1, 60.0


class SafetyValidator:
    """Decides whether a plan may run. Words propose; this decides.

    Args:
        catalogue: The knobs that may be tuned at all; the shipped one by default.
        facts: The machine, which bounds are functions of; this machine by default.
        states: How each knob stands on it, as probed; by default every knob is taken to be present with the
            catalogue's default, which is good enough for looking at a plan and never for running it.
        consent: What the user typed themselves; nothing by default.
    """

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        facts: HostFacts | None = None,
        states: Mapping[str, KnobState] | None = None,
        consent: Consent | None = None,
    ) -> None:
        self._catalogue = shipped_catalogue() if catalogue is None else catalogue
        self._quantities = (_this_machine() if facts is None else facts).quantities
        self._states = _assumed_states(self._catalogue, self._quantities) if states is None else states
        self._consent = consent or Consent()

    def validate(self, plan: TuningPlan) -> SafePlan:
        """The plan that may run.

        Raises:
            PlanError: The plan breaks a rule; the message names every one, the hint says what to do.
            ConsentMissing: The plan is fine, but holds a command that its user has to approve word for word.
        """
        findings = Findings()
        knobs = self._knobs(plan, findings)
        couplings, fixed = concerned(self._catalogue, knobs, self._states, findings)
        suggestions = usable(plan.suggestions, self._catalogue, knobs, couplings, fixed, findings)
        command = self._command(plan, findings)
        metrics = command.adapter.metrics(command.argv) if command else ()
        objective = objective_of(plan, metrics, findings) if command else None
        guardrails = guardrails_of(plan, objective, metrics, findings) if command else ()
        findings.stop_if_any()
        assert command is not None, "a command that is refused is a problem"
        assert objective is not None, "a metric that is unknown is a problem"
        return SafePlan(
            plan=plan,
            knobs=knobs,
            command=command,
            objective=objective,
            guardrails=guardrails,
            state=tuple(dict.fromkeys(spec.metric for spec in plan.state_space)) or DEFAULT_STATE,
            suggestions=suggestions,
            couplings=couplings,
            fixed=fixed,
            dropped=tuple(findings.dropped),
            notes=tuple(findings.notes),
            _seal=_SEAL,
        )

    def _knobs(self, plan: TuningPlan, findings: Findings) -> tuple[TunedKnob, ...]:
        limits = Limits(self._catalogue, self._quantities, self._states, self._consent.knobs)
        knobs = limits.tuned(plan.action_space, findings)
        if not knobs and not findings.problems:
            reasons = "; ".join(f"{what}: {why}" for what, why in findings.dropped)
            findings.refuse(f"nothing is left to tune ({reasons})", "`knobctl knobs` shows what can be tuned here.")
        return knobs

    def _command(self, plan: TuningPlan, findings: Findings) -> SafeCommand | None:
        words = words_of("benchmark_command", plan.benchmark_command, findings)
        if not words:
            return None
        try:
            adapter = adapter_for(words, plan.metric_pattern, plan.reward_metric, plan.direction)
        except UsageError as error:
            findings.refuse(f"benchmark_command: {error.message}", error.hint)
            return None
        reasons = reasons_to_ask(words, adapter)
        ask("benchmark_command", plan.benchmark_command, reasons, self._consent.command, findings)
        reset = self._reset(plan, adapter, findings)
        return SafeCommand(plan.benchmark_command, words, adapter, reset, _timeout(adapter, words))

    def _reset(self, plan: TuningPlan, adapter: Adapter, findings: Findings) -> tuple[str, ...]:
        if plan.reset_command is None:
            return ()
        if not isinstance(adapter, CustomAdapter):
            findings.drop("reset_command", f"{adapter.program} is reset by knobctl itself")
            return ()
        words = words_of("reset_command", plan.reset_command, findings)
        if words:
            reasons = ["it changes data before each trial"]
            ask("reset_command", plan.reset_command, reasons, self._consent.reset_command, findings)
        return words


def _timeout(adapter: Adapter, words: Sequence[str]) -> float:
    expected = adapter.run_seconds(words) if isinstance(adapter, ToolAdapter) else None
    if expected is None:
        return _UNKNOWN_TIMEOUT
    longest = max(_USUAL_LIMIT, _LEAST_FACTOR * expected + _LEAST_GRACE)  # a run of an hour has to reach its own end
    return min(max(_SHORTEST_TIMEOUT, _TIMEOUT_FACTOR * expected), longest)


def _this_machine() -> HostFacts:
    facts = collect("")
    return HostFacts(**{**facts, "tuners": tuple(facts["tuners"])})


def _assumed_states(catalogue: Catalogue, quantities: Mapping[str, int]) -> dict[str, KnobState]:
    """Every knob that may be tuned, present, at the catalogue's default (else its smallest value or first choice)."""
    states = {}
    for knob in catalogue:
        if knob.risk == "forbidden":
            continue
        value = knob.default
        if value is None:
            value = knob.choices[0] if knob.kind == "choice" else knob.range_on(quantities)[0]
        states[knob.name] = KnobState(knob.name, True, True, value, str(value), (knob.path,), knob.choices)
    return states
