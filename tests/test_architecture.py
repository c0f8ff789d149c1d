"""What every module keeps to, whoever writes it. Who may import whom is checked by the contracts in pyproject.toml."""

from __future__ import annotations

import ast
import itertools
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "knobctl"
MODULES = sorted(SOURCE.rglob("*.py"))
MOST_LINES = 450
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
WITH_THE_MAIN_PROGRAM = {SOURCE / "knobs" / "files.py"}
BARE_MODULES = [
    path
    for path in MODULES
    if path.relative_to(SOURCE).parts[0] in ("agent", "permanent", "knobs") and path not in WITH_THE_MAIN_PROGRAM
]
PUBLIC_NAMES = (
    "OSTuningEnv",
    "SafetyValidator",
    "get_optimization_strategy_prompt",
    "optimize_workload",
    "run_rl_optimization",
)
HEAVY = {"gymnasium", "numpy", "optuna", "scipy", "sqlalchemy", "stable_baselines3", "torch"}
LIGHT = {
    "annotated_types", "click", "knobctl", "markdown_it", "mdurl", "pydantic", "pydantic_core", "pygments", "rich",
    "typing_extensions", "typing_inspection",
}  # fmt: skip
INSTALLATION = {"_distutils_hack", "_virtualenv", "sitecustomize", "usercustomize"}  # start-up files of environments
HELP_CPU_SECONDS = 0.3
SHELL = re.compile(r"^(\S*/)?(ba|da|k|z)?sh$")
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def syntax_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def plain_environment() -> dict[str, str]:
    """The environment without what a coverage run adds to it."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("COV_", "COVERAGE_"))}


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env=plain_environment(), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- every module


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_goes_in_and_what_comes_out(path: Path) -> None:
    docstring = ast.get_docstring(syntax_tree(path)) or ""
    assert len(docstring) > 20


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_holds_one_decision(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    names = {part for path in MODULES for part in (*path.relative_to(SOURCE).parent.parts, path.stem)}
    assert not names & BANNED_NAMES


# --- commands never reach a shell


def shell_uses(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "shell" and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    yield f"line {node.lineno}: shell="
            called = ast.unparse(node.func)
            if called in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"):
                yield f"line {node.lineno}: {called}"
            if called.endswith("create_subprocess_shell"):
                yield f"line {node.lineno}: {called}"
            words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        elif isinstance(node, (ast.List, ast.Tuple)):
            words = [element.value for element in node.elts if isinstance(element, ast.Constant)]
        else:
            continue
        for left, right in itertools.pairwise(words):
            if isinstance(left, str) and SHELL.match(left) and isinstance(right, str) and right.startswith("-"):
                yield f"line {node.lineno}: {left} {right}"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "subprocess"):
            for alias in node.names:
                if alias.name in ("system", "popen", "getoutput", "getstatusoutput"):
                    yield f"line {node.lineno}: from {node.module} import {alias.name}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_command_reaches_a_shell(path: Path) -> None:
    assert list(shell_uses(syntax_tree(path))) == []


@pytest.mark.parametrize(
    "code",
    [
        "subprocess.run('ls', shell=True)",
        "subprocess.run(line, shell=wanted)",
        "os.system('ls')",
        "from os import system",
        "subprocess.run(['sh', '-c', line])",
        "argv = ('/bin/bash', '-ec', line)",
        "os.execlp('sh', 'sh', '-c', line)",
        "asyncio.create_subprocess_shell(line)",
    ],
)
def test_the_search_for_shells_finds(code: str) -> None:
    assert list(shell_uses(ast.parse(code)))


# --- the room that runs as root on a bare python3


@pytest.mark.parametrize("path", BARE_MODULES, ids=name_of)
def test_agent_and_knobs_are_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 9))


@pytest.mark.parametrize("path", BARE_MODULES, ids=name_of)
def test_agent_and_knobs_import_the_standard_library_and_each_other(path: Path) -> None:
    imported = set()
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            imported.add(node.module or "")
    for module in imported:
        rooms = module.split(".")
        ours = rooms[0] == "knobctl" and rooms[1] in ("agent", "permanent", "knobs")
        assert rooms[0] in sys.stdlib_module_names or ours, module


# --- only the validator makes a plan that may run


def test_nobody_outside_the_validator_holds_the_seal() -> None:
    holders = {
        name_of(path)
        for path in MODULES
        if any(
            (isinstance(node, ast.ImportFrom) and any(alias.name == "_SEAL" for alias in node.names))
            or (isinstance(node, ast.Attribute) and node.attr == "_SEAL")
            for node in ast.walk(syntax_tree(path))
        )
    }
    assert holders == {"src/knobctl/safety/validator.py"}


# --- starting quickly


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    loaded = run_python(
        "import knobctl.main, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    ).split()
    foreign = set(loaded) - set(sys.stdlib_module_names) - INSTALLATION - {"__main__"}
    assert "knobctl" in foreign
    assert not {name for name in foreign if not name.startswith("__editable__")} - LIGHT


def test_help_loads_none_of_the_heavy_libraries() -> None:
    script = Path(sys.executable).with_name("knobctl")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", script, "--help"],
        capture_output=True, text=True, check=True, env=plain_environment(), timeout=60,
    )  # fmt: skip
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "tune" in done.stdout
    assert "click" in loaded
    assert not loaded & HEAVY


def test_help_is_quick() -> None:
    script = Path(sys.executable).with_name("knobctl")

    def cpu_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([script, "--help"], capture_output=True, check=True, env=plain_environment(), timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(cpu_seconds() for _ in range(5)) < HELP_CPU_SECONDS


# --- what others build on


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_public_names_are_importable(name: str) -> None:
    assert run_python(f"from knobctl import {name}; print({name}.__name__)").strip() == name


def test_public_names_are_listed() -> None:
    listed = run_python("import knobctl; print(*knobctl.__all__); print(*dir(knobctl))").splitlines()
    for line in listed:
        assert set(PUBLIC_NAMES) <= set(line.split())
