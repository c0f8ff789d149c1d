"""Scores in, statements out: the noise before the search (preflight) and the proof after it (verify, verdict).

Pure logic. Nothing here runs a benchmark or reads a clock; the pipeline feeds it with what was measured.
"""

from knobctl.measure.preflight import Noise, assess, suspects_carry_over
from knobctl.measure.verdict import GuardrailJudgement, Judgement, Verdict
from knobctl.measure.verify import Verification, order

__all__ = [
    "GuardrailJudgement",
    "Judgement",
    "Noise",
    "Verdict",
    "Verification",
    "assess",
    "order",
    "suspects_carry_over",
]
