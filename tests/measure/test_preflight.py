"""Runs of the unchanged machine in, noise and warnings out."""

from __future__ import annotations

import math
from typing import Any

import pytest

from knobctl import stats
from knobctl.errors import BenchmarkBroken, PreflightRefused
from knobctl.events import Trial
from knobctl.measure import Noise, assess, suspects_carry_over
from knobctl.measure.preflight import HOPELESS_PERCENT


def run(number: int, score: float | None, **changes: Any) -> Trial:
    values: dict[str, Any] = {
        "number": number,
        "kind": "baseline",
        "configuration": {},
        "score": score,
        "metrics": {},
        "machine": {},
        "samples": (),
        "seconds": 10.0,
        "reward": None,
        "failure": "" if score is not None else "exit code 1: connection refused",
        "started": number * 12.0,
    }
    return Trial(**{**values, **changes})


def runs(*scores: float | None, **changes: Any) -> list[Trial]:
    return [run(number, score, **changes) for number, score in enumerate(scores)]


def test_baseline_and_noise() -> None:
    noise = assess(runs(1000.0, 1020.0, 990.0, 1010.0), 10.0, 8)
    assert noise.baseline == pytest.approx(math.exp(sum(map(math.log, (1000, 1020, 990, 1010))) / 4))
    assert noise.sd == pytest.approx(stats.sd([math.log(score) for score in (1000, 1020, 990, 1010)]))
    assert noise.noise_percent == pytest.approx(1.3, abs=0.05)
    assert noise.upper_sd == pytest.approx(1.72 * noise.sd, rel=0.01), "four runs often look quieter than it is"
    assert noise.smallest_percent == pytest.approx(stats.percent(stats.smallest_effect(8, noise.upper_sd)))
    assert (noise.runs, noise.pairs) == (4, 8)
    assert noise.warnings == ()


def test_a_run_without_noise_can_prove_everything() -> None:
    assert assess(runs(100.0, 100.0), 10.0, 8) == Noise(pytest.approx(100.0), 0.0, 0.0, 8, 0.0, 0.0, 2)


def test_the_noise_decides_how_many_pairs_there_are_unless_somebody_does() -> None:
    assert assess(runs(1000.0, 1001.0, 999.0, 1000.0), 10.0).pairs == 8
    assert assess(runs(1000.0, 1080.0, 930.0, 1010.0), 10.0).pairs == 20
    assert assess(runs(1000.0, 1080.0, 930.0, 1010.0), 10.0, most_pairs=13).pairs == 13
    assert assess(runs(1000.0, 1001.0, 999.0, 1000.0), 10.0, 17).pairs == 17


def test_warm_up_and_failed_runs_are_not_counted() -> None:
    trials = [run(0, 300.0, kind="warmup"), run(1, 100.0), run(2, None), run(3, 102.0)]
    noise = assess(trials, 10.0, 8)
    assert noise.runs == 2
    assert noise.baseline == pytest.approx(math.sqrt(100 * 102))


@pytest.mark.parametrize("scores", [(), (100.0,), (100.0, None), (0.0, 0.0, 0.0), (100.0, -1.0), (math.nan, 100.0)])
@pytest.mark.parametrize("force", [False, True])
def test_too_few_scores_are_a_broken_benchmark_even_when_forced(scores: tuple[float | None, ...], force: bool) -> None:
    with pytest.raises(BenchmarkBroken, match=r"runs of the unchanged machine gave a score above 0; two are needed"):
        assess(runs(*scores), 10.0, 8, force=force)


def test_the_last_failure_is_shown() -> None:
    with pytest.raises(BenchmarkBroken) as error:
        assess(runs(100.0, None), 10.0, 8)
    assert str(error.value) == (
        "1 of 2 runs of the unchanged machine gave a score above 0; two are needed: exit code 1: connection refused"
    )
    assert "by hand" in error.value.hint


def test_hopeless_noise_is_refused_with_what_would_help() -> None:
    with pytest.raises(PreflightRefused) as error:
        assess(runs(1000.0, 1500.0, 700.0, 1100.0), 4.0, 8)
    assert str(error.value) == "the noise between runs may be 72 %, so 8 pairs prove nothing below 295 %"
    assert error.value.hint == (
        "Make a run longer than its 4 s, or quiet the machine; or allow 62 pairs. --force goes on all the same."
    )
    assert error.value.exit_code == 6


def test_a_refusal_names_the_sources_of_noise_that_it_sees() -> None:
    with pytest.raises(PreflightRefused) as error:
        assess(
            runs(1000.0, 1500.0, 700.0, 1100.0, machine={"steal": 30.0}), 4.0, 8,
            idle={"cpu_utilization": 60.0}, jobs=["updatedb"],
        )  # fmt: skip
    for words in ("hypervisor gave 30 %", "60 % busy while no benchmark ran", "updatedb is running"):
        assert words in error.value.hint


def test_hopeless_noise_is_only_a_warning_when_forced() -> None:
    noise = assess(runs(1000.0, 1500.0, 700.0, 1100.0), 4.0, 8, force=True)
    assert noise.warnings == (
        "the noise between runs may be 72 %, so 8 pairs prove nothing below 295 %: make a run longer than its 4 s, or "
        "quiet the machine; or allow 62 pairs.",
    )


