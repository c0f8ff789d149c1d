"""Runs of the unchanged machine in, the noise and the smallest effect that can be proven out.

The benchmark is judged before the search begins: a noise that drowns every plausible gain is a reason not to start,
and everything else that makes proofs expensive becomes a warning that says what to do about it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knobctl import stats
from knobctl.errors import BenchmarkBroken, PreflightRefused
from knobctl.events import Trial
from knobctl.measure.sharing import MOST_PAIRS, pairs_for
from knobctl.measure.sources import noise_sources
from knobctl.measure.within import settling_seconds, within_sd

HOPELESS_PERCENT = 50.0
"""When not even such a gain could be proven, a search is a waste of the machine's time."""

DRIFT_PERCENT = 5.0
"""Less drift than this over the preflight is not worth a warning."""

SETTLING_PERCENT = 20.0
"""A first quarter of a run that differs more than this from the rest means that the run is still settling."""

CARRY_OVER_PERCENT = 2.0
"""A run that is this far off right after a very different configuration is worth a second look, if it is no chance."""

SHORT_SECONDS = 3.0
"""Runs shorter than this mostly measure their own start."""

_SAMPLES_TO_JUDGE = 8
_NO_CHANCE = 0.995
_SUSPICIOUS = 0.95
_LEAST_OTHERS = 3


@dataclass(frozen=True)
class Noise:
    """What the preflight knows.

    Attributes:
        baseline: Geometric mean of the counted runs.
        sd: Standard deviation of the ln score between runs, as estimated from them.
        upper_sd: What it stays below with 80 % confidence; a handful of runs often looks quieter than it is.
        pairs: Most pairs of the verification.
        smallest_percent: Smallest gain that the pairs prove with a chance of about four in five, if the noise is
            ``upper_sd``; infinite when there are too few pairs for any proof.
        drift_percent: How far the score moved from the first to the last counted run, on a fitted line; the sign is
            that of the score.
        runs: How many runs were counted.
        within_sd: The part of ``sd`` that a run's own seconds explain; None when they print no progress.
        settling_seconds: Until a run looks like its later half; None when they print no progress.
        carry_over: ln score of the runs right after the probe against the others; None without a probe.
        carries_over: Whether that is more than chance.
        warnings: What makes proofs expensive here, each with what to do about it.
    """

    baseline: float
    sd: float
    upper_sd: float
    pairs: int
    smallest_percent: float
    drift_percent: float
    runs: int
    within_sd: float | None = None
    settling_seconds: float | None = None
    carry_over: float | None = None
    carries_over: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def noise_percent(self) -> float:
        """The noise between runs in percent of the score."""
        return stats.percent(self.sd)

    @property
    def margin_percent(self) -> float:
        """The smallest gain that counts in a verification: what its pairs can prove, but between 1 and 100 percent."""
        return max(1.0, min(self.smallest_percent, 100.0))


def assess(
    trials: Sequence[Trial],
    run_seconds: float,
    pairs: int | None = None,
    *,
    most_pairs: int = MOST_PAIRS,
    idle: Mapping[str, float] | None = None,
    jobs: Sequence[str] = (),
    force: bool = False,
) -> Noise:
    """Judges the runs of the default configuration.

    Args:
        trials: Of the preflight, in the order in which they ran. Warm-ups and failed runs are not counted, and of a
            ``probe`` (something very different) only what it does to the run after it.
        run_seconds: Expected seconds of one run.
        pairs: Pairs that the verification may use; as many as the noise asks for when None.
        most_pairs: Not more than these, then.
        idle: Machine metrics over some seconds in which nothing of this run was working.
        jobs: Names of running programs that are known to disturb measurements.
        force: Start however noisy it is; the refusal becomes a warning.

    Raises:
        BenchmarkBroken: Fewer than two runs gave a score above 0, so nothing can be compared.
        PreflightRefused: Even a gain of :data:`HOPELESS_PERCENT` could not be proven with these pairs.
    """
    tried = [trial for trial in trials if trial.kind == "baseline"]
    usable = [trial for trial in tried if trial.score is not None and _is_ratio(trial.score)]
    shift, carries = _carry_over(trials, usable)
    after = _after_probe(trials)
    counted = [trial for trial in usable if trial.number not in after] if carries else usable
    scores = [trial.score for trial in counted if trial.score is not None]
    baseline = stats.geometric_mean(scores)
    logs = [math.log(score) for score in scores]
    spread, upper = stats.sd(logs), stats.upper_sd(logs)
    if baseline is None or spread is None or upper is None:
        raise _broken(tried, len(counted))
    pairs = pairs_for(upper, most_pairs) if pairs is None else pairs
    span = counted[-1].started - counted[0].started
    slope = stats.slope([trial.started for trial in counted], logs) or 0.0
    drift = stats.percent(slope * span)
    smallest = stats.percent(stats.smallest_effect(pairs, upper))
    seen = noise_sources(usable, idle, jobs)
    warnings = [
        *_about_hope(smallest, upper, pairs, run_seconds, seen, force),
        *seen,
        *_about_runs(scores, run_seconds),
        *_about_drift(logs, drift),
        *_about_settling(counted),
        *_about_carry_over(shift, carries),
    ]
    return Noise(
        baseline=baseline,
        sd=spread,
        upper_sd=upper,
        pairs=pairs,
        smallest_percent=smallest,
        drift_percent=drift,
        runs=len(counted),
        within_sd=within_sd(counted),
        settling_seconds=settling_seconds(counted),
        carry_over=shift,
        carries_over=carries,
        warnings=tuple(warnings),
    )


