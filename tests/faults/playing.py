"""One run with one fault, or two: a seed in, what became of it out.

The machine is put into a random allowed state, a run is started, the fault strikes at a random moment, and then
everything has to be as it was: every kernel file byte for byte, no process, no lock, no journal, no folder.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM

from tests.faults import processes, registry
from tests.faults.disks import Disk
from tests.faults.fault import Fault
from tests.faults.machine import Machine, Texts, differences
from tests.faults.main_program import Part
from tests.faults.runs import ROOT, Knobs, Run, command, environment, program, restore_command
from tests.faults.scene import Scene, Watch

HANG_SECONDS = 60.0
SHARE_OF_COMMAND = 0.2
BETWEEN_FAULTS_SECONDS = (0.02, 0.3)
TRIAL_SECONDS = 0.3
COMMAND_SECONDS = 2.5
SHARE_OF_EARLY = 0.2
FIRST_CHANGE_SECONDS = 15.0
LONG_TRIALS = 8
SIDE_EFFECTS = (
    "/proc/sys/vm/dirty_ratio", "/proc/sys/vm/dirty_bytes", "/proc/sys/vm/dirty_background_ratio",
    "/proc/sys/vm/dirty_background_bytes", "/proc/sys/vm/min_free_kbytes",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    Attributes:
        fault: Name of the fault, or of the pair.
        seed: With it the run can be repeated.
        door: ``program`` or ``command``.
        struck: The fault (both, of a pair) found something to strike.
        started_again: The next start had to put the kernel back.
        restored_seconds: From the fault, or from that next start, until every kernel file was back; None when all of
            them were as before at that moment.
        gone_seconds: The same until no process was left either.
        problems: What was not as before, or not as promised; empty when the machine was restored.
        details: What helps to find out why: words of the programs, process table.
    """

    fault: str
    seed: int
    door: str = ""
    struck: bool = False
    started_again: bool = False
    restored_seconds: float | None = None
    gone_seconds: float = 0.0
    problems: tuple[str, ...] = ()
    details: tuple[str, ...] = field(default=())

    @property
    def restored(self) -> bool:
        """Whether everything was as before."""
        return not self.problems


def play(name: str, seed: int, machine: Machine, knobs: Knobs, original: Texts) -> Outcome:
    """Plays one run and leaves the kernel files at their original texts.

    Raises:
        RuntimeError: The kernel files cannot be brought back to where the campaign found them.
    """
    rng = random.Random(f"{name}/{seed}")
    faults = registry.named(name)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    with contextlib.ExitStack() as after:
        after.callback(shutil.rmtree, folder, ignore_errors=True)
        after.callback(_put_back, machine, original)
        change_something(machine, knobs, rng)
        return _play(name, seed, faults, machine, knobs, rng, folder, after)


def change_something(machine: Machine, knobs: Knobs, rng: random.Random) -> None:
    """Puts the machine into a random state that an administrator may have chosen."""
    states = {
        "/proc/sys/vm/dirty_bytes": str(rng.randrange(64 << 20, 1 << 30, 4096)),
        "/proc/sys/vm/dirty_background_bytes": str(rng.randrange(16 << 20, 64 << 20, 4096)),
        "/proc/sys/vm/dirty_ratio": str(rng.randint(15, 50)),
        "/proc/sys/vm/swappiness": str(rng.randint(0, 100)),
        "/proc/sys/net/ipv4/tcp_wmem": f"4096 {rng.randrange(16384, 65536)} {rng.randrange(2 << 20, 8 << 20)}",
    }
    for name in ("thp.enabled", "thp.defrag", "block.scheduler"):
        if name in knobs.states:
            states[knobs.states[name].paths[0]] = rng.choice(knobs.states[name].choices)
    if "block.read_ahead_kb" in knobs.states:
        states[knobs.states["block.read_ahead_kb"].paths[0]] = str(rng.choice((128, 512, 4096)))
    for path in rng.sample(sorted(states), rng.randint(0, 4)):
        machine.write(path, states[path])


def _play(name: str, seed: int, faults: list[Fault], machine: Machine, knobs: Knobs, rng: random.Random,
          folder: Path, after: contextlib.ExitStack) -> Outcome:  # fmt: skip
    both = registry.joined(faults)
    door = "command" if "command" in both.doors and rng.random() < SHARE_OF_COMMAND else "program"
    names = knobs.some(rng, door, both.knobs)
    trials = LONG_TRIALS if both.longer else rng.randint(2, 5)
    part = Part(rng.randrange(1 << 30), names, trials, rng.random() < 0.5, both.patience)
    argv = program(part) if door == "program" else command(knobs, names, part.seed, folder)
    span = COMMAND_SECONDS if door == "command" else 1.0 if both.longer else TRIAL_SECONDS * trials
    early = rng.random() < SHARE_OF_EARLY
    disk = Disk(both.disk, folder) if both.disk else None
    if disk is not None:
        after.callback(disk.remove)
    wanted = machine.texts()
    env = environment(folder)
    run = Run(argv, disk, env)
    after.callback(run.close)
    after.callback(_end_everything, env)
    watch = Watch(machine, wanted, sorted({*knobs.paths(names), *SIDE_EFFECTS}))
    scene = Scene(run, rng, machine, watch, wanted, knobs.paths(names), folder, env, alone=len(faults) == 1)
    after.callback(scene.undo_all)
    struck_at = _strike(scene, faults, early, rng.uniform(0, span))
    moment = struck_at or time.monotonic()
    started_again = _finish(scene, moment)
    moment = started_again or moment
    gone_at = time.monotonic()
    _judge(scene, both, struck_at is not None)
    return Outcome(
        name, seed, door, struck_at is not None, started_again is not None,
        watch.restored_at - moment if watch.restored_at > moment else None, gone_at - moment,
        tuple(scene.problems), tuple(_words(scene)),
    )  # fmt: skip


