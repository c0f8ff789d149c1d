"""Runs of the unchanged machine in, the noise and the smallest effect that can be proven out.

The benchmark is judged before any knob is touched: a noise that drowns every plausible gain is a reason not to start,
and everything else that makes proofs expensive becomes a warning that says what to do about it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from knobctl import stats
from knobctl.errors import BenchmarkBroken, PreflightRefused
from knobctl.events import Trial

HOPELESS_PERCENT = 100.0
"""When not even a doubling could be proven, a search is a waste of the machine's time."""

DRIFT_PERCENT = 5.0
"""Less drift than this over the preflight is not worth a warning."""

STEAL_PERCENT = 5.0
"""More CPU time than this taken by the hypervisor's other guests is worth a warning."""

SETTLING_PERCENT = 20.0
"""A first quarter of a run that differs more than this from the rest means that the run is still settling."""

SHORT_SECONDS = 3.0
"""Runs shorter than this mostly measure their own start."""

_SAMPLES_TO_JUDGE = 8


@dataclass(frozen=True)
class Noise:
    """What the preflight knows.

    Attributes:
        baseline: Geometric mean of the counted runs.
        sd: Standard deviation of the ln score between runs.
        smallest_percent: Smallest gain that the pairs prove with a chance of about four in five; infinite when there
            are too few pairs for any proof.
        drift_percent: How far the score moved from the first to the last counted run, on a fitted line; the sign is
            that of the score.
        runs: How many runs were counted.
        warnings: What makes proofs expensive here, each with what to do about it.
    """

    baseline: float
    sd: float
    smallest_percent: float
    drift_percent: float
    runs: int
    warnings: tuple[str, ...] = ()

    @property
    def noise_percent(self) -> float:
        """The noise between runs in percent of the score."""
        return stats.percent(self.sd)


def assess(baseline_trials: Sequence[Trial], run_seconds: float, pairs: int, *, force: bool = False) -> Noise:
    """Judges the runs of the default configuration.

    Args:
        baseline_trials: In the order in which they ran. Warm-ups and failed runs are not counted.
        run_seconds: Expected seconds of one run.
        pairs: Pairs that the verification may use.
        force: Start however noisy it is; the refusal becomes a warning.

    Raises:
        BenchmarkBroken: Fewer than two runs gave a score above 0, so nothing can be compared.
        PreflightRefused: Even a gain of :data:`HOPELESS_PERCENT` could not be proven with these pairs.
    """
    tried = [trial for trial in baseline_trials if trial.kind != "warmup"]
    counted = [trial for trial in tried if trial.score is not None and _is_ratio(trial.score)]
    scores = [trial.score for trial in counted if trial.score is not None]
    baseline = stats.geometric_mean(scores)
    logs = [math.log(score) for score in scores]
    spread = stats.sd(logs)
    if baseline is None or spread is None:
        raise _broken(tried, len(counted))
    span = counted[-1].started - counted[0].started
    slope = stats.slope([trial.started for trial in counted], logs) or 0.0
    drift = stats.percent(slope * span)
    smallest = stats.percent(stats.smallest_effect(pairs, spread))
    warnings = [
        *_about_hope(smallest, spread, pairs, run_seconds, force),
        *_about_runs(scores, run_seconds),
        *_about_drift(logs, drift),
        *_about_the_machine(counted),
        *_about_settling(counted),
    ]
    return Noise(baseline, spread, smallest, drift, len(counted), tuple(warnings))


def _is_ratio(score: float) -> bool:
    return math.isfinite(score) and score > 0


def _broken(tried: Sequence[Trial], counted: int) -> BenchmarkBroken:
    message = f"{counted} of {len(tried)} runs of the unchanged machine gave a score above 0; two are needed"
    failures = [trial.failure for trial in tried if trial.failure]
    if failures:
        message += f": {failures[-1]}"
    return BenchmarkBroken(message, "Run the command by hand and see what it prints; then choose a metric above 0.")


def _about_hope(smallest: float, spread: float, pairs: int, run_seconds: float, force: bool) -> list[str]:
    if smallest <= HOPELESS_PERCENT:
        return []
    needed = stats.pairs_needed(stats.log_effect(HOPELESS_PERCENT), spread)
    if math.isinf(smallest):
        message = f"{pairs} pairs cannot prove any effect at all"
    else:
        message = (
            f"the noise between runs is {stats.percent(spread):.0f} %, so {pairs} pairs prove nothing below "
            f"{smallest:.0f} %"
        )
    longer = f"Make a run longer than its {run_seconds:.0f} s, or quiet the machine"
    more = f"; or allow {needed} pairs." if needed else "."
    if not force:
        raise PreflightRefused(message, longer + more)
    return [f"{message}: {longer[0].lower()}{longer[1:]}{more}"]


def _about_runs(scores: Sequence[float], run_seconds: float) -> list[str]:
    found = []
    if run_seconds < SHORT_SECONDS:
        found.append(
            f"a run takes {run_seconds:.1f} s, which mostly measures its own start: let it run for "
            f"{SHORT_SECONDS:.0f} s or more."
        )
    if len(scores) > 2 and len(set(scores)) == 1:
        found.append(
            f"every run printed exactly {scores[0]:g}: if the tool rounds its result, let it print more digits "
            "or choose a finer metric."
        )
    return found


def _about_drift(logs: Sequence[float], drift: float) -> list[str]:
    steps = [later - earlier for earlier, later in itertools.pairwise(logs)]
    one_way = all(step > 0 for step in steps) or all(step < 0 for step in steps)
    if len(logs) < 3 or not one_way or abs(drift) < DRIFT_PERCENT:
        return []
    return [
        f"the score moved by {drift:+.0f} % over {len(logs)} runs of the same configuration: warm the benchmark up "
        "longer, or give it a reset that brings its data back."
    ]


def _about_the_machine(counted: Sequence[Trial]) -> list[str]:
    steal = max((trial.machine.get("steal", 0.0) for trial in counted), default=0.0)
    if steal < STEAL_PERCENT:
        return []
    return [
        f"the hypervisor gave {steal:.0f} % of the CPU time to other guests: expect to need more pairs, or measure "
        "at a quieter hour."
    ]


def _about_settling(counted: Sequence[Trial]) -> list[str]:
    settling = []
    for trial in counted:
        values = [value for _, value in trial.samples]
        quarter = len(values) // 4
        start, rest = stats.geometric_mean(values[:quarter]), stats.geometric_mean(values[quarter:])
        if len(values) >= _SAMPLES_TO_JUDGE and start and rest:
            settling.append(stats.percent(math.log(start / rest)))
    if not settling or len(settling) < len(counted):
        return []
    middle = sorted(settling)[len(settling) // 2]
    if abs(middle) < SETTLING_PERCENT:
        return []
    return [
        f"the first quarter of a run is {abs(middle):.0f} % {'above' if middle > 0 else 'below'} the rest of it: "
        "longer runs would be steadier."
    ]
