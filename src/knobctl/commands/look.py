"""``knobs``, ``workloads``, ``doctor``: looking at a machine without changing it.

``doctor --fix`` and ``doctor --remove`` are the exception: they install a small root, and take it away again.
"""

from __future__ import annotations

import os
from typing import Any

import click

from knobctl.commands import options
from knobctl.commands.edge import agreed, answer, confirm, guarded, put, say
from knobctl.doctor import examine
from knobctl.errors import ConsentMissing, UsageError
from knobctl.knobs import Knob, KnobState, UnknownKnob
from knobctl.persist import installing
from knobctl.report.knob_view import describe_knob, describe_knobs
from knobctl.strategist.files import playbooks
from knobctl.target.local import LocalTarget
from knobctl.workload.registry import adapters


@click.command("knobs")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Also those that cannot be tuned here.")
@options.target
@options.workdir
@options.as_json
@guarded
def knobs_command(name: str | None, everything: bool, target_name: str, workdir: str, as_json: bool) -> int:
    """List the kernel knobs with their values here, or explain one (a name, or a pattern such as 'vm.*')."""
    target = options.open_target(target_name, workdir)
    catalogue, quantities = target.catalogue, target.facts().quantities
    try:
        knobs = catalogue.matching(name) if name else list(catalogue)
    except UnknownKnob as unknown:
        close = f"Close: {', '.join(unknown.suggestions)}." if unknown.suggestions else "`knobctl knobs` lists all."
        raise UsageError(f"unknown knob {unknown.name!r}", close) from None
    if not knobs:
        raise UsageError(f"no knob matches {name!r}", "`knobctl knobs` lists all.")
    states = target.probe([knob.name for knob in knobs])
    if as_json:
        put([_document(knob, states[knob.name], quantities) for knob in knobs])
    elif name and len(knobs) == 1:
        answer(describe_knob(knobs[0], states[knobs[0].name], quantities, catalogue))
    else:
        shown = [knob for knob in knobs if everything or name or states[knob.name].writable]
        answer(describe_knobs(shown, states, quantities))
        hidden = len(knobs) - len(shown)
        if hidden:
            say(f"{hidden} more cannot be tuned here; --all shows them and why")
    return 0


@click.command("workloads")
@options.as_json
@guarded
def workloads_command(as_json: bool) -> int:
    """List what can be tuned for in words, and the benchmarks whose output is understood."""
    known = playbooks()
    if as_json:
        put(
            {
                "playbooks": [
                    {"name": each.name, "title": each.title, "examples": list(each.examples)} for each in known
                ],
                "benchmarks": [
                    {
                        "program": adapter.program,
                        "title": adapter.title,
                        "metrics": [
                            {"name": metric.name, "unit": metric.unit, "direction": metric.direction}
                            for metric in adapter.metrics((adapter.program,))
                        ],
                    }
                    for adapter in adapters()
                ],
            }
        )
        return 0
    click.echo("Say it in words (knobctl tune REQUEST):")
    for each in known:
        click.echo(f"  {each.name:<24} {each.title}\n{'':<26} e.g. {each.examples[0]}")
    click.echo("\nOr bring your own benchmark (--command TEXT):")
    for adapter in adapters():
        click.echo(f"  {adapter.title}")
    click.echo("  any other command, with --metric-pattern and --direction")
    return 0


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Install what lets a user tune without a password, asking for each part.")
@click.option("--remove", is_flag=True, help="Take away what --fix installed.")
@click.option("--user", metavar="NAME", help="Who gets the sudo rule of --fix; who called sudo when left out.")
@click.option("--yes", "-y", is_flag=True, help="Confirm every part of --fix or --remove in advance.")
@click.option("--root", default="/", hidden=True, help="Folder that stands for / (for tests).")
@options.workdir
@options.as_json
@guarded
def doctor_command(fix: bool, remove: bool, user: str | None, yes: bool, root: str, workdir: str, as_json: bool) -> int:
    """Check tools, permissions, other tuners and sources of noise, with what to do about each.

    With --fix it installs, as root and after asking for each: the agent as a file that only root can change, a sudo
    rule that lets one user start it without a password, and a timer that restores after a run that was cut off.
    """
    if (fix and remove) or (user is not None and not fix):
        raise UsageError("--fix and --remove exclude each other, and --user belongs to --fix", "Leave one out.")
    if fix:
        return _fix(user, yes, root, as_json)
    if remove:
        return _remove(yes, root, as_json)
    findings = examine(LocalTarget(base=workdir, root=root), workdir)
    if as_json:
        put([finding.to_dict() for finding in findings])
    else:
        marks = {"ok": "ok     ", "note": "note   ", "warning": "WARNING", "problem": "PROBLEM"}
        for finding in findings:
            answer(f"{marks[finding.level]} {finding.subject}: {finding.text}")
            if finding.advice:
                answer(f"        -> {finding.advice}")
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def _fix(user: str | None, yes: bool, root: str, as_json: bool) -> int:
    plan = installing.plan_fix(installing.invoking_user(user, os.environ), root)
    for note in plan.notes:
        say(note)
    for path in plan.there:
        say(f"{path} is there already, as it should be")
    written: list[str] = []
    for step in plan.steps:
        say(f"\n{step.meaning}")
        for file in step.files:
            say(f"\n{file.path} (root, mode {file.mode:04o}):\n{file.shown.rstrip()}")
        for command in step.commands:
            say(f"then: {' '.join(command)}")
        if agreed(step.question, yes=yes):
            installing.carry_out(step, root)
            written += [file.path for file in step.files]
        elif step.name == "agent":
            break  # the rest is of no use without it
    for path in written:
        say(f"wrote {path}")
    if plan.steps and not written:
        raise ConsentMissing("not confirmed, nothing was changed")
    say("Take it away again with: knobctl doctor --remove" if written else "nothing to do")
    if as_json:
        put({"success": True, "written": written, "there": list(plan.there), "notes": list(plan.notes)})
    return 0


def _remove(yes: bool, root: str, as_json: bool) -> int:
    removal = installing.plan_removal(root)
    for command in removal.commands:
        say(f"first: {' '.join(command)}")
    for path in removal.files:
        say(f"delete {path}")
    for command in removal.after:
        say(f"then: {' '.join(command)}")
    if removal.files:
        confirm("Remove it?", yes=yes)
        installing.carry_out_removal(removal, root)
    say("removed" if removal.files else "nothing is installed")
    if as_json:
        put({"success": True, "removed": list(removal.files)})
    return 0


def _document(knob: Knob, state: KnobState, quantities: dict[str, int]) -> dict[str, Any]:
    low, high = knob.range_on(quantities) if knob.minimum is not None and knob.maximum is not None else (None, None)
    return {
        "name": knob.name,
        "path": knob.path,
        "value": state.value,
        "raw": state.raw,
        "present": state.present,
        "tunable": state.writable and knob.risk != "forbidden",
        "reason": state.reason or knob.risk_reason,
        "kind": knob.kind,
        "unit": knob.unit,
        "minimum": low,
        "maximum": high,
        "choices": list(state.choices or knob.choices),
        "special": list(knob.special),
        "scale": knob.scale,
        "effect": knob.effect,
        "risk": knob.risk,
        "summary": knob.summary,
        "why": knob.why,
        "source": knob.source,
    }
