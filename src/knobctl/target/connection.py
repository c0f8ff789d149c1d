"""The pipe to an agent: requests in, answers or typed errors out. The same for every way to reach one."""

from __future__ import annotations

import contextlib
import itertools
import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Any

from knobctl.agent import protocol
from knobctl.errors import (
    AgentLost,
    Busy,
    KnobChangedByOther,
    KnobctlError,
    NotPermitted,
    PreflightRefused,
    RestoreIncomplete,
    TargetError,
    WriteFailed,
)

PING_SECONDS = 5.0

_ERRORS: dict[str, type[KnobctlError]] = {
    protocol.BUSY: Busy,
    protocol.NOT_PERMITTED: NotPermitted,
    protocol.WRITE_FAILED: WriteFailed,
    protocol.CHANGED_BY_OTHER: KnobChangedByOther,
    protocol.RESTORE_INCOMPLETE: RestoreIncomplete,
    protocol.UNHEALTHY: PreflightRefused,
}


class Connection:
    """A running agent. One request at a time; a thread keeps the heartbeat going.

    Args:
        command: Command line that starts the agent with its protocol on standard input and output.

    Raises:
        AgentLost: It could not be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise AgentLost(f"cannot start {command[0]}: {error.strerror}") from None
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._last_words = b""
        self.pid = self._process.pid
        self._threads = [
            threading.Thread(target=work, name=f"agent-{work.__name__}", daemon=True)
            for work in (self._read, self._read_errors, self._ping)
        ]
        for thread in self._threads:
            thread.start()

    def call(self, operation: str, on_line: Callable[[str, float], bool] | None = None, **arguments: Any) -> Any:
        """Sends a request and waits for its answer.

        Args:
            operation: Name of the operation.
            on_line: Called with every line of output that belongs to the request; True stops the command.
            **arguments: The request's other keys.

        Raises:
            KnobctlError: The agent's error, typed.
            AgentLost: The agent ended or broke the protocol.
        """
        number = next(self._numbers)
        self._send({"id": number, "op": operation, **arguments})
        while True:
            message = self._answers.get()
            if message is None:
                self._answers.put(None)
                raise self._lost()
            if message.get("id") != number:
                continue
            if "line" in message:
                if on_line is not None and on_line(str(message["line"]), float(message["at"])):
                    self._send({"id": next(self._numbers), "op": "stop-run"})
                    on_line = None
                continue
            if message.get("ok"):
                return message
            kind = _ERRORS.get(str(message.get("code")), TargetError)
            raise kind(str(message.get("message", "")), str(message.get("hint", "")))

    def close(self, timeout: float = 30.0) -> None:
        """Closes the agent's input and waits for its end; the agent restores what is not restored yet."""
        self._closed.set()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(timeout)
        for thread in self._threads:
            thread.join(PING_SECONDS)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with self._sending:
            try:
                self._process.stdin.write(protocol.encode(message))
                self._process.stdin.flush()
            except (OSError, ValueError):
                raise self._lost() from None

    def _lost(self) -> KnobctlError:
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            code = None
        words = self._last_words.decode("utf-8", "replace").strip().splitlines()[-3:]
        detail = f": {'; '.join(words)}" if words else ""
        if code == 77:
            return NotPermitted(f"the agent may not work here{detail}", "Run it as root or with sudo.")
        return AgentLost(
            f"the agent ended during the run (status {code}){detail}",
            "Its watcher has restored the machine; `knobctl status` says what happened.",
        )

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._answers.put(protocol.decode(line))
            except protocol.AgentError:
                break
        self._answers.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._last_words = (self._last_words + line)[-4000:]

    def _ping(self) -> None:
        while not self._closed.wait(PING_SECONDS):
            try:
                self._send({"id": 0, "op": "ping"})
            except KnobctlError:
                return
