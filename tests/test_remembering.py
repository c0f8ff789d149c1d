"""A session begins with what earlier ones left, and one that was cut off with exactly what it began with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knobctl import pipeline
from knobctl.errors import HealthStop, UsageError
from knobctl.events import Event, MemoryRecalled, SessionResumed, TrialDone, TrialStarted
from knobctl.knobs import Value
from knobctl.memory import memory_named, remember
from knobctl.plan import plan_from
from knobctl.safety import Consent, SafePlan
from knobctl.settings import Settings, settings_of
from knobctl.store import Result, Store
from knobctl.target.simulated import FACTS, SimulatedTarget, simulated_target
from knobctl.target.surfaces import find_surface
from tests.commands.plans import plan
from tests.env.invented import Hill, number, plan_for

SETTINGS = Settings(searcher="random", seed=11, budget=8, pairs=5)


class Killed(BaseException):
    """What kill -9 looks like from inside."""


def safe(target: SimulatedTarget) -> SafePlan:
    return pipeline.validate(plan("postgresql", total_timesteps=8), target, Consent())


def play(store: Store, settings: Settings = SETTINGS, trials: int = 10**9) -> tuple[Result | None, list[Event]]:
    """One session on the same machine, killed after so many trials."""
    target, events = simulated_target("postgresql", seed=4), list[Event]()

    def read(event: Event) -> None:
        events.append(event)
        if sum(isinstance(each, TrialDone) for each in events) >= trials:
            raise Killed

    try:
        return pipeline.execute(safe(target), target, store, read, settings), events
    except Killed:
        return None, events


def go_on(store: Store, path: Path, session: str) -> list[Event]:
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE session SET pid_started = 1 WHERE id = ?", (session,))
    target, events = simulated_target("postgresql", seed=4), list[Event]()
    pipeline.resume(store.session(session), safe(target), target, store, events.append)
    return events


def recalled(events: list[Event]) -> list[MemoryRecalled]:
    return [event for event in events if isinstance(event, MemoryRecalled)]


def session_of(events: list[Event]) -> str:
    return str(events[0].to_dict()["session"])


def told(store: Store, session: str) -> dict[str, Any]:
    """Everything that is recorded of a session, but its key and its having been cut off."""
    result = store.session(session).result
    assert result is not None
    return {
        "trials": store.trials(session),
        "pairs": store.pairs(session),
        "events": [
            event.to_dict() | {"session": "", "knobs": 0}
            for event in store.events(session)
            if not isinstance(event, SessionResumed)
        ],
        "result": replace(result, session_id="").to_dict(),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "knobctl.db"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What two sessions left, with keys of their own."""
    with Store(tmp_path_factory.mktemp("earlier") / "knobctl.db") as store:
        left = []
        for name, seed in (("m-1", 1), ("m-2", 2)):
            result, _ = play(store, replace(SETTINGS, seed=seed, memory=False))
            assert result is not None
            memory = memory_named(store, result.session_id)
            assert memory is not None
            left.append(replace(memory, key=name))
    return left


def test_the_first_trial_is_what_an_earlier_session_recommended(path: Path, earlier: Any) -> None:
    with Store(path) as store:
        remember(store, earlier, "a" * 64)
        _, events = play(store, trials=12)
    (event,) = recalled(events)
    assert sorted(event.sessions) == ["m-1", "m-2"]
    assert all(why.startswith("pgbench, a machine like it") for why in event.why)
    tried = [
        each.trial.configuration for each in events if isinstance(each, TrialDone) if each.trial.kind == "suggestion"
    ]
    recommended = [{**memory.best} or {**memory.candidate} for memory in earlier]
    assert tried and all(configuration in recommended for configuration in tried)


def test_who_does_not_want_to_remember_does_not(path: Path, earlier: Any) -> None:
    with Store(path) as store:
        remember(store, earlier, "a" * 64)
        _, events = play(store, replace(SETTINGS, memory=False), trials=9)
        assert recalled(events) == []
        assert recalled(list(store.events(session_of(events)))) == []


def test_a_verification_remembers_nothing(path: Path, earlier: Any) -> None:
    target, events = simulated_target("postgresql", seed=4), list[Event]()
    with Store(path) as store:
        remember(store, earlier, "a" * 64)
        pipeline.verify_candidate({"vm.swappiness": 5}, "x", safe(target), target, store, events.append, SETTINGS)
    assert recalled(events) == []


