"""The tuning plan: a person's or a model's JSON in, a :class:`TuningPlan` out, or an error that names the field.

The plan is data. It says what to try and how to measure it; whether it may run is decided by ``safety``. Closed to
unknown keys. The JSON Schema is published as ``schemas/tuning-plan-v1.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from knobctl.errors import PlanError
from knobctl.knobs import Value
from knobctl.target.metrics import MACHINE_METRICS, find_machine_metric

MAX_PLAN_BYTES = 1_000_000

_MAXIMIZE = {"maximize", "maximise", "max", "higher", "higher_is_better", "up", "increase"}
_MINIMIZE = {"minimize", "minimise", "min", "lower", "lower_is_better", "down", "decrease"}


def parse_direction(raw: Any) -> Any:
    """``maximize`` or ``minimize`` for the words that people use for them; anything else unchanged."""
    if isinstance(raw, str):
        word = raw.strip().lower().replace("-", "_").replace(" ", "_")
        if word in _MAXIMIZE:
            return "maximize"
        if word in _MINIMIZE:
            return "minimize"
    return raw


Direction = Annotated[Literal["maximize", "minimize"], BeforeValidator(parse_direction)]
KnobValue = Annotated[int, Field(strict=True)] | Annotated[str, Field(min_length=1, max_length=200)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class ActionSpec(_Closed):
    """One knob that may be turned, and how far."""

    param: Annotated[
        str, Field(min_length=1, max_length=200, description="Knob: sysctl name, path below /sys, or short name.")
    ]
    min: Annotated[int | None, Field(description="Smallest value to try; the catalogue's bound when left out.")] = None
    max: Annotated[int | None, Field(description="Largest value to try; the catalogue's bound when left out.")] = None
    type: Annotated[
        Literal["int", "integer", "float", "choice", "categorical"] | None,
        Field(description="What the values are; known from the catalogue, so it may be left out."),
    ] = None
    scale: Annotated[
        Literal["linear", "log"] | None, Field(description="How steps are spaced; the catalogue's when left out.")
    ] = None
    values: Annotated[
        tuple[KnobValue, ...] | None,
        Field(min_length=1, description="The only values to try, in place of min and max."),
    ] = None
    special: Annotated[
        tuple[int, ...], Field(description="Values with a meaning of their own, tried as such (0 for off).")
    ] = ()
    description: Annotated[str, Field(max_length=2000, description="Why this knob; shown to people.")] = ""

    @model_validator(mode="after")
    def _consistent(self) -> ActionSpec:
        if self.values is not None and (self.min is not None or self.max is not None):
            raise ValueError("give either values or min and max, not both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


def _known_state_metric(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    metric = find_machine_metric(raw)
    if metric is None:
        known = ", ".join(metric.name for metric in MACHINE_METRICS)
        raise ValueError(f"unknown machine metric {raw[:80]!r}; known: {known}")
    return metric.name


class StateSpec(_Closed):
    """One machine metric that the agent observes."""

    metric: Annotated[
        str, BeforeValidator(_known_state_metric), Field(description="Machine metric; common synonyms are understood.")
    ]
    source: Annotated[
        str, Field(max_length=200, description="Where it comes from, for people; knobctl knows where to read it.")
    ] = ""
    description: Annotated[str, Field(max_length=2000)] = ""


class GuardrailSpec(_Closed):
    """A metric that must not get worse while the objective gets better."""

    metric: Annotated[str, Field(min_length=1, max_length=100, description="A metric that the benchmark prints.")]
    tolerance_percent: Annotated[
        float, Field(ge=0, le=100, description="How much worse than the baseline it may be.")
    ] = 5.0
    direction: Annotated[Direction | None, Field(description="Known for known metrics.")] = None


class RewardSpec(_Closed):
    """Weights of the reward: ``performance * P + penalty * (100 - penalty)``."""

    performance_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    penalty_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    normalize: Annotated[
        Literal["baseline", "none"],
        Field(description="baseline: P = 100 at the baseline's score; none: P is the raw metric."),
    ] = "baseline"


class Suggestion(_Closed):
    """A configuration to try first, with the reason."""

    configuration: Annotated[dict[str, KnobValue], Field(min_length=1)]
    reason: Annotated[str, Field(max_length=2000)] = ""


class TrainingConfig(_Closed):
    """Budget and PPO settings; the PPO settings have stable-baselines3's own names and meanings."""

    total_timesteps: Annotated[int, Field(ge=1, le=100_000, description="Trials of the search, never exceeded.")] = 24
    max_steps_per_episode: Annotated[int, Field(ge=1, le=100_000, description="Trials until an episode ends.")] = 8
    algorithm: Annotated[Literal["PPO", "ppo"], Field(description="Read and ignored: PPO is what is trained.")] = "PPO"
    policy: Literal["MlpPolicy"] = "MlpPolicy"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    n_steps: Annotated[int, Field(ge=2, le=100_000, description="Trials per PPO update (SB3's default is 2048).")] = 8
    batch_size: Annotated[int | None, Field(ge=2, le=100_000)] = None
    n_epochs: Annotated[int, Field(ge=1, le=1000)] = 10
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.5
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = 0.9
    clip_range: Annotated[float, Field(gt=0, le=1)] = 0.2
    clip_range_vf: Annotated[float | None, Field(gt=0)] = None
    normalize_advantage: bool = True
    ent_coef: Annotated[float, Field(ge=0, le=10)] = 0.0
    vf_coef: Annotated[float, Field(ge=0, le=10)] = 0.5
    max_grad_norm: Annotated[float, Field(gt=0)] = 0.5
    target_kl: Annotated[float | None, Field(gt=0)] = None
    seed: Annotated[int | None, Field(ge=0, le=2**32 - 1)] = None


