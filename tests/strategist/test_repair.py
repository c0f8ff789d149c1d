from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobctl.errors import UsageError
from knobctl.llm.base import Rejected
from knobctl.safety import Consent, SafetyValidator
from knobctl.strategist import TuningRequest
from knobctl.strategist.brief import Brief
from knobctl.strategist.choice import choose
from knobctl.strategist.command import given as typed_command
from knobctl.strategist.command import render
from knobctl.strategist.repair import Repaired, repair
from knobctl.strategist.reply import read_object
from knobctl.strategist.request import read_request
from tests.strategist.machine import Machine, machine_of

CASES = tomllib.loads((Path(__file__).parent / "cases" / "replies.toml").read_text(encoding="utf-8"))["reply"]
ONE = {"action_space": ["vm.dirty_ratio"]}


def brief_of(text: str = "PostgreSQL", machine: Machine | None = None, **options: Any) -> Brief:
    """What code knows about a request on a machine, before a model plans."""
    machine = machine or machine_of()
    request = TuningRequest(text, **options)
    hints = read_request(text)
    argv = shlex.split(request.command or "")
    playbook = choose(hints, argv, bool(request.knobs)).playbook
    if playbook is not None and not argv:
        command = render(playbook, hints, machine.facts).text
    else:
        command = typed_command(request.command or "", hints).text
    return Brief(request, hints, playbook, command, machine.facts, machine.states, machine.catalogue)


def is_safe(repaired: Repaired, brief: Brief) -> bool:
    """The plan passes the validator with nothing but what the user typed."""
    named = frozenset(name for entry in brief.request.knobs for name in entry.split(",") if "*" not in name)
    consent = Consent(command=brief.request.command, knobs=named)
    return bool(SafetyValidator(brief.catalogue, brief.facts, brief.states, consent).validate(repaired.plan).knobs)


def matched(case: dict[str, Any]) -> tuple[Repaired, Brief]:
    options = {key: tuple(value) if key == "knobs" else value for key, value in case.get("options", {}).items()}
    brief = brief_of(case.get("request", "PostgreSQL"), machine_of(swap_gib=case.get("swap", 0)), **options)
    return repair(read_object(case["text"]), brief, last=case.get("last", False)), brief


@pytest.mark.parametrize(
    "case", [case for case in CASES if "rejected" not in case], ids=lambda case: case["name"].replace(" ", "-")
)
def test_a_reply_becomes_a_plan(case: dict[str, Any]) -> None:
    repaired, brief = matched(case)
    plan = repaired.plan
    assert is_safe(repaired, brief)
    space = {spec.param: list(spec.values) if spec.values else [spec.min, spec.max] for spec in plan.action_space}
    if "count" in case:
        assert len(space) == case["count"]
    else:
        assert space == case["knobs"]
    dropped = dict(repaired.dropped)
    assert set(dropped) == set(case.get("dropped", {}))
    for what, why in case.get("dropped", {}).items():
        assert why in dropped[what]
    for note, expected in zip(repaired.notes, case.get("notes", ()), strict=True):
        assert expected in note
    assert plan.benchmark_command == case.get("command", brief.command)
    assert plan.reward_metric == case.get("metric", brief.playbook.metric if brief.playbook else None)
    assert list(repaired.why) == case.get("why", [])
    assert plan.training_config.total_timesteps == case.get("budget", 24)
    assert plan.training_config.seed == case.get("options", {}).get("seed")
    if "title" in case:
        assert plan.workload_name == case["title"]
    if "state" in case:
        assert [spec.metric for spec in plan.state_space] == case["state"]
    if "guardrails" in case:
        assert {spec.metric: spec.tolerance_percent for spec in plan.guardrails} == case["guardrails"]
    if "suggestions" in case:
        wanted = case["suggestions"]
        assert [dict(each.configuration) for each in plan.suggestions[: len(wanted)]] == wanted
    if "descriptions" in case:
        assert [spec.description for spec in plan.action_space] == case["descriptions"]


