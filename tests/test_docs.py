"""The documentation is true: its examples run, its links lead somewhere, its tables say what the program says.

* Every ``python`` block runs, each in a process of its own, with warnings as errors. A comment ``<!-- file: NAME -->``
  in front of one also keeps it as a file for the blocks after it.
* A ``console`` block after a comment that begins with ``run`` runs. The comment holds ``exit: CODE`` and lines
  ``stable: TEXT``: the text has to stand in the block and in what the command prints. The rest of a block is a sample.
* Every other command line of knobctl, in a block or between backticks, is one that the program would accept.

Nothing here touches the machine: what runs has ``--target simulated``, or only looks at the record.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from knobctl.errors import Interrupted, KnobctlError
from knobctl.knobs.files import catalogue
from knobctl.main import COMMANDS, cli
from knobctl.store import Result
from knobctl.strategist.files import playbooks
from knobctl.strategist.request import CLIENTS, SECONDS, THREADS
from knobctl.workload.registry import adapter_for

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
HARMLESS = ("report", "sessions", "workloads")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT_BEFORE = re.compile(r"<!--((?:(?!-->).)*)-->\s*\Z", re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_ANCHOR = re.compile(r'<a id="([^"]+)">')


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, with the comment that stands right in front of it."""

    page: Path
    line: int
    language: str
    text: str
    comment: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def settings(self, name: str) -> list[str]:
        return re.findall(rf"^\s*{name}: (.+?)\s*$", self.comment, re.MULTILINE)

    @property
    def runs(self) -> bool:
        return self.language == "python" or self.comment.split()[:1] == ["run"]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = _COMMENT_BEFORE.search(text[: match.start()])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match[1], match[2], before[1] if before else ""))
    return found


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


RUNNABLE = [page for page in PAGES if any(block.runs for block in blocks(page))]


# --- examples


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "work").mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {
        **kept, "HOME": str(tmp_path), "KNOBCTL_STATE_DIR": str(tmp_path / "state"), "COLUMNS": "100",
        "NO_COLOR": "1", "LC_ALL": "C.UTF-8",
    }  # fmt: skip


def timed(page: Path) -> object:
    """Those that play whole sessions with the default searcher take long."""
    return pytest.param(page, marks=pytest.mark.long) if page.name in ("tutorial.md", "python.md") else page