@pytest.mark.parametrize("trials", [3, 7, 9, 14])
def test_a_session_that_goes_on_is_not_confused_by_what_was_learned_meanwhile(
    path: Path, tmp_path: Path, earlier: Any, trials: int
) -> None:
    with Store(tmp_path / "uncut.db") as store:
        remember(store, earlier, "a" * 64)
        result, _ = play(store)
        assert result is not None
        uncut = told(store, result.session_id)
    with Store(path) as store:
        remember(store, earlier, "a" * 64)
        session = session_of(play(store, trials=trials)[1])
        begun = recalled(list(store.events(session)))
        if begun:  # what is learned before it looked for anything may as well be remembered
            remember(store, [replace(memory, key=f"{memory.key}-later") for memory in earlier], "b" * 64)
        go_on(store, path, session)
        assert told(store, session) == uncut
        assert len(recalled(list(store.events(session)))) == 1


def test_a_session_that_was_cut_off_in_its_first_trial_remembers_what_it_began_with(path: Path, earlier: Any) -> None:
    with Store(path) as store:
        remember(store, earlier[:1], "a" * 64)
        target, events = simulated_target("postgresql", seed=4), list[Event]()

        def until_recalled(event: Event) -> None:
            events.append(event)
            if isinstance(event, TrialStarted) and recalled(events):
                raise Killed

        with pytest.raises(Killed):
            pipeline.execute(safe(target), target, store, until_recalled, SETTINGS)
        began = recalled(events)[0].sessions
        remember(store, earlier[1:], "b" * 64)
        assert recalled(go_on(store, path, session_of(events)))[0].sessions == began == ("m-1",)


def test_a_likeness_is_to_the_machine_as_it_was_when_the_session_began(path: Path, earlier: Any) -> None:
    """A few pages of memory more or less after a boot would weigh what is remembered otherwise in the middle of it."""
    with Store(path) as store:
        remember(store, earlier, "a" * 64)
        session = session_of(play(store, trials=12)[1])
        (began,) = recalled(list(store.events(session)))
        with sqlite3.connect(path) as raw:
            raw.execute("UPDATE session SET pid_started = 1 WHERE id = ?", (session,))
        facts, events = replace(FACTS, memory_bytes=FACTS.memory_bytes * 995 // 1000), list[Event]()
        target = SimulatedTarget(find_surface("postgresql"), seed=4, name="postgresql", facts=facts)
        pipeline.resume(store.session(session), safe(target), target, store, events.append)
        assert recalled(events) == [began]


def test_a_session_whose_memory_is_gone_cannot_go_on(path: Path, earlier: Any) -> None:
    with Store(path) as store:
        remember(store, earlier, "a" * 64)
        session = session_of(play(store, trials=12)[1])
        store.memories.forget("m-1")
        with pytest.raises(UsageError, match="the session began with what session m-1 had left"):
            go_on(store, path, session)
        remember(store, earlier, "a" * 64)
        assert isinstance(go_on(store, path, session)[-1], Event)
        assert store.session(session).status == "finished"


def test_a_session_from_before_there_was_a_memory_remembers_nothing(path: Path) -> None:
    with Store(path) as store:
        session = session_of(play(store, trials=2)[1])
        record = store.session(session)
    given = {name: value for name, value in record.settings["given"].items() if name != "memory"}
    assert not settings_of(replace(record, settings={**record.settings, "given": given}))[0].memory
    assert settings_of(record)[0].memory


# --- runs that a guard ended count as runs, or the noise of all that follow is another one


def tripping(configuration: Mapping[str, Value]) -> float | None:
    if number(configuration) == 77:
        raise HealthStop("too little memory", "Free some.")
    return 1000.0 + number(configuration)


def guarded() -> tuple[SimulatedTarget, SafePlan]:
    surface = Hill(1, tripping)
    target = SimulatedTarget(surface, noise=0.02, seed=3)
    suggestions = [{"configuration": {"demo.k0": 77}, "reason": "to see what happens"}]
    proposed = json.loads(plan_for(surface).to_json()) | {"suggestions": suggestions}
    return target, pipeline.validate(plan_from(proposed), target, Consent())


def test_a_run_that_a_guard_ended_is_counted_when_a_session_goes_on(path: Path, tmp_path: Path) -> None:
    target, safe_plan = guarded()
    with Store(tmp_path / "uncut.db") as store:
        session = pipeline.execute(safe_plan, target, store, lambda event: None, SETTINGS).session_id
        uncut = store.trials(session)
    stopped = [trial for trial in uncut if "too little memory" in trial.failure]
    assert [trial.seconds for trial in stopped] == [0.0], "it ran and took no time"

    def until(event: Event) -> None:
        if isinstance(event, TrialDone) and event.trial.number == stopped[0].number + 2:
            raise Killed

    target, safe_plan = guarded()
    with Store(path) as store:
        with pytest.raises(Killed):
            pipeline.execute(safe_plan, target, store, until, SETTINGS)
        with sqlite3.connect(path) as raw:
            raw.execute("UPDATE session SET pid_started = 1")
        target, safe_plan = guarded()
        record = store.session("last")
        pipeline.resume(record, safe_plan, target, store, lambda event: None)
        assert store.trials(record.id) == uncut
