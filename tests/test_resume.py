"""A session that was cut off at any moment goes on, and ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from knobctl import pipeline
from knobctl.errors import (
    BenchmarkBroken,
    Busy,
    Interrupted,
    KnobctlError,
    PreflightRefused,
    RestoreIncomplete,
    StoreError,
    UsageError,
)
from knobctl.events import Event, MachineRestored, PhaseStarted, SessionResumed, TrialDone, TrialStarted
from knobctl.plan import plan_from
from knobctl.safety import Consent, SafePlan
from knobctl.settings import Settings
from knobctl.store import Result, SessionRecord, Store
from knobctl.target.base import KnobRestore, RestoreReport
from knobctl.target.simulated import FACTS, SimulatedTarget, simulated_target
from tests.commands.plans import document, plan
from tests.env.invented import Hill, bell, plan_for

SETTINGS = Settings(searcher="tpe", seed=11, budget=12, pairs=6)
NEVER = 10**9


class Killed(BaseException):
    """What kill -9 looks like from inside: nobody catches it, and nothing is tidied up."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "knobctl.db"


def machine() -> SimulatedTarget:
    return simulated_target("postgresql", seed=4)


def safe(target: SimulatedTarget) -> SafePlan:
    return pipeline.validate(plan("postgresql", total_timesteps=12), target, Consent())


def counting(moment: int) -> Callable[[Event], None]:
    """A reader during whose n-th event the process is killed."""
    events = iter(range(moment))

    def read(event: Event) -> None:
        if next(events, None) is None:
            raise Killed

    return read


def begin(path: Path, moment: int = NEVER, settings: Settings = SETTINGS) -> Result | None:
    target = machine()
    with Store(path) as store:
        try:
            return pipeline.execute(safe(target), target, store, counting(moment), settings, "make it fast")
        except Killed:
            pass
    forget_the_process(path)
    return None


def go_on(path: Path, moment: int = NEVER, read: Callable[[Event], None] | None = None) -> Result | None:
    target = machine()
    with Store(path) as store:
        try:
            return pipeline.resume(store.session("last"), safe(target), target, store, read or counting(moment))
        except Killed:
            pass
    forget_the_process(path)
    return None


def forget_the_process(path: Path) -> None:
    """As if the process of the session had been killed, and not only its run."""
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE session SET pid_started = 1")


