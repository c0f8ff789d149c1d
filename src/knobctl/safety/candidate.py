"""A candidate that was found earlier or elsewhere in, what it changes here out; or why it cannot be tried as it is."""

from __future__ import annotations

from collections.abc import Mapping

from knobctl.errors import UsageError
from knobctl.knobs import Value
from knobctl.knobs.couplings import violated
from knobctl.safety.safe_plan import SafePlan


def changes_of(candidate: Mapping[str, Value], plan: SafePlan) -> dict[str, Value]:
    """What a candidate changes here. It may be tried exactly so: no value is moved.

    Args:
        candidate: Values of knobs; a knob that is not among them stays as it was found.
        plan: What may run here.

    Raises:
        UsageError: It has a knob that cannot be tuned here, a value that may not be tried here or one that a coupling
            would move, or it is what the machine has now.
    """
    for name in candidate:
        if name not in plan.default:
            why = dict(plan.dropped).get(name, "the plan does not tune it")
            raise UsageError(f"the candidate changes {name}, which cannot be tuned here: {why}", "Tune anew.")
    wanted = {**plan.default, **candidate}
    changed = plan.changed(wanted)
    if not changed:
        raise UsageError("the candidate is what the machine has now", "There is nothing to compare.")
    dimensions = {tuned.knob.name: tuned.dimension for tuned in plan.knobs}
    for name, value in changed.items():
        if not dimensions[name].contains(value):
            raise UsageError(f"the candidate sets {name} to {value}, which may not be tried here", "Tune anew.")
    _refuse_coupled(wanted, changed, plan)
    return changed


def _refuse_coupled(wanted: Mapping[str, Value], changed: Mapping[str, Value], plan: SafePlan) -> None:
    repaired = plan.repair(wanted)
    moved = {name for name, value in wanted.items() if repaired[name] != value}
    if not moved:
        return
    dimensions, values = {tuned.knob.name: tuned.dimension for tuned in plan.knobs}, {**wanted, **plan.fixed}
    broken = [
        (rule.left, "below" if rule.kind == "below" else "at most", rule.right)
        for rule in violated(wanted, plan.couplings, plan.fixed, dimensions)
        if moved & {rule.left, rule.right}
    ]
    others = sorted({name for left, _, right in broken for name in (left, right)} - changed.keys())
    raise UsageError(
        "the candidate cannot be tried as it is: "
        + "; ".join(
            f"{left} ({values[left]}) has to be {how} {right} ({values[right]})" for left, how, right in broken
        ),
        f"Set {' and '.join(others)} back to what it was then, or tune anew." if others else "Tune anew.",
    )
