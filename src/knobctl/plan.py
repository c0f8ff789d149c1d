"""The tuning plan: a person's or a model's JSON in, a :class:`TuningPlan` out, or an error that names the field.

The plan is data. It says what to try and how to measure it; whether it may run is decided by ``safety``. Closed to
unknown keys. The JSON Schema is published as ``schemas/tuning-plan-v1.json``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from knobctl.errors import PlanError
from knobctl.knobs import Value
from knobctl.plan_text import HINT, MAX_PLAN_BYTES, decode, describe, shown
from knobctl.target.metrics import MACHINE_METRICS, find_machine_metric

SCHEMA_URL = "https://json-schema.org/draft/2020-12/schema"

_MAXIMIZE = {"maximize", "maximise", "max", "higher", "higher_is_better", "up", "increase"}
_MINIMIZE = {"minimize", "minimise", "min", "lower", "lower_is_better", "down", "decrease"}
_JOINERS = "\u200c\u200d"


def parse_direction(raw: Any) -> Any:
    """``maximize`` or ``minimize`` for the words that people use for them; anything else unchanged."""
    if isinstance(raw, str):
        word = raw.strip().lower().replace("-", "_").replace(" ", "_")
        if word in _MAXIMIZE:
            return "maximize"
        if word in _MINIMIZE:
            return "minimize"
    return raw


def _refuse_controls(text: str, allowed: str) -> str:
    for character in text:
        # Terminal escapes and marks that reorder what people see have no place in anything that is shown to them.
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in allowed:
            raise ValueError(f"holds the control character U+{ord(character):04X}")
    return text


def _line(text: str) -> str:
    return _refuse_controls(text, _JOINERS)


def _text(text: str) -> str:
    return _refuse_controls(text, _JOINERS + "\n\r\t")


def _whole(raw: Any) -> Any:
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


def _pattern(raw: str) -> str:
    try:
        compiled = re.compile(raw)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{shown(raw)} is not a regular expression: {error}") from None
    if compiled.groups == 0:
        raise ValueError(f"{shown(raw)} has no group around the number")
    return raw


Line = Annotated[str, AfterValidator(_line)]
Text = Annotated[str, AfterValidator(_text)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Setting = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
WholeSetting = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
Word = Annotated[Line, Field(min_length=1, max_length=200)]
KnobValue = Annotated[WholeSetting | Word, BeforeValidator(_whole)]
Direction = Annotated[Literal["maximize", "minimize"], BeforeValidator(parse_direction)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean(cls, raw: Any, info: ValidationInfo) -> Any:
        if isinstance(raw, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError(f"{json.dumps(raw)} is neither text nor a number")
        return raw


class ActionSpec(_Closed):
    """One knob that may be turned, and how far."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"param": "vm.dirty_ratio", "min": 5, "max": 80},
                {"param": "net.ipv4.tcp_wmem[max]", "min": 262144, "max": 16777216, "scale": "log"},
                {"param": "thp.enabled", "values": ["always", "madvise", "never"]},
            ]
        }
    )

    param: Annotated[
        Line,
        Field(
            min_length=1,
            max_length=200,
            description="Knob: sysctl name, path below /sys, or the catalogue's short name. "
            "The plain name of a vector means its maximum.",
        ),
    ]
    min: Annotated[Setting | None, Field(description="Smallest value to try; the catalogue's bound when left out.")] = (
        None
    )
    max: Annotated[Setting | None, Field(description="Largest value to try; the catalogue's bound when left out.")] = (
        None
    )
    type: Annotated[
        Literal["int", "integer", "float", "choice", "categorical"] | None,
        Field(description="What the values are; known from the catalogue, so it may be left out."),
    ] = None
    scale: Annotated[
        Literal["linear", "log"] | None, Field(description="How steps are spaced; the catalogue's when left out.")
    ] = None
    values: Annotated[
        tuple[KnobValue, ...] | None,
        Field(min_length=1, max_length=200, description="The only values to try, in place of min and max."),
    ] = None
    special: Annotated[
        tuple[Annotated[WholeSetting, BeforeValidator(_whole)], ...],
        Field(max_length=20, description="Values with a meaning of their own, tried as such (0 for off)."),
    ] = ()
    description: Annotated[Text, Field(max_length=2000, description="Why this knob; shown to people.")] = ""

    @model_validator(mode="after")
    def _consistent(self) -> ActionSpec:
        if self.values is not None and (self.min is not None or self.max is not None):
            raise ValueError("give either values or min and max, not both")
        if self.values is not None and self.special:
            raise ValueError("give special values among the values")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


