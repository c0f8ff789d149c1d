"""``knobctl report --html``: where the page goes, and what is refused."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from knobctl import pipeline
from knobctl.commands.run import settings_of
from knobctl.main import cli
from knobctl.report.page.contents import commands, commands_again
from knobctl.report.session_view import RecordedSession, read_session
from knobctl.safety import Consent
from knobctl.settings import Settings
from knobctl.settings import settings_of as recorded_settings
from knobctl.store import Store
from knobctl.target.simulated import simulated_target
from tests.commands.conftest import CommandLine
from tests.commands.plans import plan
from tests.commands.test_manage import keep


@pytest.fixture
def session(knobctl: CommandLine) -> str:
    return keep(knobctl, "20260102-030405-aaaa")


def test_the_page_goes_to_a_file_and_its_name_to_people(knobctl: CommandLine, session: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    done = knobctl("report", session, "--html", str(file))
    page = file.read_text()
    assert (done.code, done.out) == (0, "")
    assert done.err == f"wrote {file} ({round(len(page.encode()) / 1000)} kB)\n"
    assert page.startswith("<!doctype html>\n") and page.endswith("</html>\n")
    assert knobctl("report", session, "--html", str(file)).code == 0, "a report is replaced"


def test_the_page_goes_to_standard_output_alone(knobctl: CommandLine, session: str) -> None:
    done = knobctl("report", session, "--html", "-")
    assert done.code == 0 and done.err == ""
    assert done.out.startswith("<!doctype html>\n") and done.out.endswith("</html>\n")


def test_page_and_document_at_once(knobctl: CommandLine, session: str, tmp_path: Path) -> None:
    done = knobctl("report", session, "--html", str(tmp_path / "r.html"), "--json")
    assert done.document["session_id"] == session and (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["--html", "-", "--json"], "--json and --html - both want standard output", "Give --html a file."),
        (["--force"], "--force is about the file of --html or --bundle", "Name one, or leave --force out."),
    ],
)
def test_what_cannot_be_meant_is_refused(
    knobctl: CommandLine, session: str, arguments: list[str], error: str, hint: str
) -> None:
    done = knobctl("report", session, *arguments)
    assert done.code == 2 and "<html" not in done.out
    assert done.err == f"knobctl: {error}\n  hint: {hint}\n"


def test_a_file_that_is_no_report_is_kept_unless_forced(knobctl: CommandLine, session: str, tmp_path: Path) -> None:
    file = tmp_path / "thesis.html"
    file.write_text("ten years of work")
    done = knobctl("report", session, "--html", str(file))
    assert done.code == 2 and file.read_text() == "ten years of work"
    assert done.err == (
        f"knobctl: {file} exists and is no report of knobctl\n  hint: Choose another name, or add --force.\n"
    )
    assert knobctl("report", session, "--html", str(file), "--force").code == 0
    assert file.read_text().startswith("<!doctype html>")


def test_a_session_that_is_still_running_has_a_page(knobctl: CommandLine) -> None:
    session = keep(knobctl, "20260102-030405-bbbb", unfinished=True)
    assert "This session is running: there is no result yet" in knobctl("report", session, "--html", "-").out


# --- the commands on the page


def parsed(line: str) -> tuple[str, dict[str, Any]]:
    """A printed line as click reads it; fails when the command line refuses it."""
    program, name, *arguments = shlex.split(line)
    assert program == "knobctl"
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, line
    return name, command.make_context(name, arguments).params


def measured(store: Store, settings: Settings, *, only_verified: bool = False) -> RecordedSession:
    """A session on a simulated machine with these settings."""
    target = simulated_target("file-write", seed=1)
    safe = pipeline.validate(plan("file-write"), target, Consent())
    if only_verified:
        change = {"vm.dirty_ratio": 40}
        done = pipeline.verify_candidate(change, "another", safe, target, store, lambda event: None, settings)
    else:
        done = pipeline.execute(safe, target, store, lambda event: None, settings)
    return read_session(store, done.session_id)


PLAIN = Settings(searcher="random", budget=5, seed=1)
GIVEN = replace(
    PLAIN, seconds=4200.5, pairs=6, force=True, run_timeout=333.0, actor=False, memory=False, searcher="one-at-a-time"
)


@pytest.mark.parametrize("settings", [PLAIN, GIVEN], ids=["plain", "all given"])
def test_the_printed_run_is_the_run(tmp_path: Path, settings: Settings) -> None:
    with Store(tmp_path / "knobctl.db") as store:
        session = measured(store, settings)
    lines = [parsed(command.line) for command in (*commands(session), *commands_again(session.record))]
    assert {name for name, _ in lines} == {"run", "verify", "report"}
    (run,) = [given for name, given in lines if name == "run"]
    assert settings_of(run) == recorded_settings(session.record)[0] == settings
    assert run["target_name"] == session.record.target == "simulated:file-write"
    for given in (given for name, given in lines if name == "verify" and given["bundle"] is None):
        assert (given["session"], given["target_name"]) == (session.record.id, "simulated:file-write")


@pytest.mark.parametrize("settings", [PLAIN, GIVEN], ids=["plain", "all given"])
def test_what_only_verified_is_verified_again_and_not_run(tmp_path: Path, settings: Settings) -> None:
    with Store(tmp_path / "knobctl.db") as store:
        session = measured(store, settings, only_verified=True)
    lines = [parsed(command.line) for command in (*commands(session), *commands_again(session.record))]
    assert {name for name, _ in lines} == {"verify", "report"}
    again = [given for name, given in lines if name == "verify" and given["bundle"] is None]
    assert {(given["session"], given["target_name"]) for given in again} == {
        (session.record.id, "simulated:file-write")
    }
    read, kept = settings_of(again[-1]), recorded_settings(session.record)[0]
    for name in ("seconds", "pairs", "force", "run_timeout"):
        assert getattr(read, name) == getattr(kept, name) == getattr(settings, name)


def test_what_cannot_be_typed_is_said_or_not_printed(tmp_path: Path) -> None:
    with Store(tmp_path / "knobctl.db") as store:
        session = measured(store, replace(PLAIN, lengthen=True, cut_short=False))
    (run, *_) = [command for command in commands_again(session.record) if " run " in command.line]
    assert run.purpose == (
        "the whole run again, from the plan above: the same seed, fresh measurements; a run lasts as long as its "
        "command says, and was allowed to last longer; hopeless runs of the search are cut short, and were not"
    )
    own = replace(session.record, searcher="mine:Searcher")
    assert [command.line for command in commands_again(own) if " run " in command.line] == []
