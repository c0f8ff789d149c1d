from __future__ import annotations

import pytest

from knobctl.errors import UsageError
from knobctl.workload.custom import CustomAdapter, PatternAdapter
from knobctl.workload.registry import adapter_for, adapters, find_metric

PGBENCH = ["pgbench", "-c", "50", "-j", "4", "-T", "30", "testdb"]


def test_the_known_tools() -> None:
    assert [adapter.program for adapter in adapters()] == ["pgbench", "ab", "wrk", "sysbench", "fio"]


@pytest.mark.parametrize("adapter", adapters(), ids=lambda adapter: adapter.program)
def test_every_adapter_describes_itself(adapter) -> None:  # type: ignore[no-untyped-def]
    metrics = adapter.metrics((adapter.program,))
    names = [spec.name for spec in metrics]

    assert adapter.title.startswith(f"{adapter.program}: ")
    assert set(adapter.packages) == {"apt", "dnf"}
    assert len(names) == len(set(names))
    assert all(spec.summary for spec in metrics)
    synonyms = [synonym for spec in metrics for synonym in spec.synonyms]
    assert len(synonyms) == len(set(synonyms))
    assert not set(synonyms) & set(names)


def test_a_plan_with_the_five_keys_finds_its_metric() -> None:
    adapter = adapter_for(PGBENCH)

    assert adapter.problems(PGBENCH) == []
    metric = find_metric(adapter.metrics(PGBENCH), "transactions_per_second")
    assert metric is not None
    assert (metric.unit, metric.direction) == ("1/s", "maximize")


@pytest.mark.parametrize("name", ["tps", "TPS", "Transactions per second", "transactions-per-second"])
def test_metrics_are_found_by_what_people_call_them(name: str) -> None:
    metric = find_metric(adapter_for(PGBENCH).metrics(PGBENCH), name)

    assert metric is not None
    assert metric.name == "transactions_per_second"


def test_an_unknown_metric_is_not_found() -> None:
    assert find_metric(adapter_for(PGBENCH).metrics(PGBENCH), "happiness") is None


def test_a_program_is_known_by_the_end_of_its_path() -> None:
    assert adapter_for(["/usr/bin/ab", "-n", "1"]).program == "ab"


def test_an_unknown_program_needs_a_pattern() -> None:
    with pytest.raises(UsageError) as raised:
        adapter_for(["mybench", "--fast"])

    assert raised.value.message == ("'mybench' is no benchmark that knobctl knows (pgbench, ab, wrk, sysbench, fio)")
    assert "--metric-pattern" in raised.value.hint


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(UsageError, match="the benchmark command is empty"):
        adapter_for([])


def test_an_unknown_program_with_a_pattern_has_the_users_metric() -> None:
    adapter = adapter_for(["/opt/mybench"], "score: ([0-9]+)", "score", "minimize")

    assert isinstance(adapter, CustomAdapter)
    assert adapter.program == "mybench"
    (metric,) = adapter.metrics(["/opt/mybench"])
    assert (metric.name, metric.direction) == ("score", "minimize")


def test_the_direction_of_a_known_metric_need_not_be_given() -> None:
    metric = adapter_for(["mybench"], "lat ([0-9]+)", "latency_average_ms").metrics(["mybench"])[0]

    assert (metric.name, metric.unit, metric.direction) == ("latency_average_ms", "ms", "minimize")


def test_the_direction_of_an_unknown_metric_has_to_be_given() -> None:
    with pytest.raises(UsageError, match="nobody knows whether more or less of 'score' is better") as raised:
        adapter_for(["mybench"], "score: ([0-9]+)", "score")

    assert raised.value.hint == "Add --direction maximize or --direction minimize."


def test_a_pattern_with_a_known_tool_is_its_first_metric() -> None:
    adapter = adapter_for(PGBENCH, "clients: ([0-9]+)", "clients", "maximize")

    assert isinstance(adapter, PatternAdapter)
    assert adapter.metrics(PGBENCH)[0].name == "clients"


def test_a_pattern_under_a_synonym_of_a_known_metric_takes_its_name_and_direction() -> None:
    metric = adapter_for(PGBENCH, "tps = ([0-9.]+)", "tps").metrics(PGBENCH)[0]

    assert (metric.name, metric.direction) == ("transactions_per_second", "maximize")


def test_a_pattern_that_cannot_work_is_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="has no group"):
        adapter_for(PGBENCH, "tps")
