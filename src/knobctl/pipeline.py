"""The whole run on one page: words, plan, safe plan, preflight, search, candidate, fresh proof, restore, result.

Every face of knobctl (command line, Python, later ones) calls these functions, and reads what happens from the one
stream of events.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from knobctl.env import close_restored, refuse_other_defaults
from knobctl.errors import (
    Interrupted,
    KnobctlError,
    PreflightRefused,
    UsageError,
)
from knobctl.events import (
    CandidateChosen,
    Event,
    EventSink,
    MemoryRecalled,
    NoiseMeasured,
    SessionEnded,
    SessionResumed,
    SessionStarted,
    Trial,
)
from knobctl.knobs import Value
from knobctl.measure import Noise
from knobctl.memory import fingerprint_of_run, recall, require
from knobctl.plan import TuningPlan
from knobctl.safety import Consent, SafePlan, SafetyValidator, changes_of
from knobctl.search.registry import Options
from knobctl.search.remembered import Remembered
from knobctl.settings import Settings, require_the_same, require_the_same_disk, settings_document, settings_of
from knobctl.stats import percent
from knobctl.store import Result, SessionRecord, Store
from knobctl.strategist.base import Proposal, Strategist, TuningRequest
from knobctl.strategist.tuned_profiles import fitting, with_profiles
from knobctl.target import Target, tuners
from knobctl.tuning import Found, Tuning


def propose(request: TuningRequest, target: Target, strategist: Strategist) -> Proposal:
    """Words to plan, with what TuneD's profiles on the machine would set as suggestions. Changes nothing.

    Raises:
        RequestNotUnderstood: The words do not say which workload is meant.
        UsageError: An option cannot be satisfied.
    """
    facts, states = target.facts(), target.probe()
    proposal = strategist.propose(request, facts, states, target.catalogue)
    return with_profiles(proposal, target.profiles(fitting(proposal, facts)), states, target.catalogue)


def validate(plan: TuningPlan, target: Target, consent: Consent) -> SafePlan:
    """Plan to safe plan. Looks at the machine and changes nothing.

    Raises:
        PlanError: The plan breaks a rule.
        ConsentMissing: Its command needs the user's own word.
    """
    return SafetyValidator(target.catalogue, target.facts(), target.probe(), consent).validate(plan)


def estimate(plan: SafePlan, settings: Settings) -> tuple[int, float]:
    """Benchmark runs of the whole run at most, and the seconds that they take, before anything was measured."""
    runs, seconds = Tuning.estimate(plan, _budget(plan, settings), settings.pairs)
    return runs, seconds if settings.seconds is None else min(seconds, settings.seconds)


def execute(
    plan: SafePlan,
    target: Target,
    store: Store,
    emit: EventSink,
    settings: Settings,
    request: str = "",
    conversation: str = "",
) -> Result:
    """Runs a safe plan from the first benchmark to the verdict, and restores the machine whatever happens.

    Args:
        plan: What may run.
        target: Not open yet.
        store: Gets every event as it comes.
        emit: A further reader of the events.
        settings: How to run it.
        request: The user's words, for the record.
        conversation: Key of the conversation that led to the plan, for the record.

    Raises:
        KnobctlError: The run could not be finished. The machine was restored, unless it is
            :class:`RestoreIncomplete`, and the record says how far it came.
    """
    return _run(plan, target, store, emit, settings, _Origin(request, conversation))


def resume(record: SessionRecord, plan: SafePlan, target: Target, store: Store, emit: EventSink) -> Result:
    """Goes on with a session that was cut off, from its last complete trial, with the settings that it had.

    The session is played again from its start: the same seed, the same scores and the same memories lead to the same
    decisions, so that what is recorded need not be measured, and the rest becomes what it would have been. What its
    last run left behind on the machine has faded by then, on a simulated machine with carry-over too.

    Args:
        record: The session.
        plan: Its plan, validated anew on the target.
        target: Not open yet.
        store: Holds the session.
        emit: A further reader of the events.

    Raises:
        UsageError: It is finished, or cannot go on here (:func:`knobctl.settings.require_the_same`), or what it
            remembered when it began is gone.
        Busy: It is running.
        KnobctlError: As :func:`execute`.
    """
    settings, candidate = settings_of(record)
    require_the_same(record, plan, target)
    remembers = _began_with(store, record.id)
    require(store, remembers or ())
    origin = _Origin(record.request, record.conversation, candidate, record.id, remembers)
    return _run(plan, target, store, emit, settings, origin)


def verify_again(
    record: SessionRecord,
    plan: SafePlan,
    target: Target,
    store: Store,
    emit: EventSink,
    settings: Settings,
    conversation: str = "",
) -> Result:
    """Measures the candidate of an earlier session again, with fresh pairs, as a session of its own.

    ``conversation`` is the one in which this was asked for; the plan's own is that of the earlier session.

    Raises:
        UsageError: The session has no candidate, was made on another target or another disk, or its candidate cannot
            be tried as it is now.
        KnobctlError: As :func:`execute`.
    """
    if record.target != target.name:
        raise UsageError(
            f"session {record.id} was made on {record.target}, not on {target.name}", f"Add --target {record.target}."
        )
    if record.result is None or not record.result.candidate_config:
        raise UsageError(
            f"session {record.id} has no candidate to verify", "Choose another one from `knobctl sessions`."
        )
    require_the_same_disk(record, target)
    candidate = record.result.candidate_config
    return verify_candidate(candidate, record.id, plan, target, store, emit, settings, conversation)


def verify_candidate(
    candidate: Mapping[str, Value],
    source: str,
    plan: SafePlan,
    target: Target,
    store: Store,
    emit: EventSink,
    settings: Settings,
    conversation: str = "",
) -> Result:
    """Measures a candidate with fresh pairs, as a session of its own, wherever it came from.

    Args:
        candidate: Values of knobs of the plan.
        source: Where it came from, for the record.
        plan: What may run.
        target: Not open yet.
        store: Gets every event as it comes.
        emit: A further reader of the events.
        settings: How to run it.
        conversation: Key of the conversation in which this was asked for, for the record.

    Raises:
        UsageError: It cannot be tried here exactly as it is (:func:`knobctl.safety.changes_of`).
        KnobctlError: As :func:`execute`.
    """
    changed = changes_of(candidate, plan)
    return _run(plan, target, store, emit, settings, _Origin(f"verify {source}", conversation, changed))


@dataclass(frozen=True)
class _Origin:
    """Where a run comes from.

    Attributes:
        request: The user's words, for the record.
        conversation: Key of the conversation that led to it.
        candidate: What to verify, when nothing is to be searched.
        session: Key of the session that goes on; empty for a new one.
        remembers: Keys of the sessions that it began with; None when it chooses them anew.
    """

    request: str = ""
    conversation: str = ""
    candidate: Mapping[str, Value] | None = None
    session: str = ""
    remembers: tuple[str, ...] | None = None


def _run(plan: SafePlan, target: Target, store: Store, emit: EventSink, settings: Settings, origin: _Origin) -> Result:
    facts, candidate, knobs = target.facts(), origin.candidate, [tuned.knob.name for tuned in plan.knobs]
    if not settings.force:
        _refuse_beside(facts.tuners, knobs)
    seed = secrets.randbelow(2**31) if settings.seed is None else settings.seed
    budget = 0 if candidate is not None else _budget(plan, settings)
    searcher = "none" if candidate is not None else settings.searcher
    session = origin.session or store.begin(
        request=origin.request,
        plan=plan.plan,
        facts=facts,
        target=target.name,
        simulated=target.simulated,
        searcher=searcher,
        budget=budget,
        seed=seed,
        conversation=origin.conversation,
        settings=settings_document(settings, plan, candidate),
    )
    recorded = _reopen(origin.session, target, knobs, store) if origin.session else ()
    save = store.sink(session)
    tuning = Tuning(
        plan,
        target,
        lambda event: tell(event),
        store.check,
        seed=seed,
        budget=budget,
        seconds=settings.seconds,
        pairs=settings.pairs,
        force=settings.force,
        lengthen=settings.lengthen,
        cut_short=settings.cut_short,
        run_timeout=settings.run_timeout,
        recorded=recorded,
    )

    def keep(event: Event) -> None:
        save(event)
        emit(event)

    def tell(event: Event) -> None:
        (emit if tuning.replaying else keep)(event)  # what is said again is recorded already

    started = SessionStarted(
        session,
        plan.plan.workload_name,
        plan.objective.name,
        plan.objective.unit,
        plan.objective.direction,
        plan.command.text,
        target.name,
        target.simulated,
        searcher,
        budget,
    )
    try:
        if not origin.session:
            tell(started)
            target.open(session, knobs)
        try:
            if origin.session:
                tell(started)
                keep(SessionResumed(len(recorded)))
            refuse_other_defaults(plan, target)
            if recorded:
                target.resume(sum(map(_ran, recorded)), recorded[-1].ended)
            tuning.prepare()
            noise = tuning.preflight(candidate)
            tell(_noise_event(noise, tuning.run_seconds))
            if candidate is None:
                remembers = origin.remembers
                remembered = _remember(plan, target, store, session, remembers, tell) if settings.memory else ()
                found = tuning.search(settings.searcher, _options(settings, remembered))
                tell(CandidateChosen(found.configuration, found.claimed_percent, found.policy_updates))
            else:
                found = Found(candidate)
            judgement = tuning.verify(found.configuration) if found.configuration else None
            tuning.cleanup()
        finally:
            restored = close_restored(target, keep)
        store.check()
    except (KnobctlError, Interrupted) as error:
        _end(store, session, error)
        raise
    except KeyboardInterrupt:
        interrupted = Interrupted("interrupted; the machine was restored")
        _end(store, session, interrupted)
        raise interrupted from None
    except Exception as error:
        _end(store, session, KnobctlError(f"unexpected {type(error).__name__}: {error}"))
        raise
    result = tuning.conclude(
        session=session,
        searcher=searcher,
        restored=restored.complete,
        noise=noise,
        found=found,
        judgement=judgement,
    )
    tell(SessionEnded(result.to_dict()))
    store.check()
    return result


def _reopen(session: str, target: Target, knobs: Sequence[str], store: Store) -> tuple[Trial, ...]:
    """Opens the target for a session that goes on, and returns its trials that count.

    Only what can go on is reopened: when the target cannot be opened, the record stays as it is.

    Raises:
        KnobctlError: One of the two cannot be opened; then neither is.
    """
    target.open(session, knobs)
    try:
        return store.resume(session)
    except BaseException:
        target.close()
        raise


def _remember(
    plan: SafePlan, target: Target, store: Store, session: str, remembers: tuple[str, ...] | None, tell: EventSink
) -> tuple[Remembered, ...]:
    """What earlier sessions have left for this one; what it began with, when it was cut off and goes on.

    Raises:
        StoreError: The record cannot be read.
    """
    store.check()
    here = fingerprint_of_run(plan, target, store.session(session).facts, store.trials(session))
    remembered = recall(store, plan.space, plan.default, here, remembers)
    tell(MemoryRecalled(tuple(past.session for past in remembered), tuple(past.why for past in remembered)))
    return remembered


def _began_with(store: Store, session: str) -> tuple[str, ...] | None:
    """Keys of the sessions that this one has remembered; None when it has not come so far."""
    return next((event.sessions for event in store.events(session) if isinstance(event, MemoryRecalled)), None)


def _ran(trial: Trial) -> bool:
    """Whether the benchmark was started. One that a guard ended may have taken no time; its reset came before it."""
    return trial.seconds > 0 or trial.ended > trial.started


def _options(settings: Settings, remembered: Sequence[Remembered]) -> Options:
    log = None if settings.tensorboard is None else Path(settings.tensorboard)
    return Options(remembered=tuple(remembered), actor=settings.actor, log=log)


def _noise_event(noise: Noise, run_seconds: float) -> NoiseMeasured:
    return NoiseMeasured(
        noise.baseline,
        noise.noise_percent,
        noise.smallest_percent if math.isfinite(noise.smallest_percent) else 1e9,
        noise.pairs,
        None if noise.within_sd is None else percent(noise.within_sd),
        noise.drift_percent,
        None if noise.carry_over is None else percent(noise.carry_over),
        run_seconds,
    )


def _refuse_beside(titles: Sequence[str], knobs: Sequence[str]) -> None:
    """Returns when no other program that runs sets a knob of the plan.

    Raises:
        PreflightRefused: One does; the hint holds the lines to paste.
    """
    found = tuners.in_the_way(titles, knobs)
    if not found:
        return
    pauses = [f"`{tuner.pause}` before and `{tuner.resume}` after it" for tuner, _ in found if tuner.pause]
    raise PreflightRefused(
        "; ".join(f"{tuner.title} is running and sets {_few(owned)}" for tuner, owned in found) + ", as this plan does",
        f"Pause it for the run ({'; '.join(pauses) or 'stop its service'}), or go on with --force.",
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _budget(plan: SafePlan, settings: Settings) -> int:
    return settings.budget or plan.plan.training_config.total_timesteps


def _end(store: Store, session: str, error: KnobctlError | Interrupted) -> None:
    status = "interrupted" if isinstance(error, Interrupted) else "failed"
    if store.failure is None:
        store.end(session, status, error.message)
