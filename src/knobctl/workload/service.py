"""Throw-away servers on the loopback interface: a recipe in, a server that answers on a free port out."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from knobctl.errors import ServiceFailed
from knobctl.target import Command, Service, Target
from knobctl.workload.tool import stop_if_tripped

LOOPBACK = "127.0.0.1"
_FIRST_PORT, _LAST_PORT = 20_000, 29_999
_LOCAL_ADDRESS = re.compile(r"^\s*[0-9]+: [0-9A-Fa-f]+:([0-9A-Fa-f]{4}) ", re.MULTILINE)


def free_port(target: Target) -> int:
    """A TCP port that nothing on the target uses now, below the range from which the kernel takes client ports."""
    used: set[int] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        shown = target.run(Command(("cat", table), timeout=10.0))
        stop_if_tripped(shown, "looking for a free port")
        used.update(int(port, 16) for port in _LOCAL_ADDRESS.findall(shown.output))
    free = [port for port in range(_FIRST_PORT, _LAST_PORT + 1) if port not in used]
    return random.SystemRandom().choice(free)


def start_service(
    target: Target, service: Service, answers: Callable[[], bool], pid_file: str, deadline: float = 60.0
) -> None:
    """Starts a server and waits until it answers.

    Args:
        target: Where to start it.
        service: The server.
        answers: Asks the server; True when it is ready.
        pid_file: A file that the server holds while it runs, by which an early death is noticed.
        deadline: Seconds to wait.

    Raises:
        ServiceFailed: It ended, or did not answer in time; its last words are in the message.
        HealthStop: The health guard ended a command that looked at it.
    """
    target.start(service)
    started = target.clock.monotonic()
    while True:
        if answers():
            return
        waited = target.clock.monotonic() - started
        gone = False
        if waited > 3.0:
            there = target.run(Command(("test", "-e", pid_file), timeout=10.0))
            stop_if_tripped(there, f"starting {service.name}")
            gone = not there.ok
        if gone or waited > deadline:
            words = " | ".join(line.strip()[:200] for line in target.stop(service.name).splitlines()[-5:])
            what = "ended at once" if gone else f"did not answer within {deadline:.0f} s"
            raise ServiceFailed(
                f"the throw-away {service.name} server {what}: {words or 'it printed nothing'}",
                "Its last words say why; `knobctl doctor` checks what it needs.",
            )
        target.clock.sleep(0.2)


def start_on_free_port(
    target: Target,
    recipe: Callable[[int], Service],
    answers: Callable[[int], bool],
    pid_file: str,
    deadline: float = 60.0,
    attempts: int = 3,
) -> int:
    """Starts a server on a free port, on another one when somebody was faster, and returns the port.

    Raises:
        ServiceFailed: As :func:`start_service`.
    """
    for attempt in range(1, attempts + 1):
        port = free_port(target)
        try:
            start_service(target, recipe(port), lambda port=port: answers(port), pid_file, deadline)  # type: ignore[misc]
        except ServiceFailed as failure:
            if attempt == attempts or "in use" not in failure.message.lower():
                raise
        else:
            return port
    raise ServiceFailed("no free port was found on the loopback interface", "Close some listening programs.")
