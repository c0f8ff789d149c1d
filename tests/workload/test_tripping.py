"""The health guard ends any command that prepares a benchmark: the workload says so, and takes it for nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence

import pytest

from knobctl.errors import HealthStop
from knobctl.target import Command, CommandOutcome
from knobctl.workload.base import Workload
from knobctl.workload.registry import adapter_for
from tests.workload.folder_target import Played, ScriptedTarget

WORDS = "312 MiB free in /var/tmp is below 512 MiB"
COMMANDS = (
    "pgbench -c 4 -T 5 shop",
    "pgbench -h localhost -c 4 -T 5 shop",
    "ab -n 100 http://localhost/",
    "wrk -d 5s http://localhost/",
    "sysbench fileio --file-total-size=1G --file-num=16 --file-test-mode=rndrw --time=5 run",
    "fio --name=x --rw=randread --size=64m --runtime=5",
)
SERVED = COMMANDS[0], COMMANDS[2]


class Machine(ScriptedTarget):
    """Its health guard ends the n-th command, from 0."""

    def __init__(self, trips_at: int | None = None, script: Mapping[str, Played] | None = None) -> None:
        super().__init__(script or {})
        self.trips_at = trips_at

    def run(self, command: Command, on_line: Callable[[str, float], bool] | None = None) -> CommandOutcome:
        outcome = super().run(command, on_line)
        if self.trips_at != len(self.commands) - 1:
            return outcome
        return CommandOutcome(-9, "half of it", 0.5, tripped=WORDS)


def bound(command: str, target: ScriptedTarget) -> Workload:
    argv = shlex.split(command)
    adapter = adapter_for(argv)
    return adapter.bind(argv, target, adapter.metrics(argv)[0].name, ("true",))


def make_ready(workload: Workload) -> None:
    workload.prepare()
    workload.restart()
    workload.reset()


def told(action: Callable[[], None]) -> str:
    with pytest.raises(HealthStop) as caught:
        action()
    return caught.value.message


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_makes_ready_is_watched(command: str) -> None:
    healthy = Machine()
    make_ready(bound(command, healthy))
    assert healthy.commands
    for trips_at in range(len(healthy.commands)):
        machine = Machine(trips_at)
        workload = bound(command, machine)
        assert told(lambda workload=workload: make_ready(workload)).endswith(  # type: ignore[misc]
            f" failed: the health guard ended it: {WORDS}"
        ), healthy.commands[trips_at]
        assert len(machine.commands) == trips_at + 1, "nothing more is run"
        machine.trips_at = len(machine.commands)
        workload.cleanup()


@pytest.mark.parametrize("command", SERVED)
def test_a_server_that_is_waited_for_is_not_taken_for_a_dead_one(command: str) -> None:
    def waiting(trips_at: int | None = None) -> Machine:
        silent = Played(exit_code=2)
        return Machine(trips_at, {"psql": silent, "ab": silent, "test": Played()})

    patient = waiting()
    with pytest.raises(Exception, match="did not answer within 60 s"):
        bound(command, patient).prepare()
    looks = [number for number, run in enumerate(patient.commands) if run.argv[0] == "test"]
    assert looks
    assert told(bound(command, waiting(looks[0])).prepare).startswith("starting ")


def test_the_words_name_what_was_ended() -> None:
    def words(command: str, program: str) -> str:
        healthy = Machine()
        make_ready(bound(command, healthy))
        return told(lambda: make_ready(bound(command, Machine(_first(healthy.commands, program)))))

    assert words(COMMANDS[0], "initdb").startswith("initdb failed: the health guard")
    assert words(COMMANDS[0], "pgbench").startswith("filling the pgbench tables failed: the health guard")
    assert words(COMMANDS[4], "sysbench").startswith("making the test files failed: the health guard")
    assert words(COMMANDS[4], "true").startswith("the reset command failed: the health guard")


def _first(commands: Sequence[Command], program: str) -> int:
    return next(number for number, run in enumerate(commands) if run.argv[0].rpartition("/")[2] == program)
