"""How to run a plan, and what has to be the same for a session that was cut off to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any

from knobctl.errors import UsageError
from knobctl.knobs import Value
from knobctl.safety import SafePlan
from knobctl.search.registry import DEFAULT
from knobctl.store import SessionRecord
from knobctl.target import HostFacts, Target

SAME_MEMORY = 0.01
"""Share of the memory by which one and the same machine may differ from one boot to the next."""


@dataclass(frozen=True)
class Settings:
    """How to run a plan; nothing here changes what is tuned or measured.

    Attributes:
        searcher: Name of the searcher.
        budget: Trials of the search; the plan's ``total_timesteps`` when None.
        seconds: For everything together, set-up included; None for no limit.
        pairs: Most pairs of the verification; as many as the noise asks for when None.
        seed: Seed of everything that is drawn; drawn itself when None.
        force: Go on where the preflight would refuse.
        lengthen: Make runs longer when the noise asks for it; the command's own duration is left alone otherwise.
        cut_short: End runs of the search early that very likely do not come near the best one.
        run_timeout: Seconds after which one benchmark run is killed; from the command's own duration when None.
        actor: Whether PPO takes part in ``sappo``.
        tensorboard: A folder for a log of how the policy learns; None for no log.
        memory: Begin with what earlier sessions of a similar kind have left.
    """

    searcher: str = DEFAULT
    budget: int | None = None
    seconds: float | None = None
    pairs: int | None = None
    seed: int | None = None
    force: bool = False
    lengthen: bool = False
    cut_short: bool = True
    run_timeout: float | None = None
    actor: bool = True
    tensorboard: str | None = None
    memory: bool = True


def settings_document(settings: Settings, plan: SafePlan, candidate: Mapping[str, Value] | None) -> dict[str, Any]:
    """What a session's record keeps of its settings, in plain JSON types.

    Args:
        settings: As they were given.
        plan: The values that were found are in it.
        candidate: What is verified, when nothing is searched.
    """
    return {
        "given": asdict(settings),
        "found": {tuned.knob.name: tuned.found for tuned in plan.knobs},
        "fixed": dict(plan.fixed),
        "candidate": None if candidate is None else dict(candidate),
    }


def settings_of(record: SessionRecord) -> tuple[Settings, Mapping[str, Value] | None]:
    """The settings of a recorded session, with the seed that was drawn; and the candidate, when it had one.

    Raises:
        UsageError: The record does not hold them.
    """
    try:
        # What was begun before there was a memory remembers nothing.
        given = Settings(**{"memory": False, **record.settings["given"]})
        candidate = record.settings["candidate"]
    except (KeyError, TypeError):
        raise UsageError(
            f"session {record.id} was made by a version of knobctl that could not go on with sessions",
            "Start a new one.",
        ) from None
    return replace(given, seed=record.seed, budget=record.budget or None), candidate


def require_the_same_disk(record: SessionRecord, target: Target) -> None:
    """Makes sure that the work folder is on the disk that a session has measured: other files there are slow or fast.

    Raises:
        UsageError: It is on another one.
    """
    disk = target.facts().disk
    if disk != record.facts.disk:
        raise UsageError(
            f"session {record.id} measured the disk {record.facts.disk or '(none)'}, but the work folder is on "
            f"{disk or '(none)'}",
            "Give the --workdir of that session.",
        )


def require_the_same(record: SessionRecord, plan: SafePlan, target: Target) -> None:
    """Makes sure that what a session has recorded and what it would measure now belong together.

    Raises:
        UsageError: They do not: another version, another target, another machine or kernel, another disk, other values
            found, of the tuned knobs or of those that they are coupled with.
    """
    version, anew = metadata.version("knobctl"), "Start a new session; the record of this one stays."
    if record.version != version:
        raise UsageError(f"session {record.id} was made by knobctl {record.version}, and this is {version}", anew)
    if record.target != target.name:
        raise UsageError(f"session {record.id} was made on {record.target}, not on {target.name}", anew)
    differing = _differing(record.facts, target.facts())
    if differing:
        raise UsageError(f"this is not the machine that session {record.id} began on: {'; '.join(differing)}", anew)
    require_the_same_disk(record, target)
    tuned = {each.knob.name: each.found for each in plan.knobs}
    _require_the_same_values(record, record.settings["found"], tuned, "not tuned")
    _require_the_same_values(record, record.settings["fixed"], plan.fixed, "not in force")


def _differing(then: HostFacts, now: HostFacts) -> list[str]:
    """What of a machine decides about scores and is not what it was."""
    parts = (
        ("kernel", then.kernel, now.kernel),
        ("architecture", then.architecture, now.architecture),
        ("processor", then.cpu_model, now.cpu_model),
        ("cores", then.cores, now.cores),
    )
    differing = [f"{part} {before or '(unknown)'} then, {after or '(unknown)'} now" for part, before, after in parts
                 if before != after]  # fmt: skip
    if abs(now.memory_bytes - then.memory_bytes) > SAME_MEMORY * then.memory_bytes:
        differing.append(f"memory {then.memory_bytes >> 20} MiB then, {now.memory_bytes >> 20} MiB now")
    return differing


def _require_the_same_values(
    record: SessionRecord, before: Mapping[str, Value], now: Mapping[str, Value], otherwise: str
) -> None:
    for name in sorted({*now, *before}):
        if now.get(name) != before.get(name):
            raise UsageError(
                f"{name} was {before.get(name, otherwise)} when session {record.id} began, and is "
                f"{now.get(name, otherwise)} now, so old and new runs cannot be compared",
                "Set it back and try again, or start a new session.",
            )
