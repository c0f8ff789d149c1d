"""Where the main program keeps its own state."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from knobctl.state import state_folder
from knobctl.store.store import default_path

AS_AN_ORDINARY_USER = """
import os
from knobctl.state import state_folder
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
print(state_folder())
"""


def test_the_chosen_folder_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KNOBCTL_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/else")
    assert state_folder() == tmp_path
    assert default_path() == tmp_path / "knobctl.db"


@pytest.mark.skipif(os.geteuid() != 0, reason="what holds for root alone")
def test_root_has_the_machines_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KNOBCTL_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/else")
    assert state_folder() == Path("/var/lib/knobctl")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_STATE_HOME": "/x"}, "/x/knobctl"),
        ({"HOME": "/h"}, "/h/.local/state/knobctl"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/knobctl"),
        ({"KNOBCTL_STATE_DIR": "", "XDG_STATE_HOME": "/x"}, "/x/knobctl"),
    ],
)
def test_everybody_else_has_a_folder_of_their_own(environment: dict[str, str], expected: str) -> None:
    plain = {name: value for name, value in os.environ.items() if name not in ("KNOBCTL_STATE_DIR", "XDG_STATE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", AS_AN_ORDINARY_USER], env={**plain, **environment}, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == expected
