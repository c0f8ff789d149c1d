"""Plans in, safe plans out. The only place where a :class:`SafePlan` is made, and the only kind of plan that may run."""

from knobctl.safety.safe_plan import Guardrail, SafeCommand, SafePlan, SafeSuggestion, TunedKnob
from knobctl.safety.validator import Consent, SafetyValidator

__all__ = ["Consent", "Guardrail", "SafeCommand", "SafePlan", "SafeSuggestion", "SafetyValidator", "TunedKnob"]
