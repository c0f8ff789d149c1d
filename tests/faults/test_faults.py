"""A dozen of the faults on the real kernel, one run each; `make test-faults` plays hundreds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults.registry import SINGLE
from tests.faults.runs import ROOT

FEW = {
    "kill-main": 2,
    "kill-agent": 2,
    "kill-watcher": 2,
    "kill-all": 3,
    "term-main": 4,
    "stop-kill-agent": 2,
    "close-requests": 2,
    "full-disk": 2,
    "truncate-journal-kill-main": 2,
    "refuse-EBUSY": 3,
    "others-write": 3,
    "read-only-disk+kill-agent": 2,
}
"""With a seed each."""


@pytest.mark.real_host
@pytest.mark.parametrize("fault", FEW)
def test_nothing_is_left_behind(fault: str) -> None:
    for name in fault.split("+"):
        if SINGLE[name].obstacle:
            pytest.skip(SINGLE[name].obstacle)
    done = subprocess.run(
        [sys.executable, "scripts/fault_campaign.py", "--only", fault, "--seed", str(FEW[fault]), "-v"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 runs left nothing behind" in done.stdout


def test_a_fault_that_does_not_exist_is_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/fault_campaign.py", "--only", "kill-everybody"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (2, 77)
    if done.returncode == 2:
        assert "no fault is called kill-everybody; there are: kill-main, " in done.stderr