@pytest.mark.parametrize("page", [timed(page) for page in RUNNABLE], ids=name_of)
def test_examples_run(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "work"
    for block in blocks(page):
        if block.language == "python":
            run_python(block, folder, environment)
        elif block.runs:
            run_console(block, folder, environment)


def run_python(block: Block, folder: Path, environment: dict[str, str]) -> None:
    for name in re.findall(r"^\s*file: (\S+)\s*$", block.comment, re.MULTILINE):
        (folder / name).write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-"],
        input=block.text, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, f"{block} fails:\n{done.stdout}{done.stderr}"


def run_console(block: Block, folder: Path, environment: dict[str, str]) -> None:
    assert block.text.startswith("$ knobctl "), f"{block} is to be run and does not start with a command"
    line, _, shown = joined(block.text).partition("\n")
    words = shlex.split(line)[2:]
    assert is_harmless(words), f"{block} would touch this machine: {line}"
    done = subprocess.run(
        [Path(sys.executable).with_name("knobctl"), *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    printed = done.stdout + done.stderr
    assert [str(done.returncode)] == block.settings("exit"), f"{block} ends with {done.returncode}:\n{printed}"
    for stable in block.settings("stable"):
        assert stable in shown, f"{block} does not quote what its comment calls stable: {stable}"
        assert stable in printed, f"{block} quotes a line that was not printed: {stable}\n{printed}"


def is_harmless(words: list[str]) -> bool:
    if words[0] in HARMLESS:
        return True
    return any(option == "--target" and name.startswith("simulated") for option, name in itertools.pairwise(words))


def joined(text: str) -> str:
    """Lines that end in a backslash go on in the next one."""
    return re.sub(r"\\\n\s*", "", text)


def test_an_example_that_fails_is_noticed(tmp_path: Path, environment: dict[str, str]) -> None:
    page = ROOT / "page.md"
    with pytest.raises(AssertionError, match=r"page\.md:3 fails:\n(.|\n)*ZeroDivisionError"):
        run_python(Block(page, 3, "python", "1 / 0\n", ""), tmp_path / "work", environment)
    comment = "run\nexit: 0\nstable: Say it in words\n"
    with pytest.raises(AssertionError, match="does not quote"):
        run_console(
            Block(page, 3, "console", "$ knobctl workloads\nSomething\n", comment), tmp_path / "work", environment
        )
    with pytest.raises(AssertionError, match="quotes a line that was not printed: Something"):
        comment = "run\nexit: 0\nstable: Something\n"
        run_console(
            Block(page, 3, "console", "$ knobctl workloads\nSomething\n", comment), tmp_path / "work", environment
        )
    with pytest.raises(AssertionError, match="would touch this machine"):
        run_console(Block(page, 3, "console", '$ knobctl tune "x"\n', comment), tmp_path / "work", environment)


# --- command lines


def command_lines(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        if block.language in ("console", "sh", "text"):
            yield from re.findall(r"^(?:\$ )?(?:sudo )?(knobctl .+)$", joined(block.text), re.MULTILINE)
    for span in _SPAN.findall(_FENCE.sub("", text)):
        if span.startswith("knobctl "):
            yield span


def refusal(line: str) -> str:
    """Why the program would not take this command line; empty when it would."""
    words = shlex.split(line.partition(" | ")[0].partition(" > ")[0], comments=True)[1:]
    if not words or words[0] in ("--help", "--version"):
        return ""
    command = cli.get_command(click.Context(cli), words[0])
    if command is None:
        return f"there is no command {words[0]}"
    if "--help" in words:
        return ""
    try:
        command.make_context(words[0], words[1:])
    except click.MissingParameter:
        return ""  # a command that is only spoken of
    except click.ClickException as error:
        return error.format_message()
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_are_accepted(page: Path) -> None:
    if page.name == "commands.md":
        return  # the program's own help
    refused = {line: why for line in command_lines(page) if (why := refusal(line))}
    assert not refused


def test_a_wrong_command_line_is_noticed() -> None:
    assert refusal("knobctl tone 'x'") == "there is no command tone"
    assert "--bugdet" in refusal("knobctl tune 'x' --bugdet 3")
    assert refusal("knobctl tune 'x' --budget 3") == ""


# --- links


@functools.cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page as GitHub makes them from its headings, and those that are written out."""
    text = page.read_text(encoding="utf-8")
    found = set(_ANCHOR.findall(text))
    seen: dict[str, int] = {}
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def broken_links(page: Path) -> list[str]:
    text = _SPAN.sub("``", _FENCE.sub("", page.read_text(encoding="utf-8")))
    broken = []
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `word` or two\n[good](#a-word-or-two) [bad](#two) [gone](gone.md) [web](https://x.y/z)\n")
    assert broken_links(page) == ["#two", "gone.md"]


def test_the_index_leads_to_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert {path.name for path in DOCS.glob("*.md")} - {"index.md"} <= set(_LINK.findall(index))


# --- tables


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head and without backticks."""
    text = (DOCS / page).read_text(encoding="utf-8")
    part = re.split(r"^#+ ", text.partition(f"{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")][2:]
    assert rows, f"{page} has no table below {heading!r}"
    return [[cell.strip().replace("`", "") for cell in row] for row in rows]


def test_every_key_of_the_result_is_described() -> None:
    described = [row[0] for row in table("result.md", "## The result document")]
    assert sorted(described) == sorted(Result.__dataclass_fields__)


def test_every_exit_code_is_described() -> None:
    def codes(error: type[KnobctlError]) -> set[int]:
        return {error.exit_code}.union(*(codes(leaf) for leaf in error.__subclasses__()))

    described = {int(row[0]) for row in table("result.md", "## Exit codes")}
    assert described == codes(KnobctlError) | {0, 3, Interrupted.exit_code}


def test_every_risk_is_described() -> None:
    named = [name for row in table("safety.md", "### Never tuned") for name in row[1].split(", ")]
    assert sorted(named) == sorted(knob.name for knob in catalogue() if knob.risk == "forbidden")
    careful = {row[0]: row[1] for row in table("safety.md", "### Only when you name it")}
    assert careful == {knob.name: knob.risk_reason for knob in catalogue() if knob.risk == "caution"}


@pytest.mark.parametrize(
    ("heading", "commands"),
    [
        ("### pgbench", ["pgbench -T 5", "pgbench -T 5 -C", "pgbench -T 5 -R 100 -L 10"]),
        ("### ab", ["ab -n 100 http://localhost/"]),
        ("### wrk", ["wrk http://localhost/"]),
        ("### sysbench cpu, threads, mutex", ["sysbench cpu run", "sysbench threads run", "sysbench mutex run"]),
        ("### sysbench memory", ["sysbench memory run"]),
        ("### sysbench fileio", [f"sysbench fileio --file-test-mode={mode} run" for mode in ("seqwr", "rndrw")]),
        ("### fio", ["fio --name=a --size=1M --rw=read", "fio --name=a --size=1M --rw=randrw"]),
    ],
)
def test_every_metric_is_described(heading: str, commands: list[str]) -> None:
    argvs = [shlex.split(command) for command in commands]
    printed = {
        spec.name: [spec.unit, "higher" if spec.direction == "maximize" else "lower"]
        for argv in argvs
        for spec in adapter_for(argv).metrics(argv)
    }
    assert {row[0]: row[1:3] for row in table("workloads.md", heading)} == printed


def test_the_bounds_of_what_a_request_may_say_are_those_of_every_playbook() -> None:
    page = " ".join((DOCS / "workloads.md").read_text(encoding="utf-8").split())
    sentence = page.partition("What else a request may say:")[2].partition("A value out of bounds")[0]
    said = re.findall(r"\((\d+) to (\d+)(?:; 1 to (\d+) for PostgreSQL and for memory)?\)", sentence)
    assert said == [("1", "1000", ""), ("1", "256", "64"), ("2", "600", "")]
    assert (CLIENTS, THREADS, SECONDS) == ((1, 1000), (1, 256), (2, 600))
    for playbook in playbooks():
        threads = (1, 64) if playbook.program == "pgbench" or playbook.name == "memory" else THREADS
        for parameter in playbook.parameters:
            expected = {"clients": CLIENTS, "threads": threads, "seconds": SECONDS}.get(parameter.name)
            assert expected in (None, (parameter.min, parameter.max)), playbook.name


def test_the_rooms_are_those_of_the_import_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(each for each in project["tool"]["importlinter"]["contracts"] if each["id"] == "rooms")
    lines = [sorted(layer.split(" : ")) for layer in reversed(contract["layers"])]
    assert [sorted(row[1].split(", ")) for row in table("architecture.md", "## The rooms")] == lines


def test_every_command_is_in_the_tour() -> None:
    tour = {span.split()[1] for span in command_lines(DOCS / "index.md") if len(span.split()) > 1}
    assert set(COMMANDS) <= tour
