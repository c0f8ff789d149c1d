"""The plan that may run: every name resolved, every bound checked, the command approved word for word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    _seal: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self._seal is not _SEAL:
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
        """The nearest configuration in which every coupling holds (missing knobs get their found value)."""
        ranges = {tuned.knob.name: tuned.dimension for tuned in self.knobs}
        return repair({**self.default, **configuration}, self.couplings, ranges, self.fixed)

    def changed(self, configuration: Mapping[str, Value]) -> dict[str, Value]:
        """The part of a configuration that differs from the default configuration."""
        default = self.default
        return {name: value for name, value in configuration.items() if value != default[name]}
