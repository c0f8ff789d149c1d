"""Comparisons: who plays, on which machines, what is kept of a session, and what was frozen."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from knobctl.errors import StoreError, UsageError
from knobctl.lab import compare_memory
from knobctl.lab.compare_case import COLUMNS, LEAST_GAIN, NEAR, Case, Played, play, row_of, row_read, steps
from knobctl.lab.compare_contenders import CONTENDERS, contender, contenders, known, usual
from knobctl.lab.compare_file import CompareRecord, read_comparisons, write_comparisons
from knobctl.lab.compare_frozen import Frozen, freeze, require_frozen, sources_hash
from knobctl.lab.compare_memory import KINDS, earlier
from knobctl.lab.compare_surfaces import DEVELOPMENT, FIRST_SEED, LOCKED, ROUND, family_of, surfaces_of
from knobctl.lab.session import named_surface, run_session
from knobctl.search import sappo
from knobctl.stats import log_effect
from knobctl.target.families import FAMILIES
from knobctl.target.synthetic import SyntheticSurface
from tests.lab.comparisons import case, played

MARKS = {"related": "~0", "unrelated": "!0"}
SMALL = Case("random", "family:few:1000", "vm", 0, 12)


# --- who and where


def test_a_contender_is_a_searcher_with_settings() -> None:
    assert contender("ppo-2048").options == {"training": {"n_steps": 2048}}
    assert [each.name for each in contenders(["tpe", "random", "tpe"])] == ["tpe", "random"]
    own = contender("mine:Searcher")
    assert (own.name, own.searcher) == ("mine:Searcher", "mine:Searcher")
    assert ("smac" in known(), "smac" in usual()) == (True, find_spec("smac") is not None)
    assert {"ppo-8", "tpe", "gp", "cmaes", "random", "one-at-a-time"} <= set(usual()) <= set(known())
    assert not any(CONTENDERS[name].remembers for name in usual())


def test_an_unknown_contender_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="unknown contender 'sac'") as caught:
        contender("sac")
    assert caught.value.hint == f"Known: {', '.join(known())}; or module:object."


@pytest.mark.skipif(find_spec("smac") is not None, reason="it is installed")
def test_a_contender_that_is_not_installed_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="smac needs smac, which is not installed") as caught:
        contender("smac")
    assert caught.value.hint == "pip install 'knobctl[smac]'"


def test_no_machine_is_in_both_splits_and_the_first_ones_are_of_every_family() -> None:
    development, locked = surfaces_of(DEVELOPMENT, 200), surfaces_of(LOCKED, 200)
    assert len(set(development)) == len(set(locked)) == 200
    assert not set(development) & set(locked)
    families = {family_of(surface) for surface in surfaces_of(LOCKED, len(ROUND))}
    assert families == set(ROUND) == set(FAMILIES)
    assert surfaces_of(LOCKED, 200)[:39] == surfaces_of(LOCKED)[:39]


@pytest.mark.parametrize("split", FIRST_SEED)
def test_without_a_number_there_are_thirty_machines_with_something_to_gain_and_some_without(split: str) -> None:
    optima = [named_surface(name).optimum()[1] for name in surfaces_of(split) if name.startswith("family:")]  # type: ignore[attr-defined]
    assert sum(optimum >= LEAST_GAIN for optimum in optima) >= 30
    assert sum(optimum == 0 for optimum in optima) >= 3


def test_sessions_with_the_same_number_have_the_same_luck_and_others_another() -> None:
    assert case("tpe", 3, 1).seed == case("random", 3, 1).seed
    assert len({case("tpe", surface, number).seed for surface in range(30) for number in range(6)}) == 180
    assert 0 <= case().seed < 2**31


# --- one session


@pytest.fixture(scope="module")
def one() -> Played:
    return play(SMALL)


def test_a_session_is_kept_trial_by_trial_with_its_truth(one: Played) -> None:
    surface = named_surface(SMALL.surface)
    assert isinstance(surface, SyntheticSurface)
    session = run_session(surface, "vm", "random", 12, SMALL.seed)
    searched = [trial for trial in session.trials if trial.kind == "search"]
    assert len(one.gains) == len(one.times) == len(searched) == 12
    for trial, gain, length in zip(searched, one.gains, one.times, strict=True):
        assert gain == pytest.approx(surface.gain(trial.configuration), abs=0.0006)
        assert length == pytest.approx(trial.seconds / 30.0, abs=0.0006)
    assert one.cut == tuple(number for number, trial in enumerate(searched) if trial.cut_short)
    assert one.optimum == pytest.approx(surface.optimum()[1], abs=0.0006)
    assert one.time == pytest.approx(session.search_seconds / 30.0, abs=0.0006)
    assert one.ended == session.result.verdict
    assert session.best_seen_percent is not None
    assert one.claimed == pytest.approx(log_effect(session.best_seen_percent), abs=0.0006)


def test_what_is_offered_is_looked_at_after_every_few_trials(long: Played) -> None:
    assert steps(12) == (4, 5, 10, 12)
    assert steps(60)[-1] == 60 and len(steps(60)) == 13
    assert len(long.by_trials) == len(long.by_time) == len(long.own) == len(steps(15)) == 4


def test_what_is_offered_at_the_end_is_what_was_verified(long: Played) -> None:
    assert long.by_trials[-1] == pytest.approx(long.candidate, abs=0.05)
    assert long.by_trials[-1] is not None and long.by_trials[-1] > 0.5


def test_ones_own_best_is_the_truth_of_the_best_score_seen(long: Played) -> None:
    best = max(gain for gain in long.gains if gain is not None)
    assert long.own[-1] == pytest.approx(best, abs=0.1)
    assert long.claimed == pytest.approx(long.own[-1], abs=0.2)


@pytest.fixture(scope="module")
def long() -> Played:
    return play(replace(SMALL, surface="family:wounded:1000", budget=15, contender="one-at-a-time"))


def test_a_quiet_machine_with_one_knob_is_soon_solved() -> None:
    quiet = replace(SMALL, surface="family:single:1001", budget=20, contender="one-at-a-time", noise="still")
    solved = play(quiet)
    assert solved.trials_needed is not None and solved.time_needed is not None
    after = [gain for step, gain in zip(steps(20), solved.by_trials, strict=True) if step == solved.trials_needed]
    assert all(gain is not None and gain >= NEAR * solved.optimum for gain in after)
    assert 0 < solved.time_needed <= solved.time


def test_a_share_is_at_least_minus_one() -> None:
    one = played(optimum=0.2)
    assert [one.share(gain) for gain in (0.1, 0.2, -0.1, -5.0, None)] == [0.5, 1.0, -0.5, -1.0, -1.0]
    assert one.bad(60) == 0.5
    assert replace(one, gains=(None, -0.104, -0.106, 0.0)).bad(4) == 0.5
    assert replace(one, gains=()).bad(4) == 0.0


@pytest.mark.parametrize(("recommended", "ended", "false"), [
    (0.1, "IMPROVED", False), (0.0, "IMPROVED", True), (-0.1, "IMPROVED", True), (None, "IMPROVED", True),
    (0.0, "NO_CHANGE", False),
])  # fmt: skip
def test_a_claim_is_false_when_nothing_is_gained(recommended: float | None, ended: str, false: bool) -> None:
    assert replace(played(), recommended=recommended, ended=ended).false_claim is false


# --- the file


def record(*pairs: tuple[Case, Played]) -> CompareRecord:
    return CompareRecord("knobctl lab compare", "0.1", "0" * 64, "2026-01-01", "2 cores", dict(pairs))


def test_a_file_holds_what_was_played(tmp_path: Path, one: Played) -> None:
    path = tmp_path / "numbers.json"
    assert read_comparisons(path) == {}
    records = {DEVELOPMENT: record((SMALL, one), (case(), played())), LOCKED: record()}
    write_comparisons(path, records)
    assert read_comparisons(path) == records


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    write_comparisons(path, {DEVELOPMENT: record((case(), played()))})
    document = json.loads(path.read_text())
    document["splits"][DEVELOPMENT]["sessions"][0].append(1)
    for text, problem in (
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        ('{"format": 9}', "format 9, and this version reads 1"),
        (json.dumps(document), f"a session has {len(COLUMNS) + 1} columns instead of {len(COLUMNS)}"),
        (json.dumps(document).replace('"gains"', '"gain"'), "its columns are those of another version"),
    ):
        path.write_text(text)
        with pytest.raises(StoreError, match=problem):
            read_comparisons(path)


def test_a_row_is_read_as_it_was_written() -> None:
    one = case(), played()
    assert row_read(json.loads(json.dumps(row_of(*one)))) == one


# --- frozen searchers


def test_searchers_are_frozen_until_one_of_their_files_changes(tmp_path: Path) -> None:
    folder, path = tmp_path / "search", tmp_path / "frozen.json"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "a.py").write_text("A = 1\n")
    (folder / "b.py").write_text("B = 2\n")
    with pytest.raises(UsageError, match="the searchers were never frozen"):
        require_frozen(path, folder)
    frozen = freeze(path, folder)
    (folder / "__pycache__" / "a.pyc").write_bytes(b"1")
    assert require_frozen(path, folder) == frozen == Frozen(sources_hash(folder), frozen.version, frozen.date)
    for change in (
        lambda: (folder / "a.py").write_text("A = 2\n"),
        lambda: (folder / "a.py").rename(folder / "c.py"),
        lambda: (folder / "policy.zip").write_bytes(b"weights"),
    ):
        before = sources_hash(folder)
        change()
        assert sources_hash(folder) != before
        with pytest.raises(UsageError, match="the searchers have changed since they were frozen on") as caught:
            require_frozen(path, folder)
    assert caught.value.hint == "Choose --split development, or freeze the searchers anew with --freeze."


def test_a_damaged_record_of_what_was_frozen_is_named(tmp_path: Path) -> None:
    path = tmp_path / "frozen.json"
    path.write_text('{"sha": 1}')
    with pytest.raises(StoreError, match="does not say what was frozen"):
        require_frozen(path)
    with pytest.raises(StoreError, match="cannot be written"):
        freeze(tmp_path / "no" / "frozen.json")


def test_the_hash_is_that_of_the_searchers() -> None:
    assert sources_hash() == sources_hash(Path(sappo.__file__).parent) != sources_hash(Path(__file__).parent)
    assert {each.searcher for each in CONTENDERS.values()} >= {"sappo", "ppo", "tpe"}


# --- with a memory


def test_earlier_sessions_are_of_other_machines_with_the_same_knobs_and_always_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, less in (("SESSIONS", 1), ("BUDGET", 5), ("SEARCHER", "random")):
        monkeypatch.setattr(compare_memory, name, less)
    earlier.cache_clear()
    surface = named_surface("family:few:1000")
    assert isinstance(surface, SyntheticSurface)
    for kind in KINDS:
        past = earlier("family:few:1000", kind, "vm")
        assert [session.surface for session in past] == [f"family:few:1000{MARKS[kind]}"]
        knobs = {name for session in past for trial in session.trials for name in trial.configuration}
        assert knobs <= surface.default().keys()
    earlier.cache_clear()
    again = earlier("family:few:1000", "unrelated", "vm")
    assert [session.trials for session in again] == [session.trials for session in past]
    assert earlier("sweep:sysbench-seqwr", "related", "vm") == (), "a recorded machine has no relatives"
    earlier.cache_clear()


@pytest.mark.long
def test_a_contender_with_a_memory_begins_with_what_was_recommended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_memory, "SESSIONS", 1)
    earlier.cache_clear()
    with_memory = play(Case("sappo-related", "family:wounded:1000", "vm", 0, 12))
    earlier.cache_clear()
    assert with_memory.gains[0] is not None and with_memory.gains[0] > 0.5 * with_memory.optimum
    assert with_memory.share(with_memory.by_trials[0]) > 0.7
