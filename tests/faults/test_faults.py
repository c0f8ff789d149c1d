"""Six of the faults on the real kernel, one run each; `make test-faults` plays hundreds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.playing import Outcome
from tests.faults.registry import SINGLE
from tests.faults.report import Record
from tests.faults.runs import ROOT

FEW = ("kill-main", "kill-agent", "kill-all", "full-disk", "truncate-journal-kill-main", "others-write")
SEED = 25  # one of them is `knobctl run`, and none strikes before the first write


def campaign(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/fault_campaign.py", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def able(fault: str) -> bool:
    return not any(SINGLE[name].obstacle for name in fault.split("+"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    record = tmp_path_factory.mktemp("faults") / "record"
    names = [word for fault in FEW if able(fault) for word in ("--only", fault)]
    done = campaign(*names, "--seed", str(SEED), "--record", str(record), "-v")
    played = {outcome.fault: outcome for outcome in Record(Path(record)).outcomes()}
    assert len(played) == len(names) / 2, done.stdout + done.stderr
    assert done.returncode == any(not outcome.restored for outcome in played.values())
    return played


@pytest.mark.real_host
@pytest.mark.parametrize("fault", FEW)
def test_nothing_is_left_behind(fault: str, outcomes: dict[str, Outcome]) -> None:
    if not able(fault):
        pytest.skip("; ".join(SINGLE[name].obstacle for name in fault.split("+")))
    assert outcomes[fault].problems == ()
    assert outcomes[fault].struck


@pytest.mark.real_host
def test_a_fault_that_does_not_exist_is_a_usage_error() -> None:
    done = campaign("--only", "kill-everybody")
    assert done.returncode == 2
    assert "no fault is called kill-everybody; there are: kill-main, " in done.stderr
