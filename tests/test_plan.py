from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import generate_schema  # scripts/generate_schema.py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobctl.errors import PlanError
from knobctl.plan import TuningPlan, load_plan, parse_direction, parse_plan, plan_from, plan_schema
from knobctl.plan_text import MAX_PLAN_BYTES, decode, shown
from knobctl.target.metrics import MACHINE_METRICS

FIVE_KEYS: dict[str, Any] = {
    "workload_name": "PostgreSQL OLTP",
    "reward_metric": "transactions_per_second",
    "benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb",
    "action_space": [{"param": "vm.dirty_ratio", "min": 5, "max": 80}],
    "state_space": [{"metric": "cpu_utilization", "source": "/proc/stat"}],
}


def refusal(**keys: Any) -> str:
    with pytest.raises(PlanError) as refused:
        plan_from({**FIVE_KEYS, **keys})
    return refused.value.message


def test_five_keys_are_enough() -> None:
    plan = plan_from(FIVE_KEYS)
    assert plan.action_space[0].param == "vm.dirty_ratio"
    assert plan.training_config.total_timesteps == 24
    assert (plan.reward.performance_weight, plan.reward.penalty_weight) == (0.5, 0.5)


def test_plan_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        plan_from(FIVE_KEYS).workload_name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("word", ["maximize", "Higher is better", "MAX", "up", "higher-is-better"])
def test_words_for_more_is_better(word: str) -> None:
    assert parse_direction(word) == "maximize"
    assert plan_from({**FIVE_KEYS, "direction": word}).direction == "maximize"


def test_words_for_less_is_better() -> None:
    assert {parse_direction(word) for word in ("minimise", " lower ", "lower_is_better")} == {"minimize"}
    assert parse_direction("sideways") == "sideways"
    assert parse_direction(5) == 5


@pytest.mark.parametrize("metric", MACHINE_METRICS, ids=lambda metric: metric.name)
def test_state_metric_by_every_synonym(metric: Any) -> None:
    for name in (metric.name, *metric.synonyms, metric.name.upper()):
        plan = plan_from({**FIVE_KEYS, "state_space": [{"metric": name}]})
        assert plan.state_space[0].metric == metric.name


def test_every_wrong_field_is_named_in_one_message() -> None:
    message = refusal(workload_name=5, action_space=[{"param": "x", "min": "five"}, {"min": 2}])
    assert message == (
        "workload_name: 5 is not text; action_space.0.min: 'five' is not an integer; missing key action_space.1.param"
    )


def test_only_the_first_problems_are_spelled_out() -> None:
    message = refusal(**{f"key{number}": 1 for number in range(20)})
    assert message.count("unknown key") == 8
    assert message.endswith("; and 12 more")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"goal": 1}, "unknown key goal"),
        ({"schema": "x"}, "unknown key schema; did you mean $schema?"),
        ({"reward": {"weights": 1}}, "unknown key reward.weights"),
        ({"guardrails": [{"metric": "x", "tolerance": 1}]},
         "unknown key guardrails.0.tolerance; did you mean tolerance_percent?"),
        ({"suggestions": [{"configuration": {"a": 1}, "why": "x"}]}, "unknown key suggestions.0.why"),
        ({"training_config": None}, "training_config: null is not an object"),
        ({"state_space": "cpu"}, "state_space: 'cpu' is not a list"),
        ({"benchmark_command": True}, "benchmark_command: true is neither text nor a number"),
        ({"training_config": {"gamma": "high"}}, "training_config.gamma: 'high' is not a number"),
        ({"training_config": {"gamma": float("nan")}}, "training_config.gamma: NaN is not a finite number"),
        ({"training_config": {"target_kl": 0}}, "training_config.target_kl: 0 is not above 0.0"),
        ({"training_config": {"normalize_advantage": "perhaps"}},
         "training_config.normalize_advantage: 'perhaps' is not true or false"),
        ({"action_space": [{"param": "x", "special": [True]}]}, "action_space.0.special.0: true is not an integer"),
        ({"action_space": [{"param": "x", "special": [1], "values": [1]}]},
         "action_space.0: give special values among the values"),
        ({"suggestions": [{"configuration": {"": 1}}]}, "suggestions.0.configuration.'' is empty"),
        ({"suggestions": [{"configuration": {"int": True}}]},
         "suggestions.0.configuration.int: true is neither an integer nor a word"),
        ({"suggestions": [{"configuration": {"a": 2**70}}]},
         f"suggestions.0.configuration.a: {2**70} is above {2**63 - 1}"),
        ({"suggestions": [{"configuration": {"a\x1b": 1}}]},
         "suggestions.0.configuration.'a\\x1b': holds the control character U+001B"),
        ({"workload_name": "x" * 201}, "workload_name: 201 characters are more than 200"),
        ({"metric_pattern": "x{99999999999}"},
         "metric_pattern: 'x{99999999999}' is not a regular expression: the repetition number is too large"),
    ],
)  # fmt: skip
def test_message_names_the_place_and_the_value(keys: dict[str, Any], message: str) -> None:
    assert refusal(**keys) == message


