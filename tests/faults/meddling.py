"""Faults that are somebody else: another program that sets knobs or the clock, another knobctl."""

from __future__ import annotations

import random
import time
from pathlib import Path
from signal import SIGCONT, SIGSTOP

from tests.faults import processes
from tests.faults.fault import Fault
from tests.faults.machine import twin_of
from tests.faults.main_program import Part
from tests.faults.runs import program, restore_command
from tests.faults.scene import Scene

FOR_IDLE_SECONDS = 1.0
OTHER_SECONDS = 30.0
FURTHEST_JUMP_SECONDS = 600.0
BUSY = 75

NEIGHBOUR = "/proc/sys/vm/min_free_kbytes"
THEIRS = {
    "/proc/sys/vm/swappiness": (0, 100),
    "/proc/sys/vm/vfs_cache_pressure": (50, 200),
    "/proc/sys/vm/dirty_expire_centisecs": (500, 6000),
    "/proc/sys/vm/dirty_ratio": (10, 40),
    "/proc/sys/vm/dirty_bytes": (64 << 20, 512 << 20),
    "/proc/sys/vm/dirty_background_ratio": (2, 9),
    "/proc/sys/vm/dirty_background_bytes": (16 << 20, 64 << 20),
    NEIGHBOUR: (200_000, 400_000),
    "/proc/sys/net/core/somaxconn": (1024, 8192),
    "/proc/sys/net/ipv4/tcp_wmem": (2 << 20, 8 << 20),
    "/proc/sys/net/ipv4/tcp_rmem": (4 << 20, 16 << 20),
}
"""What the other program may write: knobs whose writing moves nothing but their own other face."""


def others_write(scene: Scene) -> float | None:
    """Another program sets one of the run's knobs."""
    return _write(scene, scene.rng.choice([path for path in scene.paths if path in THEIRS] or [""]))


def others_write_neighbour(scene: Scene) -> float | None:
    """Another program sets a knob that the kernel may move when it is given one of the run's knobs."""
    return _write(scene, NEIGHBOUR)


def _write(scene: Scene, path: str) -> float | None:
    """Writes another value while the agent is between two pieces of work.

    In the middle of a write of the agent nobody could say whose value was there last.
    """
    agent = scene.run.roles["agent"]
    if not path or not scene.wait(lambda: _stopped_in_poll(agent) or not agent.alive, FOR_IDLE_SECONDS):
        return None
    try:
        text = _another_text(path, scene.machine.texts([path])[path].decode(), scene.wanted[path].decode(), scene.rng)
        scene.machine.write(path, text)
        moment = time.monotonic()
        faces = [face for face in (path, twin_of(path)) if face]
        scene.wanted.update(scene.machine.texts(faces))
    finally:
        alive = agent.send(SIGCONT)
    return moment if alive else None


def move_clock(scene: Scene) -> float | None:
    """The wall clock jumps by up to ten minutes, either way, until the run is over."""
    ahead = time.clock_gettime(time.CLOCK_REALTIME) - time.monotonic()
    jump = scene.rng.choice((-1, 1)) * scene.rng.uniform(1, FURTHEST_JUMP_SECONDS)

    def put_back() -> None:
        time.clock_settime(time.CLOCK_REALTIME, ahead + time.monotonic())

    scene.undo.append(put_back)
    time.clock_settime(time.CLOCK_REALTIME, ahead + jump + time.monotonic())
    return time.monotonic() if scene.run.alive("agent") else None


def second_run(scene: Scene) -> float | None:
    """Another main program starts."""
    part = Part(scene.rng.randrange(1 << 30), ("vm.swappiness",), 1)
    return _other_knobctl(scene, program(part), scene.folder / "second-run")


def restore_meanwhile(scene: Scene) -> float | None:
    """Somebody calls ``knobctl restore``."""
    return _other_knobctl(scene, restore_command(), scene.folder / "restore")


def _other_knobctl(scene: Scene, argv: list[str], output: Path) -> float | None:
    if not scene.wait(lambda: scene.run.journal.exists() or not scene.run.alive("agent"), OTHER_SECONDS):
        return None
    moment = time.monotonic()
    other = scene.start(argv, output)
    scene.wait(lambda: other.poll() is not None, OTHER_SECONDS)
    if not scene.run.alive("agent"):
        return None
    if other.returncode != BUSY and scene.alone:
        words = output.read_text(errors="replace").strip().splitlines()
        scene.problems.append(f"the other knobctl ended with {other.returncode} instead of {BUSY}: {words[-3:]}")
    return moment


def _stopped_in_poll(agent: processes.Handle) -> bool:
    """Stops the agent if it is between two pieces of work; otherwise lets it go on."""
    if not agent.send(SIGSTOP):
        return False
    while (process := processes.look(agent.pid)) is not None and process.state not in ("T", "t", *processes.DEAD):
        time.sleep(0.001)
    if processes.is_in_poll(agent.pid):
        return True
    agent.send(SIGCONT)
    return False


def _another_text(path: str, now: str, found: str, rng: random.Random) -> str:
    while True:
        *before, _ = now.split()
        text = " ".join([*before, str(rng.randint(*THEIRS[path]))])
        if text.split() not in (now.split(), found.split()):
            return text


FAULTS = (
    Fault("others-write", "another program sets one of the run's knobs",
          "agent: the run stops; their value stays, everything else is put back", others_write, wants_run=True),
    Fault("others-write-neighbour", "another program sets `vm.min_free_kbytes`, which `thp.enabled` moves",
          "agent: their value stays, everything else is put back", others_write_neighbour, wants_run=True,
          knobs=("thp.enabled",)),
    Fault("clock-jump", "the wall clock jumps by up to 600 s, forward or back", "main program: nothing happens",
          move_clock, completes=True),
    Fault("second-run", "a second run starts in the middle", "main program: the second run is refused (75)", second_run,
          wants_run=True, longer=True, completes=True),
    Fault("restore-meanwhile", "`knobctl restore` in the middle of a run", "main program: the restore is refused (75)",
          restore_meanwhile, wants_run=True, longer=True, completes=True),
)  # fmt: skip
