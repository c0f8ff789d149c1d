"""``lab``: sessions on machines whose truth is known. Nothing here looks at this machine, and no real time passes."""

from __future__ import annotations

import statistics
from typing import Any

import click

from knobctl.commands import options
from knobctl.commands.edge import answer, guarded, put
from knobctl.commands.lab_compare import compare_command
from knobctl.commands.lab_record import record_command, sweep_command
from knobctl.commands.lab_scaling import scaling_command
from knobctl.commands.lab_study import study_command
from knobctl.lab import FAMILIES, LabSession, named_surface, run_session
from knobctl.lab.sweep import shipped_sweeps
from knobctl.measure import Verdict
from knobctl.stats import percent
from knobctl.target.noise import NOISES
from knobctl.target.surfaces import SUMMARIES, SURFACES


@click.group("lab")
def lab_command() -> None:
    """Try searchers on machines whose truth is known.

    A surface is an invented machine with a known best configuration. A session on it is played as a run is, in virtual
    time, and its result is shown beside the truth. `knobctl lab surfaces` lists what there is; every command takes
    --json.
    """


lab_command.add_command(record_command)
lab_command.add_command(sweep_command)
lab_command.add_command(study_command)
lab_command.add_command(compare_command)
lab_command.add_command(scaling_command)


@lab_command.command("surfaces")
@options.as_json
@guarded
def surfaces_command(as_json: bool) -> int:
    """List the surfaces, the families that they are drawn from, and the noises."""
    surfaces = {name: (SUMMARIES[name], round(percent(surface.optimum()[1]), 1)) for name, surface in SURFACES.items()}
    families = {f"family:{name}": family.summary for name, family in FAMILIES.items()}
    sweeps = [f"sweep:{name}" for name in shipped_sweeps()]
    noises = {name: round(100.0 * noise.spread(30.0), 1) for name, noise in NOISES.items()}
    if as_json:
        put(
            {
                "surfaces": [
                    {"name": name, "summary": summary, "optimum_percent": best}
                    for name, (summary, best) in surfaces.items()
                ],
                "families": [{"name": name, "summary": summary} for name, summary in families.items()],
                "sweeps": sweeps,
                "noises": [{"name": name, "spread_percent": spread} for name, spread in noises.items()],
            }
        )
        return 0
    answer("Surfaces, with what there is to gain:")
    for name, (summary, best) in surfaces.items():
        answer(f"  {name:<20}  {best:+6.1f} %  {summary}")
    answer("Families; each SEED draws another machine (family:few:3):")
    for name, summary in families.items():
        answer(f"  {name:<20}  {summary}")
    if sweeps:
        answer("Fitted to what was recorded on a real machine:")
        for name in sweeps:
            answer(f"  {name}")
    answer("Noises, with the spread of 30 s runs:")
    for name, spread in noises.items():
        answer(f"  {name:<20}  {spread:6.1f} %")
    return 0


@lab_command.command("session")
@click.argument("surface")
@click.option(
    "--noise",
    type=click.Choice((*NOISES, "own")),
    default="vm",
    show_default=True,
    help="How the machine misbehaves; own: as the surface says.",
)
@click.option(
    "--searcher", type=click.Choice(options.SEARCHERS), default="tpe", show_default=True, help="Who searches."
)
@click.option(
    "--budget", type=click.IntRange(1, 10_000), default=40, show_default=True, metavar="N", help="Trials of the search."
)
@click.option("--time-budget", type=options.Duration(), metavar="TIME", help="Virtual time for everything together.")
@click.option(
    "--run-seconds",
    type=options.Duration(),
    default=30.0,
    show_default=False,
    metavar="TIME",
    help="Virtual length of one run; 30s when left out.",
)
@click.option("--pairs", type=click.IntRange(5, 200), help="Most pairs of the verification.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Of the first session; each further one has the next.",
)
@click.option(
    "--repeat", type=click.IntRange(1, 10_000), default=1, show_default=True, metavar="N", help="Play so many sessions."
)
@options.as_json
@guarded
def session_command(surface: str, seed: int, repeat: int, as_json: bool, **given: Any) -> int:
    """Play whole sessions on a surface and show each result beside the truth.

    SURFACE is a name from `knobctl lab surfaces`, family:NAME:SEED, sweep:NAME, or module:object for one of your own.
    A family without a seed draws another machine for each session.
    """
    played = []
    for number in range(seed, seed + repeat):
        session = _play(surface, number, given)
        played.append(session)
        if not as_json:
            answer(describe(session))
    if as_json:
        put({"sessions": [session.to_dict() for session in played]})
    elif repeat > 1:
        answer(summarize(played))
    if not as_json:
        answer("SIMULATED: nothing here was measured on a real machine.")
    return 0


def _play(surface: str, seed: int, given: dict[str, Any]) -> LabSession:
    drawn = surface.startswith("family:") and surface.count(":") == 1
    return run_session(
        named_surface(f"{surface}:{seed}" if drawn else surface),
        given["noise"],
        given["searcher"],
        given["budget"],
        seed,
        pairs=given["pairs"],
        seconds=given["time_budget"],
        run_seconds=given["run_seconds"],
    )


def describe(session: LabSession) -> str:
    """A session in three lines: what was concluded, what is true, what the search alone would have claimed."""
    result = session.result
    low_high = result.improvement_interval
    interval = f", 95 % interval {low_high[0]:+.1f} to {low_high[1]:+.1f} %" if low_high else ""
    measured = f" {result.improvement:+.1f} %{interval}, {result.pairs} pairs" if result.pairs else ""
    changed = ", ".join(f"{name}={value}" for name, value in result.candidate_config.items()) or "nothing"
    return "\n".join(
        (
            f"{session.surface}, seed {session.seed}: {result.verdict}{measured}",
            f"  truth   {_percent(session.true_percent)} of {_percent(session.optimum_percent)} possible: {changed}",
            f"  search  would have claimed {_percent(session.best_seen_percent)}; provable from "
            f"{_percent(session.announced_percent)}; {len(session.trials)} runs",
        )
    )


def summarize(sessions: list[LabSession]) -> str:
    """Several sessions in one line: verdicts, the claims that are not true, and what was reached."""
    counts = {verdict: sum(session.result.verdict is verdict for session in sessions) for verdict in Verdict}
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    false = sum(
        session.result.verdict is Verdict.IMPROVED and (session.true_percent is None or session.true_percent <= 0)
        for session in sessions
    )
    reached = statistics.median(session.truth_of_best_config or 0.0 for session in sessions)
    return f"{len(sessions)} sessions: {verdicts}; {false} untrue; recommended, at the median: {reached:+.1f} %"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.1f} %"
