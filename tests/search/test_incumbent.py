"""The incumbent on surfaces whose truth is known: the right knobs, no luck, and no complaints about bad data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from knobctl.events import Trial
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.search.incumbent import MEASURABLE, choose, claimed_percent, minimal, shares_of, smaller_parts
from knobctl.search.model import Model, observe

Truth = Callable[[Mapping[str, Value]], float]
"""Log-ratio to the default."""

NOISE = 0.03


def trial(
    number: int, kind: str, configuration: Mapping[str, Value], score: float | None, *,
    started: float = 0.0, cut_short: bool = False, uncertainty: float = 0.0,
) -> Trial:  # fmt: skip
    failure = "" if score else "failed"
    return Trial(
        number, kind, configuration, score, {}, {}, (), 1.0, None, failure, started,
        cut_short=cut_short, uncertainty=uncertainty,
    )  # fmt: skip


def place(configuration: Mapping[str, Value], name: str) -> float:
    value = configuration[name]
    assert isinstance(value, int)
    return value / 1000


def searched(
    space: Space, default: Mapping[str, Value], truth: Truth, trials: int, seed: int,
    direction: str = "maximize", noise: float = NOISE,
) -> list[Trial]:  # fmt: skip
    """A third random, the rest around the best so far, as a searcher does; four runs of the default and controls."""
    random = np.random.default_rng(seed)

    def score(configuration: Mapping[str, Value]) -> float:
        gain = truth({**default, **configuration}) + noise * random.standard_normal()
        return 1000.0 * math.exp(gain if direction == "maximize" else -gain)

    record = [trial(number, "baseline", {}, score({})) for number in range(4)]
    tried: list[tuple[float, np.ndarray]] = []  # type: ignore[type-arg]
    for number in range(4, 4 + trials):
        point = random.random(len(space))
        if number > 4 + trials // 3:
            best = max(tried, key=lambda entry: entry[0])[1]
            point = np.clip(best + 0.2 * random.standard_normal(len(space)), 0.0, 1.0)
        configuration = space.decode([float(u) for u in point])
        record.append(trial(number, "search", configuration, score(configuration)))
        sign = 1.0 if direction == "maximize" else -1.0
        tried.append((sign * math.log(record[-1].score or 1.0), point))
        if number % 8 == 0:
            record.append(trial(number + 1000, "control", {}, score({})))
    return record


def cube(knobs: int) -> tuple[Space, dict[str, Value]]:
    names = [f"demo.k{index}" for index in range(knobs)]
    return Space(tuple(Dimension(name, "integer", 0, 1000) for name in names)), dict.fromkeys(names, 100)


def two_matter(configuration: Mapping[str, Value]) -> float:
    """Up to 0.35 better: a rise in the first knob and a peak in the second."""
    peak = math.exp(-0.5 * ((place(configuration, "demo.k1") - 0.7) / 0.25) ** 2)
    return 0.15 * (place(configuration, "demo.k0") - 0.1) + 0.2 * (peak - 0.056)


def nothing_matters(configuration: Mapping[str, Value]) -> float:
    return 0.0


# --- with a truth to find


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_knobs_that_matter_are_found_and_the_others_put_back(direction: str) -> None:
    space, default = cube(6)
    gains, sizes, wrong = [], [], []
    for seed in range(6):
        incumbent = choose(searched(space, default, two_matter, 40, seed, direction), space, default, direction, NOISE)
        assert incumbent is not None
        assert incumbent.minimal.items() <= incumbent.configuration.items()
        gains.append(two_matter({**default, **incumbent.minimal}))
        sizes.append(len(incumbent.minimal))
        wrong.append(len(set(incumbent.minimal) - {"demo.k0", "demo.k1"}))
    assert np.mean(gains) > 0.7 * 0.324
    assert min(gains) > 0.1
    assert np.mean(sizes) < 3
    assert np.mean(wrong) < 1


def test_the_prediction_is_near_the_truth_and_below_the_luckiest_claim() -> None:
    space, default = cube(4)
    errors, claims = [], []
    for seed in range(6):
        record = searched(space, default, two_matter, 30, seed)
        incumbent = choose(record, space, default, "maximize", NOISE)
        assert incumbent is not None
        truth = two_matter({**default, **incumbent.configuration})
        errors.append(incumbent.predicted_log_gain - truth)
        claims.append(math.log1p((claimed_percent(record, "maximize") or 0.0) / 100) - truth)
    assert abs(float(np.mean(errors))) < NOISE
    assert np.mean(errors) < np.mean(claims)


def test_a_lucky_run_does_not_win_against_a_good_neighbourhood() -> None:
    space, default = cube(1)
    record = [trial(number, "baseline", {}, 1000.0) for number in range(4)]
    good = [(value, 1100.0) for value in (780, 790, 800, 810, 820)]
    bad = [(value, 1000.0) for value in (180, 190, 210, 220, 230)]
    lucky = (200, 1120.0)
    for number, (value, score) in enumerate([*good, *bad, lucky], start=4):
        record.append(trial(number, "search", {"demo.k0": value}, score))
    incumbent = choose(record, space, default, "maximize", NOISE)
    assert incumbent is not None
    assert incumbent.configuration["demo.k0"] in {value for value, _ in good}
    assert claimed_percent(record, "maximize") == pytest.approx(12.0)


def test_where_nothing_matters_there_is_mostly_no_incumbent() -> None:
    space, default = cube(6)
    claims, chosen = [], 0
    for seed in range(15):
        record = searched(space, default, nothing_matters, 24, seed)
        incumbent = choose(record, space, default, "maximize", NOISE)
        chosen += incumbent is not None
        claims.append(claimed_percent(record, "maximize") or 0.0)
        assert incumbent is None or incumbent.predicted_log_gain < 2.5 * NOISE
    assert chosen <= 6
    assert np.median(claims) > 4.0


def test_one_knob_is_enough() -> None:
    space, default = cube(1)
    record = searched(space, default, lambda c: 0.3 * (place(c, "demo.k0") - 0.1), 12, 3)
    incumbent = choose(record, space, default, "maximize", NOISE)
    assert incumbent is not None
    assert place(incumbent.minimal, "demo.k0") > 0.7


def test_words_are_the_same_or_not() -> None:
    values = ("always", "madvise", "never")
    space = Space((Dimension("thp.enabled", "choice", values=values), Dimension("demo.k0", "integer", 0, 1000)))
    default = {"thp.enabled": "inherit", "demo.k0": 100}  # a word that the plan does not explore
    gain = {"always": -0.05, "madvise": 0.15, "never": 0.0, "inherit": 0.0}
    record = searched(space, default, lambda c: gain[str(c["thp.enabled"])], 24, 1)
    incumbent = choose(record, space, default, "maximize", NOISE)
    assert incumbent is not None
    assert incumbent.minimal == {"thp.enabled": "madvise"}


# --- the minimal configuration


def test_nothing_is_dropped_that_may_not_be_dropped() -> None:
    space, default = cube(3)
    record = searched(space, default, two_matter, 40, 1)

    def together(configuration: Mapping[str, Value]) -> bool:
        return (configuration["demo.k1"] == 100) or (configuration["demo.k2"] != 100)

    incumbent = choose(record, space, default, "maximize", NOISE, allowed=together)
    assert incumbent is not None
    assert "demo.k1" in incumbent.minimal
    assert "demo.k2" in incumbent.minimal


def test_small_losses_do_not_add_up() -> None:
    space, default = cube(12)

    def ever_less(configuration: Mapping[str, Value]) -> float:
        return sum(0.1 * 0.6**index * (place(configuration, name) - 0.1) for index, name in enumerate(space.names))

    record = searched(space, default, ever_less, 80, 2, noise=0.005)
    model = Model(space, default, observe(record, space, default, "maximize"), 0.005)
    best = max((entry.configuration for entry in record), key=model.predict)
    smaller = minimal(model, best, default)
    assert 2 <= len(smaller) < len(space)
    assert model.predict(best) - model.predict(smaller) <= MEASURABLE * model.noise_sd


def test_of_two_explanations_neither_is_dropped() -> None:
    """Two knobs were always set together: which of the two gains, nobody can know from these trials."""
    space, default = cube(4)
    both = {**default, "demo.k0": 900, "demo.k1": 700}
    random = np.random.default_rng(5)
    record = [trial(number, "baseline", {}, 1000.0 * math.exp(NOISE * random.standard_normal())) for number in range(6)]
    for number in range(6, 18):
        score = 1000.0 * math.exp(two_matter(both) + NOISE * random.standard_normal())
        record.append(trial(number, "search", both, score))
    incumbent = choose(record, space, default, "maximize", NOISE)
    assert incumbent is not None
    assert incumbent.configuration == incumbent.minimal == {"demo.k0": 900, "demo.k1": 700}


def test_knobs_that_may_only_go_together_go_together() -> None:
    space, default = cube(4)
    record = searched(space, default, two_matter, 40, 1)
    model = Model(space, default, observe(record, space, default, "maximize"), NOISE)

    def coupled(configuration: Mapping[str, Value]) -> bool:
        return (configuration["demo.k2"] == 100) == (configuration["demo.k3"] == 100)

    everything = {"demo.k0": 900, "demo.k1": 700, "demo.k2": 500, "demo.k3": 500}
    assert set(minimal(model, everything, default, coupled)) == {"demo.k0", "demo.k1"}


def test_the_default_has_nothing_to_drop() -> None:
    space, default = cube(2)
    record = searched(space, default, two_matter, 20, 1)
    model = Model(space, default, observe(record, space, default, "maximize"), NOISE)
    assert minimal(model, default, default) == {}


def test_each_knob_has_its_share() -> None:
    space, default = cube(6)
    inside = 0
    for seed in range(8):
        record = searched(space, default, two_matter, 40, seed)
        incumbent = choose(record, space, default, "maximize", NOISE)
        assert incumbent is not None
        shares = shares_of(incumbent.minimal, record, space, default, "maximize", NOISE)
        assert set(shares) == set(incumbent.minimal)
        for name, share in shares.items():
            rest = {other: value for other, value in incumbent.minimal.items() if other != name}
            lost = two_matter({**default, **incumbent.minimal}) - two_matter({**default, **rest})
            assert share.low < share.percent < share.high
            assert share.percent > 0
            inside += share.low <= 100 * math.expm1(lost) <= share.high
    assert inside >= 12
    assert shares_of({}, [], space, default, "maximize", NOISE) == {}


def test_the_part_that_matters_is_seen_anew_with_every_run() -> None:
    space, default = cube(4)
    record = searched(space, default, two_matter, 40, 3)
    whole = {"demo.k0": 900, "demo.k1": 700, "demo.k2": 500, "demo.k3": 500}
    part, *others = smaller_parts(whole, record, space, default, "maximize", NOISE)
    assert set(part) == {"demo.k0", "demo.k1"}
    for less, more in itertools.pairwise([part, *others]):
        assert less.items() <= more.items() <= whole.items()
    part, *_ = smaller_parts(whole, record, space, default, "maximize", NOISE, needed={"demo.k3": 500})
    assert set(part) == {"demo.k0", "demo.k1", "demo.k3"}


# --- bad days


def test_two_knobs_of_ten_are_found_through_drift_accidents_and_runs_cut_short() -> None:
    space, default = cube(10)
    sizes, lost = [], []
    for seed in range(6):
        random = np.random.default_rng(seed)
        record = []
        for number, entry in enumerate(searched(space, default, two_matter, 40, seed)):
            accident = 0.3 * random.standard_normal() if random.random() < 0.03 else 0.0
            score = (entry.score or 1.0) * math.exp(0.003 * number + accident)
            cut = entry.kind == "search" and score < 900
            more = {"started": 30.0 * number, "cut_short": cut, "uncertainty": 0.05 * cut}
            record.append(trial(number, entry.kind, entry.configuration, score, **more))
        incumbent = choose(record, space, default, "maximize", NOISE)
        assert incumbent is not None
        sizes.append(len(incumbent.minimal))
        whole, small = ({**default, **part} for part in (incumbent.configuration, incumbent.minimal))
        lost.append(two_matter(whole) - two_matter(small))
    assert sum(size <= 3 for size in sizes) >= 5
    assert np.mean(lost) < NOISE
    assert sorted(lost)[-2] < 2.5 * NOISE


@pytest.mark.parametrize("luck", [0.2, 1.0])
@pytest.mark.parametrize("place_of_it", [3, 39])
def test_one_lucky_accident_is_never_the_incumbent(luck: float, place_of_it: int) -> None:
    space, default = cube(6)
    for seed in range(2):
        record = searched(space, default, two_matter, 40, seed)
        lucky = [index for index, entry in enumerate(record) if entry.kind == "search"][place_of_it]
        configuration = {**default, "demo.k1": 400 + seed, "demo.k5": 950}
        assert two_matter(configuration) < 0.1
        score = 1000.0 * math.exp(0.324 + luck)
        record[lucky] = trial(lucky, "search", configuration, score)
        incumbent = choose(record, space, default, "maximize", NOISE)
        assert incumbent is not None
        assert incumbent.configuration.get("demo.k5") != 950
        assert two_matter({**default, **incumbent.minimal}) > 0.1
        assert (claimed_percent(record, "maximize") or 0.0) >= 100 * math.expm1(0.324 + luck) - 10


def test_a_configuration_that_ever_failed_is_not_chosen() -> None:
    space, default = cube(2)
    record = searched(space, default, two_matter, 30, 2)
    first = choose(record, space, default, "maximize", NOISE)
    assert first is not None
    whole = choose([*record, trial(900, "search", first.configuration, None)], space, default, "maximize", NOISE)
    assert whole is not None
    assert whole.configuration != first.configuration
    small = choose([*record, trial(900, "search", first.minimal, None)], space, default, "maximize", NOISE)
    assert small is not None
    assert small.minimal != first.minimal


def test_only_a_whole_run_makes_a_candidate() -> None:
    space, default = cube(1)
    record = searched(space, default, lambda c: 0.3 * (place(c, "demo.k0") - 0.1), 12, 3)
    estimate = trial(900, "search", {"demo.k0": 1000}, 1400.0, cut_short=True, uncertainty=0.05)
    whole = trial(900, "search", {"demo.k0": 1000}, 1400.0)
    cut, full = (choose([*record, last], space, default, "maximize", NOISE) for last in (estimate, whole))
    assert cut is not None
    assert full is not None
    assert cut.configuration["demo.k0"] != 1000
    assert full.configuration["demo.k0"] == 1000


# --- data as they come


def some(scores: Sequence[float | None]) -> list[Trial]:
    return [trial(4 + index, "search", {"demo.k0": 37 * index % 1000}, score) for index, score in enumerate(scores)]


BASELINE = [trial(0, "warmup", {}, 500.0), trial(1, "baseline", {}, 1000.0), trial(2, "baseline", {}, 1010.0)]


@pytest.mark.parametrize(
    "record",
    [
        [],
        BASELINE,
        some([1100.0, 1200.0]),
        [*BASELINE, *some([None, None])],
        [*BASELINE, *some([math.nan, math.inf, 0.0, -5.0])],
        [*BASELINE, *some([1000.0] * 6)],
        [*BASELINE, *some([900.0, 800.0, None, 700.0])],
        [trial(1, "baseline", {}, None), *some([1100.0])],
    ],
    ids=["nothing", "no search", "no default", "all failed", "no numbers", "constant", "all worse", "default failed"],
)
def test_without_anything_better_there_is_no_incumbent(record: list[Trial]) -> None:
    space, default = cube(1)
    assert choose(record, space, default, "maximize", NOISE) is None


@pytest.mark.parametrize("noise", [0.0, math.nan, math.inf, -1.0, 1e-9, 0.5])
def test_any_noise_is_survived(noise: float) -> None:
    space, default = cube(2)
    record = searched(space, default, two_matter, 15, 1)
    record += [trial(99, "search", record[5].configuration, None), trial(100, "suggestion", {"demo.k0": 900}, 1e-300)]
    incumbent = choose(record, space, default, "maximize", noise)
    assert incumbent is None or math.isfinite(incumbent.predicted_log_gain)


def test_the_same_configuration_many_times_is_no_singular_matrix() -> None:
    space, default = cube(2)
    record = [*BASELINE, *[trial(9 + n, "search", {"demo.k0": 800}, 1150.0 + n) for n in range(30)]]
    incumbent = choose(record, space, default, "maximize", 0.0)
    assert incumbent is not None
    assert incumbent.minimal == {"demo.k0": 800}
    assert incumbent.predicted_log_gain == pytest.approx(math.log(1.16), abs=0.02)


def test_many_trials_do_not_take_long() -> None:
    space, default = cube(3)
    incumbent = choose(searched(space, default, two_matter, 700, 1), space, default, "maximize", NOISE)
    assert incumbent is not None
    assert two_matter({**default, **incumbent.minimal}) > 0.28


def test_what_a_search_alone_would_claim() -> None:
    record = [*BASELINE, *some([1100.0, None, 1205.0])]
    assert claimed_percent(record, "maximize") == pytest.approx(100 * (1205 / math.sqrt(1000 * 1010) - 1))
    assert claimed_percent(record, "minimize") == pytest.approx(100 * (math.sqrt(1000 * 1010) / 1100 - 1))
    assert claimed_percent(BASELINE, "maximize") is None
    assert claimed_percent(some([1100.0]), "maximize") is None
