"""A page and a path in, a file out, or a sentence that says why not."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from knobctl.errors import KnobctlError, UsageError
from knobctl.report.page import render, save
from tests.report.page import recorded

PAGE = '<!doctype html>\n<meta name="generator" content="knobctl 1">\n'


def test_a_report_is_written_and_replaced_by_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    page = render(recorded.session())
    assert save(page, file) == len(page.encode())
    assert save(PAGE, file) == len(PAGE)
    assert file.read_text() == PAGE
    assert list(tmp_path.iterdir()) == [file], "nothing is left beside it"


def test_something_else_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(UsageError, match=re.escape(f"{file} exists and is no report of knobctl")) as caught:
        save(PAGE, file)
    assert caught.value.hint == "Choose another name, or add --force."
    assert file.read_text() == "mine"
    save(PAGE, file, force=True)
    assert file.read_text() == PAGE


def test_an_empty_file_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "new.html").touch()
    assert save(PAGE, tmp_path / "new.html") == len(PAGE)


def test_a_folder_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path} is a folder"):
        save(PAGE, tmp_path)
    with pytest.raises(UsageError, match=f"there is no folder {tmp_path}/absent") as caught:
        save(PAGE, tmp_path / "absent" / "report.html")
    assert caught.value.hint == "Make it, or name another."


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(KnobctlError, match="cannot write the report /dev/full: No space left on device"):
        save(PAGE, Path("/dev/full"))


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    with pytest.raises(KnobctlError, match="File name too long") as caught:
        save(PAGE, tmp_path / ("x" * 300))
    assert caught.value.hint == "Name a file in a folder that can be written."


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_text(PAGE)
    link = tmp_path / "report.html"
    link.symlink_to(other)
    save(PAGE + "new", link)
    assert other.read_text() == PAGE and not link.is_symlink()


def test_a_pipe_gets_the_page(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    save(PAGE, pipe)
    reader.join(timeout=10)
    assert got == [PAGE]
