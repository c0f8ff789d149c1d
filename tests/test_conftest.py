"""The test run's own guard: a test that leaves a kernel setting behind fails the run."""

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


def run_session(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(HERE / "conftest.py", folder / "conftest.py")
    (folder / "kernel_settings.py").write_text(SETTINGS)
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
