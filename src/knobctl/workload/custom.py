"""Commands of the user's own, and metrics of the user's own: a regular expression in, one number out.

Of several matches the last one counts, because tools print their summary at the end. A pattern is run in a process of
its own that is ended after some seconds: a careless pattern must not hang a tuning run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence

from knobctl.errors import UsageError
from knobctl.target import Target
from knobctl.workload.base import MetricSpec, Workload
from knobctl.workload.reading import parse_number
from knobctl.workload.tool import ProgressLine, ToolAdapter

MAX_OUTPUT = 1_000_000
"""Characters at the end of the output that a pattern is matched against."""

PATTERN_SECONDS = 5.0
_PATTERN_HINT = "Give --metric-pattern a regular expression whose first group is the number: 'score: ([0-9.]+)'."

_MATCHER = """
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
pattern, text = json.load(sys.stdin)
last = None
for match in re.finditer(pattern, text, re.MULTILINE):
    if match.group(1) is not None:
        last = match.group(1)
json.dump(last, sys.stdout)
""".replace("MEMORY", str(512 * 2**20))


def check_pattern(pattern: str) -> None:
    """Makes sure that a metric pattern can work.

    Raises:
        UsageError: It is no regular expression, or has no group.
    """
    try:
        groups = re.compile(pattern).groups
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            f"the metric pattern {pattern[:80]!r} is no regular expression: {error}", _PATTERN_HINT
        ) from None
    if groups == 0:
        raise UsageError(f"the metric pattern {pattern[:80]!r} has no group in parentheses", _PATTERN_HINT)


def last_match(pattern: str, text: str, seconds: float = PATTERN_SECONDS) -> float | None:
    """The number in the first group of the pattern's last match.

    None when nothing matches, when the group is no number (see :func:`~knobctl.workload.reading.parse_number`), or
    when matching takes longer than ``seconds`` or more than 512 MiB of memory.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _MATCHER],
            input=json.dumps([pattern, text[-MAX_OUTPUT:]]),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=True,
        )
        found = json.loads(done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        return None
    return parse_number(found) if isinstance(found, str) else None


class CustomAdapter(ToolAdapter):
    """A command that knobctl knows nothing about, with the user's pattern for its metric."""

    packages: Mapping[str, str] = {}

    def __init__(self, program: str, metric: MetricSpec, pattern: str) -> None:
        self.program = program
        self.title = f"{program}: your own command"
        self._metric = metric
        self._pattern = pattern

    def metrics(self, argv: Sequence[str]) -> tuple[MetricSpec, ...]:
        """The pattern's metric."""
        return (self._metric,)

    def problems(self, argv: Sequence[str]) -> list[str]:
        """Always one: knobctl cannot know what the command does."""
        return [f"{self.program[:80]} is no benchmark that knobctl knows, so it runs only with your own consent"]

    def parse(self, argv: Sequence[str], output: str) -> dict[str, float]:
        """The number of the pattern's last match."""
        value = last_match(self._pattern, output)
        return {} if value is None else {self._metric.name: value}


class PatternAdapter(ToolAdapter):
    """A known tool with a metric of the user's own, which comes before the tool's."""

    def __init__(self, tool: ToolAdapter, metric: MetricSpec, pattern: str) -> None:
        self.program = tool.program
        self.title = tool.title
        self.packages = tool.packages
        self._tool = tool
        self._metric = metric
        self._pattern = pattern

    def metrics(self, argv: Sequence[str]) -> tuple[MetricSpec, ...]:
        """The pattern's metric, then the tool's."""
        return (self._metric, *(spec for spec in self._tool.metrics(argv) if spec.name != self._metric.name))

    def problems(self, argv: Sequence[str]) -> list[str]:
        """The tool's."""
        return self._tool.problems(argv)

    def parse(self, argv: Sequence[str], output: str) -> dict[str, float]:
        """The tool's metrics, with the pattern's in place of one of the same name."""
        metrics = {name: value for name, value in self._tool.parse(argv, output).items() if name != self._metric.name}
        value = last_match(self._pattern, output)
        return metrics if value is None else {self._metric.name: value, **metrics}

    def run_seconds(self, argv: Sequence[str]) -> float | None:
        """The tool's."""
        return self._tool.run_seconds(argv)

    def complete(self, argv: Sequence[str]) -> tuple[str, ...]:
        """The command as it is: what the tool's adapter adds could change the output that the pattern was made for."""
        return tuple(argv)

    def progress(
        self, argv: Sequence[str], line: str, seconds: float, previous: ProgressLine | None
    ) -> ProgressLine | None:
        """The tool's, without the metric that the pattern replaces."""
        said = self._tool.progress(argv, line, seconds, previous)
        if said is None or self._metric.name not in said.metrics:
            return said
        others = {name: value for name, value in said.metrics.items() if name != self._metric.name}
        return ProgressLine(said.seconds, others, said.fraction, said.done)

    def complaint(self, argv: Sequence[str], metrics: Mapping[str, float], output: str) -> str:
        """The tool's."""
        return self._tool.complaint(argv, metrics, output)

    def workload(
        self, argv: Sequence[str], target: Target, objective: str, reset_command: Sequence[str], reader: ToolAdapter
    ) -> Workload:
        """The tool's workload, read by this adapter."""
        return self._tool.workload(argv, target, objective, reset_command, reader)
