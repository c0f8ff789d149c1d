"""No product code hands a text to a shell, to Python itself, or to a reader that builds objects from it.

Walks the syntax tree of every module below ``src`` and of every Python script: commands are lists of words, data is
JSON or TOML, and what a plan, a model or a benchmark wrote is never run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "scripts").glob("*.py")])

REVIEWED: Mapping[str, tuple[str, ...]] = {
    # A constant program that looks for a pattern in a process of its own, so that it can be ended. Pattern and text
    # reach it on standard input, as JSON.
    "src/knobctl/workload/custom.py": ("an interpreter with -c",),
}
"""What was looked at and may stay, by module. An entry that nothing matches any more fails."""

SHELLS = re.compile(r"(?:\S*/)?(?:sh|bash|dash|ash|zsh|ksh|mksh|csh|tcsh|fish|busybox|toybox)")
INTERPRETERS = re.compile(r"(?:\S*/)?(?:python[0-9.]*|pypy[0-9.]*|perl|ruby|node|php|lua|awk|gawk|mawk)")
CALLS = {
    "os.system", "os.popen", "os.spawnlp", "os.spawnvp", "os.execlp", "os.execvp", "posix.system",
    "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell", "pty.spawn", "pty.fork",
    "platform.popen", "eval", "exec", "compile", "builtins.eval", "builtins.exec", "builtins.compile",
    "code.interact", "code.InteractiveInterpreter", "runpy.run_path", "runpy.run_module",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.load", "numpy.load", "joblib.load", "pandas.read_pickle",
}  # fmt: skip
"""Functions that run a text, or may build any object from data."""
MODULES_THAT_BUILD_OBJECTS = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle", "commands", "pty",
}  # fmt: skip
HIDDEN = {name.rpartition(".")[2] for name in CALLS if name.startswith(("os.", "subprocess."))}


def findings(tree: ast.Module) -> Iterator[str]:
    """What is not allowed in a module, one clause each."""
    names = imported(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    if alias.name.split(".")[0] in MODULES_THAT_BUILD_OBJECTS:
                        yield f"imports {alias.name}"
            case ast.ImportFrom():
                if (node.module or "").split(".")[0] in MODULES_THAT_BUILD_OBJECTS:
                    yield f"imports {node.module}"
                for alias in node.names:
                    if f"{node.module}.{alias.name}" in CALLS:
                        yield f"imports {node.module}.{alias.name}"
            case ast.Call():
                yield from of_a_call(node, names)
                yield from of_words(node.args)
            case ast.Attribute() if full_name(node, names) in CALLS:
                yield f"uses {full_name(node, names)}"
            case ast.List() | ast.Tuple():
                yield from of_words(node.elts)


def of_a_call(node: ast.Call, names: Mapping[str, str]) -> Iterator[str]:
    called = full_name(node.func, names)
    if called in CALLS and isinstance(node.func, ast.Name):
        yield f"calls {called}"
    for keyword in node.keywords:
        off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg in ("shell", "allow_pickle") and not off:
            yield f"gives {keyword.arg}="
    if called in ("getattr", "builtins.getattr", "operator.attrgetter", "__import__", "importlib.import_module"):
        for word in constants(node.args):
            if word in HIDDEN or word.split(".")[0] in MODULES_THAT_BUILD_OBJECTS:
                yield f"looks up {word}"


def of_words(elements: list[ast.expr]) -> Iterator[str]:
    """A list of words that begins with a shell, or gives an interpreter a program to run."""
    if len(elements) < 2:
        return
    first = elements[0]
    word = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    rest = constants(elements[1:])
    if SHELLS.fullmatch(word) and (not rest or rest[0].startswith(("-", "/", "."))):
        yield f"begins with {word}"
    python = isinstance(first, ast.Attribute) and ast.unparse(first) == "sys.executable"
    if (python or INTERPRETERS.fullmatch(word)) and any(re.fullmatch(r"-[A-Za-z]*[ce]", each) for each in rest):
        yield "an interpreter with -c"
    if word == "-c":
        yield from (f"-c before {each[:20]!r}" for each in rest[:1] if re.search(r"[;|&`]|\$\(", each))


def constants(elements: list[ast.expr]) -> list[str]:
    return [each.value for each in elements if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def imported(tree: ast.Module) -> dict[str, str]:
    """The full name behind each imported one."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def full_name(node: ast.expr, names: Mapping[str, str]) -> str:
    """``os.system`` for whatever it was imported as; empty for what is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        front = full_name(node.value, names)
        return f"{front}.{node.attr}" if front else ""
    return ""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_modules_and_scripts() -> None:
    assert {name_of(path).split("/")[0] for path in MODULES} == {"src", "scripts"}
    assert len(MODULES) > 100


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_text_is_run(path: Path) -> None:
    found = list(findings(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))))
    assert tuple(found) == REVIEWED.get(name_of(path), ())


def test_what_was_reviewed_is_there() -> None:
    assert set(REVIEWED) <= {name_of(path) for path in MODULES}


@pytest.mark.parametrize(
    "code",
    [
        "os.system('ls')",
        "import os as o\no.system(line)",
        "from os import system",
        "from os import popen as p",
        "run = os.popen",
        "getattr(os, 'system')(line)",
        "os.execlp(program, program)",
        "subprocess.run(line, shell=True)",
        "subprocess.Popen(line, shell=wanted)",
        "subprocess.getoutput(line)",
        "from subprocess import getstatusoutput",
        "import subprocess as s\ns.getoutput(line)",
        "asyncio.create_subprocess_shell(line)",
        "subprocess.run(['sh', '-c', line])",
        "subprocess.run(['/bin/bash', script])",
        "argv = ('bash', '-ec', line)",
        "argv = ['busybox', *words]",
        "Command(('/bin/sh', '/tmp/x'))",
        "spawn('sh', '-c', line)",
        "argv = [sys.executable, '-c', line]",
        "argv = ['python3', '-Ic', line]",
        "argv = ['perl', '-e', line]",
        "import pty",
        "pty.spawn(argv)",
        "eval(text)",
        "exec(text, {})",
        "compile(text, 'x', 'exec')",
        "import builtins\nbuiltins.eval(text)",
        "from builtins import exec as e",
        "import pickle",
        "from pickle import loads",
        "import marshal, json",
        "__import__('pickle')",
        "importlib.import_module('marshal')",
        "yaml.load(text)",
        "import yaml as y\ny.load(text)",
        "torch.load(path)",
        "import numpy as np\nnp.load(path)",
        "read(path, allow_pickle=True)",
    ],
)
def test_the_walk_finds(code: str) -> None:
    assert list(findings(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "re.compile(pattern)",
        "subprocess.run(argv, shell=False)",
        "subprocess.run([sys.executable, '-I', '-S', str(archive)])",
        "argv = ('psql', '-X', '-c', 'SELECT 1')",
        "names = {'sh', 'bash', 'zsh'}",
        "known = ('cpu', 'memory')",
        "json.load(file)",
        "tomllib.load(file)",
        "yaml.safe_load(text)",
        "self.eval(text)",
        "model.eval()",
        "getattr(event, name)",
    ],
)
def test_the_walk_leaves_alone(code: str) -> None:
    assert list(findings(ast.parse(code))) == []