def _known_state_metric(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    metric = find_machine_metric(raw)
    if metric is None:
        known = ", ".join(metric.name for metric in MACHINE_METRICS)
        raise ValueError(f"unknown machine metric {shown(raw)}; known: {known}")
    return metric.name


class StateSpec(_Closed):
    """One machine metric that the agent observes."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"metric": "cpu_utilization", "source": "/proc/stat"}, {"metric": "iowait"}]}
    )

    metric: Annotated[
        str, BeforeValidator(_known_state_metric), Field(description="Machine metric; common synonyms are understood.")
    ]
    source: Annotated[
        Line, Field(max_length=200, description="Where it comes from, for people; knobctl knows where to read it.")
    ] = ""
    description: Annotated[Text, Field(max_length=2000, description="For people.")] = ""


class GuardrailSpec(_Closed):
    """A metric that must not get worse while the objective gets better."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"metric": "latency_average_ms", "tolerance_percent": 10}]}
    )

    metric: Annotated[Line, Field(min_length=1, max_length=100, description="A metric that the benchmark prints.")]
    tolerance_percent: Annotated[
        Number, Field(ge=0, le=100, description="How much worse than the baseline it may be.")
    ] = 5.0
    direction: Annotated[Direction | None, Field(description="Known for known metrics.")] = None


class RewardSpec(_Closed):
    """Weights of the reward: ``performance_weight * P + penalty_weight * (100 - penalty)``."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"performance_weight": 0.7, "penalty_weight": 0.3}, {"normalize": "none"}]}
    )

    performance_weight: Annotated[Number, Field(ge=0, le=1, description="Weight of the objective.")] = 0.5
    penalty_weight: Annotated[Number, Field(ge=0, le=1, description="Weight of a quiet machine.")] = 0.5
    normalize: Annotated[
        Literal["baseline", "none"],
        Field(description="baseline: P = 100 at the baseline's score; none: P is the raw metric."),
    ] = "baseline"

    @model_validator(mode="after")
    def _some_weight(self) -> RewardSpec:
        if self.performance_weight == 0:
            raise ValueError("performance_weight is 0, so nothing would be improved")
        return self


class Suggestion(_Closed):
    """A configuration to try first, with the reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"configuration": {"vm.dirty_ratio": 40}, "reason": "The data set is written once."}]
        }
    )

    configuration: Annotated[
        dict[Word, KnobValue],
        Field(min_length=1, max_length=100, description="Value per knob; the others keep the value that was found."),
    ]
    reason: Annotated[Text, Field(max_length=2000, description="Why it could be good; shown to people.")] = ""


