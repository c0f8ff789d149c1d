"""What runs as root is small enough to be read, and needs nothing but a bare python3."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import knobctl.agent
from knobctl.target import pack

ROOM = Path(next(iter(knobctl.agent.__path__)))
MOST_LINES = 1500
OWN_ROOMS = {"knobctl.agent", "knobctl.knobs", "knobctl.permanent"}
NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
}  # fmt: skip


def packed_modules(program: str) -> Iterator[tuple[str, str]]:
    """Name and text of every module in a program's archive."""
    with zipfile.ZipFile(io.BytesIO(pack.packed(program))) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                yield name, archive.read(name).decode()


def imports(text: str) -> Iterator[str]:
    """Every module that a text imports, wherever in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield node.module or ""


def lines_of_code(text: str) -> int:
    """Lines that are neither blank nor a comment nor part of a docstring."""
    strings = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    code = {line for token in tokens if token.type not in NO_CODE for line in range(token.start[0], token.end[0] + 1)}
    return len(code - strings)


@pytest.mark.parametrize("program", [pack.AGENT, pack.PERMANENT])
def test_it_imports_the_standard_library_and_its_own_rooms(program: str) -> None:
    modules = dict(packed_modules(program))
    assert f"knobctl/{program}/__main__.py" in modules
    for name, text in modules.items():
        for module in imports(text):
            if module.partition(".")[0] == "knobctl":
                assert ".".join(module.split(".")[:2]) in OWN_ROOMS, f"{name} imports {module}"
                assert (
                    f"{module.replace('.', '/')}.py" in modules or f"{module.replace('.', '/')}/__init__.py" in modules
                ), f"{name} imports {module}, which is not in the archive"
            else:
                assert module.partition(".")[0] in sys.stdlib_module_names, f"{name} imports {module}"


@pytest.mark.parametrize("program", [pack.AGENT, pack.PERMANENT])
def test_a_bare_python_starts_it(program: str, tmp_path: Path) -> None:
    archive = pack.install(program, tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(archive), "--help"],
        capture_output=True, text=True, check=False, timeout=60, cwd="/", env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: knobctl-{program} ")


def test_somebody_can_read_all_of_the_agent() -> None:
    sizes = {path.name: lines_of_code(path.read_text(encoding="utf-8")) for path in ROOM.glob("*.py")}
    assert sum(sizes.values()) < MOST_LINES, f"{sum(sizes.values())} lines of code: {sizes}"


def test_what_counts_as_a_line_of_code() -> None:
    text = (
        '"""Doc\n\nstring."""\n\n# a comment\nx = (1,\n     2)  # two lines\n\n\n'
        'def f():\n    """Doc."""\n    return """a\nb"""\n'
    )
    assert lines_of_code(text) == 5