def test_description_may_have_lines_and_a_name_may_not() -> None:
    knob = {"param": "vm.swappiness", "description": "one\ntwo"}
    assert plan_from({**FIVE_KEYS, "action_space": [knob]}).action_space[0].description == "one\ntwo"
    assert refusal(workload_name="one\ntwo") == "workload_name: holds the control character U+000A"
    assert "U+2066" in refusal(suggestions=[{"configuration": {"a": 1}, "reason": "a\u2066b"}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the plan is empty"),
        (b"\xff\xfe{\x00}\x00", "the plan is not UTF-8 text"),
        ("[]", "a plan is a JSON object, not []"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "key 'b' stands twice in one object"),
        ('{"a": -Infinity}', "the plan is not JSON: -Infinity is not a number"),
        ('{"a": -1e999}', "the number -1e999 is too large"),
        ('{"a": %s}' % ("7" * 5000), "a number has 5000 digits"),
        ("[" * 100_000, "the plan is nested too deeply"),
        ("{'a': 1}", "the plan is not JSON: Expecting property name"),
        (b" " * (MAX_PLAN_BYTES + 1), f"the plan has {MAX_PLAN_BYTES + 1} bytes, more than {MAX_PLAN_BYTES}"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "bytes",
)
def test_text_that_is_no_plan(text: str | bytes, message: str) -> None:
    with pytest.raises(PlanError) as refused:
        parse_plan(text)
    assert refused.value.message.startswith(message)
    assert refused.value.hint


def test_byte_order_mark_is_ignored() -> None:
    text = json.dumps(FIVE_KEYS)
    assert parse_plan("\ufeff" + text) == parse_plan(b"\xef\xbb\xbf" + text.encode()) == plan_from(FIVE_KEYS)


def test_a_hostile_plan_is_refused_quickly() -> None:
    keys = ",".join(f'"k{number}":1' for number in range(60_000))
    started = time.process_time()
    for text in ("{" + keys + "}", "{" + keys + ',"k0":2}'):
        with pytest.raises(PlanError):
            parse_plan(text)
    assert time.process_time() - started < 5


def test_load_plan_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"cannot read the plan .*absent\.json: No such file or directory"):
        load_plan(tmp_path / "absent.json")
    with pytest.raises(PlanError, match="Is a directory"):
        load_plan(tmp_path)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(FIVE_KEYS), encoding="utf-8")
    assert load_plan(str(path)) == plan_from(FIVE_KEYS)


@given(st.text())
def test_shown_is_short_and_printable(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) <= 80


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from([*TuningPlan.model_fields, "$schema", "surprise"]), JSON)
def test_any_value_anywhere_gives_a_plan_or_a_printable_reason(key: str, value: Any) -> None:
    try:
        plan = plan_from({**FIVE_KEYS, key: value})
    except PlanError as error:
        assert error.message
        assert error.message.isprintable()
        assert error.hint
    else:
        assert parse_plan(plan.to_json()) == plan


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_is_refused_with_a_printable_reason(text: str | bytes) -> None:
    with pytest.raises(PlanError) as refused:
        parse_plan(text)
    assert refused.value.message.isprintable()


NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=30)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
KNOB_VALUES = INTEGERS | NAMES
WEIGHTS = st.floats(0, 1)
RANGES = st.tuples(INTEGERS, INTEGERS).map(lambda pair: {"min": min(pair), "max": max(pair)})
KNOBS = st.builds(
    lambda name, shape, rest: {"param": name, **shape, **rest},
    NAMES,
    RANGES | st.builds(lambda values: {"values": values}, st.lists(KNOB_VALUES, min_size=1, max_size=5)),
    st.fixed_dictionaries(
        {}, optional={"scale": st.sampled_from(["linear", "log"]), "description": NAMES, "type": st.just("int")}
    ),
)
PLANS = st.fixed_dictionaries(
    {
        "workload_name": NAMES,
        "reward_metric": NAMES,
        "benchmark_command": NAMES,
        "action_space": st.lists(KNOBS, min_size=1, max_size=4),
        "state_space": st.lists(
            st.fixed_dictionaries({"metric": st.sampled_from([metric.name for metric in MACHINE_METRICS])}), max_size=3
        ),
    },
    optional={
        "direction": st.sampled_from(["maximize", "lower", "up"]),
        "guardrails": st.lists(
            st.fixed_dictionaries({"metric": NAMES}, optional={"tolerance_percent": st.floats(0, 100)}), max_size=2
        ),
        "reward": st.fixed_dictionaries(
            {"performance_weight": WEIGHTS.filter(bool), "penalty_weight": WEIGHTS},
            optional={"normalize": st.sampled_from(["baseline", "none"])},
        ),
        "suggestions": st.lists(
            st.fixed_dictionaries(
                {"configuration": st.dictionaries(NAMES, KNOB_VALUES, min_size=1, max_size=3), "reason": NAMES}
            ),
            max_size=2,
        ),
        "training_config": st.fixed_dictionaries(
            {},
            optional={
                "total_timesteps": st.integers(1, 1000),
                "learning_rate": st.floats(1e-9, 1),
                "clip_range_vf": st.none() | st.floats(0.01, 10),
                "normalize_advantage": st.booleans(),
                "seed": st.none() | st.integers(0, 2**32 - 1),
            },
        ),
        "reset_command": NAMES,
        "metric_pattern": st.just("tps = ([0-9.]+)"),
        "$schema": NAMES,
    },
)


@given(PLANS)
def test_plan_survives_its_own_json(document: dict[str, Any]) -> None:
    plan = plan_from(document)
    assert parse_plan(plan.to_json()) == plan
    assert parse_plan(json.dumps(document)) == plan


def test_published_schema_and_reference_are_up_to_date() -> None:
    schema = plan_schema()
    hint = "run scripts/generate_schema.py"
    assert generate_schema.SCHEMA.read_text(encoding="utf-8") == generate_schema.render_schema(schema), hint
    assert generate_schema.REFERENCE.read_text(encoding="utf-8") == generate_schema.render_reference(schema), hint


def test_schema_is_closed_and_describes_every_key() -> None:
    schema = plan_schema()
    assert schema["required"] == list(FIVE_KEYS)
    for record in (schema, *schema["$defs"].values()):
        assert record["additionalProperties"] is False
        assert all(field.get("description") for field in record["properties"].values())


def test_examples_of_the_schema_are_plans() -> None:
    schema = plan_schema()
    (whole,) = schema["examples"]
    assert plan_from(whole)
    for key, field in schema["properties"].items():
        listed = "items" in field
        reference = (field["items"] if listed else field).get("$ref", "").rpartition("/")[2]
        for example in schema["$defs"].get(reference, {}).get("examples", ()):
            assert plan_from({**whole, key: [example] if listed else example})


def test_reference_shows_every_key() -> None:
    reference = generate_schema.render_reference(plan_schema())
    assert "| `param` | text | **required** |" in reference
    assert "| `total_timesteps` | integer, 1 to 100000 | `24` |" in reference
    assert "| `learning_rate` | number, above 0, up to 1 | `0.001` |" in reference
    for key in TuningPlan.model_fields:
        assert f"| `{key.replace('schema_', '$schema')}` |" in reference


def test_decode_keeps_plain_json() -> None:
    assert decode('{"a": [1, 2.5, null, true, "x"]}') == {"a": [1, 2.5, None, True, "x"]}