def test_the_limit_is_where_half_as_much_again_can_no_longer_be_proven() -> None:
    inflated = (stats.upper_sd([0.0, 1.0]) or 0.0) / (stats.sd([0.0, 1.0]) or 1.0)
    spread = stats.log_effect(HOPELESS_PERCENT) / stats.smallest_effect(8, 1.0) / inflated

    def two(sd: float) -> list[Trial]:
        return runs(100.0, 100.0 * math.exp(sd * math.sqrt(2)))

    assert assess(two(spread * 0.999), 10.0, 8).smallest_percent == pytest.approx(50.0, abs=0.3)
    with pytest.raises(PreflightRefused):
        assess(two(spread * 1.001), 10.0, 8)


def test_too_few_pairs_for_any_proof_are_refused() -> None:
    with pytest.raises(PreflightRefused, match="4 pairs cannot prove any effect at all") as error:
        assess(runs(100.0, 101.0), 10.0, 4)
    assert "allow 5 pairs" in error.value.hint


def test_drift_is_measured_over_time_and_named() -> None:
    noise = assess(runs(4556.0, 4024.0, 3728.0, 3421.0), 10.0, 16)
    assert noise.drift_percent == pytest.approx(-24.3, abs=0.5)
    assert [text for text in noise.warnings if "moved by -24 % over 4 runs" in text]


def test_scatter_is_not_called_drift() -> None:
    assert assess(runs(100.0, 110.0, 104.0), 10.0, 8).warnings == ()


@pytest.mark.parametrize(
    ("trials", "seconds", "words"),
    [
        (runs(100.0, 101.0, 99.0), 0.5, "a run takes 0.5 s"),
        (runs(100.0, 100.0, 100.0), 10.0, "every run printed exactly 100"),
        (runs(100.0, 101.0, 99.0, machine={"steal": 12.0}), 10.0, "gave 12 % of the CPU time"),
        (
            runs(100.0, 101.0, 99.0, samples=tuple((float(s), 50.0 if s < 3 else 100.0) for s in range(12))),
            10.0,
            "first quarter of a run is 50 % below",
        ),
    ],
)
def test_what_makes_proofs_expensive_is_named(trials: list[Trial], seconds: float, words: str) -> None:
    (warning,) = assess(trials, seconds, 8).warnings
    assert words in warning
    assert ":" in warning, "a warning says what to do"


def test_steady_samples_are_no_warning() -> None:
    steady = tuple((float(second), 100.0 + second % 3) for second in range(12))
    assert assess(runs(100.0, 101.0, 99.0, samples=steady), 10.0, 8).warnings == ()


# --- what one run leaves for the next


def probed(*scores: float, probes: tuple[int, ...] = (2,)) -> list[Trial]:
    """Baselines with a probe before some of them."""
    trials: list[Trial] = []
    for number, score in enumerate(scores):
        if number in probes:
            trials.append(run(len(trials), 55.0, kind="probe"))
        trials.append(run(len(trials), score))
    return trials


def test_a_run_after_something_very_different_that_is_like_the_others() -> None:
    noise = assess(probed(100.0, 101.0, 100.5, 99.5, 100.2), 10.0, 8)
    assert noise.carry_over == pytest.approx(0.003, abs=0.003)
    assert not noise.carries_over
    assert noise.runs == 5, "the probe itself is no run of the default"
    assert noise.warnings == ()


def test_carry_over_is_named_and_does_not_count_as_noise() -> None:
    noise = assess(probed(100.0, 101.0, 80.0, 99.5, 100.2), 10.0, 8)
    assert noise.carries_over
    assert noise.runs == 4
    assert noise.noise_percent < 1.0
    (warning,) = noise.warnings
    assert warning.startswith("a run right after a very different configuration is -20 % off")
    assert "reset_command" in warning


def test_without_a_probe_nothing_is_known_of_carry_over() -> None:
    noise = assess(runs(100.0, 101.0, 80.0, 99.5), 10.0, 8, force=True)
    assert (noise.carry_over, noise.carries_over) == (None, False)


@pytest.mark.parametrize(
    ("trials", "suspicious"),
    [
        (probed(100.0, 101.0, 100.5, 99.5, 100.2), False),
        (probed(100.0, 101.0, 97.0, 99.5, 100.2), True),
        (probed(100.0, 101.0, 102.5, 99.5, 100.2, probes=()), False),
        (probed(100.0, 100.001, 99.9, 100.0, 100.002), False),  # no chance, but too little to matter
        (probed(100.0, 80.0, probes=(1,)), False),  # too few to tell
    ],
)
def test_what_is_worth_a_second_look(trials: list[Trial], suspicious: bool) -> None:
    assert suspects_carry_over(trials) == suspicious


def test_what_happens_within_a_run_is_measured() -> None:
    samples = tuple((float(second), 100.0 + (second * 7919 % 11)) for second in range(1, 31))
    noise = assess(runs(100.0, 101.0, 99.0, samples=samples), 30.0, 8)
    assert noise.within_sd is not None and 0.002 < noise.within_sd < 0.03
    assert noise.settling_seconds == 0.0
    silent = assess(runs(100.0, 101.0, 99.0), 30.0, 8)
    assert (silent.within_sd, silent.settling_seconds) == (None, None)


def test_the_margin_of_a_verification_is_what_can_be_proven() -> None:
    assert assess(runs(100.0, 100.0), 10.0, 8).margin_percent == 1.0
    noise = assess(runs(1000.0, 1020.0, 990.0, 1010.0), 10.0, 8)
    assert noise.margin_percent == noise.smallest_percent > 1.0
