"""``lab record`` and ``lab sweep``: measure a sweep of configurations, and look at one that was measured."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from knobctl.commands import options
from knobctl.commands.edge import answer, confirm, guarded, put, say
from knobctl.commands.run import _named, _require_its_text, _restricted, _target, _validated, _view
from knobctl.plan import load_plan
from knobctl.report.plan_view import describe_plan
from knobctl.report.wording import duration, number, percent
from knobctl.safety import Consent


@click.command("record")
@click.argument("plan_file", type=click.Path(path_type=Path), metavar="PLAN.json")
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path),
    help="The sweep file; compressed when it ends in .gz. One that is there already goes on.",
)  # fmt: skip
@click.option(
    "--runs", type=click.IntRange(2, 100_000), default=300, show_default=True, help="Runs of the whole sweep."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=1,
    show_default=True,
    help="Of the design: same seed, same runs.",
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Begin no run after so long; go on later.")
@click.option(
    "--calm", "calm_percent", type=click.FloatRange(min=0, max=100, min_open=True), metavar="PERCENT",
    help="Begin a run only while everything else uses less of the CPU than this.",
)  # fmt: skip
@click.option("--command", metavar="TEXT", help="Consent to the plan's own command, by typing exactly its text.")
@click.option("--knobs", metavar="LIST", help="Turn just these of the plan's knobs; consent to those that need it.")
@click.option(
    "--timeout", "run_timeout", type=options.Duration(), metavar="TIME", help="Kill a benchmark run after this."
)
@click.option("--force", is_flag=True, help="Go on beside another program that sets a knob of the plan.")
@options.yes
@click.option("--dry-run", is_flag=True, help="Show what would be measured, and stop.")
@options.target
@options.workdir
@options.quiet
@options.verbose
@options.as_json
@guarded
def record_command(plan_file: Path, output: Path, **given: Any) -> int:
    """Measure many configurations of a plan's space, and the machine as it is in between, into a file.

    Nothing is searched or proven: the file is for studies, and for simulated machines that behave like this one. Every
    knob is put back at the end. A sweep that was cut off, or stopped by --minutes, goes on when the same command is
    given again.
    """
    from knobctl.lab.record import estimate, record

    proposed = load_plan(plan_file)
    _require_its_text(given["command"], proposed, "the plan")
    with _target(given) as target:
        chosen = _restricted(proposed, target, options.knob_list(given["knobs"]))
        plan = _validated(chosen, target, Consent(command=given["command"], knobs=_named(given)), given)
        seconds = estimate(plan, given["runs"])
        if not given["quiet"] or given["dry_run"]:
            effort = f"a sweep of {given['runs']} runs, {duration(seconds)} and more; nothing is searched or proven"
            say(describe_plan(plan, plan_file.name, simulated=target.simulated, effort=effort))
        if given["dry_run"]:
            say("dry run: nothing was touched")
            if given["as_json"]:
                put({"dry_run": True, "runs": given["runs"], "seconds": seconds})
            return 0
        confirm("Turn these knobs on this machine?", yes=given["yes"])
        with _view(given) as emit:
            recorded = record(
                plan,
                target,
                output,
                emit,
                runs=given["runs"],
                seed=given["seed"],
                command=_command_line(plan_file, output, given),
                seconds=None if given["minutes"] is None else 60.0 * given["minutes"],
                calm_percent=given["calm_percent"],
                run_timeout=given["run_timeout"],
                force=given["force"],
            )
    say(f"{recorded.runs} of {recorded.of} runs are in {output}")
    if not recorded.complete:
        say("  give the same command again to go on")
    if given["as_json"]:
        document = {"file": str(output), "runs": recorded.runs, "of": recorded.of, "measured": recorded.measured}
        put({**document, "complete": recorded.complete})
    return 0


@click.command("sweep")
@click.argument("name", required=False)
@options.as_json
@guarded
def sweep_command(name: str | None, as_json: bool) -> int:
    """Show a recorded sweep and the surface fitted to it: a shipped one by name, or any by the path of its file.

    Without a name: list those that come with knobctl. A machine that behaves like a shipped one is
    `--target simulated:sweep:NAME`.
    """
    from knobctl.lab.sweep import shipped_sweeps

    if name is None:
        names = shipped_sweeps()
        if as_json:
            put({"sweeps": list(names)})
            return 0
        for each in names:
            answer(each)
        if not names:
            say("no sweep comes with knobctl; `knobctl lab record` makes one")
        return 0
    document = _described(name)
    if as_json:
        put(document)
        return 0
    for line in _lines(document):
        answer(line)
    return 0


def _command_line(plan_file: Path, output: Path, given: Mapping[str, Any]) -> str:
    """What was typed, without folders and without what does not change the numbers."""
    words = ["knobctl", "lab", "record", plan_file.name, "-o", output.name]
    words += ["--runs", str(given["runs"]), "--seed", str(given["seed"])]
    words += [] if given["calm_percent"] is None else ["--calm", f"{given['calm_percent']:g}"]
    for option, value in (("--knobs", given["knobs"]), ("--command", given["command"])):
        words += [option, value] if value else []
    words += ["--target", given["target_name"]] if given["target_name"] != "local" else []
    return shlex.join(words)


def _described(name: str) -> dict[str, Any]:
    """A sweep and its surface as JSON types."""
    from dataclasses import asdict

    from knobctl import stats
    from knobctl.lab.fitted import shipped_surface
    from knobctl.lab.sweep import open_sweep
    from knobctl.plan import parse_plan

    sweep = open_sweep(name)
    surface = shipped_surface(name)
    header, counted = sweep.header, sweep.counted
    best, gain = surface.optimum()
    return {
        "name": sweep.name,
        "simulated": header.simulated,
        "created": header.created,
        "recorded_with": header.command,
        "benchmark": parse_plan(header.plan).benchmark_command,
        "metric": header.metric,
        "unit": header.unit,
        "direction": header.direction,
        "machine": {
            key: value
            for key, value in asdict(header.facts).items()
            if key in ("kernel", "cores", "memory_bytes", "virtualization", "disk_kind")
        },
        "runs": len(counted),
        "of": header.runs,
        "failed": sum(run.score is None for run in counted),
        "parts": len(sweep.parts),
        "benchmark_seconds": round(sweep.benchmark_seconds, 1),
        "knobs": [dimension.name for dimension in header.dimensions],
        "default_score": surface.base,
        "noise": asdict(surface.noise),
        "noise_percent": stats.percent(surface.noise.spread(surface.run_seconds)),
        "fit": asdict(surface.fit),
        "active": list(surface.active),
        "effects": [asdict(effect) for effect in surface.effects()],
        "best": best,
        "best_percent": stats.percent(gain),
    }


def _lines(document: Mapping[str, Any]) -> list[str]:
    machine, noise, fit = document["machine"], document["noise"], document["fit"]
    label = "SIMULATED " if document["simulated"] else ""
    cores, memory = machine["cores"], machine["memory_bytes"] / 2**30
    lines = [
        f"{label}sweep {document['name']}: {document['metric']} of {document['benchmark']}",
        f"  {document['runs']} of {document['of']} runs, {document['failed']} failed, in {document['parts']} part(s), "
        f"{duration(document['benchmark_seconds'])} of benchmark",
        f"  {machine['kernel']}, {cores} cores, {memory:.0f} GiB, {machine['virtualization'] or 'unknown machine'}; "
        f"{document['created'][:10]}",
        f"  made by: {document['recorded_with']}",
        f"  as found {number(document['default_score'])} {document['unit']}".rstrip(),
        f"  noise of a run about {document['noise_percent']:.1f} % (between runs {100 * noise['between']:.1f}, "
        f"within {100 * noise['within']:.1f}, drift {100 * noise['drift']:.1f}; "
        f"{100 * noise['outliers']:.1f} % of the runs are outliers)",
        f"the surface: {_fit(fit)}",
    ]
    effects = {effect["knob"]: effect for effect in document["effects"]}
    width = max(len(name) for name in document["knobs"])
    for name in (*effects, *(name for name in document["knobs"] if name not in effects)):
        effect = effects.get(name)
        said = "no measurable effect"
        if effect is not None:
            said = f"{percent(effect['worst_percent'])} to {percent(effect['best_percent'])} (at {effect['best']})"
        lines.append(f"  {name:{width}}  {said}")
    best = ", ".join(f"{name} = {value}" for name, value in document["best"].items())
    lines.append(f"best of the surface: {best}: {percent(document['best_percent'])}" if best else "best: as found")
    return lines


def _fit(fit: Mapping[str, Any]) -> str:
    points = f"{fit['points']} configurations"
    if fit["r_squared"] is None:
        return f"{points}, none of them repeated, so nobody knows how good it is"
    return (
        f"{points}; R² {fit['r_squared']:.2f} on {fit['repeated']} repeated ones that it had not seen, where the noise "
        f"leaves {fit['ceiling']:.2f} to be reached"
    )
