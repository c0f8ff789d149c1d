"""What holds for the whole test run: which tests can run here, and that the kernel is left as it was found.

A process of its own, ``scripts/watch_knobs.py``, watches the kernel from before the first test until after the last.
What it saw is one line of the run's summary; what it objects to fails the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import kernel_settings  # scripts/kernel_settings.py
import pytest
from hypothesis import settings

RESTORE_GRACE_SECONDS = 5.0  # what a restore may take after the main program was killed

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.register_profile("campaign", max_examples=4000, deadline=None, database=None)  # other inputs each time
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

WITNESS = pytest.StashKey[subprocess.Popen[str]]()
TESTIMONY = pytest.StashKey[list[str]]()
WITNESS_SECONDS = 30.0  # what its last look and its report may take

SYSCTL = Path("/proc/sys/vm")
USUAL = {"swappiness": "60", "dirty_ratio": "20", "dirty_background_ratio": "10"}
TWINS = ("dirty_bytes", "dirty_background_bytes")
TWINNED = {*TWINS, "dirty_ratio", "dirty_background_ratio"}

MODEL_VARIABLES = {
    "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CREDENTIALS_DIRECTORY", "KNOBCTL_MODEL", "OLLAMA_HOST",
    "OPENAI_API_KEY",
}  # fmt: skip


def _obstacle_to_real_host() -> str:
    if os.geteuid() != 0:
        return "needs root, and this is user %d" % os.geteuid()
    if not os.access("/proc/sys/vm/swappiness", os.W_OK):
        return "/proc/sys is read-only here, as in a container"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    obstacle = _obstacle_to_real_host()
    for item in items:
        if item.get_closest_marker("real_host"):
            if obstacle:
                item.add_marker(pytest.mark.skip(reason=obstacle))
            assert isinstance(item, pytest.Function)
            item.fixturenames.insert(0, "usual_values")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Calls the witness, once for all processes of the run, and lets it take its first look."""
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    script = Path(kernel_settings.__file__).with_name("watch_knobs.py")
    cache = getattr(session.config, "cache", None)  # absent with `-p no:cacheprovider`
    report = ["--report", str(cache.mkdir("watch_knobs") / "report.json")] if cache else []
    witness = subprocess.Popen(
        [sys.executable, str(script), *report],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,  # Ctrl-C is for the tests; the witness ends when its input does
    )  # fmt: skip
    assert witness.stdout is not None
    session.config.stash[WITNESS] = witness
    session.config.stash[TESTIMONY] = [witness.stdout.readline()]


def pytest_sessionfinish(session: pytest.Session) -> None:
    witness = session.config.stash.get(WITNESS, None)
    if witness is None:
        return
    session.config.stash[TESTIMONY] += witness.communicate(timeout=WITNESS_SECONDS)[0].splitlines()
    if witness.returncode != 0 and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if WITNESS not in config.stash:
        return
    *before, last = config.stash[TESTIMONY]
    if config.stash[WITNESS].returncode == 0:
        terminalreporter.write_line(f"kernel: {last}")
        return
    terminalreporter.write_sep("=", "the witness of the kernel objects", red=True, bold=True)
    for line in (*before, last):
        terminalreporter.write_line(line.rstrip(), red=True)


@pytest.fixture(scope="session", autouse=True)
def kernel_is_left_as_found() -> Iterator[None]:
    """Fails the run when a kernel setting of the catalogue is different after the last test."""
    before = kernel_settings.settings()
    yield
    deadline = time.monotonic() + RESTORE_GRACE_SECONDS
    changed = kernel_settings.differences(before, kernel_settings.settings())
    while changed and time.monotonic() < deadline:
        time.sleep(0.2)
        changed = kernel_settings.differences(before, kernel_settings.settings())
    if changed:
        pytest.fail("the tests changed this machine:\n" + "\n".join(changed), pytrace=False)


@pytest.fixture(scope="session")
def usual_values(kernel_is_left_as_found: None) -> Iterator[None]:
    """The kernel's own defaults for the knobs that the tests on a real kernel turn, whatever this machine has."""
    before = [(path, path.read_text().strip()) for path in (SYSCTL / name for name in (*USUAL, *TWINS))]
    for name, value in USUAL.items():
        (SYSCTL / name).write_text(value)
    yield
    for path, value in before:
        if not (path.name in TWINNED and value == "0"):  # 0 says that the twin is the one that counts
            path.write_text(value)


@pytest.fixture(autouse=True)
def no_language_model(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test, and no program that it starts, knows a language model, unless the test names one itself."""
    for name in list(os.environ):
        if name in MODEL_VARIABLES or name.startswith("KNOBCTL_LLM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(empty_configuration(tmp_path_factory)))
    if models := sys.modules.get("pydantic_ai.models"):  # never imported for this alone: it is slow
        monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", False)


def empty_configuration(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "no-configuration"
    folder.mkdir(exist_ok=True)
    return folder
