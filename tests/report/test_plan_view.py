"""A safe plan in, what people read before they say yes out."""

from __future__ import annotations

import re

import pytest

from knobctl.plan import plan_from
from knobctl.report.plan_view import describe_plan
from knobctl.safety import SafePlan, SafetyValidator
from knobctl.target.simulated import FACTS


def test_everything_that_will_happen_is_there(safe_plan: SafePlan) -> None:
    text = describe_plan(
        safe_plan,
        "playbook:postgresql-write",
        ("the request names PostgreSQL",),
        (("thp.shmem_enabled", "absent on this machine"),),
        ("say `read-only` for select-only queries",),
        runs=53,
        seconds=1600.0,
    )
    lines = text.splitlines()
    assert lines[0] == "Plan: PostgreSQL OLTP (playbook:postgresql-write)"
    assert "  the request names PostgreSQL" in lines
    assert "  command  pgbench -c 50 -j 4 -T 30 testdb" in lines
    assert "  metric   transactions_per_second (1/s, higher is better)" in lines
    assert "  guard    latency_average_ms, at most 5 % worse" in lines
    assert "  trials   24 of the search, preflight and verification on top: 53 runs, about 27 min" in lines
    assert re.search(r"^  vm\.dirty_ratio +20 +15 \.\. 80 +percent +hot +safe +Share of", text, re.MULTILINE)
    assert re.search(r"^  thp\.enabled +\w+ +always, madvise, never ", text, re.MULTILINE)
    assert "  - vm.dirty_ratio=40 (more room for bursts)" in lines
    assert "  - thp.shmem_enabled: absent on this machine" in lines
    assert "  - say `read-only` for select-only queries" in lines
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("budget", "title"),
    [
        (24, "First guesses:"),
        (12, "First guesses:"),
        (11, "First guesses; the first 2 of them are tried:"),
        (4, "First guesses; the first of them is tried:"),
    ],
)
def test_guesses_that_have_no_place_in_the_budget_are_announced(budget: int, title: str) -> None:
    guesses = [{"configuration": {"vm.dirty_ratio": value}, "reason": f"TuneD's {value}"} for value in (30, 40, 50)]
    document = {
        "workload_name": "PostgreSQL OLTP",
        "reward_metric": "transactions_per_second",
        "benchmark_command": "pgbench -c 50 -j 4 -T 30 testdb",
        "action_space": [{"param": "vm.dirty_ratio", "min": 15, "max": 80}],
        "state_space": [],
        "training_config": {"total_timesteps": budget},
        "suggestions": guesses,
    }
    lines = describe_plan(SafetyValidator(facts=FACTS).validate(plan_from(document))).splitlines()
    assert title in lines
    assert lines[lines.index(title) + 1] == "  - vm.dirty_ratio=30 (TuneD's 30)"


def test_what_is_not_known_is_not_said(safe_plan: SafePlan) -> None:
    text = describe_plan(safe_plan)
    assert text.splitlines()[0] == "Plan: PostgreSQL OLTP"
    assert "runs, about" not in text
    assert "  trials   24 of the search, preflight and verification on top" in text.splitlines()


def test_a_simulation_says_so(safe_plan: SafePlan) -> None:
    text = describe_plan(safe_plan, simulated=True)
    assert text.startswith("SIMULATED Plan: PostgreSQL OLTP\n")
    assert "\nSIMULATED Knobs that will be tried (2)" in text
    assert "SIMULATED" not in describe_plan(safe_plan)


def test_nothing_is_said_twice(safe_plan: SafePlan) -> None:
    text = describe_plan(safe_plan, dropped=[("x", "y"), ("x", "y"), *safe_plan.dropped], notes=["n", "n"])
    assert text.count("- x: y") == 1
    assert text.count("- n") == 1
