"""The plan that may run: every name resolved, every bound checked, the command approved word for word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field

from knobctl.errors import KnobctlError
from knobctl.knobs import Coupling, Knob, Value
from knobctl.knobs.couplings import repair
from knobctl.knobs.space import Dimension, Space
from knobctl.plan import TuningPlan
from knobctl.workload import Adapter, MetricSpec

_SEAL = object()


@dataclass(frozen=True)
class TunedKnob:
    """One knob of the search.

    Attributes:
        knob: From the catalogue.
        dimension: The part of its safe range that the plan explores.
        found: Value that the machine had when the plan was validated: the default configuration.
    """

    knob: Knob
    dimension: Dimension
    found: Value


@dataclass(frozen=True)
class SafeCommand:
    """The benchmark command, approved in exactly this form.

    Attributes:
        text: As a person would type it.
        argv: Program and arguments, parsed without a shell.
        adapter: What knobctl knows about the program.
        reset_argv: Runs before each trial of a custom command; usually empty.
        timeout: Seconds after which one run is killed.
    """

    text: str
    argv: tuple[str, ...]
    adapter: Adapter
    reset_argv: tuple[str, ...] = ()
    timeout: float = 600.0


@dataclass(frozen=True)
class Guardrail:
    """A metric that must not get worse by more than ``tolerance_percent``."""

    metric: MetricSpec
    tolerance_percent: float


@dataclass(frozen=True)
class SafeSuggestion:
    """A configuration to try first, inside the search space."""

    configuration: Mapping[str, Value]
    reason: str = ""


def repaired(
    configuration: Mapping[str, Value],
    knobs: Sequence[TunedKnob],
    couplings: Sequence[Coupling],
    fixed: Mapping[str, Value],
) -> dict[str, Value]:
    """The nearest configuration in which every coupling holds that the configuration can be blamed for.

    Left alone are rules between values that were both found on the machine, and rules with a side that still has a
    found value outside of what is explored (such as the 0 of ``vm.dirty_ratio`` while ``vm.dirty_bytes`` is in use):
    restoring is what brings that back, never a write.

    Args:
        configuration: One value per tuned knob.
        knobs: The tuned knobs.
        couplings: The rules.
        fixed: Values of the other sides, which are not tuned.
    """
    tuned = {knob.knob.name: knob for knob in knobs}
    dimensions = {name: knob.dimension for name, knob in tuned.items()}
    current = dict(configuration)
    for _ in range(len(couplings) + 1):
        found = {name for name, knob in tuned.items() if current[name] == knob.found} | set(fixed)
        outside = {name for name in found & tuned.keys() if not dimensions[name].contains(current[name])}
        blamed = [
            coupling
            for coupling in couplings
            if not {coupling.left, coupling.right} <= found and not {coupling.left, coupling.right} & outside
        ]
        # Repairing one rule may move a knob that another one was let off for.
        following = repair(current, blamed, dimensions, fixed)
        if following == current:
            break
        current = following
    return current


@dataclass(frozen=True)
class SafePlan:
    """A plan that passed the :class:`~knobctl.safety.SafetyValidator`, which alone can make one.

    Attributes:
        plan: What was asked for, unchanged.
        knobs: What will be turned, in the plan's order.
        command: What will be run.
        objective: The metric to improve, with its direction.
        guardrails: Metrics that must not get worse.
        state: Names of the machine metrics that the agent observes.
        suggestions: Configurations to try first.
        couplings: Rules between knobs, at least one side of which is tuned.
        fixed: Values of the knobs on the other side of a coupling, which are not tuned.
        dropped: (what, why) of everything in the plan that will not be used.
        notes: What people should know before they say yes, one sentence each.
    """

    plan: TuningPlan
    knobs: tuple[TunedKnob, ...]
    command: SafeCommand
    objective: MetricSpec
    guardrails: tuple[Guardrail, ...] = ()
    state: tuple[str, ...] = ()
    suggestions: tuple[SafeSuggestion, ...] = ()
    couplings: tuple[Coupling, ...] = ()
    fixed: Mapping[str, Value] = field(default_factory=dict)
    dropped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    _seal: InitVar[object] = None
    """Never stored, so that ``dataclasses.replace`` cannot carry it over to another plan."""

    def __post_init__(self, _seal: object) -> None:
        if _seal is not _SEAL:
            raise KnobctlError("only SafetyValidator makes a SafePlan", "Call SafetyValidator(...).validate(plan).")

    @property
    def space(self) -> Space:
        """The search space, one dimension per knob, in the order of ``knobs``."""
        return Space(tuple(tuned.dimension for tuned in self.knobs))

    @property
    def default(self) -> dict[str, Value]:
        """The default configuration: the value found for every tuned knob."""
        return {tuned.knob.name: tuned.found for tuned in self.knobs}

    def decode(self, action: Sequence[float]) -> dict[str, Value]:
        """The configuration of an action vector in [0, 1], with couplings repaired."""
        return self.repair(self.space.decode(action))

    def repair(self, configuration: Mapping[str, Value]) -> dict[str, Value]:
        """The nearest configuration in which every coupling holds (missing knobs get their found value).

        The default configuration is never altered, and neither is what :func:`repaired` leaves alone.
        """
        return repaired({**self.default, **configuration}, self.knobs, self.couplings, self.fixed)

    def changed(self, configuration: Mapping[str, Value]) -> dict[str, Value]:
        """The part of a configuration that differs from the default configuration."""
        default = self.default
        return {name: value for name, value in configuration.items() if value != default[name]}
