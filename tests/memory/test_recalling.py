"""Earlier sessions in the words of the present one: what is taken over, what is left out, who comes first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobctl.errors import UsageError
from knobctl.knobs import Value
from knobctl.knobs.space import Dimension, Space
from knobctl.measure import Verdict
from knobctl.memory import Memory, look, recall, remember
from knobctl.memory.recalling import MOST_OBSERVATIONS, MOST_SESSIONS, translated
from knobctl.search.model import Observation
from knobctl.search.remembered import MOST_WARNINGS, Remembered, warnings_of
from knobctl.store import Store
from tests.memory.sessions import FACTS, FOUND, SPACE, TRIALS, finish, here, memory, trial

GAIN = pytest.approx(math.log(1.1))


def told(
    past: Memory, space: Space = SPACE, default: Mapping[str, Value] = FOUND
) -> list[tuple[dict[str, Value], float, bool]]:
    """(configuration, gain, eligible) of each observation."""
    return [
        (dict(each.configuration), each.gain, each.eligible) for each in translated(past, space, default, "maximize")[0]
    ]


# --- trials as observations


def test_trials_become_log_ratios_to_the_default_of_their_own_time() -> None:
    observed = told(memory())
    assert ({"vm.dirty_ratio": 40, "vm.swappiness": 60}, GAIN, True) in observed
    assert ({"vm.dirty_ratio": 60, "vm.swappiness": 10}, pytest.approx(math.log(0.8)), True) in observed
    assert observed.count((dict(FOUND), 0.0, False)) == 2, "its default, as often as it ran"
    verified = {"vm.dirty_ratio": 40, "vm.swappiness": 60}
    assert observed[-1] == (verified, pytest.approx(math.log(1.105)), True), "what the fresh pairs say"


def test_less_is_better_where_the_objective_says_so() -> None:
    gains = [each.gain for each in translated(memory(improvement=None), SPACE, FOUND, "minimize")[0]]
    assert min(gains) == pytest.approx(-math.log(1.1))


def test_another_default_then_is_kept_as_what_it_was() -> None:
    observed = told(memory(), default={"vm.dirty_ratio": 10, "vm.swappiness": 30})
    assert ({"vm.dirty_ratio": 20, "vm.swappiness": 60}, 0.0, False) in observed, "the reference of the gains"
    assert ({"vm.dirty_ratio": 40, "vm.swappiness": 60}, GAIN, True) in observed, "swappiness stood at 60 then"


def test_a_knob_of_which_the_record_knows_nothing_is_taken_to_be_at_the_present_default() -> None:
    wider = Space((*SPACE.dimensions, Dimension("vm.vfs_cache_pressure", low=1, high=500)))
    observed = told(memory(), wider, {**FOUND, "vm.vfs_cache_pressure": 100})
    assert {each[0]["vm.vfs_cache_pressure"] for each in observed} == {100}


def test_a_knob_that_was_found_and_not_turned_has_the_value_that_was_found() -> None:
    wider = Space((*SPACE.dimensions, Dimension("vm.vfs_cache_pressure", low=1, high=500)))
    past = memory(found={**FOUND, "vm.vfs_cache_pressure": 50})
    assert {
        each[0]["vm.vfs_cache_pressure"] for each in told(past, wider, {**FOUND, "vm.vfs_cache_pressure": 100})
    } == {50}


def test_a_trial_that_turned_a_knob_outside_the_space_is_left_out() -> None:
    only = Space(SPACE.dimensions[:1])
    assert [each[0] for each in told(memory(), only)] == [
        {"vm.dirty_ratio": 40}, {"vm.dirty_ratio": 20}, {"vm.dirty_ratio": 20}, {"vm.dirty_ratio": 40},
    ]  # fmt: skip


def test_a_trial_with_a_value_that_may_not_be_tried_now_is_left_out_and_never_moved() -> None:
    narrow = Space((Dimension("vm.dirty_ratio", low=5, high=50), SPACE.dimensions[1]))
    assert 60 not in [each[0]["vm.dirty_ratio"] for each in told(memory(), narrow)]
    assert 50 not in [each[0]["vm.dirty_ratio"] for each in told(memory(), narrow)]


def test_a_default_outside_the_range_counts_only_while_it_is_the_present_one_too() -> None:
    past = memory(found={"vm.dirty_ratio": 2, "vm.swappiness": 60})
    same = told(past, default={"vm.dirty_ratio": 2, "vm.swappiness": 60})
    assert ({"vm.dirty_ratio": 2, "vm.swappiness": 60}, 0.0, False) in same
    other = told(past, default=FOUND)
    assert [each[0]["vm.dirty_ratio"] for each in other] == [40, 60, 40]


def test_a_word_that_does_not_exist_here_is_left_out() -> None:
    space = Space((Dimension("thp.enabled", "choice", values=("madvise", "never")),))
    past = memory(
        found={"thp.enabled": "madvise"}, best={"thp.enabled": "always"}, candidate={"thp.enabled": "always"},
        trials=(trial(1, "baseline", 10.0), trial(2, "search", 11.0, {"thp.enabled": "always"}),
                trial(3, "search", 9.0, {"thp.enabled": "never"})),
    )  # fmt: skip
    assert [each[0] for each in told(past, space, {"thp.enabled": "madvise"})] == [
        {"thp.enabled": "never"}, {"thp.enabled": "madvise"},
    ]  # fmt: skip
    assert translated(past, space, {"thp.enabled": "madvise"}, "maximize")[1] == {}


def test_where_runs_failed_is_remembered_too() -> None:
    trials = (
        trial(1, "baseline", 10.0), trial(2, "search", 11.0, {"vm.dirty_ratio": 40}),
        trial(3, "search", None, {"vm.dirty_ratio": 80}), trial(4, "search", None, {"vm.other": 3}),
    )  # fmt: skip
    past = memory(trials=trials, improvement=None)
    observations, _, failures = translated(past, SPACE, FOUND, "maximize")
    assert failures == ({**FOUND, "vm.dirty_ratio": 80},), "of another knob nobody knows what it would do here"
    remembered = Remembered("a", 1.0, observations, failures=failures)
    labels = [(each.configuration["vm.dirty_ratio"], each.gain) for each in warnings_of([remembered])]
    assert labels == [(80, -1.0), (40, 0.0), (20, 0.0)]
    many = Remembered("b", 1.0, observations * 90, failures=failures * 90)
    assert len(warnings_of([remembered, many])) <= 2 * MOST_WARNINGS
    assert warnings_of([Remembered("c", 1.0, observations)]) == [], "nothing failed, nothing to warn of"


def test_without_a_baseline_or_anything_else_there_is_nothing_to_learn() -> None:
    assert told(memory(trials=(trial(1, "search", 1.0, {"vm.swappiness": 1}),))) == []
    assert told(memory(trials=(trial(1, "baseline", 1.0),))) == []


values = st.integers(-10, 200)
configurations = st.dictionaries(st.sampled_from(["vm.dirty_ratio", "vm.swappiness", "vm.other"]), values, max_size=3)


@settings(max_examples=40)
@given(st.lists(configurations, max_size=6), configurations, configurations, st.fixed_dictionaries(
    {"vm.dirty_ratio": values, "vm.swappiness": values}))  # fmt: skip
def test_whatever_is_remembered_may_be_tried_here(
    tried: list[dict[str, Value]], found: dict[str, Value], best: dict[str, Value], default: dict[str, Value]
) -> None:
    scores = (90.0, 91.0, None)
    trials = [trial(0, "baseline", 100.0)]
    trials += [trial(1 + n, "search", scores[n % 3], each) for n, each in enumerate(tried)]
    observations, guess, failures = translated(
        memory(trials=tuple(trials), found=found, best=best, candidate=best), SPACE, default, "maximize"
    )
    for configuration in (*(each.configuration for each in observations), *failures):
        assert configuration.keys() == set(SPACE.names)
        for dimension in SPACE.dimensions:
            value = configuration[dimension.name]
            assert dimension.contains(value) or value == default[dimension.name]
    for name, value in guess.items():
        assert SPACE.dimensions[SPACE.names.index(name)].contains(value)
        assert value != default[name]


# --- what is tried first


@pytest.mark.parametrize(
    ("verdict", "best", "candidate", "guess"),
    [
        (Verdict.IMPROVED, {"vm.dirty_ratio": 40}, {"vm.dirty_ratio": 40}, {"vm.dirty_ratio": 40}),
        (Verdict.INCONCLUSIVE, {}, {"vm.dirty_ratio": 40}, {"vm.dirty_ratio": 40}),
        (Verdict.NO_CHANGE, {}, {}, {}),
        (Verdict.WORSE, {}, {"vm.dirty_ratio": 40}, {}),
        (Verdict.IMPROVED, {"vm.dirty_ratio": 95}, {}, {"vm.dirty_ratio": 80}),
        (Verdict.IMPROVED, {"vm.dirty_ratio": 20}, {}, {}),
        (Verdict.IMPROVED, {"vm.other": 1, "vm.swappiness": 1}, {}, {"vm.swappiness": 1}),
    ],
    ids=["verified", "not yet", "nothing", "worse", "beyond the range", "in place already", "as far as it is here"],
)
def test_what_it_recommended(
    verdict: Verdict, best: dict[str, Value], candidate: dict[str, Value], guess: dict[str, Value]
) -> None:
    past = memory(verdict=str(verdict), best=best, candidate=candidate)
    assert translated(past, SPACE, FOUND, "maximize")[1] == guess


# --- whom a session remembers


def keys(store: Store, **changes: Any) -> list[str]:
    return [past.session for past in recall(store, SPACE, FOUND, here(**changes))]


def test_the_nearest_comes_first_and_says_why(store: Store) -> None:
    finish(store, "s-other-machine", facts=replace(FACTS, cores=8))
    finish(store, "s-same")
    finish(store, "s-another-metric", metric="latency_average_ms", direction="minimize")
    finish(store, "s-another-program", command="fio --rw=write --runtime=5")
    near, far = recall(store, SPACE, FOUND, here())
    assert (near.session, near.likeness, near.verdict, near.why) == ("s-same", 1.0, "IMPROVED", "pgbench, same machine")
    assert near.best == {"vm.dirty_ratio": 40}
    assert near.observations[0] == Observation({"vm.dirty_ratio": 40, "vm.swappiness": 60}, GAIN, 105.0)
    assert (far.session, far.why) == ("s-other-machine", "pgbench, another machine; cores 8 there, 4 here")
    assert 0.1 < far.likeness < 1.0


def test_what_is_not_finished_or_searched_nothing_or_knows_no_default_is_not_remembered(store: Store) -> None:
    finish(store, "s-verified-again", searcher="none")
    finish(store, "s-old", found=None)
    store.end(finish_not(store, "s-cut-off"), "interrupted")
    assert keys(store) == []


def finish_not(store: Store, key: str) -> str:
    finish(store, key)
    store._connection.execute("UPDATE session SET status = 'running' WHERE id = ?", (key,))
    return key


def test_real_and_simulated_sessions_never_mix_and_simulated_ones_keep_to_their_machine(store: Store) -> None:
    finish(store, "s-real")
    finish(store, "s-web", target="simulated:web")
    finish(store, "s-null", target="simulated:null")
    assert keys(store) == ["s-real"]
    assert keys(store, target="simulated:web", simulated=True) == ["s-web"]


def test_of_equals_the_newest_comes_first_and_no_more_than_the_most(store: Store) -> None:
    for number in range(MOST_SESSIONS + 2):
        remember(store, [memory(key=f"m-{number:02}", created=f"2026-01-02T03:04:{number:02}+00:00")], "o" * 64)
    assert keys(store) == [f"m-{number:02}" for number in range(MOST_SESSIONS + 1, 1, -1)]


def test_observations_are_bounded_and_spread_over_the_session(store: Store) -> None:
    many = tuple(trial(1 + n, "search", 1000.0 + n, {"vm.swappiness": n % 100}) for n in range(119))
    for number in range(MOST_SESSIONS):
        proven = {"improvement": 25.0, "best": {"vm.dirty_ratio": 40}, "candidate": {"vm.dirty_ratio": 40}}
        session = memory(key=f"m-{number}", trials=(trial(0, "baseline", 1000.0), *many), **proven)
        remember(store, [session], "o" * 64)
    remembered = recall(store, SPACE, FOUND, here())
    assert sum(len(past.observations) for past in remembered) <= MOST_OBSERVATIONS
    times = [each.time for each in remembered[0].observations if each.eligible]
    assert len(remembered[0].observations) == 80
    assert min(times) <= 70.0 and max(times) > 35.0 * 110
    assert remembered[0].observations[-1].gain == pytest.approx(math.log(1.25)), "what was proven is kept"
    assert remembered[0].gain == pytest.approx(math.log(1.25))


def test_what_shares_no_knob_or_is_too_little_alike_is_passed_over_and_counted(store: Store) -> None:
    finish(store, "s-network", found={"net.core.somaxconn": 128}, best_config={"net.core.somaxconn": 4096},
           candidate_config={"net.core.somaxconn": 4096},
           trials=[TRIALS[1], trial(3, "search", 1100.0, {"net.core.somaxconn": 4096})])  # fmt: skip
    unlike = replace(FACTS, cores=512, memory_bytes=2**44, architecture="riscv64", disk_kind="rotational")
    finish(store, "s-unlike", facts=unlike)
    finish(store, "s-same")
    found = look(store, SPACE, FOUND, here())
    assert [similar.remembered.session for similar in found.sessions] == ["s-same"]
    assert (found.looked_at, found.unlike, found.useless) == (3, 1, 1)


def test_a_forgotten_session_is_not_remembered(store: Store) -> None:
    finish(store, "s-1")
    remember(store, [memory(key="m-1")], "o" * 64)
    assert sorted(keys(store)) == ["m-1", "s-1"]
    for key in ("s-1", "m-1"):
        store.memories.forget(key)
    assert keys(store) == []
    assert store.session("s-1").result is not None, "its own record stays"


def test_a_record_that_somebody_changed_by_hand_teaches_nothing_and_breaks_nothing(store: Store) -> None:
    finish(store, "s-1")
    store._connection.execute("UPDATE session SET settings = '{\"found\": 3}'")
    assert keys(store) == []


# --- the same again


def test_a_session_that_goes_on_remembers_exactly_what_it_began_with(store: Store) -> None:
    for key in ("s-1", "s-2"):
        finish(store, key, facts=replace(FACTS, cores=4 if key == "s-1" else 8))
    before = recall(store, SPACE, FOUND, here())
    finish(store, "s-3")
    store.memories.forget("s-2")
    assert [past.session for past in recall(store, SPACE, FOUND, here())] == ["s-3", "s-1"]
    assert recall(store, SPACE, FOUND, here(), [past.session for past in before]) == before
    assert recall(store, SPACE, FOUND, here(), []) == ()


def test_what_is_gone_by_then_is_named(store: Store) -> None:
    remember(store, [memory(key="m-1")], "o" * 64)
    store.memories.forget("m-1")
    with pytest.raises(UsageError) as caught:
        recall(store, SPACE, FOUND, here(), ["m-1"])
    assert caught.value.message == (
        "the session began with what session m-1 had left, which is not in the record any more"
    )
    assert caught.value.hint == "Import it again (`knobctl memory import FILE`), or start a new session."
