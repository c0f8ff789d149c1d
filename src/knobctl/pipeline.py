"""The whole run on one page: words, plan, safe plan, preflight, search, candidate, fresh proof, restore, result.

Every face of knobctl (command line, Python, later ones) calls these functions, and reads what happens from the one
stream of events.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knobctl.env import refuse_other_defaults
from knobctl.errors import (
    Interrupted,
    KnobctlError,
    PreflightRefused,
    RestoreIncomplete,
    UsageError,
)
from knobctl.events import (
    CandidateChosen,
    Event,
    EventSink,
    MachineRestored,
    NoiseMeasured,
    PhaseStarted,
    SessionEnded,
    SessionStarted,
)
from knobctl.knobs import Value
from knobctl.plan import TuningPlan
from knobctl.safety import Consent, SafePlan, SafetyValidator
from knobctl.search.registry import DEFAULT
from knobctl.store import Result, SessionRecord, Store
from knobctl.strategist.base import Proposal, Strategist, TuningRequest
from knobctl.target import RestoreReport, Target, tuners
from knobctl.tuning import Found, Tuning

DEFAULT_PAIRS = 12


@dataclass(frozen=True)
class Settings:
    """How to run a plan; nothing here changes what is tuned or measured.

    Attributes:
        searcher: Name of the searcher.
        budget: Trials of the search; the plan's ``total_timesteps`` when None.
        seconds: For everything together, set-up included; None for no limit.
        pairs: Most pairs of the verification.
        seed: Seed of everything that is drawn; drawn itself when None.
        force: Go on where the preflight would refuse.
        run_timeout: Seconds after which one benchmark run is killed; from the command's own duration when None.
    """

    searcher: str = DEFAULT
    budget: int | None = None
    seconds: float | None = None
    pairs: int = DEFAULT_PAIRS
    seed: int | None = None
    force: bool = False
    run_timeout: float | None = None


def propose(request: TuningRequest, target: Target, strategist: Strategist) -> Proposal:
    """Words to plan. Looks at the machine and changes nothing.

    Raises:
        RequestNotUnderstood: The words do not say which workload is meant.
        UsageError: An option cannot be satisfied.
    """
    return strategist.propose(request, target.facts(), target.probe(), target.catalogue)


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
    return _run(plan, target, store, emit, settings, request, conversation, None)


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
        UsageError: The session has no candidate, or was made on another target.
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
    candidate = plan.changed(plan.repair(record.result.candidate_config))
    if not candidate:
        raise UsageError("the candidate is what the machine has now", "There is nothing to compare.")
    return _run(plan, target, store, emit, settings, f"verify {record.id}", conversation, candidate)


def _run(
    plan: SafePlan,
    target: Target,
    store: Store,
    emit: EventSink,
    settings: Settings,
    request: str,
    conversation: str,
    candidate: Mapping[str, Value] | None,
) -> Result:
    facts = target.facts()
    if not settings.force:
        _refuse_beside(facts.tuners, [tuned.knob.name for tuned in plan.knobs])
    seed = secrets.randbelow(2**31) if settings.seed is None else settings.seed
    budget = _budget(plan, settings)
    searcher = "none" if candidate is not None else settings.searcher
    session = store.begin(
        request=request,
        plan=plan.plan,
        facts=facts,
        target=target.name,
        simulated=target.simulated,
        searcher=searcher,
        budget=budget,
        seed=seed,
        conversation=conversation,
    )
    save = store.sink(session)

    def tell(event: Event) -> None:
        save(event)
        emit(event)

    tuning = Tuning(
        plan,
        target,
        tell,
        store.check,
        seed=seed,
        budget=budget,
        seconds=settings.seconds,
        pairs=settings.pairs,
        force=settings.force,
        run_timeout=settings.run_timeout,
    )
    began = target.clock.monotonic()
    tell(
        SessionStarted(
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
    )
    try:
        target.open(session, [tuned.knob.name for tuned in plan.knobs])
        try:
            refuse_other_defaults(plan, target)
            tuning.prepare()
            noise = tuning.preflight()
            tell(
                NoiseMeasured(
                    noise.baseline,
                    noise.noise_percent,
                    noise.smallest_percent if math.isfinite(noise.smallest_percent) else 1e9,
                    tuning.pairs,
                )
            )
            if candidate is None:
                found = tuning.search(settings.searcher)
                tell(CandidateChosen(found.configuration, found.claimed_percent, found.policy_updates))
            else:
                found = Found(candidate)
            judgement = tuning.verify(found.configuration) if found.configuration else None
            tuning.cleanup()
        finally:
            restored = _close(target, tell)
        store.check()
    except KnobctlError as error:
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
        seconds=target.clock.monotonic() - began,
        restored=restored.complete,
        noise=noise,
        found=found,
        judgement=judgement,
    )
    tell(SessionEnded(result.to_dict()))
    store.check()
    return result


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


def _close(target: Target, tell: EventSink) -> RestoreReport:
    """Restores the machine, ends what is still running and says so.

    Raises:
        RestoreIncomplete: A knob is not back; the hint holds the lines to paste.
    """
    tell(PhaseStarted("restore", 0, 0.0, "putting every knob back"))
    report = target.close()
    left = tuple(knob.command for knob in report.knobs if knob.outcome == "failed")
    drifted = tuple(knob.path for knob in report.knobs if knob.outcome == "drifted")
    tell(MachineRestored(report.complete, len(report.knobs), drifted, left))
    if left:
        raise RestoreIncomplete(
            f"{len(left)} kernel setting(s) could not be put back", "Paste as root: " + "; ".join(left)
        )
    return report


def _end(store: Store, session: str, error: KnobctlError) -> None:
    status = "interrupted" if isinstance(error, Interrupted) else "failed"
    if store.failure is None:
        store.end(session, status, error.message)
