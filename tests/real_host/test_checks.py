"""The checks that take minutes: a wounded machine is healed, and where there is nothing to find nothing is claimed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knobctl.persist import SYSCTL_FILE

pytestmark = [pytest.mark.real_host, pytest.mark.long, pytest.mark.timeout(900)]

BACKGROUND, FOREGROUND = Path("/proc/sys/vm/dirty_background_ratio"), Path("/proc/sys/vm/dirty_ratio")
FILES = "--file-total-size=1G --file-num=16 --file-test-mode=seqwr --file-fsync-freq=0"
WRITES = f"sysbench fileio {FILES} --threads=2 --time=4 run"


def knobctl(*words: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "knobctl.main", *words, "--yes", "--json"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def ratios() -> tuple[str, str]:
    return BACKGROUND.read_text().strip(), FOREGROUND.read_text().strip()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path))


@pytest.fixture
def wounded() -> Iterator[None]:
    """A machine that may hold next to no dirty memory."""
    background, foreground = ratios()
    BACKGROUND.write_text("1")
    FOREGROUND.write_text("2")
    yield
    FOREGROUND.write_text(foreground)
    BACKGROUND.write_text(background)


@pytest.mark.usefixtures("wounded")
def test_a_wounded_machine_is_healed_applied_and_rolled_back() -> None:
    code, result = knobctl("tune", "make large sequential file writes fast", "--command", WRITES, "--budget", "24")
    assert (code, result["verdict"]) == (0, "IMPROVED"), result["reason"]
    assert result["improvement"] > 30
    assert result["improvement_interval"][0] > 0
    assert result["best_config"]["vm.dirty_background_ratio"] > 1
    assert ratios() == ("1", "2")
    code, applied = knobctl("apply", result["session_id"])
    try:
        assert code == 0
        assert FOREGROUND.read_text().strip() == str(applied["values"]["vm.dirty_ratio"])
        assert f"vm.dirty_ratio = {applied['values']['vm.dirty_ratio']}" in Path(SYSCTL_FILE).read_text()
    finally:
        code, _ = knobctl("rollback")
    assert code == 0
    assert ratios() == ("1", "2")
    assert not Path(SYSCTL_FILE).exists()


def test_where_there_is_nothing_to_find_nothing_is_claimed() -> None:
    command = "sysbench cpu --threads=2 --time=3 run"
    code, result = knobctl("tune", "make computation fast", "--command", command, "--knobs", "vm.*", "--budget", "24")
    assert code == 3, result
    assert result["best_config"] == {}
    assert result["verdict"] != "IMPROVED"


def test_the_demonstration_job() -> None:
    code, result = knobctl(
        "tune", "optimize this system for a PostgreSQL database", "--budget", "16", "--time-budget", "7m"
    )
    assert code in (0, 3), result
    assert {"success", "workload_name", "best_reward", "best_config", "baseline_reward", "improvement",
            "total_episodes"} <= set(result)  # fmt: skip
    assert result["restored"]
    assert result["seconds"] < 8 * 60
