"""A result in, what a person should read at the end of a run out.

The verdict is the first sentence, and only the verification's numbers are in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from knobctl.measure.verdict import Verdict
from knobctl.report.wording import SIMULATED, apply_line, better, columns, duration, one_line, percent, score
from knobctl.store import Result
from knobctl.store.result import KnobChange

_MOST_IMPORTANT = 3


def summarize(result: Result, workdir: str = "") -> str:
    """The readable summary, without a trailing newline; ``workdir`` is where its work folder was, if that is known."""
    groups = [
        verdict_lines(result),
        _titled(result, "Evidence:", _evidence(result)),
        _titled(result, "Change:", _knobs(result)),
        _titled(result, "Guardrails:", [f"  {one.outcome}: {one_line(one.reason)}" for one in result.guardrails]),
        _titled(result, "Notes:", [f"  - {one_line(note)}" for note in dict.fromkeys(result.notes)]),
        _machine(result),
        [next_step(result, workdir)],
    ]
    return "\n\n".join("\n".join(group) for group in groups if group)


def next_step(result: Result, workdir: str = "") -> str:
    """What to do now: the exact command that makes the change permanent, or that there is nothing to do."""
    if not result.restored:
        return "Look now: `knobctl restore` puts back what is left."
    if result.verdict is not Verdict.IMPROVED:
        return "Nothing to apply: the best thing to do is nothing."
    if result.simulated:
        return "Nothing to apply: a simulation says nothing about this machine."
    return f"To make it permanent: {apply_line(result.session_id, workdir)}"


def verdict_lines(result: Result) -> list[str]:
    """The verdict with its proof, and what qualifies it: what stands above everything else that is said of a result."""
    metric = one_line(result.metric, 100)
    if result.verdict is Verdict.IMPROVED:
        sentence = f"IMPROVED: {metric} {percent(result.improvement)}{_proof(result)}."
        if ";" in result.reason:
            return [*_label(result, sentence), f"  But: {one_line(result.reason.partition(';')[2], 2000)}."]
        return _label(result, sentence)
    nothing = "no configuration looked better than what was found, so nothing was verified"
    words = {
        Verdict.NO_CHANGE: f"NO CHANGE: {f'no measurable gain in {metric}' if result.candidate_config else nothing}",
        Verdict.WORSE: f"WORSE: the candidate does harm to {metric} or to a guardrail",
    }.get(result.verdict, f"INCONCLUSIVE: nothing is proven about {metric}")
    lines = _label(result, f"{words}{_proof(result) if result.pairs else ''}.")
    return [*lines, f"  Why: {one_line(result.reason, 2000)}."]


def _titled(result: Result, title: str, lines: Sequence[str]) -> list[str]:
    """A group under its title; nothing for an empty one. No group of a simulation can be taken for a measurement."""
    return [f"{SIMULATED} {title}" if result.simulated else title, *lines] if lines else []


def _label(result: Result, sentence: str) -> list[str]:
    if not result.simulated:
        return [sentence]
    return [f"{SIMULATED}: nothing here was measured on a real machine.", f"{SIMULATED} {sentence}"]


def _proof(result: Result) -> str:
    pairs = f"{result.pairs} fresh interleaved pair{'' if result.pairs == 1 else 's'}"
    if result.improvement_interval is None:
        return f" (no interval yet, {pairs})"
    low, high = result.improvement_interval
    estimate = "" if result.verdict is Verdict.IMPROVED else f"estimate {percent(result.improvement)}, "
    return f" ({estimate}95 % interval {percent(low)} to {percent(high)}, {pairs})"


def _evidence(result: Result) -> list[str]:
    lines = []
    if result.baseline_score is not None:
        change = ""
        if result.verdict is Verdict.IMPROVED:
            change = f" -> {score(result.best_score, result.unit)}"
        lines.append(f"  score   {score(result.baseline_score, result.unit)}{change} ({better(result.direction)})")
    if result.claimed_by_search is not None:
        claim = f"  search  would have claimed {percent(result.claimed_by_search)} by itself; that is no evidence"
        lines.append(f"{claim}, the best of many noisy runs is partly luck")
    if result.noise_percent is not None:
        smallest = "nothing"
        if result.smallest_percent is not None:
            smallest = f"gains from about {percent(result.smallest_percent).lstrip('+')}"
        lines.append(f"  noise   {result.noise_percent:.1f} % between runs; these pairs can prove {smallest}")
    effort = f"{result.trials} runs, {duration(result.benchmark_seconds)} of benchmark in {duration(result.seconds)}"
    lines.append(f"  effort  {effort}, searcher {one_line(result.searcher, 40)}, on {one_line(result.target, 80)}")
    if result.cut_short:
        runs = "1 run was" if result.cut_short == 1 else f"{result.cut_short} runs were"
        lines.append(f"  saved   {duration(result.seconds_saved)} of benchmark: {runs} cut short")
    if result.importance:
        first = sorted(result.importance.items(), key=lambda item: -item[1])[:_MOST_IMPORTANT]
        named = ", ".join(f"{one_line(name)} {100 * share:.0f} %" for name, share in first if share > 0)
        lines.append(f"  matter  {named} of what the trials differ by (PED-ANOVA)")
    return lines


def _knobs(result: Result) -> list[str]:
    if not result.knobs:
        return []
    proposed = "proposed" if result.verdict is Verdict.IMPROVED else "tried"
    rows = [
        [one_line(knob.name), one_line(str(knob.found)), one_line(str(knob.candidate)), knob.unit, _share(knob),
         one_line(knob.why)]
        for knob in result.knobs
    ]  # fmt: skip
    title = "its share, by the model"
    if not any(knob.share_percent is not None for knob in result.knobs):
        return columns(["knob", "found", proposed, "unit", "why it matters"], [[*row[:4], row[5]] for row in rows])
    return columns(["knob", "found", proposed, "unit", title, "why it matters"], rows)


def _share(knob: KnobChange) -> str:
    """What is lost when it alone goes back; the interval is that of a model and no proof."""
    if knob.share_percent is None:
        return "?"
    interval = ""
    if knob.share_interval is not None:
        low, high = knob.share_interval
        interval = f" ({percent(low)} to {percent(high)})"
    return f"{percent(knob.share_percent)}{interval}"


def _machine(result: Result) -> list[str]:
    label = f"{SIMULATED} " if result.simulated else ""
    state = "every knob has the value that was found" if result.restored else "NOT EVERY KNOB IS BACK"
    return [f"{label}Machine: {state}. Session {one_line(result.session_id)}."]
