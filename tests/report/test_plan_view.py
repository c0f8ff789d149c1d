"""A safe plan in, what people read before they say yes out."""

from __future__ import annotations

import re

from knobctl.report.plan_view import describe_plan
from knobctl.safety import SafePlan


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
