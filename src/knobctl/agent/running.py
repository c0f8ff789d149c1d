"""One program that the agent started: its output by lines, bounded; its deadline; its end."""

import os
import signal
import subprocess
import time
from collections import deque
from typing import Callable, Deque, Dict, Iterator, List, Mapping, Optional, Sequence, Set

from knobctl.agent import processes
from knobctl.agent.metrics import Sampler

LINE_LIMIT = 8192
OUTPUT_LIMIT = 4_000_000
KEPT_LINES = 50
BLOCKS = 2


class Program:
    """A running program with its output pipe. Output past the limit is read and dropped, but for the last lines.

    Args:
        argv: Program and arguments.
        identity: The ordinary user that it runs as.
        folder: Its current folder.
        env: Additional environment.

    Raises:
        OSError: It could not be started.
    """

    def __init__(self, argv: Sequence[str], identity: processes.Identity, folder: str, env: Mapping[str, str]) -> None:
        self._process: subprocess.Popen[bytes] = processes.spawn(argv, identity, folder, env)
        assert self._process.stdout is not None
        self.pipe = self._process.stdout.fileno()
        os.set_blocking(self.pipe, False)
        self.pid = self._process.pid
        self.started = time.monotonic()
        self.last_lines: Deque[str] = deque(maxlen=KEPT_LINES)
        self.at_end = False
        self._partial = b""
        self._taken = 0
        self._left_out = 0

    def lines(self) -> Iterator[str]:
        """Complete lines that have arrived; the rest of an unfinished one at the end."""
        for _ in range(BLOCKS):  # whoever prints without end must not keep the agent from everything else
            try:
                block = os.read(self.pipe, 65536)
            except BlockingIOError:
                return
            except OSError:
                block = b""
            if not block:
                yield from self._finish()
                return
            self._taken += len(block)
            *complete, self._partial = (self._partial + block).split(b"\n")
            if len(self._partial) > LINE_LIMIT:
                complete, self._partial = [*complete, self._partial], b""
            for raw in complete:
                line = self._line(raw)
                if self._taken <= OUTPUT_LIMIT:
                    yield line
                else:
                    self._left_out += 1

    def _finish(self) -> Iterator[str]:
        """The unfinished last line; after too much output the last lines, where a benchmark prints its summary."""
        if self.at_end:
            return
        self.at_end = True
        if self._partial:
            line = self._line(self._partial)
            if not self._left_out:
                yield line
        if self._left_out > len(self.last_lines):
            yield "[%d lines left out]" % (self._left_out - len(self.last_lines))
        if self._left_out:
            yield from list(self.last_lines)[-self._left_out :]

    def exit_code(self) -> Optional[int]:
        """Exit status when it has ended (negative: minus the signal), otherwise None."""
        return self._process.poll()

    def close(self) -> None:
        """Closes the pipe."""
        if self._process.stdout is not None:
            self._process.stdout.close()

    def family(self) -> Set[int]:
        """The program, while it lives, and all its descendants."""
        alive = {self.pid} if self._process.poll() is None else set()
        return alive | processes.descendants(self.pid)

    def _line(self, raw: bytes) -> str:
        text = raw[:LINE_LIMIT].decode("utf-8", "replace").rstrip("\r")
        self.last_lines.append(text)
        return text


class Run:
    """A benchmark run: a program with a deadline and, if asked for, machine metrics over its life.

    Args:
        request: Id of the request that is answered at its end.
        program: The program.
        timeout: Seconds until it is killed.
        sampler: Collects machine metrics, or None.
        send: Called with messages for the main program.
    """

    def __init__(
        self,
        request: int,
        program: Program,
        timeout: float,
        sampler: Optional[Sampler],
        send: Callable[[Dict[str, object]], None],
    ) -> None:
        self.request = request
        self.program = program
        self._deadline = program.started + timeout
        self._sampler = sampler
        self._send = send
        self._next_tick = program.started + 1.0
        self._timed_out = False
        self._stopped = False
        self._ended_at = 0.0

    def stop(self) -> None:
        """Kills it because the main program has seen enough."""
        self._stopped = True
        processes.signal_all(self.program.family(), signal.SIGKILL)

    def pump(self) -> Optional[Dict[str, object]]:
        """Forwards new output, samples, watches the deadline. Returns how it ended, or None while it goes on."""
        now = time.monotonic()
        for line in self.program.lines():
            self._send({"id": self.request, "line": line, "at": round(now - self.program.started, 4)})
        if self._sampler is not None and now >= self._next_tick:
            self._next_tick = now + 1.0
            self._sampler.tick()
        code = self.program.exit_code()
        if code is None:
            if now > self._deadline:
                self._timed_out = True
                processes.signal_all(self.program.family(), signal.SIGKILL)
            return None
        self._ended_at = self._ended_at or now
        if not self.program.at_end and now - self._ended_at < 0.2:
            return None  # a last line may still be in the pipe
        machine = self._sampler.finish() if self._sampler is not None else {}
        seconds = round(self._ended_at - self.program.started, 6)
        return {
            "exit_code": code, "seconds": seconds, "timed_out": self._timed_out, "stopped": self._stopped,
            "machine": machine,
        }  # fmt: skip


def tail(program: Program) -> List[str]:
    """The last lines of a program's output, with those that have arrived since."""
    for _ in program.lines():
        pass
    return list(program.last_lines)
