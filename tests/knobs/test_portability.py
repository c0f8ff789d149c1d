"""The room is packed into the agent, which runs on a bare Python 3.9: no newer syntax, no third-party import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import knobctl.knobs

ROOM = Path(knobctl.knobs.__file__).parent
PACKED = sorted(path for path in ROOM.glob("*.py") if path.name != "files.py")


def test_the_room_has_the_files_that_are_packed() -> None:
    assert {path.name for path in PACKED} >= {"knob.py", "catalogue.py", "codec.py", "couplings.py", "space.py"}


@pytest.mark.parametrize("path", PACKED, ids=lambda path: path.name)
def test_the_syntax_is_that_of_python_39(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


@pytest.mark.parametrize("path", PACKED, ids=lambda path: path.name)
def test_only_the_standard_library_and_the_room_are_imported(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            modules = [node.module or ""]
        else:
            continue
        for module in modules:
            assert module.startswith("knobctl.knobs") or module.split(".")[0] in sys.stdlib_module_names, module
            assert module != "knobctl.knobs.files"


def test_nothing_newer_than_python_39_is_used() -> None:
    vermin = Path(sys.executable).with_name("vermin")
    if not vermin.exists():
        pytest.skip("vermin is not installed")
    done = subprocess.run(
        [vermin, "-t=3.9-", "--no-tips", "--violations", *map(str, PACKED)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