def suspects_carry_over(trials: Sequence[Trial]) -> bool:
    """Whether the run after a probe is odd enough for a second look: chance explains it once in ten times."""
    usable = [trial for trial in trials if trial.kind == "baseline" and trial.score is not None]
    return _shift_is(_SUSPICIOUS, *_after_and_others(trials, usable))


def _is_ratio(score: float) -> bool:
    return math.isfinite(score) and score > 0


def _after_probe(trials: Sequence[Trial]) -> set[int]:
    """Numbers of the runs of the default right after a probe."""
    return {later.number for earlier, later in itertools.pairwise(trials) if earlier.kind == "probe"}


def _carry_over(trials: Sequence[Trial], usable: Sequence[Trial]) -> tuple[float | None, bool]:
    """ln score of the runs right after a probe against the others, and whether chance cannot explain it.

    The difference of two means against Student's t with the pooled variance, two-sided at 1 %.
    """
    struck, others = _after_and_others(trials, usable)
    if not struck or len(others) < _LEAST_OTHERS:
        return None, False
    shift = math.fsum(struck) / len(struck) - math.fsum(others) / len(others)
    return shift, _shift_is(_NO_CHANCE, struck, others)


def _after_and_others(trials: Sequence[Trial], usable: Sequence[Trial]) -> tuple[list[float], list[float]]:
    after = _after_probe(trials)
    struck = [math.log(trial.score) for trial in usable if trial.number in after and trial.score]
    return struck, [math.log(trial.score) for trial in usable if trial.number not in after and trial.score]


def _shift_is(probability: float, struck: Sequence[float], others: Sequence[float]) -> bool:
    """Whether the means differ by more than chance explains with this one-sided probability, and enough to matter."""
    if not struck or len(others) < _LEAST_OTHERS:
        return False
    shift = math.fsum(struck) / len(struck) - math.fsum(others) / len(others)
    freedom = len(struck) + len(others) - 2
    squares = sum((stats.sd(group) or 0.0) ** 2 * (len(group) - 1) for group in (struck, others))
    error = math.sqrt(squares / freedom * (1.0 / len(struck) + 1.0 / len(others)))
    return abs(shift) > max(stats.student_t(probability, freedom) * error, stats.log_effect(CARRY_OVER_PERCENT))


def _broken(tried: Sequence[Trial], counted: int) -> BenchmarkBroken:
    message = f"{counted} of {len(tried)} runs of the unchanged machine gave a score above 0; two are needed"
    failures = [trial.failure for trial in tried if trial.failure]
    if failures:
        message += f": {failures[-1]}"
    return BenchmarkBroken(message, "Run the command by hand and see what it prints; then choose a metric above 0.")


def _about_hope(
    smallest: float, spread: float, pairs: int, run_seconds: float, seen: Sequence[str], force: bool
) -> list[str]:
    if smallest <= HOPELESS_PERCENT:
        return []
    needed = stats.pairs_needed(stats.log_effect(HOPELESS_PERCENT), spread)
    if math.isinf(smallest):
        message = f"{pairs} pairs cannot prove any effect at all"
    else:
        message = (
            f"the noise between runs may be {stats.percent(spread):.0f} %, so {pairs} pairs prove nothing below "
            f"{smallest:.0f} %"
        )
    longer = f"Make a run longer than its {run_seconds:.0f} s, or quiet the machine"
    more = f"; or allow {needed} pairs." if needed else "."
    if not force:
        causes = f" Seen here: {' '.join(seen)}" if seen else ""
        raise PreflightRefused(message, f"{longer}{more}{causes} --force goes on all the same.")
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
        "longer, give it a reset that brings its data back, or see whether the processor gets hot."
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


def _about_carry_over(shift: float | None, carries: bool) -> list[str]:
    if shift is None or not carries:
        return []
    return [
        f"a run right after a very different configuration is {stats.percent(shift):+.0f} % off: what one run leaves "
        "behind colours the next, so gains look smaller than they are. A reset_command that brings data and caches "
        "back would help, or longer runs."
    ]
