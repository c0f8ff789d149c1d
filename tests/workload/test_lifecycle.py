"""Every workload with its real tool: run as an ordinary user in a folder that is thrown away."""

from __future__ import annotations

import shlex
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from knobctl.errors import ToolMissing, WorkloadError
from knobctl.target import Command
from knobctl.workload.base import Workload
from knobctl.workload.registry import adapter_for
from tests.workload.folder_target import FolderTarget

pytestmark = pytest.mark.real_host


@pytest.fixture
def target() -> Iterator[FolderTarget]:
    target = FolderTarget(Path(f"/var/tmp/knobctl-test-{uuid.uuid4().hex}"))
    target.open("test")
    try:
        yield target
    finally:
        target.close()


def bound(target: FolderTarget, command: str, objective: str = "") -> Workload:
    argv = shlex.split(command)
    adapter = adapter_for(argv)
    assert adapter.problems(argv) == []
    workload = adapter.bind(argv, target, objective or adapter.metrics(argv)[0].name)
    try:
        workload.check()
    except ToolMissing as missing:
        pytest.skip(f"{missing}. {missing.hint}")
    return workload


def test_pgbench_on_a_throwaway_server(target: FolderTarget) -> None:
    workload = bound(target, "pgbench -c 4 -j 2 -T 2 -s 1 shop")
    told: list[tuple[float, float | None]] = []
    try:
        workload.prepare()
        workload.reset()
        measurement = workload.run(lambda fraction, score: bool(told.append((fraction, score))))
        workload.restart()
        workload.reset()
        again = workload.run()

        port = next(argv[argv.index("-p") + 1] for argv in target.commands if "-p" in argv)
        stranger = target.run(Command(("psql", "-w", "-h", "127.0.0.1", "-p", port, "-U", "knobctl", "-d", "shop",
                                       "-c", "select 1"), 20.0))  # fmt: skip
    finally:
        workload.cleanup()

    assert measurement.failure == again.failure == ""
    assert measurement.metrics["transactions_per_second"] > 1
    assert measurement.metrics["failed_transactions"] == 0
    assert len(measurement.samples) in (1, 2)
    assert told[-1][1] is not None
    assert 2.0 <= measurement.seconds < 10.0
    assert not stranger.ok
    assert "no password supplied" in stranger.output
    passwords = Path(target.folder, "postgres-passwords")
    assert passwords.stat().st_mode & 0o777 == 0o600
    assert not Path(target.folder, "postgres-password").exists()


def test_a_read_only_pgbench_leaves_nothing_to_reset(target: FolderTarget) -> None:
    workload = bound(target, "pgbench -S -M prepared -c 2 -T 1 -s 1")
    try:
        workload.prepare()
        before = len(target.commands)
        workload.reset()
        assert len(target.commands) == before
        assert workload.run().metrics["transactions_per_second"] > 100
    finally:
        workload.cleanup()


@pytest.mark.parametrize(
    "command",
    [
        "ab -n 3000 -c 20 http://localhost/",
        "ab -k -n 3000 -c 5 http://localhost/",
        "ab -t 1 -n 1000000 -c 20 http://localhost/",
        "wrk -t1 -c8 -d1s http://localhost/",
    ],
)
def test_web_load_on_a_throwaway_nginx(target: FolderTarget, command: str) -> None:
    workload = bound(target, command)
    try:
        workload.prepare()
        first = workload.run()
        workload.restart()
        second = workload.run()
    finally:
        workload.cleanup()

    for measurement in (first, second):
        assert measurement.failure == ""
        assert measurement.metrics["requests_per_second"] > 100
        assert measurement.metrics["failed_requests"] == 0


def test_web_load_on_the_users_own_server_starts_nothing(target: FolderTarget) -> None:
    owner = bound(target, "ab -n 500 -c 5 http://localhost/")
    try:
        owner.prepare()
        owner.run()
        url = target.commands[-1][-1]
        workload = bound(target, f"ab -n 500 -c 5 {url}")
        workload.prepare()
        assert workload.run().metrics["complete_requests"] == 500
        workload.cleanup()
        assert owner.run().failure == ""
    finally:
        owner.cleanup()
    assert workload.run().failure.startswith("ab ended with exit code ")


@pytest.mark.parametrize(
    "command",
    [
        "sysbench cpu --threads=2 --time=1 run",
        "sysbench memory --threads=2 --time=1 --memory-block-size=1M run",
        "sysbench threads --threads=4 --time=1 run",
        "sysbench mutex --threads=4 --mutex-locks=1000 run",
        *(
            f"sysbench fileio --file-total-size=64M --file-num=4 --file-test-mode={mode} --file-fsync-freq=0 "
            "--threads=2 --time=1 run"
            for mode in ("seqwr", "seqrewr", "seqrd", "rndrd", "rndwr", "rndrw")
        ),
        "sysbench fileio --file-total-size=64M --file-num=16 --file-test-mode=rndwr --file-fsync-all=on --threads=4 "
        "--time=1 run",
        "fio --name=w --rw=write --bs=64k --size=16m",
        "fio --name=m --rw=randrw --bs=4k --size=16m --time_based --runtime=1",
        "fio --name=m --rw=randwrite --bs=4k --size=4m --fsync=1 --time_based --runtime=1 --output-format=normal",
    ],
)
def test_tools_that_need_no_server(target: FolderTarget, command: str) -> None:
    workload = bound(target, command)
    try:
        workload.prepare()
        measurements = []
        for _ in range(2):
            workload.reset()
            measurements.append(workload.run())
    finally:
        workload.cleanup()

    objective = adapter_for(shlex.split(command)).metrics(shlex.split(command))[0].name
    for measurement in measurements:
        assert measurement.failure == ""
        assert measurement.metrics[objective] > 0
        assert measurement.machine
    assert list(Path(target.folder).iterdir()) == []


def test_a_running_benchmark_reports_progress_while_it_runs_and_can_be_cut_short(target: FolderTarget) -> None:
    workload = bound(target, "sysbench cpu --threads=1 --time=30 run")

    measurement = workload.run(lambda fraction, samples: len(samples) > 0)

    assert measurement.cut_short
    assert measurement.seconds < 5.0
    assert measurement.samples[0][0] == 1.0


def test_clean_files_are_out_of_the_page_cache_before_they_are_read(target: FolderTarget) -> None:
    if subprocess.run(["fincore", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("fincore is not installed")
    workload = bound(target, "sysbench fileio --file-total-size=16M --file-num=1 --file-test-mode=rndrd --time=1 run")
    workload.prepare()

    def cached() -> int:
        words = ["fincore", "--bytes", "--noheadings", "--output", "RES", f"{target.folder}/test_file.0"]
        return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    before = cached()
    workload.reset()

    assert before > 15 * 2**20  # the kernel may take single pages at any time
    assert cached() < 2**20


def test_a_program_that_cannot_start_is_a_failed_run(target: FolderTarget) -> None:
    adapter = adapter_for(["/nowhere/mybench"], "score: ([0-9]+)", "score", "maximize")

    measurement = adapter.bind(["/nowhere/mybench"], target, "score").run()

    assert (
        measurement.failure == "/nowhere/mybench ended with exit code 127: /nowhere/mybench: No such file or directory"
    )


def test_files_that_cannot_be_made_are_reported(target: FolderTarget) -> None:
    workload = bound(target, "sysbench fileio --file-total-size=64M --file-num=1 --file-test-mode=rndrd --time=1 run")
    Path(target.folder).chmod(0o500)

    with pytest.raises(WorkloadError, match=r"making the test files failed: .*FATAL: .*Permission denied"):
        workload.prepare()