class TuningPlan(_Closed):
    """What to try, how to measure it, and what counts as better. Only the first five keys are required."""

    workload_name: Annotated[str, Field(min_length=1, max_length=200, description="For people.")]
    reward_metric: Annotated[
        str, Field(min_length=1, max_length=100, description="The objective: a metric that the benchmark prints.")
    ]
    benchmark_command: Annotated[
        str, Field(min_length=1, max_length=4000, description="One program with arguments; never a shell line.")
    ]
    action_space: Annotated[tuple[ActionSpec, ...], Field(min_length=1, max_length=100)]
    state_space: Annotated[tuple[StateSpec, ...], Field(max_length=50)]
    training_config: TrainingConfig = TrainingConfig()
    direction: Annotated[Direction | None, Field(description="Known for known metrics.")] = None
    guardrails: Annotated[tuple[GuardrailSpec, ...], Field(max_length=20)] = ()
    reward: RewardSpec = RewardSpec()
    suggestions: Annotated[tuple[Suggestion, ...], Field(max_length=20)] = ()
    reset_command: Annotated[
        str | None, Field(min_length=1, max_length=4000, description="Runs before each trial of a custom command.")
    ] = None
    metric_pattern: Annotated[
        str | None,
        Field(min_length=1, max_length=1000, description="Regular expression whose first group is the metric."),
    ] = None
    schema_: Annotated[str | None, Field(alias="$schema", max_length=500, description="Ignored.")] = None

    def to_json(self) -> str:
        """The plan as indented JSON that :func:`parse_plan` reads back to an equal plan."""
        return self.model_dump_json(indent=2, by_alias=True, exclude_defaults=True)


def parse_plan(text: str | bytes) -> TuningPlan:
    """A plan from JSON text.

    Raises:
        PlanError: The text is no JSON, or the plan has an unknown key, a missing key or a bad value. The message
            names every field that is wrong.
    """
    if len(text) > MAX_PLAN_BYTES:
        raise PlanError(f"the plan has {len(text)} bytes, more than {MAX_PLAN_BYTES}", "A plan is a few kilobytes.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"the plan is not JSON: {error}", "Compare it with `knobctl plan --json REQUEST`.") from None
    return plan_from(document)


def plan_from(document: Any) -> TuningPlan:
    """A plan from a decoded JSON document.

    Raises:
        PlanError: As :func:`parse_plan`.
    """
    if not isinstance(document, dict):
        raise PlanError(f"a plan is a JSON object, not {type(document).__name__}", _HINT)
    try:
        return TuningPlan.model_validate(document)
    except ValidationError as error:
        raise PlanError("; ".join(_describe(problem) for problem in error.errors()[:8]), _HINT) from None


def load_plan(path: str | Path) -> TuningPlan:
    """A plan from a file.

    Raises:
        PlanError: The file cannot be read, or as :func:`parse_plan`.
    """
    try:
        return parse_plan(Path(path).read_bytes())
    except OSError as error:
        raise PlanError(f"cannot read the plan {path}: {error.strerror}", "Give the path of a JSON file.") from None
    except UnicodeDecodeError:
        raise PlanError(f"the plan {path} is not UTF-8 text", "Save it as UTF-8.") from None


_HINT = "See docs/plan.md for every key, or start from `knobctl plan REQUEST -o PLAN.json`."


def _describe(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"] if part not in ("int", "str", "constrained-str"))
    kind = problem["type"]
    if kind == "extra_forbidden":
        return f"unknown key {place}"
    if kind == "missing":
        return f"missing key {place}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{place or 'plan'}: {message[:1].lower()}{message[1:]}"


__all__ = [
    "ActionSpec", "Direction", "GuardrailSpec", "RewardSpec", "StateSpec", "Suggestion", "TrainingConfig",
    "TuningPlan", "Value", "load_plan", "parse_direction", "parse_plan", "plan_from",
]  # fmt: skip
