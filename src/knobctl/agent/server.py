"""The agent's loop: requests on standard input, the output of programs, signals and time; one thread, no surprises.

It ends, restoring everything first, when its input closes, when it hears nothing for a minute while a session is open,
on SIGTERM or SIGHUP, and when the watcher dies (which arrives as SIGTERM, or is seen). Once a second it gives a sign of
life and looks whether the machine is well and nobody else has touched the run's knobs.
"""

import functools
import os
import select
import selectors
import signal
import time
from types import FrameType
from typing import Any, Callable, Dict, List, Optional

from knobctl.agent import processes, protocol
from knobctl.agent.health import Guard
from knobctl.agent.kernel import Kernel
from knobctl.agent.metrics import Sampler
from knobctl.agent.places import Places, take_lock
from knobctl.agent.protocol import BAD_REQUEST, FAILED, UNHEALTHY, AgentError
from knobctl.agent.recovery import recover
from knobctl.agent.running import Program, Run, tail
from knobctl.agent.session import Session

MAX_FILE = 1_000_000
MAX_SECONDS = 86400.0
LOOK_SECONDS = 1.0


class Server:
    """Serves one main program until its input ends.

    Args:
        kernel: The machine's knobs.
        places: Where the agent keeps things.
        lock: Open handle of the lock file.
        watcher: Process id of the watcher, which is the parent of this process as long as it lives.
        line: Open handle of the pipe to the watcher.
    """

    def __init__(self, kernel: Kernel, places: Places, lock: int, watcher: int, line: int) -> None:
        self._kernel = kernel
        self._places = places
        self._lock = lock
        self._watcher = watcher
        self._line = line
        self._told_all = True
        self._identity = processes.Identity(os.environ)
        self._session = Session(kernel, places, lock, self._identity, kernel.quantities())
        self._guard: Optional[Guard] = None
        self._next_look = 0.0
        self._trouble: Optional[AgentError] = None
        self._tripped = ""
        self._selector = selectors.PollSelector()
        self._services: Dict[str, Program] = {}
        self._signals: Dict[str, int] = {}
        self._run: Optional[Run] = None
        self._listening = 0
        self._buffer = b""
        self._reason = ""
        self._heard = time.monotonic()
        self._operations: Dict[str, Callable[[Dict[str, Any]], Optional[Dict[str, Any]]]] = {
            "ping": lambda request: {}, "open": self._open, "write": self._write,
            "put": self._put, "run": self._begin_run, "stop-run": self._stop_run, "start": self._start,
            "stop": self._stop, "restore": self._restore, "close": self._close, "recover": self._recover,
        }  # fmt: skip

    def serve(self) -> int:
        """Runs until the input ends. Returns the process's exit status."""
        wakeup, self._wake = os.pipe()
        for end in (wakeup, self._wake, self._line, 0, 1):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._selector.register(0, selectors.EVENT_READ, "input")
        self._selector.register(wakeup, selectors.EVENT_READ, "signal")
        while not self._reason:
            for key, _ in self._selector.select(0.25):
                if key.data == "input":
                    self._read_input()
                elif key.data == "signal":
                    os.read(wakeup, 4096)
            self._pump()
            self._look()
            if self._session.is_open and time.monotonic() - self._heard > protocol.HEARTBEAT_SECONDS:
                self._reason = "the main program fell silent"
        self._session.end(self._reason)
        return 0

    def _look(self) -> None:
        """Gives a sign of life, and looks whether the session can go on as it is.

        Whether the watcher lives is asked each time, not once a second: its death gives no signal while this process
        acts as somebody else, which it only does within a request.
        """
        if os.getppid() != self._watcher:
            self._reason = self._reason or "the watcher ended"
        if time.monotonic() < self._next_look:
            return
        self._tell_watcher(b"\n")
        if self._guard is not None:
            trip = self._guard.look()
            self._trouble = self._trouble or self._session.disturbance()
            if self._trouble is not None and self._run is not None:
                self._run.stop()
            if trip is not None:
                self._tripped = trip.words
                if self._run is not None:
                    self._run.stop()
                self._session.restore()
                self._guard.rest()
        self._next_look = time.monotonic() + LOOK_SECONDS

    def _tell_watcher(self, data: bytes) -> None:
        """Signs of life and the journal's lines; the journal alone counts once a line did not get through."""
        try:
            if os.write(self._line, data) == len(data):
                return
        except OSError:
            pass
        self._told_all = self._told_all and not data.strip()

    def _copy_line(self, data: bytes) -> None:
        if self._told_all:
            self._tell_watcher(data)

    def _on_signal(self, number: int, frame: Optional[FrameType]) -> None:
        self._reason = self._reason or "signal %s" % signal.Signals(number).name

    def _read_input(self) -> None:
        try:
            block = os.read(0, 1 << 20)
        except BlockingIOError:
            return
        if not block:
            self._reason = self._reason or "the main program ended"
            return
        self._heard = time.monotonic()
        *lines, self._buffer = (self._buffer + block).split(b"\n")
        if len(self._buffer) > protocol.MAX_LINE:
            self._reason = "the main program broke the protocol"
        for line in lines:
            if line.strip():
                self._take(line)

    def _take(self, line: bytes) -> None:
        began = time.monotonic()
        try:
            request = protocol.decode(line)
        except AgentError as error:
            self._send_error(None, error)
            return
        number = request.get("id")
        self._answer(number if isinstance(number, int) else None, functools.partial(self._carry_out, request))
        if self._guard is not None and time.monotonic() - began > LOOK_SECONDS:
            self._guard.rest()

    def _carry_out(self, request: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        operation = self._operations.get(str(request.get("op")))
        if operation is None:
            raise AgentError(BAD_REQUEST, "unknown operation %r" % (request.get("op"),))
        return operation(request)

    def _answer(self, number: Any, work: Callable[[], Optional[Dict[str, Any]]]) -> None:
        try:
            answer = work()
            if answer is not None:
                self._send({"id": number, "ok": True, **answer})
        except AgentError as error:
            self._send_error(number, error)
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            self._send_error(number, AgentError(FAILED, "%s: %s" % (type(error).__name__, error)))

    def _send_error(self, number: Any, error: AgentError) -> None:
        self._send({"id": number, "ok": False, "code": error.code, "message": error.message, "hint": error.hint})

    def _send(self, message: Dict[str, Any]) -> None:
        data = protocol.encode(message)
        deadline = time.monotonic() + protocol.HEARTBEAT_SECONDS
        while data and not self._reason:
            try:
                data = data[os.write(1, data) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self._reason = "the main program no longer reads"
                select.select([], [1], [], 1.0)
                self._look()
            except OSError:
                self._reason = "the main program ended"

    def _pump(self) -> None:
        if self._run is not None:
            outcome = self._run.pump()
            if (outcome is not None or self._run.program.at_end) and self._listening:
                self._selector.unregister(self._listening)
                self._listening = 0
            if outcome is not None:
                self._run.program.close()
                number, self._run = self._run.request, None
                self._end_strays()
                self._answer(number, functools.partial(self._outcome, outcome))
        for service in self._services.values():
            tail(service)

    def _end_strays(self) -> None:
        """Ends what a finished benchmark left running: everything of ours that is not part of a service."""

        def strays() -> "set[int]":
            kept = {pid for service in self._services.values() for pid in service.family()}
            return processes.descendants(os.getpid(), self._session.folder, self._identity.uid) - kept

        if strays():
            processes.end(strays, grace=0.5)

    # What the main program may ask for. Each returns its answer, or None when the answer comes later.

    def _open(self, request: Dict[str, Any]) -> Dict[str, Any]:
        base = str(request["base"])
        guard = Guard(self._places.root, (base, self._places.state), stricter=request.get("limits"))
        trip = guard.shortage()
        if trip is not None:
            raise AgentError(
                UNHEALTHY, "this machine is in no state to be tuned: %s" % trip.words, "Nothing was changed."
            )
        left = self._session.begin(str(request["session"]), base, list(request.get("knobs", ())), self._copy_line)
        self._guard = guard
        return {"folder": self._session.folder, "left": left}

    def _write(self, request: Dict[str, Any]) -> Dict[str, Any]:
        self._check_trouble()
        return {"held": self._session.write_all(dict(request["values"]))}

    def _restore(self, request: Dict[str, Any]) -> Dict[str, Any]:
        return {"knobs": self._session.restore()}

    def _close(self, request: Dict[str, Any]) -> Dict[str, Any]:
        self._guard = None
        self._session.restore()
        if self._run is not None:
            self._run.stop()
        for name in list(self._services):
            self._end_service(name)
        record = self._session.end(str(request.get("reason", "finished")))
        return {"knobs": record["knobs"] if record else []}

    def _recover(self, request: Dict[str, Any]) -> Dict[str, Any]:
        if self._session.is_open:
            raise AgentError(BAD_REQUEST, "a session is open")
        take_lock(self._lock)
        return {"record": recover(self._kernel, self._places, "restore", str(request["reason"])[:200])}

    def _put(self, request: Dict[str, Any]) -> Dict[str, Any]:
        name, content = str(request["name"]), str(request["text"]).encode("utf-8")
        if not self._session.is_open:
            raise AgentError(BAD_REQUEST, "no session is open")
        if name != os.path.basename(name) or name in ("", ".", ".."):
            raise AgentError(BAD_REQUEST, "%r is not a plain file name" % name)
        if len(content) > MAX_FILE:
            raise AgentError(BAD_REQUEST, "%s has more than %d bytes" % (name, MAX_FILE))
        path = os.path.join(self._session.folder, name)
        fresh = path + ".new"
        with processes.acting_as(self._identity.uid, self._identity.gid):
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as out:
                out.write(content)
                os.fchmod(out.fileno(), 0o700 if request.get("executable") else 0o600)
            os.rename(fresh, path)
        return {"path": path}

    def _begin_run(self, request: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        if not self._session.is_open or self._run is not None:
            raise AgentError(BAD_REQUEST, "no session is open, or a command is running")
        number, timeout = int(request["id"]), float(request["timeout"])
        if not 0 < timeout <= MAX_SECONDS:
            raise AgentError(BAD_REQUEST, "a command may take up to %d s, not %g" % (MAX_SECONDS, timeout))
        if self._tripped:  # between two commands
            return self._outcome({"exit_code": -int(signal.SIGKILL), "seconds": 0.0, "stopped": True})
        self._check_trouble()
        sampler = Sampler(self._kernel.disk, self._places.root) if request.get("sample") else None
        try:
            program = Program(_argv(request), self._identity, self._session.folder, _env(request))
        except OSError as error:
            self._send({"id": number, "line": "cannot start %s: %s" % (request["argv"][0], error.strerror), "at": 0})
            return self._outcome({"exit_code": 127, "seconds": 0.0})
        self._run = Run(number, program, timeout, sampler, self._send)
        self._selector.register(program.pipe, selectors.EVENT_READ, "output")
        self._listening = program.pipe
        return None

    def _outcome(self, run: Dict[str, Any]) -> Dict[str, Any]:
        """A command's outcome, unless something happened that the whole run must end for."""
        self._check_trouble()
        words, self._tripped = self._tripped, ""
        return {"timed_out": False, "stopped": False, "machine": {}, **run, "tripped": words}

    def _check_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _stop_run(self, request: Dict[str, Any]) -> Dict[str, Any]:
        if self._run is not None:
            self._run.stop()
        return {}

    def _start(self, request: Dict[str, Any]) -> Dict[str, Any]:
        name = str(request["name"])
        if not self._session.is_open or name in self._services:
            raise AgentError(BAD_REQUEST, "no session is open, or a service %r runs already" % name)
        stop_signal = int(signal.Signals[str(request.get("stop_signal", "SIGTERM"))])
        try:
            service = Program(_argv(request), self._identity, self._session.folder, _env(request))
        except OSError as error:
            raise AgentError(FAILED, "cannot start %s: %s" % (request["argv"][0], error.strerror)) from None
        self._services[name] = service
        self._signals[name] = stop_signal
        return {"pid": service.pid}

    def _stop(self, request: Dict[str, Any]) -> Dict[str, Any]:
        return {"lines": self._end_service(str(request["name"]))}

    def _end_service(self, name: str) -> List[str]:
        service = self._services.pop(name, None)
        if service is None:
            return []
        if service.exit_code() is None:
            os.kill(service.pid, self._signals[name])
        deadline = time.monotonic() + 10.0
        while service.exit_code() is None and time.monotonic() < deadline:
            tail(service)
            time.sleep(0.02)
        processes.end(service.family, grace=0.0, first=signal.SIGKILL)
        service.exit_code()
        lines = tail(service)
        service.close()
        return lines


def _argv(request: Dict[str, Any]) -> List[str]:
    argv = request["argv"]
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) and "\0" not in word for word in argv):
        raise AgentError(BAD_REQUEST, "argv is a list of words")
    return argv


def _env(request: Dict[str, Any]) -> Dict[str, str]:
    return {str(name): str(value) for name, value in dict(request.get("env") or {}).items()}


def main(kernel: Kernel, places: Places, lock: int, watcher: int, line: int) -> int:
    """The agent's process: becomes the guardian of its children, then serves."""
    processes.become_subreaper()
    processes.die_with_parent()
    processes.set_oom_score(processes.GUARDIAN_OOM_SCORE)
    if os.getppid() != watcher:
        return 1
    return Server(kernel, places, lock, watcher, line).serve()