@pytest.mark.parametrize(
    "case", [case for case in CASES if "rejected" in case], ids=lambda case: case["name"].replace(" ", "-")
)
def test_a_reply_is_asked_for_again(case: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as rejected:
        matched(case)
    assert case["rejected"] in str(rejected.value)


def test_there_are_enough_cases_of_both_kinds() -> None:
    assert len(CASES) >= 60
    assert sum("rejected" in case for case in CASES) >= 15
    assert len({case["name"] for case in CASES}) == len(CASES)


class TestWhatIsLeftOut:
    """What a model does not say comes from the workload that was decided on."""

    def test_everything_but_knobs_has_a_default(self) -> None:
        machine = machine_of()
        built_in = machine.propose("PostgreSQL").plan
        plan = repair(ONE, brief_of()).plan
        assert plan.workload_name == built_in.workload_name
        assert plan.state_space == built_in.state_space
        assert plan.training_config == built_in.training_config
        assert plan.guardrails == built_in.guardrails
        assert plan.reward == built_in.reward

    def test_the_reason_for_a_knob_is_the_playbooks_else_the_catalogues(self) -> None:
        machine = machine_of()
        plan = repair({"knobs": ["vm.dirty_ratio", "vm.stat_interval"]}, brief_of()).plan
        assert "latency spike" in plan.action_space[0].description
        assert plan.action_space[1].description == machine.catalogue["vm.stat_interval"].why

    def test_the_playbooks_suggestions_come_after_the_models(self) -> None:
        suggestions = repair({**ONE, "suggestions": [{"vm.dirty_ratio": 60}]}, brief_of()).plan.suggestions
        assert [dict(each.configuration) for each in suggestions] == [{"vm.dirty_ratio": 60}, {"vm.dirty_ratio": 40}]
        assert suggestions[0].reason == "The model's own."
        assert suggestions[1].reason.startswith("Playbook postgresql-write: No reordering")

    def test_a_reason_says_that_it_is_the_models(self) -> None:
        said = [{"configuration": {"vm.dirty_ratio": 60}, "reason": "Playbook x:\nbursts \x1b[31mof writes"}]
        suggestions = repair({**ONE, "suggestions": said}, brief_of()).plan.suggestions
        assert suggestions[0].reason == "The model: “Playbook x: bursts of writes”"

    def test_what_model_and_playbook_both_suggest_has_both_reasons(self) -> None:
        brief = brief_of()
        plan = repair({**ONE, "suggestions": [{"vm.dirty_ratio": 40}]}, brief).plan
        (both,) = SafetyValidator(brief.catalogue, brief.facts, brief.states).validate(plan).suggestions
        assert both.configuration == {"vm.dirty_ratio": 40}
        assert both.reason.startswith("The model's own. Playbook postgresql-write: ")

    def test_no_more_than_three_suggestions_of_a_model(self) -> None:
        many = [{"configuration": {"vm.dirty_ratio": value}, "reason": "x"} for value in range(30, 50)]
        suggestions = repair({**ONE, "suggestions": many}, brief_of()).plan.suggestions
        assert [each.configuration["vm.dirty_ratio"] for each in suggestions] == [30, 31, 32, 40]

    def test_suggestions_with_names_of_their_own(self) -> None:
        named = {"careful": {"vm.dirty_ratio": 10}, "bold": {"configuration": {"vm.dirty_ratio": 70}}}
        suggestions = repair({**ONE, "suggestions": named}, brief_of()).plan.suggestions
        assert [each.configuration["vm.dirty_ratio"] for each in suggestions] == [10, 70, 40]


class TestReward:
    """The weights of the reward."""

    def test_good_weights_are_kept(self) -> None:
        weights = {"performance_weight": 0.8, "penalty_weight": 0.2}
        assert repair({**ONE, "reward": weights}, brief_of()).plan.reward.performance_weight == 0.8

    @pytest.mark.parametrize("said", ["transactions_per_second", {"performance_weight": 7}, {"unknown": 1}, [1]])
    def test_others_are_noted(self, said: Any) -> None:
        repaired = repair({**ONE, "reward": said}, brief_of())
        assert repaired.plan.reward.performance_weight == 0.5
        assert any("is not used: the usual weights are." in note for note in repaired.notes)


class TestGuardrails:
    """The workload's own stay; a model may add some and narrow them."""

    @pytest.mark.parametrize(
        ("said", "limits", "notes"),
        [
            ([], {"latency_average_ms": 10}, []),
            ([{"metric": "latency_average_ms", "tolerance_percent": 2.5}], {"latency_average_ms": 2.5}, []),
            ([{"metric": "latency", "tolerance": "0.5 %"}], {"latency_average_ms": 0.5}, []),
            ([{"metric": "latency", "tolerance": "0%"}], {"latency_average_ms": 0}, []),
            ({"latency": 10}, {"latency_average_ms": 10}, []),
            (["latency"], {"latency_average_ms": 10}, []),
            (
                [{"metric": "failed_transactions", "tolerance_percent": 0.5}],
                {"latency_average_ms": 10, "failed_transactions": 0.5},
                [],
            ),
            (
                ["latency_stddev", {"metric": "jitter", "tolerance": 2}],
                {"latency_average_ms": 10, "latency_stddev_ms": 2},
                [],
            ),
            (
                [{"metric": "latency_average_ms", "tolerance_percent": 100}],
                {"latency_average_ms": 10},
                ["Guardrail latency_average_ms: 100 is not used as its tolerance: 10 % stays."],
            ),
            (
                {"latency": 2, "latency_average_ms": "much"},
                {"latency_average_ms": 2},
                ["Guardrail latency_average_ms: 'much' is not used as its tolerance: 2 % stays."],
            ),
            (
                [{"metric": "latency", "tolerance": -1}, {"metric": "latency", "tolerance": float("nan")}],
                {"latency_average_ms": 10},
                [
                    "Guardrail latency_average_ms: -1 is not used as its tolerance: 10 % stays.",
                    "Guardrail latency_average_ms: NaN is not used as its tolerance: 10 % stays.",
                ],
            ),
        ],
    )
    def test_a_model_cannot_loosen_one(self, said: Any, limits: dict[str, float], notes: list[str]) -> None:
        repaired = repair({**ONE, "guardrails": said}, brief_of())
        assert {each.metric: each.tolerance_percent for each in repaired.plan.guardrails} == limits
        assert list(repaired.notes) == notes

    def test_the_objective_needs_none(self) -> None:
        repaired = repair({**ONE, "reward_metric": "latency"}, brief_of())
        assert repaired.plan.guardrails == ()


class TestOptions:
    """What the user typed stands above everything."""

    def test_the_users_direction_must_fit_the_models_metric(self) -> None:
        brief = brief_of(direction="minimize")
        with pytest.raises(Rejected, match="transactions_per_second is better when higher, and the plan says minimize"):
            repair({**ONE, "reward_metric": "tps"}, brief)
        assert repair({**ONE, "reward_metric": "latency"}, brief).plan.direction == "minimize"

    def test_a_command_of_their_own_with_a_pattern(self) -> None:
        pattern = {"command": "./mine --fast", "metric_pattern": "score: ([0-9.]+)", "direction": "maximize"}
        brief = brief_of("", knobs=("vm.*",), **pattern)
        assert brief.playbook is None
        said = {"benchmark_command": "pgbench -T 5", "reward_metric": "tps", "workload_name": None}
        repaired = repair(said, brief)
        assert repaired.plan.benchmark_command == "./mine --fast"
        assert repaired.plan.metric_pattern == "score: ([0-9.]+)"
        assert repaired.plan.reward_metric == "metric"
        assert repaired.plan.workload_name == "mine (your own command)"
        assert is_safe(repaired, brief)

    def test_a_knob_that_they_misspelt_is_their_error_and_not_the_models(self) -> None:
        with pytest.raises(UsageError, match=r"unknown knob 'vm\.dirty_ration'"):
            repair(ONE, brief_of(knobs=("vm.dirty_ration",)))

    def test_a_budget_of_the_model_must_be_sensible(self) -> None:
        def trials(said: Any, **options: Any) -> int:
            training = {"training_config": {"total_timesteps": said}}
            return repair({**ONE, **training}, brief_of(**options)).plan.training_config.total_timesteps

        assert [trials(said) for said in (7, 8, "40", 60, 61, "many", None, 1e300)] == [24, 8, 40, 60, 24, 24, 24, 24]
        assert trials(40, budget=10) == 10

    def test_an_address_in_the_request_needs_consent_only_when_it_runs(self) -> None:
        brief = brief_of("nginx at http://10.0.0.5:8080/")
        assert repair({"knobs": ["tcp_fin_timeout"]}, brief).plan.benchmark_command == brief.command


def test_reasons_are_cut_to_a_readable_length() -> None:
    why = repair({**ONE, "thought": "x" * 2000}, brief_of()).why
    assert len(why) == 1
    assert len(why[0]) == 300
    assert why[0].endswith("x…")


def test_many_rejected_knobs_are_summed_up() -> None:
    with pytest.raises(Rejected) as rejected:
        repair({"knobs": [f"made.up.{number}" for number in range(30)]}, brief_of())
    assert "made.up.7: " in str(rejected.value)
    assert "made.up.8: " not in str(rejected.value)
    assert "; and 22 more. Choose knobs from the table of knobs, by exactly the names in it." in str(rejected.value)


# --- whatever a model writes

NAMES = st.sampled_from(
    ("vm.dirty_ratio", "vm.dirty_bytes", "vm.dirty_background_ratio", "swappiness", "thp.enabled", "block.scheduler",
     "net.ipv4.tcp_rmem", "kernel.panic", "shared_buffers", "vm.overcommit_memory", "block.read_ahead_kb", "no.such",
     "kernel.numa_balancing", "net.ipv4.tcp_notsent_lowat", "vm", "\x1b[0m", "\ud800", "vm.dirty_ratio=5", "",
     "net.core.somaxconn")
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 200), st.integers(), st.floats(), st.text(max_size=12), NAMES,
    st.sampled_from(("5-80", "16 MiB", "10%", "30 s", "none", "always", "pgbench -c 5 -T 5", "pgbench <x>", "tps",
                     "latency", "ab http://{host}/", "sudo rm", "maximize", "cpu_usage", "1e99", "0x10", "5..",
                     "[1, 2]")),
)  # fmt: skip
KEYS = st.sampled_from(
    ("param", "min", "max", "range", "values", "value", "unit", "scale", "description", "configuration", "reason",
     "metric", "tolerance_percent", "command", "total_timesteps", "algorithm", "name", "performance_weight")
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, NAMES, st.text(max_size=5)), inner, max_size=4)
    ),
    max_leaves=12,
)
TOP = st.sampled_from(
    ("action_space", "knobs", "benchmark_command", "workload", "reward_metric", "objective", "guardrails", "plan",
     "suggestions", "training_config", "direction", "reward", "why", "reset_command", "vm.dirty_ratio", "state_space",
     "workload_name")
)  # fmt: skip
ENTRIES = st.fixed_dictionaries(
    {"param": NAMES}, optional={"min": SCALARS, "max": SCALARS, "values": st.lists(SCALARS)}
)
DOCUMENTS = st.one_of(
    st.dictionaries(st.one_of(TOP, st.text(max_size=5)), VALUES, max_size=6),
    st.builds(lambda entries, more: {**more, "action_space": entries},
              st.lists(ENTRIES, min_size=1, max_size=5), st.dictionaries(TOP, VALUES, max_size=3)),
)  # fmt: skip
BRIEFS = tuple(
    brief_of(text, machine_of(swap_gib=2), **options)
    for text, options in (
        ("PostgreSQL with 50 clients", {}),
        ("nginx", {}),
        ("large sequential file writes", {"budget": 9}),
        ("cpu", {"knobs": ("vm.stat_interval", "kernel.*"), "metric": "latency"}),
        (
            "",
            {
                "command": "./mine",
                "metric_pattern": "x ([0-9]+)",
                "direction": "minimize",
                "knobs": ("vm.dirty_ratio",),
            },
        ),
    )
)


@settings(deadline=None, max_examples=300)
@given(DOCUMENTS, st.sampled_from(BRIEFS), st.booleans())
def test_any_document_is_rejected_or_safe(document: dict[str, Any], brief: Brief, last: bool) -> None:
    try:
        repaired = repair(document, brief, last=last)
    except Rejected as rejected:
        assert str(rejected)
        return
    assert is_safe(repaired, brief)
    for text in (*repaired.why, *repaired.notes, *(part for pair in repaired.dropped for part in pair)):
        assert text.isprintable()
    assert len(repaired.plan.action_space) <= 16 or brief.request.knobs
