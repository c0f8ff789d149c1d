"""``tune``, ``plan``, ``run``, ``verify``: everything that ends in a measurement, or would."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from knobctl import pipeline, planning
from knobctl.commands import options
from knobctl.commands.edge import confirm, guarded, interactive, put, say
from knobctl.errors import ConsentMissing, PlanError, StoreError, UsageError
from knobctl.events import EventSink, SessionStarted
from knobctl.masking import MASK, mask_secrets
from knobctl.measure import Verdict
from knobctl.plan import TuningPlan, load_plan, parse_plan
from knobctl.planning import Planned
from knobctl.report.narration import Narrator, level_of
from knobctl.report.plan_view import describe_plan
from knobctl.report.summary import summarize
from knobctl.report.terminal import LineView, terminal_view
from knobctl.report.wording import apply_line, apply_words
from knobctl.safety import Consent, SafePlan
from knobctl.settings import Settings
from knobctl.settings import settings_of as recorded_settings
from knobctl.store import Result, SessionRecord, Store
from knobctl.strategist import TuningRequest
from knobctl.target import Target
from knobctl.target.text import clean


@click.command("tune")
@click.argument("request", required=False)
@click.option("--resume", metavar="SESSION", help="Go on with a session that was cut off; `last` for the newest.")
@options.benchmark
@options.strategist
@options.no_memory
@options.execution
@guarded
def tune_command(request: str | None, resume: str | None, **given: Any) -> int:
    """Tune the machine for a workload described in words.

    Looks at the machine, makes a plan, shows it, measures the machine as it is, tries configurations, proves the best
    one with fresh interleaved runs, and puts every knob back. What is worth making permanent is left to `apply`.

    With --resume, go on with a session that was cut off: what is recorded is not measured again.
    """
    if resume is not None:
        if request is not None:
            raise click.UsageError("A session that goes on has its request already: leave REQUEST or --resume out.")
        return _resume(resume, given)
    if request is None:
        raise click.UsageError("Missing argument 'REQUEST'. Say what to tune for, or name a session with --resume.")
    with _target(given) as target:
        planned = _plan(request, target, given)
        consent = Consent(command=given["command"], knobs=_named(given))
        plan = _validated(planned.proposal.plan, target, consent, given)
        return _carry_out(plan, target, given, request, planned)


@click.command("plan")
@click.argument("request")
@options.benchmark
@options.strategist
@click.option("--budget", type=click.IntRange(1, 100_000), metavar="N", help="Trials of the search.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the plan to this file.")
@options.seed
@options.target
@options.workdir
@options.verbose
@options.as_json
@guarded
def plan_command(request: str, output: Path | None, **given: Any) -> int:
    """Show the plan for a request. Nothing is touched."""
    with _target(given) as target:
        proposal = _plan(request, target, given).proposal
        plan = pipeline.validate(proposal.plan, target, Consent(command=given["command"], knobs=_named(given)))
    said = (proposal.source, proposal.why, proposal.dropped, proposal.notes)
    say(describe_plan(plan, *said, simulated=target.simulated))
    if output is not None:
        try:
            output.write_text(proposal.plan.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {output}: {error.strerror}", "Choose another file with -o.") from None
        say(f"wrote {output}; run it with: knobctl run {output}")
    if given["as_json"]:
        put(
            {
                "plan": proposal.plan.model_dump(mode="json", by_alias=True, exclude_defaults=True),
                "source": proposal.source,
                "dropped": [list(pair) for pair in (*proposal.dropped, *plan.dropped)],
                "notes": [*proposal.why, *proposal.notes, *plan.notes],
            }
        )
    return 0


@click.command("run")
@click.argument("plan_file", type=click.Path(path_type=Path), metavar="PLAN.json")
@click.option("--command", metavar="TEXT", help="Consent to the plan's own command, by typing exactly its text.")
@click.option("--knobs", metavar="LIST", help="Tune just these of the plan's knobs; consent to those that need it.")
@options.no_memory
@options.execution
@guarded
def run_command(plan_file: Path, **given: Any) -> int:
    """Run a plan from a JSON file: written by hand, by `knobctl plan`, or by a language model."""
    proposed = _with_budget(load_plan(plan_file), given["budget"])
    _require_its_text(given["command"], proposed, "the plan")
    with _target(given) as target:
        plan = _validated(
            _restricted(proposed, target, options.knob_list(given["knobs"])),
            target,
            Consent(command=given["command"], knobs=_named(given)),
            given,
        )
        return _carry_out(plan, target, given, "", None)


@click.command("verify")
@click.argument("session", default="last", metavar="[SESSION]")
@click.option("--command", metavar="TEXT", help="Consent to the session's own command, by typing exactly its text.")
@options.bundle_to_verify
@options.execution
@guarded
def verify_command(session: str, bundle: Path | None, **given: Any) -> int:
    """Measure a session's candidate again, with fresh pairs, as a session of its own.

    With --bundle, recompute the verdict of an evidence bundle from its raw samples, on any machine. Nothing is
    touched, unless --again asks to measure its candidate here.
    """
    if bundle is not None or given["again"] or given["knobs"]:
        return _verify_bundle(bundle, session, given)
    with Store() as store:
        record = store.session(session)
        agreed = _agreed(record, store)
    proposed = _with_its_secrets(parse_plan(record.plan), given["command"])
    _require_its_text(given["command"], proposed, "the session")
    with _target(given) as target:
        consent = Consent(command=given["command"] or agreed, knobs=frozenset(_caution(proposed, target)))
        plan = _validated(proposed, target, consent, given)
        say(describe_plan(plan, f"session {record.id}", simulated=target.simulated))
        if given["dry_run"]:
            return _stop_dry(plan, given)
        confirm("Measure its candidate again?", yes=given["yes"])
        with Store() as store, _view(given) as emit:
            result = pipeline.verify_again(record, plan, target, store, emit, settings_of(given))
    return _present(result, given)


def _verify_bundle(path: Path | None, session: str, given: dict[str, Any]) -> int:
    """Recomputes a bundle; with ``--again`` measures its candidate here. A file's word is not the user's consent."""
    from knobctl.commands import evidence

    evidence.require_one(path, session)
    assert path is not None, "no bundle is refused"
    if not given["again"]:
        return evidence.check_evidence(path, as_json=given["as_json"])
    bundle = evidence.trustworthy(path)
    proposed = _with_its_secrets(bundle.plan, given["command"])
    _require_its_text(given["command"], proposed, "the bundle")
    with _target(given) as target:
        proposed = evidence.plan_of_candidate(proposed, bundle, target)
        plan = _validated(proposed, target, Consent(command=given["command"], knobs=_named(given)), given)
        evidence.require_values(bundle, plan)
        say(describe_plan(plan, f"bundle of session {bundle.session.id}", simulated=target.simulated))
        say("\n".join(evidence.about_this_machine(bundle, target)))
        if given["dry_run"]:
            return _stop_dry(plan, given)
        confirm("Measure its candidate here?", yes=given["yes"])
        candidate, source = bundle.result.candidate_config, f"bundle of {bundle.session.id}"
        with Store() as store, _view(given) as emit:
            result = pipeline.verify_candidate(candidate, source, plan, target, store, emit, settings_of(given))
    return _present(result, given)


_OF_THE_SESSION = ("budget", "time_budget", "searcher", "no_actor", "tensorboard", "pairs", "run_timeout", "seed",
                   "force", "target_name", "metric", "metric_pattern", "direction", "knobs", "strategist", "model",
                   "no_memory")  # fmt: skip


def _resume(session: str, given: dict[str, Any]) -> int:
    """Goes on with a session. Its command was agreed to when it began; a machine is touched only after a new yes."""
    context = click.get_current_context()
    for name in _OF_THE_SESSION:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = next(option for option in context.command.params if option.name == name).opts[-1]
            raise UsageError(f"{flag} was decided when the session began", f"Leave it out beside --resume {session}.")
    with Store() as store:
        record = store.session(session)
        agreed = _agreed(record, store)
    if record.status == "finished":
        raise UsageError(
            f"session {record.id} is finished", f"`knobctl verify {record.id}` measures its candidate again."
        )
    settings, _ = recorded_settings(record)
    proposed = _with_its_secrets(parse_plan(record.plan), given["command"])
    _require_its_text(given["command"], proposed, "the session")
    given = {**given, "target_name": record.target, "seed": record.settings["given"]["seed"]}
    with _target(given) as target:
        consent = Consent(command=given["command"] or agreed, knobs=frozenset(_caution(proposed, target)))
        plan = _validated(proposed, target, consent, given)
        say(describe_plan(plan, f"session {record.id}", simulated=target.simulated))
        say(f"{record.trials} runs are recorded and will not be repeated; searcher {settings.searcher}, "
            f"{record.budget} trials")  # fmt: skip
        if given["dry_run"]:
            return _stop_dry(plan, given)
        confirm("Go on with it?", yes=given["yes"])
        with Store() as store, _view(given) as emit:
            result = pipeline.resume(record, plan, target, store, emit)
    return _present(result, given)


@contextmanager
def _target(given: dict[str, Any]) -> Iterator[Target]:
    """The target, closed in the end whatever happened."""
    target = options.open_target(given["target_name"], given["workdir"], given["seed"])
    try:
        yield target
    finally:
        target.close()


def _plan(request: str, target: Target, given: dict[str, Any]) -> Planned:
    """Words to plan, with the strategist that was asked for."""
    asked = TuningRequest(
        text=request,
        command=given["command"],
        metric=given["metric"],
        metric_pattern=given["metric_pattern"],
        direction=given["direction"],
        knobs=options.knob_list(given["knobs"]),
        budget=given["budget"],
        seed=given["seed"],
    )
    strategist, quiet = given["strategist"], bool(given.get("quiet"))
    tell = LineView(Narrator(level_of(quiet=quiet, verbose=given["verbose"])), sys.stderr)
    model = planning.open_strategist_model(strategist, given["model"], os.environ, tell)
    if model is None:
        return planning.plan_by_playbook(asked, target)
    if not quiet:
        say(f"asking {model.name}; {'' if given['verbose'] else '-v shows what it thinks, '}Ctrl-C stops it")
    with Store() as store:
        planned = planning.plan(asked, target, store, model, tell, required=strategist == "llm")
    if not quiet:
        say(planning.describe_usage(model))
    return planned


def _named(given: dict[str, Any]) -> frozenset[str]:
    return frozenset(name for name in options.knob_list(given["knobs"]) if not any(mark in name for mark in "*?"))


def _caution(plan: TuningPlan, target: Target) -> set[str]:
    """Knobs of a recorded plan: the user named them when the session was made."""
    return {action.param for action in plan.action_space if action.param in target.catalogue}


def _require_its_text(typed: str | None, plan: TuningPlan, whose: str) -> None:
    """Makes sure that a typed command is the plan's own.

    Raises:
        UsageError: It is another one.
    """
    if typed is not None and typed.strip() != plan.benchmark_command:
        raise UsageError(
            mask_secrets(f"--command is not {whose}'s command: {plan.benchmark_command}"),
            "Consent means typing exactly its text.",
        )


def _agreed(record: SessionRecord, store: Store) -> str | None:
    """The command that ran in a session, as it was approved then: consent to exactly this text, or None.

    It is kept apart from the plan, with the session's first event. A plan that was changed in the record since holds
    another text, and asks again. Another version of knobctl may have asked for less, so that its word does not count.
    """
    if record.version != metadata.version("knobctl"):
        return None
    try:
        events = store.events(record.id)
    except StoreError:
        return None  # somebody else wrote into the record: it agrees to nothing
    started = [event.command for event in events if isinstance(event, SessionStarted)]
    return started[0] if len(started) == 1 and MASK not in started[0] else None


def _with_its_secrets(plan: TuningPlan, typed: str | None) -> TuningPlan:
    """The plan of a record with its command as it ran: what was masked in it has to be typed again.

    Raises:
        UsageError: It was not typed, or the command before each trial, which nobody types, holds what was masked.
    """
    if MASK in (plan.reset_command or ""):
        raise UsageError(
            f"the record keeps no passwords and keys, and the session's reset_command holds one: {plan.reset_command}",
            "Run its plan again from a file: knobctl run PLAN.json.",
        )
    if MASK not in plan.benchmark_command:
        return plan
    if typed is None or mask_secrets(typed.strip()) != mask_secrets(plan.benchmark_command):
        raise UsageError(
            f"the record keeps no passwords and keys, and the session's command holds one: {plan.benchmark_command}",
            "Type it whole: --command TEXT.",
        )
    return plan.model_copy(update={"benchmark_command": typed.strip()})


def _with_budget(plan: TuningPlan, budget: int | None) -> TuningPlan:
    if budget is None:
        return plan
    training = plan.training_config.model_copy(update={"total_timesteps": budget})
    return plan.model_copy(update={"training_config": training})


def _restricted(plan: TuningPlan, target: Target, names: tuple[str, ...]) -> TuningPlan:
    if not names:
        return plan
    wanted = {knob.name for pattern in names for knob in target.catalogue.matching(pattern)}
    kept = tuple(
        action
        for action in plan.action_space
        if (knob := target.catalogue.find(action.param)) is not None and knob.name in wanted
    )
    if not kept:
        raise PlanError(f"none of the plan's knobs is among {', '.join(names)}", "See the plan's action_space.")
    return plan.model_copy(update={"action_space": kept})


def _validated(plan: TuningPlan, target: Target, consent: Consent, given: dict[str, Any]) -> SafePlan:
    """The safe plan; asks for consent to a command that the plan brought, when somebody can be asked."""
    try:
        return pipeline.validate(plan, target, consent)
    except ConsentMissing as missing:
        if not interactive() or given["dry_run"]:
            raise
        say(missing.message)
        # Shown whole, passwords too: nobody can agree to exactly what they do not see.
        click.echo(clean(f"The plan wants to run, as an ordinary user:\n  {plan.benchmark_command}"), err=True)
        if plan.reset_command:
            click.echo(clean(f"and before each trial:\n  {plan.reset_command}"), err=True)
        confirm("Run exactly this?", yes=False)
        agreed = Consent(command=plan.benchmark_command, knobs=consent.knobs, reset_command=plan.reset_command)
        return pipeline.validate(plan, target, agreed)


def settings_of(given: dict[str, Any]) -> Settings:
    """How to run a plan, from the options of the command line.

    Raises:
        UsageError: A log was asked for that needs what is not installed.
    """
    if given["tensorboard"] is not None and find_spec("tensorboard") is None:
        raise UsageError("TensorBoard is not installed", "Install it: pip install 'knobctl[tensorboard]'.")
    return Settings(
        searcher=given["searcher"],
        budget=given["budget"],
        seconds=given["time_budget"],
        pairs=given["pairs"],
        seed=given["seed"],
        force=given["force"],
        run_timeout=given["run_timeout"],
        actor=not given["no_actor"],
        memory=not given.get("no_memory", False),
        tensorboard=None if given["tensorboard"] is None else str(given["tensorboard"].absolute()),
    )


@contextmanager
def _view(given: dict[str, Any]) -> Iterator[EventSink]:
    with terminal_view(quiet=given["quiet"], verbose=given["verbose"]) as emit:
        yield emit


def _carry_out(plan: SafePlan, target: Target, given: dict[str, Any], request: str, planned: Planned | None) -> int:
    proposal = planned.proposal if planned else None
    if not given["quiet"] or given["dry_run"]:
        runs, seconds = pipeline.estimate(plan, settings_of(given))
        said = (proposal.source, proposal.why, proposal.dropped, proposal.notes) if proposal else ()
        say(describe_plan(plan, *said, runs=runs, seconds=seconds, simulated=target.simulated))
    if given["dry_run"]:
        return _stop_dry(plan, given)
    question = "Try these knobs on a simulated machine?" if target.simulated else "Try these knobs on this machine?"
    confirm(question, yes=given["yes"])
    # A command that its user typed, or a plan from a file, runs as it stands there.
    settings = replace(settings_of(given), lengthen=planned is not None and given["command"] is None)
    with Store() as store, _view(given) as emit:
        conversation = planned.conversation if planned else ""
        result = pipeline.execute(plan, target, store, emit, settings, request, conversation)
    return _present(result, given)


def _stop_dry(plan: SafePlan, given: dict[str, Any]) -> int:
    say("dry run: nothing was touched")
    if given["as_json"]:
        put({"dry_run": True, "plan": plan.plan.model_dump(mode="json", by_alias=True, exclude_defaults=True)})
    return 0


def _present(result: Result, given: dict[str, Any]) -> int:
    say(summarize(result, given["workdir"]))
    if given["as_json"]:
        put(result.to_dict())
    improved = result.verdict is Verdict.IMPROVED
    asked = not given["yes"] and not given["as_json"] and interactive() and sys.stdout.isatty()
    if improved and not result.simulated and asked:
        _offer(result.session_id, given["workdir"])
    return 0 if improved else 3


def _offer(session: str, workdir: str) -> None:
    """Asks whether to make it permanent; only the user's own yes does."""
    if not click.confirm("Make this permanent?", default=False, err=True):
        say(f"nothing was applied; later: {apply_line(session, workdir)}")
        return
    from knobctl.commands.manage import apply_command

    apply_command.main([*apply_words(session, workdir)[1:], "--yes"], standalone_mode=False)
