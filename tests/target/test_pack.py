"""The zipapp: what is in it, that it never changes by itself, and that a bare python3 runs it."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from knobctl.errors import TargetError
from knobctl.knobs.files import records
from knobctl.target import pack

PROBE = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert end.code == 0, end.code
print(*sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return pack.install(pack.AGENT, tmp_path / "state")


def bare(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Python without the user's settings and without site-packages, in an empty environment."""
    return subprocess.run(
        [sys.executable, "-I", "-S", *arguments], capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": "/usr/bin:/bin"}, cwd="/", input="",
    )  # fmt: skip


def test_it_holds_the_agent_and_the_knobs_and_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(pack.packed(pack.AGENT))) as content:
        names = content.namelist()
        assert json.loads(content.read("knobctl/knobs/catalogue.json")) == json.loads(json.dumps(records()))
    assert names == sorted(names)
    assert {name.rpartition("/")[0] for name in names} == {"", "knobctl", "knobctl/agent", "knobctl/knobs"}
    assert "knobctl/agent/session.py" in names
    assert "knobctl/knobs/codec.py" in names
    assert not {"knobctl/knobs/files.py", "knobctl/knobs/space.py"} & set(names), "they stay with the main program"


def test_what_makes_things_permanent_is_a_program_of_its_own(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(pack.packed(pack.AGENT))) as content:
        assert not [name for name in content.namelist() if "permanent" in name]
    done = bare(str(pack.install(pack.PERMANENT, tmp_path)), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: knobctl-permanent ")


def test_the_same_sources_make_the_same_bytes_in_another_process() -> None:
    program = "import sys; from knobctl.target import pack; sys.stdout.buffer.write(pack.packed('agent'))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Shanghai"}
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment).stdout
    assert other == pack.packed(pack.AGENT)


def test_a_bare_python_runs_it(archive: Path) -> None:
    done = bare(str(archive), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: knobctl-agent ")
    assert "--root ROOT" in done.stdout
    assert "--lock" not in done.stdout, "that one is between watcher and agent"


def test_it_loads_the_standard_library_and_itself_alone(archive: Path) -> None:
    done = bare("-c", PROBE, str(archive))
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split())
    assert "knobctl" in loaded
    assert not loaded - set(sys.stdlib_module_names) - {"__main__", "knobctl"}


def test_a_wrong_argument_is_refused(archive: Path) -> None:
    done = bare(str(archive), "--write", "vm.swappiness=10")
    assert done.returncode == 2
    assert "unrecognized arguments: --write vm.swappiness=10" in done.stderr


def test_a_place_where_it_cannot_keep_its_lock_is_not_permitted(archive: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "run").write_text("a file where a folder should be")
    done = bare(str(archive), "--root", str(root))
    assert done.returncode == 77
    assert done.stderr.startswith("knobctl-agent: cannot use ")
    assert "Not a directory" in done.stderr


def test_without_a_main_program_it_ends_at_once(archive: Path, tmp_path: Path) -> None:
    done = bare(str(archive), "--root", str(tmp_path / "root"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "root/var/lib/knobctl/journal").exists()


def test_installing_twice_leaves_one_executable_file(archive: Path) -> None:
    before = archive.stat()
    assert pack.install(pack.AGENT, archive.parent) == archive
    assert archive.stat().st_mtime_ns == before.st_mtime_ns
    assert stat.S_IMODE(before.st_mode) == 0o755
    assert list(archive.parent.iterdir()) == [archive]


def test_programs_of_older_versions_are_removed(archive: Path) -> None:
    old, other = archive.parent / "agent-0123456789abcdef.pyz", archive.parent / "agent-notes.pyz"
    old.touch()
    other.touch()
    archive.unlink()
    assert pack.install(pack.AGENT, archive.parent) == archive
    assert sorted(archive.parent.iterdir()) == sorted([archive, other])


def test_a_damaged_file_is_replaced(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-10])
    assert pack.install(pack.AGENT, archive.parent) == archive
    assert archive.read_bytes() == pack.packed(pack.AGENT)


def test_a_folder_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(
        TargetError, match=r"cannot write the agent program to .*/state/agent-[0-9a-f]{16}\.pyz: "
    ) as caught:
        pack.install(pack.AGENT, tmp_path / "state")
    assert caught.value.hint == "Free some space, or set KNOBCTL_STATE_DIR."
