"""Options that several commands share, and the words that people type in them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from knobctl.errors import UsageError
from knobctl.target import Target
from knobctl.target.base import WORKDIR

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_SPAN = re.compile(rf"(?:{_NUMBER}h)? ?(?:{_NUMBER}m(?:in)?)? ?(?:{_NUMBER}s)?", re.IGNORECASE)
_PLAIN = re.compile(_NUMBER)
_SECONDS = (3600.0, 60.0, 1.0)
STRATEGISTS = ("auto", "playbook", "llm")
SEARCHERS = ("sappo", "ppo", "tpe", "gp", "cmaes", "random", "one-at-a-time")


class Duration(click.ParamType[float]):
    """Seconds, from ``90``, ``90s``, ``10m`` or ``1h30m``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds of a duration."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        span, plain = _SPAN.fullmatch(text), _PLAIN.fullmatch(text)
        if not text or not (span or plain):
            self.fail(f"{value!r} is no duration; write 90s, 10m or 1h30m", param, ctx)
        parts = span.groups() if span else (None, None, text)
        seconds = sum(float(number) * unit for number, unit in zip(parts, _SECONDS, strict=True) if number)
        if not 0 < seconds < math.inf:
            self.fail(f"{value!r} is no time at all", param, ctx)
        return seconds


def options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Applies several option decorators in the order in which they are listed."""

    def apply(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
yes = click.option(
    "--yes", "-y", is_flag=True, help="Confirm in advance. Does not consent to commands that a plan brings."
)
target = click.option(
    "--target", "target_name", default="local", show_default=True, metavar="TARGET",
    help="local, or simulated[:NAME or module:object].",
)  # fmt: skip
workdir = click.option(
    "--workdir", default=WORKDIR, show_default=True, metavar="DIR",
    help="Where work folders are made; its disk is the one that is tuned.",
)  # fmt: skip
quiet = click.option("-q", "--quiet", is_flag=True, help="Only the result.")
verbose = click.option("-v", "--verbose", count=True, help="More about every trial.")
no_memory = click.option(
    "--no-memory", is_flag=True, help="Begin with nothing that earlier sessions of a similar kind have left."
)
seed = click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Makes a run repeatable.")

measuring = options(
    click.option("--budget", type=click.IntRange(1, 100_000), metavar="N",
                 help="Trials of the search; preflight and verification come on top."),
    click.option("--time-budget", type=Duration(), metavar="TIME", help="For everything together: 90s, 10m, 1h30m."),
    click.option("--searcher", type=click.Choice(SEARCHERS), default=SEARCHERS[0], show_default=True,
                 help="Who searches."),
    click.option("--no-actor", is_flag=True, help="sappo without PPO: the same machinery, to see what PPO adds."),
    click.option("--tensorboard", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
                 help="Log how the policy learns, for TensorBoard."),
    click.option("--pairs", type=click.IntRange(5, 200), metavar="N",
                 help="Most pairs of the verification, 5 to 200; as many as the noise asks for when left out."),
    click.option("--timeout", "run_timeout", type=Duration(), metavar="TIME",
                 help="Kill a benchmark run after this; chosen from its own duration when left out."),
    seed,
    click.option("--force", is_flag=True, help="Go on where the preflight would refuse."),
)  # fmt: skip

execution = options(
    measuring,
    yes,
    click.option("--dry-run", is_flag=True, help="Show what would be done, and stop."),
    target,
    workdir,
    quiet,
    verbose,
    as_json,
)  # fmt: skip

strategist = options(
    click.option("--strategist", type=click.Choice(STRATEGISTS), default="auto", show_default=True,
                 help="Who plans: the language model, the built-in playbook, or the model where one was chosen."),
    click.option("--model", metavar="PROVIDER:NAME",
                 help="The language model: openai:, anthropic:, ollama: or openai-compatible:, then its name."),
)  # fmt: skip

benchmark = options(
    click.option("--command", metavar="TEXT", help="The benchmark to run; typing it is consent to exactly this text."),
    click.option("--metric", metavar="NAME", help="The objective among what the benchmark prints."),
    click.option("--metric-pattern", metavar="REGEX", help="Its first group is the objective in the output."),
    click.option("--direction", metavar="WAY", help="maximize or minimize; known for known metrics."),
    click.option("--knobs", metavar="LIST", help="Tune just these: names or patterns, separated by commas."),
)

bundle_to_verify = options(
    click.option("--bundle", type=click.Path(path_type=Path), metavar="FILE",
                 help="Recompute this evidence bundle, in place of a session."),
    click.option("--again", is_flag=True, help="Measure the bundle's candidate on this machine."),
    click.option("--knobs", metavar="LIST", help="Consent to those knobs of the bundle that have to be named."),
)  # fmt: skip


def knob_list(text: str | None) -> tuple[str, ...]:
    """The names in ``--knobs``."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def open_target(name: str, workdir: str, seed: int | None = None) -> Target:
    """The target of ``--target``.

    Raises:
        UsageError: There is no such target.
    """
    kind, _, rest = name.partition(":")
    if kind == "local" and not rest:
        from knobctl.target.local import LocalTarget

        return LocalTarget(base=workdir)
    if kind == "simulated" and rest.startswith("sweep:"):
        from knobctl.lab.fitted import sweep_target

        return sweep_target(rest.removeprefix("sweep:"), seed=seed or 0)
    if kind == "simulated":
        from knobctl.target.simulated import simulated_target

        return simulated_target(rest, seed=seed or 0)
    raise UsageError(f"unknown target {name!r}", "Use local, simulated, or simulated:NAME.")
