"""What an ordinary user is told about runs on this machine, and what such a user cannot do to them."""

from __future__ import annotations

import codecs
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knobctl.agent.places import Places, take_lock
from knobctl.agent.processes import acting_as
from knobctl.doctor import Finding, examine
from knobctl.errors import NotPermitted
from knobctl.report.status_view import read_status
from knobctl.target.local import LocalTarget
from knobctl.target.standing import has_journal, is_locked, was_cut_off

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")

COMMAND_OF_NOBODY = """
from click.testing import CliRunner
from knobctl.agent.processes import acting_as
from knobctl.main import cli
command = ["knobs", "vm.swappiness"]
assert CliRunner().invoke(cli, command).exit_code == 0  # imports what nobody may not be able to read
with acting_as(65534, 65534):
    done = CliRunner().invoke(cli, command)
print(done.exit_code, done.output)
"""


@pytest.fixture
def places() -> Iterator[Places]:
    """Below a folder that everybody may look into."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="standing-") as root:
        Path(root).chmod(0o755)
        yield Places(root)


def as_nobody(work: Callable[[], object]) -> str:
    """What it returns or raises, in a process of its own: what nobody cannot import is remembered as not there."""
    codecs.lookup("ascii")
    ours, its = os.pipe()
    child = os.fork()
    if child == 0:
        with acting_as(NOBODY, NOBODY):
            try:
                said = repr(work())
            except (NotPermitted, OSError, LookupError) as error:
                said = f"{type(error).__name__}: {error}"
        os.write(its, said.encode())
        os._exit(0)
    os.close(its)
    os.waitpid(child, 0)
    with os.fdopen(ours, "rb") as answer:
        return answer.read().decode()


def mode(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def test_the_lock_is_seen_by_who_cannot_open_it(places: Places) -> None:
    def seen() -> str:
        return as_nobody(lambda: (is_locked(places), has_journal(places), was_cut_off(places)))

    assert seen() == "(False, False, False)", "there is no file"
    lock = places.prepare()
    Path(places.journal).write_text("")
    assert seen() == "(False, True, True)"
    take_lock(lock)
    assert seen() == "(True, True, False)"
    os.close(lock)
    assert seen() == "(False, True, True)"


@needs_root
def test_nobody_else_can_hold_the_lock(places: Places) -> None:
    os.close(places.prepare())
    Path(places.lock).chmod(0o644)  # as an earlier version made it
    os.close(places.prepare())
    assert mode(places.lock) == 0o600
    assert as_nobody(lambda: os.open(places.lock, os.O_RDONLY)).startswith("PermissionError: ")


def test_folders_that_were_made_with_less_are_opened_again(places: Places) -> None:
    for folder in (places.state, places.run):
        Path(folder).mkdir(parents=True)
        Path(folder).chmod(0o700)
    os.close(places.prepare())
    assert (mode(places.state), mode(places.run)) == (0o755, 0o755)


@needs_root
@pytest.mark.parametrize("folder", ["state", "run"])
def test_what_cannot_be_told_is_neither_yes_nor_no(places: Places, folder: str) -> None:
    os.close(places.prepare())
    Path(places.journal).write_text("")
    closed = getattr(places, folder)
    Path(closed).chmod(0o700)
    words = f"whether a run goes on or was cut off cannot be told: {closed} may not be read"
    target = LocalTarget(root=places.root)
    assert read_status(target).interrupted
    assert as_nobody(lambda: was_cut_off(places)) == f"NotPermitted: {words}"
    assert as_nobody(lambda: read_status(target)) == f"NotPermitted: {words}"


@needs_root
def test_the_doctor_says_that_it_cannot_be_told(places: Places) -> None:
    os.close(places.prepare())
    target = LocalTarget(root=places.root)
    examine(target, "/var/tmp")  # imports what nobody may not be able to read
    Path(places.state).chmod(0o700)
    finding = as_nobody(lambda: next(each for each in examine(target, "/var/tmp") if each.subject == "journal"))
    words = f"whether a run goes on or was cut off cannot be told: {places.state} may not be read"
    assert finding == repr(Finding("warning", "journal", words, "Use sudo."))


@needs_root
@pytest.mark.real_host
@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is not installed")
def test_a_command_goes_on_where_it_cannot_be_told() -> None:
    Path(Places().state).mkdir(mode=0o755, exist_ok=True)
    closed = 'mount -t tmpfs -o mode=700 none "$0" && exec "$1" -c "$2"'  # for this process alone
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", closed, Places().state, sys.executable, COMMAND_OF_NOBODY],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "permission denied" in done.stderr.lower() and not done.stdout:
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    assert done.stdout.startswith("0 vm.swappiness"), done