def _strike(scene: Scene, faults: Sequence[Fault], early: bool, delay: float) -> float | None:
    """Lets the faults happen. Returns the moment of the last one, or None when one of them found nothing.

    The delay begins when the agent exists (``early``), or when the first knob was changed.
    """
    if not scene.run.find_guards():
        scene.problems.append("the run did not start")
        return None
    if not early:
        scene.wait(lambda: scene.watch.changed or not scene.run.alive("agent"), FIRST_CHANGE_SECONDS)
    scene.pause(delay)
    moments: list[float | None] = []
    for fault in faults:
        if moments:
            scene.pause(scene.rng.uniform(0, scene.rng.choice(BETWEEN_FAULTS_SECONDS)))
        moments.append(fault.strike(scene))
    found = [moment for moment in moments if moment is not None]
    return max(found) if len(found) == len(faults) else None


def _finish(scene: Scene, moment: float) -> float | None:
    """Waits for the end of the run; starts knobctl again where that has to help.

    Returns:
        The moment of that start, when the kernel was waiting for it.
    """
    deadline = moment + HANG_SECONDS

    def left() -> float:
        return max(0.0, deadline - time.monotonic())

    if not scene.wait(lambda: not scene.run.guarded and all(h.poll() is not None for h in scene.helpers), left()):
        scene.problems.append(f"the run did not end within {HANG_SECONDS:g} s: {', '.join(_living(scene))}")
        return None
    started: float | None = None
    if scene.run.journal.exists():
        waiting = differences(scene.wanted, scene.machine.texts())
        if waiting and not scene.needs_start:
            scene.problems.append("the run ended and had not restored the kernel: " + "; ".join(waiting))
        if waiting or scene.needs_start:
            started = time.monotonic()
            _start_again(scene, left())
        elif scene.run.disk is None or scene.run.disk.kind != "ext4":
            scene.problems.append("the run ended and left its journal")
    gone = scene.wait(lambda: _nobody_is_left(scene), left())
    disk = scene.run.disk
    if gone and disk is not None and disk.kind == "ext4" and scene.run.journal.exists():
        disk.repair()
        _start_again(scene, left())
    return started


def _start_again(scene: Scene, seconds: float) -> None:
    """The next start after the run: ``knobctl restore``, or simply another run."""
    part = Part(scene.rng.randrange(1 << 30), ("vm.page-cluster",), 1)
    another = scene.rng.random() < 0.4 and scene.run.disk is None
    helper = scene.start(program(part) if another else restore_command(), scene.folder / "next-start")
    scene.wait(lambda: helper.poll() is not None, seconds)


def _nobody_is_left(scene: Scene) -> bool:
    own = [scene.run.popen.pid, *(helper.pid for helper in scene.helpers)]
    processes.reap_orphans(own)
    return not processes.descendants(os.getpid())


def _judge(scene: Scene, both: Fault, struck: bool) -> None:
    """Notes everything that is not as before."""
    scene.undo_all()
    scene.problems += differences(scene.wanted, scene.machine.texts())
    left = processes.describe(processes.descendants(os.getpid()))
    scene.problems += [f"process left: {line}" for line in left]
    if not scene.machine.lock_is_free():
        scene.problems.append("the lock is held")
    scene.problems += scene.machine.left_files(scene.run.disk.folder if scene.run.disk else None)
    code = scene.run.popen.poll()
    if both.completes and struck and code not in (0, 3):
        scene.problems.append(f"the run should not have been disturbed, and ended with {code}")


def _end_everything(env: dict[str, str]) -> None:
    """Ends what is left of a run that went wrong: first so that it can restore, then for good, then by force."""
    if not processes.descendants(os.getpid()):
        return
    for number, pids in (
        (SIGCONT, processes.descendants),
        (SIGTERM, processes.children),
        (SIGKILL, processes.descendants),
    ):
        for pid in pids(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + (0.0 if number == SIGCONT else 10.0)
        while processes.descendants(os.getpid()) and time.monotonic() < deadline:
            processes.reap_orphans(())
            time.sleep(0.05)
    subprocess.run(restore_command(), cwd=ROOT, env=env, capture_output=True, check=False, timeout=HANG_SECONDS)


def _put_back(machine: Machine, original: Texts) -> None:
    failed = machine.put_back(original)
    if failed:
        raise RuntimeError("the machine cannot be brought back to where it was: " + "; ".join(failed))


def _living(scene: Scene) -> list[str]:
    return [role for role in scene.run.roles if scene.run.alive(role)]


def _words(scene: Scene) -> list[str]:
    """What helps to find out what went wrong, if something did."""
    if not scene.problems:
        return []
    scene.run.hear()
    words = [f"main program: {line}" for line in scene.run.lines[-12:]]
    for name in ("second-run", "restore", "next-start", "strace-words", "strace"):
        with contextlib.suppress(OSError):
            lines = (scene.folder / name).read_text(errors="replace").splitlines()
            words += [f"{name}: {line}" for line in lines[-6:]]
    return words + processes.describe(processes.descendants(os.getpid()))
