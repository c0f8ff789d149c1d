"""A small catalogue, a machine of two cores and 4 GiB, and plans for both: what the safety tests build upon."""

from __future__ import annotations

from typing import Any

from knobctl.knobs import Catalogue, Coupling, Knob, KnobState, Value
from knobctl.plan import TuningPlan, plan_from
from knobctl.safety import Consent, SafePlan, SafetyValidator
from knobctl.target import HostFacts

FACTS = HostFacts("6.18.0", "x86_64", "Test Linux", "", cores=2, memory_bytes=4 * 2**30, swap_bytes=0)
COMMAND = "pgbench -c 10 -T 30 testdb"


def knob(name: str, **settings: Any) -> Knob:
    """A knob of the small catalogue; an integer from 0 to 100 unless something else is said."""
    record: dict[str, Any] = {
        "name": name,
        "path": f"/proc/sys/{name.replace('.', '/')}",
        "kind": "choice" if "choices" in settings else "integer",
        "summary": "For tests.",
        "why": "For tests.",
        "source": "tests",
    }
    if record["kind"] == "integer" and settings.get("risk") != "forbidden":
        record.update(minimum=0, maximum=100)
    return Knob.from_record({**record, **settings})


CATALOGUE = Catalogue(
    [
        knob("a.plain", unit="percent", default=60, aliases=["plain"]),
        knob("a.other", default=50),
        knob("a.share", minimum=1, maximum={"share": 0.5, "of": "memory_kib"}, scale="log", default=4096),
        knob("a.special", minimum=10, special=[0, -1], default=20),
        knob("a.cold", effect="cold", default=5),
        knob("a.wide", maximum=2**60, default=1),
        knob("a.mode", choices=["off", "slow", "fast"], default="off"),
        knob("a.careful", risk="caution", risk_reason="It heats the machine.", aliases=["careful"], default=1),
        knob("a.never", risk="forbidden", risk_reason="It opens the machine."),
        knob("b.ratio", minimum=1, twin="b.bytes", default=20),
        knob("b.bytes", minimum=4096, maximum=2**30, twin="b.ratio", default=0),
        knob("b.background", minimum=1, maximum=60, default=10),
        knob("c.low", default=10),
        knob("c.middle", default=20),
        knob("c.high", default=30),
    ],
    [
        Coupling("below", "b.background", "b.ratio", "Otherwise the kernel halves it."),
        Coupling("at_most", "c.low", "c.middle", "Order."),
        Coupling("at_most", "c.middle", "c.high", "Order."),
    ],
)


def states(**found: Value) -> dict[str, KnobState]:
    """Every knob at its default, except for those found otherwise (``b_ratio=0`` for ``b.ratio``)."""
    values = {each.name: each.default for each in CATALOGUE if each.default is not None}
    values.update({name.replace("_", ".", 1): value for name, value in found.items()})
    return {name: KnobState(name, True, True, value, str(value)) for name, value in values.items()}


def plan(*knobs: str | dict[str, Any], **keys: Any) -> TuningPlan:
    """A plan over these knobs, ``a.plain`` when there is none."""
    space = [{"param": each} if isinstance(each, str) else each for each in knobs or ("a.plain",)]
    document = {
        "workload_name": "test",
        "reward_metric": "tps",
        "benchmark_command": COMMAND,
        "action_space": space,
        "state_space": [],
    }
    return plan_from({**document, **keys})


def validate(
    *knobs: str | dict[str, Any],
    found: dict[str, KnobState] | None = None,
    consent: Consent | None = None,
    **keys: Any,
) -> SafePlan:
    """What the validator makes of a plan on this machine."""
    validator = SafetyValidator(CATALOGUE, FACTS, states() if found is None else found, consent or Consent())
    return validator.validate(plan(*knobs, **keys))
