"""Which adapter knows a command: program and arguments in, an :class:`~knobctl.workload.base.Adapter` out."""

from __future__ import annotations

from collections.abc import Sequence

from knobctl.errors import UsageError
from knobctl.workload.ab import AbAdapter
from knobctl.workload.base import Adapter, Direction, MetricSpec
from knobctl.workload.custom import CustomAdapter, PatternAdapter, check_pattern
from knobctl.workload.fio import FioAdapter
from knobctl.workload.pgbench import PgbenchAdapter
from knobctl.workload.sysbench import SysbenchAdapter
from knobctl.workload.tool import ToolAdapter
from knobctl.workload.wrk import WrkAdapter

_ADAPTERS: tuple[ToolAdapter, ...] = (PgbenchAdapter(), AbAdapter(), WrkAdapter(), SysbenchAdapter(), FioAdapter())

DEFAULT_METRIC = "metric"


def adapters() -> tuple[Adapter, ...]:
    """Every known tool, in the order of lists."""
    return _ADAPTERS


def adapter_for(
    argv: Sequence[str],
    metric_pattern: str | None = None,
    metric_name: str | None = None,
    direction: Direction | None = None,
) -> Adapter:
    """What knows this command.

    Args:
        argv: Program and arguments. The program is known by the last part of its path.
        metric_pattern: Regular expression of a metric of the user's own. With a known tool its metric comes first.
        metric_name: What to call that metric; ``metric`` when left out.
        direction: Whether more or less of it is better; known for metrics with a known name.

    Raises:
        UsageError: The command is empty; the program is unknown and there is no pattern; the pattern cannot work; or
            nobody knows the direction of its metric.
    """
    if not argv or not argv[0]:
        raise UsageError("the benchmark command is empty", "Give a command, such as --command 'pgbench -c 10 -T 30'.")
    program = argv[0].rpartition("/")[2]
    tool = next((adapter for adapter in _ADAPTERS if adapter.program == program), None)
    if metric_pattern is None:
        if tool is None:
            known = ", ".join(adapter.program for adapter in _ADAPTERS)
            raise UsageError(
                f"{argv[0][:80]!r} is no benchmark that knobctl knows ({known})",
                "Say how to find its metric with --metric-pattern 'score: ([0-9.]+)' and --direction.",
            )
        return tool
    check_pattern(metric_pattern)
    name = metric_name or DEFAULT_METRIC
    known_as = find_metric(tool.metrics(argv), name) if tool else None
    if known_as is None and tool is None:
        known_as = next(filter(None, (find_metric(each.metrics((each.program,)), name) for each in _ADAPTERS)), None)
    way = direction or (known_as.direction if known_as else None)
    if way is None:
        raise UsageError(
            f"nobody knows whether more or less of {name!r} is better",
            "Add --direction maximize or --direction minimize.",
        )
    if tool is not None:
        metric = known_as or MetricSpec(name, "", way)
        return PatternAdapter(tool, MetricSpec(metric.name, metric.unit, way, metric.summary), metric_pattern)
    return CustomAdapter(program, MetricSpec(name, known_as.unit if known_as else "", way), metric_pattern)


def find_metric(metrics: Sequence[MetricSpec], name: str) -> MetricSpec | None:
    """The metric of this name, else of this synonym, or None. Case, hyphens and blanks do not matter."""
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    by_name = next((metric for metric in metrics if metric.name == wanted), None)
    return by_name or next((metric for metric in metrics if wanted in metric.synonyms), None)