class TrainingConfig(_Closed):
    """Budget and PPO settings; the PPO settings have stable-baselines3's own names and meanings."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"total_timesteps": 40, "max_steps_per_episode": 10, "n_steps": 8}]}
    )

    total_timesteps: Annotated[int, Field(ge=1, le=100_000, description="Trials of the search, never exceeded.")] = 24
    max_steps_per_episode: Annotated[int, Field(ge=1, le=100_000, description="Trials until an episode ends.")] = 8
    algorithm: Annotated[Literal["PPO", "ppo"], Field(description="Read and ignored: PPO is what is trained.")] = "PPO"
    policy: Annotated[Literal["MlpPolicy"], Field(description="SB3's policy class.")] = "MlpPolicy"
    learning_rate: Annotated[Number, Field(gt=0, le=1, description="Step of the optimizer.")] = 1e-3
    n_steps: Annotated[int, Field(ge=2, le=100_000, description="Trials per PPO update (SB3's default is 2048).")] = 8
    batch_size: Annotated[
        int | None, Field(ge=2, le=100_000, description="Trials per minibatch; chosen from n_steps when left out.")
    ] = None
    n_epochs: Annotated[int, Field(ge=1, le=1000, description="Passes over the trials per update.")] = 10
    gamma: Annotated[Number, Field(ge=0, le=1, description="Discount.")] = 0.5
    gae_lambda: Annotated[Number, Field(ge=0, le=1, description="Bias against variance of the advantage.")] = 0.9
    clip_range: Annotated[Number, Field(gt=0, le=1, description="How far one update may move the policy.")] = 0.2
    clip_range_vf: Annotated[
        Number | None, Field(gt=0, description="The same for the value function; null for no limit.")
    ] = None
    normalize_advantage: Annotated[bool, Field(description="Scale advantages within a minibatch.")] = True
    ent_coef: Annotated[Number, Field(ge=0, le=10, description="Weight of the entropy in the loss.")] = 0.0
    vf_coef: Annotated[Number, Field(ge=0, le=10, description="Weight of the value function in the loss.")] = 0.5
    max_grad_norm: Annotated[Number, Field(gt=0, description="Where gradients are clipped.")] = 0.5
    target_kl: Annotated[
        Number | None, Field(gt=0, description="Stop an update at this divergence; null for never.")
    ] = None
    seed: Annotated[int | None, Field(ge=0, le=2**32 - 1, description="For a search that can be repeated.")] = None


class TuningPlan(_Closed):
    """What to try, how to measure it, and what counts as better. Only the first five keys are required."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "workload_name": "PostgreSQL OLTP",
                    "reward_metric": "transactions_per_second",
                    "benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb",
                    "action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 80}],
                    "state_space": [{"metric": "cpu_utilization", "source": "/proc/stat"}],
                    "training_config": {"total_timesteps": 40, "max_steps_per_episode": 10, "n_steps": 8},
                }
            ]
        }
    )

    workload_name: Annotated[Line, Field(min_length=1, max_length=200, description="For people.")]
    reward_metric: Annotated[
        Line, Field(min_length=1, max_length=100, description="The objective: a metric that the benchmark prints.")
    ]
    benchmark_command: Annotated[
        Line, Field(min_length=1, max_length=4000, description="One program with arguments; never a shell line.")
    ]
    action_space: Annotated[
        tuple[ActionSpec, ...], Field(min_length=1, max_length=100, description="The knobs that may be turned.")
    ]
    state_space: Annotated[
        tuple[StateSpec, ...],
        Field(max_length=50, description="What the agent observes; empty for the usual machine metrics."),
    ]
    training_config: Annotated[TrainingConfig, Field(description="Budget and PPO settings.")] = TrainingConfig()
    direction: Annotated[
        Direction | None, Field(description="Which way the objective is better; known for known metrics.")
    ] = None
    guardrails: Annotated[
        tuple[GuardrailSpec, ...], Field(max_length=20, description="Metrics that must not get worse.")
    ] = ()
    reward: Annotated[RewardSpec, Field(description="Weights of the reward.")] = RewardSpec()
    suggestions: Annotated[
        tuple[Suggestion, ...], Field(max_length=20, description="Configurations to try first.")
    ] = ()
    reset_command: Annotated[
        Line | None, Field(min_length=1, max_length=4000, description="Runs before each trial of a custom command.")
    ] = None
    metric_pattern: Annotated[
        Annotated[Line, AfterValidator(_pattern)] | None,
        Field(min_length=1, max_length=1000, description="Regular expression whose first group is the metric."),
    ] = None
    schema_: Annotated[Line | None, Field(alias="$schema", max_length=500, description="Ignored.")] = None

    def to_json(self) -> str:
        """The plan as indented JSON that :func:`parse_plan` reads back to an equal plan."""
        return self.model_dump_json(indent=2, by_alias=True, exclude_defaults=True)


_KEYS = {
    place: tuple(field.alias or name for name, field in model.model_fields.items())
    for place, model in (
        ("", TuningPlan),
        ("action_space", ActionSpec),
        ("state_space", StateSpec),
        ("guardrails", GuardrailSpec),
        ("reward", RewardSpec),
        ("suggestions", Suggestion),
        ("training_config", TrainingConfig),
    )
}


class _InOrder(GenerateJsonSchema):
    """Keys stay in the order in which a person would write them."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        return value


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of a plan, as published in ``schemas/tuning-plan-v1.json``."""
    return {"$schema": SCHEMA_URL, **TuningPlan.model_json_schema(by_alias=True, schema_generator=_InOrder)}


def parse_plan(text: str | bytes) -> TuningPlan:
    """A plan from JSON text.

    Raises:
        PlanError: The text is no JSON (or holds a key twice, NaN, or nothing), or the plan has an unknown key, a
            missing key or a bad value. The message names every field that is wrong, with its value.
    """
    return plan_from(decode(text))


def plan_from(document: Any) -> TuningPlan:
    """A plan from a decoded JSON document.

    Raises:
        PlanError: As :func:`parse_plan`.
    """
    if not isinstance(document, dict):
        raise PlanError(f"a plan is a JSON object, not {shown(document)}", HINT)
    try:
        return TuningPlan.model_validate(document)
    except ValidationError as error:
        raise PlanError(describe(error.errors(include_url=False), _KEYS), HINT) from None


def load_plan(path: str | Path) -> TuningPlan:
    """A plan from a file.

    Raises:
        PlanError: The file cannot be read, or as :func:`parse_plan`.
    """
    try:
        with Path(path).open("rb") as file:
            return parse_plan(file.read(MAX_PLAN_BYTES + 1))
    except OSError as error:
        raise PlanError(f"cannot read the plan {path}: {error.strerror}", "Give the path of a JSON file.") from None


__all__ = [
    "ActionSpec", "Direction", "GuardrailSpec", "RewardSpec", "StateSpec", "Suggestion", "TrainingConfig",
    "TuningPlan", "Value", "load_plan", "parse_direction", "parse_plan", "plan_from", "plan_schema", "shown",
]  # fmt: skip
