"""``knobctl report --html``: where the page goes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import CommandLine
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
