"""Workloads on files in the work folder: every trial starts with the same files, clean and out of the page cache.

Dirty pages that one trial leaves would be written during the next one, so they are flushed between trials. Files that
will be read are dropped from the page cache (of these files alone; ``vm.drop_caches`` is never written), so that
read-ahead and the disk's queue have something to do.
"""

from __future__ import annotations

from collections.abc import Sequence

from knobctl.errors import KnobctlError
from knobctl.target import Target
from knobctl.workload.tool import ToolAdapter, ToolWorkload

_PREPARE_TIMEOUT = 1800.0
_FLUSH_TIMEOUT = 600.0


class FileLoad(ToolWorkload):
    """A command that works on files whose names match a pattern.

    Args:
        adapter: Reads the output.
        argv: The command.
        target: Where to run.
        objective: Metric to follow.
        reset_command: Runs before each trial.
        names: Shell patterns of the files' names.
        reads: The files are read, so they must not be cached when a trial starts.
    """

    def __init__(
        self,
        adapter: ToolAdapter,
        argv: Sequence[str],
        target: Target,
        objective: str,
        reset_command: Sequence[str],
        names: Sequence[str],
        reads: bool,
    ) -> None:
        super().__init__(adapter, argv, target, objective, reset_command)
        self._names = tuple(names)
        self._reads = reads

    @property
    def resets(self) -> bool:
        """It brings its data back by itself."""
        return True

    def reset(self) -> None:
        """Writes the files' dirty pages to the disk and, when they are read, drops them from the page cache.

        Raises:
            WorkloadError: The disk reported an error.
        """
        self.require("flushing the files", self._find("-exec", "sync", "{}", "+"), _FLUSH_TIMEOUT)
        if self._reads:
            # An empty copy with this flag makes dd advise the kernel to drop the whole file's pages.
            drop = ("dd", "if={}", "iflag=nocache", "count=0", "status=none", ";")
            self.attempt(self._find("-exec", *drop), _FLUSH_TIMEOUT)
        super().reset()

    def cleanup(self) -> None:
        """Removes the files."""
        try:
            self.attempt(self._find("-delete"), _FLUSH_TIMEOUT)
        except KnobctlError:
            return

    def _find(self, *action: str) -> tuple[str, ...]:
        either = [word for name in self._names for word in ("-o", "-name", name)][1:]
        return ("find", self.target.folder, "-maxdepth", "1", "-type", "f", "(", *either, ")", *action)


class SysbenchFiles(FileLoad):
    """sysbench's file test.

    Args:
        adapter: Reads the output.
        argv: The command.
        target: Where to run.
        objective: Metric to follow.
        reset_command: Runs before each trial.
        layout: The options that number, size and flags of the files depend on.
        reads: The mode reads.
    """

    def __init__(
        self,
        adapter: ToolAdapter,
        argv: Sequence[str],
        target: Target,
        objective: str,
        reset_command: Sequence[str],
        layout: Sequence[str],
        reads: bool,
    ) -> None:
        super().__init__(adapter, argv, target, objective, reset_command, ("test_file.*",), reads)
        self._layout = tuple(layout)

    def prepare(self) -> None:
        """Makes the files that the test wants."""
        argv = (self.program(), "fileio", *self._layout, "prepare")
        self.require("making the test files", argv, _PREPARE_TIMEOUT)
