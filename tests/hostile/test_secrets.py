"""A password in a command reaches the benchmark, and nobody else: no line, no document, no record holds it."""

from __future__ import annotations

import io
import json

import pytest

from knobctl.report.narration import VERBOSE, Narrator
from knobctl.report.terminal import LineView
from knobctl.safety import Consent
from knobctl.store import Store
from knobctl.tools import optimize_workload
from knobctl.tuning import IDLE_SECONDS
from tests.hostile.driving import QUICK
from tests.hostile.machines import Recorder
from tests.hostile.test_consent import PLAN, run, verify
from tests.hostile.world import World

SECRET = "hunter2hunter2"
COMMANDS = (
    f"/opt/bench --pgsql-password={SECRET} --fast",
    f"/opt/bench --api-token {SECRET} --fast",
    f"/opt/bench 'host=db user=me password={SECRET} dbname=x'",
    f"/opt/bench postgresql://me:{SECRET}@127.0.0.1/x",
    f"/opt/bench 'http://127.0.0.1/?token={SECRET}'",
    f"/opt/bench -H 'Authorization: Bearer {SECRET}' http://127.0.0.1/",
    f'/opt/bench -H "X-Api-Key: {SECRET}" http://127.0.0.1/',
    f"/opt/bench -P me:{SECRET} -n 5",
)


def recorded(world: World) -> bytes:
    return b"".join(path.read_bytes() for path in world.database.parent.glob("knobctl.db*"))


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_is_told(world: World, command: str) -> None:
    for outcome in (run(world, benchmark_command=command), run(world, "--command", "x", benchmark_command=command)):
        assert outcome.code == 2
        assert SECRET not in outcome.text
    done = run(world, "--command", command, "-v", benchmark_command=command)
    assert done.code == 0, done.text
    rehearsed = run(world, "--command", command, "--dry-run", benchmark_command=command)
    told = [world.knobctl(*words) for words in (("sessions",), ("report", "-v"), ("report", "-v", "--json"))]
    for shown in (done, rehearsed, *told, verify(world)):
        assert SECRET not in shown.text
        assert "***" in shown.text or "/opt/bench" not in shown.text
    assert SECRET.encode() not in recorded(world)
    again = verify(world, "--command", command)
    assert again.code in (0, 3), again.text
    assert SECRET not in again.text
    assert SECRET.encode() not in recorded(world)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("ending", [0, 1])
def test_the_benchmark_is_told(world: World, command: str, ending: int) -> None:
    target = Recorder(f"score 5\nconnecting with PGPASSWORD={SECRET}\n", ending)
    shown = io.StringIO()
    plan = json.dumps({**PLAN, "benchmark_command": command})
    answer = optimize_workload(
        plan, target=target, settings=QUICK, consent=Consent(command), emit=LineView(Narrator(VERBOSE), shown)
    )
    told = [argv for argv in target.commands if argv != ("sleep", str(IDLE_SECONDS))]
    assert told
    assert all(any(SECRET in word for word in argv) for argv in told)
    report = world.knobctl("report", "last", "-v")
    assert SECRET not in answer + shown.getvalue() + report.text
    assert SECRET.encode() not in recorded(world)
    with Store() as store:
        assert "***" in store.session("last").plan
