"""Progress of a run in, the decision to end it early out: when it very likely does not come near the best.

A run is compared with the default's own runs at the same second: how a run begins (a cold cache, a ramp) then tells
nothing about the configuration, and a tool whose progress lines count something else than its summary is calibrated.
What is estimated of a run that was ended early carries the uncertainty of the estimate, so a model can weigh it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knobctl.events import Trial
from knobctl.stats import geometric_mean, log_effect, mean, standard_error, upper_sd

RISK_PERCENT = 10.0
"""A configuration this much worse than the default is not worth the rest of its run."""

LEAST_SECONDS = 3.0
LEAST_SHARE = 0.1
"""No run is ended before so many seconds, nor before this share of it."""

LEAST_SAMPLES = 3
LEAST_REFERENCES = 3
"""Nothing is estimated from fewer progress lines, nor without so many whole runs of the default to compare with."""

DOUBT = 2.0
"""Standard deviations that count as very likely. With 2.8 (and a fifth of the run, and twice the luck) half as much
time was saved, for candidates that were about 1 % of what was possible better: docs/honesty.md."""

LUCK = 1.0
"""The best score so far counts for so many standard deviations of the noise less: it was partly luck."""

_LARGEST_LOG = 700.0


@dataclass(frozen=True)
class Cut:
    """What is known of a run that was ended early.

    Attributes:
        score: What the whole run would have given, by estimate.
        uncertainty: Standard deviation of its logarithm, on top of the noise between runs.
    """

    score: float
    uncertainty: float


class Cutter:
    """Decides about the runs of one session.

    Args:
        direction: ``maximize`` or ``minimize``.
        noise_sd: Standard deviation of the ln score between runs.
        run_seconds: Length of a whole run.
    """

    def __init__(self, direction: str, noise_sd: float, run_seconds: float) -> None:
        self.run_seconds = run_seconds
        self._direction = direction
        self._noise = noise_sd
        self._known: dict[tuple[int, float], tuple[float, float] | None] = {}
        self._courses: dict[int, Mapping[int, float]] = {}

    def judge(
        self,
        samples: Sequence[tuple[float, float]],
        fraction: float,
        defaults: Sequence[Trial],
        best_score: float | None,
    ) -> Cut | None:
        """Whether to end a run now.

        Args:
            samples: (second, value) of the objective so far.
            fraction: Share of the run that is done.
            defaults: Whole runs of the default configuration of this session.
            best_score: Best score of the search so far; None before the first.

        Returns:
            What is known of the run when it may be ended; None when it has to go on.
        """
        if not samples or samples[-1][0] < LEAST_SECONDS or not LEAST_SHARE <= fraction < 1.0:
            return None
        usable = [trial for trial in defaults if trial.score is not None and trial.samples and not trial.cut_short]
        estimate = self._estimate(samples, usable)
        default = mean([math.log(trial.score) for trial in usable if trial.score is not None])
        if estimate is None or default is None:
            return None
        log_score, uncertainty = estimate
        sign = 1.0 if self._direction == "maximize" else -1.0
        doubt = math.hypot(uncertainty, self._noise * math.sqrt(1.0 + 1.0 / len(usable)))
        limit = log_effect(-RISK_PERCENT)
        if best_score is not None:
            limit = max(limit, sign * (math.log(best_score) - default) - LUCK * self._noise)
        if not sign * (log_score - default) + DOUBT * doubt < limit or log_score > _LARGEST_LOG:
            return None
        return Cut(math.exp(log_score), uncertainty)

    def _estimate(
        self, samples: Sequence[tuple[float, float]], defaults: Sequence[Trial]
    ) -> tuple[float, float] | None:
        """What the whole run would have given, as ln score, and the standard deviation of that."""
        so_far = _log_mean(samples)
        if so_far is None or len(samples) < LEAST_SAMPLES:
            return None
        reference = self._reference(samples[-1][0], defaults)
        if reference is None:
            return None
        to_come, spread = reference
        course = self._course(defaults)
        usual = [(value, course.get(round(second))) for second, value in samples]
        own = standard_error([math.log(value) - math.log(other) for value, other in usual if other and value > 0])
        return so_far + to_come, max(spread, own or 0.0)

    def _reference(self, second: float, defaults: Sequence[Trial]) -> tuple[float, float] | None:
        """Mean, and an upper bound for the spread, of what a run of the default gains in ln score after a second."""
        key = (len(defaults), round(second, 1))
        if key not in self._known:
            gained = []
            for trial in defaults:
                begun = _log_mean([sample for sample in trial.samples if sample[0] <= second + 0.5])
                if begun is not None and trial.score is not None:
                    gained.append(math.log(trial.score) - begun)
            centre, spread = mean(gained), upper_sd(gained)
            enough = len(gained) >= LEAST_REFERENCES and centre is not None and spread is not None
            self._known[key] = (centre or 0.0, spread or 0.0) if enough else None
        return self._known[key]

    def _course(self, defaults: Sequence[Trial]) -> Mapping[int, float]:
        """What a run of the default shows in each of its seconds, on average."""
        if len(defaults) not in self._courses:
            seen: dict[int, list[float]] = {}
            for second, value in (sample for trial in defaults for sample in trial.samples):
                seen.setdefault(round(second), []).append(value)
            means = {second: geometric_mean(values) for second, values in seen.items()}
            self._courses[len(defaults)] = {second: value for second, value in means.items() if value is not None}
        return self._courses[len(defaults)]


def _log_mean(samples: Sequence[tuple[float, float]]) -> float | None:
    average = mean([value for _, value in samples])
    return math.log(average) if average is not None and average > 0 else None
