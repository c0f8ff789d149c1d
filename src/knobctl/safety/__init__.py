"""Plans in, safe plans out: the only place where a :class:`SafePlan` is made, the only kind of plan that may run."""

from knobctl.safety.candidate import changes_of
from knobctl.safety.consent import Consent
from knobctl.safety.safe_plan import Guardrail, SafeCommand, SafePlan, SafeSuggestion, TunedKnob
from knobctl.safety.validator import SafetyValidator

__all__ = [
    "Consent",
    "Guardrail",
    "SafeCommand",
    "SafePlan",
    "SafeSuggestion",
    "SafetyValidator",
    "TunedKnob",
    "changes_of",
]
