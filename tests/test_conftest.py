"""The test run's own guards: a test that leaves a kernel setting behind fails the run, and so does the witness."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

SETTINGS = """
from pathlib import Path

def settings():
    return {"/proc/sys/vm/swappiness": Path("swappiness").read_text()}

def differences(before, after):
    return [f"{path} was {before[path]} and is {after[path]}" for path in before if before[path] != after[path]]
"""

WITNESS = """
import pathlib, sys

print("watching 1 knob", flush=True)
sys.stdin.read()
objections = pathlib.Path("objections")
print(objections.read_text() if objections.exists() else "", end="")
print("watched 1 knob")
sys.exit(objections.exists())
"""


def run_session(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(HERE / "conftest.py", folder / "conftest.py")
    (folder / "kernel_settings.py").write_text(SETTINGS)
    (folder / "watch_knobs.py").write_text(WITNESS)
    (folder / "swappiness").write_text("60")
    (folder / "test_one.py").write_text(test)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_one.py"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_setting_left_behind_fails_the_run(tmp_path: Path) -> None:
    done = run_session(tmp_path, "def test_one():\n    open('swappiness', 'w').write('10')\n")
    assert done.returncode == 1
    assert "1 passed, 1 error" in done.stdout
    assert "the tests changed this machine:" in done.stdout
    assert "/proc/sys/vm/swappiness was 60 and is 10" in done.stdout


def test_a_restore_that_takes_a_second_is_waited_for(tmp_path: Path) -> None:
    late = (
        "import threading\nfrom pathlib import Path\n"
        "def test_one():\n"
        "    Path('swappiness').write_text('10')\n"
        "    threading.Timer(1, Path('swappiness').write_text, ['60']).start()\n"
    )
    done = run_session(tmp_path, late)
    assert done.returncode == 0, done.stdout
    assert "kernel: watched 1 knob\n" in done.stdout
    assert "objects" not in done.stdout


def test_what_the_witness_objects_to_fails_the_run(tmp_path: Path) -> None:
    done = run_session(tmp_path, "def test_one():\n    open('objections', 'w').write('vm.swappiness was 250\\n')\n")
    assert done.returncode == 1
    assert "1 passed" in done.stdout
    assert "= the witness of the kernel objects =" in done.stdout
    assert "\nwatching 1 knob\nvm.swappiness was 250\nwatched 1 knob\n" in done.stdout