def record(path: Path) -> dict[str, Any]:
    """Everything that is recorded of the only session, without its key and without its having been cut off."""
    with Store(path) as store:
        session = store.session("last")
        result = session.result
        assert result is not None
        return {
            "status": session.status,
            "trials": [asdict(trial) for trial in store.trials(session.id)],
            "pairs": [asdict(pair) for pair in store.pairs(session.id)],
            "events": [
                # How many kernel files had to be looked at is up to what the last process had written.
                event.to_dict() | {"session": "", "knobs": 0}
                for event in store.events(session.id)
                if not isinstance(event, SessionResumed)
            ],
            "result": replace(result, session_id="").to_dict(),
        }


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("uncut") / "knobctl.db"
    begin(path)
    return record(path)


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many events a run has."""
    path, events = tmp_path_factory.mktemp("counted") / "knobctl.db", list[Event]()
    target = machine()
    with Store(path) as store:
        pipeline.execute(safe(target), target, store, events.append, SETTINGS)
    return len(events)


@pytest.mark.parametrize("part", range(5))
def test_a_run_killed_at_a_random_moment_ends_as_an_uncut_one(
    path: Path, uncut: dict[str, Any], moments: int, part: int
) -> None:
    moment = random.Random(part).randrange(moments * part // 5, moments * (part + 1) // 5)
    assert begin(path, moment) is None
    assert go_on(path) is not None
    assert record(path) == uncut


def test_a_run_killed_again_and_again_ends_as_an_uncut_one(path: Path, uncut: dict[str, Any]) -> None:
    begin(path, 30)
    for moment in (0, 3, 20, 7, 30):
        assert go_on(path, moment) is None
    assert go_on(path) is not None
    assert record(path) == uncut


def test_runs_on_another_disk_are_no_runs_of_this_session(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(path, 60)
    elsewhere = machine()
    monkeypatch.setattr(elsewhere, "facts", lambda: replace(machine().facts(), disk="nvme9n1"))
    with Store(path) as store:
        record = store.session("last")
        with pytest.raises(UsageError, match=r"measured the disk .*, but the work folder is on nvme9n1") as caught:
            pipeline.resume(record, safe(machine()), elsewhere, store, lambda event: None)
        assert caught.value.hint == "Give the --workdir of that session."
    assert go_on(path) is not None
    with Store(path) as store:
        record = store.session("last")
        assert record.result is not None
        proven = replace(record, result=replace(record.result, candidate_config={"vm.swappiness": 5}))
        with pytest.raises(UsageError, match="the work folder is on nvme9n1"):
            pipeline.verify_again(proven, safe(machine()), elsewhere, store, lambda event: None, SETTINGS)
        gone = replace(record, result=replace(record.result, candidate_config={"block.scheduler": "none"}))
        with pytest.raises(UsageError, match=r"the candidate changes block\.scheduler, which cannot be tuned here"):
            pipeline.verify_again(gone, safe(machine()), machine(), store, lambda event: None, SETTINGS)


@pytest.mark.parametrize("searcher", ["ppo", "random"])
def test_every_searcher_finds_its_way_back(path: Path, tmp_path: Path, searcher: str) -> None:
    settings = replace(SETTINGS, searcher=searcher)
    other = tmp_path / "uncut.db"
    begin(other, settings=settings)
    begin(path, 100, settings)
    go_on(path)
    assert record(path) == record(other)


def test_nothing_that_was_finished_is_measured_again(path: Path) -> None:
    begin(path, 90)
    with Store(path) as store:
        before = store.trials(store.session("last").id)
    events: list[Event] = []
    go_on(path, read=events.append)
    measured = [event.trial.number for event in events if isinstance(event, TrialDone)]
    assert len(before) > 5
    assert measured == list(range(len(before), len(before) + len(measured)))
    assert min(event.number for event in events if isinstance(event, TrialStarted)) == len(before)
    assert SessionResumed(len(before)) in events
    with Store(path) as store:
        assert SessionResumed(len(before)) in store.events(store.session("last").id)


def test_the_time_between_does_not_count(path: Path, uncut: dict[str, Any]) -> None:
    begin(path, 60)
    target = machine()
    target.clock.sleep(0.0)
    with Store(path) as store:
        result = pipeline.resume(store.session("last"), safe(target), target, store, counting(NEVER))
    assert result.seconds == uncut["result"]["seconds"]


def test_a_time_limit_is_kept_across_the_cut(path: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, budget=200, seconds=400.0)
    begin(tmp_path / "uncut.db", settings=settings)
    begin(path, 150, settings)
    go_on(path)
    assert record(path) == record(tmp_path / "uncut.db")


def the_session(path: Path) -> SessionRecord:
    with Store(path) as store:
        return store.session("last")


def refused(path: Path, change: Callable[[SessionRecord], SessionRecord], target: SimulatedTarget) -> UsageError:
    with Store(path) as store, pytest.raises(UsageError) as caught:
        pipeline.resume(change(store.session("last")), safe(target), target, store, counting(NEVER))
    return caught.value


def test_a_finished_session_does_not_go_on(path: Path) -> None:
    begin(path)
    error = refused(path, lambda session: session, machine())
    assert str(error) == f"session {the_session(path).id} is finished"
    assert error.hint == f"`knobctl verify {the_session(path).id}` measures its candidate again."


def test_a_session_that_is_running_is_left_alone(path: Path) -> None:
    target = machine()

    def read(event: Event) -> None:
        if isinstance(event, TrialDone) and event.trial.number == 3:
            with Store(path) as other, pytest.raises(Busy, match=r"is running in process \d+"):
                pipeline.resume(other.session("last"), safe(machine()), machine(), other, counting(NEVER))
            seen.append(event)

    seen: list[Event] = []
    with Store(path) as store:
        pipeline.execute(safe(target), target, store, read, SETTINGS)
    assert len(seen) == 1


def test_another_version_another_machine_or_other_values_are_refused(path: Path) -> None:
    begin(path, 60)
    version = metadata.version("knobctl")
    assert str(refused(path, lambda session: replace(session, version="0.0.1"), machine())).endswith(
        f"was made by knobctl 0.0.1, and this is {version}"
    )
    assert "was made on local, not on simulated:postgresql" in str(
        refused(path, lambda session: replace(session, target="local"), machine())
    )
    changed = machine()
    changed.change_from_outside("vm.swappiness", 10)
    error = refused(path, lambda session: session, changed)
    assert "vm.swappiness was 60 when session" in str(error)
    assert "and is 10 now, so old and new runs cannot be compared" in str(error)
    assert "Set it back" in error.hint
    assert go_on(path) is not None, "no refusal did any harm"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kernel": "7.1.0"}, "kernel 6.12.0-simulated then, 7.1.0 now"),
        ({"architecture": "aarch64"}, "architecture x86_64 then, aarch64 now"),
        ({"cpu_model": ""}, "processor Simulated CPU then, (unknown) now"),
        ({"memory_bytes": 15 * 2**30}, "memory 16384 MiB then, 15360 MiB now"),
        (
            {"cores": 64, "memory_bytes": 2**40},
            "cores 4 then, 64 now; memory 16384 MiB then, 1048576 MiB now",
        ),
    ],
)
def test_a_session_does_not_go_on_on_another_machine(path: Path, change: dict[str, Any], words: str) -> None:
    begin(path, 60)
    other = SimulatedTarget(machine().surface, seed=4, name="postgresql", facts=replace(FACTS, **change))
    error = refused(path, lambda session: session, other)
    assert str(error) == f"this is not the machine that session {the_session(path).id} began on: {words}"
    assert error.hint == "Start a new session; the record of this one stays."
    assert go_on(path) is not None, "no refusal did any harm"


def test_another_boot_of_the_same_machine_goes_on(path: Path) -> None:
    begin(path, 60)
    facts = replace(FACTS, boot_id="another", memory_bytes=FACTS.memory_bytes - 2**20, distribution="the next one")
    again = SimulatedTarget(machine().surface, seed=4, name="postgresql", facts=facts)
    with Store(path) as store:
        assert pipeline.resume(store.session("last"), safe(again), again, store, counting(NEVER)).restored


def test_a_knob_that_is_coupled_with_a_tuned_one_has_to_be_what_it_was(path: Path) -> None:
    """It is not tuned itself, but what may be tried depends on it, and so may the scores."""
    one = plan_from({**document("file-write"), "action_space": [{"param": "vm.dirty_ratio", "min": 2, "max": 80}]})

    def target(name: str = "vm.dirty_background_ratio", value: int = 1) -> tuple[SafePlan, SimulatedTarget]:
        writing = simulated_target("file-write", seed=4)
        writing.change_from_outside(name, value)
        return pipeline.validate(one, writing, Consent()), writing

    with Store(path) as store:
        with pytest.raises(Killed):
            pipeline.execute(*target(), store, counting(60), SETTINGS)
        forget_the_process(path)
        with pytest.raises(UsageError) as caught:
            pipeline.resume(store.session("last"), *target(value=5), store, counting(NEVER))
        assert str(caught.value) == (
            f"vm.dirty_background_ratio was 1 when session {the_session(path).id} began, and is 5 now, "
            "so old and new runs cannot be compared"
        )
        with pytest.raises(UsageError, match=r"was 1 when session .*, and is not in force now"):
            pipeline.resume(store.session("last"), *target("vm.dirty_background_bytes", 2**26), store, counting(NEVER))
        assert pipeline.resume(store.session("last"), *target(), store, counting(NEVER)).restored


def test_a_record_from_before_sessions_could_go_on_is_refused(path: Path) -> None:
    begin(path, 60)
    error = refused(path, lambda session: replace(session, settings={}), machine())
    assert "a version of knobctl that could not go on with sessions" in str(error)


def test_a_record_that_does_not_follow_from_its_seed_is_refused_and_kept(path: Path) -> None:
    begin(path, 90)
    with sqlite3.connect(path) as raw:
        raw.execute("""UPDATE trial SET configuration = '{"vm.swappiness":1}' WHERE kind = 'search'""")
    count = the_session(path).trials
    target = machine()
    with Store(path) as store, pytest.raises(StoreError, match="the session cannot go on: its trial 7 was search"):
        pipeline.resume(store.session("last"), safe(target), target, store, counting(NEVER))
    assert the_session(path).trials == count


def test_a_trial_that_was_ended_with_the_run_is_measured_anew(path: Path) -> None:
    """The trial during which the target was lost is on record, with the reason for which the session ended."""
    begin(path, 90)
    with sqlite3.connect(path) as raw:
        (last,) = raw.execute("SELECT max(number) FROM trial").fetchone()
        raw.execute("UPDATE trial SET score = NULL, failure = 'the agent is gone' WHERE number = ?", (last,))
        raw.execute("UPDATE session SET status = 'failed', reason = 'the agent is gone'")
    events: list[Event] = []
    go_on(path, read=events.append)
    assert next(event.trial.number for event in events if isinstance(event, TrialDone)) == last


def verify(path: Path, read: Callable[[Event], None]) -> None:
    target = machine()
    with Store(path) as store, contextlib.suppress(Killed):
        pipeline.verify_candidate({"vm.dirty_ratio": 40}, "x", safe(target), target, store, read, SETTINGS)
    forget_the_process(path)


@pytest.mark.parametrize(("runs", "kept"), [(1, 0), (2, 2), (5, 4)])
def test_a_pair_that_was_cut_in_two_is_measured_anew(path: Path, tmp_path: Path, runs: int, kept: int) -> None:
    """Its two runs stand for the same minutes, so one from before the cut and one from after it are no pair."""
    verify(tmp_path / "uncut.db", counting(NEVER))
    uncut = record(tmp_path / "uncut.db")
    first = next(trial["number"] for trial in uncut["trials"] if trial["kind"].startswith("verify-"))

    def cut(event: Event) -> None:
        if isinstance(event, TrialDone) and event.trial.number == first + runs - 1:
            raise Killed

    verify(path, cut)
    assert the_session(path).trials == first + runs
    events: list[Event] = []
    go_on(path, read=events.append)
    assert next(event.trial.number for event in events if isinstance(event, TrialDone)) == first + kept
    assert SessionResumed(first + kept) in events
    assert record(path) == uncut


@pytest.mark.parametrize(
    ("run", "kept"),
    [
        (0, 0),  # the warm-up
        (2, 4),  # a baseline, the probe, and all that is left of the baseline
        (12, 13),  # a trial of the search, and its canary
        (15, 15),  # a control, and its canary
    ],
)
def test_a_benchmark_that_was_repaired_is_run_again(path: Path, run: int, kept: int) -> None:
    """The run of the default configuration with whose failure the session ended says nothing about the machine."""

    def play(broken_at: int) -> tuple[SafePlan, SimulatedTarget]:
        runs = iter(range(1000))
        hill = Hill(1, lambda configuration: None if next(runs) >= broken_at else bell(configuration))
        target = SimulatedTarget(hill, noise=0.01, seed=1)
        return pipeline.validate(plan_for(hill), target, Consent()), target

    with Store(path) as store:
        with pytest.raises(BenchmarkBroken):
            pipeline.execute(*play(run), store, counting(NEVER), SETTINGS)
        before, events = store.trials(store.session("last").id), list[Event]()
        assert before[-1].failure and not before[-1].configuration
        with pytest.raises(BenchmarkBroken):
            pipeline.resume(store.session("last"), *play(0), store, counting(NEVER))
        pipeline.resume(store.session("last"), *play(NEVER), store, events.append)
        measured = [event.trial for event in events if isinstance(event, TrialDone)]
        assert (measured[0].number, measured[0].kind) == (before[kept].number, before[kept].kind)
        assert store.session("last").status == "finished"


# --- going on that fails leaves the record as good as it was


class Stuck(SimulatedTarget):
    """A machine that refuses to take one value back."""

    def close(self) -> RestoreReport:
        super().close()
        return RestoreReport((KnobRestore("/proc/sys/vm/dirty_ratio", "failed", "20", "2", "EBUSY"),))


def test_a_knob_that_is_not_back_is_recorded_before_anything_new_was_measured(
    path: Path, uncut: dict[str, Any]
) -> None:
    begin(path, 60)

    def press(event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "prepare":
            raise Interrupted("interrupted by SIGTERM")

    stuck = Stuck(machine().surface, seed=4, name="postgresql")
    with Store(path) as store:
        with pytest.raises(RestoreIncomplete, match="could not be put back"):
            pipeline.resume(store.session("last"), safe(stuck), stuck, store, press)
        restored = [event for event in store.events(the_session(path).id) if isinstance(event, MachineRestored)]
        assert restored == [MachineRestored(False, 1, left=("sysctl -w vm.dirty_ratio=20",))]
    assert go_on(path) is not None
    assert record(path) == uncut


class Taken(SimulatedTarget):
    """A machine whose lock somebody else has."""

    def open(self, session: str, names: Sequence[str] = ()) -> None:
        raise Busy("another run is using this machine", "Wait for it to end.")


@pytest.mark.parametrize(
    ("kind", "tuners", "error", "words"),
    [
        (SimulatedTarget, ("tuned",), PreflightRefused, "tuned is running and sets"),
        (Taken, (), Busy, "another run is using this machine"),
    ],
)
def test_a_session_that_was_refused_is_what_it_was(
    path: Path, kind: type[SimulatedTarget], tuners: tuple[str, ...], error: type[KnobctlError], words: str
) -> None:
    def press(event: Event) -> None:
        if isinstance(event, TrialDone) and event.trial.number == 9:
            raise Interrupted("interrupted by SIGTERM")

    target = machine()
    with Store(path) as store:
        with pytest.raises(Interrupted):
            pipeline.execute(safe(target), target, store, press, SETTINGS)
        before = store.session("last"), store.events(store.session("last").id)
        assert (before[0].status, before[0].reason) == ("interrupted", "interrupted by SIGTERM")
        assert isinstance(before[1][-1], MachineRestored)
        refusing = kind(machine().surface, seed=4, name="postgresql", facts=replace(FACTS, tuners=tuners))
        for _ in range(2):
            with pytest.raises(error, match=words):
                pipeline.resume(before[0], safe(machine()), refusing, store, counting(NEVER))
            assert (store.session("last"), store.events(before[0].id)) == before
        assert pipeline.resume(before[0], safe(target), machine(), store, counting(NEVER)).restored


def test_a_target_is_given_back_when_its_session_cannot_go_on(path: Path) -> None:
    begin(path)
    target = machine()
    assert "is finished" in str(refused(path, lambda session: session, target))
    target.open("free again")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_processes_killed_at_random_moments_leave_records_that_end_as_uncut_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With kill -9 on the real program, and the command line to go on."""
    words = ("tune", "postgres", "--target", "simulated", "--searcher", "tpe", "--budget", "12", "--pairs", "6",
             "--seed", "11", "--yes", "-q")  # fmt: skip

    def knobctl(state: Path, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "KNOBCTL_STATE_DIR": str(state)}
        return subprocess.Popen(
            [sys.executable, "-m", "knobctl.main", *arguments], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def begun(state: Path) -> float:
        """When the session was seen to have begun."""
        while not (state / "knobctl.db").exists() or not counted(state / "knobctl.db"):
            time.sleep(0.002)
        return time.monotonic()

    process = knobctl(tmp_path / "uncut", *words)
    began = begun(tmp_path / "uncut")
    assert process.wait() in (0, 3)
    lasted = time.monotonic() - began
    uncut, luck, cut = record(tmp_path / "uncut" / "knobctl.db"), random.Random(1), 0
    for number in range(50):
        state = tmp_path / str(number)
        process = knobctl(state, *words)
        begun(state)
        time.sleep(luck.uniform(0.0, 0.9) * lasted)
        process.kill()
        process.wait()
        database = state / "knobctl.db"
        if the_session(database).status != "finished":
            cut += 1
            again = knobctl(state, "tune", "--resume", "last", "--yes", "-q")
            assert again.wait() in (0, 3)
        assert record(database) == uncut, f"the {number}th"
    assert cut >= 25


def counted(path: Path) -> int:
    """Sessions of a record that somebody may just be making."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM session").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
