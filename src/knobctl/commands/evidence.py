"""``report --bundle`` and ``verify --bundle``: evidence that travels, and what anybody can do with it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from knobctl.commands.edge import answer, put, say
from knobctl.errors import StoreError, UsageError
from knobctl.evidence import (
    Bundle,
    Recomputed,
    bundle_of,
    differing_facts,
    differing_values,
    read_bundle,
    recompute,
    require_suitable,
    write_bundle,
)
from knobctl.evidence.recompute import NOT_FOLLOWING
from knobctl.measure import Verdict
from knobctl.plan import TuningPlan
from knobctl.report.summary import verdict_lines
from knobctl.report.wording import one_line
from knobctl.safety import SafePlan
from knobctl.store import SessionRecord, Store
from knobctl.target import Target

DO_NOT_RELY = "Do not rely on this bundle."
_MOST_LINES = 20


def write_evidence(record: SessionRecord, store: Store, path: Path, *, force: bool, as_json: bool) -> int:
    """Writes the bundle of a session; the exit code."""
    bundle = bundle_of(record, store)
    manifest = write_bundle(bundle, path, force=force)
    say(f"wrote {path}: {len(bundle.trials)} runs of session {record.id}, fingerprint {manifest.fingerprint}")
    say(f"anybody can check it, on any machine: knobctl verify --bundle {path}")
    if as_json:
        put(
            {
                "success": True,
                "session_id": record.id,
                "bundle": str(path),
                "fingerprint": manifest.fingerprint,
                "runs": len(bundle.trials),
            }
        )
    return 0


def require_one(path: Path | None, session: str) -> None:
    """Makes sure that a bundle was named, and nothing but a bundle.

    Raises:
        UsageError: None was, or a session as well.
    """
    if path is None:
        raise UsageError(
            "--again and --knobs are about a bundle, and none was given", "Add --bundle FILE, or leave them out."
        )
    if session != "last":
        raise UsageError(f"both a bundle and the session {session!r} were given", "Give one of them.")


def check_evidence(path: Path, *, as_json: bool) -> int:
    """Recomputes the verdict of a bundle and says what it is; the exit code. Touches nothing.

    Raises:
        UsageError: There is no such file.
        StoreError: It is damaged or was changed, or its samples give no result at all.
    """
    bundle = read_bundle(path)
    recomputed = recompute(bundle)
    tell = say if as_json else answer
    tell("\n".join(_described(bundle, recomputed)))
    improved = recomputed.result.verdict is Verdict.IMPROVED
    code = (0 if improved else 3) if recomputed.reproduced else StoreError.exit_code
    if as_json:
        put(_document(bundle, recomputed, code))
    return code


def trustworthy(path: Path) -> Bundle:
    """A bundle whose result follows from its samples: the only kind that is worth measuring again.

    Raises:
        UsageError: There is no such file.
        StoreError: It is damaged or was changed, or its result does not follow.
    """
    bundle = read_bundle(path)
    recomputed = recompute(bundle)
    if not recomputed.reproduced:
        raise StoreError(f"{path}: {NOT_FOLLOWING}: {recomputed.differences[0]}", DO_NOT_RELY)
    return bundle


def plan_of_candidate(plan: TuningPlan, bundle: Bundle, target: Target) -> TuningPlan:
    """The bundle's plan over the knobs of its candidate alone: nothing else has to exist here, and none is touched.

    Args:
        plan: The bundle's, with its command as it ran.
        bundle: With the candidate.
        target: Where it will be measured.

    Raises:
        UsageError: The candidate cannot be tried on this target.
    """
    require_suitable(bundle, target)
    wanted = set(bundle.result.candidate_config)
    kept = tuple(
        action
        for action in plan.action_space
        if (knob := target.catalogue.find(action.param)) is not None and knob.name in wanted
    )
    if len(kept) < len(wanted):
        raise UsageError("the candidate has knobs that the bundle's plan does not have", DO_NOT_RELY)
    return plan.model_copy(update={"action_space": kept, "suggestions": ()})


def require_values(bundle: Bundle, plan: SafePlan) -> None:
    """Makes sure that every value of the candidate may be tried here.

    Args:
        bundle: With the candidate.
        plan: What :func:`plan_of_candidate` made of its plan, as the validator passed it.

    Raises:
        UsageError: One may not.
    """
    dimensions = {tuned.knob.name: tuned.dimension for tuned in plan.knobs}
    dropped = dict(plan.dropped)
    for name, value in bundle.result.candidate_config.items():
        if name not in dimensions:
            why = dropped.get(name, "its values do not exist here")
            raise UsageError(f"{name} cannot be tuned on this machine: {why}", "Measure it on a machine that has it.")
        if not dimensions[name].contains(value):
            raise UsageError(
                f"{name}={value} is not among what may be tried on this machine",
                "Measure it on a machine like its own.",
            )


def about_this_machine(bundle: Bundle, target: Target) -> list[str]:
    """What people should know before they measure it here: in which ways the two machines differ."""
    facts, values = differing_facts(bundle.facts, target.facts()), differing_values(bundle, target)
    lines = []
    if facts:
        lines.append("This is another machine, so this is a new experiment and no repetition:")
        lines += [f"  {one_line(fact)}" for fact in facts]
    if values:
        lines.append("Other values are found here, so the candidate is compared with something else:")
        lines += [f"  {one_line(value)}" for value in values]
    return lines or ["This machine is like the one of the bundle, and its knobs have the same values."]


def _described(bundle: Bundle, recomputed: Recomputed) -> list[str]:
    session = bundle.session
    lines = [
        f"Bundle of session {session.id}: {one_line(bundle.plan.workload_name, 100)}, "
        f"measured {one_line(session.created, 40)} with knobctl {one_line(session.version, 40)}",
        f"fingerprint {bundle.fingerprint}",
        "",
    ]
    if recomputed.reproduced:
        lines += verdict_lines(recomputed.result)
        lines.append(f"recomputed from {recomputed.runs} raw runs; same as recorded")
        return lines
    shown = recomputed.differences[:_MOST_LINES]
    lines.append(f"{NOT_FOLLOWING}:")
    lines += [f"  {one_line(difference)}" for difference in shown]
    if len(shown) < len(recomputed.differences):
        lines.append(f"  and {len(recomputed.differences) - len(shown)} more")
    return lines


def _document(bundle: Bundle, recomputed: Recomputed, code: int) -> dict[str, Any]:
    verdict = {} if recomputed.reproduced else {"error": NOT_FOLLOWING, "hint": DO_NOT_RELY}
    return {
        "success": recomputed.reproduced,
        "exit_code": code,
        **verdict,
        "differences": list(recomputed.differences),
        "runs": recomputed.runs,
        "fingerprint": bundle.fingerprint,
        "session": asdict(bundle.session),
        "facts": asdict(bundle.facts),
        "result": recomputed.result.to_dict(),
    }
